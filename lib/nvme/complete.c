/* SPDX-License-Identifier: Apache-2.0 */
/* Answers: steps 4 to 8 of state.h, and the interrupts that tell of them. */
#include <string.h>

#include "base/base.h"
#include "nvme_private.h"

void nvme_release(struct nvme *nvme, struct nvme_work *work)
{
	nvme_give_back_data(nvme, work);
	work->range = 0;
	work->range_count = 0;
	work->gathered = 0;
	work->stage = NVME_STAGE_BEFORE;
}

void nvme_unreserve(struct nvme *nvme, uint32_t index)
{
	struct nvme_slot *slot = &nvme->state->slots[index];

	if (!nvme->works[index].reserved)
		return;
	nvme->works[index].reserved = false;
	nvme->cq_reserved[nvme->state->sq[slot->queue].cq]--;
}

static void free_slot(struct nvme *nvme, uint32_t index)
{
	struct nvme_slot *slot = &nvme->state->slots[index];

	nvme_unreserve(nvme, index);
	nvme->sq_busy[slot->queue]--;
	nvme_release(nvme, &nvme->works[index]);
	slot->check = 0;
	nvme_publish(&slot->state, NVME_SLOT_FREE);
	nvme->completed = true;
	nvme->free_slots[nvme->free_count++] = (uint16_t)index;
}

/* A place that is neither used nor promised; one entry always stays empty (Base 3.3.1.3). */
bool nvme_cq_has_room(const struct nvme *nvme, unsigned id)
{
	const struct nvme_cq *cq = &nvme->state->cq[id];

	return nvme_cq_used(cq) + nvme->cq_reserved[id] + 1 < cq->size;
}

/* ---- interrupts ---- */

/*
 * Base 5.27.1.6 and 5.27.1.7: so many answers (0's based) or so much time. Not on the first vector:
 * it is the admin queue's. A death in between costs nothing but time: see lost interrupts in
 * recover.c.
 */
static bool may_wait(struct nvme *nvme, unsigned vector)
{
	const struct nvme_features *features = &nvme->state->features;
	uint32_t threshold = features->coalescing & 0xff;

	if (!vector || !NVME_COALESCING_TIME(features->coalescing) ||
	    features->no_coalescing >> vector & 1 || nvme->delayed_count[vector] >= threshold)
		return false;
	nvme->delayed_count[vector]++;
	return true;
}

/* Errors are told at once: the driver has something to do. */
static void note_interrupt(struct nvme *nvme, unsigned vector, uint16_t status)
{
	if (status == NVME_OK && may_wait(nvme, vector))
		nvme->delayed |= 1u << vector;
	else
		nvme->interrupts |= 1u << vector;
}

/* One alarm for all vectors: the first that waits sets it, and nobody waits longer. */
static void set_alarm(struct nvme *nvme)
{
	if (!nvme->delayed || nvme->alarmed)
		return;
	nvme->alarmed = true;
	nvme->ops->alarm(nvme->context,
			 NVME_COALESCING_TIME(nvme->state->features.coalescing) * 100);
}

void nvme_forget_delays(struct nvme *nvme)
{
	nvme->delayed = 0;
	memset(nvme->delayed_count, 0, sizeof(nvme->delayed_count));
}

void nvme_alarm(struct nvme *nvme)
{
	nvme->alarmed = false;
	nvme->interrupts |= nvme->delayed;
	nvme_raise_interrupts(nvme);
}

void nvme_raise_interrupts(struct nvme *nvme)
{
	if (!nvme->state->master)
		return;
	for (unsigned vector = 0; nvme->interrupts; vector++) {
		if (!(nvme->interrupts & 1u << vector))
			continue;
		nvme->interrupts &= ~(1u << vector);
		nvme->delayed &= ~(1u << vector);
		nvme->delayed_count[vector] = 0;
		nvme->ops->interrupt(nvme->context, vector);
	}
	set_alarm(nvme);
}

/* ---- answers ---- */

/* Steps 6 to 8. */
static void write_entry(struct nvme *nvme, uint32_t index)
{
	struct nvme_slot *slot = &nvme->state->slots[index];
	struct nvme_cq *cq = &nvme->state->cq[nvme->state->sq[slot->queue].cq];
	bool phase = !(slot->posted / cq->size & 1);
	struct nvme_completion entry = {
		.result = slot->result,
		.sq_head = slot->sq_head,
		.sq_id = slot->queue,
		.cid = slot->command.cid,
		.status = (uint16_t)(slot->status << 1 | phase),
	};

	uint64_t address = cq->base + nvme_place(slot->posted, cq->size) * sizeof(entry);

	if (nvme_guest_complete(nvme, address, &entry) < 0) {
		nvme_bad_pointer(nvme, address);
		nvme_fail(nvme);
		return;
	}
	nvme_publish64(&cq->posted, slot->posted + 1);
	if (cq->interrupts)
		note_interrupt(nvme, cq->vector, slot->status);
	nvme->unposted--;
	free_slot(nvme, index);
}

/* Step 5. Not while quiescing: then no messages can be sent, which the queue may need. */
static void post_one(struct nvme *nvme, uint32_t index)
{
	struct nvme_slot *slot = &nvme->state->slots[index];
	const struct nvme_sq *sq = &nvme->state->sq[slot->queue];
	const struct nvme_cq *cq = &nvme->state->cq[sq->cq];

	if (!nvme_running(nvme) || nvme->quiescing || nvme_cq_used(cq) + 1 >= cq->size ||
	    (!nvme->works[index].reserved && !nvme_cq_has_room(nvme, sq->cq)) ||
	    nvme_waits_for_second(nvme, slot))
		return;
	slot->posted = cq->posted;
	slot->sq_head = (uint16_t)nvme_place(sq->fetched, sq->size);
	nvme_publish(&slot->state, NVME_SLOT_POSTING);
	write_entry(nvme, index);
}

/* The answers of a pair come in their order. */
static void post(struct nvme *nvme, uint32_t index)
{
	const struct nvme_slot *slot = &nvme->state->slots[index], *first = NULL;

	if (nvme_is_fused(slot, NVME_FUSE_SECOND))
		first = nvme_first_of(nvme, slot);
	if (first && first->state == NVME_SLOT_DONE)
		post_one(nvme, (uint32_t)(first - nvme->state->slots));
	post_one(nvme, index);
}

/* The next process does it again where this one dies before the slot is DONE: from `before`. */
static void account(struct nvme *nvme, uint32_t index, uint16_t status)
{
	struct nvme_state *state = nvme->state;
	const struct nvme_slot *slot = &state->slots[index];

	if (status == NVME_ABORT_REQUESTED || (status == NVME_OK && !nvme_moves_data(slot)))
		return;
	state->before = state->counters;
	nvme_publish64(&state->counting, slot->id);
	if (status == NVME_OK) {
		nvme_count_data(nvme, slot->command.opcode, &nvme->works[index].io);
		return;
	}
	state->counters.media_errors +=
		status == NVME_WRITE_FAULT || status == NVME_UNRECOVERED_READ;
	nvme_log_error(nvme, slot, status);
	nvme_tell(nvme, NVME_EVENT_ERROR, status);
}

void nvme_finish(struct nvme *nvme, uint32_t index, uint16_t status)
{
	struct nvme_slot *slot = &nvme->state->slots[index];
	bool fused = !nvme_is_fused(slot, 0) && !nvme_is_admin(slot);

	slot->status = status;
	account(nvme, index, status);
	slot->answer_check = nvme_answer_check(slot);
	nvme_publish(&slot->state, NVME_SLOT_DONE);
	nvme->unposted++;
	post(nvme, index);
	if (fused)
		nvme_continue_pair(nvme, index);
}

void nvme_repost(struct nvme *nvme)
{
	for (uint32_t i = 0; nvme->unposted && i < NVME_COMMANDS && nvme_running(nvme); i++)
		if (nvme->state->slots[i].state == NVME_SLOT_POSTING)
			write_entry(nvme, i);
}

void nvme_post_waiting(struct nvme *nvme)
{
	for (uint32_t i = 0; nvme->unposted && i < NVME_COMMANDS && nvme_running(nvme); i++)
		if (nvme->state->slots[i].state == NVME_SLOT_DONE)
			post(nvme, i);
}
