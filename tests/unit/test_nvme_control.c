/* SPDX-License-Identifier: Apache-2.0 */
/* Registers, enabling, resets and shutdown with commands under way, doorbells, full queues. */
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
	*context = &rig;
	return 0;
}

static int tear_down(void **context)
{
	rig_destroy(*context);
	return 0;
}

static struct nvme_command read_of(struct rig *rig)
{
	return rig_io(rig, NVME_CMD_READ, 0, 1, RIG_DATA);
}

static unsigned reap_all(struct rig *rig, unsigned queue)
{
	struct nvme_completion entry;
	unsigned count = 0;

	while (rig_reap(rig, queue, &entry))
		count++;
	return count;
}

/* ---- registers ---- */

static void after_power_on(void **context)
{
	struct rig *rig = *context;
	uint64_t cap;

	nvme_register_read(rig->nvme, NVME_REG_CAP, &cap, sizeof(cap));
	assert_int_equal(cap & 0xffff, NVME_QUEUE_DEPTH - 1);
	assert_int_equal(cap >> 16 & 1, 1);  /* contiguous queues */
	assert_int_equal(cap >> 32 & 15, 0); /* doorbell stride */
	assert_int_equal(cap >> 37 & 0xff, 0x41);
	assert_int_equal(cap >> 48 & 0xff, 0); /* 4 KiB pages, and no other */
	assert_int_equal(rig_read(rig, NVME_REG_VS), 0x20000);
	assert_int_equal(rig_read(rig, NVME_REG_CC), 0);
	assert_int_equal(rig_read(rig, NVME_REG_CSTS), 0);
	rig_process(rig);
	assert_int_equal(rig_read(rig, NVME_REG_CSTS), 0);
}

static void any_width_and_place_can_be_read(void **context)
{
	struct rig *rig = *context;
	uint8_t all[8192], part[64];

	rig_write(rig, NVME_REG_AQA, 0x00ff00ff);
	nvme_register_read(rig->nvme, 0, all, sizeof(all));
	for (uint32_t offset = 0; offset < 0x80; offset++) {
		for (uint32_t length = 0; length < sizeof(part); length++) {
			nvme_register_read(rig->nvme, offset, part, length);
			assert_memory_equal(part, all + offset, length);
		}
	}
}

static void writable_bits(void **context)
{
	struct rig *rig = *context;
	uint64_t ones = UINT64_MAX, value;

	rig_write(rig, NVME_REG_AQA, UINT32_MAX);
	assert_int_equal(rig_read(rig, NVME_REG_AQA), 0x0fff0fff);
	nvme_register_write(rig->nvme, NVME_REG_ASQ, &ones, 8);
	nvme_register_read(rig->nvme, NVME_REG_ASQ, &value, 8);
	assert_true(value == UINT64_MAX - 4095);
	rig_write(rig, NVME_REG_ACQ + 4, 7);
	nvme_register_read(rig->nvme, NVME_REG_ACQ, &value, 8);
	assert_true(value == UINT64_C(7) << 32);
	rig_write(rig, NVME_REG_INTMS, 6);
	rig_write(rig, NVME_REG_INTMC, 2);
	assert_int_equal(rig_read(rig, NVME_REG_INTMS), 4);
	rig_write(rig, NVME_REG_CC, 0xfffffffeu & ~NVME_CC_SHN);
	assert_int_equal(rig_read(rig, NVME_REG_CC), 0x00ff3ff0);
	assert_int_equal(rig->events[NVME_EVENT_READ_ONLY_REGISTER], 0);
}

static void read_only_registers(void **context)
{
	struct rig *rig = *context;
	static const uint32_t offsets[] = {0x00, 0x04, 0x08, 0x18, 0x1c, 0x38, 0x68, 0xffc};

	for (unsigned i = 0; i < 8; i++) {
		uint32_t before = rig_read(rig, offsets[i]);

		rig_write(rig, offsets[i], ~before);
		assert_int_equal(rig_read(rig, offsets[i]), before);
		assert_int_equal(rig->events[NVME_EVENT_READ_ONLY_REGISTER], i + 1);
		assert_int_equal(rig->last_event[NVME_EVENT_READ_ONLY_REGISTER], offsets[i]);
	}
	rig_write(rig, NVME_REG_NSSR, 0x4e564d65);
	assert_int_equal(rig_read(rig, NVME_REG_NSSR), 0);
}

static void odd_writes_do_nothing(void **context)
{
	struct rig *rig = *context;
	uint8_t ones[16];

	memset(ones, 0xff, sizeof(ones));
	for (uint32_t length = 1; length < 8; length++) {
		nvme_register_write(rig->nvme, NVME_REG_AQA + 1, ones, length);
		if (length != 4)
			nvme_register_write(rig->nvme, NVME_REG_AQA, ones, length);
	}
	assert_int_equal(rig_read(rig, NVME_REG_AQA), 0);
}

static void unfit_configurations(void **context)
{
	struct rig *rig = *context;
	static const uint32_t bad[] = {1 << 4, 7 << 4, 1 << 7, 15 << 7, 1 << 11, 7 << 11};

	for (unsigned i = 0; i < 6; i++) {
		rig_write(rig, NVME_REG_AQA, 0x00010001);
		rig_write(rig, NVME_REG_CC, NVME_CC_EN | bad[i]);
		rig_process(rig);
		assert_int_equal(rig_read(rig, NVME_REG_CSTS), NVME_CSTS_CFS);
		rig_write(rig, NVME_REG_CC, 0);
		rig_process(rig);
		assert_int_equal(rig_read(rig, NVME_REG_CSTS), 0);
	}
	rig_write(rig, NVME_REG_AQA, 0x00010000);
	rig_write(rig, NVME_REG_CC, NVME_CC_EN);
	rig_process(rig);
	assert_int_equal(rig_read(rig, NVME_REG_CSTS), NVME_CSTS_CFS);
	assert_int_equal(rig->events[NVME_EVENT_FATAL], 7);
}

static void setups_that_are_none(void **context)
{
	struct rig *rig = *context;

	rig->setup.lba_size = 520;
	assert_int_equal(rig_restart(rig), -EINVAL);
	rig->setup.lba_size = 512;
	rig->setup.size = 511;
	assert_int_equal(rig_restart(rig), -EINVAL);
}

static void a_ragged_end_is_left_out(void **context)
{
	struct rig *rig = *context;

	assert_int_equal(nvme_resize(rig->nvme, RIG_DISK - 1), 0);
	rig_start(rig, 1);
	assert_int_equal(
		rig_do(rig, 1, rig_io(rig, NVME_CMD_READ, RIG_DISK / 512 - 1, 1, RIG_DATA)),
		NVME_LBA_OUT_OF_RANGE);
	assert_int_equal(
		rig_do(rig, 1, rig_io(rig, NVME_CMD_READ, RIG_DISK / 512 - 2, 1, RIG_DATA)),
		NVME_OK);
}

/* ---- reset ---- */

static void disable_waits_for_the_back_end(void **context)
{
	struct rig *rig = *context;

	rig_start(rig, 1);
	rig->late = true;
	for (unsigned i = 0; i < 3; i++)
		rig_submit(rig, 1, read_of(rig));
	rig_process(rig);
	rig_write(rig, NVME_REG_CC, 0);
	rig_process(rig);
	assert_int_equal(rig_read(rig, NVME_REG_CSTS), NVME_CSTS_RDY);
	memset(rig_at(rig, rig->queues[1].cq), 0, 4096);
	rig_answer_all(rig);
	assert_int_equal(reap_all(rig, 1), 0);
	rig_process(rig);
	assert_int_equal(rig_read(rig, NVME_REG_CSTS), 0);
	rig->late = false;
	rig_start(rig, 1);
	assert_int_equal(rig_do(rig, 1, read_of(rig)), NVME_OK);
}

static void enable_right_after_disable(void **context)
{
	struct rig *rig = *context;

	rig_start(rig, 1);
	rig->late = true;
	rig_submit(rig, 1, read_of(rig));
	rig_process(rig);
	rig_write(rig, NVME_REG_CC, 0);
	rig_write(rig, NVME_REG_CC, NVME_CC_EN | NVME_SQES << 16 | NVME_CQES << 20);
	rig_process(rig);
	rig_answer_all(rig);
	rig_process(rig);
	assert_int_equal(rig_read(rig, NVME_REG_CSTS), NVME_CSTS_RDY);
	assert_int_equal(rig->state->sq[1].state, NVME_QUEUE_ABSENT);
}

static void function_reset_with_commands_under_way(void **context)
{
	struct rig *rig = *context;

	for (unsigned round = 0; round < 3; round++) {
		rig->late = false;
		rig_start(rig, 2);
		rig_submit(rig, 0, (struct nvme_command){.opcode = NVME_ADMIN_ASYNC_EVENT});
		rig->late = true;
		for (unsigned i = 0; i < 20; i++)
			rig_submit(rig, 1 + i % 2, read_of(rig));
		rig_process(rig);
		assert_int_equal(rig->waiting_count, 20);
		nvme_reset(rig->nvme);
		assert_int_equal(rig->waiting_count, 0);
		assert_int_equal(rig_read(rig, NVME_REG_CC), 0);
		assert_int_equal(rig_read(rig, NVME_REG_CSTS), 0);
		assert_int_equal(rig_read(rig, NVME_REG_AQA), 0);
		assert_int_equal(reap_all(rig, 1), 0);
	}
}

static void what_a_reset_puts_back(void **context)
{
	struct rig *rig = *context;
	struct nvme_command set = {.opcode = NVME_ADMIN_SET_FEATURES,
				   .cdw10 = NVME_FEATURE_WRITE_CACHE};

	rig_enable(rig);
	assert_int_equal(rig_do(rig, 0, set), NVME_OK);
	assert_int_equal(rig->state->features.write_cache, 0);
	rig_write(rig, NVME_REG_INTMS, 5);
	rig_write(rig, NVME_REG_CC, 0);
	rig_process(rig);
	assert_int_equal(rig->state->features.write_cache, 1);
	assert_int_equal(rig_read(rig, NVME_REG_INTMS), 0);
}

static void failure_ends_with_a_reset(void **context)
{
	struct rig *rig = *context;

	rig_start(rig, 1);
	rig_map(rig, 0);
	rig_write(rig, NVME_REG_DOORBELLS, (rig->queues[0].tail + 1) % RIG_DEPTH);
	rig_process(rig);
	assert_int_equal(rig_read(rig, NVME_REG_CSTS), NVME_CSTS_RDY | NVME_CSTS_CFS);
	assert_int_equal(rig->events[NVME_EVENT_FATAL], 1);
	rig_map(rig, MEM_READ | MEM_WRITE);
	rig_process(rig);
	assert_int_equal(rig_read(rig, NVME_REG_CSTS), NVME_CSTS_RDY | NVME_CSTS_CFS);
	rig_write(rig, NVME_REG_CC, 0);
	rig_process(rig);
	rig_start(rig, 1);
	assert_int_equal(rig_do(rig, 1, read_of(rig)), NVME_OK);
}

/* ---- shutdown ---- */

static void shutdown_flushes(void **context)
{
	struct rig *rig = *context;
	uint32_t cc;

	rig_start(rig, 1);
	rig->late = true;
	rig_submit(rig, 1, read_of(rig));
	rig_process(rig);
	cc = rig_read(rig, NVME_REG_CC);
	rig_write(rig, NVME_REG_CC, cc | 1 << 14);
	rig_process(rig);
	assert_int_equal(rig_read(rig, NVME_REG_CSTS), NVME_CSTS_RDY | NVME_CSTS_SHST_OCCURRING);
	assert_int_equal(rig->flushes, 0);
	rig_answer_all(rig);
	assert_int_equal(reap_all(rig, 1), 1);
	rig_process(rig);
	assert_int_equal(rig->flushes, 1);
	assert_int_equal(rig_read(rig, NVME_REG_CSTS), NVME_CSTS_RDY | NVME_CSTS_SHST_OCCURRING);
	rig_answer_all(rig);
	assert_int_equal(rig_read(rig, NVME_REG_CSTS), NVME_CSTS_RDY | NVME_CSTS_SHST_COMPLETE);
	/* Nothing more is fetched until a reset. */
	rig_submit(rig, 1, read_of(rig));
	rig_process(rig);
	assert_int_equal(rig->waiting_count, 0);
	rig_write(rig, NVME_REG_CC, 0);
	rig_process(rig);
	assert_int_equal(rig_read(rig, NVME_REG_CSTS), 0);
	rig->late = false;
	rig_start(rig, 1);
	assert_int_equal(rig_do(rig, 1, read_of(rig)), NVME_OK);
}

static void shutdown_and_reset_at_once(void **context)
{
	struct rig *rig = *context;

	rig_start(rig, 1);
	rig->late = true;
	rig_write(rig, NVME_REG_CC, rig_read(rig, NVME_REG_CC) | 2 << 14);
	rig_process(rig);
	assert_int_equal(rig->waiting_count, 1);
	rig_write(rig, NVME_REG_CC, 0);
	rig_process(rig);
	assert_int_equal(rig_read(rig, NVME_REG_CSTS), NVME_CSTS_RDY | NVME_CSTS_SHST_OCCURRING);
	rig_answer_all(rig);
	rig_process(rig);
	assert_int_equal(rig_read(rig, NVME_REG_CSTS), 0);
	rig->late = false;
	rig_start(rig, 1);
	assert_int_equal(rig_do(rig, 1, read_of(rig)), NVME_OK);
}

static void shutdown_while_disabled(void **context)
{
	struct rig *rig = *context;

	rig_write(rig, NVME_REG_CC, 1 << 14);
	rig_process(rig);
	assert_int_equal(rig_read(rig, NVME_REG_CSTS), NVME_CSTS_SHST_COMPLETE);
	assert_int_equal(rig->flushes, 1);
	rig_start(rig, 1);
	assert_int_equal(rig_read(rig, NVME_REG_CSTS), NVME_CSTS_RDY);
	assert_int_equal(rig_do(rig, 1, read_of(rig)), NVME_OK);
	/* Both by one write. */
	rig_write(rig, NVME_REG_CC, 1 << 14);
	rig_process(rig);
	assert_int_equal(rig_read(rig, NVME_REG_CSTS), NVME_CSTS_SHST_COMPLETE);
	assert_int_equal(rig->flushes, 2);
}

/* ---- quiesce, bus mastering ---- */

static void quiesce_leaves_nothing_behind(void **context)
{
	struct rig *rig = *context;
	struct nvme_dsm_range *ranges = (void *)rig_at(rig, RIG_DATA + 8192);
	struct nvme_command dataset = {.opcode = NVME_CMD_DATASET_MANAGEMENT,
				       .nsid = 1,
				       .prp1 = RIG_DATA + 8192,
				       .cdw10 = 2,
				       .cdw11 = NVME_DSM_AD};

	rig_start(rig, 1);
	for (unsigned i = 0; i < 3; i++)
		ranges[i] = (struct nvme_dsm_range){.lba = i, .blocks = 1};
	rig->late = true;
	rig_submit(rig, 1, read_of(rig));
	rig_submit(rig, 1, dataset);
	rig_process(rig);
	nvme_quiesce(rig->nvme);
	assert_int_equal(rig->waiting_count, 0);
	assert_int_equal(reap_all(rig, 1), 0);
	/* The row goes on after it, from its begin. */
	rig_process(rig);
	assert_int_equal(reap_all(rig, 1), 1);
	assert_int_equal(rig->waiting_count, 1);
	rig_answer_all(rig);
	assert_int_equal(rig->discards, 4);
	assert_int_equal(reap_all(rig, 1), 1);
}

/* Quiesce is called inside a request of the client's, where no message can be sent to it. */
static void quiesce_sends_no_messages(void **context)
{
	struct rig *rig = *context;
	struct nvme_completion entry;

	rig_start(rig, 0);
	assert_int_equal(rig_create_cq(rig, 1, RIG_DEPTH, 1), NVME_OK);
	rig->state->cq[1].base += RIG_REMOTE - RIG_BASE;
	assert_int_equal(rig_create_sq(rig, 1, RIG_DEPTH, 1), NVME_OK);
	rig->late = true;
	rig_submit(rig, 1, rig_io(rig, NVME_CMD_READ, 0, 1, RIG_REMOTE + (RIG_DATA - RIG_BASE)));
	rig_submit(rig, 1, read_of(rig));
	rig_process(rig);
	rig->no_messages = true;
	nvme_quiesce(rig->nvme);
	rig->no_messages = false;
	rig_process(rig);
	rig_answer_all(rig);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(rig_reap(rig, 1, &entry));
		assert_int_equal(entry.status >> 1, NVME_OK);
	}
	assert_int_equal(rig_read(rig, NVME_REG_CSTS), NVME_CSTS_RDY);
}

static void no_mastering_no_access(void **context)
{
	struct rig *rig = *context;
	unsigned before;

	rig_start(rig, 1);
	rig->late = true;
	rig_submit(rig, 1, read_of(rig));
	rig_process(rig);
	nvme_set_master(rig->nvme, false);
	assert_int_equal(rig->waiting_count, 0);
	before = rig->interrupts[1];
	rig_submit(rig, 1, read_of(rig));
	rig_process(rig);
	assert_int_equal(rig->waiting_count, 0);
	nvme_set_master(rig->nvme, true);
	rig_process(rig);
	assert_int_equal(rig->waiting_count, 1);
	rig_answer_all(rig);
	assert_int_equal(reap_all(rig, 1), 2);
	assert_int_equal(rig->interrupts[1], before + 2);
}

/* ---- queues ---- */

static void bad_doorbell_values(void **context)
{
	struct rig *rig = *context;

	rig_start(rig, 1);
	rig_write(rig, NVME_REG_DOORBELLS + 8, RIG_DEPTH);
	rig_write(rig, NVME_REG_DOORBELLS + 12, RIG_DEPTH);
	assert_int_equal(rig->events[NVME_EVENT_BAD_DOORBELL], 2);
	/* More taken than there was. */
	rig_write(rig, NVME_REG_DOORBELLS + 12, 5);
	rig_process(rig);
	assert_int_equal(rig->events[NVME_EVENT_BAD_DOORBELL], 3);
	assert_int_equal(rig->last_event[NVME_EVENT_BAD_DOORBELL], NVME_REG_DOORBELLS + 12);
	/* No such queue. */
	rig_write(rig, NVME_REG_DOORBELLS + 16, 1);
	rig_write(rig, NVME_REG_DOORBELLS + 8 * 17, 1);
	rig_write(rig, NVME_MSIX_TABLE - 4, 1);
	rig_write(rig, UINT32_MAX - 3, 1);
	assert_int_equal(rig->events[NVME_EVENT_BAD_DOORBELL], 7);
	assert_int_equal(rig_do(rig, 1, read_of(rig)), NVME_OK);
}

static void rings_go_around(void **context)
{
	struct rig *rig = *context;

	rig_start(rig, 0);
	assert_int_equal(rig_create_cq(rig, 1, 3, 1), NVME_OK);
	assert_int_equal(rig_create_sq(rig, 1, 2, 1), NVME_OK);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(rig_do(rig, 1, read_of(rig)), NVME_OK);
}

static void a_full_completion_queue_holds_back(void **context)
{
	struct rig *rig = *context;

	rig_start(rig, 0);
	assert_int_equal(rig_create_cq(rig, 1, 5, 1), NVME_OK);
	assert_int_equal(rig_create_sq(rig, 1, 64, 1), NVME_OK);
	rig->late = true;
	for (unsigned i = 0; i < 20; i++)
		rig_submit(rig, 1, read_of(rig));
	for (unsigned done = 0; done < 20; done += 4) {
		rig_process(rig);
		assert_int_equal(rig->waiting_count, 4);
		rig_answer_all(rig);
		rig_process(rig);
		assert_int_equal(rig->waiting_count, 0);
		assert_int_equal(reap_all(rig, 1), 4);
	}
}

/* Event requests that wait must not keep the smallest admin queue from working. */
static void waiting_events_take_no_room(void **context)
{
	struct rig *rig = *context;
	struct nvme_command set = {.opcode = NVME_ADMIN_SET_FEATURES,
				   .cdw10 = NVME_FEATURE_ARBITRATION};

	rig_enable(rig);
	rig_write(rig, NVME_REG_CC, 0);
	rig_process(rig);
	rig->queues[0] = (struct rig_queue){.sq = rig->queues[0].sq,
					    .cq = rig->queues[0].cq,
					    .depth = 8,
					    .cq_depth = 2,
					    .phase = true};
	memset(rig_at(rig, rig->queues[0].cq), 0, 4096);
	rig_write(rig, NVME_REG_AQA, 1 << 16 | 7);
	rig_write(rig, NVME_REG_CC, NVME_CC_EN);
	rig_process(rig);
	for (unsigned i = 0; i < NVME_EVENT_REQUESTS; i++)
		rig_submit(rig, 0, (struct nvme_command){.opcode = NVME_ADMIN_ASYNC_EVENT});
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(rig_do(rig, 0, set), NVME_OK);
}

static void several_queues_share_one(void **context)
{
	struct rig *rig = *context;

	rig_start(rig, 0);
	assert_int_equal(rig_create_cq(rig, 1, RIG_DEPTH, 1), NVME_OK);
	assert_int_equal(rig_create_sq(rig, 1, RIG_DEPTH, 1), NVME_OK);
	assert_int_equal(rig_create_sq(rig, 2, RIG_DEPTH, 1), NVME_OK);
	for (unsigned i = 0; i < 30; i++) {
		rig_submit(rig, 1, read_of(rig));
		rig_submit(rig, 2, read_of(rig));
	}
	rig_process(rig);
	assert_int_equal(reap_all(rig, 1), 60);
}

/* A long queue and a short one: the short one's command is among the first. */
static void queues_take_turns(void **context)
{
	struct rig *rig = *context;
	unsigned at = 0;

	rig_start(rig, 0);
	for (unsigned queue = 1; queue <= 2; queue++) {
		assert_int_equal(rig_create_cq(rig, queue, 1024, queue), NVME_OK);
		assert_int_equal(rig_create_sq(rig, queue, 1024, queue), NVME_OK);
	}
	rig->late = true;
	for (unsigned i = 0; i < 900; i++)
		rig_submit(rig, 1, read_of(rig));
	rig_submit(rig, 2, read_of(rig));
	nvme_process(rig->nvme);
	while (rig->state->slots[rig->waiting[at]->slot].queue != 2)
		at++;
	assert_true(at <= 32);
}

/* One queue cannot take what the admin queue needs. */
static void slots_are_kept_for_the_admin_queue(void **context)
{
	struct rig *rig = *context;
	struct nvme_command get = {.opcode = NVME_ADMIN_GET_FEATURES,
				   .cdw10 = NVME_FEATURE_ARBITRATION};
	struct nvme_completion entry;

	rig_start(rig, 0);
	for (unsigned queue = 1; queue <= 2; queue++) {
		assert_int_equal(rig_create_cq(rig, queue, 1024, queue), NVME_OK);
		assert_int_equal(rig_create_sq(rig, queue, 1024, queue), NVME_OK);
	}
	rig->late = true;
	for (unsigned i = 0; i < 1023; i++) {
		rig_submit(rig, 1, read_of(rig));
		rig_submit(rig, 2, read_of(rig));
	}
	rig_process(rig);
	assert_int_equal(rig->waiting_count, NVME_COMMANDS - 16);
	rig_submit(rig, 0, get);
	rig_process(rig);
	assert_true(rig_reap(rig, 0, &entry));
	for (unsigned done = 0; done < 2046;) {
		rig_answer_all(rig);
		rig_process(rig);
		done += reap_all(rig, 1) + reap_all(rig, 2);
	}
}

static void no_interrupt_where_it_is_off(void **context)
{
	struct rig *rig = *context;

	rig_start(rig, 1);
	rig->state->cq[1].interrupts = 0;
	memset(rig->interrupts, 0, sizeof(rig->interrupts));
	assert_int_equal(rig_do(rig, 1, read_of(rig)), NVME_OK);
	assert_int_equal(rig->interrupts[1], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(after_power_on, set_up, tear_down),
		cmocka_unit_test_setup_teardown(any_width_and_place_can_be_read, set_up, tear_down),
		cmocka_unit_test_setup_teardown(writable_bits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(read_only_registers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(odd_writes_do_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(unfit_configurations, set_up, tear_down),
		cmocka_unit_test_setup_teardown(setups_that_are_none, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_ragged_end_is_left_out, set_up, tear_down),
		cmocka_unit_test_setup_teardown(disable_waits_for_the_back_end, set_up, tear_down),
		cmocka_unit_test_setup_teardown(enable_right_after_disable, set_up, tear_down),
		cmocka_unit_test_setup_teardown(function_reset_with_commands_under_way, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(what_a_reset_puts_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(failure_ends_with_a_reset, set_up, tear_down),
		cmocka_unit_test_setup_teardown(shutdown_flushes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(shutdown_and_reset_at_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(shutdown_while_disabled, set_up, tear_down),
		cmocka_unit_test_setup_teardown(quiesce_leaves_nothing_behind, set_up, tear_down),
		cmocka_unit_test_setup_teardown(quiesce_sends_no_messages, set_up, tear_down),
		cmocka_unit_test_setup_teardown(no_mastering_no_access, set_up, tear_down),
		cmocka_unit_test_setup_teardown(bad_doorbell_values, set_up, tear_down),
		cmocka_unit_test_setup_teardown(rings_go_around, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_full_completion_queue_holds_back, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(waiting_events_take_no_room, set_up, tear_down),
		cmocka_unit_test_setup_teardown(several_queues_share_one, set_up, tear_down),
		cmocka_unit_test_setup_teardown(queues_take_turns, set_up, tear_down),
		cmocka_unit_test_setup_teardown(slots_are_kept_for_the_admin_queue, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(no_interrupt_where_it_is_off, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("nvme control", tests, NULL, NULL);
}
