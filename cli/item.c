/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api.h"
#include "base/base.h"
#include "item.h"
#include "size.h"

const json_t *item_member(const json_t *item, const char *part, const char *name)
{
	return json_object_get(part ? json_object_get(item, part) : item, name);
}

const char *item_text(const json_t *item, const char *part, const char *name)
{
	const char *text = json_string_value(item_member(item, part, name));

	return text && *text ? text : "-";
}

uint64_t item_number(const json_t *item, const char *part, const char *name)
{
	json_int_t number = json_integer_value(item_member(item, part, name));

	return number > 0 ? (uint64_t)number : 0;
}

const char *item_name(const json_t *item)
{
	return item_text(item, "metadata", "name");
}

/* C0, DEL, and C1, which in UTF-8 is C2 80 to C2 9F. */
const char *item_plain(char *to, size_t size, const char *text)
{
	size_t at = 0;

	for (; *text && at + 1 < size; text++, at++) {
		unsigned char byte = (unsigned char)*text, next = (unsigned char)text[1];
		bool c1 = byte == 0xC2 && next >= 0x80 && next < 0xA0;

		to[at] = byte < 0x20 || byte == 0x7F || c1 ? '?' : *text;
		text += c1;
	}
	to[at] = '\0';
	return to;
}

/* ---- for people ---- */

const char *item_size(char text[ITEM_TEXT], const json_t *item, const char *part, const char *name)
{
	char size[SIZE_TEXT];

	if (json_is_integer(item_member(item, part, name)))
		snprintf(text, ITEM_TEXT, "%s", size_format(size, item_number(item, part, name)));
	else
		strcpy(text, "-");
	return text;
}

const char *item_span(char text[ITEM_TEXT], long long seconds)
{
	if (seconds < 0) /* the two clocks differ */
		seconds = 0;
	if (seconds < 120)
		snprintf(text, ITEM_TEXT, "%lld s", seconds);
	else if (seconds < 120 * 60)
		snprintf(text, ITEM_TEXT, "%lld min", seconds / 60);
	else if (seconds < 48 * 3600)
		snprintf(text, ITEM_TEXT, "%lld h", seconds / 3600);
	else
		snprintf(text, ITEM_TEXT, "%lld d", seconds / 86400);
	return text;
}

const char *item_age_at(char text[ITEM_TEXT], const char *rfc3339, time_t now)
{
	struct tm broken = {0};
	const char *end = strptime(rfc3339, "%Y-%m-%dT%H:%M:%S", &broken);

	if (end && *end == '.')
		end += 1 + strspn(end + 1, "0123456789");
	if (!end || strcmp(end, "Z"))
		return strcpy(text, "-");
	return item_span(text, (long long)now - (long long)timegm(&broken));
}

const char *item_age(char text[ITEM_TEXT], const json_t *item, const char *part, const char *name)
{
	return item_age_at(text, item_text(item, part, name), time(NULL));
}

const char *item_labels(char text[ITEM_TEXT], const json_t *item)
{
	json_t *labels = json_object_get(json_object_get(item, "metadata"), "labels"), *value;
	const char *name;
	size_t at = 0;

	strcpy(text, "-");
	json_object_foreach(labels, name, value)
	{
		const char *is = json_string_value(value);

		if (at < ITEM_TEXT)
			at += (size_t)snprintf(text + at, ITEM_TEXT - at, "%s%s=%s", at ? "," : "",
					       name, is ? is : "");
	}
	return text;
}

/* ---- of the command line ---- */

int item_take_labels(const struct invocation *call, const char *option, const char *member,
		     json_t *body, struct error *error)
{
	json_t *labels = NULL;
	const char *text;
	size_t at = 0;

	while ((text = options_next(call, option, &at))) {
		const char *equals = strchr(text, '=');
		CLEANUP_FREE char *name = equals ? strndup(text, (size_t)(equals - text)) : NULL;

		if (!labels)
			json_object_set_new(body, member, labels = json_object());
		if (name && *name && !json_object_set_new(labels, name, json_string(equals + 1)))
			continue;
		error_set(error, EINVAL, "--%s %.80s: wanted is NAME=VALUE", option, text);
		return CLI_USAGE;
	}
	return 0;
}

bool item_print_json(const struct invocation *call, const json_t *answer)
{
	if (!options_value(call, "json"))
		return false;
	json_dumpf(answer, stdout, JSON_INDENT(2));
	putchar('\n');
	return true;
}

int item_delete(struct api *api, const struct invocation *call,
		const struct item_deletion *deletion, struct error *error)
{
	struct api_answer answer = {0};
	char path[API_PATH_MAX] = "", whole[API_PATH_MAX + 32];
	const struct api_request request = {.method = "DELETE", .path = whole};
	int result = api_path(path, deletion->kinds, call->operands[0], NULL, error);

	snprintf(whole, sizeof(whole), "%s%s", path, deletion->query ? deletion->query : "");
	if (!result)
		result = api_try(api, &request, &answer, error);
	if (!result && (answer.status < 200 || answer.status >= 300))
		return api_tell(&answer);
	if (!result && deletion->what && !(answer.body && item_print_json(call, answer.body)))
		printf("%s %s is %s%s\n", deletion->what, call->operands[0],
		       answer.status == 202 ? "being " : "", deletion->done);
	json_decref(answer.body);
	return result;
}

int item_show(struct api *api, const struct invocation *call, const char *kinds, json_t **item,
	      struct error *error)
{
	char path[API_PATH_MAX];
	int result = api_path(path, kinds, call->operands[0], NULL, error);

	if (!result)
		result = api_ask(api, "GET", path, NULL, item, error);
	if (!result && item_print_json(call, *item)) {
		json_decref(*item);
		*item = NULL;
	}
	return result;
}
