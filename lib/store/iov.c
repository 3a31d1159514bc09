/* SPDX-License-Identifier: Apache-2.0 */
#include "iov.h"

#include <string.h>

#include "base/base.h"

/* A piece that is used up is left behind. */
static void settle(struct store_cursor *cursor)
{
	if (cursor->skip == cursor->piece->iov_len) {
		cursor->piece++;
		cursor->skip = 0;
	}
}

struct store_cursor store_cursor_at(const struct iovec *iov, uint64_t offset)
{
	struct store_cursor cursor = {.piece = iov};

	store_cursor_advance(&cursor, offset);
	return cursor;
}

/* How much of the next `length` bytes lies in the present piece; skips empty pieces. */
static size_t step(struct store_cursor *cursor, uint64_t length)
{
	while (cursor->piece->iov_len == 0)
		cursor->piece++;
	return (size_t)min_u64(length, cursor->piece->iov_len - cursor->skip);
}

static uint8_t *next_bytes(const struct store_cursor *cursor)
{
	return (uint8_t *)cursor->piece->iov_base + cursor->skip;
}

void store_cursor_advance(struct store_cursor *cursor, uint64_t length)
{
	while (length) {
		size_t part = step(cursor, length);

		cursor->skip += part;
		length -= part;
		settle(cursor);
	}
}

void *store_cursor_whole(const struct store_cursor *cursor, size_t length)
{
	struct store_cursor probe = *cursor;

	return step(&probe, length) == length ? next_bytes(&probe) : NULL;
}

void store_cursor_gather(struct store_cursor *cursor, void *to, size_t length)
{
	uint8_t *at = to;

	while (length) {
		size_t part = step(cursor, length);

		memcpy(at, next_bytes(cursor), part);
		store_cursor_advance(cursor, part);
		at += part;
		length -= part;
	}
}

void store_cursor_scatter(struct store_cursor *cursor, const void *from, size_t length)
{
	const uint8_t *at = from;

	while (length) {
		size_t part = step(cursor, length);

		if (at) {
			memcpy(next_bytes(cursor), at, part);
			at += part;
		} else {
			memset(next_bytes(cursor), 0, part);
		}
		store_cursor_advance(cursor, part);
		length -= part;
	}
}
