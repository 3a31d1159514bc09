/* SPDX-License-Identifier: Apache-2.0 */
/* ELF kernels with a PVH entry ("docs/misc/pvh.pandoc" and "start_info.h" of Xen). */
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "base/cursor.h"
#include "machine.h"
#include "os/fd.h"
#include "x86/boot.h"
#include "x86/cpu.h"
#include "x86/layout.h"

#define NOTE_PHYS32_ENTRY 18u /* XEN_ELFNOTE_PHYS32_ENTRY */
#define MOST_SEGMENTS	  64u
#define MOST_NOTES	  4096u /* bytes of one note segment */

#define START_MAGIC   0x336ec578u
#define START_VERSION 1u
#define START_SIZE    56u
#define MODULE_SIZE   32u
#define MAP_MEMORY    1u
#define MAP_RESERVED  2u

static int refuse(struct error *error, const char *why)
{
	return error_set(error, EINVAL, "kernel: ELF file: %s", why);
}

static int read_segments(struct machine *machine, Elf64_Phdr segments[MOST_SEGMENTS],
			 unsigned *count, struct error *error)
{
	int fd = machine->options.kernel_fd;
	Elf64_Ehdr head;

	if (os_pread_all(fd, &head, sizeof(head), 0) < 0)
		return refuse(error, "too short");
	if (head.e_ident[EI_CLASS] != ELFCLASS64 || head.e_ident[EI_DATA] != ELFDATA2LSB ||
	    head.e_machine != EM_X86_64)
		return refuse(error, "not for x86-64");
	if (head.e_phentsize != sizeof(Elf64_Phdr) || !head.e_phnum || head.e_phnum > MOST_SEGMENTS)
		return refuse(error, "no segments, or too many");
	*count = head.e_phnum;
	if (os_pread_all(fd, segments, *count * sizeof(*segments), head.e_phoff) < 0)
		return refuse(error, "its segments lie outside the file");
	return 0;
}

/* Looks through one note segment. True: found. */
static bool find_entry(const uint8_t *notes, size_t size, uint32_t *entry)
{
	struct cursor cursor = cursor_make(notes, size);

	while (cursor.left && !cursor.failed) {
		uint32_t name_size = cursor_u32(&cursor), size32 = cursor_u32(&cursor);
		uint32_t type = cursor_u32(&cursor);
		const uint8_t *name = cursor_take(&cursor, align_up(name_size, 4));
		const uint8_t *value = cursor_take(&cursor, align_up(size32, 4));

		if (!name || !value)
			return false;
		if (type != NOTE_PHYS32_ENTRY || name_size != 4 || memcmp(name, "Xen", 4) ||
		    (size32 != 4 && size32 != 8))
			continue;
		memcpy(entry, value, sizeof(*entry));
		return true;
	}
	return false;
}

static int read_entry(struct machine *machine, const Elf64_Phdr *segments, unsigned count,
		      uint32_t *entry, struct error *error)
{
	uint8_t notes[MOST_NOTES];

	for (unsigned i = 0; i < count; i++) {
		const Elf64_Phdr *segment = &segments[i];

		if (segment->p_type != PT_NOTE || segment->p_filesz > sizeof(notes))
			continue;
		if (os_pread_all(machine->options.kernel_fd, notes, segment->p_filesz,
				 segment->p_offset) < 0)
			return refuse(error, "its notes lie outside the file");
		if (find_entry(notes, segment->p_filesz, entry))
			return 0;
	}
	return refuse(error, "has no PVH entry (XEN_ELFNOTE_PHYS32_ENTRY)");
}

static int load_segment(struct machine *machine, const Elf64_Phdr *segment, uint64_t file_size,
			struct error *error)
{
	uint8_t *to;

	if (segment->p_filesz > segment->p_memsz ||
	    !range_within(segment->p_offset, segment->p_filesz, file_size))
		return refuse(error, "a segment lies outside the file");
	if (segment->p_paddr < LAYOUT_HIGH)
		return refuse(error, "a segment lies below 1 MiB");
	to = memory_at(&machine->memory, segment->p_paddr, segment->p_memsz);
	if (!to)
		return error_set(error, ENOMEM,
				 "kernel: needs memory at 0x%llx; give the instance more",
				 (unsigned long long)segment->p_paddr);
	memset(to + segment->p_filesz, 0, segment->p_memsz - segment->p_filesz);
	return boot_read(machine, "kernel", machine->options.kernel_fd, segment->p_offset,
			 segment->p_paddr, segment->p_filesz, error);
}

static int load_segments(struct machine *machine, const Elf64_Phdr *segments, unsigned count,
			 uint64_t file_size, uint64_t *end, struct error *error)
{
	*end = 0;
	for (unsigned i = 0; i < count; i++) {
		int ret;

		if (segments[i].p_type != PT_LOAD || !segments[i].p_memsz)
			continue;
		ret = load_segment(machine, &segments[i], file_size, error);
		if (ret < 0)
			return ret;
		*end = max_u64(*end, segments[i].p_paddr + segments[i].p_memsz);
	}
	return *end ? 0 : refuse(error, "has nothing to load");
}

/* hvm_start_info, then one module, then the memory map. */
static void put_start_info(struct machine *machine, const struct boot_range *initrd)
{
	uint64_t modules = LAYOUT_PVH_INFO + START_SIZE, map_at = modules + MODULE_SIZE;
	struct writer writer =
		writer_make(memory_at(&machine->memory, LAYOUT_PVH_INFO, 4096), 4096);
	struct boot_map map;

	boot_map_make(machine, &map);
	writer_u32(&writer, START_MAGIC);
	writer_u32(&writer, START_VERSION);
	writer_u32(&writer, 0); /* flags */
	writer_u32(&writer, initrd->size ? 1 : 0);
	writer_u64(&writer, modules);
	writer_u64(&writer, LAYOUT_COMMAND_LINE);
	writer_u64(&writer, LAYOUT_ACPI);
	writer_u64(&writer, map_at);
	writer_u32(&writer, (uint32_t)map.count);
	writer_u32(&writer, 0);
	writer_u64(&writer, initrd->address);
	writer_u64(&writer, initrd->size);
	writer_u64(&writer, 0); /* the module's command line */
	writer_u64(&writer, 0);
	for (size_t i = 0; i < map.count; i++) {
		writer_u64(&writer, map.ranges[i].address);
		writer_u64(&writer, map.ranges[i].size);
		writer_u32(&writer, map.ranges[i].is_memory ? MAP_MEMORY : MAP_RESERVED);
		writer_u32(&writer, 0);
	}
}

int boot_pvh(struct machine *machine, uint64_t file_size, struct error *error)
{
	Elf64_Phdr segments[MOST_SEGMENTS];
	struct boot_range initrd;
	unsigned count = 0;
	uint32_t entry = 0;
	uint64_t end = 0;
	int ret = read_segments(machine, segments, &count, error)
			  ?: read_entry(machine, segments, count, &entry, error)
			  ?: load_segments(machine, segments, count, file_size, &end, error)
			  ?: boot_load_initrd(machine, end, 4 * GIB, &initrd, error);

	if (ret < 0)
		return ret;
	put_start_info(machine, &initrd);
	ret = cpu_enter(machine, CPU_ENTRY_PVH, entry);
	return ret < 0 ? error_set(error, -ret, "KVM refuses the first vCPU's registers") : 0;
}
