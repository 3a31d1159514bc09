/* SPDX-License-Identifier: Apache-2.0 */
#include "json_in.h"

#include <string.h>
#include <strings.h>

#include "http_query.h"
#include "name.h"

/* ---- a whole text ---- */

/*
 * Before anything is made of it: how deep it is and, at most, how many values it has. A text that
 * is no JSON may be counted wrongly, and is refused by the parser then.
 */
static bool is_small(const char *text, size_t length)
{
	unsigned depth = 0, values = 1;
	bool within = false;

	for (size_t i = 0; i < length; i++) {
		char c = text[i];

		if (within && c == '\\')
			i++;
		else if (c == '"')
			within = !within;
		else if (!within && (c == '{' || c == '['))
			depth++, values++;
		else if (!within && (c == '}' || c == ']') && depth)
			depth--;
		else if (!within && c == ',')
			values++;
		if (depth > JSON_IN_DEPTH || values > JSON_IN_VALUES)
			return false;
	}
	return true;
}

json_t *json_in_parse(const char *text, size_t length, struct problem *problem)
{
	json_error_t error;
	json_t *parsed;

	if (!is_small(text, length)) {
		problem_set(problem, 413, "body-too-large", NULL, NULL,
			    "the body has more than %u values, or is more than %u deep",
			    JSON_IN_VALUES, JSON_IN_DEPTH);
		return NULL;
	}
	parsed = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
	if (parsed && json_is_object(parsed))
		return parsed;
	if (parsed)
		problem_set(problem, 422, "invalid", NULL, NULL, "the body is not a JSON object");
	else
		problem_set(problem, 400, "bad-json", NULL, NULL,
			    "the body is not JSON: line %d, column %d: %s", error.line,
			    error.column, error.text);
	json_decref(parsed);
	return NULL;
}

/* RFC 8259, 11, and RFC 7396, 4; parameters do not matter. */
static bool is_json(const char *type)
{
	static const char *const types[] = {"application/json", "application/merge-patch+json"};
	size_t length = type ? strcspn(type, "; ") : 0;

	for (size_t i = 0; type && i < sizeof(types) / sizeof(types[0]); i++) {
		if (length == strlen(types[i]) && strncasecmp(type, types[i], length) == 0)
			return true;
	}
	return false;
}

json_t *json_in_body(const struct http_exchange *exchange, struct problem *problem)
{
	if (is_json(http_header(exchange, "Content-Type")))
		return json_in_parse(exchange->body, exchange->body_length, problem);
	problem_set(problem, 415, "not-json", NULL, "send it with Content-Type: application/json",
		    "the body is not said to be JSON");
	return NULL;
}

/* ---- members ---- */

static int refuse(struct problem *problem, const char *where, const char *member, const char *what)
{
	return problem_set(problem, 422, "invalid", NULL, NULL, "%s%s%.64s %s", where,
			   *where ? "." : "", member, what);
}

int json_in_members(const json_t *object, const char *where, const char *const *known,
		    struct problem *problem)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)object, name, value)
	{
		const char *const *at = known;

		while (*at && strcmp(*at, name) != 0)
			at++;
		if (!*at)
			return refuse(problem, where, name, "is not known here");
	}
	return 0;
}

/* 1: it is there. */
static int find(const json_t *object, const char *where, const char *member, bool required,
		const json_t **value, struct problem *problem)
{
	*value = json_object_get(object, member);
	if (*value)
		return 1;
	return required ? refuse(problem, where, member, "is missing") : 0;
}

/* Each line by itself; without `lines` there is one. */
static bool is_printable(const char *text, size_t length, bool lines)
{
	while (lines) {
		const char *end = memchr(text, '\n', length);
		size_t line = end ? (size_t)(end - text) : length;

		if (!end)
			break;
		if (!http_text_is_printable(text, line - (line && text[line - 1] == '\r')))
			return false;
		text += line + 1;
		length -= line + 1;
	}
	return http_text_is_printable(text, length);
}

static int take_text(const json_t *object, const char *where, const char *member, bool required,
		     size_t longest, bool lines, const char **value, struct problem *problem)
{
	const json_t *found;
	int ret = find(object, where, member, required, &found, problem);

	if (ret <= 0)
		return ret;
	if (!json_is_string(found))
		return refuse(problem, where, member, "is to be a text");
	if (json_string_length(found) > longest)
		return refuse(problem, where, member, "is too long");
	if (!is_printable(json_string_value(found), json_string_length(found), lines))
		return refuse(problem, where, member, "has characters that cannot be printed");
	*value = json_string_value(found);
	return 0;
}

int json_in_text(const json_t *object, const char *where, const char *member, bool required,
		 size_t longest, const char **value, struct problem *problem)
{
	return take_text(object, where, member, required, longest, false, value, problem);
}

int json_in_lines(const json_t *object, const char *where, const char *member, bool required,
		  size_t longest, const char **value, struct problem *problem)
{
	return take_text(object, where, member, required, longest, true, value, problem);
}

int json_in_name(const json_t *object, const char *where, const char *member, bool required,
		 const char **value, struct problem *problem)
{
	const char *text = NULL;

	if (json_in_text(object, where, member, required, NAME_MOST, &text, problem) < 0)
		return -1;
	if (!text)
		return 0;
	if (!name_is_good(text))
		return refuse(problem, where, member,
			      "is to be a name: letters, digits, '-', '_', '.', '@', with a letter "
			      "or digit first");
	*value = text;
	return 0;
}

int json_in_number(const json_t *object, const char *where, const char *member, bool required,
		   uint64_t least, uint64_t most, uint64_t *value, struct problem *problem)
{
	const json_t *found;
	int ret = find(object, where, member, required, &found, problem);
	json_int_t number;

	if (ret <= 0)
		return ret;
	number = json_integer_value(found);
	if (!json_is_integer(found) || number < 0 || (uint64_t)number < least ||
	    (uint64_t)number > most)
		return problem_set(problem, 422, "invalid", NULL, NULL,
				   "%s%s%s is to be a whole number from %llu to %llu", where,
				   *where ? "." : "", member, (unsigned long long)least,
				   (unsigned long long)most);
	*value = (uint64_t)number;
	return 0;
}

int json_in_flag(const json_t *object, const char *where, const char *member, bool required,
		 bool *value, struct problem *problem)
{
	const json_t *found;
	int ret = find(object, where, member, required, &found, problem);

	if (ret <= 0)
		return ret;
	if (!json_is_boolean(found))
		return refuse(problem, where, member, "is to be true or false");
	*value = json_is_true(found);
	return 0;
}

int json_in_part(const json_t *object, const char *where, const char *member, bool required,
		 json_type type, json_t **value, struct problem *problem)
{
	const json_t *found;
	int ret = find(object, where, member, required, &found, problem);

	if (ret <= 0)
		return ret;
	if (json_typeof(found) != type)
		return refuse(problem, where, member,
			      type == JSON_ARRAY ? "is to be an array" : "is to be an object");
	*value = json_object_get(object, member);
	return 0;
}
