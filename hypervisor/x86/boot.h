/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading a kernel. A kernel file is hostile input: it may come from a guest's own disk. Each
 * loader checks it, puts it into the guest's memory and says where to enter.
 */
#ifndef KARUTA_HYPERVISOR_X86_BOOT_H
#define KARUTA_HYPERVISOR_X86_BOOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct machine;

struct boot_range {
	uint64_t address, size;
};

#define BOOT_RANGES 5u

/* Where memory is, and what is kept out of it, in address order. */
struct boot_map {
	struct {
		uint64_t address, size;
		bool is_memory;
	} ranges[BOOT_RANGES];
	size_t count;
};

void boot_map_make(const struct machine *machine, struct boot_map *map);

/* Places the initrd as high as it fits below `limit` and above `kernel_end`; size 0: there is none.
 */
int boot_load_initrd(struct machine *machine, uint64_t kernel_end, uint64_t limit,
		     struct boot_range *initrd, struct error *error);
/* The command line with its NUL at LAYOUT_COMMAND_LINE. */
void boot_put_line(struct machine *machine);
/* pread(2) into the guest's memory. */
int boot_read(struct machine *machine, const char *what, int fd, uint64_t offset, uint64_t address,
	      uint64_t size, struct error *error);

int boot_bzimage(struct machine *machine, uint64_t file_size, struct error *error);
int boot_pvh(struct machine *machine, uint64_t file_size, struct error *error);

#endif
