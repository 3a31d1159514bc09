/* SPDX-License-Identifier: Apache-2.0 */
/* Fetching: steps 1 to 3 of state.h. */
#include "base/base.h"
#include "nvme_private.h"

#define BATCH_A_QUEUE 32u  /* then it is the next queue's turn */
#define BATCH_IN_ALL  256u /* then the loop's */
#define AHEAD	      2u   /* entries on their way from the guest's core */

void nvme_note_queues(struct nvme *nvme)
{
	nvme->live_sqs = nvme->live_cqs = 0;
	for (unsigned i = 0; i < NVME_QUEUES; i++) {
		nvme->live_sqs |= (uint32_t)(nvme->state->sq[i].state == NVME_QUEUE_LIVE) << i;
		nvme->live_cqs |= (uint32_t)(nvme->state->cq[i].state == NVME_QUEUE_LIVE) << i;
	}
}

void nvme_hold(struct nvme *nvme, struct nvme_work *work)
{
	nvme_release(nvme, work);
	work->next = NULL;
	*nvme->held_end = work;
	nvme->held_end = &work->next;
}

/* In order, as long as there is a bounce buffer: most of them wait for one. */
void nvme_run_held(struct nvme *nvme)
{
	struct nvme_work *work = nvme->held, *next;

	nvme->held = NULL;
	nvme->held_end = &nvme->held;
	for (; work; work = next) {
		next = work->next;
		if (nvme_running(nvme) && nvme->bounces < NVME_BOUNCES)
			nvme_execute(nvme, nvme_slot_index(nvme, work));
		else
			nvme_hold(nvme, work);
	}
}

void nvme_execute(struct nvme *nvme, uint32_t index)
{
	struct nvme_slot *slot = &nvme->state->slots[index];
	uint16_t status;

	slot->result = 0;
	slot->location = NVME_NO_LOCATION;
	if (!nvme_is_admin(slot) && slot->command.flags & NVME_FLAGS_FUSE) {
		nvme_execute_fused(nvme, index);
		return;
	}
	status = nvme_is_admin(slot) ? nvme_admin(nvme, index) : nvme_io_command(nvme, index);
	if (status != NVME_PENDING)
		nvme_finish(nvme, index, status);
}

/* There are so many slots and places for answers. */
static bool has_room(const struct nvme *nvme, unsigned queue, unsigned count)
{
	const struct nvme_cq *cq = &nvme->state->cq[nvme->state->sq[queue].cq];

	return nvme->free_count >= (queue ? NVME_ADMIN_SLOTS : 0) + count &&
	       nvme_cq_used(cq) + nvme->cq_reserved[nvme->state->sq[queue].cq] + count < cq->size;
}

static bool has_entry(const struct nvme *nvme, unsigned queue)
{
	const struct nvme_sq *sq = &nvme->state->sq[queue];

	return nvme->live_sqs >> queue & 1 && sq->doorbell != nvme_place(sq->fetched, sq->size) &&
	       nvme_running(nvme);
}

static bool can_fetch(const struct nvme *nvme, unsigned queue)
{
	return !nvme->pairing && has_entry(nvme, queue) && has_room(nvme, queue, 1);
}

/* The first of a pair, whose second is there and has no room yet. */
static bool has_to_wait(const struct nvme *nvme, const struct nvme_slot *slot, unsigned queue)
{
	const struct nvme_sq *sq = &nvme->state->sq[queue];

	return nvme_is_fused(slot, NVME_FUSE_FIRST) &&
	       sq->doorbell != nvme_place(sq->fetched + 1, sq->size) && !has_room(nvme, queue, 2) &&
	       nvme->state->cq[sq->cq].size > 2;
}

/* Steps 1 to 3. False: nothing was fetched. */
static bool take(struct nvme *nvme, unsigned queue, uint32_t *index)
{
	struct nvme_state *state = nvme->state;
	struct nvme_sq *sq = &state->sq[queue];
	uint64_t address =
		sq->base + nvme_place(sq->fetched, sq->size) * sizeof(struct nvme_command);
	struct nvme_slot *slot;

	*index = nvme->free_slots[nvme->free_count - 1];
	slot = &state->slots[*index];
	if (nvme_guest_read(nvme, address, &slot->command, sizeof(slot->command)) < 0) {
		nvme_bad_pointer(nvme, address);
		nvme_fail(nvme);
		return false;
	}
	nvme_guest_prefetch(nvme, address + AHEAD * sizeof(slot->command));
	slot->queue = (uint16_t)queue;
	if (has_to_wait(nvme, slot, queue))
		return false;
	slot->fetched = sq->fetched;
	slot->id = state->next_id;
	/* Before the sum: what is_just_copied() in recover.c goes by. */
	nvme_publish64(&state->next_id, slot->id + 1);
	slot->check = nvme_slot_check(slot);
	nvme_publish(&slot->state, NVME_SLOT_FETCHED);
	nvme_publish64(&sq->fetched, sq->fetched + 1);
	nvme->free_count--;
	nvme->sq_busy[queue]++;
	nvme->cq_reserved[sq->cq]++;
	nvme->works[*index].reserved = true;
	return true;
}

static bool fetch_one(struct nvme *nvme, unsigned queue)
{
	uint32_t index, next;
	bool two;

	if (!take(nvme, queue, &index))
		return false;
	two = nvme_is_fused(&nvme->state->slots[index], NVME_FUSE_FIRST) &&
	      can_fetch(nvme, queue) && take(nvme, queue, &next);
	nvme_execute(nvme, index);
	if (two)
		nvme_execute(nvme, next);
	return true;
}

/* Most looks find nothing. */
static bool is_rung(const struct nvme *nvme)
{
	for (uint32_t left = nvme->live_sqs; left; left &= left - 1) {
		const struct nvme_sq *sq = &nvme->state->sq[__builtin_ctz(left)];

		if (sq->doorbell != nvme_place(sq->fetched, sq->size))
			return true;
	}
	return false;
}

bool nvme_fetch(struct nvme *nvme)
{
	unsigned total = 0, idle = is_rung(nvme) ? 0 : NVME_QUEUES;

	while (idle < NVME_QUEUES && total < BATCH_IN_ALL) {
		unsigned queue = nvme->next_sq, count = 0;

		while (count < BATCH_A_QUEUE && can_fetch(nvme, queue) && fetch_one(nvme, queue))
			count++;
		total += count;
		idle = count ? 0 : idle + 1;
		nvme->next_sq = (queue + 1) % NVME_QUEUES;
	}
	return idle < NVME_QUEUES;
}
