/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "mem.h"

struct mem_map {
	size_t count, max;
	struct mem_window windows[]; /* by address; they do not overlap */
};

int mem_create(struct mem_map **map, size_t max_windows)
{
	struct mem_map *made;

	made = calloc(1, sizeof(*made) + max_windows * sizeof(made->windows[0]));
	if (!made)
		return -ENOMEM;
	made->max = max_windows;
	*map = made;
	return 0;
}

void mem_destroy(struct mem_map *map)
{
	free(map);
}

/* Index of the first window that ends after `address`; count if there is none. */
static size_t search(const struct mem_map *map, uint64_t address)
{
	size_t low = 0, high = map->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct mem_window *window = &map->windows[middle];

		if (window->address + (window->size - 1) < address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int mem_add(struct mem_map *map, const struct mem_window *window)
{
	size_t at;

	if (!window->size || range_wraps(window->address, window->size - 1))
		return -EINVAL;
	at = search(map, window->address);
	if (at < map->count && ranges_overlap(window->address, window->size,
					      map->windows[at].address, map->windows[at].size))
		return -EEXIST;
	if (map->count == map->max)
		return -ENOSPC;
	memmove(&map->windows[at + 1], &map->windows[at],
		(map->count - at) * sizeof(map->windows[0]));
	map->windows[at] = *window;
	map->count++;
	return 0;
}

int mem_remove(struct mem_map *map, uint64_t address, uint64_t size, struct mem_window *removed)
{
	size_t at = search(map, address);

	if (at == map->count || map->windows[at].address != address ||
	    map->windows[at].size != size)
		return -ENOENT;
	if (removed)
		*removed = map->windows[at];
	map->count--;
	memmove(&map->windows[at], &map->windows[at + 1],
		(map->count - at) * sizeof(map->windows[0]));
	return 0;
}

size_t mem_count(const struct mem_map *map)
{
	return map->count;
}

const struct mem_window *mem_window_at(const struct mem_map *map, size_t index)
{
	return &map->windows[index];
}

int mem_view(const struct mem_map *map, uint64_t address, uint64_t length, unsigned access,
	     struct mem_view *view)
{
	const struct mem_window *window;
	uint64_t offset;
	size_t at;

	if (!length || range_wraps(address, length - 1))
		return -EFAULT;
	at = search(map, address);
	if (at == map->count)
		return -EFAULT;
	window = &map->windows[at];
	if (window->address > address || (window->access & access) != access)
		return -EFAULT;
	offset = address - window->address;
	view->host = window->host ? window->host + offset : NULL;
	view->length = min_u64(length, window->size - offset);
	return 0;
}

/* One of `to` and `from` is NULL. */
static int copy(const struct mem_map *map, uint64_t address, uint8_t *to, const uint8_t *from,
		uint64_t length)
{
	while (length) {
		struct mem_view view;
		int ret = mem_view(map, address, length, to ? MEM_READ : MEM_WRITE, &view);

		if (ret < 0)
			return ret;
		if (!view.host)
			return -EREMOTE;
		if (to) {
			memcpy(to, view.host, view.length);
			to += view.length;
		} else {
			memcpy(view.host, from, view.length);
			from += view.length;
		}
		address += view.length;
		length -= view.length;
	}
	return 0;
}

int mem_read(const struct mem_map *map, uint64_t address, void *to, uint64_t length)
{
	return copy(map, address, to, NULL, length);
}

int mem_write(const struct mem_map *map, uint64_t address, const void *from, uint64_t length)
{
	return copy(map, address, NULL, from, length);
}
