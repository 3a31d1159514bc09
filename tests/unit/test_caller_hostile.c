/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts that are not what they should be, and the one who calls them. */
#include "fake_host.h"

/* Seconds, in which all that comes before a silence has been said, on any machine. */
#define IN_TIME 5u

/* ---- what hosts do ---- */

static void answer_too_much(struct host *host)
{
	hear(host);
	say(host, "\xff\xff\xff\xff more", 9);
	wait_for_ever();
}

static void answer_nothing(struct host *host)
{
	hear(host);
	say(host, "\0\0\0\0", 4);
	wait_for_ever();
}

static void answer_garbage(struct host *host)
{
	hear(host);
	say(host, "\0\0\0\x05hello", 9);
	wait_for_ever();
}

/* Cut within its text, in a frame that is whole. */
static void answer_half(struct host *host)
{
	uint8_t frame[1024];
	size_t length;

	hear(host);
	length = make_answer(host, 0, "a text that is cut", "", frame) - 10;
	control_put_length(frame, length - CONTROL_HEAD_SIZE);
	say(host, frame, length);
	wait_for_ever();
}

static void answer_another(struct host *host)
{
	hear(host);
	host->request.id[0] ^= 1;
	answer(host, 0, "done", "{}");
	wait_for_ever();
}

static void answer_before(struct host *host)
{
	answer(host, 0, "done", "{}");
	wait_for_ever();
}

static void drip(struct host *host)
{
	uint8_t frame[1024];
	size_t length;

	hear(host);
	length = make_answer(host, 0, "done", "{\"a\": \"long result that does not come\"}", frame);
	for (size_t i = 0; i < length; i++) {
		say(host, frame + i, 1);
		usleep(250000);
	}
	wait_for_ever();
}

/* RFC 8446, 4.6.3. */
static void send_keys_without_end(struct host *host)
{
	hear(host);
	while (SSL_key_update(host->ssl, SSL_KEY_UPDATE_NOT_REQUESTED) == 1 &&
	       SSL_do_handshake(host->ssl) == 1)
		;
}

static void go_away(struct host *host)
{
	hear(host);
}

/* Not TLS. */
static void stay_silent_at_once(struct host *host)
{
	(void)host;
	wait_for_ever();
}

static void talk_plainly(struct host *host)
{
	if (write(host->fd, "HTTP/1.1 400 Bad Request\r\n\r\n", 28) < 0)
		return;
	wait_for_ever();
}

static void slam(struct host *host)
{
	(void)host;
}

static void wrap_with_nothing(struct host *host)
{
	hear(host);
	answer(host, 0, "done", "{\"wrapping\": \"00\"}");
	wait_for_ever();
}

/* RFC 7748, 6.1: what it makes of any key is known to everybody. */
static void wrap_with_zeros(struct host *host)
{
	hear(host);
	answer(host, 0, "done",
	       "{\"wrapping\": "
	       "\"0000000000000000000000000000000000000000000000000000000000000000\"}");
	wait_for_ever();
}

static void tell_wrapping(struct host *host, const struct wrap_pair *pair)
{
	char result[128];
	int length = snprintf(result, sizeof(result), "{\"wrapping\": \"");

	for (size_t i = 0; i < WRAP_PUBLIC_SIZE; i++)
		length += snprintf(result + length, sizeof(result) - (size_t)length, "%02x",
				   wrap_pair_public(pair)[i]);
	snprintf(result + length, sizeof(result) - (size_t)length, "\"}");
	answer(host, 0, "done", result);
}

/* As a controller does it. */
static void open_key(struct host *host, const struct wrap_pair *pair, uint8_t key[CONTROL_KEY_MAX],
		     struct error *error)
{
	struct wrap_context context = {.caller = "operator", .number = 5};

	if (host->request.key_count != 1 || wrap_digest(&host->request, context.request) < 0)
		error_set(error, EINVAL, "there is no key");
	else
		wrap_open(pair, &context, host->request.keys[0].bytes, host->request.keys[0].length,
			  key, error);
}

/* The first time it tells another's key, and it remembers its refusals, as a controller does. */
static void be_replaced(struct host *host)
{
	uint8_t key[CONTROL_KEY_MAX] = "";

	while (hear(host)) {
		struct error error = {0};

		if (!strcmp(host->request.verb_name, "wrapping")) {
			tell_wrapping(host, host->seen->wrapped++ ? host->pair : host->other);
		} else if (!memcmp(host->seen->id, host->request.id, CONTROL_ID_SIZE)) {
			answer(host, ESTALE, "as before", "");
		} else {
			memcpy(host->seen->id, host->request.id, CONTROL_ID_SIZE);
			open_key(host, host->pair, key, &error);
			answer(host, error.code, error.code ? error.text : (const char *)key, "");
		}
	}
}

static void be_stale_for_ever(struct host *host)
{
	while (hear(host)) {
		if (!strcmp(host->request.verb_name, "wrapping"))
			tell_wrapping(host, host->other);
		else
			answer(host, ESTALE, "not mine", "");
	}
}

/* As one that is killed under its first request, which the next one knows. */
static void die_first(struct host *host)
{
	bool first = host->seen->connections == 1;

	while (hear(host)) {
		host->seen->same += !memcmp(host->seen->id, host->request.id, CONTROL_ID_SIZE);
		memcpy(host->seen->id, host->request.id, CONTROL_ID_SIZE);
		if (first)
			return;
		answer(host, 0, "done", "{}");
	}
}

static void answer_and_go_on(struct host *host)
{
	uint8_t frame[1024];
	size_t length;

	while (hear(host)) {
		length = make_answer(host, 0, "done", "{}", frame);
		memcpy(frame + length, "more", 4);
		say(host, frame, length + 4);
	}
}

/* ---- tests ---- */

/* All at once, beside each other: none is in the way of another. */
static void what_is_no_answer_is_an_error_that_names_the_host(void **state)
{
	static const struct {
		const char *certificate, *name;
		behave_fn behave;
		bool key;
		int code;
		const char *text;
	} cases[] = {
		{"h1", "h1", answer_well, false, 0, "done"},
		{"h1", NULL, answer_well, false, 0, "done"},
		{"h1", "h2", answer_well, false, EPROTO, "its certificate is that of h1"},
		{"admin", NULL, answer_well, false, EPROTO, "unsuitable certificate purpose"},
		{"posing", NULL, answer_well, false, EPROTO, "its certificate is not a host's"},
		{"bad/h1", NULL, answer_well, false, EPROTO,
		 "unable to get local issuer certificate"},
		{"late", NULL, answer_well, false, EPROTO, "certificate has expired"},
		{NULL, "h1", talk_plainly, false, EPROTO, "wrong version number"},
		{NULL, "h1", stay_silent_at_once, false, ETIMEDOUT,
		 "it does not speak TLS in time"},
		{NULL, "h1", slam, false, ECONNRESET, "Connection reset by peer"},
		{"h1", "h1", answer_too_much, false, EPROTO, "no answer of a controller"},
		{"h1", "h1", answer_nothing, false, EPROTO, "no answer of a controller"},
		{"h1", "h1", answer_garbage, false, EPROTO, "no answer of a controller"},
		{"h1", "h1", answer_half, false, EPROTO, "no answer of a controller"},
		{"h1", "h1", answer_another, false, EPROTO, "the answer to another request"},
		{"h1", "h1", answer_before, false, EPROTO, "the answer to another request"},
		{"h1", "h1", stay_silent, false, ETIMEDOUT, "no answer in time"},
		{"h1", "h1", drip, false, ETIMEDOUT, "its answer has no end in time"},
		{"h1", "h1", send_keys_without_end, false, EPROTO, "sends much, and no answer"},
		{"h1", "h1", go_away, false, ECONNRESET, "Connection reset by peer"},
		{"h1", "h1", answer_well, true, EPROTO, "wrapping: the answer has no key"},
		{"h1", "h1", wrap_with_nothing, true, EPROTO, "wrapping: the answer has no key"},
		{"h1", "h1", wrap_with_zeros, true, EKEYREJECTED, "keys cannot be wrapped"},
		{"h1", "h1", answer_another, true, EPROTO, "the answer to another request"},
	};
	struct asked asked[ARRAY_LEN(cases)];
	struct fake fakes[ARRAY_LEN(cases)];
	struct caller *callers[ARRAY_LEN(cases)];
	uint64_t end = os_now() + PATIENCE;
	unsigned done = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct control_request request =
			cases[i].key ? with_key() : make_request("list", NULL);

		fakes[i] = start_fake(cases[i].certificate, cases[i].behave, cases[i].name);
		callers[i] = fakes[i].caller;
		ask(callers[i], &request, cases[i].code == ETIMEDOUT ? IN_TIME : 30, &asked[i]);
	}
	while (done < ARRAY_LEN(cases) && os_now() < end) {
		turn_all(callers, ARRAY_LEN(callers));
		done = 0;
		for (size_t i = 0; i < ARRAY_LEN(cases); i++)
			done += asked[i].calls;
	}
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char where[64];

		snprintf(where, sizeof(where),
			 cases[i].name ? "%s (127.0.0.1 port %u): " : "%s127.0.0.1 port %u: ",
			 cases[i].name ? cases[i].name : "", fakes[i].port);
		if (asked[i].calls != 1 || asked[i].code != cases[i].code ||
		    !strstr(asked[i].text, cases[i].text) ||
		    (cases[i].code && strncmp(asked[i].text, where, strlen(where)) != 0))
			fail_msg("case %zu, \"%s\": %u times %d, \"%s\"", i, cases[i].text,
				 asked[i].calls, asked[i].code, asked[i].text);
		end_fake(&fakes[i]);
	}
}

static void who_goes_away_is_tried_a_few_times(void **state)
{
	struct fake fake = start_fake("h1", die_first, "h1");
	struct control_request request = make_request("kill", "web");
	struct asked asked;

	(void)state;
	ask_and_await(fake.caller, &request, &asked);
	assert_string_equal(asked.text, "done");
	assert_int_equal(fake.seen->connections, 2);
	assert_int_equal(fake.seen->requests, 2);
	/* As the same request. */
	assert_int_equal(fake.seen->same, 1);
	end_fake(&fake);
}

static void who_was_never_there_is_not_waited_for(void **state)
{
	struct fake fake = start_fake("h1", answer_well, "h1");
	struct control_request request = make_request("list", NULL);
	struct asked asked;
	uint64_t begun;

	(void)state;
	kill(fake.pid, SIGKILL);
	waitpid(fake.pid, NULL, 0);
	begun = os_now();
	ask_and_await(fake.caller, &request, &asked);
	assert_int_equal(asked.code, ECONNREFUSED);
	assert_non_null(strstr(asked.text, "Connection refused"));
	/* All tries would take nearly four seconds. */
	assert_true(os_now() - begun < 2 * NS_PER_S);
	fake.pid = fork();
	if (fake.pid == 0)
		_exit(0);
	end_fake(&fake);
}

static void keys_are_wrapped_again_for_the_next_controller(void **state)
{
	struct fake fake = start_fake("h1", be_replaced, "h1");
	struct control_request request = with_key();
	struct asked asked;

	(void)state;
	ask_and_await(fake.caller, &request, &asked);
	assert_int_equal(asked.code, 0);
	assert_string_equal(asked.text, "open sesame");
	assert_int_equal(fake.seen->connections, 1);
	assert_int_equal(fake.seen->requests, 4);
	end_fake(&fake);
}

/* Another caller with the same identifier comes to the same one. */
static void who_asks_again_later_comes_to_the_same_end(void **state)
{
	struct fake fake = start_fake("h1", be_replaced, "h1");
	struct control_request request = with_key();
	uint8_t second[CONTROL_ID_SIZE];
	struct asked asked;

	(void)state;
	request.has_id = true;
	request.id[0] = 7;
	ask_and_await(fake.caller, &request, &asked);
	assert_int_equal(asked.code, 0);
	memcpy(second, fake.seen->id, CONTROL_ID_SIZE);
	assert_memory_not_equal(second, request.id, CONTROL_ID_SIZE);
	fake.seen->wrapped = 0;
	memcpy(fake.seen->id, request.id, CONTROL_ID_SIZE);
	ask_and_await(fake.caller, &request, &asked);
	assert_int_equal(asked.code, 0);
	assert_memory_equal(fake.seen->id, second, CONTROL_ID_SIZE);
	end_fake(&fake);
}

static void keys_are_wrapped_again_once(void **state)
{
	struct fake fake = start_fake("h1", be_stale_for_ever, "h1");
	struct control_request request = with_key();
	struct asked asked;

	(void)state;
	ask_and_await(fake.caller, &request, &asked);
	assert_true(asked.answered);
	assert_int_equal(asked.code, ESTALE);
	assert_int_equal(fake.seen->requests, 4);
	end_fake(&fake);
}

static void who_says_too_much_is_called_anew(void **state)
{
	struct fake fake = start_fake("h1", answer_and_go_on, "h1");
	struct control_request request = make_request("list", NULL);
	struct asked asked;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		ask_and_await(fake.caller, &request, &asked);
		assert_string_equal(asked.text, "done");
	}
	assert_int_equal(fake.seen->connections, 3);
	end_fake(&fake);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_no_answer_is_an_error_that_names_the_host),
		cmocka_unit_test(who_goes_away_is_tried_a_few_times),
		cmocka_unit_test(who_was_never_there_is_not_waited_for),
		cmocka_unit_test(keys_are_wrapped_again_for_the_next_controller),
		cmocka_unit_test(who_asks_again_later_comes_to_the_same_end),
		cmocka_unit_test(keys_are_wrapped_again_once),
		cmocka_unit_test(who_says_too_much_is_called_anew),
	};

	return cmocka_run_group_tests(tests, make_all, remove_all);
}
