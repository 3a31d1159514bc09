/* SPDX-License-Identifier: Apache-2.0 */
#include "control.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "cbor.h"
#include "enrol.h"

#define TEXT(argument, size)                                                                       \
	{                                                                                          \
		.name = argument, .type = CONTROL_TEXT, .required = true, .most = size             \
	}
#define INSTANCE TEXT("instance", 63)
#define CARD	 TEXT("card", 20)
#define IMAGE	 TEXT("image", 63)
#define KEYS                                                                                       \
	{                                                                                          \
		.name = "keys", .type = CONTROL_KEYS                                               \
	}

/* Arguments stand in the order of their encoding: shorter names first, then by their bytes (RFC
 * 8949, 4.2.1). */
const struct control_verb control_verbs[] = {
	{"list",
	 "all instances of the host; with what their cards have counted, if asked for",
	 CONTROL_READER,
	 false,
	 1,
	 {{.name = "counters", .type = CONTROL_FLAG}}},
	{"status", "what an instance and its cards do", CONTROL_READER, false, 1, {INSTANCE}},
	{"events",
	 "security events with a number above since",
	 CONTROL_READER,
	 false,
	 1,
	 {{.name = "since", .type = CONTROL_NUMBER, .most = INT64_MAX}}},
	{"host", "what the host is and has", CONTROL_READER, false, 0, {{0}}},
	{"evidence",
	 "what the host has measured; quoted by its TPM, with the nonce, if it has one",
	 CONTROL_READER,
	 false,
	 1,
	 {TEXT("nonce", 128)}},
	{"console",
	 "what an instance has written to its console, after so many bytes",
	 CONTROL_OPERATOR,
	 false,
	 2,
	 {{.name = "from", .type = CONTROL_NUMBER, .most = INT64_MAX}, INSTANCE}},
	{"audit",
	 "lines of the audit log with a number above since",
	 CONTROL_ADMIN,
	 false,
	 1,
	 {{.name = "since", .type = CONTROL_NUMBER, .most = INT64_MAX}}},
	{"release",
	 "end the host's quarantine, for a reason",
	 CONTROL_ADMIN,
	 true,
	 1,
	 {TEXT("reason", 200)}},
	{"renew-request",
	 "a request for the host's next certificate, for a key that the host makes",
	 CONTROL_ADMIN,
	 false,
	 0,
	 {{0}}},
	{"renew-install",
	 "the certificate for it, in PEM; who connects is shown it from then on",
	 CONTROL_ADMIN,
	 true,
	 1,
	 {TEXT("certificate", ENROL_CERTIFICATE_MAX)}},
	{"wrapping",
	 "the public key that keys for this host are wrapped with",
	 CONTROL_OPERATOR,
	 false,
	 0,
	 {{0}}},
	{"launch",
	 "start an instance; spec is a karuta-instance(5)",
	 CONTROL_OPERATOR,
	 true,
	 2,
	 {KEYS, TEXT("spec", 64u << 10)}},
	{"start",
	 "start one again that was stopped, has failed or waits for keys",
	 CONTROL_OPERATOR,
	 true,
	 2,
	 {KEYS, INSTANCE}},
	{"forget", "one that does not run, for good", CONTROL_OPERATOR, true, 1, {INSTANCE}},
	{"attach",
	 "put a card into a slot; card is one of a karuta-instance(5)",
	 CONTROL_OPERATOR,
	 true,
	 3,
	 {TEXT("card", 8u << 10), KEYS, INSTANCE}},
	{"detach",
	 "take a card out",
	 CONTROL_OPERATOR,
	 true,
	 4,
	 {CARD,
	  {.name = "force", .type = CONTROL_FLAG},
	  {.name = "timeout", .type = CONTROL_NUMBER, .most = 3600},
	  INSTANCE}},
	{"update",
	 "let the installed program serve a card, or be the hypervisor",
	 CONTROL_OPERATOR,
	 true,
	 3,
	 {{.name = "card", .type = CONTROL_TEXT, .most = 20},
	  INSTANCE,
	  {.name = "hypervisor", .type = CONTROL_FLAG}}},
	{"update-host",
	 "move the host to the installed release; part=controller: that alone",
	 CONTROL_ADMIN,
	 true,
	 1,
	 {{.name = "part", .type = CONTROL_TEXT, .most = 16}}},
	{"resize",
	 "give a volume another size, in bytes",
	 CONTROL_OPERATOR,
	 true,
	 3,
	 {CARD,
	  {.name = "size", .type = CONTROL_NUMBER, .required = true, .most = INT64_MAX},
	  INSTANCE}},
	{"make-volume",
	 "a new volume of so many bytes: empty, or an image's root encrypted with key 3",
	 CONTROL_OPERATOR,
	 true,
	 4,
	 {TEXT("file", 255),
	  KEYS,
	  {.name = "size", .type = CONTROL_NUMBER, .required = true, .most = INT64_MAX},
	  {.name = "image", .type = CONTROL_TEXT, .most = 63}}},
	{"copy-volume",
	 "a new volume that is a copy of one that no instance has",
	 CONTROL_OPERATOR,
	 true,
	 2,
	 {TEXT("file", 255), TEXT("from", 255)}},
	{"grow-volume",
	 "a volume that no instance has gets at least so many bytes",
	 CONTROL_OPERATOR,
	 true,
	 2,
	 {TEXT("file", 255),
	  {.name = "size", .type = CONTROL_NUMBER, .required = true, .most = INT64_MAX}}},
	{"delete-volume",
	 "a volume that no instance has, for good",
	 CONTROL_OPERATOR,
	 true,
	 1,
	 {TEXT("file", 255)}},
	{"images",
	 "images of the host, and what there is of each",
	 CONTROL_READER,
	 false,
	 0,
	 {{0}}},
	{"write-image",
	 "bytes of a part (kernel, initrd, root) of an image that is not finished",
	 CONTROL_OPERATOR,
	 false,
	 4,
	 {{.name = "data", .type = CONTROL_BYTES, .required = true, .most = CONTROL_DATA_MAX},
	  TEXT("part", 8),
	  IMAGE,
	  {.name = "offset", .type = CONTROL_NUMBER, .required = true, .most = INT64_MAX}}},
	{"finish-image",
	 "an image is whole; digests has size and sha384 of each part, as JSON",
	 CONTROL_OPERATOR,
	 true,
	 2,
	 {IMAGE, TEXT("digests", 1024)}},
	{"delete-image", "an image, finished or not, for good", CONTROL_OPERATOR, true, 1, {IMAGE}},
	{"snapshot",
	 "a new file that is what a volume is at one instant",
	 CONTROL_OPERATOR,
	 true,
	 3,
	 {CARD, TEXT("file", 255), INSTANCE}},
	{"stop", "press the power button, wait for the end", CONTROL_OPERATOR, true, 1, {INSTANCE}},
	{"kill", "pull the plug", CONTROL_OPERATOR, true, 1, {INSTANCE}},
	{"reset", "press the reset button", CONTROL_OPERATOR, true, 1, {INSTANCE}},
	{"pause", "stop the guest's processors", CONTROL_OPERATOR, true, 1, {INSTANCE}},
	{"resume", "let them run on", CONTROL_OPERATOR, true, 1, {INSTANCE}},
	{.name = NULL},
};

static const struct control_verb *find_verb(const struct control_verb *verbs, const char *name,
					    size_t length)
{
	for (const struct control_verb *verb = verbs; verb->name; verb++) {
		if (strlen(verb->name) == length && !memcmp(verb->name, name, length))
			return verb;
	}
	return NULL;
}

const struct control_verb *control_verb_find(const char *name, size_t length)
{
	return find_verb(control_verbs, name, length);
}

const struct control_value *control_value_find(const struct control_request *request,
					       const char *name)
{
	for (size_t i = 0; i < request->verb->argument_count; i++) {
		if (!strcmp(request->verb->arguments[i].name, name))
			return request->values[i].given ? &request->values[i] : NULL;
	}
	return NULL;
}

ssize_t control_length(const uint8_t head[CONTROL_HEAD_SIZE], size_t most)
{
	size_t length =
		(size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];

	return length && length <= most ? (ssize_t)length : -EMSGSIZE;
}

void control_put_length(uint8_t head[CONTROL_HEAD_SIZE], size_t length)
{
	for (unsigned i = 0; i < CONTROL_HEAD_SIZE; i++)
		head[i] = (uint8_t)(length >> (8 * (CONTROL_HEAD_SIZE - 1 - i)));
}

/* ---- requests ---- */

static bool read_id(struct cursor *cursor, uint8_t id[CONTROL_ID_SIZE])
{
	size_t length;
	const uint8_t *bytes = cbor_read_bytes(cursor, &length);

	if (!bytes || length != CONTROL_ID_SIZE) {
		cursor->failed = true;
		return false;
	}
	memcpy(id, bytes, CONTROL_ID_SIZE);
	return true;
}

static void read_verb(struct cursor *cursor, const struct control_verb *verbs,
		      struct control_request *request)
{
	size_t length;
	const char *name = cbor_read_text(cursor, &length);

	if (!name)
		return;
	request->verb = find_verb(verbs, name, length);
	snprintf(request->verb_name, sizeof(request->verb_name), "%.*s",
		 (int)min_u64(length, CONTROL_VERB_MAX), name);
}

static int read_keys(struct cursor *cursor, struct control_request *request, struct error *error)
{
	uint64_t count = cbor_read_map(cursor), last = 0;

	if (count > CONTROL_KEYS_MAX)
		return error_set(error, EINVAL, "keys: more than %u", CONTROL_KEYS_MAX);
	for (uint64_t i = 0; i < count; i++) {
		struct control_key *key = &request->keys[i];

		key->number = cbor_read_number(cursor);
		key->bytes = cbor_read_bytes(cursor, &key->length);
		if (!cursor->failed && i && key->number <= last)
			return error_set(error, EINVAL, "keys: twice, or not in order");
		if (key->length > CONTROL_KEY_MAX + CONTROL_WRAP_SIZE)
			return error_set(error, EINVAL, "keys: one is longer than %u bytes",
					 CONTROL_KEY_MAX + CONTROL_WRAP_SIZE);
		last = key->number;
	}
	request->key_count = count;
	return 0;
}

static int read_value(struct cursor *cursor, struct control_request *request, size_t index,
		      struct error *error)
{
	const struct control_argument *argument = &request->verb->arguments[index];
	struct control_value *value = &request->values[index];

	value->given = true;
	switch (argument->type) {
	case CONTROL_TEXT:
		value->text = cbor_read_text(cursor, &value->length);
		break;
	case CONTROL_NUMBER:
		value->number = cbor_read_number(cursor);
		break;
	case CONTROL_BYTES:
		value->text = (const char *)cbor_read_bytes(cursor, &value->length);
		break;
	case CONTROL_FLAG:
		value->number = cbor_read_flag(cursor);
		return 0;
	case CONTROL_KEYS:
		return read_keys(cursor, request, error);
	}
	if (value->length > argument->most || value->number > argument->most)
		return error_set(error, EINVAL, "%s: at most %llu%s", argument->name,
				 (unsigned long long)argument->most,
				 argument->type == CONTROL_NUMBER ? "" : " bytes");
	return 0;
}

static int read_arguments(struct cursor *cursor, struct control_request *request,
			  struct error *error)
{
	const struct control_verb *verb = request->verb;
	uint64_t pairs = cbor_read_map(cursor);
	size_t next = 0;
	int ret = 0;

	while (ret == 0 && pairs-- && !cursor->failed) {
		size_t length;
		const char *name = cbor_read_text(cursor, &length);

		/* In the list's order, so that none comes twice. */
		while (name && next < verb->argument_count &&
		       (strlen(verb->arguments[next].name) != length ||
			memcmp(verb->arguments[next].name, name, length) != 0))
			next++;
		if (name && next == verb->argument_count)
			return error_set(error, EINVAL,
					 "%s: %.*s: no such argument, or not in order", verb->name,
					 (int)min_u64(length, 32), name);
		ret = name ? read_value(cursor, request, next++, error) : 0;
	}
	return ret;
}

static int check_given(const struct control_request *request, struct error *error)
{
	const struct control_verb *verb = request->verb;

	for (size_t i = 0; i < verb->argument_count; i++) {
		if (verb->arguments[i].required && !request->values[i].given)
			return error_set(error, EINVAL, "%s: %s is missing", verb->name,
					 verb->arguments[i].name);
	}
	return 0;
}

int control_request_decode_of(const struct control_verb *verbs, struct control_request *request,
			      const uint8_t *bytes, size_t length, struct error *error)
{
	struct cursor cursor = cursor_make(bytes, length);
	int ret;

	memset(request, 0, sizeof(*request));
	if (cbor_read_array(&cursor) != 3)
		cursor.failed = true;
	request->has_id = read_id(&cursor, request->id);
	read_verb(&cursor, verbs, request);
	if (!cursor.failed && !request->verb)
		return error_set(error, ENOSYS, "there is no verb %s", request->verb_name);
	ret = cursor.failed ? 0 : read_arguments(&cursor, request, error);
	if (ret == 0 && (cursor.failed || cursor.left))
		ret = error_set(error, EBADMSG, "not a request");
	return ret < 0 ? ret : check_given(request, error);
}

int control_request_decode(struct control_request *request, const uint8_t *bytes, size_t length,
			   struct error *error)
{
	return control_request_decode_of(control_verbs, request, bytes, length, error);
}

static void write_keys(struct writer *writer, const struct control_request *request)
{
	cbor_write_map(writer, request->key_count);
	for (size_t i = 0; i < request->key_count; i++) {
		cbor_write_number(writer, request->keys[i].number);
		cbor_write_bytes(writer, request->keys[i].bytes, request->keys[i].length);
	}
}

static void write_value(struct writer *writer, const struct control_request *request, size_t index)
{
	const struct control_argument *argument = &request->verb->arguments[index];
	const struct control_value *value = &request->values[index];

	cbor_write_text(writer, argument->name, strlen(argument->name));
	switch (argument->type) {
	case CONTROL_TEXT:
		cbor_write_text(writer, value->text, value->length);
		break;
	case CONTROL_NUMBER:
		cbor_write_number(writer, value->number);
		break;
	case CONTROL_BYTES:
		cbor_write_bytes(writer, value->text, value->length);
		break;
	case CONTROL_FLAG:
		cbor_write_flag(writer, value->number);
		break;
	case CONTROL_KEYS:
		write_keys(writer, request);
		break;
	}
}

ssize_t control_request_encode(const struct control_request *request, uint8_t *bytes, size_t size)
{
	struct writer writer = writer_make(bytes, size);
	uint64_t given = 0;

	for (size_t i = 0; i < request->verb->argument_count; i++)
		given += request->values[i].given;
	cbor_write_array(&writer, 3);
	cbor_write_bytes(&writer, request->id, CONTROL_ID_SIZE);
	cbor_write_text(&writer, request->verb->name, strlen(request->verb->name));
	cbor_write_map(&writer, given);
	for (size_t i = 0; i < request->verb->argument_count; i++) {
		if (request->values[i].given)
			write_value(&writer, request, i);
	}
	return writer.failed ? -EMSGSIZE : (ssize_t)(size - writer.left);
}

ssize_t control_request_encode_bare(const struct control_request *request, uint8_t *bytes,
				    size_t size)
{
	struct control_request bare = *request;

	for (size_t i = 0; i < bare.key_count; i++)
		bare.keys[i].length = 0;
	return control_request_encode(&bare, bytes, size);
}

/* ---- answers ---- */

int control_answer_decode(struct control_answer *answer, const uint8_t *bytes, size_t length)
{
	struct cursor cursor = cursor_make(bytes, length);
	uint64_t code;

	memset(answer, 0, sizeof(*answer));
	if (cbor_read_array(&cursor) != 4)
		cursor.failed = true;
	read_id(&cursor, answer->id);
	code = cbor_read_number(&cursor);
	answer->text = cbor_read_text(&cursor, &answer->text_length);
	answer->result = cbor_read_text(&cursor, &answer->result_length);
	if (cursor.failed || cursor.left || code > INT_MAX)
		return -EBADMSG;
	answer->code = (int)code;
	return 0;
}

ssize_t control_answer_encode(const struct control_answer *answer, uint8_t *bytes, size_t size)
{
	struct writer writer = writer_make(bytes, size);

	cbor_write_array(&writer, 4);
	cbor_write_bytes(&writer, answer->id, CONTROL_ID_SIZE);
	cbor_write_number(&writer, (uint64_t)answer->code);
	cbor_write_text(&writer, answer->text, answer->text_length);
	cbor_write_text(&writer, answer->result, answer->result_length);
	return writer.failed ? -EMSGSIZE : (ssize_t)(size - writer.left);
}
