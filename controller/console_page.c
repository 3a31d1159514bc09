/* SPDX-License-Identifier: Apache-2.0 */
#include "console_page.h"

#include <openssl/evp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

static json_t *make(const uint8_t *bytes, size_t length, uint64_t next, bool more, bool ended)
{
	CLEANUP_FREE char *text = malloc(length / 3 * 4 + 5);

	if (!text)
		return NULL;
	EVP_EncodeBlock((unsigned char *)text, bytes, (int)length);
	return json_pack("{s:s,s:I,s:I,s:b,s:b}", "console", text, "from",
			 (json_int_t)(next - length), "next", (json_int_t)next, "more", more,
			 "ended", ended);
}

/* Bytes that follow *position; one that is not a ring, or not yet, has none. */
static size_t read_ring(const struct console_ring *ring, uint64_t *position, void *bytes,
			size_t size)
{
	uint64_t lost = 0;
	int64_t got = ring ? console_read(ring, position, bytes, size, &lost) : 0;

	return got > 0 ? (size_t)got : 0;
}

static bool is_ahead(const struct console_ring *ring, uint64_t position)
{
	return ring && position > atomic_load(&ring->written);
}

json_t *console_page_of_ring(const struct console_ring *ring, uint64_t from)
{
	CLEANUP_FREE uint8_t *bytes = malloc(CONSOLE_PAGE);
	uint64_t position = is_ahead(ring, from) ? 0 : from, beyond;
	size_t length;
	uint8_t byte;

	if (!bytes)
		return NULL;
	length = read_ring(ring, &position, bytes, CONSOLE_PAGE);
	beyond = position;
	return make(bytes, length, position, read_ring(ring, &beyond, &byte, 1) > 0, false);
}

json_t *console_page_of_rest(const struct console_rest *rest, uint64_t from)
{
	uint64_t first = rest->end - rest->length;
	uint64_t begin = from > rest->end ? first : max_u64(from, first);
	size_t length = (size_t)(rest->end - begin);
	const uint8_t *bytes = length ? rest->bytes + (rest->length - length) : NULL;

	return make(bytes, length, rest->end, false, true);
}

void console_rest_keep(struct console_rest *rest, const struct console_ring *ring)
{
	uint64_t written = ring ? atomic_load(&ring->written) : 0;
	uint64_t position = written > CONSOLE_REST ? written - CONSOLE_REST : 0;

	console_rest_free(rest);
	rest->bytes = malloc(CONSOLE_REST);
	if (rest->bytes)
		rest->length = read_ring(ring, &position, rest->bytes, CONSOLE_REST);
	rest->end = rest->length ? position : 0;
}

void console_rest_free(struct console_rest *rest)
{
	free(rest->bytes);
	*rest = (struct console_rest){0};
}
