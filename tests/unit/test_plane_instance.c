/* SPDX-License-Identifier: Apache-2.0 */
/* The next step of an instance, and what becomes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "instance.h"

static const uint8_t uid[ATTEMPT_UID_SIZE] = {7};

static struct instance_want want;
static struct instance_record record;
static struct instance_view view;
static uint64_t now;

/* One that was just made, on a host that is as it should be. */
static int begin_anew(void **state)
{
	(void)state;
	now = 1000000;
	want = (struct instance_want){
		.generation = 1, .starts = 1, .keys = true, .kill = true, .grace = 30000};
	record = (struct instance_record){0};
	view = (struct instance_view){.reachable = true, .usable = true, .keys = true};
	return 0;
}

static void see(enum instance_seen seen)
{
	now += 10;
	view.sight = (struct instance_sight){.state = seen, .asked = now};
	now += 10;
	if (instance_saw(&record, &want, &view.sight, now, 0)) {
		now += 10;
		view.sight.asked = now++;
		instance_saw(&record, &want, &view.sight, now, 0);
	}
}

static enum instance_step next(void)
{
	return instance_next(&record, &want, &view, now).step;
}

static void place(void)
{
	assert_int_equal(next(), INSTANCE_PLACE);
	instance_placed(&record, true, now++, 0);
	assert_int_equal(next(), INSTANCE_LOOK);
}

/* Sends it. */
static void do_step(enum instance_step step)
{
	assert_int_equal(next(), step);
	instance_begin(&record, &want, step, now++);
	view.in_flight = step;
}

static void answer(enum attempt_outcome outcome)
{
	view.in_flight = INSTANCE_NOTHING;
	assert_true(instance_answered(&record, record.attempt.number, outcome, now++, 0));
}

static void bring_up(void)
{
	place();
	see(INSTANCE_ABSENT);
	do_step(INSTANCE_LAUNCH);
	answer(ATTEMPT_DONE);
	see(INSTANCE_RUNS);
	assert_int_equal(next(), INSTANCE_NOTHING);
}

static void expect_wait(uint64_t until)
{
	struct instance_decision decision = instance_next(&record, &want, &view, now);

	assert_int_equal(decision.step, INSTANCE_WAIT);
	assert_int_equal(decision.until, until);
	assert_true(decision.why[0]);
}

/* ---- up ---- */

static void it_is_placed_looked_for_and_launched(void **state)
{
	(void)state;
	bring_up();
	assert_int_equal(record.generation, 1);
}

static void nowhere_to_place_it_is_tried_again_later(void **state)
{
	(void)state;
	assert_int_equal(next(), INSTANCE_PLACE);
	instance_placed(&record, false, now, 0);
	expect_wait(now + ATTEMPT_PAUSE_FIRST);
	now += ATTEMPT_PAUSE_FIRST;
	instance_placed(&record, false, now, 0);
	expect_wait(now + 2 * ATTEMPT_PAUSE_FIRST);
	assert_false(record.placed);
}

static void one_that_is_to_be_stopped_is_not_even_placed(void **state)
{
	(void)state;
	want.wanted = INSTANCE_STOPPED;
	assert_int_equal(next(), INSTANCE_NOTHING);
	want.wanted = INSTANCE_GONE;
	assert_int_equal(next(), INSTANCE_REMOVE);
}

static void what_was_seen_before_a_change_does_not_count(void **state)
{
	(void)state;
	place();
	view.sight =
		(struct instance_sight){.state = INSTANCE_ABSENT, .asked = record.attempt.changed};
	assert_int_equal(next(), INSTANCE_LOOK);
	see(INSTANCE_ABSENT);
	assert_int_equal(next(), INSTANCE_LAUNCH);
}

static void nothing_else_is_sent_while_it_waits_for_an_answer(void **state)
{
	(void)state;
	place();
	see(INSTANCE_ABSENT);
	do_step(INSTANCE_LAUNCH);
	see(INSTANCE_ABSENT);
	assert_int_equal(next(), INSTANCE_NOTHING);
	want.wanted = INSTANCE_GONE;
	assert_int_equal(next(), INSTANCE_NOTHING);
}

static void a_plane_that_was_killed_asks_the_same_again(void **state)
{
	uint8_t before[ATTEMPT_ID_SIZE], after[ATTEMPT_ID_SIZE];

	(void)state;
	place();
	see(INSTANCE_ABSENT);
	do_step(INSTANCE_LAUNCH);
	instance_id(&record, uid, before);
	view.in_flight = INSTANCE_NOTHING;
	view.sight.state = INSTANCE_UNSEEN;
	now = 500; /* its clock is another */
	instance_resume(&record, now);
	do_step(INSTANCE_LAUNCH);
	instance_id(&record, uid, after);
	assert_memory_equal(before, after, sizeof(before));
	answer(ATTEMPT_DONE);
	see(INSTANCE_ENDED);
	want.starts++;
	see(INSTANCE_ENDED);
	do_step(INSTANCE_START);
	instance_id(&record, uid, after);
	assert_memory_not_equal(before, after, sizeof(before));
}

static void refused_it_is_tried_again_after_pauses_that_double(void **state)
{
	uint64_t pause = ATTEMPT_PAUSE_FIRST;

	(void)state;
	bring_up();
	for (unsigned i = 0; i < 4; i++) {
		see(INSTANCE_KEYLESS);
		/* That it was lost so soon is the first failure. */
		now = record.attempt.not_before;
		do_step(INSTANCE_START);
		answer(ATTEMPT_REFUSED);
		pause *= 2;
		see(INSTANCE_KEYLESS);
		expect_wait(record.attempt.not_before);
		assert_in_range(record.attempt.not_before, now + pause / 2, now + pause);
	}
}

static void unanswered_it_is_not_placed_elsewhere(void **state)
{
	(void)state;
	place();
	see(INSTANCE_ABSENT);
	do_step(INSTANCE_LAUNCH);
	answer(ATTEMPT_UNANSWERED);
	see(INSTANCE_ABSENT);
	expect_wait(record.attempt.not_before);
	now = record.attempt.not_before + 10 * ATTEMPT_SETTLED;
	see(INSTANCE_ABSENT);
	assert_int_equal(next(), INSTANCE_LAUNCH);
}

static void refused_and_absent_it_may_go_elsewhere(void **state)
{
	(void)state;
	place();
	see(INSTANCE_ABSENT);
	do_step(INSTANCE_LAUNCH);
	answer(ATTEMPT_REFUSED);
	now = record.attempt.not_before;
	/* It has to be seen that it is not there after all. */
	assert_int_equal(next(), INSTANCE_LOOK);
	see(INSTANCE_RUNS);
	assert_int_equal(next(), INSTANCE_NOTHING);
	see(INSTANCE_ABSENT);
	assert_int_equal(next(), INSTANCE_PLACE);
	instance_placed(&record, true, now++, 0);
	assert_int_equal(next(), INSTANCE_LOOK);
	see(INSTANCE_ABSENT);
	assert_int_equal(next(), INSTANCE_LAUNCH);
}

static void refused_with_another_launch_unanswered_it_stays(void **state)
{
	(void)state;
	place();
	see(INSTANCE_ABSENT);
	do_step(INSTANCE_LAUNCH);
	answer(ATTEMPT_UNANSWERED);
	want.generation++;
	see(INSTANCE_ABSENT);
	now = record.attempt.not_before;
	do_step(INSTANCE_LAUNCH);
	answer(ATTEMPT_REFUSED);
	now = record.attempt.not_before;
	see(INSTANCE_ABSENT);
	assert_int_equal(next(), INSTANCE_LAUNCH);
	now += ATTEMPT_SETTLED;
	see(INSTANCE_ABSENT);
	assert_int_equal(next(), INSTANCE_PLACE);
}

static void once_it_was_launched_it_stays_on_its_host(void **state)
{
	(void)state;
	bring_up();
	see(INSTANCE_ABSENT);
	now = record.attempt.not_before;
	do_step(INSTANCE_LAUNCH);
	answer(ATTEMPT_REFUSED);
	now += 10 * ATTEMPT_SETTLED;
	see(INSTANCE_ABSENT);
	assert_int_equal(next(), INSTANCE_LAUNCH);
}

/* ---- hosts ---- */

static void on_an_unreachable_host_nothing_is_done(void **state)
{
	(void)state;
	bring_up();
	view.reachable = view.usable = view.keys = false;
	for (unsigned wanted = INSTANCE_RUNNING; wanted <= INSTANCE_GONE; wanted++) {
		want.wanted = (enum instance_wanted)wanted;
		assert_int_equal(next(), INSTANCE_NOTHING);
	}
}

static void keys_go_to_trusted_hosts_only(void **state)
{
	(void)state;
	place();
	see(INSTANCE_ABSENT);
	view.keys = false;
	assert_int_equal(next(), INSTANCE_NOTHING);
	want.keys = false;
	do_step(INSTANCE_LAUNCH);
	answer(ATTEMPT_UNANSWERED);
	now = record.attempt.not_before;
	/* Not when it is asked again either. */
	want.keys = true;
	assert_int_equal(next(), INSTANCE_NOTHING);
	view.keys = true;
	assert_int_equal(next(), INSTANCE_LAUNCH);
}

static void on_a_quarantined_host_things_only_end(void **state)
{
	(void)state;
	bring_up();
	view.usable = view.keys = want.keys = false;
	assert_int_equal(next(), INSTANCE_NOTHING);
	see(INSTANCE_FAILED);
	now = record.attempt.not_before;
	assert_int_equal(next(), INSTANCE_NOTHING);
	want.wanted = INSTANCE_STOPPED;
	see(INSTANCE_RUNS);
	assert_int_equal(next(), INSTANCE_STOP);
}

/* ---- down ---- */

static void stopped_it_stays_so(void **state)
{
	(void)state;
	bring_up();
	want.wanted = INSTANCE_STOPPED;
	do_step(INSTANCE_STOP);
	answer(ATTEMPT_DONE);
	see(INSTANCE_ENDED);
	assert_int_equal(next(), INSTANCE_NOTHING);
	see(INSTANCE_ABSENT);
	assert_int_equal(next(), INSTANCE_NOTHING);
}

static void what_would_come_back_by_itself_is_stopped_too(void **state)
{
	static const enum instance_seen coming[] = {INSTANCE_RESTARTS, INSTANCE_KEYLESS,
						    INSTANCE_FAILED};

	(void)state;
	bring_up();
	want.wanted = INSTANCE_STOPPED;
	for (unsigned i = 0; i < 3; i++) {
		see(coming[i]);
		assert_int_equal(next(), INSTANCE_STOP);
	}
}

static void its_plug_is_pulled_after_the_grace_period(void **state)
{
	uint64_t over;

	(void)state;
	bring_up();
	want.wanted = INSTANCE_STOPPED;
	over = now + want.grace;
	do_step(INSTANCE_STOP);
	expect_wait(over);
	now = over;
	do_step(INSTANCE_KILL);
	/* The answer to the stop comes late. */
	assert_false(instance_answered(&record, record.attempt.number - 1, ATTEMPT_DONE, now, 0));
	answer(ATTEMPT_DONE);
	see(INSTANCE_ENDED);
	assert_int_equal(next(), INSTANCE_NOTHING);
}

static void without_leave_its_plug_stays_in(void **state)
{
	(void)state;
	bring_up();
	want.wanted = INSTANCE_STOPPED;
	want.kill = false;
	do_step(INSTANCE_STOP);
	now += 100 * want.grace;
	assert_int_equal(next(), INSTANCE_NOTHING);
	answer(ATTEMPT_UNANSWERED);
	now = record.attempt.not_before;
	assert_int_equal(next(), INSTANCE_STOP);
}

static void the_grace_period_of_an_earlier_stop_is_over(void **state)
{
	(void)state;
	bring_up();
	want.wanted = INSTANCE_STOPPED;
	do_step(INSTANCE_STOP);
	answer(ATTEMPT_DONE);
	see(INSTANCE_ENDED);
	now += 100 * want.grace;
	want.wanted = INSTANCE_RUNNING;
	want.starts++;
	see(INSTANCE_ENDED);
	do_step(INSTANCE_START);
	answer(ATTEMPT_UNANSWERED);
	want.wanted = INSTANCE_STOPPED;
	see(INSTANCE_RUNS);
	assert_int_equal(next(), INSTANCE_STOP);
}

static void a_stop_that_was_seen_to_work_needs_no_answer(void **state)
{
	(void)state;
	bring_up();
	want.wanted = INSTANCE_STOPPED;
	do_step(INSTANCE_STOP);
	answer(ATTEMPT_UNANSWERED);
	see(INSTANCE_ENDED);
	assert_int_equal(next(), INSTANCE_NOTHING);
	assert_int_equal(record.attempt.doing, INSTANCE_NOTHING);
}

static void gone_it_is_stopped_forgotten_and_removed(void **state)
{
	(void)state;
	bring_up();
	want.wanted = INSTANCE_GONE;
	do_step(INSTANCE_STOP);
	answer(ATTEMPT_DONE);
	see(INSTANCE_ENDED);
	do_step(INSTANCE_FORGET);
	answer(ATTEMPT_DONE);
	assert_int_equal(next(), INSTANCE_LOOK);
	see(INSTANCE_ABSENT);
	view.detach_volumes = true;
	assert_int_equal(next(), INSTANCE_DETACH_VOLUMES);
	view.detach_volumes = false;
	assert_int_equal(next(), INSTANCE_REMOVE);
}

static void gone_with_a_launch_unanswered_it_waits_for_that(void **state)
{
	uint64_t sent;

	(void)state;
	place();
	see(INSTANCE_ABSENT);
	sent = now;
	do_step(INSTANCE_LAUNCH);
	answer(ATTEMPT_UNANSWERED);
	want.wanted = INSTANCE_GONE;
	see(INSTANCE_ABSENT);
	expect_wait(sent + ATTEMPT_SETTLED);
	/* What was seen meanwhile is not enough. */
	now = sent + ATTEMPT_SETTLED;
	assert_int_equal(next(), INSTANCE_LOOK);
	see(INSTANCE_RUNS);
	assert_int_equal(next(), INSTANCE_STOP);
	see(INSTANCE_ABSENT);
	assert_int_equal(next(), INSTANCE_REMOVE);
}

/* ---- again ---- */

static void one_that_ends_by_itself_stays_off_until_it_is_started(void **state)
{
	(void)state;
	bring_up();
	see(INSTANCE_ENDED);
	assert_int_equal(next(), INSTANCE_NOTHING);
	want.starts++;
	see(INSTANCE_ENDED);
	do_step(INSTANCE_START);
	answer(ATTEMPT_DONE);
	see(INSTANCE_ENDED);
	assert_int_equal(next(), INSTANCE_NOTHING);
}

static void a_start_is_not_done_by_what_was_seen_before_it(void **state)
{
	(void)state;
	bring_up();
	want.starts++;
	instance_saw(&record, &want, &view.sight, now++, 0);
	assert_int_equal(next(), INSTANCE_LOOK);
	see(INSTANCE_ENDED);
	assert_int_equal(next(), INSTANCE_START);
}

static void a_start_that_fails_is_not_one_that_ended_by_itself(void **state)
{
	(void)state;
	bring_up();
	see(INSTANCE_KEYLESS);
	now = record.attempt.not_before;
	do_step(INSTANCE_START);
	answer(ATTEMPT_REFUSED);
	now = record.attempt.not_before;
	see(INSTANCE_ENDED);
	assert_int_equal(next(), INSTANCE_START);
}

static void stopped_and_started_at_once_it_runs_again(void **state)
{
	(void)state;
	bring_up();
	want.wanted = INSTANCE_STOPPED;
	do_step(INSTANCE_STOP);
	want.wanted = INSTANCE_RUNNING;
	want.starts++;
	see(INSTANCE_RUNS);
	assert_int_equal(next(), INSTANCE_NOTHING);
	answer(ATTEMPT_DONE);
	see(INSTANCE_ENDED);
	assert_int_equal(next(), INSTANCE_START);
}

static void another_specification_comes_with_the_next_launch(void **state)
{
	(void)state;
	bring_up();
	want.generation++;
	see(INSTANCE_RUNS);
	assert_int_equal(next(), INSTANCE_NOTHING);
	want.starts++;
	see(INSTANCE_ENDED);
	do_step(INSTANCE_LAUNCH);
	answer(ATTEMPT_DONE);
	assert_int_equal(record.generation, 2);
}

static void volumes_come_first(void **state)
{
	(void)state;
	place();
	see(INSTANCE_ABSENT);
	view.attach_volumes = view.detach_volumes = true;
	assert_int_equal(next(), INSTANCE_DETACH_VOLUMES);
	view.detach_volumes = false;
	assert_int_equal(next(), INSTANCE_ATTACH_VOLUMES);
	view.attach_volumes = false;
	assert_int_equal(next(), INSTANCE_LAUNCH);
}

static void one_that_its_host_starts_again_is_left_to_it(void **state)
{
	(void)state;
	bring_up();
	see(INSTANCE_RESTARTS);
	assert_int_equal(next(), INSTANCE_NOTHING);
}

static void one_that_has_failed_is_started_after_pauses_until_it_is_steady(void **state)
{
	(void)state;
	bring_up();
	for (unsigned failures = 1; failures < 4; failures++) {
		see(INSTANCE_FAILED);
		assert_int_equal(record.attempt.failures, failures);
		expect_wait(record.attempt.not_before);
		now = record.attempt.not_before;
		do_step(INSTANCE_START);
		answer(ATTEMPT_DONE);
	}
	now += INSTANCE_STEADY;
	see(INSTANCE_RUNS);
	assert_int_equal(record.attempt.failures, 0);
}

static void a_reboot_is_done_once_each_time_it_is_asked_for(void **state)
{
	(void)state;
	bring_up();
	want.reboots = 1;
	do_step(INSTANCE_REBOOT);
	answer(ATTEMPT_UNANSWERED);
	want.reboots = 2;
	now = record.attempt.not_before;
	do_step(INSTANCE_REBOOT);
	/* That was the answer to the first. */
	answer(ATTEMPT_DONE);
	see(INSTANCE_RUNS);
	do_step(INSTANCE_REBOOT);
	answer(ATTEMPT_DONE);
	see(INSTANCE_RUNS);
	assert_int_equal(next(), INSTANCE_NOTHING);
}

static void a_start_is_a_reboot(void **state)
{
	(void)state;
	bring_up();
	want.reboots = 1;
	want.starts++;
	see(INSTANCE_ENDED);
	do_step(INSTANCE_START);
	answer(ATTEMPT_DONE);
	see(INSTANCE_RUNS);
	assert_int_equal(next(), INSTANCE_NOTHING);
}

/* ---- whether its volumes are free ---- */

static void it_is_down_when_nothing_can_bring_it_up(void **state)
{
	(void)state;
	assert_true(instance_is_down(&record, &view.sight));
	place();
	assert_false(instance_is_down(&record, &view.sight));
	see(INSTANCE_ABSENT);
	assert_true(instance_is_down(&record, &view.sight));
	do_step(INSTANCE_LAUNCH);
	see(INSTANCE_ABSENT);
	assert_false(instance_is_down(&record, &view.sight));
	answer(ATTEMPT_DONE);
	for (unsigned seen = INSTANCE_UNSEEN; seen <= INSTANCE_FAILED; seen++) {
		see((enum instance_seen)seen);
		assert_int_equal(instance_is_down(&record, &view.sight),
				 seen == INSTANCE_ABSENT || seen == INSTANCE_ENDED);
	}
}

static void it_is_not_down_while_a_start_that_was_given_up_may_come(void **state)
{
	(void)state;
	bring_up();
	want.starts++;
	see(INSTANCE_ENDED);
	do_step(INSTANCE_START);
	answer(ATTEMPT_UNANSWERED);
	want.wanted = INSTANCE_STOPPED;
	see(INSTANCE_RESTARTS);
	do_step(INSTANCE_STOP);
	answer(ATTEMPT_DONE);
	see(INSTANCE_ENDED);
	assert_false(instance_is_down(&record, &view.sight));
	now += ATTEMPT_SETTLED;
	see(INSTANCE_ENDED);
	assert_true(instance_is_down(&record, &view.sight));
}

#define TEST(name) cmocka_unit_test_setup(name, begin_anew)

static void on_a_host_that_was_removed_it_can_be_terminated(void **state)
{
	(void)state;
	bring_up();
	view.reachable = view.usable = view.keys = false;
	view.lost = true;
	assert_int_equal(next(), INSTANCE_NOTHING);
	want.wanted = INSTANCE_GONE;
	view.detach_volumes = true;
	assert_int_equal(next(), INSTANCE_DETACH_VOLUMES);
	view.detach_volumes = false;
	assert_int_equal(next(), INSTANCE_REMOVE);
	view.lost = false;
	assert_int_equal(next(), INSTANCE_NOTHING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(it_is_placed_looked_for_and_launched),
		TEST(nowhere_to_place_it_is_tried_again_later),
		TEST(one_that_is_to_be_stopped_is_not_even_placed),
		TEST(what_was_seen_before_a_change_does_not_count),
		TEST(nothing_else_is_sent_while_it_waits_for_an_answer),
		TEST(a_plane_that_was_killed_asks_the_same_again),
		TEST(refused_it_is_tried_again_after_pauses_that_double),
		TEST(unanswered_it_is_not_placed_elsewhere),
		TEST(on_a_host_that_was_removed_it_can_be_terminated),
		TEST(refused_and_absent_it_may_go_elsewhere),
		TEST(refused_with_another_launch_unanswered_it_stays),
		TEST(once_it_was_launched_it_stays_on_its_host),
		TEST(on_an_unreachable_host_nothing_is_done),
		TEST(keys_go_to_trusted_hosts_only),
		TEST(on_a_quarantined_host_things_only_end),
		TEST(stopped_it_stays_so),
		TEST(what_would_come_back_by_itself_is_stopped_too),
		TEST(its_plug_is_pulled_after_the_grace_period),
		TEST(without_leave_its_plug_stays_in),
		TEST(the_grace_period_of_an_earlier_stop_is_over),
		TEST(a_stop_that_was_seen_to_work_needs_no_answer),
		TEST(gone_it_is_stopped_forgotten_and_removed),
		TEST(gone_with_a_launch_unanswered_it_waits_for_that),
		TEST(one_that_ends_by_itself_stays_off_until_it_is_started),
		TEST(a_start_is_not_done_by_what_was_seen_before_it),
		TEST(a_start_that_fails_is_not_one_that_ended_by_itself),
		TEST(stopped_and_started_at_once_it_runs_again),
		TEST(another_specification_comes_with_the_next_launch),
		TEST(volumes_come_first),
		TEST(one_that_its_host_starts_again_is_left_to_it),
		TEST(one_that_has_failed_is_started_after_pauses_until_it_is_steady),
		TEST(a_reboot_is_done_once_each_time_it_is_asked_for),
		TEST(a_start_is_a_reboot),
		TEST(it_is_down_when_nothing_can_bring_it_up),
		TEST(it_is_not_down_while_a_start_that_was_given_up_may_come),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
