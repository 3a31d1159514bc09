/* SPDX-License-Identifier: Apache-2.0 */
/* A host that is started in a quarantine: its callers are told so, and that is all. */
#include "serve_harness.h"

static void end_daemon(int number)
{
	kill(keeper_pid, number);
	if (number == SIGKILL)
		kill(daemon_pid, number);
	wait_end(keeper_pid);
}

static void begin_daemon(void)
{
	keeper_pid = start_daemon("host");
	wait_daemon();
}

static void spoil(const char *file)
{
	assert_int_equal(
		sh("cp %s whole && rm %s && cp whole %s && printf x >>%s", file, file, file, file),
		0);
}

static void mend(const char *file)
{
	assert_int_equal(sh("mv whole %s", file), 0);
}

/* One that is to run, ended with its controller; and something is wrong meanwhile. */
static void begin_in_quarantine(void)
{
	write_spec("web", "GOOD", "");
	MUST("launch web.json");
	end_daemon(SIGKILL);
	spoil("karuta-card-null");
	assert_int_equal(sh("rm -f ran"), 0);
	begin_daemon();
}

static void refused(const char *who, const char *words)
{
	int code =
		!strcmp(who, "admin") ? CALL("admin", "%s", words) : CALL("operator", "%s", words);

	if (code != 1 || !says("quarantine since ") || !says("karuta-card-null"))
		fail_msg("%s: %d: %s", words, code, output);
}

/* Stand-ins leave a mark when they are executed. */
static void nothing_runs(void)
{
	assert_int_equal(sh("test -e ran"), 1);
}

static void release(void)
{
	if (CALL("admin", "release reason=restored") != 0)
		fail_msg("%s", output);
}

static void forget(const char *name)
{
	CALL("operator", "kill %s", name);
	MUST("forget %s", name);
}

static void it_tells_and_starts_nothing(void **state)
{
	(void)state;
	begin_in_quarantine();
	assert_int_equal(CALL("reader", "host --json"), 0);
	assert_true(says("\"quarantine\": \"since ") && says("karuta-card-null is not what"));
	assert_true(says("\"release\": 1"));
	assert_int_equal(CALL("reader", "status web"), 0);
	assert_true(says("web: ended: not started: the host is in quarantine"));
	assert_int_equal(CALL("reader", "evidence 00112233445566778899aabbccddeeff0011223344556677"
					"8899aabbccddeeff --json"),
			 0);
	assert_int_equal(CALL("reader", "events"), 0);
	assert_int_equal(CALL("admin", "audit --json"), 0);
	assert_true(says("in quarantine"));
	refused("operator", "launch web.json");
	refused("operator", "start web");
	refused("operator", "wrapping");
	refused("operator", "make-volume n.vol size=4096");
	refused("operator", "forget web");
	refused("admin", "update-host");
	refused("admin", "renew-request");
	assert_int_equal(CALL("operator", "release reason=mine"), 1);
	assert_true(says("needs the role admin"));
	nothing_runs();
	mend("karuta-card-null");
	nothing_runs();
	release();
	await_status("web", "web: running");
	MUST("wrapping");
	forget("web");
}

/* All is measured again, and may be wrong still. */
static void what_is_still_wrong_begins_another(void **state)
{
	(void)state;
	begin_in_quarantine();
	assert_int_equal(CALL("admin", "release reason=hope"), 1);
	assert_true(says("quarantine: karuta-card-null is not what"));
	refused("operator", "start web");
	nothing_runs();
	mend("karuta-card-null");
	/* Here, by whoever sits at the host. */
	assert_int_equal(sh("./karuta-controller release --state state restored"), 0);
	await_status("web", "web: running");
	forget("web");
}

static void the_next_controller_stands_still_too(void **state)
{
	(void)state;
	begin_in_quarantine();
	kill(daemon_pid, SIGKILL);
	wait_daemon();
	refused("operator", "start web");
	end_daemon(SIGTERM);
	begin_daemon();
	refused("operator", "launch web.json");
	nothing_runs();
	/* What is not wanted any more is not started then. */
	MUST("stop web");
	assert_true(says("will not be started again"));
	mend("karuta-card-null");
	release();
	MUST("start web");
	forget("web");
}

static void does_not_start(const char *why)
{
	keeper_pid = start_daemon("host");
	assert_int_equal(wait_end(keeper_pid), 1);
	sh("cat notes");
	if (!says(why))
		fail_msg("not \"%s\": %s", why, output);
}

/* Neither in the quarantine that this begins, nor in one that there was. */
static void a_controller_that_is_another_does_not_start(void **state)
{
	static const char *const files[] = {"karuta-controller", "karuta-keeper",
					    "karuta.manifest"};

	(void)state;
	end_daemon(SIGTERM);
	for (size_t i = 0; i < 3; i++) {
		spoil(files[i]);
		does_not_start("quarantine: ");
		assert_int_equal(sh("ls state/evidence | wc -l >before"), 0);
		does_not_start(files[i]);
		/* To one that there was nothing is added. */
		assert_int_equal(sh("ls state/evidence | wc -l | cmp - before"), 0);
		mend(files[i]);
		if (i < 2)
			assert_int_equal(sh("./karuta-controller release --state state restored"),
					 0);
	}
	begin_daemon();
	assert_int_equal(CALL("reader", "host --json"), 0);
	assert_true(says("\"quarantine\": \"since ") && says("karuta.manifest"));
	release();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_tells_and_starts_nothing),
		cmocka_unit_test(what_is_still_wrong_begins_another),
		cmocka_unit_test(the_next_controller_stands_still_too),
		cmocka_unit_test(a_controller_that_is_another_does_not_start),
	};

	be_what_is_launched(argc, argv);
	return cmocka_run_group_tests(tests, make_host, end_host);
}
