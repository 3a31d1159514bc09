/* SPDX-License-Identifier: Apache-2.0 */
/* One process of a card after the other on the same state area. */
#include "probe_card.h"

/* Who takes a running device over has to give it its memory back before it goes on. */
static void work_is_held_after_a_restart(void **state)
{
	struct harness *harness = *state;

	harness_start(harness, NULL);
	harness_master(harness, true);
	assert_int_equal(harness_read(harness, 0, MASTERED, 8), 1);
	harness_kill(harness, SIGKILL);
	harness_wait(harness);
	harness_start(harness, NULL);
	assert_int_equal(harness_read(harness, 0, MASTERED, 8), 1);
	for (unsigned i = 0; i < 500; i++)
		assert_int_equal(harness_read(harness, 0, WORKED, 8), 0);
	harness_master(harness, true);
	wait_worked(harness);
	assert_int_equal(harness_read(harness, 0, MASTERED, 8), 1);
}

/* The page outlives the process. */
static void counters_go_on_from_what_is_there(void **state)
{
	struct harness *harness = *state;

	harness_start(harness, NULL);
	status_count(harness->status, STATUS_CARD_CLIENTS, 5);
	harness_disconnect(harness);
	assert_int_equal(harness_wait(harness), 0);
	assert_int_equal(harness_status(harness).counters[STATUS_CARD_CLIENTS], 6);
}

/* The header: frame.h. */
struct area_header {
	uint64_t magic;
	uint32_t frame_version, readable_from;
	uint32_t size, state_version;
};

static struct area_header *left_by_another(struct harness *harness, uint32_t version, int more)
{
	struct area_header *header = (struct area_header *)harness->state;

	memset(harness->state, 0, CARD_STATE_AREA_SIZE);
	harness_start(harness, NULL);
	harness_disconnect(harness);
	assert_int_equal(harness_wait(harness), 0);
	header->state_version = version;
	header->size = (uint32_t)((int)header->size + more);
	return header;
}

static void expect_refused(struct harness *harness)
{
	close(harness_launch(harness, NULL));
	assert_int_equal(harness_wait(harness), 2);
	assert_non_null(strstr(harness_output(harness), "this program has 2.3 of"));
}

static void goes_on_from_one_version_older(void **state)
{
	struct harness *harness = *state;
	struct area_header *header = left_by_another(harness, 2, -8);
	uint8_t *added = harness->state + header->size;

	added[0] = 0xaa; /* nobody's: before that version it was behind the end */
	harness_start(harness, NULL);
	assert_int_equal(header->state_version, 3);
	assert_int_equal(header->size, CARD_STATE_OFFSET + sizeof(struct probe_state));
	assert_int_equal(added[0], 0);
}

static void goes_on_from_one_version_newer(void **state)
{
	struct harness *harness = *state;
	struct area_header *header = left_by_another(harness, 4, 16);

	harness_start(harness, NULL);
	assert_int_equal(header->state_version, 3);
	assert_int_equal(header->size, CARD_STATE_OFFSET + sizeof(struct probe_state));
}

/* An update that fails is taken back: the old program finds its own. */
static void one_that_does_not_start_leaves_the_version(void **state)
{
	static const char *const fails[] = {"--fail-start", "broken", NULL};
	struct harness *harness = *state;

	for (uint32_t version = 2; version <= 4; version += 2) {
		struct area_header before,
			*header = left_by_another(harness, version, version < 3 ? -8 : 16);

		before = *header;
		close(harness_launch(harness, fails));
		assert_int_equal(harness_wait(harness), 1);
		assert_memory_equal(header, &before, sizeof(before));
		harness_start(harness, NULL);
		assert_int_equal(header->state_version, 3);
		harness_disconnect(harness);
		assert_int_equal(harness_wait(harness), 0);
	}
}

static void newer_version_that_says_so_is_refused(void **state)
{
	left_by_another(*state, 4, 16)->readable_from = 4;
	expect_refused(*state);
}

static void version_further_away_is_refused(void **state)
{
	left_by_another(*state, 1, -8);
	expect_refused(*state);
	left_by_another(*state, 5, 0)->readable_from = 3;
	expect_refused(*state);
}

static void wrong_size_is_refused(void **state)
{
	left_by_another(*state, 3, -8);
	expect_refused(*state);
	left_by_another(*state, 2, 0);
	expect_refused(*state);
	left_by_another(*state, 4, -8);
	expect_refused(*state);
}

/* ---- standing by ---- */

static void goes_on_when_it_is_told_to(void **state)
{
	struct harness *harness = *state;
	pid_t first;
	int socket;

	harness_start(harness, NULL);
	harness_master(harness, true);
	first = harness->pid;
	socket = harness_launch_beside(harness);
	assert_int_equal(harness_status(harness).state, STATUS_READY); /* of the first */
	harness_disconnect(harness);
	assert_int_equal(waitpid(first, NULL, 0), first);
	harness_wait_state(harness, STATUS_READY);
	assert_false(harness_status(harness).standing_by);
	harness_connect(harness, socket);
	assert_int_equal(harness_read(harness, 0, MASTERED, 8), 1);
}

static void goes_on_when_the_other_is_killed(void **state)
{
	struct harness *harness = *state;
	pid_t first;

	harness_start(harness, NULL);
	first = harness->pid;
	close(harness_launch_beside(harness));
	assert_int_equal(kill(first, SIGKILL), 0);
	assert_int_equal(harness_wait(harness), 0); /* its link is closed */
	assert_int_equal(waitpid(first, NULL, 0), first);
}

static void one_process_at_a_time_has_the_area(void **state)
{
	struct harness *harness = *state;
	pid_t first;

	harness_start(harness, NULL);
	first = harness->pid;
	close(harness_launch(harness, NULL));
	assert_int_equal(harness_wait(harness), 1);
	assert_non_null(strstr(harness_output(harness), "state area: another process has it"));
	harness_disconnect(harness);
	assert_int_equal(waitpid(first, NULL, 0), first);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(work_is_held_after_a_restart, setup, teardown),
		cmocka_unit_test_setup_teardown(counters_go_on_from_what_is_there, setup, teardown),
		cmocka_unit_test_setup_teardown(goes_on_from_one_version_older, setup, teardown),
		cmocka_unit_test_setup_teardown(goes_on_from_one_version_newer, setup, teardown),
		cmocka_unit_test_setup_teardown(one_that_does_not_start_leaves_the_version, setup,
						teardown),
		cmocka_unit_test_setup_teardown(newer_version_that_says_so_is_refused, setup,
						teardown),
		cmocka_unit_test_setup_teardown(version_further_away_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(wrong_size_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(goes_on_when_it_is_told_to, setup, teardown),
		cmocka_unit_test_setup_teardown(goes_on_when_the_other_is_killed, setup, teardown),
		cmocka_unit_test_setup_teardown(one_process_at_a_time_has_the_area, setup,
						teardown),
	};

	if (argc > 1)
		return card_main(&probe_ops, argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
