/* SPDX-License-Identifier: Apache-2.0 */
/* Doorbells in a page that the guest stores into, of whatever value and at whatever time. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "nvme_rig.h"

#define SQ(queue) (2 * (queue))
#define CQ(queue) (2 * (queue) + 1)

static uint32_t page[1024];

static int set_up(void **context)
{
	static struct rig rig;

	memset(page, 0x5a, sizeof(page));
	rig_create(&rig, 512);
	nvme_share_doorbells(rig.nvme, page);
	*context = &rig;
	return 0;
}

static int tear_down(void **context)
{
	rig_destroy(*context);
	return 0;
}

static void put(struct rig *rig, unsigned id, struct nvme_command command)
{
	struct rig_queue *queue = &rig->queues[id];

	command.cid = rig->next_cid++;
	memcpy(rig_at(rig, queue->sq + queue->tail * sizeof(command)), &command, sizeof(command));
	queue->tail = (queue->tail + 1) % queue->depth;
}

static bool take(struct rig *rig, unsigned id)
{
	struct rig_queue *queue = &rig->queues[id];
	struct nvme_completion entry;

	memcpy(&entry, rig_at(rig, queue->cq + queue->head * sizeof(entry)), sizeof(entry));
	if ((entry.status & 1) != queue->phase)
		return false;
	queue->head = (queue->head + 1) % queue->cq_depth;
	queue->phase ^= queue->head == 0;
	page[CQ(id)] = queue->head;
	return entry.status >> 1 == NVME_OK;
}

static struct nvme_command flush(void)
{
	return (struct nvme_command){.opcode = NVME_CMD_FLUSH, .nsid = 1};
}

static void a_store_rings(void **context)
{
	struct rig *rig = *context;

	rig_start(rig, 1);
	put(rig, 1, flush());
	put(rig, 1, flush());
	rig_process(rig);
	assert_false(take(rig, 1));
	page[SQ(1)] = rig->queues[1].tail;
	rig_process(rig);
	assert_true(take(rig, 1));
	assert_true(take(rig, 1));
	assert_false(take(rig, 1));
	rig_process(rig);
	assert_int_equal(rig->state->cq[1].consumed, 2);
	assert_int_equal(rig->events[NVME_EVENT_BAD_DOORBELL], 0);
}

/* A size that is no power of two, several times around. */
static void queues_go_round(void **context)
{
	struct rig *rig = *context;

	rig_start(rig, 0);
	assert_int_equal(rig_create_cq(rig, 1, 7, 0), NVME_OK);
	assert_int_equal(rig_create_sq(rig, 1, 5, 1), NVME_OK);
	for (unsigned i = 0; i < 100; i++) {
		put(rig, 1, flush());
		page[SQ(1)] = rig->queues[1].tail;
		rig_process(rig);
		assert_true(take(rig, 1));
	}
	assert_int_equal(rig->events[NVME_EVENT_BAD_DOORBELL], 0);
	assert_int_equal(rig->events[NVME_EVENT_ERROR], 0);
}

/* Refused, told of once, and the page holds again what is known. */
static void bad_values_are_refused_once(void **context)
{
	struct rig *rig = *context;

	rig_start(rig, 1);
	page[SQ(1)] = RIG_DEPTH;
	rig_process(rig);
	rig_process(rig);
	assert_int_equal(rig->events[NVME_EVENT_BAD_DOORBELL], 1);
	assert_int_equal(rig->last_event[NVME_EVENT_BAD_DOORBELL], NVME_REG_DOORBELLS + 8);
	assert_int_equal(page[SQ(1)], 0);
	page[CQ(1)] = 3; /* nothing was ever there to take */
	rig_process(rig);
	rig_process(rig);
	assert_int_equal(rig->events[NVME_EVENT_BAD_DOORBELL], 2);
	assert_int_equal(rig->last_event[NVME_EVENT_BAD_DOORBELL], NVME_REG_DOORBELLS + 12);
	assert_int_equal(page[CQ(1)], 0);
	put(rig, 1, flush());
	page[SQ(1)] = 0xabcd0001; /* reserved bits (PCIe Transport 3.1.2.1) */
	rig_process(rig);
	assert_true(take(rig, 1));
	assert_int_equal(page[SQ(1)], 1);
}

static void what_is_not_a_queue_does_not_ring(void **context)
{
	struct rig *rig = *context;

	rig_start(rig, 1);
	for (unsigned i = SQ(2); i < 1024; i++)
		page[i] = i;
	rig_process(rig);
	assert_int_equal(rig->events[NVME_EVENT_BAD_DOORBELL], 0);
	assert_int_equal(rig_create_cq(rig, 2, RIG_DEPTH, 2), NVME_OK);
	assert_int_equal(rig_create_sq(rig, 2, RIG_DEPTH, 2), NVME_OK);
	assert_int_equal(page[SQ(2)] | page[CQ(2)], 0);
	rig_process(rig);
	assert_int_equal(rig->events[NVME_EVENT_BAD_DOORBELL], 0);
	assert_int_equal(rig->state->sq[2].fetched, 0);
}

static void a_reset_begins_at_zero(void **context)
{
	struct rig *rig = *context;

	rig_start(rig, 1);
	rig_write(rig, NVME_REG_CC, 0);
	rig_process(rig);
	page[SQ(0)] = 9;
	page[CQ(0)] = 9;
	rig_start(rig, 1);
	assert_int_equal(rig->events[NVME_EVENT_BAD_DOORBELL], 0);
}

/* Message and page are one register. */
static void a_message_shows_in_the_page(void **context)
{
	struct rig *rig = *context;

	rig_start(rig, 1);
	rig_submit(rig, 1, flush());
	assert_int_equal(page[SQ(1)], 1);
	rig_process(rig);
	assert_true(take(rig, 1));
	page[SQ(1)] = 1; /* again the same: rings for nothing */
	rig_process(rig);
	assert_false(take(rig, 1));
	rig_write(rig, NVME_REG_DOORBELLS + 8, RIG_DEPTH);
	assert_int_equal(page[SQ(1)], 1);
}

static void the_next_process_goes_on(void **context)
{
	struct rig *rig = *context;

	rig_start(rig, 1);
	put(rig, 1, flush());
	page[SQ(1)] = 1;
	rig_process(rig);
	assert_true(take(rig, 1));
	memset(page, 0, sizeof(page));
	assert_int_equal(rig_restart(rig), 0);
	nvme_share_doorbells(rig->nvme, page);
	assert_int_equal(page[SQ(1)], 1);
	put(rig, 1, flush());
	page[CQ(1)] = 1;
	page[SQ(1)] = 2;
	rig_process(rig);
	assert_true(take(rig, 1));
	assert_int_equal(rig->events[NVME_EVENT_BAD_DOORBELL], 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_store_rings),
		CASE(queues_go_round),
		CASE(bad_values_are_refused_once),
		CASE(what_is_not_a_queue_does_not_ring),
		CASE(a_reset_begins_at_zero),
		CASE(a_message_shows_in_the_page),
		CASE(the_next_process_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
