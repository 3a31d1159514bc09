/* SPDX-License-Identifier: Apache-2.0 */
/* Instances go on when their controller is killed: the next one has all that it had. */
#include "serve_harness.h"

/* As the rest of a specification. */
#define WITH(store)                                                                                \
	", \"cards\": [{\"kind\": \"volume\", \"name\": \"v\", \"store\": \"" store                \
	".vol\", \"key_fd\": 5}]"

/* "1234 1235": of the hypervisor and its cards. */
static const char *processes_of(const char *name)
{
	static char text[2][256];
	static unsigned turn;

	turn = !turn;
	assert_int_equal(CALL("reader",
			      "status %s --json | grep -o '\"pid\": [0-9]*' | tr -dc "
			      "'0-9\\n' | tr '\\n' ' '",
			      name),
			 0);
	snprintf(text[turn], sizeof(text[turn]), "%.255s", output);
	return text[turn];
}

/* Its processes are in `before`. */
static void launch_web(char before[256])
{
	write_spec("web", "GOOD", WITH("good"));
	MUST("launch web.json keys=5:key");
	snprintf(before, 256, "%s", processes_of("web"));
}

static unsigned release = 1;

/* Another program in the place of one, in a release of its own. */
static void install(const char *program, const char *what)
{
	assert_int_equal(sh("mv karuta-%s good && %s karuta-%s && chmod 755 karuta-%s", program,
			    what, program, program),
			 0);
	assert_int_equal(sign(".", ++release), 0);
}

static void put_back(const char *program)
{
	assert_int_equal(sh("mv good karuta-%s", program), 0);
	assert_int_equal(sign(".", ++release), 0);
	wait_daemon();
}

static void kill_daemon(void)
{
	pid_t before = daemon_pid;

	assert_true(daemon_pid > 0);
	kill(daemon_pid, SIGKILL);
	do
		wait_daemon();
	while (daemon_pid == before || !daemon_pid);
}

/* After each test. */
static int clean(void **state)
{
	(void)state;
	CALL("operator", "kill web");
	return CALL("operator", "forget web") == 0 ? 0 : -1;
}

static void an_instance_goes_on(void **state)
{
	char before[256];

	(void)state;
	write_spec("web", "GOOD", WITH("good"));
	sh("echo '{\"kind\": \"null\", \"name\": \"n\", \"slot\": 7}' >n.json");
	MUST("launch web.json keys=5:key");
	MUST("attach web n.json");
	snprintf(before, sizeof(before), "%s", processes_of("web"));
	for (unsigned i = 0; i < 3; i++) {
		kill_daemon();
		await_status("web", "web: running");
		assert_string_equal(processes_of("web"), before);
	}
	assert_int_equal(sh("grep -c 'goes on with this controller' notes"), 0);
	assert_string_equal(output, "3\n");
	/* And it can be ordered about. */
	MUST("detach web card=n");
	MUST("attach web n.json");
	MUST("pause web");
	await_status("web", "web: paused");
	kill_daemon();
	await_status("web", "web: paused");
	MUST("resume web");
	MUST("update web card=v");
	MUST("stop web");
	await_status("web", "web: ended: powered off by the guest");
}

static void its_end_is_told_as_it_was(void **state)
{
	(void)state;
	write_spec("web", "GOOD", WITH("good"));
	MUST("launch web.json keys=5:key");
	kill_daemon();
	await_status("web", "web: running");
	sh("kill -9 $(echo %s | cut -d' ' -f1)", processes_of("web"));
	await_status("web", "restarts: 1, the last after: hypervisor: killed by signal 9");
	await_status("web", "web: running");
	/* With its key. */
	assert_true(says("key=open sesame"));
}

static void a_card_that_died_meanwhile_is_started_again(void **state)
{
	char before[256];
	pid_t old;

	(void)state;
	launch_web(before);
	old = daemon_pid;
	/* It does not see it. */
	kill(old, SIGSTOP);
	sh("kill -9 $(echo %s | cut -d' ' -f2)", before);
	kill_daemon();
	await_status("web", "web: running");
	for (unsigned i = 0; i < 100 && sh("grep -q 'card v .* goes on after' notes") != 0; i++)
		usleep(50000);
	assert_string_not_equal(processes_of("web"), before);
	MUST("stop web");
}

static void what_nobody_knows_of_is_ended(void **state)
{
	(void)state;
	write_spec("web", "GOOD", WITH("good"));
	MUST("launch web.json keys=5:key");
	/* A program that was started, and that no record names: a stand-in. */
	kill_daemon();
	assert_int_equal(sh("pgrep -P %d | wc -l", keeper_pid), 0);
	assert_string_equal(output, "3\n");
	MUST("kill web");
	kill_daemon();
	assert_int_equal(sh("pgrep -P %d | wc -l", keeper_pid), 0);
	assert_string_equal(output, "1\n");
}

static void what_was_answered_is_not_done_again(void **state)
{
	(void)state;
	write_spec("web", "GOOD", WITH("good"));
	MUST("launch web.json keys=5:key --id 000102030405060708090a0b0c0d0e0f");
	kill_daemon();
	MUST("launch web.json keys=5:key --id 000102030405060708090a0b0c0d0e0f");
	assert_string_equal(output, "instance web runs\n");
	assert_int_equal(CALL("operator", "launch web.json keys=5:key"), 1);
	assert_true(says("there is an instance web already"));
}

static void who_waits_for_the_end_is_answered_by_the_next(void **state)
{
	pid_t caller;

	(void)state;
	write_spec("web", "STUBBORN", WITH("good"));
	MUST("launch web.json keys=5:key");
	caller = fork();
	if (caller == 0) {
		execlp("sh", "sh", "-c",
		       "cd $0 && exec ./karuta-controller call 127.0.0.1:$1 --ca "
		       "ca.pem --cert operator.pem --key operator.key stop web",
		       folder, (char *)({
			       static char text[8];

			       snprintf(text, sizeof(text), "%d", port);
			       text;
		       }),
		       NULL);
		_exit(99);
	}
	for (unsigned i = 0; i < 100 && sh("tail -qn 1 audit/*.log | grep '\"stop\"'") != 0; i++)
		usleep(20000);
	usleep(200000); /* the keeper knows it */
	kill_daemon();
	await_status("web", "web: running");
	MUST("kill web");
	assert_int_equal(wait_end(caller), 0);
}

static void what_was_being_started_is_started_again(void **state)
{
	(void)state;
	write_spec("web", "GOOD", WITH("sleepy"));
	assert_int_equal(sh("./karuta-controller call 127.0.0.1:%d --ca ca.pem --cert operator.pem "
			    "--key operator.key launch web.json keys=5:key >late 2>&1 & "
			    "for i in $(seq 100); do test -e state/web.instance && break; sleep "
			    "0.02; done; sleep 0.2",
			    port),
			 0);
	sh("echo GOOD >srv/sleepy.vol; truncate -s 1M srv/sleepy.vol");
	kill_daemon();
	await_status("web", "web: running");
	for (unsigned i = 0; i < 100 && sh("test -s late") != 0; i++)
		usleep(50000);
	assert_int_equal(sh("cat late"), 0);
	assert_string_equal(output, "instance web runs\n");
	sh("echo SLEEPY >srv/sleepy.vol; truncate -s 1M srv/sleepy.vol");
}

/* Another one, which the controller has started. */
static void await_keeper(void)
{
	pid_t before = keeper_pid;

	for (unsigned i = 0; i < SECONDS * 50; i++) {
		if (sh("pgrep -P %d -f ^karuta-keeper", daemon_pid) == 0 &&
		    atoi(output) != before) {
			keeper_pid = (pid_t)atoi(output);
			return;
		}
		usleep(20000);
	}
	fail_msg("there is no other keeper");
}

/* With a keeper that is a child of ours. */
static void begin_anew(void)
{
	kill(keeper_pid, SIGTERM);
	for (unsigned i = 0; i < SECONDS * 50 && kill(keeper_pid, 0) == 0; i++)
		usleep(20000);
	assert_int_not_equal(kill(keeper_pid, 0), 0);
	keeper_pid = start_daemon("host");
	wait_daemon();
}

static void a_keeper_that_is_killed_is_replaced(void **state)
{
	char before[256];

	(void)state;
	launch_web(before);
	kill(keeper_pid, SIGKILL);
	wait_end(keeper_pid);
	await_keeper();
	kill_daemon();
	await_status("web", "web: running");
	assert_string_equal(processes_of("web"), before);
	/* How it ends is not told by anybody but its page. */
	MUST("stop web");
	await_status("web", "web: ended: powered off by the guest");
	begin_anew();
}

static void one_that_has_another_keeper_ends_when_it_is_told_to(void **state)
{
	(void)state;
	write_spec("web", "GOOD", WITH("good"));
	MUST("launch web.json keys=5:key");
	for (unsigned i = 1; i <= 2; i++) {
		kill(keeper_pid, SIGKILL);
		if (i == 1)
			wait_end(keeper_pid);
		await_keeper();
	}
	/* None of those that were before is left, as a zombie or otherwise. */
	assert_int_equal(sh("pgrep -P %d | wc -l", daemon_pid), 0);
	assert_string_equal(output, "3\n");
	kill(keeper_pid, SIGTERM);
	for (unsigned i = 0; i < 300 && kill(daemon_pid, 0) == 0; i++)
		usleep(20000);
	assert_int_not_equal(kill(daemon_pid, 0), 0);
	assert_int_not_equal(sh("pgrep -f '[s]erve --keeper-fd.*%s'", folder), 0);
	keeper_pid = start_daemon("host");
	wait_daemon();
}

static void an_order_to_stop_is_not_lost(void **state)
{
	(void)state;
	write_spec("web", "GOOD", WITH("good"));
	MUST("launch web.json keys=5:key");
	/* SHUTDOWN waits behind SYNC when the next one is killed as well. */
	sh("kill -STOP $(echo %s | cut -d' ' -f1)", processes_of("web"));
	kill_daemon();
	assert_int_equal(
		sh("(./karuta-controller call 127.0.0.1:%d --ca ca.pem --cert operator.pem "
		   "--key operator.key stop web >late 2>&1 &); for i in $(seq 100); do "
		   "tail -qn 1 audit/*.log | grep -q '\"stop\"' && break; sleep 0.02; done",
		   port),
		0);
	usleep(200000);
	kill_daemon();
	sh("pkill -CONT -f '^karuta-hypervisor'");
	await_status("web", "web: ended: powered off by the guest");
	for (unsigned i = 0; i < 100 && sh("test -s late") != 0; i++)
		usleep(50000);
	assert_int_equal(sh("cat late"), 0);
	assert_string_equal(output, "powered off by the guest\n");
}

/* What it has to settle first could not be told apart from a new order. */
static void what_is_not_settled_takes_no_orders(void **state)
{
	char before[256];

	(void)state;
	launch_web(before);
	sh("kill -STOP $(echo %s | cut -d' ' -f1)", before);
	kill_daemon();
	assert_int_equal(CALL("operator", "resize web v size=2097152"), 1);
	assert_true(says("the controller was just started again"));
	assert_int_equal(CALL("operator", "update web hypervisor=true"), 1);
	assert_true(says("the controller was just started again"));
	sh("kill -CONT $(echo %s | cut -d' ' -f1)", before);
	for (unsigned i = 0; i < 200 && CALL("operator", "resize web v size=2097152") != 0; i++)
		usleep(20000);
	assert_true(says("has 2097152 bytes now"));
	MUST("update web hypervisor=true");
	MUST("stop web");
}

/* The start is called off while nobody sees to it: both are answered. */
static void who_waits_for_what_is_called_off_is_answered(void **state)
{
	(void)state;
	write_spec("web", "GOOD", WITH("sleepy"));
	assert_int_equal(
		sh("call='./karuta-controller call 127.0.0.1:%d --ca ca.pem --cert operator.pem "
		   "--key operator.key --timeout 20'\n"
		   "$call launch web.json keys=5:key >launched 2>&1 &\n"
		   "for i in $(seq 100); do test -e state/web.instance && break; sleep "
		   "0.02; done; sleep 0.2; kill -STOP $(pgrep -P %d -f ^karuta-hypervisor)\n"
		   "$call stop web >killed 2>&1 & sleep 0.2",
		   port, daemon_pid),
		0);
	kill_daemon();
	for (unsigned i = 0; i < SECONDS * 20 && sh("test -s launched -a -s killed") != 0; i++)
		usleep(50000);
	assert_int_equal(sh("cat launched killed"), 0);
	if (says("no answer") || sh("test -s launched -a -s killed") != 0)
		fail_msg("%s", output);
	await_status("web", "web: ended");
}

static void with_both_all_ends_and_comes_back(void **state)
{
	char before[256];

	(void)state;
	launch_web(before);
	kill(keeper_pid, SIGKILL);
	kill(daemon_pid, SIGKILL);
	wait_end(keeper_pid);
	for (unsigned i = 0; i < 200 && sh("kill -0 %s 2>/dev/null", before) == 0; i++)
		usleep(20000);
	assert_int_not_equal(sh("kill -0 %s", before), 0);
	keeper_pid = start_daemon("host");
	wait_daemon();
	await_status("web", "web: waiting for keys");
	MUST("start web keys=5:key");
}

static void nothing_is_left_by_many_deaths(void **state)
{
	unsigned controller, keeper;

	(void)state;
	write_spec("web", "GOOD", WITH("good"));
	MUST("launch web.json keys=5:key");
	kill_daemon();
	await_status("web", "web: running");
	controller = settled_fds(daemon_pid);
	keeper = settled_fds(keeper_pid);
	for (unsigned i = 0; i < 4; i++) {
		kill_daemon();
		await_status("web", "web: running");
	}
	assert_int_equal(settled_fds(daemon_pid), controller);
	assert_int_equal(settled_fds(keeper_pid), keeper);
}

/* ---- another controller, another release ---- */

/* The programs of the host are replaced meanwhile; this one is the build's own. */
#define UPDATE_HOST(words)                                                                         \
	sh("%s/karuta-controller call 127.0.0.1:%d --ca ca.pem --cert admin.pem --key admin.key "  \
	   "update-host " words,                                                                   \
	   programs, port)

static void the_controller_is_replaced(void **state)
{
	pid_t old = daemon_pid;
	char before[256];

	(void)state;
	launch_web(before);
	assert_int_equal(CALL("operator", "update-host"), 1);
	assert_true(says("update-host needs the role admin"));
	assert_int_equal(UPDATE_HOST("part=controller"), 0);
	assert_string_equal(output, "release 1: the controller was updated\n");
	wait_daemon();
	assert_int_not_equal(daemon_pid, old);
	assert_string_equal(processes_of("web"), before);
	await_status("web", "web: running");
	MUST("stop web");
}

static void one_that_is_of_no_use_is_not_kept(void **state)
{
	char before[256];

	(void)state;
	launch_web(before);
	install("controller", "cp /bin/false");
	assert_int_equal(UPDATE_HOST(""), 1);
	assert_true(says("the new controller did not get ready; the old one goes on"));
	put_back("controller");
	assert_string_equal(processes_of("web"), before);
	MUST("stop web");
}

static void nor_is_one_that_cannot_be_executed(void **state)
{
	(void)state;
	install("controller", "echo nonsense >");
	assert_int_equal(UPDATE_HOST("part=controller"), 1);
	assert_true(says("the new controller did not get ready; the old one goes on"));
	put_back("controller");
}

static void a_keeper_that_is_of_no_use_is_not_kept(void **state)
{
	char before[256];

	(void)state;
	launch_web(before);
	install("keeper", "cp /bin/false");
	assert_int_equal(UPDATE_HOST(""), 1);
	assert_true(says("the new keeper did not get ready; one of the old program goes on"));
	wait_end(keeper_pid);
	await_keeper();
	assert_int_equal(sh("mv good karuta-keeper"), 0);
	assert_int_equal(sign(".", ++release), 0);
	kill_daemon();
	assert_string_equal(processes_of("web"), before);
	await_status("web", "web: running");
	MUST("stop web");
	begin_anew();
}

static void a_release_comes_one_part_after_the_other(void **state)
{
	const char *after;
	char before[256];
	pid_t old = daemon_pid;

	(void)state;
	write_spec("web", "GOOD", WITH("good"));
	MUST("launch web.json keys=5:key");
	MUST("attach web n.json");
	snprintf(before, sizeof(before), "%s", processes_of("web"));
	assert_int_equal(UPDATE_HOST(""), 0);
	assert_string_equal(strchr(output, ':'),
			    ": the controller, its keeper and 0 hypervisors and "
			    "cards were updated, 3 had it already\n");
	wait_daemon();
	assert_string_equal(processes_of("web"), before);
	/* A release in which hypervisor and volumes are others. */
	assert_int_equal(sh("for i in hypervisor card-volume; do cp karuta-$i new && echo >>new && "
			    "mv new karuta-$i; done"),
			 0);
	assert_int_equal(sign(".", ++release), 0);
	assert_int_equal(UPDATE_HOST(""), 0);
	assert_int_equal(atoi(output + strlen("release ")), release);
	assert_string_equal(strchr(output, ':'),
			    ": the controller, its keeper and 2 hypervisors and "
			    "cards were updated, 1 had it already\n");
	wait_daemon();
	assert_int_not_equal(daemon_pid, old);
	after = processes_of("web");
	assert_string_not_equal(after, before);
	assert_int_equal(sh("kill -0 %s", after), 0);
	await_status("web", "web: running");
	MUST("stop web");
}

static void a_part_that_does_not_get_healthy_is_what_it_was(void **state)
{
	char before[256];

	(void)state;
	launch_web(before);
	install("card-volume", "cp /bin/false");
	assert_int_equal(UPDATE_HOST(""), 1);
	assert_true(says("card v of web") && says("it is what it was, 0 others were updated"));
	put_back("card-volume");
	assert_string_equal(processes_of("web"), before);
	MUST("stop web");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(an_instance_goes_on, clean),
		cmocka_unit_test_teardown(its_end_is_told_as_it_was, clean),
		cmocka_unit_test_teardown(a_card_that_died_meanwhile_is_started_again, clean),
		cmocka_unit_test_teardown(what_nobody_knows_of_is_ended, clean),
		cmocka_unit_test_teardown(what_was_answered_is_not_done_again, clean),
		cmocka_unit_test_teardown(who_waits_for_the_end_is_answered_by_the_next, clean),
		cmocka_unit_test_teardown(what_was_being_started_is_started_again, clean),
		cmocka_unit_test_teardown(a_keeper_that_is_killed_is_replaced, clean),
		cmocka_unit_test_teardown(one_that_has_another_keeper_ends_when_it_is_told_to,
					  clean),
		cmocka_unit_test_teardown(an_order_to_stop_is_not_lost, clean),
		cmocka_unit_test_teardown(what_is_not_settled_takes_no_orders, clean),
		cmocka_unit_test_teardown(who_waits_for_what_is_called_off_is_answered, clean),
		cmocka_unit_test_teardown(with_both_all_ends_and_comes_back, clean),
		cmocka_unit_test_teardown(nothing_is_left_by_many_deaths, clean),
		cmocka_unit_test_teardown(the_controller_is_replaced, clean),
		cmocka_unit_test_teardown(one_that_is_of_no_use_is_not_kept, clean),
		cmocka_unit_test(nor_is_one_that_cannot_be_executed),
		cmocka_unit_test_teardown(a_release_comes_one_part_after_the_other, clean),
		cmocka_unit_test_teardown(a_keeper_that_is_of_no_use_is_not_kept, clean),
		cmocka_unit_test_teardown(a_part_that_does_not_get_healthy_is_what_it_was, clean),
	};

	be_what_is_launched(argc, argv);
	return cmocka_run_group_tests(tests, make_host, end_host);
}
