/* SPDX-License-Identifier: Apache-2.0 */
/* Compare, Verify, Copy: what reads the disk and keeps the data to itself. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "nvme_rig.h"

static int set_up(void **context)
{
	static struct rig rig;

	rig_create(&rig, 512);
	rig_start(&rig, 2);
	for (unsigned i = 0; i < RIG_DISK; i++)
		rig.disk[i] = (uint8_t)(i * 7 + i / 509);
	*context = &rig;
	return 0;
}

static int tear_down(void **context)
{
	rig_destroy(*context);
	return 0;
}

/* ---- Compare ---- */

static void compare_at(struct rig *rig, uint64_t address, uint32_t blocks)
{
	struct nvme_command command = rig_io(rig, NVME_CMD_COMPARE, 5, blocks, address);
	uint8_t *bytes = rig_at(rig, address);
	uint64_t last = blocks * 512 - 1;

	memcpy(bytes, rig->disk + 5 * 512, last + 1);
	assert_int_equal(rig_do(rig, 1, command), NVME_OK);
	bytes[last] ^= 1;
	assert_int_equal(rig_do(rig, 1, command), NVME_COMPARE_FAILURE);
	bytes[last] ^= 1;
	bytes[0] ^= 0x80;
	assert_int_equal(rig_do(rig, 1, command), NVME_COMPARE_FAILURE);
	bytes[0] ^= 0x80;
	assert_int_equal(rig_do(rig, 1, command), NVME_OK);
}

static void compare_of_every_size(void **context)
{
	struct rig *rig = *context;
	static const uint32_t blocks[] = {1, 8, 9, 17, 24, 256, 2048};

	for (unsigned i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
		compare_at(rig, RIG_DATA, blocks[i]);
		compare_at(rig, RIG_DATA + 4092, blocks[i]);
		compare_at(rig, RIG_REMOTE + (RIG_DATA - RIG_BASE) + 512, blocks[i]);
		rig->late = !rig->late;
	}
}

/* What is compared is the disk's, not what the guest makes of its memory meanwhile. */
static void compare_writes_nothing(void **context)
{
	struct rig *rig = *context;
	uint8_t before[512];

	memset(rig_at(rig, RIG_DATA), 0x11, 512);
	memcpy(before, rig->disk, 512);
	assert_int_equal(rig_do(rig, 1, rig_io(rig, NVME_CMD_COMPARE, 0, 1, RIG_DATA)),
			 NVME_COMPARE_FAILURE);
	assert_memory_equal(rig->disk, before, 512);
	assert_int_equal(rig_at(rig, RIG_DATA)[0], 0x11);
	assert_int_equal(rig_at(rig, RIG_DATA)[511], 0x11);
}

static void compare_limits(void **context)
{
	struct rig *rig = *context;
	struct nvme_command command = rig_io(rig, NVME_CMD_COMPARE, 0, 1, RIG_DATA);

	assert_int_equal(rig_do(rig, 1, rig_io(rig, NVME_CMD_COMPARE, RIG_DISK / 512, 1, RIG_DATA)),
			 NVME_LBA_OUT_OF_RANGE);
	assert_int_equal(rig_do(rig, 1, rig_io(rig, NVME_CMD_COMPARE, 0, 2049, RIG_DATA)),
			 NVME_INVALID_FIELD);
	command.prp1 = 0;
	assert_int_equal(rig_do(rig, 1, command), NVME_DATA_TRANSFER_ERROR);
	command.prp1 = RIG_DATA + 1;
	assert_int_equal(rig_do(rig, 1, command), NVME_INVALID_PRP_OFFSET);
}

/* ---- Verify ---- */

static void verify_reads(void **context)
{
	struct rig *rig = *context;
	unsigned before = rig->submitted;
	struct nvme_command command = {
		.opcode = NVME_CMD_VERIFY, .nsid = 1, .cdw10 = 7, .cdw12 = 2047};

	assert_int_equal(rig_do(rig, 1, command), NVME_OK);
	assert_int_equal(rig->submitted, before + 1);
	rig->fail = -EIO;
	rig->fail_count = 1;
	assert_int_equal(rig_do(rig, 1, command), NVME_UNRECOVERED_READ);
	command.cdw12 = 2048; /* VSL */
	assert_int_equal(rig_do(rig, 1, command), NVME_INVALID_FIELD);
	command.cdw12 = 0;
	command.cdw10 = RIG_DISK / 512;
	assert_int_equal(rig_do(rig, 1, command), NVME_LBA_OUT_OF_RANGE);
}

/* ---- Copy ---- */

static struct nvme_command copy(struct rig *rig, unsigned count, uint64_t destination)
{
	struct nvme_copy_range *ranges = (void *)rig_at(rig, RIG_DATA);

	memset(ranges, 0, count * sizeof(*ranges));
	for (unsigned i = 0; i < count; i++)
		ranges[i].lba = i * 3;
	return (struct nvme_command){
		.opcode = NVME_CMD_COPY,
		.nsid = 1,
		.prp1 = RIG_DATA,
		.cdw10 = (uint32_t)destination,
		.cdw11 = (uint32_t)(destination >> 32),
		.cdw12 = count - 1,
	};
}

static void copy_gathers(void **context)
{
	struct rig *rig = *context;
	struct nvme_copy_range *ranges = (void *)rig_at(rig, RIG_DATA);
	struct nvme_command command = copy(rig, 128, 4000);

	assert_int_equal(rig_do(rig, 1, command), NVME_OK);
	for (unsigned i = 0; i < 128; i++)
		assert_memory_equal(rig->disk + (4000 + i) * 512, rig->disk + i * 3 * 512, 512);
	rig->late = true;
	command = copy(rig, 2, 2048);
	ranges[0].lba = 1;
	ranges[0].blocks = 2000;
	ranges[1].lba = 4100;
	ranges[1].blocks = 46;
	assert_int_equal(rig_do(rig, 1, command), NVME_OK);
	assert_memory_equal(rig->disk + 2048 * 512, rig->disk + 512, 2001 * 512);
	assert_memory_equal(rig->disk + 4049 * 512, rig->disk + 4100 * 512, 47 * 512);
}

static void copy_limits(void **context)
{
	struct rig *rig = *context;
	struct nvme_copy_range *ranges = (void *)rig_at(rig, RIG_DATA);
	struct nvme_command command = copy(rig, 1, 4000);
	unsigned before = rig->submitted;

	command.cdw12 |= 1 << 8;
	assert_int_equal(rig_do(rig, 1, command), NVME_INVALID_FIELD);
	assert_int_equal(rig_do(rig, 1, copy(rig, 129, 4000)), NVME_COMMAND_SIZE_EXCEEDED);
	assert_int_equal(rig_do(rig, 1, copy(rig, 1, RIG_DISK / 512)), NVME_LBA_OUT_OF_RANGE);
	assert_int_equal(rig_do(rig, 1, copy(rig, 1, UINT64_MAX)), NVME_LBA_OUT_OF_RANGE);
	command = copy(rig, 2, 4000);
	ranges[1].lba = UINT64_MAX;
	assert_int_equal(rig_do(rig, 1, command), NVME_LBA_OUT_OF_RANGE);
	command = copy(rig, 2, 4000);
	ranges[0].blocks = ranges[1].blocks = 1024; /* MCL */
	assert_int_equal(rig_do(rig, 1, command), NVME_COMMAND_SIZE_EXCEEDED);
	command = copy(rig, 1, 4000);
	ranges[0].blocks = 2048; /* MSSRL */
	assert_int_equal(rig_do(rig, 1, command), NVME_COMMAND_SIZE_EXCEEDED);
	command.prp1 = 0;
	assert_int_equal(rig_do(rig, 1, command), NVME_DATA_TRANSFER_ERROR);
	assert_int_equal(rig->submitted, before);
}

/* Done twice it would be something else. */
static void copy_over_its_sources(void **context)
{
	struct rig *rig = *context;
	struct nvme_copy_range *ranges = (void *)rig_at(rig, RIG_DATA);
	struct nvme_command command = copy(rig, 1, 8);

	ranges[0].lba = 0;
	ranges[0].blocks = 7;
	assert_int_equal(rig_do(rig, 1, command), NVME_OK);
	ranges[0].blocks = 8;
	assert_int_equal(rig_do(rig, 1, command), NVME_INVALID_FIELD);
	ranges[0].lba = 16;
	assert_int_equal(rig_do(rig, 1, command), NVME_INVALID_FIELD);
	ranges[0].lba = 17;
	assert_int_equal(rig_do(rig, 1, command), NVME_OK);
}

static void copy_that_fails(void **context)
{
	struct rig *rig = *context;
	struct nvme_command command = copy(rig, 3, 4000);
	struct nvme_completion entry;
	uint8_t before[3 * 512];

	memcpy(before, rig->disk + 4000 * 512, sizeof(before));
	rig->late = true;
	rig_submit(rig, 1, command);
	rig_process(rig);
	rig_answer(rig, 0, 0);
	rig_answer(rig, 0, -EIO);
	assert_true(rig_reap(rig, 1, &entry));
	assert_int_equal(entry.status >> 1, NVME_UNRECOVERED_READ);
	assert_int_equal(rig->waiting_count, 0);
	assert_memory_equal(rig->disk + 4000 * 512, before, sizeof(before));
	rig_submit(rig, 1, command);
	rig_process(rig);
	for (unsigned i = 0; i < 3; i++)
		rig_answer(rig, 0, 0);
	rig_answer(rig, 0, -EIO);
	assert_true(rig_reap(rig, 1, &entry));
	assert_int_equal(entry.status >> 1, NVME_WRITE_FAULT);
	assert_false(rig_reap(rig, 1, &entry));
}

/* ---- all of them ---- */

static void force_unit_access(void **context)
{
	struct rig *rig = *context;
	struct nvme_command command = copy(rig, 1, 4000);

	assert_int_equal(rig_do(rig, 1, command), NVME_OK);
	assert_false(rig->last_fua);
	command.cdw12 |= NVME_RW_FUA;
	assert_int_equal(rig_do(rig, 1, command), NVME_OK);
	assert_true(rig->last_fua);
	command = (struct nvme_command){.opcode = NVME_CMD_VERIFY, .nsid = 1, .cdw12 = NVME_RW_FUA};
	assert_int_equal(rig_do(rig, 1, command), NVME_OK);
	assert_int_equal(rig->flushes, 1);
}

/* Bounce buffers are few; the rest waits, and none is lost, over a quiesce as well. */
static void many_at_once(void **context)
{
	struct rig *rig = *context;
	struct nvme_completion entry;
	unsigned answers = 0;

	copy(rig, 2, 0);
	rig->late = true;
	for (unsigned i = 0; i < 20; i++) {
		rig_submit(rig, 1, copy(rig, 2, 4000 + 2 * i));
		rig_submit(rig, 2,
			   (struct nvme_command){.opcode = NVME_CMD_VERIFY, .nsid = 1, .cdw10 = i});
	}
	rig_process(rig);
	assert_int_equal(rig->waiting_count, 8);
	rig->no_messages = true;
	nvme_quiesce(rig->nvme);
	rig->no_messages = false;
	assert_int_equal(rig->waiting_count, 0);
	for (unsigned i = 0; i < 100; i++) {
		rig_process(rig);
		rig_answer_all(rig);
		while (rig_reap(rig, 1, &entry) || rig_reap(rig, 2, &entry))
			answers += entry.status >> 1 == NVME_OK;
	}
	assert_int_equal(answers, 40);
	for (unsigned i = 0; i < 20; i++)
		assert_memory_equal(rig->disk + (4000 + 2 * i) * 512, rig->disk, 512);
}

static void counted(void **context)
{
	struct rig *rig = *context;
	const struct nvme_counters *counters = &rig->state->counters;

	memcpy(rig_at(rig, RIG_DATA), rig->disk, 512);
	assert_int_equal(rig_do(rig, 1, rig_io(rig, NVME_CMD_COMPARE, 0, 1, RIG_DATA)), NVME_OK);
	assert_int_equal(rig_do(rig, 1, rig_io(rig, NVME_CMD_VERIFY, 0, 2, 0)), NVME_OK);
	assert_int_equal(rig_do(rig, 1, copy(rig, 4, 4000)), NVME_OK);
	assert_int_equal(counters->reads, 2);
	assert_int_equal(counters->sectors_read, 3);
	assert_int_equal(counters->writes, 1);
	assert_int_equal(counters->sectors_written, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(compare_of_every_size, set_up, tear_down),
		cmocka_unit_test_setup_teardown(compare_writes_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(compare_limits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(verify_reads, set_up, tear_down),
		cmocka_unit_test_setup_teardown(copy_gathers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(copy_limits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(copy_over_its_sources, set_up, tear_down),
		cmocka_unit_test_setup_teardown(copy_that_fails, set_up, tear_down),
		cmocka_unit_test_setup_teardown(force_unit_access, set_up, tear_down),
		cmocka_unit_test_setup_teardown(many_at_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(counted, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("nvme copy", tests, NULL, NULL);
}
