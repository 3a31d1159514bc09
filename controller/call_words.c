/* SPDX-License-Identifier: Apache-2.0 */
/*
 *	status web			words in order: the instance, then the card or file
 *	detach web data timeout=20	or by name
 *	launch web.json keys=5:data.key	a document is given as a file, a key by number and file
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/size.h"
#include "call.h"
#include "call/tls.h"

/* An argument that may be longer than this is a document. */
#define WORD_MAX_SIZE 255u

static int find(const struct control_verb *verb, const char *name, size_t length)
{
	for (size_t i = 0; i < verb->argument_count; i++) {
		if (strlen(verb->arguments[i].name) == length &&
		    !memcmp(verb->arguments[i].name, name, length))
			return (int)i;
	}
	return -1;
}

/* What a word without a name is: the first that is wanted and not there. */
static int find_next(const struct control_request *request)
{
	static const char *const order[] = {"instance", "card",	 "file",       "from",
					    "spec",	"since", "nonce",      "reason",
					    "image",	"part",	 "certificate"};

	for (size_t i = 0; i < ARRAY_LEN(order); i++) {
		int index = find(request->verb, order[i], strlen(order[i]));

		if (index >= 0 && !request->values[index].given)
			return index;
	}
	return -1;
}

static int take_document(struct control_value *value, const char *path, uint64_t most,
			 struct error *error)
{
	char *text = malloc(most + 1);
	ssize_t length = text ? tls_read_file(path, text, most + 1, error)
			      : error_set(error, ENOMEM, "out of memory");

	value->text = text;
	value->length = length < 0 ? 0 : (size_t)length;
	return length < 0 ? (int)length : 0;
}

static int take_key(struct control_request *request, const char *text, struct error *error)
{
	struct control_key *key = &request->keys[request->key_count];
	const char *from = text;
	uint8_t *bytes;
	ssize_t length;

	if (request->key_count == CONTROL_KEYS_MAX)
		return error_set(error, EINVAL, "more than %u keys", CONTROL_KEYS_MAX);
	if (size_take(&from, false, &key->number) < 0 || *from != ':')
		return error_set(error, EINVAL, "keys=%s: must be NUMBER:FILE", text);
	if (request->key_count && key[-1].number >= key->number)
		return error_set(error, EINVAL, "keys=%s: give keys in order of their numbers",
				 text);
	bytes = malloc(CONTROL_KEY_MAX + 1);
	if (!bytes)
		return error_set(error, ENOMEM, "out of memory");
	key->bytes = bytes;
	request->key_count++;
	length = tls_read_file(from + 1, bytes, CONTROL_KEY_MAX + 1, error);
	key->length = length < 0 ? 0 : (size_t)length;
	return length < 0 ? (int)length : 0;
}

static int take_text(struct control_value *value, const struct control_argument *argument,
		     const char *text, struct error *error)
{
	if (argument->most > WORD_MAX_SIZE)
		return take_document(value, text, argument->most, error);
	value->text = strdup(text);
	value->length = strlen(text);
	if (!value->text)
		return error_set(error, ENOMEM, "out of memory");
	if (value->length > argument->most)
		return error_set(error, EINVAL, "%s: at most %llu bytes", argument->name,
				 (unsigned long long)argument->most);
	return 0;
}

static int take_value(struct control_request *request, int index, const char *text,
		      struct error *error)
{
	const struct control_argument *argument = &request->verb->arguments[index];
	struct control_value *value = &request->values[index];

	if (value->given && argument->type != CONTROL_KEYS)
		return error_set(error, EINVAL, "%s: is given twice", argument->name);
	value->given = true;
	switch (argument->type) {
	case CONTROL_TEXT:
		return take_text(value, argument, text, error);
	case CONTROL_KEYS:
		return take_key(request, text, error);
	case CONTROL_BYTES:
		return take_document(value, text, argument->most, error);
	case CONTROL_NUMBER:
		if (size_parse(text, &value->number) == 0 && value->number <= argument->most)
			return 0;
		return error_set(error, EINVAL, "%s: must be a number up to %llu", argument->name,
				 (unsigned long long)argument->most);
	case CONTROL_FLAG:
		value->number = !strcmp(text, "true");
		if (value->number || !strcmp(text, "false"))
			return 0;
		return error_set(error, EINVAL, "%s: must be true or false", argument->name);
	}
	return -EINVAL;
}

static int take_word(struct control_request *request, const char *word, struct error *error)
{
	const char *equals = strchr(word, '=');
	int index = equals ? find(request->verb, word, (size_t)(equals - word)) : -1;

	if (index >= 0)
		return take_value(request, index, equals + 1, error);
	index = equals ? -1 : find_next(request);
	if (index < 0)
		return error_set(error, EINVAL, "%s: %s: no such argument", request->verb->name,
				 word);
	return take_value(request, index, word, error);
}

int call_words_read(struct control_request *request, char **words, int count, struct error *error)
{
	const struct control_verb *verb = request->verb;

	for (int i = 0; i < count; i++) {
		int ret = take_word(request, words[i], error);

		if (ret < 0)
			return ret;
	}
	for (size_t i = 0; i < verb->argument_count; i++) {
		if (verb->arguments[i].required && !request->values[i].given)
			return error_set(error, EINVAL, "%s: %s is missing", verb->name,
					 verb->arguments[i].name);
	}
	return 0;
}

void call_words_free(struct control_request *request)
{
	for (size_t i = 0; i < CONTROL_ARGUMENTS_MAX; i++)
		free((void *)(uintptr_t)request->values[i].text);
	for (size_t i = 0; i < request->key_count; i++) {
		explicit_bzero((void *)(uintptr_t)request->keys[i].bytes, CONTROL_KEY_MAX);
		free((void *)(uintptr_t)request->keys[i].bytes);
	}
	*request = (struct control_request){0};
}
