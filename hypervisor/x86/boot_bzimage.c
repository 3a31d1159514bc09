/* SPDX-License-Identifier: Apache-2.0 */
/* Linux's 64-bit boot protocol ("Documentation/arch/x86/boot.rst" of the kernel). */
#include <asm/bootparam.h>
#include <errno.h>
#include <string.h>

#include "machine.h"
#include "os/fd.h"
#include "x86/boot.h"
#include "x86/cpu.h"
#include "x86/layout.h"

#define SECTOR	   512u
#define HEADER_END 0x290u /* of the setup header, in the file as in the zero page */
#define ENTRY_64   0x200u

#define BOOT_FLAG     0xaa55u
#define MAGIC	      0x53726448u /* "HdrS" */
#define OLDEST	      0x020cu	  /* the first that says whether there is a 64-bit entry */
#define LOADER_OTHER  0xffu
#define E820_MEMORY   1u
#define E820_RESERVED 2u

static int check_header(const struct machine *machine, const struct setup_header *header,
			struct error *error)
{
	if (header->boot_flag != BOOT_FLAG || header->header != MAGIC)
		return error_set(error, EINVAL,
				 "kernel: neither a bzImage nor an ELF file with a PVH entry");
	if (header->version < OLDEST || !(header->loadflags & LOADED_HIGH) ||
	    !(header->xloadflags & XLF_KERNEL_64))
		return error_set(
			error, EINVAL,
			"kernel: has no 64-bit entry; use an x86-64 kernel of 3.8 or newer");
	if (strlen(machine->line) > header->cmdline_size)
		return error_set(error, E2BIG,
				 "command line: longer than the %u bytes that this kernel takes",
				 header->cmdline_size);
	return 0;
}

/* Reads the header into a zero page of our own; the offset of the kernel proper goes to *offset. */
static int read_header(struct machine *machine, struct boot_params *page, uint64_t file_size,
		       uint64_t *offset, struct error *error)
{
	struct boot_params file;
	const struct setup_header *header = &file.hdr;
	size_t start = offsetof(struct boot_params, hdr), end;
	int ret;

	if (file_size < HEADER_END ||
	    os_pread_all(machine->options.kernel_fd, &file, HEADER_END, 0) < 0)
		return error_set(error, EINVAL, "kernel: the file is too short to be one");
	ret = check_header(machine, header, error);
	if (ret < 0)
		return ret;
	/* As far as the jump across it goes. */
	end = start + offsetof(struct setup_header, header) + (header->jump >> 8);
	memset(page, 0, sizeof(*page));
	memcpy((uint8_t *)page + start, (const uint8_t *)&file + start,
	       min_u64(end, HEADER_END) - start);
	*offset = ((header->setup_sects ? header->setup_sects : 4u) + 1u) * SECTOR;
	if (*offset >= file_size)
		return error_set(error, EINVAL, "kernel: the file ends before the kernel begins");
	return 0;
}

/* Where the kernel goes, and how much it needs from there on before it can look at the memory map.
 */
static int place(const struct setup_header *header, uint64_t image_size, struct boot_range *at,
		 struct error *error)
{
	at->address = header->pref_address;
	at->size = max_u64(header->init_size, image_size);
	if (at->address < LAYOUT_HIGH || at->address > MEMORY_LOW_MAX)
		return error_set(error, EINVAL, "kernel: wants to be loaded at 0x%llx",
				 (unsigned long long)at->address);
	return 0;
}

static void finish_page(const struct machine *machine, struct boot_params *page,
			const struct boot_range *initrd)
{
	struct boot_map map;

	page->hdr.type_of_loader = LOADER_OTHER;
	page->hdr.cmd_line_ptr = LAYOUT_COMMAND_LINE;
	page->hdr.ramdisk_image = (uint32_t)initrd->address;
	page->hdr.ramdisk_size = (uint32_t)initrd->size;
	page->acpi_rsdp_addr = LAYOUT_ACPI;
	boot_map_make(machine, &map);
	page->e820_entries = (uint8_t)map.count;
	for (size_t i = 0; i < map.count; i++)
		page->e820_table[i] = (struct boot_e820_entry){
			.addr = map.ranges[i].address,
			.size = map.ranges[i].size,
			.type = map.ranges[i].is_memory ? E820_MEMORY : E820_RESERVED};
}

int boot_bzimage(struct machine *machine, uint64_t file_size, struct error *error)
{
	struct boot_params *page = memory_at(&machine->memory, LAYOUT_ZERO_PAGE, sizeof(*page));
	struct boot_range at = {0}, initrd;
	uint64_t offset;
	int ret = read_header(machine, page, file_size, &offset, error);

	if (!ret)
		ret = place(&page->hdr, file_size - offset, &at, error);
	if (ret < 0)
		return ret;
	if (!memory_at(&machine->memory, at.address, at.size))
		return error_set(error, ENOMEM,
				 "kernel: needs %llu MiB of memory; give the instance more",
				 (unsigned long long)((at.address + at.size) / MIB + 1));
	ret = boot_read(machine, "kernel", machine->options.kernel_fd, offset, at.address,
			file_size - offset, error);
	if (!ret)
		ret = boot_load_initrd(machine, at.address + at.size,
				       (uint64_t)page->hdr.initrd_addr_max + 1, &initrd, error);
	if (ret < 0)
		return ret;
	finish_page(machine, page, &initrd);
	ret = cpu_enter(machine, CPU_ENTRY_LINUX, at.address + ENTRY_64);
	return ret < 0 ? error_set(error, -ret, "KVM refuses the first vCPU's registers") : 0;
}
