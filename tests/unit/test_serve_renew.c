/* SPDX-License-Identifier: Apache-2.0 */
/* The host's certificate is replaced while it serves. */
#include "serve_harness.h"

static void ask(void)
{
	if (CALL("admin", "renew-request >next.csr") != 0 ||
	    sh("openssl req -in next.csr -noout -verify") != 0)
		fail_msg("%s", output);
}

/* The request as next.pem; `more`: of the certificate's kind. */
static void certify(const char *authority, const char *subject, const char *more)
{
	if (sh("openssl x509 -req -in next.csr -CA %s.pem -CAkey %s.key -CAcreateserial -days 5 "
	       "-extfile %s.ext -subj '%s' -out next.pem 2>&1",
	       authority, authority, more, subject) != 0)
		fail_msg("%s", output);
}

static void install(void)
{
	if (CALL("admin", "renew-install next.pem") != 0)
		fail_msg("%s", output);
}

/* The serial number that a new connection is shown is that of the file. */
static bool newcomers_are_shown(const char *file)
{
	return sh("echo | openssl s_client -connect 127.0.0.1:%d -CAfile ca.pem -alpn karuta/1 "
		  "2>/dev/null | openssl x509 -noout -serial >shown && "
		  "openssl x509 -noout -serial -in %s | cmp - shown",
		  port, file) == 0;
}

static void newcomers_are_shown_the_next_one_and_others_stay(void **state)
{
	static const uint8_t list[] =
		"\x83\x50\0\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17\x64list\xa0";
	struct guest guest = connect_as("reader");

	(void)state;
	assert_int_equal(sh("cp host.pem first.pem"), 0);
	assert_true(newcomers_are_shown("first.pem"));
	ask();
	certify("ca", "/CN=host/OU=host", "host");
	assert_true(newcomers_are_shown("first.pem"));
	install();
	assert_int_equal(sh("cmp host.pem next.pem && [ $(stat -c %%a host.key) = 600 ]"), 0);
	assert_true(newcomers_are_shown("next.pem"));
	say_frame(&guest, list, sizeof(list) - 1);
	assert_int_equal(hear(&guest), 0);
	leave(&guest);
	assert_int_equal(CALL("reader", "list"), 0);
}

static void the_next_one_is_there_after_the_controller(void **state)
{
	(void)state;
	ask();
	certify("ca", "/CN=host/OU=host", "host");
	install();
	kill(daemon_pid, SIGKILL);
	wait_daemon();
	assert_true(newcomers_are_shown("next.pem"));
}

static void a_request_is_the_same_until_there_is_a_certificate(void **state)
{
	(void)state;
	ask();
	assert_int_equal(sh("cp next.csr before.csr"), 0);
	ask();
	assert_int_equal(sh("cmp next.csr before.csr"), 0);
	certify("ca", "/CN=host/OU=host", "host");
	install();
	assert_int_equal(CALL("admin", "renew-install next.pem"), 1);
	assert_true(says("no certificate was asked for"));
	ask();
	assert_int_equal(sh("cmp -s next.csr before.csr"), 1);
}

static void refused(const char *why)
{
	assert_int_equal(sh("cp host.pem kept.pem && cp host.key kept.key"), 0);
	assert_int_equal(CALL("admin", "renew-install next.pem"), 1);
	if (!says(why))
		fail_msg("not \"%s\": %s", why, output);
	assert_int_equal(sh("cmp host.pem kept.pem && cmp host.key kept.key && ! ls *.new"), 0);
}

static void what_does_not_fit_is_not_installed(void **state)
{
	(void)state;
	ask();
	certify("ca", "/CN=other/OU=host", "host");
	refused("its name (CN) is not host");
	certify("ca", "/CN=host/OU=admin", "host");
	refused("its role (OU) is not host");
	certify("ca", "/CN=host/OU=host", "admin");
	refused("purpose");
	certify("bad/ca", "/CN=host/OU=host", "host");
	refused("certificate: ");
	assert_int_equal(sh("cp first.pem next.pem"), 0);
	refused("not for the key that was asked for");
	assert_int_equal(sh("echo x >next.pem"), 0);
	refused("must be one, in PEM");
	/* It may still come. */
	certify("ca", "/CN=host/OU=host", "host");
	install();
	assert_true(newcomers_are_shown("next.pem"));
}

/* Between the two questions: the key is gone, and nothing else. */
static void a_controller_that_was_killed_is_asked_again(void **state)
{
	(void)state;
	ask();
	certify("ca", "/CN=host/OU=host", "host");
	kill(daemon_pid, SIGKILL);
	wait_daemon();
	refused("no certificate was asked for");
	ask();
	certify("ca", "/CN=host/OU=host", "host");
	install();
	assert_true(newcomers_are_shown("next.pem"));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(newcomers_are_shown_the_next_one_and_others_stay),
		cmocka_unit_test(the_next_one_is_there_after_the_controller),
		cmocka_unit_test(a_request_is_the_same_until_there_is_a_certificate),
		cmocka_unit_test(what_does_not_fit_is_not_installed),
		cmocka_unit_test(a_controller_that_was_killed_is_asked_again),
	};

	be_what_is_launched(argc, argv);
	return cmocka_run_group_tests(tests, make_host, end_host);
}
