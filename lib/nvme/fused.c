/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compare and Write (Base 3.4.2): a pair of neighbours in a queue that no
 * other command comes between. The pair waits until all that was fetched has ended, and nothing is
 * fetched until it has ended itself.
 *
 * Both are fetched in one step. The first keeps its slot, DONE and without an answer, until the
 * second is DONE too: a process that takes over sees from it whether the comparison was made, and
 * does not make it again over what the second may have written.
 */
#include "base/base.h"
#include "nvme_private.h"

bool nvme_is_fused(const struct nvme_slot *slot, unsigned part)
{
	return !nvme_is_admin(slot) && (slot->command.flags & NVME_FLAGS_FUSE) == part;
}

static struct nvme_slot *find(const struct nvme *nvme, uint16_t queue, uint64_t fetched,
			      unsigned part)
{
	for (unsigned i = 0; i < NVME_COMMANDS; i++) {
		struct nvme_slot *slot = &nvme->state->slots[i];

		if (slot->state != NVME_SLOT_FREE && slot->queue == queue &&
		    slot->fetched == fetched && nvme_is_fused(slot, part))
			return slot;
	}
	return NULL;
}

static struct nvme_slot *second_of(const struct nvme *nvme, const struct nvme_slot *first)
{
	return find(nvme, first->queue, first->fetched + 1, NVME_FUSE_SECOND);
}

struct nvme_slot *nvme_first_of(struct nvme *nvme, const struct nvme_slot *second)
{
	return find(nvme, second->queue, second->fetched - 1, NVME_FUSE_FIRST);
}

bool nvme_waits_for_second(const struct nvme *nvme, const struct nvme_slot *slot)
{
	const struct nvme_slot *second;

	if (!nvme_is_fused(slot, NVME_FUSE_FIRST))
		return false;
	second = second_of(nvme, slot);
	return second && second->state == NVME_SLOT_FETCHED;
}

static uint32_t index_of(const struct nvme *nvme, const struct nvme_slot *slot)
{
	return (uint32_t)(slot - nvme->state->slots);
}

/* The second of a pair waits for its first, but where that was carried out by an earlier process
 * or before a quiesce. */
void nvme_execute_fused(struct nvme *nvme, uint32_t index)
{
	struct nvme_slot *slot = &nvme->state->slots[index];
	const struct nvme_slot *first = slot;

	if (nvme_is_fused(slot, NVME_FLAGS_FUSE)) {
		nvme_finish(nvme, index, NVME_AT(slot, flags, NVME_INVALID_FIELD));
		return;
	}
	if (nvme_is_fused(slot, NVME_FUSE_SECOND))
		first = nvme_first_of(nvme, slot);
	else if (!second_of(nvme, slot))
		first = NULL;
	if (!first) {
		nvme_finish(nvme, index, NVME_AT(slot, flags, NVME_MISSING_FUSED));
		return;
	}
	nvme->pairing = true;
	nvme->paired = false;
	nvme->pair = index_of(nvme, first);
}

/* ACWU is one block. */
static uint16_t check_pair(struct nvme_slot *slot, const struct nvme_slot *second)
{
	const struct nvme_command *compare = &slot->command, *write = &second->command;

	if (compare->opcode != NVME_CMD_COMPARE || write->opcode != NVME_CMD_WRITE)
		return NVME_AT(slot, flags, NVME_INVALID_FIELD);
	if (compare->cdw10 != write->cdw10 || compare->cdw11 != write->cdw11)
		return NVME_AT(slot, cdw10, NVME_INVALID_FIELD);
	if ((compare->cdw12 ^ write->cdw12) & 0xffff)
		return NVME_AT(slot, cdw12, NVME_INVALID_FIELD);
	if (compare->cdw12 & 0xffff)
		return NVME_AT(slot, cdw12, NVME_ATOMIC_UNIT_EXCEEDED);
	return NVME_OK;
}

static void run_first(struct nvme *nvme, struct nvme_slot *first, const struct nvme_slot *second)
{
	uint16_t status = check_pair(first, second);

	if (status == NVME_OK)
		status = nvme_io_command(nvme, index_of(nvme, first));
	if (status != NVME_PENDING)
		nvme_finish(nvme, index_of(nvme, first), status);
}

static void run_second(struct nvme *nvme, const struct nvme_slot *first, uint32_t second)
{
	uint16_t status = NVME_FAILED_FUSED;

	if (first->status == NVME_OK)
		status = nvme_io_command(nvme, second);
	if (status != NVME_PENDING)
		nvme_finish(nvme, second, status);
}

void nvme_run_pair(struct nvme *nvme)
{
	struct nvme_slot *first = &nvme->state->slots[nvme->pair], *second;

	if (!nvme->pairing || nvme->paired || nvme->with_back_end || nvme->held)
		return;
	second = second_of(nvme, first);
	if (!second || second->state != NVME_SLOT_FETCHED) {
		nvme->pairing = false;
		return;
	}
	nvme->paired = true;
	if (first->state == NVME_SLOT_FETCHED)
		run_first(nvme, first, second);
	else
		run_second(nvme, first, index_of(nvme, second));
}

void nvme_continue_pair(struct nvme *nvme, uint32_t index)
{
	const struct nvme_slot *slot = &nvme->state->slots[index], *second;

	if (!nvme->paired)
		return;
	if (nvme_is_fused(slot, NVME_FUSE_SECOND)) {
		nvme->pairing = nvme->paired = false;
		return;
	}
	second = second_of(nvme, slot);
	if (index == nvme->pair && second)
		run_second(nvme, slot, index_of(nvme, second));
}
