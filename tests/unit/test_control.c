/* SPDX-License-Identifier: Apache-2.0 */
/* Requests and answers of a controller's callers. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/base.h"
#include "wire/cbor.h"
#include "wire/control.h"

static uint8_t bytes[CONTROL_REQUEST_MAX];
static struct control_request request;
static struct error error;

/* "[h'00..0f', " and what follows. */
static int decode(const char *rest, size_t length)
{
	bytes[0] = 0x83;
	bytes[1] = 0x50;
	for (uint8_t i = 0; i < CONTROL_ID_SIZE; i++)
		bytes[2 + i] = i;
	memcpy(bytes + 18, rest, length);
	return control_request_decode(&request, bytes, 18 + length, &error);
}

#define DECODE(rest) decode(rest, sizeof(rest) - 1)

static void every_verb_comes_back_as_it_was(void **state)
{
	(void)state;
	for (const struct control_verb *verb = control_verbs; verb->name; verb++) {
		struct control_request one = {.verb = verb, .id = {1, 2, 3}, .key_count = 2};
		ssize_t length, again;
		uint8_t copy[1024];

		one.keys[0] = (struct control_key){3, (const uint8_t *)"ab", 2};
		one.keys[1] = (struct control_key){UINT64_MAX, (const uint8_t *)"", 0};
		for (size_t i = 0; i < verb->argument_count; i++)
			one.values[i] = (struct control_value){true, 1, "web", 3};
		length = control_request_encode(&one, bytes, sizeof(bytes));
		assert_true(length > 0);
		if (control_request_decode(&request, bytes, (size_t)length, &error))
			fail_msg("%s: %s", verb->name, error.text);
		assert_ptr_equal(request.verb, verb);
		assert_memory_equal(request.id, one.id, CONTROL_ID_SIZE);
		again = control_request_encode(&request, copy, sizeof(copy));
		assert_int_equal(again, length);
		assert_memory_equal(copy, bytes, (size_t)length);
		/* Cut off anywhere, or with something behind it, it is none. */
		for (ssize_t cut = 0; cut < length; cut++)
			assert_true(control_request_decode(&request, bytes, (size_t)cut, &error) <
				    0);
		assert_true(control_request_decode(&request, bytes, (size_t)length + 1, &error) <
			    0);
	}
}

static void arguments_are_those_of_the_list(void **state)
{
	(void)state;
	assert_int_equal(DECODE("\x64list\xa0"), 0);
	assert_int_equal(DECODE("\x64list\xa1\x61x\x01"), -EINVAL);
	assert_int_equal(DECODE("\x65shell\xa0"), -ENOSYS);
	assert_true(request.has_id);
	assert_string_equal(request.verb_name, "shell");
	assert_int_equal(DECODE("\x64kill\xa0"), -EINVAL);
	assert_string_equal(error.text, "kill: instance is missing");
	assert_int_equal(DECODE("\x64kill\xa1\x68instance\x63web"), 0);
	assert_int_equal(control_value_find(&request, "instance")->length, 3);
	assert_null(control_value_find(&request, "card"));
	/* Of another type, twice, in another order, too large. */
	assert_int_equal(DECODE("\x64kill\xa1\x68instance\x43web"), -EBADMSG);
	assert_int_equal(DECODE("\x64kill\xa2\x68instance\x61x\x68instance\x61y"), -EINVAL);
	assert_int_equal(DECODE("\x66update\xa2\x68instance\x61x\x64"
				"card\x61y"),
			 -EINVAL);
	assert_int_equal(DECODE("\x66update\xa2\x64"
				"card\x61y\x68instance\x61x"),
			 0);
	assert_int_equal(DECODE("\x66"
				"detach\xa3\x64"
				"card\x61y\x67timeout\x19\x0e\x11\x68"
				"instance\x61x"),
			 -EINVAL);
	assert_int_equal(DECODE("\x66update\xa2\x64"
				"card\x75"
				"aaaaaaaaaaaaaaaaaaaaa\x68"
				"instance\x61x"),
			 -EINVAL);
}

static void one_encoding_only(void **state)
{
	static const struct {
		const char *rest;
		size_t length;
	} cases[] = {
#define CASE(text) {text, sizeof(text) - 1}
		CASE("\x78\x04list\xa0"),     /* a length in more bytes than it needs */
		CASE("\x7f\x64list\xff\xa0"), /* indefinite length */
		CASE("\x64list\xbf\xff"),     /* the same of a map */
		CASE("\x64list\xb8\x00"),     /* a count in more bytes */
		CASE("\xc0\x64list\xa0"),     /* a tag */
		CASE("\x44list\xa0"),	      /* bytes */
		CASE("\x64list\x80"),	      /* an array */
		CASE("\x64list\xf6"),	      /* null */
		CASE("\x64list\xa0\xa0"),     /* more */
		CASE("\x64kill\xa1\x68instance\x62\xc0\x80"), /* a zero byte in two */
		CASE("\x64kill\xa1\x68instance\x61\x00"),
		CASE("\x64kill\xa1\x68instance\x63\xed\xa0\x80"), /* a surrogate */
		CASE("\x64kill\xa1\x68instance\x64\xf4\x90\x80\x80"),
		CASE("\x64kill\xa1\x68instance\x7b\xff\xff\xff\xff\xff\xff\xff\xff"),
		CASE("\x64kill\xbb\xff\xff\xff\xff\xff\xff\xff\xff"),
#undef CASE
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (decode(cases[i].rest, cases[i].length) != -EBADMSG)
			fail_msg("case %zu is taken", i);
		assert_true(request.has_id);
	}
}

static void keys_are_in_order_and_bounded(void **state)
{
	static char many[4 + 32 * 4 + 64];
	size_t at;

	(void)state;
	assert_int_equal(DECODE("\x66launch\xa2\x64keys\xa2\x03\x41x\x04\x42yz\x64spec\x62{}"), 0);
	assert_int_equal(request.key_count, 2);
	assert_int_equal(request.keys[1].number, 4);
	assert_memory_equal(request.keys[1].bytes, "yz", 2);
	assert_int_equal(DECODE("\x66launch\xa2\x64keys\xa2\x04\x41x\x03\x42yz\x64spec\x62{}"),
			 -EINVAL);
	assert_int_equal(DECODE("\x66launch\xa2\x64keys\xa2\x03\x41x\x03\x42yz\x64spec\x62{}"),
			 -EINVAL);
	at = sizeof("\x66launch\xa2\x64keys\xb8\x20") - 1;
	memcpy(many, "\x66launch\xa2\x64keys\xb8\x20", at);
	for (uint8_t i = 0; i < 32; i++) {
		many[at++] = (char)(i < 24 ? i : 0x18);
		if (i >= 24)
			many[at++] = (char)i;
		many[at++] = 0x40;
	}
	assert_int_equal(decode(many, at), -EINVAL);
	assert_string_equal(error.text, "keys: more than 31");
}

static void bytes_are_no_text_and_bounded(void **state)
{
	static char many[CONTROL_DATA_MAX + 64];
	static const char head[] = "\x6bwrite-image\xa4\x64"
				   "data";
	static const char tail[] = "\x64part\x64root\x65image\x61x\x66offset\x00";
	size_t at = sizeof(head) - 1;

	(void)state;
	assert_int_equal(DECODE("\x6bwrite-image\xa4\x64"
				"data\x43\x00\xff\x80\x64part\x64root\x65image\x61x\x66"
				"offset\x07"),
			 0);
	assert_int_equal(control_value_find(&request, "data")->length, 3);
	assert_memory_equal(control_value_find(&request, "data")->text, "\x00\xff\x80", 3);
	assert_int_equal(DECODE("\x6bwrite-image\xa4\x64"
				"data\x63xyz\x64part\x64root\x65image\x61x\x66offset\x07"),
			 -EBADMSG);
	memcpy(many, head, at);
	memcpy(many + at, "\x5a\x00\x02\x00\x00", 5);
	memcpy(many + at + 5 + CONTROL_DATA_MAX, tail, sizeof(tail) - 1);
	assert_int_equal(decode(many, at + 5 + CONTROL_DATA_MAX + sizeof(tail) - 1), 0);
	many[at + 4] = 1;
	memcpy(many + at + 6 + CONTROL_DATA_MAX, tail, sizeof(tail) - 1);
	assert_int_equal(decode(many, at + 6 + CONTROL_DATA_MAX + sizeof(tail) - 1), -EINVAL);
	assert_string_equal(error.text, "data: at most 131072 bytes");
}

static void answers_come_back(void **state)
{
	struct control_answer answer = {{9}, EBUSY, "no", 2, "{}", 2}, back;
	ssize_t length = control_answer_encode(&answer, bytes, sizeof(bytes));

	(void)state;
	assert_true(length > 0);
	assert_int_equal(control_answer_decode(&back, bytes, (size_t)length), 0);
	assert_int_equal(back.code, EBUSY);
	assert_memory_equal(back.text, "no", 2);
	for (ssize_t cut = 0; cut < length; cut++)
		assert_int_equal(control_answer_decode(&back, bytes, (size_t)cut), -EBADMSG);
	assert_int_equal(control_answer_encode(&answer, bytes, 10), -EMSGSIZE);
}

static void lengths_are_bounded(void **state)
{
	uint8_t head[CONTROL_HEAD_SIZE];

	(void)state;
	control_put_length(head, 0x10203);
	assert_memory_equal(head, "\x00\x01\x02\x03", 4);
	assert_int_equal(control_length(head, CONTROL_REQUEST_MAX), 0x10203);
	assert_int_equal(control_length(head, 0x10202), -EMSGSIZE);
	control_put_length(head, 0);
	assert_int_equal(control_length(head, CONTROL_REQUEST_MAX), -EMSGSIZE);
	memset(head, 0xff, sizeof(head));
	assert_int_equal(control_length(head, CONTROL_REQUEST_MAX), -EMSGSIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_verb_comes_back_as_it_was),
		cmocka_unit_test(arguments_are_those_of_the_list),
		cmocka_unit_test(one_encoding_only),
		cmocka_unit_test(keys_are_in_order_and_bounded),
		cmocka_unit_test(bytes_are_no_text_and_bounded),
		cmocka_unit_test(answers_come_back),
		cmocka_unit_test(lengths_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
