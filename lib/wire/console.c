/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "base/base.h"
#include "console.h"

void console_init(struct console_ring *ring)
{
	ring->magic = CONSOLE_MAGIC;
}

/*
 * Bytes first, then the count. A reader that is a whole ring behind may see bytes change under it;
 * it finds out because the count has moved on by more than the ring.
 */
void console_write(struct console_ring *ring, const void *bytes, size_t length)
{
	uint64_t written = atomic_load_explicit(&ring->written, memory_order_relaxed);
	const uint8_t *from = bytes;

	for (size_t i = 0; i < length; i++)
		ring->data[(written + i) % CONSOLE_DATA] = from[i];
	atomic_store_explicit(&ring->written, written + length, memory_order_release);
}

static void copy_out(const struct console_ring *ring, uint64_t position, uint8_t *to,
		     uint64_t length)
{
	uint64_t start = position % CONSOLE_DATA;
	uint64_t first = min_u64(length, CONSOLE_DATA - start);

	memcpy(to, ring->data + start, first);
	memcpy(to + first, ring->data, length - first);
}

int64_t console_read(const struct console_ring *ring, uint64_t *position, void *buffer, size_t size,
		     uint64_t *lost)
{
	uint64_t written = atomic_load_explicit(&ring->written, memory_order_acquire);
	uint64_t length, after;

	if (ring->magic != CONSOLE_MAGIC || written < *position)
		return -EPROTO;
	if (written - *position > CONSOLE_DATA) {
		*lost += written - CONSOLE_DATA - *position;
		*position = written - CONSOLE_DATA;
	}
	length = min_u64(written - *position, size);
	copy_out(ring, *position, buffer, length);
	/* Was any of it overwritten while it was copied? Then what remains whole is the tail. */
	atomic_thread_fence(memory_order_acquire);
	after = atomic_load_explicit(&ring->written, memory_order_relaxed);
	if (after - *position > CONSOLE_DATA) {
		uint64_t torn = min_u64(after - CONSOLE_DATA - *position, length);

		*lost += torn;
		length -= torn;
		memmove(buffer, (uint8_t *)buffer + torn, length);
		*position += torn;
	}
	*position += length;
	return (int64_t)length;
}
