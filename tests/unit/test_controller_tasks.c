/* SPDX-License-Identifier: Apache-2.0 */
/* A card that is in use: another size, and snapshots. */
#include "controller_harness.h"

#include <linux/fs.h>
#include <sys/ioctl.h>

#define VOLUME(store)                                                                              \
	"{\"kind\": \"volume\", \"name\": \"v\", \"store\": \"" store "\", \"key_fd\": 50}"

#define MIB_1 1048576ull

static unsigned long long length_of(const char *name)
{
	assert_int_equal(sh("stat -c %%s %s", name), 0);
	return strtoull(output, NULL, 10);
}

static void a_volume_grows_while_it_is_used(void **state)
{
	pid_t pid = run_until_running("GOOD", VOLUME("good.vol"));

	(void)state;
	assert_int_equal(VERB("resize test v 3M"), 0);
	assert_string_equal(output, "card v (slot 1) has 3145728 bytes now\n");
	assert_int_equal(length_of("good.vol"), 3 * MIB_1);
	VERB("status test");
	assert_true(says("resized 3145728"));
	VERB("status test --json");
	assert_true(says("\"size\": 3145728"));
	assert_int_equal(VERB("resize test 1 3M"), 0);
	/* A process that is started later has it from the beginning. */
	assert_int_equal(sh("pkill -KILL -P %d -f karuta-card && for i in $(seq 500); do "
			    "grep -q 'goes on after' notes && exit 0; sleep 0.02; done; exit 1",
			    pid),
			 0);
	assert_int_equal(sh("tr '\\0' ' ' </proc/$(pgrep -P %d -f karuta-card)/cmdline | "
			    "grep -e '--size 3145728'",
			    pid),
			 0);
	kill_instance(pid);
	assert_int_equal(sh("truncate -s 1M good.vol"), 0);
}

/* Each process has a pipe of its own; one that takes over does not take it from the one that stays.
 */
static void an_update_hands_the_commands_on(void **state)
{
	pid_t pid = run_until_running("GOOD", VOLUME("good.vol"));

	(void)state;
	assert_int_equal(VERB("update test v"), 0);
	assert_int_equal(VERB("resize test v 2M"), 0);
	assert_int_equal(VERB("update test v /bin/false"), 1);
	assert_int_equal(VERB("resize test v 3M"), 0);
	assert_int_equal(sh("grep -c 'is started again' notes"), 1); /* nobody had to be ended */
	kill_instance(pid);
	assert_int_equal(sh("truncate -s 1M good.vol"), 0);
}

static void what_would_lose_data_is_refused(void **state)
{
	pid_t pid = run_until_running("GOOD", VOLUME("good.vol") ", {\"kind\": \"null\", \"name\": "
								 "\"n\"}");

	(void)state;
	assert_int_equal(VERB("resize test v 512K"), 1);
	assert_true(says("card v (slot 1): it has 1048576 bytes and cannot be made smaller: what "
			 "lies behind the new end would be lost"));
	assert_int_equal(VERB("resize test v 1049000"), 1);
	assert_true(says("must be a multiple of 4096 bytes"));
	assert_int_equal(VERB("resize test v 9223372036854775807"), 1);
	assert_int_equal(VERB("resize test v 17000000T"), 1);
	assert_int_equal(VERB("resize test v 8388000T"), 1);
	assert_true(says("cannot be made longer: File too large"));
	assert_int_equal(VERB("resize test v 0"), 1);
	assert_int_equal(VERB("resize test n 2M"), 1);
	assert_true(says("card n (slot 2): only a volume in a file or device can be resized"));
	assert_int_equal(VERB("resize test nobody 2M"), 1);
	assert_int_equal(length_of("good.vol"), MIB_1);
	assert_int_equal(VERB("resize test v"), 2);
	kill_instance(pid);
}

static void a_size_in_the_specification_is_mentioned(void **state)
{
	pid_t pid = run_until_running("GOOD", "{\"kind\": \"volume\", \"name\": \"v\", \"store\": "
					      "\"good.vol\", \"key_fd\": 50, \"size\": \"512K\"}");

	(void)state;
	/* The file has room already. */
	assert_int_equal(VERB("resize test v 768K"), 0);
	assert_true(says("has 786432 bytes now; change its size in the specification too"));
	assert_int_equal(length_of("good.vol"), MIB_1);
	kill_instance(pid);
}

static void a_card_that_refuses_is_quoted(void **state)
{
	pid_t pid = run_until_running("GOOD", VOLUME("stiff.vol"));

	(void)state;
	assert_int_equal(VERB("resize test v 2M"), 1);
	assert_true(says("card v (slot 1): the fake does not bend"));
	assert_int_equal(VERB("snapshot test v copy"), 1);
	assert_true(says("card v (slot 1): the fake does not bend"));
	assert_int_equal(sh("ls copy .karuta-*"), 2);
	kill_instance(pid);
}

/* It comes back with the new size; a snapshot is not to be trusted. */
static void a_card_that_dies_of_it_comes_back(void **state)
{
	pid_t pid = run_until_running("GOOD", VOLUME("frail.vol"));

	(void)state;
	assert_int_equal(VERB("resize test v 2M"), 0);
	assert_string_equal(output, "card v (slot 1) has 2097152 bytes now\n");
	assert_int_equal(sh("grep -c 'goes on after' notes"), 0);
	assert_int_equal(VERB("snapshot test v copy"), 1);
	assert_true(says("card v (slot 1): it died meanwhile; try again"));
	assert_int_equal(sh("ls copy .karuta-*"), 2);
	kill_instance(pid);
}

static void a_card_that_does_not_answer_is_started_again(void **state)
{
	pid_t pid = run_until_running("GOOD", VOLUME("mute.vol"));

	(void)state;
	assert_int_equal(VERB("resize test v 2M"), 0);
	assert_string_equal(output, "card v (slot 1) has 2097152 bytes now\n");
	assert_int_equal(sh("grep -c 'killed by signal 9' notes"), 0);
	kill_instance(pid);
}

static bool shares_blocks(void)
{
	char from[96], to[96];
	int source, target, ret;

	snprintf(from, sizeof(from), "%s/good.vol", folder);
	snprintf(to, sizeof(to), "%s/shared", folder);
	source = open(from, O_RDONLY | O_CLOEXEC);
	target = open(to, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ret = ioctl(target, FICLONE, source);
	close(source);
	close(target);
	unlink(to);
	return ret == 0;
}

/* Either way the card is thawed, and nothing is left of a snapshot that is not whole. */
static void a_snapshot_takes_a_file_system_that_shares(void **state)
{
	pid_t pid = run_until_running("GOOD", VOLUME("good.vol"));
	int code = VERB("snapshot test v copy");

	(void)state;
	if (shares_blocks()) {
		assert_int_equal(code, 0);
		assert_true(says("its snapshot is whole"));
		assert_int_equal(sh("cmp copy good.vol && rm copy"), 0);
	} else {
		assert_int_equal(code, 1);
		assert_true(says("cannot share blocks"));
		assert_int_equal(sh("ls copy .karuta-*"), 2);
	}
	VERB("status test");
	assert_true(says("thawed"));
	assert_int_equal(VERB("snapshot test v good.vol"), 1);
	assert_true(says("good.vol: File exists"));
	assert_int_equal(VERB("snapshot test v none/copy"), 1);
	assert_int_equal(VERB("snapshot test nobody copy"), 1);
	kill_instance(pid);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_volume_grows_while_it_is_used),
		cmocka_unit_test(an_update_hands_the_commands_on),
		cmocka_unit_test(what_would_lose_data_is_refused),
		cmocka_unit_test(a_size_in_the_specification_is_mentioned),
		cmocka_unit_test(a_card_that_refuses_is_quoted),
		cmocka_unit_test(a_card_that_dies_of_it_comes_back),
		cmocka_unit_test(a_card_that_does_not_answer_is_started_again),
		cmocka_unit_test(a_snapshot_takes_a_file_system_that_shares),
	};

	be_what_is_launched(argc, argv);
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
