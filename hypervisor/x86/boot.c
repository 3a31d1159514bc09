/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "arch.h"
#include "machine.h"
#include "os/fd.h"
#include "x86/acpi.h"
#include "x86/boot.h"
#include "x86/layout.h"

#define INITRD_ALIGN UINT64_C(4096)

void boot_map_make(const struct machine *machine, struct boot_map *map)
{
	const struct memory *memory = &machine->memory;

	*map = (struct boot_map){
		.ranges = {{0, LAYOUT_LOW_END, true},
			   {LAYOUT_ACPI, LAYOUT_HIGH - LAYOUT_ACPI, false},
			   {LAYOUT_HIGH, memory->low - LAYOUT_HIGH, true},
			   {BUS_ECAM, BUS_ECAM_SIZE, false},
			   {MEMORY_HIGH_BASE, memory->high, true}},
		.count = memory->high ? 5 : 4,
	};
}

int boot_read(struct machine *machine, const char *what, int fd, uint64_t offset, uint64_t address,
	      uint64_t size, struct error *error)
{
	void *to = memory_at(&machine->memory, address, size);
	int ret;

	if (!to)
		return error_set(error, ENOMEM,
				 "%s: needs memory at 0x%llx to 0x%llx; give the instance more",
				 what, (unsigned long long)address,
				 (unsigned long long)(address + size));
	ret = os_pread_all(fd, to, size, offset);
	if (ret < 0)
		return error_set(error, -ret, "%s: cannot be read: %s", what, strerror(-ret));
	return 0;
}

static int file_size(const char *what, int fd, uint64_t *size, struct error *error)
{
	struct stat stat;

	if (fstat(fd, &stat) < 0 || !S_ISREG(stat.st_mode))
		return error_set(error, EINVAL, "%s: not a regular file", what);
	*size = (uint64_t)stat.st_size;
	return 0;
}

int boot_load_initrd(struct machine *machine, uint64_t kernel_end, uint64_t limit,
		     struct boot_range *initrd, struct error *error)
{
	uint64_t size, floor = align_up(kernel_end, INITRD_ALIGN);
	uint64_t top = min_u64(limit, machine->memory.low);
	int ret, fd = machine->options.initrd_fd;

	*initrd = (struct boot_range){0};
	if (fd < 0)
		return 0;
	ret = file_size("initrd", fd, &size, error);
	if (ret < 0)
		return ret;
	if (top < floor || size > top - floor)
		return error_set(error, ENOMEM,
				 "initrd: its %llu KiB do not fit beside the kernel into %llu MiB "
				 "of memory; give the instance more",
				 (unsigned long long)(size / KIB),
				 (unsigned long long)(machine->memory.low / MIB));
	initrd->address = align_down(top - size, INITRD_ALIGN);
	initrd->size = size;
	return boot_read(machine, "initrd", fd, 0, initrd->address, size, error);
}

void boot_put_line(struct machine *machine)
{
	size_t size = strlen(machine->line) + 1;

	memcpy(memory_at(&machine->memory, LAYOUT_COMMAND_LINE, size), machine->line, size);
}

/*
 * All the firmware there is: a guest that resets by a jump to the reset vector in real mode (Linux
 * does, unless told otherwise) finds code there that writes the reset register.
 */
static void put_reset_vector(struct machine *machine)
{
	static const uint8_t code[] = {
		0xba,
		PORT_RESET & 0xff,
		PORT_RESET >> 8, /* mov $PORT_RESET, %dx */
		0xb0,
		RESET_VALUE, /* mov $RESET_VALUE, %al */
		0xee,	     /* out %al, %dx */
		0xf4,
		0xeb,
		0xfd, /* hlt; and again */
	};

	memcpy(memory_at(&machine->memory, LAYOUT_FIRMWARE + 0xff0, sizeof(code)), code,
	       sizeof(code));
}

int arch_load(struct machine *machine, struct error *error)
{
	static const uint8_t elf[4] = {0x7f, 'E', 'L', 'F'};
	uint8_t magic[4];
	uint64_t size;
	int ret = file_size("kernel", machine->options.kernel_fd, &size, error);

	if (ret < 0)
		return ret;
	if (os_pread_all(machine->options.kernel_fd, magic, sizeof(magic), 0) < 0)
		return error_set(error, EINVAL, "kernel: the file is too short to be one");
	acpi_put(machine);
	put_reset_vector(machine);
	boot_put_line(machine);
	if (!memcmp(magic, elf, sizeof(elf)))
		return boot_pvh(machine, size, error);
	return boot_bzimage(machine, size, error);
}
