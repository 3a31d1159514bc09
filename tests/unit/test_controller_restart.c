/* SPDX-License-Identifier: Apache-2.0 */
/* Cards that die and are started again, and programs that take over. */
#include "controller_harness.h"
#include "marked_image.h"

#define VOLUME "{\"kind\": \"volume\", \"name\": \"v\", \"store\": \"good.vol\", \"key_fd\": 50}"

/* Until `text` has been noted so many times. */
static void wait_noted(const char *text, unsigned times)
{
	if (sh("for i in $(seq 500); do [ $(grep -c '%s' notes) -ge %u ] && exit 0; sleep 0.02; "
	       "done; cat notes; exit 1",
	       text, times))
		fail_msg("not noted: %s: %s", text, output);
}

/* A caller's descriptor is there for a moment after it has its answer. */
static void expect_fds(pid_t pid, unsigned count)
{
	for (unsigned i = 0; i < 100 && count_fds(pid) != count; i++)
		usleep(20000);
	assert_int_equal(count_fds(pid), count);
}

static void kill_card(pid_t pid)
{
	assert_int_equal(sh("pkill -KILL -P %d -f karuta-card", pid), 0);
}

/* With everything that it had; so many times, and then no more. */
static void dead_card_is_started_again(void **state)
{
	pid_t pid = run_until_running("GOOD", VOLUME);
	unsigned before = settled_fds(pid);

	(void)state;
	for (unsigned i = 1; i <= 5; i++) {
		kill_card(pid);
		wait_noted("card v (slot 1) goes on after", i);
		VERB("status test");
		assert_true(says("attached"));
		assert_true(says("3=socket: 4=pipe: 5=memfd:karuta-card-state 6=good.vol "
				 "7=memfd:karuta-key 8=memfd:karuta-status key=open sesame"));
		expect_fds(pid, before);
	}
	kill_card(pid);
	wait_noted("died too often", 1);
	assert_int_equal(sh("./karuta-controller detach test v --socket s"), 1);
	assert_true(says("being started again"));
	wait_noted("card v (slot 1) failed: killed by signal 9", 1);
	assert_int_equal(sh("./karuta-controller detach test v --socket s"), 0);
	assert_int_not_equal(sh("pgrep -P %d -f karuta-card", pid), 0);
	assert_int_equal(sh("./karuta-controller attach test kind=volume name=v store=good.vol "
			    "key_fd=9 --socket s 9<key"),
			 0);
	kill_instance(pid);
}

/* Another process would serve an empty disk as if it was the same. */
static void volume_in_memory_is_not_started_again(void **state)
{
	pid_t pid = run_until_running("GOOD", "{\"kind\": \"volume\", \"name\": \"v\", "
					      "\"store\": \"ram:\", \"size\": \"1M\"}");

	(void)state;
	assert_int_equal(sh("./karuta-controller update test v --socket s"), 1);
	assert_true(says("what is in its memory would be lost"));
	kill_card(pid);
	wait_noted("card v (slot 1) failed: killed by signal 9", 1);
	assert_int_not_equal(sh("grep 'started again' notes"), 0);
	kill_instance(pid);
}

/* The hypervisor refuses the new process each time. */
static void card_that_is_not_taken_back_fails(void **state)
{
	pid_t pid = run_until_running("PICKY", VOLUME);

	(void)state;
	kill_card(pid);
	wait_noted("the fake does not do that; it is started again", 2);
	wait_noted("card v (slot 1) failed", 1);
	kill_instance(pid);
}

/* A link ends before its process does: what is told is how that ended. */
static void how_it_died_is_worth_waiting_for(void **state)
{
	pid_t pid = run_until_running("PICKY", "{\"kind\": \"volume\", \"name\": \"v\", "
					       "\"store\": \"torn.vol\", \"key_fd\": 50}");

	(void)state;
	kill_card(pid);
	wait_noted("card v (slot 1): ended with exit code 93; it is started again", 2);
	assert_int_not_equal(sh("grep 'does not do that' notes"), 0);
	kill_instance(pid);
}

static void write_marked_program(void)
{
	char path[sizeof(folder) + 16];
	CLEANUP_CLOSE int file = -1;

	snprintf(path, sizeof(path), "%s/marked", folder);
	file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
	assert_int_equal(write(file, &marked_image, sizeof(marked_image)), sizeof(marked_image));
}

static void program_is_replaced(void **state)
{
	pid_t pid = run_until_running("GOOD", VOLUME);
	unsigned before = settled_fds(pid);

	(void)state;
	assert_int_equal(sh("cp karuta-card-volume other && "
			    "./karuta-controller update test v ./other --socket s"),
			 0);
	assert_true(says("card v (slot 1) goes on after"));
	assert_int_equal(sh("readlink /proc/$(pgrep -P %d -f karuta-card)/exe | grep other", pid),
			 0);
	/* What runs is what is started again after a death. */
	kill_card(pid);
	wait_noted("goes on after", 2);
	assert_int_equal(sh("readlink /proc/$(pgrep -P %d -f karuta-card)/exe | grep other", pid),
			 0);
	/* A program that is of no use: the one that runs does not notice. */
	assert_int_equal(sh("pgrep -P %d -f karuta-card >card.pid", pid), 0);
	assert_int_equal(sh("mkdir useless && cp /bin/false useless/karuta-card-volume"), 0);
	assert_int_equal(sign("useless", 2), 0);
	assert_int_equal(
		sh("./karuta-controller update test v useless/karuta-card-volume --socket s"), 1);
	assert_true(says("card v (slot 1): not updated: ended with exit code 1"));
	assert_int_equal(sh("pgrep -P %d -f karuta-card | cmp - card.pid", pid), 0);
	VERB("status test");
	assert_true(says("key=open sesame"));
	assert_int_equal(sh("./karuta-controller update test v /etc/passwd --socket s"), 1);
	assert_true(says("program /etc/passwd: Permission denied"));
	write_marked_program();
	assert_int_equal(sh("./karuta-controller update test v ./marked --socket s"), 1);
	assert_true(says("refused: a measuring build, which does not encrypt"));
	assert_int_equal(sh("./karuta-controller update test v missing --socket s"), 2);
	assert_int_equal(sh("./karuta-controller update test nobody --socket s"), 1);
	/* Back to the one that is installed. */
	assert_int_equal(sh("./karuta-controller update test v --socket s"), 0);
	assert_int_equal(
		sh("readlink /proc/$(pgrep -P %d -f karuta-card)/exe | grep karuta-card-volume",
		   pid),
		0);
	expect_fds(pid, before);
	kill_instance(pid);
}

/* Of the two, the one that stands by goes with the update, the other is started again. */
static void card_that_dies_while_it_is_updated_is_started_again(void **state)
{
	pid_t pid = run_until_running("GOOD", VOLUME);
	unsigned before = settled_fds(pid);

	(void)state;
	assert_int_equal(
		sh("touch hold; ./karuta-controller update test v --socket s >answer 2>&1 & "
		   "for i in $(seq 200); do [ $(pgrep -c -P %d -f karuta-card) = 2 ] && "
		   "exit 0; sleep 0.02; done; exit 1",
		   pid),
		0);
	assert_int_equal(sh("pkill -KILL -o -P %d -f karuta-card", pid), 0);
	wait_noted("card v (slot 1) goes on after", 1);
	assert_int_equal(sh("rm hold; cat answer notes"), 0);
	assert_true(says("not updated: the card died meanwhile"));
	VERB("status test");
	assert_true(says("attached"));
	expect_fds(pid, before);
	kill_instance(pid);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dead_card_is_started_again),
		cmocka_unit_test(card_that_is_not_taken_back_fails),
		cmocka_unit_test(how_it_died_is_worth_waiting_for),
		cmocka_unit_test(volume_in_memory_is_not_started_again),
		cmocka_unit_test(program_is_replaced),
		cmocka_unit_test(card_that_dies_while_it_is_updated_is_started_again),
	};

	be_what_is_launched(argc, argv);
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
