/* SPDX-License-Identifier: Apache-2.0 */
/* Clients of the plane that do not keep to the rules: they are refused, others are served. */
#include <sys/resource.h>

#include "plane_http_harness.h"

#define HALF_OPEN 5000u /* connections, of HALF_OPEN / 1000 addresses */

static char text[1 << 16];

/* The server's clock, which /later moves. */
uint64_t __real_os_now(void);
uint64_t __wrap_os_now(void);
uint64_t __wrap_os_now(void)
{
	return __real_os_now() + later;
}

static void has(const char *whole, const char *part)
{
	if (!strstr(whole, part))
		fail_msg("'%s' is not in '%s'", part, whole);
}

/* Status and, of what the plane itself has refused, code. */
static void is_refused(const char *request, const char *status, const char *code)
{
	say(text, sizeof(text), request);
	if (strncmp(text, "HTTP/1.1 ", 9) != 0 || strncmp(text + 9, status, 3) != 0)
		fail_msg("'%s' is answered by '%s'", request, text);
	if (code) {
		has(text, "application/problem+json");
		has(text, code);
	}
}

#define HEAD "HTTP/1.1\\r\\nHost: a\\r\\n"

static void what_can_be_misread_is_refused(void **state)
{
	(void)state;
	start_server();
	is_refused("GET /a//b " HEAD "\\r\\n", "400", "bad-target");
	is_refused("GET /a/%%2e%%2e/b " HEAD "\\r\\n", "400", "bad-target");
	is_refused("GET /a%%00b " HEAD "\\r\\n", "400", "bad-target");
	is_refused("GET /a?x=1&x=2 " HEAD "\\r\\n", "400", "bad-target");
	is_refused("GET /echo HTTP/1.1\\r\\n\\r\\n", "400", NULL);
	is_refused("GET /echo " HEAD "Host: b\\r\\n\\r\\n", "400", "bad-header");
	is_refused("GET /echo " HEAD "X: a\\001b\\r\\n\\r\\n", "400", NULL);
	is_refused("GET /echo " HEAD "Authorization: a\\r\\nAuthorization: b\\r\\n\\r\\n", "400",
		   "bad-header");
	is_refused("POST /echo " HEAD
		   "Content-Length: 1\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n0\\r\\n\\r\\n",
		   "400", NULL);
	is_refused("POST /echo " HEAD "Content-Length: -1\\r\\n\\r\\n", "400", NULL);
	is_refused("POST /echo " HEAD "Content-Length: 99999999999999999999\\r\\n\\r\\n", "413",
		   NULL);
	is_refused("POST /echo " HEAD "Transfer-Encoding: chunked\\r\\n\\r\\nzz\\r\\n", "400",
		   NULL);
	is_refused("BREW /echo " HEAD "\\r\\n", "501", "method-unknown");
	is_refused("POST /echo " HEAD "Expect: tea\\r\\nContent-Length: 1\\r\\n\\r\\nx", "417",
		   "bad-expectation");
	is_refused("GET /nobody-answers " HEAD "Connection: close\\r\\n\\r\\n", "500", "internal");
	is_refused("GET https://a/nowhere " HEAD "Connection: close\\r\\n\\r\\n", "404",
		   "not-found");
	stop_server();
}

static void a_head_that_is_too_large_is_refused(void **state)
{
	(void)state;
	start_server();
	run(text, sizeof(text),
	    CURL "-H \"X: $(head -c 20000 /dev/zero | tr '\\0' x)\" " URL "/echo", folder, port);
	has(text, "head-too-large");
	has(text, "\n431");
	run(text, sizeof(text), CURL "\"" URL "/$(head -c 20000 /dev/zero | tr '\\0' x)\"", folder,
	    port);
	has(text, "head-too-large");
	run(text, sizeof(text), CURL "$(seq -f '-HX%%g:1' 70) " URL "/echo", folder, port);
	has(text, "head-too-large");
	/* Past what the library has room for: it refuses by itself. */
	run(text, sizeof(text),
	    CURL "-H \"X: $(head -c 100000 /dev/zero | tr '\\0' x)\" " URL "/echo", folder, port);
	has(text, "\n431");
	stop_server();
}

static void must_be_served(void)
{
	run(text, sizeof(text), CURL URL "/ok", folder, port);
	has(text, "ok\n\n200");
}

/* Within so many milliseconds. */
static bool is_ended(int fd, int within)
{
	struct pollfd poller = {.fd = fd, .events = POLLIN};
	char bytes[256];

	while (poll(&poller, 1, within) == 1) {
		if (read(fd, bytes, sizeof(bytes)) <= 0)
			return true;
	}
	return false;
}

static void more_files(void)
{
	struct rlimit files;

	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max < 16384 ? files.rlim_max : 16384;
	setrlimit(RLIMIT_NOFILE, &files);
}

static uint64_t resident(void)
{
	unsigned long long kib = 0;

	run(text, sizeof(text), "awk '/^VmRSS/ {print $2}' /proc/%d/status", server);
	sscanf(text, "%llu", &kib);
	return kib * KIB;
}

static void thousands_of_half_open_connections_harm_nobody(void **state)
{
	static int fds[HALF_OPEN];
	uint64_t before;

	(void)state;
	more_files();
	start_server();
	must_be_served();
	before = resident();
	for (unsigned i = 0; i < HALF_OPEN; i++) {
		fds[i] = connect_plain(2 + i / 1000);
		assert_true(fds[i] >= 0);
		if (i % 500 == 0)
			must_be_served();
	}
	must_be_served();
	/* Of an address there are as many as may be; the first of each have made room. */
	assert_in_range(count("connections"), HALF_OPEN / 1000 * 512, HALF_OPEN / 1000 * 512 + 2);
	assert_true(is_ended(fds[0], 2000));
	assert_true(is_ended(fds[HALF_OPEN - 1000], 2000));
	print_message("%u half-open connections: %llu KiB more resident\n", HALF_OPEN,
		      (unsigned long long)((resident() - before) / KIB));
	for (unsigned i = 0; i < HALF_OPEN; i++)
		os_close(&fds[i]);
	wait_for("connections", 1);
	stop_server();
}

/* From the same address, too: who asks for something has room. */
static void who_floods_pushes_out_his_own(void **state)
{
	static int fds[1000];

	(void)state;
	start_server();
	for (unsigned i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = connect_plain(1);
	must_be_served();
	assert_true(is_ended(fds[0], 2000));
	for (unsigned i = 0; i < ARRAY_LEN(fds); i++)
		os_close(&fds[i]);
	stop_server();
}

static void later_is(void)
{
	run(text, sizeof(text), CURL URL "/later", folder, port);
	has(text, "\n204");
}

static void who_is_slow_is_cut_off(void **state)
{
	int silent, pair[2];
	pid_t slow;

	(void)state;
	start_server();
	silent = connect_plain(2);
	assert_int_equal(os_pipe(pair), 0);
	slow = fork();
	if (slow == 0) {
		char command[512];

		dup2(pair[0], STDIN_FILENO);
		snprintf(command, sizeof(command),
			 "cd %s; exec openssl s_client -quiet -CAfile ca.pem -connect 127.0.0.1:%u "
			 "2>/dev/null",
			 folder, port);
		execl("/bin/sh", "sh", "-c", command, NULL);
		_exit(127);
	}
	close(pair[0]);
	dprintf(pair[1], "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n");
	wait_for("connections", 3);
	for (int i = 0; i < 50; i++) {
		usleep(2000);
		dprintf(pair[1], "x");
	}
	assert_false(is_ended(silent, 100));
	later_is();
	assert_true(is_ended(silent, 2000));
	wait_for("connections", 2);
	later_is();
	later_is();
	later_is();
	wait_for("connections", 1);
	close(silent);
	close(pair[1]);
	waitpid(slow, NULL, 0);
	stop_server();
}

/* Of those who send bodies and do not finish them no more is kept than may be. */
static void bodies_of_an_address_have_a_bound(void **state)
{
	pid_t clients[24];
	unsigned refused = 0;

	(void)state;
	start_server();
	for (unsigned i = 0; i < ARRAY_LEN(clients); i++) {
		clients[i] = fork();
		if (clients[i] == 0)
			exit(run(text, sizeof(text),
				 "cd %s; (printf 'PUT /echo HTTP/1.1\\r\\nHost: a\\r\\n"
				 "Connection: close\\r\\nContent-Length: 1048576\\r\\n\\r\\n'; "
				 "head -c 1048500 /dev/zero; "
				 "sleep 1; head -c 76 /dev/zero) | timeout 3 openssl s_client "
				 "-quiet -CAfile ca.pem "
				 "-connect 127.0.0.1:%u 2>/dev/null | grep -q '\"code\":\"busy\"'",
				 folder, port));
	}
	usleep(500000);
	must_be_served();
	for (unsigned i = 0; i < ARRAY_LEN(clients); i++) {
		int status;

		waitpid(clients[i], &status, 0);
		refused += status == 0;
	}
	assert_true(refused >= 1);
	stop_server();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_can_be_misread_is_refused),
		cmocka_unit_test(a_head_that_is_too_large_is_refused),
		cmocka_unit_test(thousands_of_half_open_connections_harm_nobody),
		cmocka_unit_test(who_floods_pushes_out_his_own),
		cmocka_unit_test(who_is_slow_is_cut_off),
		cmocka_unit_test(bodies_of_an_address_have_a_bound),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
