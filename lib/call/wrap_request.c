/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "trust/digest.h"
#include "wrap.h"

static bool read_public(const struct control_answer *answer, uint8_t public[WRAP_PUBLIC_SIZE])
{
	json_t *result = json_loadb(answer->result, answer->result_length, 0, NULL);
	const char *text = json_string_value(json_object_get(result, "wrapping"));
	bool done = text && strlen(text) == 2 * WRAP_PUBLIC_SIZE &&
		    trust_unhex(text, 2 * WRAP_PUBLIC_SIZE, public);

	json_decref(result);
	return done;
}

static int wrap_one(const uint8_t public[WRAP_PUBLIC_SIZE], const struct wrap_context *context,
		    const struct control_key *key, struct control_key *to)
{
	uint8_t *wrapped = malloc(CONTROL_KEY_MAX + CONTROL_WRAP_SIZE);
	ssize_t length =
		wrapped ? wrap_close(public, context, key->bytes, key->length, wrapped) : -ENOMEM;

	if (length < 0) {
		free(wrapped);
		return (int)length;
	}
	*to = (struct control_key){
		.number = key->number, .bytes = wrapped, .length = (size_t)length};
	return 0;
}

void wrap_request_free(struct control_request *wrapped)
{
	for (size_t i = 0; i < wrapped->key_count; i++)
		free((void *)(uintptr_t)wrapped->keys[i].bytes);
	wrapped->key_count = 0;
}

int wrap_request(const struct control_request *request, const char *caller,
		 const struct control_answer *answer, struct control_request *wrapped,
		 struct error *error)
{
	struct wrap_context context = {.caller = caller};
	uint8_t public[WRAP_PUBLIC_SIZE];
	int ret;

	*wrapped = *request;
	wrapped->key_count = 0;
	if (!read_public(answer, public))
		return error_set(error, EPROTO, "wrapping: the answer has no key");
	ret = wrap_digest(request, context.request);
	for (size_t i = 0; ret == 0 && i < request->key_count; i++) {
		context.number = request->keys[i].number;
		ret = wrap_one(public, &context, &request->keys[i], &wrapped->keys[i]);
		wrapped->key_count += ret == 0;
	}
	return ret < 0 ? error_set(error, -ret, "keys cannot be wrapped: %s", strerror(-ret)) : 0;
}
