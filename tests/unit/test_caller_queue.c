/* SPDX-License-Identifier: Apache-2.0 */
/* What a caller does with requests, and with who asks them. */
#include "fake_host.h"

#if defined(__has_feature)
#define IS_SANITIZED __has_feature(address_sanitizer)
#else
#define IS_SANITIZED 0
#endif

static void more_than_it_takes_is_refused(void **state)
{
	struct fake fake = start_fake("h1", stay_silent, "h1");
	struct control_request request = make_request("list", NULL);
	struct asked asked[CALL_WAITING_MAX + 1];
	struct error error = {0};

	(void)state;
	for (size_t i = 0; i < CALL_WAITING_MAX; i++)
		ask(fake.caller, &request, 1, &asked[i]);
	assert_int_equal(caller_ask(fake.caller, &request, 1, note, asked, &error), -EBUSY);
	assert_non_null(strstr(error.text, "h1 (127.0.0.1 port "));
	turn_all(&fake.caller, 1);
	/* A connection is begun for the first; the others wait for that. */
	ask(fake.caller, &request, 1, &asked[CALL_WAITING_MAX]);
	assert_int_equal(caller_ask(fake.caller, &request, 1, note, asked, &error), -EBUSY);
	for (size_t i = 0; i < ARRAY_LEN(asked); i++) {
		await(fake.caller, &asked[i]);
		assert_int_equal(asked[i].code, ETIMEDOUT);
	}
	assert_true(fake.seen->connections <= CALL_AT_ONCE);
	end_fake(&fake);
}

static void what_cannot_be_sent_is_said_at_once(void **state)
{
	struct fake fake = start_fake("h1", answer_well, "h1");
	static const uint8_t long_key[CONTROL_KEY_MAX + 1];
	struct control_request request = with_key();
	struct error error = {0};
	struct asked asked;

	(void)state;
	request.keys[0] = (struct control_key){5, long_key, sizeof(long_key)};
	assert_int_equal(caller_ask(fake.caller, &request, 1, note, NULL, &error), -EINVAL);
	request = make_request("list", NULL);
	request.verb = NULL;
	assert_int_equal(caller_ask(fake.caller, &request, 1, note, NULL, &error), -EINVAL);
	request = make_request("list", NULL);
	ask_and_await(fake.caller, &request, &asked);
	assert_int_equal(fake.seen->requests, 1);
	end_fake(&fake);
}

struct closing {
	struct fake fake;
	unsigned calls;
};

static void close_it(void *context, const struct control_answer *answer, const struct error *error)
{
	struct closing *closing = context;

	assert_non_null(answer);
	assert_null(error);
	closing->calls++;
	caller_close(closing->fake.caller);
	closing->fake.caller = NULL;
	/* Still there. */
	assert_memory_equal(answer->text, "done", 4);
}

static void an_answer_may_end_the_caller(void **state)
{
	struct closing closing = {.fake = start_fake("h1", answer_well, "h1")};
	struct control_request request = make_request("list", NULL);
	struct error error = {0};

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(
			caller_ask(closing.fake.caller, &request, 30, close_it, &closing, &error),
			0);
	while (closing.fake.caller)
		turn_all(&closing.fake.caller, 1);
	for (unsigned i = 0; i < 5; i++)
		os_loop_once(loop, 10);
	assert_int_equal(closing.calls, 1);
	end_fake(&closing.fake);
}

static void ask_again(void *context, const struct control_answer *answer, const struct error *error)
{
	struct closing *closing = context;
	struct control_request request = make_request("list", NULL);

	assert_non_null(answer);
	assert_null(error);
	if (++closing->calls < 10)
		assert_int_equal(
			caller_ask(closing->fake.caller, &request, 30, ask_again, closing, NULL),
			0);
}

/* Also if nobody takes a turn for a while. */
static void an_answer_may_ask_for_more(void **state)
{
	struct closing closing = {.fake = start_fake("h1", answer_well, "h1")};
	struct control_request request = make_request("list", NULL);
	uint64_t end = os_now() + PATIENCE;

	(void)state;
	assert_int_equal(caller_ask(closing.fake.caller, &request, 30, ask_again, &closing, NULL),
			 0);
	while (closing.calls < 10 && os_now() < end)
		os_loop_once(loop, 1000);
	assert_int_equal(closing.calls, 10);
	assert_int_equal(closing.fake.seen->connections, 1);
	end_fake(&closing.fake);
}

static void what_has_no_answer_when_it_ends_is_dropped(void **state)
{
	struct fake fake = start_fake("h1", stay_silent, "h1");
	struct control_request request = with_key();
	struct asked asked[CALL_AT_ONCE + 4];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(asked); i++)
		ask(fake.caller, &request, 30, &asked[i]);
	for (unsigned i = 0; i < 20; i++)
		turn_all(&fake.caller, 1);
	end_fake(&fake);
	for (size_t i = 0; i < ARRAY_LEN(asked); i++)
		assert_int_equal(asked[i].calls, 0);
}

static long locked_kib(void)
{
	FILE *status = fopen("/proc/self/status", "re");
	char line[128];
	long locked = -1;

	assert_non_null(status);
	while (fgets(line, sizeof(line), status))
		sscanf(line, "VmLck: %ld", &locked);
	fclose(status);
	return locked;
}

static void keys_are_locked_until_there_is_an_answer(void **state)
{
	struct fake fake = start_fake("h1", answer_well, "h1");
	struct control_request request = with_key();
	long before = locked_kib();
	struct asked asked;

	(void)state;
	ask(fake.caller, &request, 30, &asked);
	/* AddressSanitizer has an mlock(2) of its own, which does nothing. */
	assert_true(IS_SANITIZED || locked_kib() > before);
	await(fake.caller, &asked);
	assert_int_equal(locked_kib(), before);
	end_fake(&fake);
}

static void addresses_are_numbers(void **state)
{
	static const char *const wrong[] = {"localhost", "", "1.2.3", "::1%lo", "127.0.0.1 "};
	struct caller_setup setup = {.tls = operator, .loop = loop, .port = 1};
	struct caller *caller;
	struct error error;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		setup.address = wrong[i];
		assert_int_equal(caller_open(&setup, &caller, &error), -EINVAL);
	}
	setup.address = "::1";
	assert_int_equal(caller_open(&setup, &caller, &error), 0);
	caller_close(caller);
	caller_close(NULL);
}

static void texts_that_are_no_certificates_are_refused(void **state)
{
	struct tls_files files = {.authority = "", .certificate = "", .key = "", .are_texts = true};
	struct error error = {0};

	(void)state;
	assert_null(tls_context(&files, false, &error));
	assert_string_equal(error.text, "authority: not what is expected, in PEM");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(more_than_it_takes_is_refused),
		cmocka_unit_test(what_cannot_be_sent_is_said_at_once),
		cmocka_unit_test(an_answer_may_end_the_caller),
		cmocka_unit_test(an_answer_may_ask_for_more),
		cmocka_unit_test(what_has_no_answer_when_it_ends_is_dropped),
		cmocka_unit_test(keys_are_locked_until_there_is_an_answer),
		cmocka_unit_test(addresses_are_numbers),
		cmocka_unit_test(texts_that_are_no_certificates_are_refused),
	};

	return cmocka_run_group_tests(tests, make_all, remove_all);
}
