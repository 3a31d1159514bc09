/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory as a device may see it: windows of the guest's physical addresses. The only way to
 * guest memory is (address, length) -> checked view. The map is handed ranges that are mapped
 * already; it maps and frees nothing. One thread owns a map.
 */
#ifndef KARUTA_MEM_MEM_H
#define KARUTA_MEM_MEM_H

#include <stddef.h>
#include <stdint.h>

#define MEM_READ  1u /* the device may read */
#define MEM_WRITE 2u /* the device may write */

struct mem_window {
	uint64_t address; /* guest physical */
	uint64_t size;	  /* > 0; the last byte is at most at 2^64 - 1 */
	unsigned access;  /* MEM_READ | MEM_WRITE */
	uint8_t *host;	  /* where it is mapped; NULL: only the peer can reach it, by messages */
};

struct mem_map;

/* A piece of guest memory that was found to be in order. Valid until the map changes. */
struct mem_view {
	uint8_t *host; /* NULL: only the peer can reach it, by messages */
	uint64_t length;
};

/* At most `max_windows` windows. */
int mem_create(struct mem_map **map, size_t max_windows);
void mem_destroy(struct mem_map *map);

/* -EINVAL: size 0 or wrap-around; -EEXIST: overlaps a window; -ENOSPC: too many. */
int mem_add(struct mem_map *map, const struct mem_window *window);
/* Exactly one window: -ENOENT otherwise. The removed window is copied to *removed unless that is
 * NULL. */
int mem_remove(struct mem_map *map, uint64_t address, uint64_t size, struct mem_window *removed);
size_t mem_count(const struct mem_map *map);
/* Windows in address order; index < mem_count(). */
const struct mem_window *mem_window_at(const struct mem_map *map, size_t index);

/*
 * The longest piece of [address, address + length) from its start that lies in one window and
 * allows `access`; view->length is 1 .. length. 0 or -EFAULT (no such window, access not allowed,
 * length 0, wrap-around).
 */
int mem_view(const struct mem_map *map, uint64_t address, uint64_t length, unsigned access,
	     struct mem_view *view);

/*
 * Copies from or to guest memory across windows. -EFAULT: some byte is not reachable (what was
 * copied before it stays copied). -EREMOTE: some of it is reachable by messages only.
 */
int mem_read(const struct mem_map *map, uint64_t address, void *to, uint64_t length);
int mem_write(const struct mem_map *map, uint64_t address, const void *from, uint64_t length);

#endif
