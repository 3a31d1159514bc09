/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading and writing bytes that somebody else chose, without pointer sums. After the first access
 * that does not fit, `failed` is set, every later read gives zero and every later write does
 * nothing: check once, at the end. Integers are little endian.
 */
#ifndef KARUTA_BASE_CURSOR_H
#define KARUTA_BASE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct cursor {
	const uint8_t *at;
	size_t left;
	bool failed;
};

struct writer {
	uint8_t *at;
	size_t left;
	bool failed;
};

static inline struct cursor cursor_make(const void *bytes, size_t length)
{
	return (struct cursor){.at = bytes, .left = length};
}

/* Copies `length` bytes out; zeros when they are not there. */
static inline void cursor_copy(struct cursor *cursor, void *to, size_t length)
{
	if (cursor->failed || length > cursor->left) {
		cursor->failed = true;
		memset(to, 0, length);
		return;
	}
	memcpy(to, cursor->at, length);
	cursor->at += length;
	cursor->left -= length;
}

/* A view of the next `length` bytes, or NULL. The bytes stay the caller's. */
static inline const uint8_t *cursor_take(struct cursor *cursor, size_t length)
{
	const uint8_t *bytes = cursor->at;

	if (cursor->failed || length > cursor->left) {
		cursor->failed = true;
		return NULL;
	}
	cursor->at += length;
	cursor->left -= length;
	return bytes;
}

static inline uint8_t cursor_u8(struct cursor *cursor)
{
	uint8_t value;

	cursor_copy(cursor, &value, sizeof(value));
	return value;
}

static inline uint16_t cursor_u16(struct cursor *cursor)
{
	uint16_t value;

	cursor_copy(cursor, &value, sizeof(value));
	return value;
}

static inline uint32_t cursor_u32(struct cursor *cursor)
{
	uint32_t value;

	cursor_copy(cursor, &value, sizeof(value));
	return value;
}

static inline uint64_t cursor_u64(struct cursor *cursor)
{
	uint64_t value;

	cursor_copy(cursor, &value, sizeof(value));
	return value;
}

static inline struct writer writer_make(void *bytes, size_t length)
{
	return (struct writer){.at = bytes, .left = length};
}

static inline void writer_put(struct writer *writer, const void *from, size_t length)
{
	if (writer->failed || length > writer->left) {
		writer->failed = true;
		return;
	}
	memcpy(writer->at, from, length);
	writer->at += length;
	writer->left -= length;
}

static inline void writer_u8(struct writer *writer, uint8_t value)
{
	writer_put(writer, &value, sizeof(value));
}

static inline void writer_u16(struct writer *writer, uint16_t value)
{
	writer_put(writer, &value, sizeof(value));
}

static inline void writer_u32(struct writer *writer, uint32_t value)
{
	writer_put(writer, &value, sizeof(value));
}

static inline void writer_u64(struct writer *writer, uint64_t value)
{
	writer_put(writer, &value, sizeof(value));
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "a big endian host needs swaps here");

#endif
