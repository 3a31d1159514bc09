/* SPDX-License-Identifier: Apache-2.0 */
/* Keys that are wrapped for a host and one request. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/base.h"
#include "call/wrap.h"

static struct wrap_pair *pair;
static struct error error;
static uint8_t wrapped[CONTROL_KEY_MAX + CONTROL_WRAP_SIZE + 1], opened[CONTROL_KEY_MAX];

static int make_pair(void **state)
{
	(void)state;
	return wrap_use_locked_memory(&error) < 0 || wrap_pair_make(&pair, &error) < 0 ? -1 : 0;
}

static int free_pair(void **state)
{
	(void)state;
	wrap_pair_free(pair);
	return 0;
}

static struct wrap_context context_of(const char *verb, const char *instance, uint8_t id)
{
	struct control_request request = {.verb = control_verb_find(verb, strlen(verb)),
					  .id = {id},
					  .key_count = 1,
					  .keys = {{5, (const uint8_t *)"whatever", 8}}};
	struct wrap_context context = {.caller = "alice", .number = 5};

	for (size_t i = 0; i < request.verb->argument_count; i++)
		request.values[i] = (struct control_value){
			.given = true, .text = instance, .length = strlen(instance)};
	assert_int_equal(wrap_digest(&request, context.request), 0);
	return context;
}

static ssize_t close_for(const struct wrap_context *context, const char *text)
{
	return wrap_close(wrap_pair_public(pair), context, text, strlen(text), wrapped);
}

static ssize_t open_as(const struct wrap_context *context, size_t length)
{
	memset(opened, 0xee, sizeof(opened));
	return wrap_open(pair, context, wrapped, length, opened, &error);
}

static void what_was_wrapped_is_opened(void **state)
{
	struct wrap_context context = context_of("start", "web", 1);
	static char longest[CONTROL_KEY_MAX + 2];

	(void)state;
	assert_int_equal(close_for(&context, "open sesame"), 11 + CONTROL_WRAP_SIZE);
	assert_null(memmem(wrapped, sizeof(wrapped), "sesame", 6));
	assert_int_equal(open_as(&context, 11 + CONTROL_WRAP_SIZE), 11);
	assert_memory_equal(opened, "open sesame", 11);
	assert_int_equal(close_for(&context, ""), CONTROL_WRAP_SIZE);
	assert_int_equal(open_as(&context, CONTROL_WRAP_SIZE), 0);
	memset(longest, 'x', CONTROL_KEY_MAX);
	assert_int_equal(close_for(&context, longest), CONTROL_KEY_MAX + CONTROL_WRAP_SIZE);
	assert_int_equal(open_as(&context, CONTROL_KEY_MAX + CONTROL_WRAP_SIZE), CONTROL_KEY_MAX);
	longest[CONTROL_KEY_MAX] = 'x';
	assert_int_equal(close_for(&context, longest), -EINVAL);
}

static void it_is_good_for_one_thing_only(void **state)
{
	const struct wrap_context right = context_of("start", "web", 1);
	const struct wrap_context wrong[] = {
		context_of("start", "wax", 1), /* another instance */
		context_of("start", "web", 2), /* another request */
		context_of("launch", "web", 1), {.caller = "alice", .number = 6}, /* another card */
		{.caller = "bob", .number = 5}, {.caller = "alice2", .number = 5},
		{.caller = "", .number = 5},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		struct wrap_context other = wrong[i];

		if (i >= 3)
			memcpy(other.request, right.request, sizeof(other.request));
		close_for(&right, "open sesame");
		assert_int_equal(open_as(&other, 11 + CONTROL_WRAP_SIZE), -EKEYREJECTED);
		assert_non_null(strstr(error.text, "another request, caller, instance or card"));
		for (size_t j = 0; j < 11; j++)
			assert_true(!opened[j] || opened[j] == 0xee);
	}
	assert_int_equal(open_as(&right, 11 + CONTROL_WRAP_SIZE), 11);
}

/* How a key is wrapped does not make the request another one. */
static void requests_are_the_same_without_their_keys(void **state)
{
	struct control_request request = {.verb = control_verb_find("start", 5), .key_count = 1};
	uint8_t first[WRAP_DIGEST_SIZE], second[WRAP_DIGEST_SIZE];

	(void)state;
	request.values[0].given = true;
	request.values[1] = (struct control_value){.given = true, .text = "web", .length = 3};
	request.keys[0] = (struct control_key){5, (const uint8_t *)"a", 1};
	assert_int_equal(wrap_digest(&request, first), 0);
	request.keys[0] = (struct control_key){5, (const uint8_t *)"bcd", 3};
	assert_int_equal(wrap_digest(&request, second), 0);
	assert_memory_equal(first, second, sizeof(first));
	request.keys[0].number = 6;
	assert_int_equal(wrap_digest(&request, second), 0);
	assert_memory_not_equal(first, second, sizeof(first));
}

static void every_changed_byte_is_found(void **state)
{
	const struct wrap_context context = context_of("start", "web", 1);
	const size_t length = 11 + CONTROL_WRAP_SIZE;

	(void)state;
	close_for(&context, "open sesame");
	for (size_t i = 0; i < length; i++) {
		int expected = i < 8 ? -EINVAL : i < 24 ? -ESTALE : -EKEYREJECTED;

		wrapped[i] ^= 0x40;
		assert_int_equal(open_as(&context, length), expected);
		wrapped[i] ^= 0x40;
	}
	for (size_t cut = 0; cut < length; cut++)
		assert_int_equal(open_as(&context, cut),
				 cut < CONTROL_WRAP_SIZE ? -EINVAL : -EKEYREJECTED);
	assert_int_equal(open_as(&context, length + 1), -EKEYREJECTED);
	assert_int_equal(open_as(&context, length), 11);
}

/* RFC 7748, 6.1: whatever the other side has, the secret would be zero. */
static void a_point_of_small_order_is_refused(void **state)
{
	const struct wrap_context context = context_of("start", "web", 1);

	(void)state;
	close_for(&context, "open sesame");
	memset(wrapped + 24, 0, WRAP_PUBLIC_SIZE);
	assert_int_equal(open_as(&context, 11 + CONTROL_WRAP_SIZE), -EKEYREJECTED);
	wrapped[24] = 1;
	assert_int_equal(open_as(&context, 11 + CONTROL_WRAP_SIZE), -EKEYREJECTED);
}

static void it_is_for_one_host_and_one_start(void **state)
{
	const struct wrap_context context = context_of("start", "web", 1);
	struct wrap_pair *other;

	(void)state;
	assert_int_equal(wrap_pair_make(&other, &error), 0);
	assert_memory_not_equal(wrap_pair_public(pair), wrap_pair_public(other), WRAP_PUBLIC_SIZE);
	close_for(&context, "open sesame");
	assert_int_equal(
		wrap_open(other, &context, wrapped, 11 + CONTROL_WRAP_SIZE, opened, &error),
		-ESTALE);
	assert_non_null(strstr(error.text, "ask for wrapping anew"));
	wrap_pair_free(other);
}

static void a_key_as_it_is_is_refused(void **state)
{
	const struct wrap_context context = context_of("start", "web", 1);

	(void)state;
	memset(wrapped, 'k', sizeof(wrapped));
	for (size_t length = 0; length <= sizeof(wrapped); length += 64)
		assert_int_equal(open_as(&context, length), -EINVAL);
	assert_string_equal(error.text,
			    "is not wrapped; wrap it with what the verb wrapping tells");
	memcpy(wrapped, "karuta-1", 8);
	assert_int_equal(open_as(&context, sizeof(wrapped)), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_wrapped_is_opened),
		cmocka_unit_test(it_is_good_for_one_thing_only),
		cmocka_unit_test(requests_are_the_same_without_their_keys),
		cmocka_unit_test(every_changed_byte_is_found),
		cmocka_unit_test(a_point_of_small_order_is_refused),
		cmocka_unit_test(it_is_for_one_host_and_one_start),
		cmocka_unit_test(a_key_as_it_is_is_refused),
	};

	return cmocka_run_group_tests(tests, make_pair, free_pair);
}
