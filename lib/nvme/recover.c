/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Going on from what an earlier process left. The state may have been damaged or forged: every
 * field that is an index, a size or one of a few values is looked at before anything uses it.
 */
#include <errno.h>
#include <string.h>

#include "base/base.h"
#include "nvme_private.h"

static bool registers_ok(const struct nvme_state *state)
{
	return !(state->cc & ~NVME_CC_WRITABLE) &&
	       !(state->csts & ~(NVME_CSTS_RDY | NVME_CSTS_CFS | NVME_CSTS_SHST)) &&
	       (state->csts & NVME_CSTS_SHST) != NVME_CSTS_SHST && !(state->aqa & ~0x0fff0fffu) &&
	       !(state->asq % NVME_PAGE) && !(state->acq % NVME_PAGE) && state->resetting <= 1 &&
	       state->master <= 1 && state->namespace_changed <= 1 && state->shadows <= 1 &&
	       !(state->shadow_page % NVME_PAGE) && !(state->event_page % NVME_PAGE);
}

static bool events_ok(const struct nvme_state *state)
{
	for (unsigned type = 0; type < NVME_ASYNC_TYPES; type++) {
		uint32_t waiting = state->event_waiting[type];

		if (state->event_masked[type] > 1 || (waiting && ((waiting - 1) & 7) != type))
			return false;
	}
	return true;
}

static bool features_ok(const struct nvme_features *features)
{
	for (unsigned i = 0; i < NVME_HOST_BEHAVIOURS; i++)
		if (features->host_behaviour[i] > 1)
			return false;
	return features->write_cache <= 1 && features->timestamp_set <= 1 &&
	       !(features->no_coalescing >> NVME_VECTORS);
}

static bool ring_ok(unsigned queue, uint16_t size, uint64_t base, size_t entry, uint32_t doorbell)
{
	return size >= 2 && size <= (queue ? NVME_QUEUE_DEPTH : NVME_ADMIN_QUEUE_DEPTH) &&
	       !(base % NVME_PAGE) && !range_wraps(base, size * entry) && doorbell < size;
}

static bool cq_ok(const struct nvme_state *state, unsigned queue)
{
	const struct nvme_cq *cq = &state->cq[queue];

	if (cq->state == NVME_QUEUE_ABSENT)
		return true;
	return cq->state == NVME_QUEUE_LIVE &&
	       ring_ok(queue, cq->size, cq->base, sizeof(struct nvme_completion), cq->doorbell) &&
	       cq->vector < NVME_VECTORS && cq->interrupts <= 1 && cq->posted >= cq->consumed &&
	       nvme_cq_used(cq) < cq->size;
}

static bool sq_ok(const struct nvme_state *state, unsigned queue)
{
	const struct nvme_sq *sq = &state->sq[queue];

	if (sq->state == NVME_QUEUE_ABSENT)
		return true;
	return (sq->state == NVME_QUEUE_LIVE || (sq->state == NVME_QUEUE_DELETING && queue)) &&
	       ring_ok(queue, sq->size, sq->base, sizeof(struct nvme_command), sq->doorbell) &&
	       sq->cq < NVME_QUEUES && !sq->cq == !queue &&
	       state->cq[sq->cq].state == NVME_QUEUE_LIVE;
}

static bool queues_ok(const struct nvme_state *state)
{
	for (unsigned queue = 0; queue < NVME_QUEUES; queue++)
		if (!cq_ok(state, queue) || !sq_ok(state, queue))
			return false;
	return !(state->csts & NVME_CSTS_RDY) || state->resetting ||
	       state->sq[0].state == NVME_QUEUE_LIVE;
}

/* Died between steps 1 and 2. */
static bool is_just_copied(const struct nvme_state *state, const struct nvme_slot *slot)
{
	return slot->queue < NVME_QUEUES && slot->id + 1 == state->next_id &&
	       slot->fetched == state->sq[slot->queue].fetched;
}

/* Died before the end of step 8: there may be no sum any more. */
static bool is_posted(const struct nvme_cq *cq, const struct nvme_slot *slot)
{
	return slot->state == NVME_SLOT_POSTING && slot->posted < cq->posted;
}

static bool answer_ok(const struct nvme_slot *slot, const struct nvme_sq *sq,
		      const struct nvme_cq *cq)
{
	if (slot->fetched >= sq->fetched || slot->answer_check != nvme_answer_check(slot))
		return false;
	return slot->state == NVME_SLOT_DONE ||
	       (slot->state == NVME_SLOT_POSTING && slot->posted <= cq->posted &&
		slot->sq_head < sq->size);
}

/* Of the steps of state.h: what a slot may look like at any of them. */
static bool slot_ok(const struct nvme_state *state, const struct nvme_slot *slot)
{
	const struct nvme_sq *sq;
	const struct nvme_cq *cq;

	if (slot->state == NVME_SLOT_FREE)
		return !slot->check || is_just_copied(state, slot);
	if (slot->queue >= NVME_QUEUES || !slot->id || slot->id >= state->next_id ||
	    slot->status > 0x7fff)
		return false;
	sq = &state->sq[slot->queue];
	if (sq->state == NVME_QUEUE_ABSENT)
		return false;
	cq = &state->cq[sq->cq];
	if (slot->check != nvme_slot_check(slot) && !is_posted(cq, slot))
		return false;
	return slot->state == NVME_SLOT_FETCHED ? slot->fetched <= sq->fetched
						: answer_ok(slot, sq, cq);
}

/* One process fetches one command, and writes one answer, at a time. */
static bool slots_ok(const struct nvme_state *state)
{
	unsigned fetching = 0, posting = 0;

	for (unsigned i = 0; i < NVME_COMMANDS; i++) {
		const struct nvme_slot *slot = &state->slots[i];
		const struct nvme_sq *sq;

		if (!slot_ok(state, slot))
			return false;
		if (slot->state == NVME_SLOT_FREE)
			continue;
		sq = &state->sq[slot->queue];
		fetching += slot->fetched == sq->fetched;
		posting += slot->state == NVME_SLOT_POSTING &&
			   slot->posted == state->cq[sq->cq].posted;
	}
	return fetching <= 1 && posting <= 1;
}

int nvme_check_state(const struct nvme *nvme, struct error *error)
{
	const struct nvme_state *state = nvme->state;
	const char *bad = NULL;

	/* One older has zeros where it had nothing; one newer has more behind its end. */
	if (state->magic != NVME_STATE_MAGIC || state->version < NVME_STATE_VERSION - 1 ||
	    state->version > NVME_STATE_VERSION + 1)
		bad = "is not of this version";
	else if (state->lba_size != nvme->setup->lba_size)
		bad = "belongs to a namespace with another block size";
	else if (!registers_ok(state) || !events_ok(state))
		bad = "has damaged registers";
	else if (!features_ok(&state->features))
		bad = "has damaged features";
	else if (!queues_ok(state))
		bad = "has damaged queues";
	else if (!state->resetting && !slots_ok(state))
		bad = "has damaged commands";
	if (!bad)
		return 0;
	return error_set(error, EPROTO, "nvme: the state area %s; start the card with a new one",
			 bad);
}

/* In the order of their ids. Not by qsort(3), whose system calls a sandbox does not expect. */
static void insert(const struct nvme_state *state, uint16_t *taken, unsigned count, uint16_t index)
{
	for (; count && state->slots[taken[count - 1]].id > state->slots[index].id; count--)
		taken[count] = taken[count - 1];
	taken[count] = index;
}

/* Fetched without its second: as if it had not been, nobody has seen anything of it. */
static bool is_half_a_pair(const struct nvme_sq *sq, const struct nvme_slot *slot)
{
	return slot->state == NVME_SLOT_FETCHED && nvme_is_fused(slot, NVME_FUSE_FIRST) &&
	       slot->fetched + 1 == sq->fetched;
}

/* It was counted, and will be again when it is carried out again. */
static void uncount(struct nvme_state *state, const struct nvme_slot *slot)
{
	if (slot->state != NVME_SLOT_FETCHED || slot->id != state->counting)
		return;
	state->counters = state->before;
	nvme_publish64(&state->counting, 0);
}

/* Steps 3 and 8, where they are missing. Of a reset that was begun, only its end. */
static void finish_steps(struct nvme_state *state, struct nvme_slot *slot)
{
	struct nvme_sq *sq;

	if (state->resetting) {
		nvme_publish(&slot->state, NVME_SLOT_FREE);
		return;
	}
	sq = &state->sq[slot->queue];
	uncount(state, slot);
	if (slot->state == NVME_SLOT_FETCHED && slot->fetched == sq->fetched)
		nvme_publish64(&sq->fetched, sq->fetched + 1);
	if (is_half_a_pair(sq, slot)) {
		nvme_publish64(&sq->fetched, slot->fetched);
		nvme_publish(&slot->state, NVME_SLOT_FREE);
	}
	if (is_posted(&state->cq[sq->cq], slot)) {
		slot->check = 0;
		nvme_publish(&slot->state, NVME_SLOT_FREE);
	}
}

static void take_over(struct nvme *nvme, uint32_t index)
{
	struct nvme_slot *slot = &nvme->state->slots[index];

	nvme->works[index].reserved = true;
	nvme->sq_busy[slot->queue]++;
	nvme->cq_reserved[nvme->state->sq[slot->queue].cq]++;
	if (slot->state == NVME_SLOT_FETCHED)
		nvme_hold(nvme, &nvme->works[index]);
	else
		nvme->unposted++;
}

static void lost_interrupts(struct nvme *nvme)
{
	nvme->interrupts = 0;
	for (unsigned queue = 0; queue < NVME_QUEUES; queue++) {
		const struct nvme_cq *cq = &nvme->state->cq[queue];

		if (cq->state == NVME_QUEUE_LIVE && cq->interrupts && nvme_cq_used(cq))
			nvme->interrupts |= 1u << cq->vector;
	}
}

void nvme_rebuild(struct nvme *nvme)
{
	uint16_t taken[NVME_COMMANDS];
	unsigned count = 0;

	nvme->unposted = nvme->event_requests = nvme->deletions = nvme->free_count = 0;
	nvme->pairing = nvme->paired = false;
	nvme_forget_delays(nvme);
	nvme_note_queues(nvme);
	nvme->held = NULL;
	nvme->held_end = &nvme->held;
	memset(nvme->sq_busy, 0, sizeof(nvme->sq_busy));
	memset(nvme->cq_reserved, 0, sizeof(nvme->cq_reserved));
	/* From the last: the first slots are the first to be used. */
	for (unsigned i = NVME_COMMANDS; i-- > 0;) {
		struct nvme_slot *slot = &nvme->state->slots[i];

		nvme->works[i].reserved = false;
		if (slot->state != NVME_SLOT_FREE)
			finish_steps(nvme->state, slot);
		if (slot->state != NVME_SLOT_FREE) {
			insert(nvme->state, taken, count++, (uint16_t)i);
			continue;
		}
		if (slot->check)
			slot->check = 0;
		nvme->free_slots[nvme->free_count++] = (uint16_t)i;
	}
	for (unsigned i = 0; i < count; i++)
		take_over(nvme, taken[i]);
	lost_interrupts(nvme);
}
