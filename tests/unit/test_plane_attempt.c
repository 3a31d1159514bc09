/* SPDX-License-Identifier: Apache-2.0 */
/* Identifiers of steps, pauses between them, and which answers count. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "attempt.h"

#define STEPS	    4u
#define GENERATIONS 8u
#define NUMBERS	    32u

static const uint8_t uid[ATTEMPT_UID_SIZE] = {1, 2, 3, 4, 5, 6, 7, 8, 9};

/* Stored identifiers are asked again by the next release too. */
static void identifier_is_what_it_always_was(void **state)
{
	static const uint8_t expected[ATTEMPT_ID_SIZE] = {0xc3, 0x1a, 0x32, 0x98, 0x1f, 0xac,
							  0x0f, 0x20, 0xf6, 0xa7, 0x86, 0x58,
							  0x07, 0x48, 0x0d, 0x1c};
	uint8_t id[ATTEMPT_ID_SIZE];

	(void)state;
	attempt_id(uid, 3, 2, 7, id);
	assert_memory_equal(id, expected, sizeof(id));
}

static void no_two_steps_have_the_same_identifier(void **state)
{
	static uint8_t ids[STEPS * GENERATIONS * NUMBERS][ATTEMPT_ID_SIZE];
	size_t count = 0;

	(void)state;
	for (uint8_t step = 0; step < STEPS; step++) {
		for (uint64_t generation = 0; generation < GENERATIONS; generation++) {
			for (uint32_t number = 0; number < NUMBERS; number++)
				attempt_id(uid, generation, step, number, ids[count++]);
		}
	}
	for (size_t i = 0; i < count; i++) {
		for (size_t j = i + 1; j < count; j++)
			assert_memory_not_equal(ids[i], ids[j], ATTEMPT_ID_SIZE);
	}
}

static void another_uid_changes_all_of_the_identifier(void **state)
{
	uint8_t one[ATTEMPT_ID_SIZE], other[ATTEMPT_ID_SIZE], near[ATTEMPT_UID_SIZE];

	(void)state;
	attempt_id(uid, 1, 1, 1, one);
	for (size_t i = 0; i < ATTEMPT_UID_SIZE; i++) {
		memcpy(near, uid, sizeof(near));
		near[i] ^= 1;
		attempt_id(near, 1, 1, 1, other);
		assert_memory_not_equal(one, other, 8);
		assert_memory_not_equal(one + 8, other + 8, 8);
	}
}

static void pauses_double_up_to_a_most(void **state)
{
	(void)state;
	assert_int_equal(attempt_pause(0, 0), 0);
	assert_int_equal(attempt_pause(1, 0), ATTEMPT_PAUSE_FIRST);
	assert_int_equal(attempt_pause(2, 0), 2 * ATTEMPT_PAUSE_FIRST);
	assert_int_equal(attempt_pause(5, 0), 16 * ATTEMPT_PAUSE_FIRST);
	assert_int_equal(attempt_pause(9, 0), 256 * ATTEMPT_PAUSE_FIRST);
	assert_int_equal(attempt_pause(10, 0), ATTEMPT_PAUSE_MOST);
	assert_int_equal(attempt_pause(UINT32_MAX, 0), ATTEMPT_PAUSE_MOST);
}

static void chance_takes_at_most_half_of_a_pause(void **state)
{
	bool shortest = false;

	(void)state;
	for (uint64_t random = 0; random < 600; random++) {
		uint64_t pause = attempt_pause(1, random);

		assert_in_range(pause, ATTEMPT_PAUSE_FIRST / 2, ATTEMPT_PAUSE_FIRST);
		shortest |= pause == ATTEMPT_PAUSE_FIRST / 2;
	}
	assert_true(shortest);
	assert_in_range(attempt_pause(3, UINT64_MAX), 2 * ATTEMPT_PAUSE_FIRST,
			4 * ATTEMPT_PAUSE_FIRST);
}

static void what_is_under_way_is_asked_again_under_its_number(void **state)
{
	struct attempt attempt = {0};

	(void)state;
	attempt_begin(&attempt, 1, 1, 100);
	assert_int_equal(attempt.number, 1);
	attempt_begin(&attempt, 1, 1, 200);
	assert_int_equal(attempt.number, 1);
	assert_int_equal(attempt.sent, 200);
	attempt_begin(&attempt, 1, 2, 300);
	assert_int_equal(attempt.number, 2);
	attempt_begin(&attempt, 2, 2, 400);
	assert_int_equal(attempt.number, 3);
	assert_true(attempt_answered(&attempt, 3, ATTEMPT_REFUSED, 500, 0));
	attempt_begin(&attempt, 2, 2, 600);
	assert_int_equal(attempt.number, 4);
}

static void only_the_answer_to_the_last_counts_and_once(void **state)
{
	struct attempt attempt = {0}, before;

	(void)state;
	attempt_begin(&attempt, 1, 1, 100);
	attempt_begin(&attempt, 2, 1, 200);
	before = attempt;
	assert_false(attempt_answered(&attempt, 1, ATTEMPT_DONE, 300, 0));
	assert_memory_equal(&attempt, &before, sizeof(attempt));
	assert_true(attempt_answered(&attempt, 2, ATTEMPT_DONE, 300, 0));
	assert_int_equal(attempt.doing, 0);
	before = attempt;
	assert_false(attempt_answered(&attempt, 2, ATTEMPT_REFUSED, 400, 0));
	assert_memory_equal(&attempt, &before, sizeof(attempt));
}

static void without_an_answer_it_is_still_under_way(void **state)
{
	struct attempt attempt = {0};

	(void)state;
	attempt_begin(&attempt, 1, 1, 100);
	assert_true(attempt_answered(&attempt, 1, ATTEMPT_UNANSWERED, 300, 0));
	assert_int_equal(attempt.doing, 1);
	assert_int_equal(attempt.not_before, 300 + ATTEMPT_PAUSE_FIRST);
	assert_true(attempt_answered(&attempt, 1, ATTEMPT_DONE, 400, 0));
	assert_int_equal(attempt.not_before, 0);
}

static void what_was_given_up_settles_after_its_time(void **state)
{
	struct attempt attempt = {0};

	(void)state;
	assert_int_equal(attempt_settles(&attempt, 1), 0);
	attempt_begin(&attempt, 1, 1, 100);
	assert_int_equal(attempt_settles(&attempt, 1), 100 + ATTEMPT_SETTLED);
	assert_int_equal(attempt_settles(&attempt, 2), 0);
	attempt_give_up(&attempt);
	assert_int_equal(attempt_settles(&attempt, 2), 100 + ATTEMPT_SETTLED);
}

static void another_clock_makes_what_waits_wait_anew(void **state)
{
	struct attempt attempt = {.doing = 1,
				  .number = 4,
				  .sent = 5000000,
				  .loose = 10,
				  .not_before = 9000000,
				  .changed = 5000000};

	(void)state;
	attempt_resume(&attempt, 1000);
	assert_int_equal(attempt.sent, 1000);
	assert_int_equal(attempt.loose, 1000);
	assert_int_equal(attempt.not_before, 1000 + ATTEMPT_PAUSE_MOST);
	assert_int_equal(attempt.changed, 1000);
	assert_int_equal(attempt.doing, 1);
	assert_int_equal(attempt.number, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(identifier_is_what_it_always_was),
		cmocka_unit_test(no_two_steps_have_the_same_identifier),
		cmocka_unit_test(another_uid_changes_all_of_the_identifier),
		cmocka_unit_test(pauses_double_up_to_a_most),
		cmocka_unit_test(chance_takes_at_most_half_of_a_pause),
		cmocka_unit_test(what_is_under_way_is_asked_again_under_its_number),
		cmocka_unit_test(only_the_answer_to_the_last_counts_and_once),
		cmocka_unit_test(without_an_answer_it_is_still_under_way),
		cmocka_unit_test(what_was_given_up_settles_after_its_time),
		cmocka_unit_test(another_clock_makes_what_waits_wait_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
