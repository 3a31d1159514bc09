/* SPDX-License-Identifier: Apache-2.0 */
/* Linux's 64-bit boot protocol ("Documentation/arch/x86/boot.rst" of the kernel). */
#include <errno.h>
#include <string.h>

#include "base/cursor.h"
#include "machine.h"
#include "os/fd.h"
#include "x86/boot.h"
#include "x86/cpu.h"
#include "x86/layout.h"

#define SECTOR	   512u
#define ZERO_PAGE  4096u
#define HEADER	   0x1f1u /* the setup header in the file, and in the zero page */
#define HEADER_END 0x290u
#define ENTRY_64   0x200u

/* Offsets in the zero page. */
enum {
	ZERO_ACPI_RSDP = 0x070,
	ZERO_E820_COUNT = 0x1e8,
	ZERO_SETUP_SECTORS = 0x1f1,
	ZERO_BOOT_FLAG = 0x1fe,
	ZERO_JUMP_LENGTH = 0x201,
	ZERO_MAGIC = 0x202,
	ZERO_VERSION = 0x206,
	ZERO_LOADER = 0x210,
	ZERO_LOAD_FLAGS = 0x211,
	ZERO_INITRD = 0x218,
	ZERO_INITRD_SIZE = 0x21c,
	ZERO_COMMAND_LINE = 0x228,
	ZERO_INITRD_MAX = 0x22c,
	ZERO_ALIGNMENT = 0x230,
	ZERO_RELOCATABLE = 0x234,
	ZERO_XLOAD_FLAGS = 0x236,
	ZERO_LINE_SIZE = 0x238,
	ZERO_PREFERRED = 0x258,
	ZERO_INIT_SIZE = 0x260,
	ZERO_E820 = 0x2d0,
};

#define BOOT_FLAG     0xaa55u
#define MAGIC	      0x53726448u /* "HdrS" */
#define OLDEST	      0x020cu	  /* the first that says whether there is a 64-bit entry */
#define LOADED_HIGH   0x01u
#define XLOAD_64BIT   0x0001u
#define LOADER_OTHER  0xffu
#define E820_MEMORY   1u
#define E820_RESERVED 2u

static uint16_t get16(const uint8_t *page, unsigned offset)
{
	uint16_t value;

	memcpy(&value, page + offset, sizeof(value));
	return value;
}

static uint32_t get32(const uint8_t *page, unsigned offset)
{
	uint32_t value;

	memcpy(&value, page + offset, sizeof(value));
	return value;
}

static uint64_t get64(const uint8_t *page, unsigned offset)
{
	uint64_t value;

	memcpy(&value, page + offset, sizeof(value));
	return value;
}

static void put(uint8_t *page, unsigned offset, uint64_t value, size_t size)
{
	memcpy(page + offset, &value, size);
}

static int check_header(const struct machine *machine, const uint8_t *page, struct error *error)
{
	if (get16(page, ZERO_BOOT_FLAG) != BOOT_FLAG || get32(page, ZERO_MAGIC) != MAGIC)
		return error_set(error, EINVAL,
				 "kernel: neither a bzImage nor an ELF file with a PVH entry");
	if (get16(page, ZERO_VERSION) < OLDEST || !(page[ZERO_LOAD_FLAGS] & LOADED_HIGH) ||
	    !(get16(page, ZERO_XLOAD_FLAGS) & XLOAD_64BIT))
		return error_set(
			error, EINVAL,
			"kernel: has no 64-bit entry; use an x86-64 kernel of 3.8 or newer");
	if (strlen(machine->line) > get32(page, ZERO_LINE_SIZE))
		return error_set(error, E2BIG,
				 "command line: longer than the %u bytes that this kernel takes",
				 get32(page, ZERO_LINE_SIZE));
	return 0;
}

/* Reads the header into a zero page of our own; the offset of the kernel proper goes to *offset. */
static int read_header(struct machine *machine, uint8_t *page, uint64_t file_size, uint64_t *offset,
		       struct error *error)
{
	uint8_t file[HEADER_END];
	unsigned end;
	int ret;

	if (file_size < sizeof(file) ||
	    os_pread_all(machine->options.kernel_fd, file, sizeof(file), 0) < 0)
		return error_set(error, EINVAL, "kernel: the file is too short to be one");
	ret = check_header(machine, file, error);
	if (ret < 0)
		return ret;
	end = (unsigned)min_u64(ZERO_MAGIC + file[ZERO_JUMP_LENGTH], HEADER_END);
	memset(page, 0, ZERO_PAGE);
	memcpy(page + HEADER, file + HEADER, end - HEADER);
	*offset = ((file[ZERO_SETUP_SECTORS] ? file[ZERO_SETUP_SECTORS] : 4u) + 1u) * SECTOR;
	if (*offset >= file_size)
		return error_set(error, EINVAL, "kernel: the file ends before the kernel begins");
	return 0;
}

/* Where the kernel goes, and how much it needs from there on before it can look at the memory map.
 */
static int place(const uint8_t *page, uint64_t image_size, struct boot_range *at,
		 struct error *error)
{
	uint64_t preferred = get64(page, ZERO_PREFERRED);

	at->address = preferred;
	at->size = max_u64(get32(page, ZERO_INIT_SIZE), image_size);
	if (preferred < LAYOUT_HIGH || preferred > MEMORY_LOW_MAX)
		return error_set(error, EINVAL, "kernel: wants to be loaded at 0x%llx",
				 (unsigned long long)preferred);
	return 0;
}

static void put_e820(const struct machine *machine, uint8_t *page)
{
	struct writer writer = writer_make(page + ZERO_E820, ZERO_PAGE - ZERO_E820);
	struct boot_map map;

	boot_map_make(machine, &map);
	page[ZERO_E820_COUNT] = (uint8_t)map.count;
	for (size_t i = 0; i < map.count; i++) {
		writer_u64(&writer, map.ranges[i].address);
		writer_u64(&writer, map.ranges[i].size);
		writer_u32(&writer, map.ranges[i].is_memory ? E820_MEMORY : E820_RESERVED);
	}
}

static void finish_page(const struct machine *machine, uint8_t *page,
			const struct boot_range *initrd)
{
	page[ZERO_LOADER] = LOADER_OTHER;
	put(page, ZERO_COMMAND_LINE, LAYOUT_COMMAND_LINE, 4);
	put(page, ZERO_INITRD, initrd->address, 4);
	put(page, ZERO_INITRD_SIZE, initrd->size, 4);
	put(page, ZERO_ACPI_RSDP, LAYOUT_ACPI, 8);
	put_e820(machine, page);
}

int boot_bzimage(struct machine *machine, uint64_t file_size, struct error *error)
{
	uint8_t *page = memory_at(&machine->memory, LAYOUT_ZERO_PAGE, ZERO_PAGE);
	struct boot_range at = {0}, initrd;
	uint64_t offset;
	int ret = read_header(machine, page, file_size, &offset, error);

	if (!ret)
		ret = place(page, file_size - offset, &at, error);
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
				       (uint64_t)get32(page, ZERO_INITRD_MAX) + 1, &initrd, error);
	if (ret < 0)
		return ret;
	finish_page(machine, page, &initrd);
	ret = cpu_enter_linux(machine, at.address + ENTRY_64);
	return ret < 0 ? error_set(error, -ret, "KVM refuses the first vCPU's registers") : 0;
}
