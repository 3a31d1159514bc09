/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a volume, and who may have it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "volume.h"

#define SIZE ((uint64_t)1 << 30)

static const uint8_t uid[ATTEMPT_UID_SIZE] = {7};
static const uint8_t web[ATTEMPT_UID_SIZE] = {1}, mail[ATTEMPT_UID_SIZE] = {2};

static struct volume_want want;
static struct volume_record record;
static struct volume_view view;
static uint64_t now;

static int begin_anew(void **state)
{
	(void)state;
	now = 1000000;
	want = (struct volume_want){.generation = 1, .size = SIZE};
	record = (struct volume_record){0};
	view = (struct volume_view){.reachable = true, .usable = true, .keys = true};
	return 0;
}

static enum volume_step next(void)
{
	return volume_next(&record, &want, &view, now).step;
}

static void do_step(enum volume_step step)
{
	assert_int_equal(next(), step);
	volume_begin(&record, &want, step, now++);
	view.in_flight = volume_step_is_request(step);
}

static void answer(enum attempt_outcome outcome)
{
	view.in_flight = false;
	assert_true(volume_answered(&record, record.attempt.number, outcome, now++, 0));
}

static void expect(enum volume_state state)
{
	assert_string_equal(volume_state_name((enum volume_state)record.state),
			    volume_state_name(state));
}

static void see(bool lives, enum volume_seen card)
{
	now += 10;
	view.lives = lives;
	view.down = !lives;
	view.card = card;
	view.asked = now;
	now += 10;
	volume_saw(&record, &view);
}

static void hold(const uint8_t holder[ATTEMPT_UID_SIZE])
{
	want.generation++;
	want.held = true;
	want.slot = 4;
	memcpy(want.holder, holder, ATTEMPT_UID_SIZE);
}

static void let_go(void)
{
	want.generation++;
	want.held = false;
}

static void create(void)
{
	do_step(VOLUME_CREATE);
	answer(ATTEMPT_DONE);
	expect(VOLUME_AVAILABLE);
	assert_int_equal(record.size, SIZE);
}

static void attach(void)
{
	create();
	hold(web);
	do_step(VOLUME_BIND);
	expect(VOLUME_ATTACHING);
	see(true, VOLUME_NO_CARD);
	do_step(VOLUME_ATTACH);
	answer(ATTEMPT_DONE);
	expect(VOLUME_ATTACHED);
	see(true, VOLUME_CARD);
	assert_int_equal(next(), VOLUME_NOTHING);
}

/* ---- life ---- */

static void it_is_created_attached_detached_and_deleted(void **state)
{
	(void)state;
	attach();
	let_go();
	do_step(VOLUME_DETACH);
	expect(VOLUME_DETACHING);
	answer(ATTEMPT_DONE);
	assert_int_equal(next(), VOLUME_LOOK);
	see(true, VOLUME_NO_CARD);
	do_step(VOLUME_RELEASE);
	expect(VOLUME_AVAILABLE);
	want.gone = true;
	do_step(VOLUME_DELETE);
	expect(VOLUME_DELETING);
	answer(ATTEMPT_DONE);
	expect(VOLUME_GONE);
	assert_int_equal(next(), VOLUME_REMOVE);
}

static void it_can_be_had_back_within_the_grace_period(void **state)
{
	struct volume_decision decision;

	(void)state;
	create();
	want.gone = true;
	want.gone_at = now + 5000;
	decision = volume_next(&record, &want, &view, now);
	assert_int_equal(decision.step, VOLUME_WAIT);
	assert_int_equal(decision.until, want.gone_at);
	now = want.gone_at - 1;
	assert_int_equal(next(), VOLUME_WAIT);
	want.gone = false;
	assert_int_equal(next(), VOLUME_NOTHING);
	want.gone = true;
	now++;
	assert_int_equal(next(), VOLUME_DELETE);
}

static void deleted_before_anything_was_done_there_is_nothing_to_do(void **state)
{
	(void)state;
	want.gone = true;
	assert_int_equal(next(), VOLUME_REMOVE);
}

static void deleted_while_it_is_created_it_is_created_first(void **state)
{
	(void)state;
	do_step(VOLUME_CREATE);
	answer(ATTEMPT_UNANSWERED);
	want.gone = true;
	now = record.attempt.not_before;
	do_step(VOLUME_CREATE);
	assert_int_equal(record.attempt.number, 1);
	answer(ATTEMPT_DONE);
	assert_int_equal(next(), VOLUME_DELETE);
}

static void half_of_one_that_could_not_be_created_is_deleted(void **state)
{
	(void)state;
	do_step(VOLUME_CREATE);
	answer(ATTEMPT_REFUSED);
	assert_int_equal(next(), VOLUME_WAIT);
	want.gone = true;
	assert_int_equal(next(), VOLUME_DELETE);
}

static void it_grows_wherever_it_is(void **state)
{
	(void)state;
	create();
	want.size = 2 * SIZE;
	do_step(VOLUME_RESIZE);
	answer(ATTEMPT_DONE);
	assert_int_equal(record.size, 2 * SIZE);
	assert_int_equal(next(), VOLUME_NOTHING);
	hold(web);
	do_step(VOLUME_BIND);
	see(true, VOLUME_CARD);
	expect(VOLUME_ATTACHED);
	want.size = 3 * SIZE;
	do_step(VOLUME_RESIZE);
	/* It was asked for that much when that was what is wanted. */
	want.size = 4 * SIZE;
	answer(ATTEMPT_DONE);
	assert_int_equal(record.size, 3 * SIZE);
	assert_int_equal(next(), VOLUME_RESIZE);
}

/* ---- one writer ---- */

static void another_gets_it_only_when_the_first_has_no_card(void **state)
{
	(void)state;
	attach();
	let_go();
	hold(mail);
	do_step(VOLUME_DETACH);
	answer(ATTEMPT_REFUSED);
	see(true, VOLUME_CARD);
	assert_int_equal(next(), VOLUME_WAIT);
	see(true, VOLUME_NO_CARD);
	do_step(VOLUME_RELEASE);
	do_step(VOLUME_BIND);
	assert_memory_equal(record.holder, mail, sizeof(mail));
}

static void what_was_seen_before_a_change_does_not_count(void **state)
{
	(void)state;
	create();
	hold(web);
	do_step(VOLUME_BIND);
	see(true, VOLUME_NO_CARD);
	do_step(VOLUME_ATTACH);
	answer(ATTEMPT_DONE);
	let_go();
	/* No card, but that was before it was attached. */
	assert_int_equal(next(), VOLUME_LOOK);
}

/* Of what nobody had, the host need not be asked first; after a refusal it is. */
static void it_is_attached_without_another_look(void **state)
{
	(void)state;
	create();
	hold(web);
	view.lives = true;
	do_step(VOLUME_BIND);
	do_step(VOLUME_ATTACH);
	answer(ATTEMPT_REFUSED);
	assert_int_equal(next(), VOLUME_LOOK);
	see(true, VOLUME_CARD);
	expect(VOLUME_ATTACHED);
}

static void what_an_instance_is_launched_with_is_looked_for_first(void **state)
{
	(void)state;
	create();
	hold(web);
	do_step(VOLUME_BIND);
	volume_launched(&record);
	view.lives = true;
	assert_int_equal(next(), VOLUME_LOOK);
}

static void what_was_to_leave_and_stays_is_looked_for_first(void **state)
{
	(void)state;
	attach();
	let_go();
	do_step(VOLUME_DETACH);
	answer(ATTEMPT_UNANSWERED);
	hold(web);
	do_step(VOLUME_BIND);
	assert_int_equal(next(), VOLUME_LOOK);
}

static void an_attach_that_was_not_answered_is_waited_for(void **state)
{
	(void)state;
	create();
	hold(web);
	do_step(VOLUME_BIND);
	see(true, VOLUME_NO_CARD);
	do_step(VOLUME_ATTACH);
	answer(ATTEMPT_UNANSWERED);
	let_go();
	see(true, VOLUME_NO_CARD);
	assert_int_equal(next(), VOLUME_WAIT);
	view.lives = false;
	view.down = true;
	assert_int_equal(next(), VOLUME_WAIT);
	view.lives = true;
	view.down = false;
	now += ATTEMPT_SETTLED;
	assert_int_equal(next(), VOLUME_LOOK);
	see(true, VOLUME_NO_CARD);
	assert_int_equal(next(), VOLUME_RELEASE);
	see(true, VOLUME_CARD);
	assert_int_equal(next(), VOLUME_DETACH);
}

static void one_of_the_specification_is_free_when_its_instance_is_down(void **state)
{
	(void)state;
	create();
	hold(web);
	do_step(VOLUME_BIND);
	view.down = true;
	assert_int_equal(next(), VOLUME_NOTHING);
	volume_launched(&record);
	see(true, VOLUME_CARD);
	expect(VOLUME_ATTACHED);
	let_go();
	do_step(VOLUME_DETACH);
	answer(ATTEMPT_DONE);
	see(true, VOLUME_NO_CARD);
	/* Its host would bring it back with the instance. */
	assert_int_equal(next(), VOLUME_NOTHING);
	view.lives = false;
	assert_int_equal(next(), VOLUME_LOOK);
	see(false, VOLUME_UNSEEN);
	do_step(VOLUME_RELEASE);
	assert_false(record.in_specification);
}

static void one_that_is_wanted_back_while_it_leaves_comes_back(void **state)
{
	(void)state;
	attach();
	volume_launched(&record);
	let_go();
	do_step(VOLUME_DETACH);
	answer(ATTEMPT_DONE);
	hold(web);
	do_step(VOLUME_BIND);
	see(true, VOLUME_NO_CARD);
	assert_int_equal(next(), VOLUME_ATTACH);
}

static void a_card_that_was_lost_is_attached_again(void **state)
{
	(void)state;
	attach();
	see(true, VOLUME_NO_CARD);
	expect(VOLUME_ATTACHING);
	assert_int_equal(next(), VOLUME_ATTACH);
}

static void its_key_goes_to_trusted_hosts_only(void **state)
{
	(void)state;
	view.keys = false;
	assert_int_equal(next(), VOLUME_NOTHING);
	view.keys = true;
	create();
	hold(web);
	do_step(VOLUME_BIND);
	see(true, VOLUME_NO_CARD);
	view.keys = false;
	assert_int_equal(next(), VOLUME_NOTHING);
	view.keys = true;
	view.usable = false;
	assert_int_equal(next(), VOLUME_NOTHING);
	view.usable = true;
	do_step(VOLUME_ATTACH);
	answer(ATTEMPT_DONE);
	/* It is taken away from any. */
	view.usable = view.keys = false;
	see(true, VOLUME_CARD);
	let_go();
	assert_int_equal(next(), VOLUME_DETACH);
}

static void on_an_unreachable_host_nothing_is_done(void **state)
{
	(void)state;
	attach();
	view.reachable = false;
	see(true, VOLUME_CARD);
	let_go();
	assert_int_equal(next(), VOLUME_NOTHING);
}

static void a_plane_that_was_killed_asks_the_same_again(void **state)
{
	uint8_t before[ATTEMPT_ID_SIZE], after[ATTEMPT_ID_SIZE];

	(void)state;
	create();
	hold(web);
	do_step(VOLUME_BIND);
	see(true, VOLUME_NO_CARD);
	do_step(VOLUME_ATTACH);
	volume_id(&record, uid, before);
	view.in_flight = false;
	volume_resume(&record, now);
	do_step(VOLUME_ATTACH);
	volume_id(&record, uid, after);
	assert_memory_equal(before, after, sizeof(before));
	answer(ATTEMPT_DONE);
	expect(VOLUME_ATTACHED);
}

/* ---- what may be asked for ---- */

static void who_may_have_it(void **state)
{
	struct volume_holder holder = {.uid = {1}, .same_host = true, .key = true};

	(void)state;
	create();
	assert_null(volume_may_attach(&record, &want, &holder));
	holder.gone = true;
	assert_non_null(volume_may_attach(&record, &want, &holder));
	holder.gone = false;
	holder.same_host = false;
	assert_non_null(volume_may_attach(&record, &want, &holder));
	holder.same_host = true;
	holder.key = false;
	assert_non_null(volume_may_attach(&record, &want, &holder));
	holder.key = true;
	holder.slots = 0xfffffffe;
	assert_non_null(volume_may_attach(&record, &want, &holder));
	holder.slots = 0;
	want.gone = true;
	assert_non_null(volume_may_attach(&record, &want, &holder));
}

static void one_holder_at_a_time(void **state)
{
	struct volume_holder one = {.uid = {1}, .same_host = true, .key = true};
	struct volume_holder other = {.uid = {2}, .same_host = true, .key = true};

	(void)state;
	attach();
	assert_null(volume_may_attach(&record, &want, &one));
	assert_non_null(volume_may_attach(&record, &want, &other));
	let_go();
	/* It has not left yet: back to the same, but not to another. */
	assert_null(volume_may_attach(&record, &want, &one));
	assert_non_null(volume_may_attach(&record, &want, &other));
}

static void one_that_is_held_is_not_deleted(void **state)
{
	(void)state;
	attach();
	assert_non_null(volume_may_delete(&record, &want));
	let_go();
	assert_non_null(volume_may_delete(&record, &want));
	do_step(VOLUME_DETACH);
	answer(ATTEMPT_DONE);
	see(true, VOLUME_NO_CARD);
	do_step(VOLUME_RELEASE);
	assert_null(volume_may_delete(&record, &want));
}

static void it_never_shrinks(void **state)
{
	(void)state;
	create();
	assert_null(volume_may_resize(&record, &want, SIZE));
	assert_null(volume_may_resize(&record, &want, SIZE + 4096));
	assert_non_null(volume_may_resize(&record, &want, SIZE - 4096));
	want.gone = true;
	assert_non_null(volume_may_resize(&record, &want, 2 * SIZE));
}

static void what_was_too_much_can_be_taken_back(void **state)
{
	(void)state;
	create();
	want.size = 3 * SIZE;
	want.generation++;
	assert_null(volume_may_resize(&record, &want, 2 * SIZE));
	do_step(VOLUME_RESIZE);
	assert_non_null(volume_may_resize(&record, &want, 2 * SIZE));
	answer(ATTEMPT_REFUSED);
	assert_null(volume_may_resize(&record, &want, 2 * SIZE));
	assert_null(volume_may_resize(&record, &want, SIZE));
	assert_non_null(volume_may_resize(&record, &want, SIZE - 4096));
	want.size = SIZE;
	want.generation++;
	assert_int_equal(next(), VOLUME_NOTHING);
}

static void what_is_being_made_is_not_made_smaller(void **state)
{
	(void)state;
	assert_non_null(volume_may_resize(&record, &want, SIZE / 2));
}

/* A host that has given a card up leaves it in its slot: nothing is done there by itself. */
static void a_failed_card_is_left_to_people(void **state)
{
	(void)state;
	attach();
	see(true, VOLUME_FAILED_CARD);
	expect(VOLUME_ATTACHED);
	assert_int_equal(next(), VOLUME_NOTHING);
	assert_non_null(strstr(volume_next(&record, &want, &view, now).why, "failed"));
	want.size = 2 * SIZE;
	assert_int_equal(next(), VOLUME_NOTHING);
	let_go();
	do_step(VOLUME_DETACH);
	answer(ATTEMPT_DONE);
	see(true, VOLUME_NO_CARD);
	do_step(VOLUME_RELEASE);
	expect(VOLUME_AVAILABLE);
}

static void slots_are_chosen_from_the_lowest(void **state)
{
	(void)state;
	assert_int_equal(volume_choose_slot(0), 1);
	assert_int_equal(volume_choose_slot(1), 1); /* the host bridge has none to give */
	assert_int_equal(volume_choose_slot(0x2), 2);
	assert_int_equal(volume_choose_slot(0x16), 3);
	assert_int_equal(volume_choose_slot(0x7ffffffe), 31);
	assert_int_equal(volume_choose_slot(0xfffffffe), 0);
}

#define TEST(name) cmocka_unit_test_setup(name, begin_anew)

static void made_when_it_was_to_be_smaller_it_grows(void **state)
{
	(void)state;
	do_step(VOLUME_CREATE);
	answer(ATTEMPT_UNANSWERED);
	want.generation++;
	want.size = 2 * SIZE;
	now += ATTEMPT_PAUSE_MOST;
	do_step(VOLUME_CREATE);
	/* Also if all that its host says is that there is one. */
	answer(ATTEMPT_DONE);
	assert_int_equal(record.size, SIZE);
	do_step(VOLUME_RESIZE);
	answer(ATTEMPT_DONE);
	assert_int_equal(record.size, 2 * SIZE);
}

static void one_that_cannot_grow_is_attached_all_the_same(void **state)
{
	(void)state;
	create();
	want.generation++;
	want.size = 2 * SIZE;
	do_step(VOLUME_RESIZE);
	answer(ATTEMPT_REFUSED);
	assert_int_equal(next(), VOLUME_WAIT);
	hold(web);
	do_step(VOLUME_BIND);
	see(true, VOLUME_NO_CARD);
	do_step(VOLUME_ATTACH);
	answer(ATTEMPT_DONE);
	see(true, VOLUME_CARD);
	expect(VOLUME_ATTACHED);
	do_step(VOLUME_RESIZE);
}

static void on_a_host_that_was_removed_it_can_be_deleted(void **state)
{
	(void)state;
	attach();
	view.reachable = view.usable = view.keys = view.lives = false;
	view.card = VOLUME_UNSEEN;
	view.lost = true;
	assert_int_equal(next(), VOLUME_NOTHING);
	let_go();
	do_step(VOLUME_RELEASE);
	want.gone = true;
	want.gone_at = now + 10;
	assert_int_equal(next(), VOLUME_WAIT);
	now += 10;
	assert_int_equal(next(), VOLUME_REMOVE);
	view.lost = false;
	assert_int_equal(next(), VOLUME_NOTHING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(it_is_created_attached_detached_and_deleted),
		TEST(it_can_be_had_back_within_the_grace_period),
		TEST(deleted_before_anything_was_done_there_is_nothing_to_do),
		TEST(deleted_while_it_is_created_it_is_created_first),
		TEST(half_of_one_that_could_not_be_created_is_deleted),
		TEST(on_a_host_that_was_removed_it_can_be_deleted),
		TEST(it_grows_wherever_it_is),
		TEST(made_when_it_was_to_be_smaller_it_grows),
		TEST(one_that_cannot_grow_is_attached_all_the_same),
		TEST(another_gets_it_only_when_the_first_has_no_card),
		TEST(what_was_seen_before_a_change_does_not_count),
		TEST(it_is_attached_without_another_look),
		TEST(what_an_instance_is_launched_with_is_looked_for_first),
		TEST(what_was_to_leave_and_stays_is_looked_for_first),
		TEST(an_attach_that_was_not_answered_is_waited_for),
		TEST(one_of_the_specification_is_free_when_its_instance_is_down),
		TEST(one_that_is_wanted_back_while_it_leaves_comes_back),
		TEST(a_card_that_was_lost_is_attached_again),
		TEST(its_key_goes_to_trusted_hosts_only),
		TEST(on_an_unreachable_host_nothing_is_done),
		TEST(a_plane_that_was_killed_asks_the_same_again),
		TEST(who_may_have_it),
		TEST(one_holder_at_a_time),
		TEST(one_that_is_held_is_not_deleted),
		TEST(it_never_shrinks),
		TEST(what_was_too_much_can_be_taken_back),
		TEST(what_is_being_made_is_not_made_smaller),
		TEST(a_failed_card_is_left_to_people),
		TEST(slots_are_chosen_from_the_lowest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
