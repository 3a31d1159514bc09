/* SPDX-License-Identifier: Apache-2.0 */
/* Interrupts that are held back for more answers to come (Base 5.27.1.6, 5.27.1.7). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "nvme_rig.h"

static int set_up(void **context)
{
	static struct rig rig;

	rig_create(&rig, 512);
	rig_start(&rig, 2);
	*context = &rig;
	return 0;
}

static int tear_down(void **context)
{
	rig_destroy(*context);
	return 0;
}

static void set_feature(struct rig *rig, uint32_t id, uint32_t value)
{
	assert_int_equal(rig_do(rig, 0,
				(struct nvme_command){.opcode = NVME_ADMIN_SET_FEATURES,
						      .cdw10 = id,
						      .cdw11 = value}),
			 NVME_OK);
}

/* At most `answers` for an interrupt, and `time` times 100 us. */
static void coalesce(struct rig *rig, uint32_t answers, uint32_t time)
{
	set_feature(rig, NVME_FEATURE_COALESCING, time << 8 | (answers - 1));
}

static void ask(struct rig *rig, unsigned queue)
{
	rig_submit(rig, queue, rig_io(rig, NVME_CMD_READ, 0, 1, RIG_DATA));
	rig_process(rig);
}

static void sound_alarm(struct rig *rig)
{
	assert_true(rig->alarm);
	rig->alarm = 0;
	nvme_alarm(rig->nvme);
}

static void so_many_answers_make_an_interrupt(void **context)
{
	struct rig *rig = *context;

	coalesce(rig, 3, 5);
	for (unsigned i = 0; i < 9; i++) {
		assert_int_equal(rig->interrupts[1], i / 3);
		ask(rig, 1);
	}
	assert_int_equal(rig->interrupts[1], 3);
}

static void none_waits_longer_than_the_time(void **context)
{
	struct rig *rig = *context;

	coalesce(rig, 8, 5);
	ask(rig, 1);
	ask(rig, 2);
	assert_int_equal(rig->alarm, 500);
	assert_int_equal(rig->interrupts[1] + rig->interrupts[2], 0);
	sound_alarm(rig);
	assert_int_equal(rig->interrupts[1], 1);
	assert_int_equal(rig->interrupts[2], 1);
	assert_int_equal(rig->alarm, 0);
	/* The count began anew, and so does the time. */
	ask(rig, 1);
	assert_int_equal(rig->interrupts[1], 1);
	sound_alarm(rig);
	assert_int_equal(rig->interrupts[1], 2);
}

static void without_a_time_none_waits(void **context)
{
	struct rig *rig = *context;

	coalesce(rig, 8, 0);
	ask(rig, 1);
	assert_int_equal(rig->interrupts[1], 1);
	coalesce(rig, 1, 9);
	ask(rig, 1);
	assert_int_equal(rig->interrupts[1], 2);
}

static void a_vector_can_be_left_out(void **context)
{
	struct rig *rig = *context;

	coalesce(rig, 8, 5);
	set_feature(rig, NVME_FEATURE_VECTOR, 1 << 16 | 1);
	ask(rig, 1);
	ask(rig, 2);
	assert_int_equal(rig->interrupts[1], 1);
	assert_int_equal(rig->interrupts[2], 0);
}

/* Each admin command above had its own; so has an I/O queue that shares the vector. */
static void the_admin_vector_never_waits(void **context)
{
	struct rig *rig = *context;
	unsigned before;

	coalesce(rig, 8, 5);
	before = rig->interrupts[0];
	set_feature(rig, NVME_FEATURE_WRITE_CACHE, 1);
	assert_int_equal(rig->interrupts[0], before + 1);
}

static void errors_are_told_at_once(void **context)
{
	struct rig *rig = *context;

	coalesce(rig, 8, 5);
	ask(rig, 1);
	rig_submit(rig, 1, (struct nvme_command){.opcode = 0x7f, .nsid = 1});
	rig_process(rig);
	assert_int_equal(rig->interrupts[1], 1);
}

static void what_waits_is_told_when_the_feature_changes(void **context)
{
	struct rig *rig = *context;

	coalesce(rig, 8, 5);
	ask(rig, 1);
	coalesce(rig, 1, 0);
	assert_int_equal(rig->interrupts[1], 1);
	sound_alarm(rig); /* finds nothing */
	assert_int_equal(rig->interrupts[1], 1);
}

static void a_death_loses_none(void **context)
{
	struct rig *rig = *context;

	coalesce(rig, 8, 5);
	ask(rig, 1);
	assert_int_equal(rig_restart(rig), 0);
	rig_process(rig);
	assert_int_equal(rig->interrupts[1], 1);
}

/* The alarm that was set before it comes, and means nothing. */
static void a_reset_forgets_what_waits(void **context)
{
	struct rig *rig = *context;

	coalesce(rig, 8, 5);
	ask(rig, 1);
	rig_write(rig, NVME_REG_CC, 0);
	rig_process(rig);
	sound_alarm(rig);
	assert_int_equal(rig->interrupts[1], 0);
	rig_start(rig, 1);
	ask(rig, 1);
	assert_int_equal(rig->interrupts[1], 1);
}

/* Off and on again while one waits: it comes when it may. */
static void none_is_lost_without_bus_mastering(void **context)
{
	struct rig *rig = *context;

	coalesce(rig, 8, 5);
	ask(rig, 1);
	nvme_set_master(rig->nvme, false);
	sound_alarm(rig);
	assert_int_equal(rig->interrupts[1], 0);
	nvme_set_master(rig->nvme, true);
	rig_process(rig);
	assert_int_equal(rig->interrupts[1], 1);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(so_many_answers_make_an_interrupt),
		CASE(none_waits_longer_than_the_time),
		CASE(without_a_time_none_waits),
		CASE(a_vector_can_be_left_out),
		CASE(the_admin_vector_never_waits),
		CASE(errors_are_told_at_once),
		CASE(what_waits_is_told_when_the_feature_changes),
		CASE(a_death_loses_none),
		CASE(a_reset_forgets_what_waits),
		CASE(none_is_lost_without_bus_mastering),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
