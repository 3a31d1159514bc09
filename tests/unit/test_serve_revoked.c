/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates that are revoked while the daemon serves. */
#include "serve_harness.h"

static int first_port;

/* crl.pem is what this authority has revoked until now. */
static void publish(const char *where, const char *options)
{
	assert_int_equal(
		sh("cd %s && touch index.txt && printf '[ca]\\ndefault_ca=d\\n[d]\\n"
		   "database=index.txt\\ndefault_md=sha384\\ndefault_crl_days=30\\n' >ca.cnf && "
		   "openssl ca -config ca.cnf -cert ca.pem -keyfile ca.key -gencrl %s -out new.crl",
		   where, options),
		0);
	assert_int_equal(sh("mv %s/new.crl crl.pem", where), 0);
}

static void revoke_one(const char *name)
{
	assert_int_equal(
		sh("openssl ca -config ca.cnf -cert ca.pem -keyfile ca.key -revoke %s.pem", name),
		0);
	publish(".", "");
}

static int begin(void **state)
{
	(void)state;
	publish(".", "");
	port = first_port + 1;
	if (sh("./karuta-controller serve --listen 127.0.0.1:%d --ca ca.pem --cert host.pem --key "
	       "host.key --crl crl.pem --files srv --state state2 --audit audit2 >notes2 2>&1 & "
	       "echo $! "
	       ">daemon",
	       port) != 0)
		return -1;
	wait_daemon();
	return 0;
}

static int end(void **state)
{
	(void)state;
	port = first_port;
	return sh(
		"kill $(cat daemon); while kill -0 $(cat daemon); do sleep 0.05; done 2>/dev/null; "
		"rm -rf audit2 state2 index.txt*");
}

static void the_revoked_are_refused_and_others_are_not(void **state)
{
	(void)state;
	assert_int_equal(CALL("operator", "list"), 0);
	revoke_one("operator");
	assert_int_equal(CALL("operator", "list"), 3);
	assert_int_equal(sh("grep 'refused: certificate verify failed' notes2"), 0);
	assert_int_equal(CALL("reader", "list"), 0);
}

/* Who is in has to show its certificate again, whether or not somebody else comes. */
static void the_revoked_are_put_out(void **state)
{
	struct guest guest;
	uint8_t byte;

	(void)state;
	guest = connect_as("operator");
	say_frame(&guest, "?", 1);
	assert_int_equal(hear(&guest), EBADMSG);
	leave(&guest);
	guest = connect_as("operator");
	revoke_one("operator");
	assert_false(hear_bytes(&guest, &byte, 1));
	leave(&guest);
}

static void a_list_that_is_of_no_use_lets_nobody_in(void **state)
{
	(void)state;
	assert_int_equal(sh("mv crl.pem away"), 0);
	assert_int_equal(CALL("reader", "list"), 3);
	assert_int_equal(sh("grep 'refused: crl.pem: No such file' notes2; mv away crl.pem"), 0);
	assert_int_equal(CALL("reader", "list"), 0);
	assert_int_equal(sh("echo nothing >new && mv new crl.pem"), 0);
	assert_int_equal(CALL("reader", "list"), 3);
	/* Of somebody else; of the past. */
	publish("bad", "");
	assert_int_equal(CALL("reader", "list"), 3);
	publish(".", "-crlsec 1");
	sleep(3);
	assert_int_equal(CALL("reader", "list"), 3);
	publish(".", "");
	assert_int_equal(CALL("reader", "list"), 0);
}

/* The next controller lets nobody in, and has all that runs. */
static void a_list_that_is_gone_ends_nothing(void **state)
{
	(void)state;
	launch("kept");
	assert_int_equal(sh("pgrep -P $(pgrep -P $(cat daemon) -f 'serve --keeper') >pids && "
			    "mv crl.pem away && kill -9 $(pgrep -P $(cat daemon) -f 'serve "
			    "--keeper') && sleep 1 && kill -0 $(cat pids)"),
			 0);
	assert_int_equal(CALL("reader", "list"), 3);
	assert_int_equal(sh("grep '1 instances go on' notes2 && mv away crl.pem"), 0);
	assert_int_equal(CALL("reader", "status kept"), 0);
	assert_true(says("kept: running"));
	kill_one("kept");
}

static void without_its_list_it_does_not_start(void **state)
{
	(void)state;
	assert_int_equal(sh("./karuta-controller serve --listen 127.0.0.1:1 --ca ca.pem --cert "
			    "host.pem --key host.key --crl missing --files srv --state state2 "
			    "--audit audit3"),
			 1);
	assert_true(says("missing: No such file"));
}

static int make(void **state)
{
	int ret = make_host(state);

	first_port = port;
	return ret;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_revoked_are_refused_and_others_are_not, begin,
						end),
		cmocka_unit_test_setup_teardown(the_revoked_are_put_out, begin, end),
		cmocka_unit_test_setup_teardown(a_list_that_is_of_no_use_lets_nobody_in, begin,
						end),
		cmocka_unit_test_setup_teardown(a_list_that_is_gone_ends_nothing, begin, end),
		cmocka_unit_test(without_its_list_it_does_not_start),
	};

	be_what_is_launched(argc, argv);
	return cmocka_run_group_tests(tests, make, end_host);
}
