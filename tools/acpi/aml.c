/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "aml.h"

enum {
	OP_NAME = 0x08,
	OP_BYTE = 0x0a,
	OP_WORD = 0x0b,
	OP_DWORD = 0x0c,
	OP_STRING = 0x0d,
	OP_QWORD = 0x0e,
	OP_SCOPE = 0x10,
	OP_BUFFER = 0x11,
	OP_PACKAGE = 0x12,
	OP_METHOD = 0x14,
	OP_EXTENDED = 0x5b,
	OP_REGION = 0x80, /* extended */
	OP_FIELD = 0x81,  /* extended */
	OP_DEVICE = 0x82, /* extended */
	OP_IF = 0xa0,
};

#define LENGTH_BYTES   3u /* all lengths are written in the three-byte form (20.2.4) */
#define SPACE_IO       1u
#define FIELD_DWORD    3u
#define FIXED_BOTH     0x0cu /* minimum and maximum of a window are fixed */
#define WINDOW_WRITES  0x01u
#define INTERRUPT_EDGE 0x03u /* consumer, edge, active high, exclusive */

void aml_bytes(struct aml *aml, const void *bytes, size_t length)
{
	if (aml->failed || length > aml->size - aml->used) {
		aml->failed = true;
		return;
	}
	memcpy(aml->bytes + aml->used, bytes, length);
	aml->used += length;
}

void aml_byte(struct aml *aml, unsigned byte)
{
	uint8_t value = (uint8_t)byte;

	aml_bytes(aml, &value, 1);
}

void aml_word(struct aml *aml, uint16_t value)
{
	aml_bytes(aml, &value, sizeof(value));
}

void aml_dword(struct aml *aml, uint32_t value)
{
	aml_bytes(aml, &value, sizeof(value));
}

void aml_qword(struct aml *aml, uint64_t value)
{
	aml_bytes(aml, &value, sizeof(value));
}

void aml_integer(struct aml *aml, uint64_t value)
{
	if (value <= 1) {
		aml_byte(aml, (unsigned)value); /* ZeroOp, OneOp */
	} else if (value <= UINT8_MAX) {
		aml_byte(aml, OP_BYTE);
		aml_byte(aml, (unsigned)value);
	} else if (value <= UINT16_MAX) {
		aml_byte(aml, OP_WORD);
		aml_word(aml, (uint16_t)value);
	} else if (value <= UINT32_MAX) {
		aml_byte(aml, OP_DWORD);
		aml_dword(aml, (uint32_t)value);
	} else {
		aml_byte(aml, OP_QWORD);
		aml_qword(aml, value);
	}
}

void aml_name(struct aml *aml, const char *name)
{
	aml_bytes(aml, name, strlen(name));
}

/* ---- things with a length ---- */

static void open_length(struct aml *aml)
{
	static const uint8_t room[LENGTH_BYTES];

	if (aml->depth == AML_DEPTH) {
		aml->failed = true;
		return;
	}
	aml->open[aml->depth++] = aml->used;
	aml_bytes(aml, room, sizeof(room));
}

void aml_close(struct aml *aml)
{
	size_t length, at;

	if (aml->failed || !aml->depth)
		return;
	at = aml->open[--aml->depth];
	length = aml->used - at;
	aml->bytes[at] = (uint8_t)(0x80 | (length & 0xf));
	aml->bytes[at + 1] = (uint8_t)(length >> 4);
	aml->bytes[at + 2] = (uint8_t)(length >> 12);
}

void aml_open_scope(struct aml *aml, const char *name)
{
	aml_byte(aml, OP_SCOPE);
	open_length(aml);
	aml_name(aml, name);
}

void aml_open_device(struct aml *aml, const char *name)
{
	aml_byte(aml, OP_EXTENDED);
	aml_byte(aml, OP_DEVICE);
	open_length(aml);
	aml_name(aml, name);
}

void aml_open_method(struct aml *aml, const char *name, unsigned arguments, bool serialized)
{
	aml_byte(aml, OP_METHOD);
	open_length(aml);
	aml_name(aml, name);
	aml_byte(aml, arguments | (serialized ? 8u : 0));
}

void aml_open_if(struct aml *aml)
{
	aml_byte(aml, OP_IF);
	open_length(aml);
}

/* A buffer's size is a term of its own behind its length; the descriptors follow, then an end tag.
 */
void aml_open_resources(struct aml *aml, const char *name)
{
	aml_byte(aml, OP_NAME);
	aml_name(aml, name);
	aml_byte(aml, OP_BUFFER);
	open_length(aml);
	aml_byte(aml, OP_WORD);
	aml_word(aml, 0);
}

void aml_close_resources(struct aml *aml)
{
	size_t start;
	uint16_t size;

	aml_byte(aml, 0x79);
	aml_byte(aml, 0);
	if (aml->failed || !aml->depth)
		return;
	start = aml->open[aml->depth - 1] + LENGTH_BYTES;
	size = (uint16_t)(aml->used - start - 3);
	memcpy(aml->bytes + start + 1, &size, sizeof(size));
	aml_close(aml);
}

/* ---- named things ---- */

void aml_named_integer(struct aml *aml, const char *name, uint64_t value)
{
	aml_byte(aml, OP_NAME);
	aml_name(aml, name);
	aml_integer(aml, value);
}

void aml_named_string(struct aml *aml, const char *name, const char *text)
{
	aml_byte(aml, OP_NAME);
	aml_name(aml, name);
	aml_byte(aml, OP_STRING);
	aml_bytes(aml, text, strlen(text) + 1);
}

static unsigned hex_digit(char digit)
{
	return digit <= '9' ? (unsigned)(digit - '0') : (unsigned)(digit - 'A') + 10;
}

/* Three letters of five bits, four digits of four bits, the most significant byte first (19.3.4).
 */
void aml_named_id(struct aml *aml, const char *name, const char *id)
{
	unsigned letters = (unsigned)(id[0] - '@') << 10 | (unsigned)(id[1] - '@') << 5 |
			   (unsigned)(id[2] - '@');

	aml_byte(aml, OP_NAME);
	aml_name(aml, name);
	aml_byte(aml, OP_DWORD);
	aml_byte(aml, letters >> 8);
	aml_byte(aml, letters & 0xff);
	aml_byte(aml, hex_digit(id[3]) << 4 | hex_digit(id[4]));
	aml_byte(aml, hex_digit(id[5]) << 4 | hex_digit(id[6]));
}

void aml_named_package(struct aml *aml, const char *name, const uint8_t *values, uint8_t count)
{
	aml_byte(aml, OP_NAME);
	aml_name(aml, name);
	aml_byte(aml, OP_PACKAGE);
	open_length(aml);
	aml_byte(aml, count);
	for (unsigned i = 0; i < count; i++)
		aml_integer(aml, values[i]);
	aml_close(aml);
}

void aml_io_registers(struct aml *aml, const char *region, uint16_t port, const char *const *names,
		      size_t count)
{
	aml_byte(aml, OP_EXTENDED);
	aml_byte(aml, OP_REGION);
	aml_name(aml, region);
	aml_byte(aml, SPACE_IO);
	aml_integer(aml, port);
	aml_integer(aml, count * 4);
	aml_byte(aml, OP_EXTENDED);
	aml_byte(aml, OP_FIELD);
	open_length(aml);
	aml_name(aml, region);
	aml_byte(aml, FIELD_DWORD);
	for (size_t i = 0; i < count; i++) {
		aml_name(aml, names[i]);
		aml_byte(aml, 32); /* bits; lengths below 64 take one byte */
	}
	aml_close(aml);
}

/* ---- resource descriptors ---- */

void aml_bus_numbers(struct aml *aml, uint16_t first, uint16_t last)
{
	static const uint8_t head[] = {0x88, 0x0d, 0x00, 0x02, FIXED_BOTH, 0x00};

	aml_bytes(aml, head, sizeof(head));
	aml_word(aml, 0);
	aml_word(aml, first);
	aml_word(aml, last);
	aml_word(aml, 0);
	aml_word(aml, (uint16_t)(last - first + 1));
}

void aml_memory_window(struct aml *aml, uint64_t first, uint64_t size)
{
	static const uint8_t head[AML_WINDOW_HEAD] = {0x8a, 0x2b,	0x00,
						      0x00, FIXED_BOTH, WINDOW_WRITES};

	aml_bytes(aml, head, sizeof(head));
	aml_qword(aml, 0);
	aml_qword(aml, first);
	aml_qword(aml, first + size - 1);
	aml_qword(aml, 0);
	aml_qword(aml, size);
}

void aml_fixed_memory(struct aml *aml, uint32_t address, uint32_t size)
{
	static const uint8_t head[] = {0x86, 0x09, 0x00, 0x01};

	aml_bytes(aml, head, sizeof(head));
	aml_dword(aml, address);
	aml_dword(aml, size);
}

void aml_io_ports(struct aml *aml, uint16_t first, uint8_t count)
{
	aml_byte(aml, 0x47);
	aml_byte(aml, 1); /* all 16 address lines */
	aml_word(aml, first);
	aml_word(aml, first);
	aml_byte(aml, 1);
	aml_byte(aml, count);
}

void aml_interrupt(struct aml *aml, uint32_t gsi)
{
	static const uint8_t head[] = {0x89, 0x06, 0x00, INTERRUPT_EDGE, 0x01};

	aml_bytes(aml, head, sizeof(head));
	aml_dword(aml, gsi);
}
