/* SPDX-License-Identifier: Apache-2.0 */
/* A caller and the real controller of a host. */
#include "serve_harness.h"

#include "caller_harness.h"

#define SPEC(name, kernel, cards)                                                                  \
	"{\"name\": \"" name "\", \"memory\": \"64M\", \"kernel\": \"" kernel                      \
	"\", \"cards\": [" cards "]}"
#define VOLUME(store)                                                                              \
	"{\"kind\": \"volume\", \"name\": \"v\", \"store\": \"" store ".vol\", \"key_fd\": 5}"

static SSL_CTX *tls;
static struct caller *caller;
static struct asked asked;

static SSL_CTX *context_of(const char *name)
{
	char authority[128], certificate[128], key[128];
	struct tls_files files = {.authority = authority, .certificate = certificate, .key = key};
	struct error error = {0};
	SSL_CTX *context;

	snprintf(authority, sizeof(authority), "%s/ca.pem", folder);
	snprintf(certificate, sizeof(certificate), "%s/%s.pem", folder, name);
	snprintf(key, sizeof(key), "%s/%s.key", folder, name);
	context = tls_context(&files, false, &error);
	if (!context)
		fail_msg("%s", error.text);
	return context;
}

static struct caller *open_caller(SSL_CTX *context)
{
	struct caller_setup setup = {.address = "127.0.0.1",
				     .port = (uint16_t)port,
				     .name = "host",
				     .tls = context,
				     .loop = loop};
	struct caller *made;
	struct error error = {0};

	if (caller_open(&setup, &made, &error) < 0)
		fail_msg("%s", error.text);
	return made;
}

static int begin(void **state)
{
	if (make_host(state) != 0 || os_loop_create(&loop) < 0)
		return -1;
	signal(SIGPIPE, SIG_IGN);
	tls = context_of("operator");
	caller = open_caller(tls);
	return 0;
}

static int end(void **state)
{
	caller_close(caller);
	SSL_CTX_free(tls);
	os_loop_destroy(loop);
	return end_host(state);
}

static void do_one(const char *verb, const char *instance, const char *text)
{
	struct control_request request = make_request(verb, instance);

	ask_and_await(caller, &request, &asked);
	assert_true(asked.answered);
	assert_int_equal(asked.code, 0);
	assert_string_equal(asked.text, text);
}

static struct control_request launch_of(const char *spec)
{
	struct control_request request = make_request("launch", NULL);

	give(&request, "spec", spec);
	return request;
}

static void launch_one(const char *spec)
{
	struct control_request request = launch_of(spec);

	ask_and_await(caller, &request, &asked);
	if (!asked.answered || asked.code)
		fail_msg("%s", asked.text);
}

/* Of ours with the host. */
static int count_connections(void)
{
	assert_int_equal(
		sh("ss -Htnp state established dport = :%d | grep -c pid=%d,", port, getpid()), 0);
	return atoi(output);
}

/* Until the host has done as much as it can of it. */
static void turn_until(const char *audit_line)
{
	for (unsigned i = 0; i < SECONDS * 50; i++) {
		turn_all(&caller, 1);
		if (sh("grep -q '%s' audit/*.log", audit_line) == 0)
			return;
	}
	fail_msg("never: %s", audit_line);
}

/* ---- tests ---- */

static void a_connection_is_used_again(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++)
		do_one("list", NULL, "done");
	assert_non_null(strstr(asked.result, "\"instances\""));
	assert_int_equal(count_connections(), 1);
}

static void requests_are_under_way_side_by_side(void **state)
{
	struct control_request stop = make_request("stop", "s"), list = make_request("list", NULL);
	struct asked stopped, listed[30];

	(void)state;
	launch_one(SPEC("s", "stubborn", ""));
	assert_string_equal(asked.text, "instance s runs");
	ask(caller, &stop, 30, &stopped);
	for (size_t i = 0; i < ARRAY_LEN(listed); i++)
		ask(caller, &list, 30, &listed[i]);
	for (size_t i = 0; i < ARRAY_LEN(listed); i++) {
		await(caller, &listed[i]);
		assert_string_equal(listed[i].text, "done");
	}
	assert_int_equal(stopped.calls, 0);
	/* None more than it takes. */
	assert_in_range(count_connections(), 2, CALL_AT_ONCE - 1);
	do_one("kill", "s", "killed");
	await(caller, &stopped);
	assert_string_equal(stopped.text, "killed");
}

static void a_launch_brings_its_keys(void **state)
{
	struct control_request request = launch_of(SPEC("web", "kernel", VOLUME("good")));

	(void)state;
	give_key(&request, 5, "open sesame");
	ask_and_await(caller, &request, &asked);
	assert_string_equal(asked.text, "instance web runs");
	do_one("status", "web", "done");
	assert_non_null(strstr(asked.result, "key=open sesame"));
	do_one("kill", "web", "killed");
}

static void what_the_host_refuses_is_an_answer(void **state)
{
	struct control_request request = launch_of(SPEC("web", "kernel", VOLUME("good")));
	SSL_CTX *reader = context_of("reader");
	struct caller *other = open_caller(reader);

	(void)state;
	ask_and_await(caller, &request, &asked);
	assert_true(asked.answered);
	assert_int_equal(asked.code, EINVAL);
	assert_non_null(strstr(asked.text, "key_fd: no key 5 came with the request"));
	give_key(&request, 5, "open sesame");
	ask_and_await(other, &request, &asked);
	assert_true(asked.answered);
	assert_int_equal(asked.code, EACCES);
	assert_string_equal(asked.text, "wrapping needs the role operator; reader is reader");
	caller_close(other);
	SSL_CTX_free(reader);
}

/* One whose authority the host does not know. */
static void who_is_not_let_in_is_told(void **state)
{
	struct control_request request = make_request("list", NULL);
	SSL_CTX *stranger = context_of("stranger");
	struct caller *other = open_caller(stranger);

	(void)state;
	ask_and_await(other, &request, &asked);
	assert_false(asked.answered);
	assert_true(asked.code == EPROTO || asked.code == ECONNRESET);
	assert_non_null(strstr(asked.text, "host (127.0.0.1 port "));
	caller_close(other);
	SSL_CTX_free(stranger);
}

static void kill_daemon(void)
{
	assert_true(daemon_pid > 0);
	assert_int_equal(kill(daemon_pid, SIGKILL), 0);
}

static void await_next(void)
{
	pid_t before = daemon_pid;

	do
		wait_daemon();
	while (daemon_pid == before || !daemon_pid);
}

/* Those that nobody uses at the moment are gone too. */
static void the_next_controller_is_asked_when_one_is_killed(void **state)
{
	(void)state;
	do_one("list", NULL, "done");
	kill_daemon();
	do_one("list", NULL, "done");
	await_next();
}

static void the_next_controller_answers_once(void **state)
{
	struct control_request stop = make_request("stop", "s");
	struct asked stopped;

	(void)state;
	launch_one(SPEC("s", "stubborn", ""));
	ask(caller, &stop, 30, &stopped);
	turn_until("\"stop\".*\"accepted\"");
	usleep(200000); /* the keeper knows it */
	kill_daemon();
	turn_until("sent again, see line");
	assert_int_equal(stopped.calls, 0);
	await_next();
	await_status("s", "s: running");
	do_one("kill", "s", "killed");
	await(caller, &stopped);
	assert_true(stopped.answered);
	assert_string_equal(stopped.text, "killed");
	for (unsigned i = 0; i < 10; i++)
		turn_all(&caller, 1);
	assert_int_equal(stopped.calls, 1);
}

/* Its keys are wrapped for another controller than before. */
static void a_launch_goes_on_with_the_next_controller(void **state)
{
	struct control_request request = launch_of(SPEC("late", "kernel", VOLUME("late")));
	struct asked launched;

	(void)state;
	give_key(&request, 5, "open sesame");
	ask(caller, &request, 30, &launched);
	turn_until("\"launch\".*\"late\".*\"accepted\"");
	usleep(200000);
	kill_daemon();
	await(caller, &launched);
	assert_true(launched.answered);
	assert_string_equal(launched.text, "instance late runs");
	await_next();
	assert_int_equal(sh("cat audit/*.log | grep -c '\"launch\".*\"late\".*\"accepted\"'"), 0);
	assert_string_equal(output, "1\n");
	do_one("kill", "late", "killed");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_connection_is_used_again),
		cmocka_unit_test(requests_are_under_way_side_by_side),
		cmocka_unit_test(a_launch_brings_its_keys),
		cmocka_unit_test(what_the_host_refuses_is_an_answer),
		cmocka_unit_test(who_is_not_let_in_is_told),
		cmocka_unit_test(the_next_controller_is_asked_when_one_is_killed),
		cmocka_unit_test(the_next_controller_answers_once),
		cmocka_unit_test(a_launch_goes_on_with_the_next_controller),
	};

	be_what_is_launched(argc, argv);
	return cmocka_run_group_tests(tests, begin, end);
}
