/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's memory: one memfd, mapped here once, shared with the cards by descriptor. Guest
 * physical addresses: low memory from 0 up to MEMORY_LOW_MAX, the rest from MEMORY_HIGH_BASE on;
 * between them is the room for PCI and the interrupt controllers.
 */
#ifndef KARUTA_HYPERVISOR_MEMORY_H
#define KARUTA_HYPERVISOR_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "base/error.h"

#define MEMORY_LOW_MAX	 (3 * GIB)
#define MEMORY_HIGH_BASE (4 * GIB)
#define MEMORY_SMALLEST	 (4 * MIB)
#define MEMORY_LARGEST	 (1024 * GIB)

struct memory {
	int fd;
	uint8_t *host; /* low memory, and right behind it high memory */
	uint64_t low, high;
	uint64_t reserved; /* so much of it from its beginning on cannot be wanting any more */
	int room;	   /* os/room.h; -1 once all is reserved */
	bool huge;	   /* reserved in huge pages, where there are any left */
};

/* The host has so much at this moment; none of it is reserved yet. Reads /proc and /sys: before the
 * sandbox. */
int memory_create(struct memory *memory, uint64_t size, struct error *error);
/* That of another program, which goes on being its own until the guest does not; `fd` becomes the
 * memory's unless this fails. Before the sandbox, too. */
int memory_adopt(struct memory *memory, int fd, uint64_t size, struct error *error);

static inline uint64_t memory_size(const struct memory *memory)
{
	return memory->low + memory->high;
}

bool memory_is_reserved(const struct memory *memory);
/* From where another program has come to. -EPROTO: it cannot have. */
int memory_go_on(struct memory *memory, uint64_t reserved);
/* The next piece of what is not reserved yet, which takes a millisecond or so. */
int memory_reserve(struct memory *memory, struct error *error);

/* Where [address, address + length) is in our own mapping; NULL if any of it is not memory. */
void *memory_at(const struct memory *memory, uint64_t address, uint64_t length);

#endif
