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
 * Bytes first, then the count, CONSOLE_BURST at a time: a reader keeps that far away from the
 * oldest byte, which may be overwritten already. One that falls behind further finds out because
 * the count has moved on.
 */
void console_write(struct console_ring *ring, const void *bytes, size_t length)
{
	uint64_t written = atomic_load_explicit(&ring->written, memory_order_relaxed);
	const uint8_t *from = bytes;

	while (length) {
		size_t burst = min_u64(length, CONSOLE_BURST);

		for (size_t i = 0; i < burst; i++)
			ring->data[(written + i) % CONSOLE_DATA] = from[i];
		written += burst;
		from += burst;
		length -= burst;
		atomic_store_explicit(&ring->written, written, memory_order_release);
		/* The next burst must not be seen before this count. */
		atomic_thread_fence(memory_order_release);
	}
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
	if (written - *position > CONSOLE_KEPT) {
		*lost += written - CONSOLE_KEPT - *position;
		*position = written - CONSOLE_KEPT;
	}
	length = min_u64(written - *position, size);
	copy_out(ring, *position, buffer, length);
	/* Was any of it overwritten while it was copied? Then what remains whole is the tail. */
	atomic_thread_fence(memory_order_acquire);
	after = atomic_load_explicit(&ring->written, memory_order_relaxed);
	if (after - *position > CONSOLE_KEPT) {
		uint64_t torn = min_u64(after - CONSOLE_KEPT - *position, length);

		*lost += torn;
		length -= torn;
		memmove(buffer, (uint8_t *)buffer + torn, length);
		*position += torn;
	}
	*position += length;
	return (int64_t)length;
}
