/* SPDX-License-Identifier: Apache-2.0 */
/* Doorbell Buffer Config: I/O doorbells that the guest keeps in its memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "nvme_rig.h"

#define SHADOWS	  RIG_DATA
#define EVENTS	  (RIG_DATA + 4096)
#define SQ(queue) (2 * (queue))
#define CQ(queue) (2 * (queue) + 1)
#define BAD(rig)  ((rig)->events[NVME_EVENT_BAD_DOORBELL])

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

static uint32_t *shadow(struct rig *rig, unsigned index)
{
	return (uint32_t *)(void *)rig_at(rig, SHADOWS) + index;
}

static uint32_t event(struct rig *rig, unsigned index)
{
	return ((uint32_t *)(void *)rig_at(rig, EVENTS))[index];
}

static uint16_t configure(struct rig *rig, uint64_t shadows, uint64_t events)
{
	return rig_do(rig, 0,
		      (struct nvme_command){.opcode = NVME_ADMIN_DOORBELL_BUFFERS,
					    .prp1 = shadows,
					    .prp2 = events});
}

static void begin(struct rig *rig, unsigned queues)
{
	rig_start(rig, queues);
	memset(rig_at(rig, SHADOWS), 0, 8192);
	assert_int_equal(configure(rig, SHADOWS, EVENTS), NVME_OK);
	assert_true(rig->shadows);
	assert_false(nvme_rest(rig->nvme));
}

/* Base, annex B: is the register to be written, past `event`, on the way from `old` to `new`? */
static bool rings(uint32_t event, uint32_t old, uint32_t new)
{
	return (uint16_t)(new - event - 1) < (uint16_t)(new - old);
}

/* As a driver does it. True: the register is written. */
static bool store(struct rig *rig, unsigned index, uint32_t value)
{
	uint32_t old = *shadow(rig, index);

	*shadow(rig, index) = value;
	if (!rings(event(rig, index), old, value))
		return false;
	rig_write(rig, NVME_REG_DOORBELLS + 4 * index, 0xffff); /* what is written means nothing */
	return true;
}

/* Without telling. */
static void put(struct rig *rig, unsigned id)
{
	struct rig_queue *queue = &rig->queues[id];
	struct nvme_command command = {.opcode = NVME_CMD_FLUSH, .nsid = 1, .cid = rig->next_cid++};

	memcpy(rig_at(rig, queue->sq + queue->tail * sizeof(command)), &command, sizeof(command));
	queue->tail = (queue->tail + 1) % queue->depth;
}

static bool submit(struct rig *rig, unsigned id)
{
	put(rig, id);
	return store(rig, SQ(id), rig->queues[id].tail);
}

/* True: there was an answer, and a good one. */
static bool take(struct rig *rig, unsigned id, bool *rung)
{
	struct rig_queue *queue = &rig->queues[id];
	struct nvme_completion entry;

	memcpy(&entry, rig_at(rig, queue->cq + queue->head * sizeof(entry)), sizeof(entry));
	if ((entry.status & 1) != queue->phase)
		return false;
	queue->head = (queue->head + 1) % queue->cq_depth;
	queue->phase ^= queue->head == 0;
	*rung = store(rig, CQ(id), queue->head);
	return entry.status >> 1 == NVME_OK;
}

/* A sleeper is rung, and a worker never: several times around, of a size that is no power of two.
 */
static void a_sleeper_is_rung_and_a_worker_is_not(void **context)
{
	struct rig *rig = *context;
	bool rung;

	rig_start(rig, 0);
	assert_int_equal(rig_create_cq(rig, 1, 7, 1), NVME_OK);
	assert_int_equal(rig_create_sq(rig, 1, 7, 1), NVME_OK);
	memset(rig_at(rig, SHADOWS), 0, 8192);
	assert_int_equal(configure(rig, SHADOWS, EVENTS), NVME_OK);
	for (unsigned i = 0; i < 100; i++) {
		assert_false(nvme_rest(rig->nvme));
		assert_true(submit(rig, 1));
		/* It is awake now: these are found by looking. */
		assert_false(submit(rig, 1));
		assert_false(submit(rig, 1));
		rig_process(rig);
		for (unsigned n = 0; n < 3; n++) {
			assert_true(take(rig, 1, &rung));
			assert_false(rung);
		}
		rig_process(rig);
	}
	assert_int_equal(BAD(rig), 0);
	assert_int_equal(rig->state->cq[1].consumed, 300);
}

/* What comes between the last look and the sleep is seen by rest(). */
static void what_comes_before_the_sleep_is_not_missed(void **context)
{
	struct rig *rig = *context;
	bool rung;

	begin(rig, 2);
	put(rig, 2);
	*shadow(rig, SQ(2)) = 1;
	assert_true(nvme_rest(rig->nvme));
	rig_process(rig);
	assert_true(take(rig, 2, &rung));
	/* Completions that were taken are no reason to stay awake. */
	assert_false(nvme_rest(rig->nvme));
}

/* A full completion queue: the guest rings when it takes one. */
static void a_full_completion_queue_is_waited_for(void **context)
{
	struct rig *rig = *context;
	bool rung = false;

	rig_start(rig, 0);
	assert_int_equal(rig_create_cq(rig, 1, 4, 1), NVME_OK);
	assert_int_equal(rig_create_sq(rig, 1, 16, 1), NVME_OK);
	memset(rig_at(rig, SHADOWS), 0, 8192);
	assert_int_equal(configure(rig, SHADOWS, EVENTS), NVME_OK);
	for (unsigned i = 0; i < 8; i++)
		submit(rig, 1);
	rig_process(rig);
	assert_false(nvme_rest(rig->nvme));
	assert_true(take(rig, 1, &rung));
	assert_true(rung);
	*shadow(rig, CQ(1)) = 2;
	assert_true(nvme_rest(rig->nvme));
}

static void the_admin_queue_keeps_its_registers(void **context)
{
	struct rig *rig = *context;

	begin(rig, 1);
	*shadow(rig, SQ(0)) = 33;
	*shadow(rig, CQ(0)) = 33;
	rig_process(rig);
	assert_int_equal(BAD(rig), 0);
	assert_int_equal(rig_do(rig, 0, (struct nvme_command){.opcode = NVME_ADMIN_ABORT}),
			 NVME_OK);
	assert_int_equal(event(rig, SQ(0)), 0);
}

static void bad_values_are_refused_once(void **context)
{
	struct rig *rig = *context;
	bool rung;

	begin(rig, 1);
	*shadow(rig, SQ(1)) = RIG_DEPTH;
	rig_process(rig);
	rig_process(rig);
	assert_int_equal(BAD(rig), 1);
	assert_int_equal(rig->last_event[NVME_EVENT_BAD_DOORBELL], NVME_REG_DOORBELLS + 8);
	assert_int_equal(
		rig->state->event_waiting[NVME_ASYNC_ERROR],
		NVME_ASYNC_RESULT(NVME_ASYNC_ERROR, NVME_ASYNC_INVALID_VALUE, NVME_LOG_ERRORS) + 1);
	*shadow(rig, CQ(1)) = 3;
	rig_process(rig);
	rig_process(rig);
	assert_int_equal(BAD(rig), 2);
	assert_false(nvme_rest(rig->nvme));
	put(rig, 1);
	*shadow(rig, SQ(1)) = 0x12340001; /* reserved bits (PCIe Transport 3.1.2.1) */
	rig_process(rig);
	assert_true(take(rig, 1, &rung));
	assert_int_equal(BAD(rig), 2);
}

/* Each queue is where its register was; the guest's newer value goes before. */
static void queues_go_on_from_their_registers(void **context)
{
	struct rig *rig = *context;
	bool rung;

	rig_start(rig, 2);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(rig_do(rig, 1, rig_io(rig, NVME_CMD_READ, 0, 1, RIG_DATA + 8192)),
				 NVME_OK);
	memset(rig_at(rig, SHADOWS), 0, 8192);
	put(rig, 2);
	*shadow(rig, SQ(2)) = 1;
	assert_int_equal(configure(rig, SHADOWS, EVENTS), NVME_OK);
	assert_int_equal(*shadow(rig, SQ(1)), 5);
	assert_int_equal(*shadow(rig, CQ(1)), 5);
	assert_true(take(rig, 2, &rung));
	submit(rig, 1);
	rig_process(rig);
	assert_true(take(rig, 1, &rung));
	assert_int_equal(BAD(rig), 0);
}

static void a_new_queue_begins_at_zero(void **context)
{
	struct rig *rig = *context;

	begin(rig, 1);
	*shadow(rig, SQ(2)) = 9;
	*shadow(rig, CQ(2)) = 9;
	assert_int_equal(rig_create_cq(rig, 2, RIG_DEPTH, 2), NVME_OK);
	assert_int_equal(rig_create_sq(rig, 2, RIG_DEPTH, 2), NVME_OK);
	assert_int_equal(*shadow(rig, SQ(2)) | *shadow(rig, CQ(2)), 0);
	rig_process(rig);
	assert_int_equal(BAD(rig), 0);
	assert_false(nvme_rest(rig->nvme));
	assert_true(submit(rig, 2));
}

static void a_reset_forgets_them(void **context)
{
	struct rig *rig = *context;

	begin(rig, 1);
	rig_write(rig, NVME_REG_CC, 0);
	rig_process(rig);
	assert_false(rig->shadows);
	rig_start(rig, 1);
	*shadow(rig, SQ(1)) = 9;
	assert_false(nvme_rest(rig->nvme));
	assert_int_equal(rig_do(rig, 1, rig_io(rig, NVME_CMD_READ, 0, 1, RIG_DATA + 8192)),
			 NVME_OK);
	nvme_reset(rig->nvme);
	begin(rig, 1);
	nvme_reset(rig->nvme);
	assert_false(rig->shadows);
	assert_int_equal(rig->state->shadows, 0);
}

static void the_next_process_goes_on(void **context)
{
	struct rig *rig = *context;
	bool rung;

	begin(rig, 1);
	assert_true(submit(rig, 1));
	assert_int_equal(rig_restart(rig), 0);
	rig_process(rig);
	assert_true(take(rig, 1, &rung));
	assert_false(nvme_rest(rig->nvme));
	assert_true(submit(rig, 1));
	rig_process(rig);
	assert_true(take(rig, 1, &rung));
	assert_int_equal(BAD(rig), 0);
}

/* A guest has memory that comes and goes, or had the window taken away for good. */
static void memory_that_is_away_is_not_touched(void **context)
{
	struct rig *rig = *context;
	bool rung;

	begin(rig, 1);
	rig_map(rig, 0);
	rig_process(rig);
	assert_false(nvme_rest(rig->nvme));
	rig_map(rig, MEM_READ);
	rig_process(rig);
	assert_false(nvme_rest(rig->nvme));
	rig_map(rig, MEM_READ | MEM_WRITE);
	assert_true(submit(rig, 1));
	rig_process(rig);
	assert_true(take(rig, 1, &rung));
	nvme_set_master(rig->nvme, false);
	put(rig, 1);
	*shadow(rig, SQ(1)) = 2;
	rig_process(rig);
	assert_false(nvme_rest(rig->nvme));
	assert_int_equal(rig->state->sq[1].doorbell, 1);
}

static void bad_pages_are_refused(void **context)
{
	const uint64_t end = RIG_BASE + RIG_MEMORY;
	struct rig *rig = *context;

	rig_start(rig, 1);
	assert_int_equal(configure(rig, SHADOWS + 4, EVENTS), NVME_INVALID_FIELD);
	assert_int_equal(configure(rig, SHADOWS, EVENTS + 2048), NVME_INVALID_FIELD);
	assert_int_equal(configure(rig, SHADOWS, SHADOWS), NVME_INVALID_FIELD);
	assert_int_equal(rig->events[NVME_EVENT_BAD_POINTER], 0);
	assert_int_equal(configure(rig, end, EVENTS), NVME_INVALID_FIELD);
	assert_int_equal(configure(rig, SHADOWS, UINT64_MAX - 4095), NVME_INVALID_FIELD);
	assert_int_equal(rig->events[NVME_EVENT_BAD_POINTER], 2);
	assert_int_equal(configure(rig, RIG_REMOTE, EVENTS), NVME_INVALID_FIELD);
	assert_false(rig->shadows);
	assert_int_equal(rig->state->shadows, 0);
	/* The registers are as they were. */
	assert_int_equal(rig_do(rig, 1, rig_io(rig, NVME_CMD_READ, 0, 1, RIG_DATA + 8192)),
			 NVME_OK);
}

/* A page that the client maps is for the admin queue only, then. */
static void both_kinds_of_page_can_be(void **context)
{
	static uint32_t page[1024];
	struct rig *rig = *context;
	bool rung;

	memset(page, 0, sizeof(page));
	nvme_share_doorbells(rig->nvme, page);
	begin(rig, 1);
	page[SQ(1)] = 7;
	put(rig, 1);
	*shadow(rig, SQ(1)) = 1;
	rig_process(rig);
	assert_true(take(rig, 1, &rung));
	assert_int_equal(rig->state->sq[1].fetched, 1);
	assert_int_equal(BAD(rig), 0);
}

static void a_forged_state_is_refused(void **context)
{
	struct rig *rig = *context;

	begin(rig, 1);
	rig->state->shadows = 2;
	assert_true(rig_restart(rig) < 0);
	rig->state->shadows = 1;
	rig->state->event_page += 4;
	assert_true(rig_restart(rig) < 0);
	/* An address that is nobody's memory is as one that has gone. */
	rig->state->event_page = UINT64_C(1) << 63;
	assert_int_equal(rig_restart(rig), 0);
	rig_process(rig);
	assert_false(nvme_rest(rig->nvme));
}

/* Without the shadows' part, which is zeros then. */
static void a_state_one_version_away_goes_on(void **context)
{
	struct rig *rig = *context;

	rig_start(rig, 1);
	memset((uint8_t *)rig->state + NVME_STATE_OLDER_SIZE, 0,
	       sizeof(*rig->state) - NVME_STATE_OLDER_SIZE);
	rig->state->version = NVME_STATE_VERSION - 1;
	assert_int_equal(rig_restart(rig), 0);
	assert_int_equal(rig->state->version, NVME_STATE_VERSION);
	assert_int_equal(rig_do(rig, 1, rig_io(rig, NVME_CMD_READ, 0, 1, RIG_DATA + 8192)),
			 NVME_OK);
	rig->state->version = NVME_STATE_VERSION - 2;
	assert_true(rig_restart(rig) < 0);
	rig->state->version = NVME_STATE_VERSION + 1;
	assert_int_equal(rig_restart(rig), 0);
	assert_int_equal(rig->state->version, NVME_STATE_VERSION);
	rig->state->version = NVME_STATE_VERSION + 2;
	assert_true(rig_restart(rig) < 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_sleeper_is_rung_and_a_worker_is_not),
		CASE(what_comes_before_the_sleep_is_not_missed),
		CASE(a_full_completion_queue_is_waited_for),
		CASE(the_admin_queue_keeps_its_registers),
		CASE(bad_values_are_refused_once),
		CASE(queues_go_on_from_their_registers),
		CASE(a_new_queue_begins_at_zero),
		CASE(a_reset_forgets_them),
		CASE(the_next_process_goes_on),
		CASE(memory_that_is_away_is_not_touched),
		CASE(bad_pages_are_refused),
		CASE(both_kinds_of_page_can_be),
		CASE(a_forged_state_is_refused),
		CASE(a_state_one_version_away_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
