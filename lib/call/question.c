/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/base.h"
#include "caller.h"
#include "wrap.h"

/* ---- the copy ---- */

static int copy_texts(struct question *question, struct error *error)
{
	struct control_request *request = &question->request;
	size_t size = 1, at = 0;

	for (size_t i = 0; i < request->verb->argument_count; i++)
		size += request->values[i].text ? request->values[i].length : 0;
	question->texts = size <= CONTROL_REQUEST_MAX ? malloc(size) : NULL;
	if (!question->texts)
		return error_set(error, size <= CONTROL_REQUEST_MAX ? ENOMEM : EMSGSIZE,
				 "there is no room for the request");
	for (size_t i = 0; i < request->verb->argument_count; i++) {
		struct control_value *value = &request->values[i];

		if (!value->text)
			continue;
		memcpy(question->texts + at, value->text, value->length);
		value->text = question->texts + at;
		at += value->length;
	}
	return 0;
}

static int lock_room(struct question *question, size_t size, struct error *error)
{
	void *room = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (room == MAP_FAILED)
		return error_set(error, ENOMEM, "there is no room for keys");
	question->keys = room;
	question->keys_size = size;
	if (mlock(room, size) == 0 && madvise(room, size, MADV_DONTDUMP) == 0)
		return 0;
	return error_set(error, ENOMEM,
			 "memory for keys cannot be locked; allow more (ulimit -l, LimitMEMLOCK=)");
}

static int copy_keys(struct question *question, struct error *error)
{
	struct control_request *request = &question->request;
	size_t size = 1, at = 0;
	int ret;

	for (size_t i = 0; i < request->key_count; i++) {
		if (request->keys[i].length > CONTROL_KEY_MAX)
			return error_set(error, EINVAL, "a key has more than %u bytes",
					 CONTROL_KEY_MAX);
		size += request->keys[i].length;
	}
	ret = lock_room(question, size, error);
	for (size_t i = 0; ret == 0 && i < request->key_count; i++) {
		struct control_key *key = &request->keys[i];

		if (key->length)
			memcpy(question->keys + at, key->bytes, key->length);
		key->bytes = question->keys + at;
		at += key->length;
	}
	return ret;
}

static int copy_all(struct question *question, struct error *error)
{
	struct control_request *request = &question->request;
	int ret = 0;

	if (!request->has_id && RAND_bytes(request->id, CONTROL_ID_SIZE) != 1)
		ret = error_set(error, EIO, "no random numbers");
	if (ret == 0)
		ret = copy_texts(question, error);
	if (ret == 0 && request->key_count)
		ret = copy_keys(question, error);
	return ret;
}

int question_make(const struct control_request *request, struct question **question,
		  struct error *error)
{
	struct question *made;
	int ret;

	if (!request->verb || request->key_count > CONTROL_KEYS_MAX)
		return error_set(error, EINVAL, "no request: no verb, or too many keys");
	made = calloc(1, sizeof(*made));
	if (!made)
		return error_set(error, ENOMEM, "out of memory");
	made->request = *request;
	ret = copy_all(made, error);
	if (ret == 0)
		*question = made;
	else
		question_free(made);
	return ret;
}

void question_forget_keys(struct question *question)
{
	if (!question->keys)
		return;
	explicit_bzero(question->keys, question->keys_size);
	munmap(question->keys, question->keys_size);
	question->keys = NULL;
}

void question_free(struct question *question)
{
	question_forget_keys(question);
	free(question->texts);
	free(question->out);
	free(question->frame);
	free(question);
}

/* ---- what is sent ---- */

static int encode(struct question *question, const struct control_request *request,
		  struct error *error)
{
	uint8_t *out = malloc(CONTROL_HEAD_SIZE + CONTROL_REQUEST_MAX), *fitting;
	ssize_t length =
		out ? control_request_encode(request, out + CONTROL_HEAD_SIZE, CONTROL_REQUEST_MAX)
		    : -ENOMEM;

	if (length < 0) {
		free(out);
		return error_set(error, (int)-length, "%s",
				 out ? "the request is too large" : "out of memory");
	}
	control_put_length(out, (size_t)length);
	question->out_length = CONTROL_HEAD_SIZE + (size_t)length;
	fitting = realloc(out, question->out_length);
	free(question->out);
	question->out = fitting ? fitting : out;
	memcpy(question->id, request->id, CONTROL_ID_SIZE);
	return 0;
}

static int ask_wrapping(struct question *question, struct error *error)
{
	struct control_request request = {.verb = control_verb_find("wrapping", 8)};

	if (RAND_bytes(request.id, CONTROL_ID_SIZE) != 1)
		return error_set(error, EIO, "no random numbers");
	question->step = QUESTION_WRAPPING;
	return encode(question, &request, error);
}

static int ask_with_keys(struct question *question, const struct control_answer *answer,
			 const char *caller, struct error *error)
{
	struct control_request wrapped = {0};
	int ret = wrap_request(&question->request, caller, answer, &wrapped, error);

	if (ret == 0)
		ret = encode(question, &wrapped, error);
	wrap_request_free(&wrapped);
	question->step = QUESTION_ITSELF;
	return ret;
}

int question_begin(struct question *question, struct error *error)
{
	if (question->request.key_count)
		return ask_wrapping(question, error);
	question->step = QUESTION_ITSELF;
	return encode(question, &question->request, error);
}

/* A refusal is an answer too, and remembered under its identifier. The second one follows from the
 * first, so that who asks the same later, after a start of its own, comes to the same end. */
static int renew(struct question *question, struct error *error)
{
	static const char what[] = "karuta: wrapped again";
	uint8_t bytes[sizeof(what) + CONTROL_ID_SIZE], hash[EVP_MAX_MD_SIZE];

	memcpy(bytes, what, sizeof(what));
	memcpy(bytes + sizeof(what), question->request.id, CONTROL_ID_SIZE);
	if (EVP_Digest(bytes, sizeof(bytes), hash, NULL, EVP_sha256(), NULL) != 1)
		return error_set(error, ENOMEM, "out of memory");
	memcpy(question->request.id, hash, CONTROL_ID_SIZE);
	question->renewed = true;
	return ask_wrapping(question, error);
}

/* ---- what comes back ---- */

/* With an identifier of zeros a host says that it has not understood the frame. */
static bool is_for(const struct control_answer *answer, const uint8_t id[CONTROL_ID_SIZE])
{
	static const uint8_t nobody[CONTROL_ID_SIZE];

	return !memcmp(answer->id, id, CONTROL_ID_SIZE) ||
	       (answer->code && !memcmp(answer->id, nobody, CONTROL_ID_SIZE));
}

int question_take(struct question *question, uint8_t *frame, size_t length, const char *caller,
		  struct error *error)
{
	struct control_answer *answer = &question->answer;
	int ret = -1;

	free(question->frame);
	question->frame = frame;
	if (control_answer_decode(answer, frame, length) < 0)
		ret = error_set(error, EPROTO, "no answer of a controller");
	else if (!is_for(answer, question->id))
		ret = error_set(error, EPROTO, "the answer to another request");
	else if (question->step == QUESTION_WRAPPING && !answer->code)
		ret = ask_with_keys(question, answer, caller, error);
	else if (question->request.key_count && answer->code == ESTALE && !question->renewed)
		ret = renew(question, error);
	else
		return 0;
	free(question->frame);
	question->frame = NULL;
	return ret < 0 ? ret : 1;
}
