/* SPDX-License-Identifier: Apache-2.0 */
/* Hypervisors that are replaced while their instance runs. */
#include "controller_harness.h"

#define VOLUME "{\"kind\": \"volume\", \"name\": \"v\", \"store\": \"good.vol\", \"key_fd\": 50}"
#define UPDATE "./karuta-controller update test --hypervisor --socket s "

static void wait_noted(const char *text)
{
	if (sh("for i in $(seq 500); do grep -q '%s' notes && exit 0; sleep 0.02; done; cat notes; "
	       "exit 1",
	       text))
		fail_msg("not noted: %s: %s", text, output);
}

/* How many there are; `settled`: one that has handed over is there for a moment. */
static void expect_hypervisors(pid_t pid, unsigned count)
{
	if (sh("for i in $(seq 250); do [ $(pgrep -c -P %d -f karuta-hypervisor) = %u ] && exit 0; "
	       "sleep 0.02; done; exit 1",
	       pid, count))
		fail_msg("there are not %u hypervisors", count);
}

static void expect_fds(pid_t pid, unsigned count)
{
	for (unsigned i = 0; i < 100 && count_fds(pid) != count; i++)
		usleep(20000);
	assert_int_equal(count_fds(pid), count);
}

static void hypervisor_is_replaced(void **state)
{
	pid_t pid = run_until_running("GOOD", VOLUME);
	unsigned before = settled_fds(pid);

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(sh("pgrep -P %d -f karuta-hypervisor >first", pid), 0);
		assert_int_equal(sh(UPDATE), 0);
		assert_string_equal(output, "instance test goes on after 1.5 ms\n");
		expect_hypervisors(pid, 1);
		assert_int_not_equal(sh("pgrep -P %d -f karuta-hypervisor | cmp - first", pid), 0);
		VERB("status test");
		assert_true(says("attached"));
	}
	expect_fds(pid, before);
	/* It takes commands, and descriptors. */
	assert_int_equal(VERB("pause test"), 0);
	assert_int_equal(sh(UPDATE), 0);
	VERB("status test");
	assert_true(says("test: paused"));
	assert_int_equal(VERB("resume test"), 0);
	assert_int_equal(sh("./karuta-controller attach test kind=null name=n --socket s"), 0);
	assert_int_equal(sh("./karuta-controller detach test n --socket s"), 0);
	assert_int_equal(VERB("stop test"), 0);
	assert_int_equal(wait_end(pid), 0);
}

static void program_that_is_of_no_use_changes_nothing(void **state)
{
	pid_t pid = run_until_running("GOOD", VOLUME);
	unsigned before = settled_fds(pid);

	(void)state;
	assert_int_equal(sh("pgrep -P %d -f karuta-hypervisor >first", pid), 0);
	assert_int_equal(sh("mkdir useless && cp /bin/false useless/karuta-hypervisor"), 0);
	assert_int_equal(sign("useless", 2), 0);
	assert_int_equal(sh(UPDATE "useless/karuta-hypervisor"), 1);
	assert_true(says("the hypervisor is not updated: ended with exit code 1"));
	assert_int_equal(sh(UPDATE "/etc/passwd"), 1);
	assert_true(says("program /etc/passwd: Permission denied"));
	assert_int_equal(sh(UPDATE "./karuta-controller"), 1);
	assert_int_equal(sh("touch hold; " UPDATE), 1);
	assert_true(says("not updated: the new program did not get ready in time"));
	assert_int_equal(sh("rm hold; pgrep -P %d -f karuta-hypervisor | cmp - first", pid), 0);
	expect_fds(pid, before);
	assert_int_equal(sh(UPDATE), 0);
	kill_instance(pid);
}

static void words_that_make_no_sense_are_refused(void **state)
{
	pid_t pid = run_until_running("GOOD", VOLUME);

	(void)state;
	assert_int_equal(sh("./karuta-controller update test --socket s"), 2);
	assert_int_equal(sh(UPDATE "v program"), 2);
	assert_int_equal(sh(UPDATE "missing"), 2);
	kill_instance(pid);
}

static void refuse(const char *kind)
{
	pid_t pid = run_until_running(kind, VOLUME);

	assert_int_equal(sh(UPDATE), 1);
	assert_true(says("not updated: the fake does not do that"));
	expect_hypervisors(pid, 1);
	assert_int_equal(VERB("pause test"), 0);
	kill_instance(pid);
}

static void hypervisor_that_refuses_goes_on(void **state)
{
	(void)state;
	refuse("SHY");
	refuse("KEEPER");
}

static void hypervisor_that_ends_without_handing_over_ends_the_instance(void **state)
{
	pid_t pid = run_until_running("LOSER", VOLUME);

	(void)state;
	assert_int_equal(sh(UPDATE), 1);
	assert_true(says("the instance has ended"));
	assert_int_equal(wait_end(pid), 1);
	assert_int_equal(sh("grep 'hypervisor: nothing was handed over' notes"), 0);
}

static void guest_that_powers_off_meanwhile_has_powered_off(void **state)
{
	pid_t pid = run_until_running("OFF", VOLUME);

	(void)state;
	assert_int_equal(sh(UPDATE), 1);
	assert_int_equal(wait_end(pid), 0);
	assert_int_equal(sh("grep 'powered off by the guest' notes"), 0);
}

/* The guest is the other's; the first one is ended. */
static void hypervisor_that_stays_is_ended(void **state)
{
	pid_t pid = run_until_running("GREEDY", VOLUME);

	(void)state;
	assert_int_equal(sh(UPDATE), 0);
	expect_hypervisors(pid, 1);
	VERB("status test");
	assert_true(says("test: running"));
	kill_instance(pid);
}

/* Starts an update that does not get further than the other program's start. */
static void begin_update(pid_t pid)
{
	assert_int_equal(sh("touch hold; " UPDATE ">answer 2>&1 &"), 0);
	expect_hypervisors(pid, 2);
}

static void hypervisor_that_dies_while_it_is_updated_ends_the_instance(void **state)
{
	pid_t pid = run_until_running("GOOD", VOLUME);

	(void)state;
	begin_update(pid);
	assert_int_equal(sh("pkill -KILL -o -P %d -f karuta-hypervisor", pid), 0);
	assert_int_equal(wait_end(pid), 1);
	assert_int_equal(sh("rm hold; grep 'hypervisor: killed by signal 9' notes"), 0);
	assert_int_equal(sh("grep 'the instance has ended' answer"), 0);
}

static void successor_that_dies_changes_nothing(void **state)
{
	pid_t pid = run_until_running("GOOD", VOLUME);

	(void)state;
	begin_update(pid);
	assert_int_equal(sh(UPDATE), 1);
	assert_true(says("is being updated already"));
	assert_int_equal(sh("pkill -KILL -n -P %d -f karuta-hypervisor", pid), 0);
	wait_noted("not updated: killed by signal 9");
	assert_int_equal(sh("rm hold; " UPDATE), 0);
	kill_instance(pid);
}

static void kill_ends_both(void **state)
{
	pid_t pid = run_until_running("GOOD", VOLUME);

	(void)state;
	begin_update(pid);
	kill_instance(pid);
	assert_int_equal(sh("rm hold; pgrep -P %d", pid), 1);
}

/* Nothing is handed over before it is back. */
static void card_that_dies_meanwhile_is_started_again_first(void **state)
{
	pid_t pid = run_until_running("GOOD", VOLUME);

	(void)state;
	begin_update(pid);
	assert_int_equal(sh("pkill -KILL -P %d -f karuta-card", pid), 0);
	wait_noted("card v (slot 1) goes on after");
	assert_int_equal(sh("rm hold"), 0);
	wait_noted("instance test goes on after 1.5 ms");
	VERB("status test");
	assert_true(says("attached"));
	kill_instance(pid);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hypervisor_is_replaced),
		cmocka_unit_test(program_that_is_of_no_use_changes_nothing),
		cmocka_unit_test(words_that_make_no_sense_are_refused),
		cmocka_unit_test(hypervisor_that_refuses_goes_on),
		cmocka_unit_test(hypervisor_that_ends_without_handing_over_ends_the_instance),
		cmocka_unit_test(guest_that_powers_off_meanwhile_has_powered_off),
		cmocka_unit_test(hypervisor_that_stays_is_ended),
		cmocka_unit_test(hypervisor_that_dies_while_it_is_updated_ends_the_instance),
		cmocka_unit_test(successor_that_dies_changes_nothing),
		cmocka_unit_test(kill_ends_both),
		cmocka_unit_test(card_that_dies_meanwhile_is_started_again_first),
	};

	be_what_is_launched(argc, argv);
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
