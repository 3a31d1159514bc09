/* SPDX-License-Identifier: Apache-2.0 */
/* The plane's HTTPS server, with real clients. */
#include "plane_http_harness.h"

static char text[1 << 21];

static void ends_with(const char *whole, const char *end)
{
	size_t length = strlen(whole), tail = strlen(end);

	if (length < tail || strcmp(whole + length - tail, end) != 0)
		fail_msg("'%s' does not end with '%s'", whole, end);
}

static void has(const char *whole, const char *part)
{
	if (!strstr(whole, part))
		fail_msg("'%s' is not in '%s'", part, whole);
}

static void a_request_is_answered(void **state)
{
	(void)state;
	start_server();
	run(text, sizeof(text), CURL "-i -H 'X-Test: 5' '" URL "/echo/a%%20b?x=1&y=%%C3%%A9+z&w'",
	    folder, port);
	has(text, "HTTP/1.1 200 OK");
	has(text, "ETag: \"7\"");
	has(text, "Cache-Control: no-store");
	has(text, "\"path\":\"/echo/a b\"");
	has(text, "\"query\":{\"x\":\"1\",\"y\":\"é z\",\"w\":\"\"}");
	has(text, "\"header\":\"5\"");
	has(text, "\"address\":\"127.0.0.1\"");
	run(text, sizeof(text), CURL "-I " URL "/echo", folder, port);
	has(text, "HTTP/1.1 200 OK");
	assert_null(strstr(text, "\"path\""));
	run(text, sizeof(text), CURL URL "/nowhere", folder, port);
	has(text, "\"code\":\"not-found\"");
	ends_with(text, "\n404");
	stop_server();
}

static void bodies_come_whole_or_are_refused(void **state)
{
	(void)state;
	start_server();
	run(text, sizeof(text), CURL "-d '{\"a\":1}' " URL "/echo", folder, port);
	has(text, "\"body\":\"{\\\"a\\\":1}\"");
	run(text, sizeof(text),
	    CURL "-X PATCH -H 'Transfer-Encoding: chunked' -d '{\"a\":1}' " URL "/echo", folder,
	    port);
	has(text, "\"method\":\"PATCH\"");
	has(text, "\"body\":\"{\\\"a\\\":1}\"");
	run(text, sizeof(text),
	    "head -c 1048576 /dev/zero | tr '\\0' x >%s/most; echo x >>%s/more; "
	    "cat %s/most >>%s/more",
	    folder, folder, folder, folder);
	run(text, sizeof(text), CURL "--data-binary @most " URL "/echo", folder, port);
	has(text, "\"length\":1048576");
	run(text, sizeof(text), CURL "--data-binary @more " URL "/echo", folder, port);
	has(text, "body-too-large");
	ends_with(text, "\n413");
	run(text, sizeof(text), CURL "-H Expect: --data-binary @more " URL "/echo", folder, port);
	ends_with(text, "\n413");
	run(text, sizeof(text),
	    CURL "-X PUT -H Expect: -H 'Transfer-Encoding: chunked' --data-binary @more " URL
		 "/echo",
	    folder, port);
	has(text, "body-too-large");
	ends_with(text, "\n413");
	run(text, sizeof(text),
	    CURL "-X PATCH -H 'Expect: 100-continue' --data-binary @more " URL "/echo", folder,
	    port);
	ends_with(text, "\n413");
	run(text, sizeof(text), CURL "-v -H 'Expect: 100-continue' -d x " URL "/echo 2>&1", folder,
	    port);
	has(text, "100 Continue");
	ends_with(text, "\n200");
	stop_server();
}

/* ---- waiting ---- */

/* A client in the background; its output goes to the file. */
static pid_t background(const char *path, const char *file)
{
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		char command[512];

		snprintf(command, sizeof(command),
			 "cd %s && exec curl -sN --cacert ca.pem " URL "%s >%s", folder, port, path,
			 file);
		execl("/bin/sh", "sh", "-c", command, NULL);
		_exit(127);
	}
	return child;
}

static void must_end_well(pid_t child)
{
	int status;

	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void kill_client(pid_t child)
{
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

static void file_has(const char *file, const char *part)
{
	CLEANUP_FREE char *all = NULL;

	for (int i = 0; i < 100; i++) {
		free(all);
		all = read_whole(file);
		if (strstr(all, part))
			return;
		usleep(20000);
	}
	fail_msg("'%s' is not in '%s'", part, all);
}

static void a_held_exchange_is_answered_later(void **state)
{
	pid_t client;

	(void)state;
	start_server();
	client = background("/hold", "held");
	wait_for("held", 1);
	run(text, sizeof(text), CURL URL "/release", folder, port);
	must_end_well(client);
	file_has("held", "{\"released\":true}");
	assert_int_equal(count("gone"), 0);
	stop_server();
}

static void who_holds_is_told_that_the_client_has_gone(void **state)
{
	pid_t client;

	(void)state;
	start_server();
	client = background("/hold", "held");
	wait_for("held", 1);
	kill_client(client);
	wait_for("gone", 1);
	assert_int_equal(count("held"), 0);
	wait_for("connections", 1);
	stop_server();
}

static void a_stream_sends_events_until_it_is_ended(void **state)
{
	pid_t client;

	(void)state;
	start_server();
	client = background("/stream", "events");
	file_has("events", "event: hello\nid: 1\ndata: one\ndata: two\n\n");
	run(text, sizeof(text), CURL URL "/say", folder, port);
	file_has("events", "\n\nid: 42\ndata: said\n\n");
	run(text, sizeof(text), CURL URL "/hush", folder, port);
	must_end_well(client);
	assert_int_equal(count("gone"), 0);
	stop_server();
}

static void a_stream_whose_client_goes_or_does_not_read_is_ended(void **state)
{
	pid_t gone, deaf;

	(void)state;
	start_server();
	gone = background("/stream", "events");
	wait_for("streams", 1);
	kill_client(gone);
	wait_for("gone", 1);
	deaf = background("/stream", "deaf");
	file_has("deaf", "data: two");
	kill(deaf, SIGSTOP);
	for (int i = 0; i < 300 && count("streams") == 1; i++)
		run(text, sizeof(text), CURL URL "/flood", folder, port);
	assert_int_equal(count("streams"), 0);
	assert_int_equal(count("gone"), 2);
	kill_client(deaf);
	stop_server();
}

static void the_end_of_the_server_is_told_to_who_waits(void **state)
{
	pid_t held, stream;

	(void)state;
	start_server();
	held = background("/hold", "held");
	stream = background("/stream", "events");
	wait_for("held", 1);
	wait_for("streams", 1);
	stop_server();
	must_end_well(held);
	must_end_well(stream);
	file_has("held", "\"code\":\"closing\"");
}

static void answers_on_a_kept_connection_come_in_order(void **state)
{
	static const char one[] = "GET /echo/%d HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n";
	char all[1024] = "", *at = text;

	(void)state;
	start_server();
	for (int i = 0; i < 8; i++)
		snprintf(all + strlen(all), sizeof(all) - strlen(all), one, i);
	strcat(all, "GET /ok HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n");
	say(text, sizeof(text), all);
	for (int i = 0; i < 8; i++) {
		char path[32];

		snprintf(path, sizeof(path), "\"path\":\"/echo/%d\"", i);
		at = strstr(at, path);
		assert_non_null(at);
	}
	stop_server();
}

/* ---- certificates ---- */

static void a_certificate_of_the_authority_tells_who_it_is(void **state)
{
	(void)state;
	start_server();
	run(text, sizeof(text), CURL "--cert ann.pem --key ann.key " URL "/echo", folder, port);
	has(text, "\"name\":\"ann\",\"unit\":\"operator\"");
	run(text, sizeof(text),
	    CURL "--cert ann.pem --key ann.key " URL "/echo | grep -o '\"serial\":\"[0-9a-f]*' | "
		 "cut -d'\"' -f4 >serial; openssl x509 -in ann.pem -noout -serial | cut -d= -f2 | "
		 "tr A-F a-f | cmp - serial && echo same",
	    folder, port);
	has(text, "same");
	run(text, sizeof(text), CURL URL "/echo", folder, port);
	has(text, "\"name\":\"\",\"unit\":\"\"");
	stop_server();
}

static void a_foreign_certificate_and_an_older_version_are_refused(void **state)
{
	(void)state;
	start_server();
	run(text, sizeof(text),
	    CURL "--cert other/mallory.pem --key other/mallory.key " URL "/echo", folder, port);
	ends_with(text, "\n000");
	run(text, sizeof(text), CURL "--tls-max 1.2 " URL "/echo", folder, port);
	ends_with(text, "\n000");
	run(text, sizeof(text), "curl -s -w '\\n%%{http_code}' http://127.0.0.1:%u/echo", port);
	ends_with(text, "\n000");
	run(text, sizeof(text), CURL URL "/echo", folder, port);
	ends_with(text, "\n200");
	stop_server();
}

static void a_new_certificate_takes_the_place_of_the_old(void **state)
{
	static const char shown[] = "cd %s && openssl s_client -connect 127.0.0.1:%u </dev/null "
				    "2>/dev/null | grep subject";
	pid_t stream;

	(void)state;
	start_server();
	stream = background("/stream", "events");
	wait_for("streams", 1);
	run(text, sizeof(text), shown, folder, port);
	has(text, "CN = plane,");
	kill(server, SIGUSR1);
	for (int i = 0; i < 100 && !strstr(text, "CN = plane2,"); i++)
		run(text, sizeof(text), shown, folder, port);
	has(text, "CN = plane2,");
	run(text, sizeof(text), CURL "--cert ann.pem --key ann.key " URL "/say", folder, port);
	file_has("events", "data: said");
	kill_client(stream);
	stop_server();
}

/* ---- the log ---- */

static void the_log_has_a_line_a_request_and_no_token(void **state)
{
	CLEANUP_FREE char *log = NULL;
	char *line, *rest = NULL;
	unsigned lines = 0;

	(void)state;
	start_server();
	run(text, sizeof(text),
	    CURL "-H 'Authorization: Bearer karuta_secret' '" URL
		 "/echo/%%22karuta_secret?token=karuta_secret'",
	    folder, port);
	run(text, sizeof(text), CURL "-X DELETE " URL "/nowhere", folder, port);
	stop_server();
	log = read_whole("log");
	assert_null(strstr(log, "secret"));
	has(log, "\"path\":\"/echo/\\\"...\",\"status\":200,");
	for (line = strtok_r(log, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest), lines++) {
		json_t *parsed = json_loads(line, 0, NULL);
		const char *time, *who, *method, *path;
		json_int_t number;
		int status;
		double ms;

		assert_int_equal(json_unpack(parsed, "{s:s, s:I, s:s, s:s, s:s, s:i, s:f}", "time",
					     &time, "number", &number, "who", &who, "method",
					     &method, "path", &path, "status", &status, "ms", &ms),
				 0);
		assert_int_equal(number, lines + 1);
		assert_string_equal(who, "someone");
		json_decref(parsed);
	}
	assert_int_equal(lines, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_is_answered),
		cmocka_unit_test(bodies_come_whole_or_are_refused),
		cmocka_unit_test(a_held_exchange_is_answered_later),
		cmocka_unit_test(who_holds_is_told_that_the_client_has_gone),
		cmocka_unit_test(a_stream_sends_events_until_it_is_ended),
		cmocka_unit_test(a_stream_whose_client_goes_or_does_not_read_is_ended),
		cmocka_unit_test(the_end_of_the_server_is_told_to_who_waits),
		cmocka_unit_test(answers_on_a_kept_connection_come_in_order),
		cmocka_unit_test(a_certificate_of_the_authority_tells_who_it_is),
		cmocka_unit_test(a_foreign_certificate_and_an_older_version_are_refused),
		cmocka_unit_test(a_new_certificate_takes_the_place_of_the_old),
		cmocka_unit_test(the_log_has_a_line_a_request_and_no_token),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
