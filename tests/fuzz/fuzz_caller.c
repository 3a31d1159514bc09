/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a host answers to a request with a key: the caller comes to an end, and the key is in
 * nothing that it sends. The input is a row of answers: a byte that says what it is (0: a raw
 * frame, 1: with the identifier that was asked, 2: that of nobody), its code, its length (two
 * bytes, little endian), and its result or the frame.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "call/caller.h"

#define SECRET "a key that nobody else should see"
#define ASKED  4u /* wrapping, itself, and both again */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct question *make(void)
{
	static const char spec[] = "{}";
	struct control_request request = {
		.verb = control_verb_find("launch", 6),
		.values = {{.given = true},
			   {.given = true, .text = spec, .length = sizeof(spec) - 1}},
		.key_count = 1,
		.keys = {{5, (const uint8_t *)SECRET, sizeof(SECRET)}}};
	struct question *question;

	if (question_make(&request, &question, NULL) < 0 || question_begin(question, NULL) < 0)
		abort();
	return question;
}

/* It is a whole frame with a request. */
static void check_out(const struct question *question)
{
	struct control_request request;
	size_t length = question->out_length - CONTROL_HEAD_SIZE;

	if (control_length(question->out, CONTROL_REQUEST_MAX) != (ssize_t)length ||
	    control_request_decode(&request, question->out + CONTROL_HEAD_SIZE, length, NULL) < 0 ||
	    memcmp(request.id, question->id, CONTROL_ID_SIZE) != 0 ||
	    memmem(question->out, question->out_length, SECRET, sizeof(SECRET)))
		abort();
}

static uint8_t *make_frame(const struct question *question, uint8_t kind, int code,
			   const uint8_t *data, size_t length, size_t *made)
{
	struct control_answer answer = {
		.code = code, .text = "", .result = (const char *)data, .result_length = length};
	uint8_t *frame = malloc(length + 64);
	ssize_t ret;

	if (!frame)
		abort();
	memcpy(frame, data, length);
	*made = length;
	if (kind == 1)
		memcpy(answer.id, question->id, CONTROL_ID_SIZE);
	if (kind == 1 || kind == 2) {
		ret = control_answer_encode(&answer, frame, length + 64);
		*made = ret > 0 ? (size_t)ret : 0;
	}
	return frame;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct question *question = make();
	struct error error = {0};
	unsigned frames = 0;
	int ret = 1;

	while (ret == 1 && size >= 4) {
		size_t length = min_u64((size_t)data[2] | (size_t)data[3] << 8, size - 4), made;
		uint8_t *frame = make_frame(question, data[0], data[1], data + 4, length, &made);

		check_out(question);
		ret = question_take(question, frame, made, "alice", &error);
		data += 4 + length;
		size -= 4 + length;
		if (++frames > ASKED)
			abort();
	}
	if ((ret == 0) != (question->frame != NULL) || (ret < 0) != (error.code != 0))
		abort();
	question_free(question);
	return 0;
}
