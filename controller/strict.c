/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "base/name.h"
#include "base/size.h"
#include "strict.h"

/* Names from the file end up on terminals: no control bytes, no endless lines. */
static void printable(char *to, size_t size, const char *from)
{
	size_t i;

	for (i = 0; i + 1 < size && from[i]; i++)
		to[i] = from[i] >= ' ' && from[i] <= '~' ? from[i] : '?';
	to[i] = '\0';
}

int strict_refuse(const struct place *place, const char *member, const char *format, ...)
{
	char text[ERROR_TEXT_SIZE];
	char name[40] = "";
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (member)
		printable(name, sizeof(name), member);
	return error_set(place->error, EINVAL, "%s: %s%s%s%s%s", place->file, place->path,
			 place->path[0] && member ? "." : "", name,
			 place->path[0] || member ? ": " : "", text);
}

int strict_parse(const char *file, const char *bytes, size_t length, json_t **object,
		 struct error *error)
{
	char text[160];
	json_error_t where;
	json_t *json = json_loadb(bytes, length, JSON_REJECT_DUPLICATES, &where);

	if (!json) {
		printable(text, sizeof(text), where.text);
		return error_set(error, EINVAL, "%s:%d:%d: not JSON: %s", file, where.line,
				 where.column, text);
	}
	if (!json_is_object(json)) {
		json_decref(json);
		return error_set(error, EINVAL, "%s: must be one JSON object, { ... }", file);
	}
	*object = json;
	return 0;
}

static bool is_known(const char *member, const char *const *known)
{
	while (*known && strcmp(*known, member))
		known++;
	return *known != NULL;
}

/* "slot, name, kind" */
static void list_known(char *text, size_t size, const char *const *known)
{
	size_t used = 0;

	text[0] = '\0';
	for (; *known && used < size; known++)
		used += (size_t)snprintf(text + used, size - used, "%s%s", used ? ", " : "",
					 *known);
}

int strict_members(const struct place *place, const json_t *object, const char *const *known)
{
	char text[160];
	const char *member;
	json_t *value;

	/* The macro wants a pointer to non-const; nothing is changed. */
	json_object_foreach((json_t *)(uintptr_t)object, member, value)
	{
		if (is_known(member, known))
			continue;
		list_known(text, sizeof(text), known);
		return strict_refuse(place, member, "unknown member; known: %s", text);
	}
	return 0;
}

/* 1 with *value: it is there; 0: it is not and need not be; -EINVAL. */
static int find(const struct place *place, const json_t *object, const char *member, bool required,
		const json_t **value)
{
	*value = json_object_get(object, member);
	if (*value)
		return 1;
	return required ? strict_refuse(place, member, "missing") : 0;
}

int strict_text(const struct place *place, const json_t *object, const char *member, bool required,
		size_t longest, const char **text)
{
	const json_t *value;
	int ret = find(place, object, member, required, &value);

	if (ret <= 0)
		return ret;
	if (!json_is_string(value))
		return strict_refuse(place, member, "must be a text in quotes");
	if (json_string_length(value) > longest)
		return strict_refuse(place, member, "longer than %zu bytes", longest);
	*text = json_string_value(value);
	return 0;
}

int strict_number(const struct place *place, const json_t *object, const char *member,
		  bool required, uint64_t least, uint64_t most, uint64_t *number)
{
	const json_t *value;
	int ret = find(place, object, member, required, &value);

	if (ret <= 0)
		return ret;
	if (!json_is_integer(value))
		return strict_refuse(place, member, "must be a whole number");
	if (json_integer_value(value) < 0 || (uint64_t)json_integer_value(value) < least ||
	    (uint64_t)json_integer_value(value) > most)
		return strict_refuse(place, member, "must be %llu to %llu",
				     (unsigned long long)least, (unsigned long long)most);
	*number = (uint64_t)json_integer_value(value);
	return 0;
}

int strict_size(const struct place *place, const json_t *object, const char *member, bool required,
		uint64_t *bytes)
{
	const json_t *value;
	int ret = find(place, object, member, required, &value);

	if (ret <= 0)
		return ret;
	if (json_is_integer(value) && json_integer_value(value) > 0) {
		*bytes = (uint64_t)json_integer_value(value);
		return 0;
	}
	if (json_is_string(value) && size_above_zero(json_string_value(value), bytes) == 0)
		return 0;
	return strict_refuse(place, member,
			     "must be a size such as \"512M\" or \"10G\" (K, M, G, T), or a "
			     "number of bytes");
}

int strict_name(const struct place *place, const json_t *object, const char *member, bool required,
		size_t longest, const char **name)
{
	const char *text = NULL;
	int ret = strict_text(place, object, member, required, longest, &text);

	if (ret < 0 || !text)
		return ret;
	if (!name_is_valid(text, longest))
		return strict_refuse(place, member,
				     "must be letters, digits, '-', '_', '.', and begin with a "
				     "letter or a digit");
	*name = text;
	return 0;
}

int size_above_zero(const char *text, uint64_t *bytes)
{
	uint64_t value;

	if (size_parse(text, &value) < 0 || !value)
		return -EINVAL;
	*bytes = value;
	return 0;
}

static bool rate_part(const char *text, bool sizes, uint64_t *value)
{
	bool plain = strspn(text, "0123456789") == strlen(text);

	return (sizes || plain) && size_above_zero(text, value) == 0 && *value <= STRICT_RATE_MAX;
}

/* "RATE" or "RATE:BURST" */
static bool rate_parse(const char *text, bool sizes, uint64_t *rate, uint64_t *burst)
{
	const char *colon = strchr(text, ':');
	char first[24];

	if (!colon)
		return rate_part(text, sizes, rate);
	if ((size_t)(colon - text) >= sizeof(first))
		return false;
	snprintf(first, sizeof(first), "%.*s", (int)(colon - text), text);
	return rate_part(first, sizes, rate) && rate_part(colon + 1, sizes, burst);
}

int strict_rate(const struct place *place, const json_t *object, const char *member, bool sizes,
		uint64_t *rate, uint64_t *burst)
{
	const json_t *value;
	int ret = find(place, object, member, false, &value);

	if (ret <= 0)
		return ret;
	*burst = 0;
	if (json_is_integer(value) && json_integer_value(value) > 0 &&
	    json_integer_value(value) <= (json_int_t)STRICT_RATE_MAX) {
		*rate = (uint64_t)json_integer_value(value);
		return 0;
	}
	if (json_is_string(value) && rate_parse(json_string_value(value), sizes, rate, burst))
		return 0;
	return strict_refuse(place, member, "must be %s a second, or with a burst, such as \"%s\"",
			     sizes ? "bytes" : "a number", sizes ? "100M:200M" : "500:2000");
}
