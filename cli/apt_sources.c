/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "apt_sources.h"
#include "base/base.h"
#include "os/fd.h"

#define FILE_MAX (256u << 10)
#define BLANKS	 " \t\n"

static char *copy(const char *text, size_t length)
{
	return text ? strndup(text, length) : NULL;
}

static int add(struct apt_sources *list, struct apt_source source)
{
	if (!source.uri || !source.suite || !source.components || list->count == APT_MAX_SOURCES) {
		free(source.uri);
		free(source.suite);
		free(source.components);
		free(source.signed_by);
		return list->count == APT_MAX_SOURCES ? 0 : -ENOMEM;
	}
	list->at[list->count++] = source;
	return 0;
}

/* ---- one line: deb [options] uri suite component... ---- */

/* The next word within [*at, end); its length, 0 at the end. */
static size_t next_word(const char **at, const char *end, const char **word)
{
	while (*at < end && isspace((unsigned char)**at))
		(*at)++;
	*word = *at;
	while (*at < end && !isspace((unsigned char)**at))
		(*at)++;
	return (size_t)(*at - *word);
}

/* Moves over "[option=value ...]" and finds signed-by in it; false if it has no end. */
static bool skip_options(const char **at, const char *end, const char **signed_by, size_t *length)
{
	static const char key[] = "signed-by=";
	const char *close, *word;
	size_t word_length;

	while (*at < end && isspace((unsigned char)**at))
		(*at)++;
	if (*at == end || **at != '[')
		return true;
	close = memchr(*at, ']', (size_t)(end - *at));
	if (!close)
		return false;
	(*at)++;
	while ((word_length = next_word(at, close, &word))) {
		if (word_length > strlen(key) && !strncmp(word, key, strlen(key))) {
			*signed_by = word + strlen(key);
			*length = word_length - strlen(key);
		}
	}
	*at = close + 1;
	return true;
}

static int parse_line(struct apt_sources *list, const char *at, const char *end)
{
	const char *word, *uri, *suite, *signed_by = NULL, *comment;
	size_t uri_length, suite_length, signed_by_length = 0;

	comment = memchr(at, '#', (size_t)(end - at));
	end = comment ? comment : end;
	if (next_word(&at, end, &word) != 3 || memcmp(word, "deb", 3) ||
	    !skip_options(&at, end, &signed_by, &signed_by_length))
		return 0;
	uri_length = next_word(&at, end, &uri);
	suite_length = next_word(&at, end, &suite);
	while (at < end && isspace((unsigned char)*at))
		at++;
	while (end > at && isspace((unsigned char)end[-1]))
		end--;
	if (!uri_length || !suite_length || at == end)
		return 0;
	return add(list, (struct apt_source){
				 .uri = copy(uri, uri_length),
				 .suite = copy(suite, suite_length),
				 .components = copy(at, (size_t)(end - at)),
				 .signed_by = copy(signed_by, signed_by_length),
			 });
}

int apt_sources_parse_lines(struct apt_sources *list, const char *text)
{
	int result = 0;

	while (*text && !result) {
		const char *end = strchrnul(text, '\n');

		result = parse_line(list, text, end);
		text = *end ? end + 1 : end;
	}
	return result;
}

/* ---- deb822: stanzas of "Field: values", with continuation lines ---- */

enum field { TYPES, URIS, SUITES, COMPONENTS, SIGNED_BY, ENABLED, FIELDS };

static const char *const field_names[FIELDS] = {"Types",      "URIs",	   "Suites",
						"Components", "Signed-By", "Enabled"};

struct stanza {
	char *fields[FIELDS];
};

static void stanza_clear(struct stanza *stanza)
{
	for (size_t i = 0; i < FIELDS; i++) {
		free(stanza->fields[i]);
		stanza->fields[i] = NULL;
	}
}

static bool has_word(const char *text, const char *wanted)
{
	const char *end = text + strlen(text), *word;
	size_t length;

	while ((length = next_word(&text, end, &word))) {
		if (length == strlen(wanted) && !strncasecmp(word, wanted, length))
			return true;
	}
	return false;
}

static bool stanza_counts(const struct stanza *stanza)
{
	const char *enabled = stanza->fields[ENABLED];

	return stanza->fields[TYPES] && stanza->fields[URIS] && stanza->fields[SUITES] &&
	       stanza->fields[COMPONENTS] && has_word(stanza->fields[TYPES], "deb") &&
	       !(enabled && (has_word(enabled, "no") || has_word(enabled, "false")));
}

/* Each URI with each suite. A key that is written out in the file is no key ring's path. */
static int stanza_add(struct apt_sources *list, const struct stanza *stanza)
{
	const char *uris = stanza->fields[URIS], *uri;
	const char *components = stanza->fields[COMPONENTS];
	const char *signed_by = stanza->fields[SIGNED_BY];
	size_t uri_length, suite_length;
	int result = 0;

	if (signed_by && signed_by[0] != '/')
		signed_by = NULL;
	while (!result && (uri_length = next_word(&uris, uris + strlen(uris), &uri))) {
		const char *suites = stanza->fields[SUITES], *suite;

		while (!result &&
		       (suite_length = next_word(&suites, suites + strlen(suites), &suite)))
			result = add(list,
				     (struct apt_source){
					     .uri = copy(uri, uri_length),
					     .suite = copy(suite, suite_length),
					     .components = copy(components, strlen(components)),
					     .signed_by = copy(
						     signed_by,
						     signed_by ? strcspn(signed_by, BLANKS) : 0),
				     });
	}
	return result;
}

static int stanza_end(struct apt_sources *list, struct stanza *stanza)
{
	int result = stanza_counts(stanza) ? stanza_add(list, stanza) : 0;

	stanza_clear(stanza);
	return result;
}

static char *trimmed(const char *at, const char *end)
{
	while (at < end && isspace((unsigned char)*at))
		at++;
	while (end > at && isspace((unsigned char)end[-1]))
		end--;
	return strndup(at, (size_t)(end - at));
}

/* A line of a stanza; *open is the field that a continuation line belongs to. */
static int stanza_line(struct stanza *stanza, enum field *open, const char *at, const char *end)
{
	const char *colon = memchr(at, ':', (size_t)(end - at));
	char *joined;

	if (isspace((unsigned char)*at)) {
		if (*open == FIELDS)
			return 0;
		if (asprintf(&joined, "%s %.*s", stanza->fields[*open], (int)(end - at), at) < 0)
			return -ENOMEM;
		free(stanza->fields[*open]);
		stanza->fields[*open] = joined;
		return 0;
	}
	*open = FIELDS;
	for (size_t i = 0; i < FIELDS && colon; i++) {
		if (strlen(field_names[i]) != (size_t)(colon - at) ||
		    strncasecmp(field_names[i], at, (size_t)(colon - at)))
			continue;
		free(stanza->fields[i]);
		stanza->fields[i] = trimmed(colon + 1, end);
		*open = (enum field)i;
		return stanza->fields[i] ? 0 : -ENOMEM;
	}
	return 0;
}

static bool is_blank(const char *at, const char *end)
{
	while (at < end && isspace((unsigned char)*at))
		at++;
	return at == end;
}

int apt_sources_parse_deb822(struct apt_sources *list, const char *text)
{
	struct stanza stanza = {0};
	enum field open = FIELDS;
	int result = 0;

	while (*text && !result) {
		const char *end = strchrnul(text, '\n');

		if (is_blank(text, end)) {
			result = stanza_end(list, &stanza);
			open = FIELDS;
		} else if (*text != '#') {
			result = stanza_line(&stanza, &open, text, end);
		}
		text = *end ? end + 1 : end;
	}
	if (!result)
		result = stanza_end(list, &stanza);
	stanza_clear(&stanza);
	return result;
}

/* ---- files ---- */

typedef int (*parse_fn)(struct apt_sources *list, const char *text);

/* A file that is not there, or cannot be read, holds nothing. */
static int load_file(struct apt_sources *list, const char *path, parse_fn parse)
{
	CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	CLEANUP_FREE char *text = malloc(FILE_MAX + 1);
	ssize_t length;

	if (!text)
		return -ENOMEM;
	length = fd < 0 ? -1 : os_read_full(fd, text, FILE_MAX);
	if (length < 0)
		return 0;
	text[length] = 0;
	return parse(list, text);
}

static bool ends_with(const char *name, const char *end)
{
	size_t length = strlen(name);

	return length > strlen(end) && !strcmp(name + length - strlen(end), end);
}

static int load_part(struct apt_sources *list, const char *folder, const char *name)
{
	CLEANUP_FREE char *path = NULL;

	if (asprintf(&path, "%s/sources.list.d/%s", folder, name) < 0)
		return -ENOMEM;
	if (ends_with(name, ".list"))
		return load_file(list, path, apt_sources_parse_lines);
	if (ends_with(name, ".sources"))
		return load_file(list, path, apt_sources_parse_deb822);
	return 0;
}

int apt_sources_load(struct apt_sources *list, const char *folder, struct error *error)
{
	CLEANUP_FREE char *main_list = NULL;
	CLEANUP_FREE char *parts = NULL;
	struct dirent **names = NULL;
	int count, result;

	if (asprintf(&main_list, "%s/sources.list", folder) < 0 ||
	    asprintf(&parts, "%s/sources.list.d", folder) < 0)
		return error_set(error, ENOMEM, "out of memory");
	result = load_file(list, main_list, apt_sources_parse_lines);
	count = scandir(parts, &names, NULL, alphasort);
	for (int i = 0; i < count; i++) {
		if (!result)
			result = load_part(list, folder, names[i]->d_name);
		free(names[i]);
	}
	free(names);
	return result ? error_set(error, -result, "%s: %s", folder, strerror(-result)) : 0;
}

void apt_sources_free(struct apt_sources *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free(list->at[i].uri);
		free(list->at[i].suite);
		free(list->at[i].components);
		free(list->at[i].signed_by);
	}
	list->count = 0;
}
