/* SPDX-License-Identifier: Apache-2.0 */
#include "cbor.h"

/* Major types (RFC 8949, 3.1). */
enum major {
	NUMBER = 0,
	BYTES = 2,
	TEXT = 3,
	ARRAY = 4,
	MAP = 5,
	SIMPLE = 7,
};

#define SIMPLE_FALSE 20u
#define SIMPLE_TRUE  21u

static uint64_t fail(struct cursor *cursor)
{
	cursor->failed = true;
	return 0;
}

static uint64_t read_big_endian(struct cursor *cursor, unsigned length)
{
	uint64_t value = 0;

	while (length--)
		value = value << 8 | cursor_u8(cursor);
	return value;
}

/* The argument of an item's head; it fits into no shorter form (4.2.1). */
static uint64_t read_head(struct cursor *cursor, enum major major)
{
	uint8_t first = cursor_u8(cursor), info = first & 0x1f;
	uint64_t value;

	if (cursor->failed || first >> 5 != major || info > 27)
		return fail(cursor);
	if (info < 24)
		return info;
	value = read_big_endian(cursor, 1u << (info - 24));
	if (value < (info == 24 ? 24u : UINT64_C(1) << (8 << (info - 25))))
		return fail(cursor);
	return value;
}

uint64_t cbor_read_number(struct cursor *cursor)
{
	return read_head(cursor, NUMBER);
}

bool cbor_read_flag(struct cursor *cursor)
{
	uint64_t value = read_head(cursor, SIMPLE);

	if (value != SIMPLE_FALSE && value != SIMPLE_TRUE)
		fail(cursor);
	return value == SIMPLE_TRUE && !cursor->failed;
}

static const uint8_t *read_string(struct cursor *cursor, enum major major, size_t *length)
{
	uint64_t size = read_head(cursor, major);
	const uint8_t *bytes;

	*length = 0;
	if (cursor->failed)
		return NULL;
	bytes = cursor_take(cursor, size);
	*length = bytes ? size : 0;
	return bytes;
}

const uint8_t *cbor_read_bytes(struct cursor *cursor, size_t *length)
{
	return read_string(cursor, BYTES, length);
}

/* Length of the character that begins there, or 0: none does (RFC 3629, 4). */
static size_t character(const uint8_t *at, size_t left)
{
	size_t length = at[0] < 0x80 ? 1 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;

	if (at[0] == 0 || (at[0] >= 0x80 && at[0] < 0xc2) || at[0] > 0xf4 || length > left)
		return 0;
	for (size_t i = 1; i < length; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	}
	/* Too long a form, a surrogate, beyond the last one. */
	if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) ||
	    (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f))
		return 0;
	return length;
}

bool cbor_text_is_valid(const char *text, size_t length)
{
	const uint8_t *at = (const uint8_t *)text;

	while (length) {
		size_t step = character(at, length);

		if (!step)
			return false;
		at += step;
		length -= step;
	}
	return true;
}

const char *cbor_read_text(struct cursor *cursor, size_t *length)
{
	const char *text = (const char *)read_string(cursor, TEXT, length);

	if (text && cbor_text_is_valid(text, *length))
		return text;
	fail(cursor);
	*length = 0;
	return NULL;
}

uint64_t cbor_read_array(struct cursor *cursor)
{
	return read_head(cursor, ARRAY);
}

uint64_t cbor_read_map(struct cursor *cursor)
{
	return read_head(cursor, MAP);
}

static void write_head(struct writer *writer, enum major major, uint64_t value)
{
	unsigned info = value < 24	      ? 0
			: value <= UINT8_MAX  ? 24
			: value <= UINT16_MAX ? 25
			: value <= UINT32_MAX ? 26
					      : 27;
	unsigned length = info ? 1u << (info - 24) : 0;

	writer_u8(writer, (uint8_t)((unsigned)major << 5 | (info ? info : (unsigned)value)));
	while (length--)
		writer_u8(writer, (uint8_t)(value >> (8 * length)));
}

void cbor_write_number(struct writer *writer, uint64_t number)
{
	write_head(writer, NUMBER, number);
}

void cbor_write_flag(struct writer *writer, bool flag)
{
	write_head(writer, SIMPLE, flag ? SIMPLE_TRUE : SIMPLE_FALSE);
}

void cbor_write_bytes(struct writer *writer, const void *bytes, size_t length)
{
	write_head(writer, BYTES, length);
	writer_put(writer, bytes, length);
}

void cbor_write_text(struct writer *writer, const char *text, size_t length)
{
	write_head(writer, TEXT, length);
	writer_put(writer, text, length);
}

void cbor_write_array(struct writer *writer, uint64_t items)
{
	write_head(writer, ARRAY, items);
}

void cbor_write_map(struct writer *writer, uint64_t pairs)
{
	write_head(writer, MAP, pairs);
}
