/* SPDX-License-Identifier: Apache-2.0 */
#include "http_query.h"

#include <string.h>

static const char escape[] = "a % that two hexadecimal digits do not follow";
static const char characters[] = "characters that cannot be printed, or that are not UTF-8";

/* ---- UTF-8 ---- */

/* Bytes of the character at `text`, 0 if it is none (RFC 3629, 4: no overlong ones, surrogates, or
 * any past U+10FFFF). */
static size_t character(const unsigned char *text, size_t left, uint32_t *value)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t bytes = text[0] < 0x80	? 1
		       : text[0] < 0xc2 ? 0
		       : text[0] < 0xe0 ? 2
		       : text[0] < 0xf0 ? 3
		       : text[0] < 0xf5 ? 4
					: 0;

	if (bytes == 0 || bytes > left)
		return 0;
	*value = bytes == 1 ? text[0] : text[0] & (0x7fu >> bytes);
	for (size_t i = 1; i < bytes; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
		*value = *value << 6 | (text[i] & 0x3fu);
	}
	if (*value < least[bytes] || *value > 0x10ffff || (*value >= 0xd800 && *value < 0xe000))
		return 0;
	return bytes;
}

bool http_text_is_printable(const char *text, size_t length)
{
	const unsigned char *at = (const unsigned char *)text;
	uint32_t value;

	while (length) {
		size_t bytes = character(at, length, &value);

		if (bytes == 0 || value < 0x20 || (value >= 0x7f && value < 0xa0))
			return false;
		at += bytes;
		length -= bytes;
	}
	return true;
}

/* ---- percent-encoding (RFC 3986, 2.1) ---- */

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* `from` up to `end`, into `to`, which is not behind it. Where the result ends, NULL: refused. */
static char *decode(char *to, const char *from, const char *end, bool plus, const char **why)
{
	const char *begin = to;

	while (from < end) {
		char c = *from++;

		if (c == '%') {
			int high = from < end ? digit(from[0]) : -1;
			int low = high >= 0 && from + 1 < end ? digit(from[1]) : -1;

			if (low < 0) {
				*why = escape;
				return NULL;
			}
			c = (char)(high << 4 | low);
			from += 2;
		} else if (c == '+' && plus) {
			c = ' ';
		}
		*to++ = c;
	}
	if (http_text_is_printable(begin, (size_t)(to - begin)))
		return to;
	*why = characters;
	return NULL;
}

/* ---- path ---- */

/* A segment that means another place, or another number of segments, when it is taken literally. */
static bool segment_is_plain(const char *segment, size_t length)
{
	return !(length == 1 && segment[0] == '.') &&
	       !(length == 2 && segment[0] == '.' && segment[1] == '.') &&
	       !memchr(segment, '/', length);
}

static const char *take_path(char *from, char *end)
{
	char *to = from;
	const char *why = NULL;

	if (from == end || *from != '/')
		return "its path does not begin with /";
	while (from < end) {
		char *next = memchr(from + 1, '/', (size_t)(end - from - 1)), *decoded;

		if (!next)
			next = end;
		if (next == from + 1 && next != end)
			return "its path has an empty part";
		*to = '/';
		decoded = decode(to + 1, from + 1, next, false, &why);
		if (!decoded)
			return why;
		if (!segment_is_plain(to + 1, (size_t)(decoded - to - 1)))
			return "a part of its path is \".\", \"..\", or has a / in it";
		to = decoded;
		from = next;
	}
	*to = '\0';
	return NULL;
}

/* ---- query ---- */

static bool known(const struct http_exchange *exchange, const char *name)
{
	return http_query_find(exchange, name) != NULL;
}

/* name=value up to `end`, where a 0 may be written. */
static const char *take_pair(char *from, char *end, struct http_exchange *exchange)
{
	char *equals = memchr(from, '=', (size_t)(end - from));
	char *value = equals ? equals + 1 : end, *done;
	const char *why = NULL;

	done = decode(from, from, equals ? equals : end, true, &why);
	if (!done)
		return why;
	*done = '\0';
	done = decode(value, value, end, true, &why);
	if (!done)
		return why;
	*done = '\0';
	if (*from == '\0')
		return "a part of its query has no name";
	if (known(exchange, from))
		return "a name comes twice in its query";
	if (exchange->query_count == HTTP_QUERY_MAX)
		return "its query has too many parts";
	exchange->query[exchange->query_count++] = (struct http_query){from, value};
	return NULL;
}

static const char *take_query(char *from, struct http_exchange *exchange)
{
	char *end = from + strlen(from);
	const char *why = NULL;

	while (from < end && !why) {
		char *next = memchr(from, '&', (size_t)(end - from));

		if (!next)
			next = end;
		why = take_pair(from, next, exchange);
		from = next + 1;
	}
	return why;
}

/* ---- all of it ---- */

/* RFC 9112, 3.2.2: a server takes the absolute form too. Where the path begins. */
static char *skip_authority(char *target)
{
	static const char scheme[] = "https://";

	if (strncmp(target, scheme, sizeof(scheme) - 1) != 0)
		return target;
	target += sizeof(scheme) - 1;
	return target + strcspn(target, "/?");
}

const char *http_target_parse(char *target, struct http_exchange *exchange)
{
	char *query;
	const char *why;

	exchange->query_count = 0;
	for (const char *at = target; *at; at++) {
		if (*at <= ' ' || *at > '~' || *at == '#')
			return "it has characters that must be written as %XX";
	}
	target = skip_authority(target);
	exchange->path = target;
	query = strchr(target, '?');
	why = take_path(target, query ? query : target + strlen(target));
	return why || !query ? why : take_query(query + 1, exchange);
}

const char *http_query_find(const struct http_exchange *exchange, const char *name)
{
	for (size_t i = 0; i < exchange->query_count; i++) {
		if (strcmp(exchange->query[i].name, name) == 0)
			return exchange->query[i].value;
	}
	return NULL;
}
