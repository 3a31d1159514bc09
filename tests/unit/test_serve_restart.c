/* SPDX-License-Identifier: Apache-2.0 */
/* Instances live more than once: after their own end by their policy, after that of the controller
 * by the book. */
#include "serve_harness.h"

/* As the operator, with these words. */
#define REFUSED(text, words, ...)                                                                  \
	do {                                                                                       \
		assert_int_equal(CALL("operator", words, ##__VA_ARGS__), 1);                       \
		if (!says(text))                                                                   \
			fail_msg("%s", output);                                                    \
	} while (0)

#define KEYED                                                                                      \
	", \"cards\": [{\"kind\": \"volume\", \"name\": \"v\", \"store\": \"good.vol\", "          \
	"\"key_fd\": 5}]"

static void kill_hypervisor(const char *name)
{
	assert_int_equal(CALL("reader",
			      "status %s --json | grep -m1 '\"pid\": [1-9]' | tr -dc 0-9 "
			      ">pid && kill -9 $(cat pid)",
			      name),
			 0);
}

/* Descriptors of key memory that the controller has. */
static unsigned count_keys(void)
{
	sh("ls -l /proc/%d/fd | grep -c karuta-key", daemon_pid);
	return (unsigned)atoi(output);
}

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

static void forget(const char *name)
{
	CALL("operator", "kill %s", name);
	MUST("forget %s", name);
}

static void it_comes_back_when_its_hypervisor_dies(void **state)
{
	(void)state;
	write_spec("web", "GOOD", KEYED);
	MUST("launch web.json keys=5:key");
	for (unsigned i = 1; i <= 2; i++) {
		char text[32];

		kill_hypervisor("web");
		snprintf(text, sizeof(text), "restarts: %u, the last after", i);
		await_status("web", text);
		assert_true(says("killed by signal 9"));
	}
	await_status("web", "web: running");
	/* It was asked for its key once. */
	assert_true(says("key=open sesame"));
	assert_int_equal(CALL("reader", "list --json"), 0);
	assert_true(says("\"restarts\": 2") && says("\"restart\": \"on-failure\""));
	assert_true(says("\"last\": \"hypervisor: killed by signal 9"));
	assert_int_equal(count_keys(), 2);
	MUST("stop web");
	await_status("web", "web: ended: powered off by the guest");
	assert_int_equal(count_keys(), 0);
	forget("web");
}

static void without_a_policy_it_stays_where_it_is(void **state)
{
	(void)state;
	write_spec("never", "GOOD", KEYED ", \"restart\": \"never\"");
	MUST("launch never.json keys=5:key");
	/* The card's, as there will be no other. */
	assert_int_equal(count_keys(), 1);
	kill_hypervisor("never");
	await_status("never", "never: ended: hypervisor: killed");
	assert_int_equal(count_keys(), 0);
	write_spec("brief", "BRIEF", "");
	MUST("launch brief.json");
	await_status("brief", "brief: ended: powered off by the guest");
	usleep(700000);
	assert_int_equal(CALL("reader", "status brief"), 0);
	assert_true(says("brief: ended"));
	assert_int_equal(sh("grep -c 'wanted stopped' state/brief.instance state/never.instance"),
			 0);
	forget("never");
	forget("brief");
}

static void what_was_stopped_can_be_started(void **state)
{
	static const char id[] = "--id 101112131415161718191a1b1c1d1e1f";

	(void)state;
	write_spec("web", "GOOD", KEYED);
	MUST("launch web.json keys=5:key");
	REFUSED("instance web runs already", "start web keys=5:key");
	REFUSED("instance web is running; stop it first", "forget web");
	MUST("stop web");
	REFUSED("keys: 2 came, 1 are asked for", "start web keys=5:key keys=6:key");
	MUST("start web keys=5:key %s", id);
	assert_string_equal(output, "instance web runs\n");
	MUST("stop web");
	/* The same request, which was carried out. */
	MUST("start web keys=5:key %s", id);
	await_status("web", "web: ended");
	/* One that does not come to run leaves it as it was. */
	sh("echo BAD >srv/web.kernel");
	REFUSED("not a kernel", "start web keys=5:key");
	await_status("web", "web: ended: hypervisor: kernel: not a kernel");
	assert_int_equal(count_keys(), 0);
	MUST("forget web");
	REFUSED("there is no instance web", "start web");
	REFUSED("there is no instance web", "forget web");
	assert_int_equal(sh("ls state | grep -c instance"), 1);
}

static void a_launch_that_fails_leaves_nothing(void **state)
{
	(void)state;
	write_spec("web", "GOOD", "");
	MUST("launch web.json");
	MUST("stop web");
	assert_int_equal(sh("cp state/web.instance before"), 0);
	sh("mv web.json good.json");
	write_spec("web", "BAD", ", \"cpus\": 2");
	REFUSED("not a kernel", "launch web.json");
	assert_int_equal(sh("cmp state/web.instance before"), 0);
	/* Neither where it is not even begun. */
	sh("rm srv/web.kernel");
	REFUSED("No such file", "launch web.json");
	assert_int_equal(sh("cmp state/web.instance before"), 0);
	MUST("forget web");
	REFUSED("No such file", "launch web.json");
	assert_int_equal(sh("test -e state/web.instance"), 1);
}

static void what_cannot_be_written_down_is_not_done(void **state)
{
	(void)state;
	write_spec("web", "GOOD", "");
	assert_int_equal(sh("mkdir state/web.instance.new"), 0);
	REFUSED("instance web cannot be written down: Is a directory", "launch web.json");
	assert_int_not_equal(sh("pgrep -P %d", daemon_pid), 0);
	assert_int_equal(sh("rmdir state/web.instance.new"), 0);
	MUST("launch web.json");
	assert_int_equal(sh("mkdir state/web.instance.new"), 0);
	REFUSED("cannot be written down", "stop web");
	REFUSED("cannot be written down", "kill web");
	await_status("web", "web: running");
	assert_int_equal(sh("rmdir state/web.instance.new"), 0);
	forget("web");
}

/* The end of the controller is that of its instances, but not of what is wanted. */
static void the_next_controller_goes_on(void **state)
{
	static const int signals[] = {SIGTERM, SIGKILL};

	(void)state;
	write_spec("plain", "GOOD", "");
	write_spec("keyed", "GOOD", KEYED);
	write_spec("never", "GOOD", ", \"restart\": \"never\"");
	write_spec("stopped", "GOOD", "");
	MUST("launch plain.json");
	MUST("launch stopped.json");
	MUST("stop stopped");
	for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
		if (i)
			MUST("forget never");
		MUST("launch never.json");
		if (!i)
			MUST("launch keyed.json keys=5:key");
		end_daemon(signals[i]);
		begin_daemon();
		await_status("plain", "plain: running");
		await_status("keyed", "keyed: waiting for keys");
		await_status("never", "never: ended: not started since the controller was");
		await_status("stopped", "stopped: ended: not started since the controller was");
		REFUSED("key_fd: no key 5 came", "start keyed");
		await_status("keyed", "keyed: waiting for keys");
		MUST("start keyed keys=5:key");
		await_status("keyed", "key=open sesame");
		kill_hypervisor("keyed");
		await_status("keyed", "restarts: 1");
	}
	forget("plain");
	forget("keyed");
	forget("never");
	forget("stopped");
}

/* One whose end comes always too soon, and one that cannot even begin. */
static void it_fails_when_that_happens_too_often(void **state)
{
	(void)state;
	write_spec("away", "GOOD", "");
	write_spec("brief", "BRIEF", KEYED ", \"restart\": \"always\"");
	write_spec("web", "GOOD", "");
	MUST("launch away.json");
	MUST("launch web.json");
	MUST("launch brief.json keys=5:key");
	end_daemon(SIGKILL);
	sh("mv srv/away.kernel kept.kernel");
	begin_daemon();
	MUST("start brief keys=5:key");
	await_status("web", "web: running");
	await_status("away", "away: failed: kernel: open");
	await_status("brief", "brief: failed: powered off by the guest");
	assert_int_equal(CALL("reader", "list --json"), 0);
	assert_true(says("\"restarts\": 5"));
	assert_int_equal(count_keys(), 0);
	assert_int_equal(sh("grep -c 'ended too often to be started again' notes"), 0);
	assert_string_equal(output, "2\n");
	sh("mv kept.kernel srv/away.kernel");
	MUST("start away");
	REFUSED("key_fd: no key 5 came with the request", "start brief");
	MUST("forget brief");
	forget("away");
	forget("web");
}

/* Whatever it is waiting for, it does not wait for it any more. */
static void what_does_not_run_can_be_stopped(void **state)
{
	(void)state;
	write_spec("away", "GOOD", KEYED);
	MUST("launch away.json keys=5:key");
	sh("mv srv/away.kernel kept.kernel");
	kill_hypervisor("away");
	assert_int_equal(sh("for i in $(seq 200); do grep -q 'away: .*again in 2000 ms' notes && "
			    "exit 0; sleep 0.05; done; exit 1"),
			 0);
	assert_int_equal(count_keys(), 1);
	await_status("away", "away: restarting: kernel: open");
	REFUSED("there is an instance away already", "launch away.json keys=5:key");
	REFUSED("instance away is restarting; stop it first", "forget away");
	MUST("stop away");
	assert_string_equal(output, "instance away will not be started again\n");
	assert_int_equal(count_keys(), 0);
	await_status("away", "away: ended");
	REFUSED("instance away has ended", "stop away");
	MUST("forget away");
	write_spec("sleepy", "GOOD",
		   ", \"cards\": [{\"kind\": \"local\", \"store\": \"sleepy.vol\"}]");
	assert_int_equal(sh("(./karuta-controller call 127.0.0.1:%d --ca ca.pem --cert "
			    "operator.pem --key operator.key launch sleepy.json >launched 2>&1 &)",
			    port),
			 0);
	await_status("sleepy", "sleepy: starting");
	MUST("stop sleepy");
	assert_string_equal(output, "killed\n");
	await_status("sleepy", "sleepy: ended: killed");
	MUST("forget sleepy");
}

static void a_book_that_was_changed_is_not_used(void **state)
{
	(void)state;
	write_spec("web", "GOOD", "");
	MUST("launch web.json");
	end_daemon(SIGKILL);
	assert_int_equal(sh("cp state/web.instance good; stat -c %%s good"), 0);
	for (int i = 0, length = atoi(output); i < 3; i++) {
		int at = i == 0 ? 0 : i == 1 ? length - 1 : length * i / 5;

		assert_int_equal(sh("cp good state/web.instance; rm -f ran; python3 - %d <<'END'\n"
				    "import sys\n"
				    "f = open('state/web.instance', 'r+b')\n"
				    "f.seek(int(sys.argv[1]))\n"
				    "b = f.read(1)[0] ^ 4\n"
				    "f.seek(int(sys.argv[1]))\n"
				    "f.write(bytes([b]))\nEND\ncp state/web.instance changed",
				    at),
				 0);
		begin_daemon();
		assert_int_equal(CALL("operator", "launch web.json"), 1);
		assert_true(says("nothing starts until it is released"));
		end_daemon(SIGTERM);
		assert_int_equal(sh("cat notes"), 0);
		assert_true(says("quarantine: state: web.instance: not what was written"));
		assert_int_equal(sh("cmp changed state/evidence/%d/file && "
				    "grep 'what web.instance' state/evidence/%d/reason",
				    i + 1, i + 1),
				 0);
		/* Nothing of it is used, nothing else is started. */
		assert_int_equal(sh("./karuta-controller verify --state state"), 1);
		assert_int_not_equal(sh("cat ran"), 0);
		assert_int_equal(sh("./karuta-controller release --state state tested"), 0);
	}
	assert_int_equal(sh("cp good state/web.instance"), 0);
	begin_daemon();
	await_status("web", "web: running");
	forget("web");
}

/* Written by somebody else, as book.h says. */
static void a_host_has_64_at_most(void **state)
{
	(void)state;
	end_daemon(SIGTERM);
	assert_int_equal(
		sh("cd state && for i in $(seq 64); do spec='{\"name\": \"i'$i'\", \"memory\": "
		   "\"64M\", \"kernel\": \"kernel\"}'; printf 'karuta instance 1\\nname "
		   "i%%d\\nwanted stopped\\nlength %%d\\n%%s\\n' $i ${#spec} \"$spec\" "
		   ">i$i.instance; sha384sum <i$i.instance | cut -c 1-96 >>i$i.instance; done"),
		0);
	begin_daemon();
	write_spec("web", "GOOD", "");
	REFUSED("there are 64 instances already; forget one that does not run", "launch web.json");
	MUST("start i7");
	MUST("kill i7");
	MUST("forget i7");
	MUST("launch web.json");
	forget("web");
	end_daemon(SIGTERM);
	assert_int_equal(sh("rm state/i*.instance"), 0);
	begin_daemon();
}

/* The keys go where the descriptors go that are counted: nothing is left of many lives. */
static void nothing_is_left_of_many_lives(void **state)
{
	unsigned before = settled_fds(daemon_pid);

	(void)state;
	write_spec("web", "GOOD", KEYED);
	for (unsigned i = 0; i < 2; i++) {
		MUST("launch web.json keys=5:key");
		kill_hypervisor("web");
		await_status("web", "restarts: 1");
		await_status("web", "web: running");
		MUST("kill web");
		REFUSED("no key 5 came", "start web");
		MUST("start web keys=5:key");
		MUST("kill web");
	}
	MUST("forget web");
	assert_int_equal(settled_fds(daemon_pid), before);
	assert_int_not_equal(sh("pgrep -P %d", daemon_pid), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_comes_back_when_its_hypervisor_dies),
		cmocka_unit_test(without_a_policy_it_stays_where_it_is),
		cmocka_unit_test(what_was_stopped_can_be_started),
		cmocka_unit_test(a_launch_that_fails_leaves_nothing),
		cmocka_unit_test(what_cannot_be_written_down_is_not_done),
		cmocka_unit_test(the_next_controller_goes_on),
		cmocka_unit_test(it_fails_when_that_happens_too_often),
		cmocka_unit_test(what_does_not_run_can_be_stopped),
		cmocka_unit_test(a_book_that_was_changed_is_not_used),
		cmocka_unit_test(a_host_has_64_at_most),
		cmocka_unit_test(nothing_is_left_of_many_lives),
	};

	be_what_is_launched(argc, argv);
	return cmocka_run_group_tests(tests, make_host, end_host);
}
