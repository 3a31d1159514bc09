/* SPDX-License-Identifier: Apache-2.0 */
/* Compare and Write as one: alone on the disk, and answered as a pair whatever happens. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "nvme_rig.h"

#define WRITTEN (RIG_DATA + 4096)

static int set_up(void **context)
{
	static struct rig rig;

	rig_create(&rig, 512);
	rig_start(&rig, 2);
	memset(rig.disk, 0x11, 65536);
	memset(rig_at(&rig, RIG_DATA), 0x11, 4096);
	memset(rig_at(&rig, WRITTEN), 0x22, 4096);
	*context = &rig;
	return 0;
}

static int tear_down(void **context)
{
	rig_destroy(*context);
	return 0;
}

static struct nvme_command compare(struct rig *rig)
{
	struct nvme_command command = rig_io(rig, NVME_CMD_COMPARE, 3, 1, RIG_DATA);

	command.flags = NVME_FUSE_FIRST;
	return command;
}

static struct nvme_command write(struct rig *rig)
{
	struct nvme_command command = rig_io(rig, NVME_CMD_WRITE, 3, 1, WRITTEN);

	command.flags = NVME_FUSE_SECOND;
	return command;
}

static void answer_is(struct rig *rig, unsigned queue, uint16_t cid, uint16_t status)
{
	struct nvme_completion entry;

	assert_true(rig_reap(rig, queue, &entry));
	assert_int_equal(entry.cid, cid);
	assert_int_equal(entry.status >> 1, status);
}

static void no_answer(struct rig *rig, unsigned queue)
{
	struct nvme_completion entry;

	assert_false(rig_reap(rig, queue, &entry));
}

static void pair(struct rig *rig, struct nvme_command first, struct nvme_command second,
		 uint16_t first_status, uint16_t second_status)
{
	uint16_t cid = rig_submit(rig, 1, first);

	rig_submit(rig, 1, second);
	for (unsigned i = 0; i < 10; i++) {
		rig_process(rig);
		rig_answer_all(rig);
	}
	answer_is(rig, 1, cid, first_status);
	answer_is(rig, 1, (uint16_t)(cid + 1), second_status);
	no_answer(rig, 1);
}

static void same_and_different(void **context)
{
	struct rig *rig = *context;

	for (unsigned i = 0; i < 2; i++) {
		rig->late = i;
		memset(rig->disk, 0x11, 4096);
		pair(rig, compare(rig), write(rig), NVME_OK, NVME_OK);
		assert_memory_equal(rig->disk + 3 * 512, rig_at(rig, WRITTEN), 512);
		assert_int_equal(rig->disk[3 * 512 - 1], 0x11);
		assert_int_equal(rig->disk[4 * 512], 0x11);
		rig->disk[3 * 512] = 0x33;
		pair(rig, compare(rig), write(rig), NVME_COMPARE_FAILURE, NVME_FAILED_FUSED);
		assert_int_equal(rig->disk[3 * 512], 0x33);
	}
}

static void pairs_that_are_none(void **context)
{
	struct rig *rig = *context;
	struct nvme_command first, second;

	first = compare(rig);
	first.opcode = NVME_CMD_READ;
	pair(rig, first, write(rig), NVME_INVALID_FIELD, NVME_FAILED_FUSED);
	second = write(rig);
	second.opcode = NVME_CMD_WRITE_ZEROES;
	pair(rig, compare(rig), second, NVME_INVALID_FIELD, NVME_FAILED_FUSED);
	second = write(rig);
	second.cdw10++;
	pair(rig, compare(rig), second, NVME_INVALID_FIELD, NVME_FAILED_FUSED);
	first = compare(rig);
	second = write(rig);
	first.cdw12 = second.cdw12 = 1;
	pair(rig, first, second, NVME_ATOMIC_UNIT_EXCEEDED, NVME_FAILED_FUSED);
	first = compare(rig);
	second = write(rig);
	first.nsid = 2;
	pair(rig, first, second, NVME_INVALID_NAMESPACE, NVME_FAILED_FUSED);
	second.nsid = 2;
	pair(rig, compare(rig), second, NVME_OK, NVME_INVALID_NAMESPACE);
	pair(rig, compare(rig), compare(rig), NVME_MISSING_FUSED, NVME_MISSING_FUSED);
	pair(rig, write(rig), write(rig), NVME_MISSING_FUSED, NVME_MISSING_FUSED);
	second = write(rig);
	second.flags = 0;
	second.cdw10 = 9;
	pair(rig, compare(rig), second, NVME_MISSING_FUSED, NVME_OK);
	assert_int_equal(rig->disk[3 * 512], 0x11);
	pair(rig, compare(rig), write(rig), NVME_OK, NVME_OK);
}

/* Halves in two queues are no pair; the second rung for later is none either. */
static void halves_apart(void **context)
{
	struct rig *rig = *context;

	assert_int_equal(rig_do(rig, 1, compare(rig)), NVME_MISSING_FUSED);
	assert_int_equal(rig_do(rig, 2, write(rig)), NVME_MISSING_FUSED);
	assert_int_equal(rig_do(rig, 1, write(rig)), NVME_MISSING_FUSED);
	assert_int_equal(rig->submitted, 0);
}

static void alone_on_the_disk(void **context)
{
	struct rig *rig = *context;
	struct nvme_command other = rig_io(rig, NVME_CMD_WRITE, 3, 1, WRITTEN);
	uint16_t before, first, after;

	rig->late = true;
	before = rig_submit(rig, 2, other);
	rig_process(rig);
	assert_int_equal(rig->waiting_count, 1);
	first = rig_submit(rig, 1, compare(rig));
	rig_submit(rig, 1, write(rig));
	rig_process(rig);
	after = rig_submit(rig, 2, other);
	rig_process(rig);
	assert_int_equal(rig->waiting_count, 1);
	rig_answer(rig, 0, -EIO);
	answer_is(rig, 2, before, NVME_WRITE_FAULT);
	for (unsigned i = 0; i < 2; i++) {
		rig_process(rig);
		assert_int_equal(rig->waiting_count, 1);
		assert_int_equal(rig->waiting[0]->op, i ? NVME_IO_WRITE : NVME_IO_READ);
		no_answer(rig, 1);
		rig_answer(rig, 0, 0);
	}
	answer_is(rig, 1, first, NVME_OK);
	answer_is(rig, 1, (uint16_t)(first + 1), NVME_OK);
	rig_process(rig);
	assert_int_equal(rig->waiting_count, 1);
	rig_answer(rig, 0, 0);
	answer_is(rig, 2, after, NVME_OK);
}

/* At each of its steps: a quiesce, and a process that takes over. */
static void interrupted(void **context)
{
	struct rig *rig = *context;

	rig->late = true;
	for (unsigned i = 0; i < 8; i++) {
		uint16_t first = rig_submit(rig, 1, compare(rig));

		memset(rig->disk, 0x11, 4096);
		rig_submit(rig, 1, write(rig));
		rig_process(rig);
		if (i & 1)
			rig_answer(rig, 0, 0);
		if (i & 2)
			nvme_quiesce(rig->nvme);
		if (i & 4)
			assert_int_equal(rig_restart(rig), 0);
		for (unsigned j = 0; j < 4; j++) {
			rig_process(rig);
			rig_answer_all(rig);
		}
		answer_is(rig, 1, first, NVME_OK);
		answer_is(rig, 1, (uint16_t)(first + 1), NVME_OK);
		no_answer(rig, 1);
		assert_int_equal(rig->disk[3 * 512], 0x22);
	}
}

/* With a place for one answer only, the pair waits for another; where there never is one, it is
 * none. */
static void little_room_for_answers(void **context)
{
	struct rig *rig = *context;
	struct nvme_command flush = {.opcode = NVME_CMD_FLUSH, .nsid = 1};
	struct nvme_completion entry;
	uint16_t first;

	assert_int_equal(rig_create_cq(rig, 3, 3, 3), NVME_OK);
	assert_int_equal(rig_create_sq(rig, 3, 8, 3), NVME_OK);
	rig_submit(rig, 3, flush);
	first = rig_submit(rig, 3, compare(rig));
	rig_submit(rig, 3, write(rig));
	rig_process(rig);
	assert_int_equal(rig->state->sq[3].fetched, 1);
	assert_true(rig_reap(rig, 3, &entry));
	rig_process(rig);
	answer_is(rig, 3, first, NVME_OK);
	answer_is(rig, 3, (uint16_t)(first + 1), NVME_OK);
	assert_int_equal(rig_create_cq(rig, 4, 2, 4), NVME_OK);
	assert_int_equal(rig_create_sq(rig, 4, 8, 4), NVME_OK);
	first = rig_submit(rig, 4, compare(rig));
	rig_submit(rig, 4, write(rig));
	rig_process(rig);
	answer_is(rig, 4, first, NVME_MISSING_FUSED);
	rig_process(rig);
	answer_is(rig, 4, (uint16_t)(first + 1), NVME_MISSING_FUSED);
}

static void reset_under_way(void **context)
{
	struct rig *rig = *context;

	rig->late = true;
	rig_submit(rig, 1, compare(rig));
	rig_submit(rig, 1, write(rig));
	rig_process(rig);
	nvme_reset(rig->nvme);
	rig->late = false;
	nvme_set_master(rig->nvme, true);
	rig_start(rig, 1);
	pair(rig, compare(rig), write(rig), NVME_OK, NVME_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(same_and_different, set_up, tear_down),
		cmocka_unit_test_setup_teardown(pairs_that_are_none, set_up, tear_down),
		cmocka_unit_test_setup_teardown(halves_apart, set_up, tear_down),
		cmocka_unit_test_setup_teardown(alone_on_the_disk, set_up, tear_down),
		cmocka_unit_test_setup_teardown(interrupted, set_up, tear_down),
		cmocka_unit_test_setup_teardown(little_room_for_answers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(reset_under_way, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("nvme fused", tests, NULL, NULL);
}
