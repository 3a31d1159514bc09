/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Create and Delete I/O Queue (Base 5.4 to 5.7). `changed_by` makes each of them do the same thing
 * when an earlier process died after it had done it.
 */
#include "base/base.h"
#include "nvme_private.h"

static bool entries_ok(uint32_t entries)
{
	return entries >= 2 && entries <= NVME_QUEUE_DEPTH;
}

/* CAP.CQR: the ring is one piece, and begins at a page. */
static uint16_t check_ring(struct nvme_slot *slot, uint32_t entries, size_t entry)
{
	const struct nvme_command *command = &slot->command;

	if (!(command->cdw11 & 1))
		return NVME_AT(slot, cdw11, NVME_INVALID_FIELD);
	if (command->prp1 % NVME_PAGE)
		return NVME_AT(slot, prp1, NVME_INVALID_PRP_OFFSET);
	if (range_wraps(command->prp1, entries * entry))
		return NVME_AT(slot, prp1, NVME_INVALID_FIELD);
	return NVME_OK;
}

uint16_t nvme_create_cq(struct nvme *nvme, struct nvme_slot *slot)
{
	const struct nvme_command *command = &slot->command;
	uint32_t queue = command->cdw10 & 0xffff, entries = (command->cdw10 >> 16) + 1;
	uint32_t vector = command->cdw11 >> 16;
	struct nvme_cq *cq = &nvme->state->cq[queue % NVME_QUEUES];
	uint16_t status;

	if (!queue || queue >= NVME_QUEUES)
		return NVME_AT(slot, cdw10, NVME_INVALID_QUEUE_ID);
	if (cq->state != NVME_QUEUE_ABSENT)
		return cq->changed_by == slot->id ? NVME_OK : NVME_INVALID_QUEUE_ID;
	if (!entries_ok(entries) || NVME_CC_IOCQES(nvme->state->cc) != NVME_CQES)
		return NVME_INVALID_QUEUE_SIZE;
	status = check_ring(slot, entries, sizeof(struct nvme_completion));
	if (status != NVME_OK)
		return status;
	if (vector >= NVME_VECTORS)
		return NVME_INVALID_VECTOR;
	*cq = (struct nvme_cq){
		.state = NVME_QUEUE_ABSENT,
		.size = (uint16_t)entries,
		.vector = (uint16_t)vector,
		.base = command->prp1,
		.changed_by = slot->id,
		.interrupts = command->cdw11 >> 1 & 1,
	};
	nvme_clear_doorbell(nvme, queue, true);
	nvme_publish(&cq->state, NVME_QUEUE_LIVE);
	nvme_note_queues(nvme);
	return NVME_OK;
}

uint16_t nvme_create_sq(struct nvme *nvme, struct nvme_slot *slot)
{
	const struct nvme_command *command = &slot->command;
	uint32_t queue = command->cdw10 & 0xffff, entries = (command->cdw10 >> 16) + 1;
	uint32_t cq = command->cdw11 >> 16;
	struct nvme_sq *sq = &nvme->state->sq[queue % NVME_QUEUES];
	uint16_t status;

	if (!queue || queue >= NVME_QUEUES)
		return NVME_AT(slot, cdw10, NVME_INVALID_QUEUE_ID);
	if (sq->state != NVME_QUEUE_ABSENT)
		return sq->changed_by == slot->id ? NVME_OK : NVME_INVALID_QUEUE_ID;
	if (!cq || cq >= NVME_QUEUES)
		return nvme_at(slot, offsetof(struct nvme_command, cdw11) + 2,
			       NVME_INVALID_QUEUE_ID);
	if (nvme->state->cq[cq].state != NVME_QUEUE_LIVE)
		return NVME_CQ_INVALID;
	if (!entries_ok(entries) || NVME_CC_IOSQES(nvme->state->cc) != NVME_SQES)
		return NVME_INVALID_QUEUE_SIZE;
	status = check_ring(slot, entries, sizeof(struct nvme_command));
	if (status != NVME_OK)
		return status;
	*sq = (struct nvme_sq){
		.state = NVME_QUEUE_ABSENT,
		.size = (uint16_t)entries,
		.cq = (uint16_t)cq,
		.base = command->prp1,
		.changed_by = slot->id,
	};
	nvme_clear_doorbell(nvme, queue, false);
	nvme_publish(&sq->state, NVME_QUEUE_LIVE);
	nvme_note_queues(nvme);
	return NVME_OK;
}

uint16_t nvme_delete_cq(struct nvme *nvme, struct nvme_slot *slot)
{
	uint32_t queue = slot->command.cdw10 & 0xffff;
	struct nvme_cq *cq = &nvme->state->cq[queue % NVME_QUEUES];

	if (!queue || queue >= NVME_QUEUES)
		return NVME_AT(slot, cdw10, NVME_INVALID_QUEUE_ID);
	if (cq->state == NVME_QUEUE_ABSENT)
		return cq->changed_by == slot->id ? NVME_OK : NVME_INVALID_QUEUE_ID;
	for (unsigned i = 1; i < NVME_QUEUES; i++)
		if (nvme->state->sq[i].state != NVME_QUEUE_ABSENT && nvme->state->sq[i].cq == queue)
			return NVME_INVALID_QUEUE_DELETION;
	nvme_publish64(&cq->changed_by, slot->id);
	nvme_publish(&cq->state, NVME_QUEUE_ABSENT);
	nvme_note_queues(nvme);
	return NVME_OK;
}

/* The queue goes when the last of its commands has been answered; until then nothing is fetched. */
uint16_t nvme_delete_sq(struct nvme *nvme, struct nvme_slot *slot)
{
	uint32_t queue = slot->command.cdw10 & 0xffff;
	struct nvme_sq *sq = &nvme->state->sq[queue % NVME_QUEUES];

	if (!queue || queue >= NVME_QUEUES)
		return NVME_AT(slot, cdw10, NVME_INVALID_QUEUE_ID);
	if (sq->state != NVME_QUEUE_LIVE && sq->changed_by != slot->id)
		return NVME_INVALID_QUEUE_ID;
	if (sq->state == NVME_QUEUE_ABSENT)
		return NVME_OK;
	nvme_publish64(&sq->changed_by, slot->id);
	nvme_publish(&sq->state, NVME_QUEUE_DELETING);
	nvme_note_queues(nvme);
	nvme->deletions |= 1u << queue;
	nvme->deletion_slots[queue] = (uint32_t)(slot - nvme->state->slots);
	return NVME_PENDING;
}

void nvme_continue_deletions(struct nvme *nvme)
{
	for (unsigned queue = 1; nvme->deletions >> queue; queue++) {
		if (!(nvme->deletions & 1u << queue) || nvme->sq_busy[queue])
			continue;
		nvme->deletions &= ~(1u << queue);
		nvme_publish(&nvme->state->sq[queue].state, NVME_QUEUE_ABSENT);
		nvme_note_queues(nvme);
		nvme_finish(nvme, nvme->deletion_slots[queue], NVME_OK);
	}
}
