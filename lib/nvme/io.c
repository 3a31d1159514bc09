/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The NVM command set (NVM Command Set 3.2). A command is one request to the back end or a row of
 * them, one after the other: what has to be durable first, the work, what has to be durable after.
 */
#include <errno.h>

#include "base/base.h"
#include "nvme_private.h"

struct io_command {
	/* Checks and prepares; NVME_OK: the requests can begin. */
	uint16_t (*prepare)(struct nvme *nvme, struct nvme_slot *slot, struct nvme_work *work);
	enum nvme_io_op op;
	/* What is left to do after its requests. A status. */
	uint16_t (*end)(struct nvme *nvme, struct nvme_work *work);
	bool broadcast; /* allowed for all namespaces */
	uint32_t effects;
};

static uint64_t first_block(const struct nvme_command *command)
{
	return command->cdw10 | (uint64_t)command->cdw11 << 32;
}

uint16_t nvme_check_range(const struct nvme *nvme, uint64_t lba, uint64_t blocks)
{
	uint64_t size = nvme->state->size / nvme->setup->lba_size;

	return range_within(lba, blocks, size) ? NVME_OK : NVME_LBA_OUT_OF_RANGE;
}

/* NVM Command Set 3.2.4, 3.2.6, 3.2.8: SLBA and the 0's based NLB. */
static uint16_t set_range(const struct nvme *nvme, const struct nvme_command *command,
			  struct nvme_io *io)
{
	uint64_t lba = first_block(command), blocks = (command->cdw12 & 0xffff) + 1;

	io->offset = lba * nvme->setup->lba_size;
	io->length = blocks * nvme->setup->lba_size;
	return nvme_check_range(nvme, lba, blocks);
}

uint16_t nvme_set_range(const struct nvme *nvme, struct nvme_slot *slot, struct nvme_work *work)
{
	uint16_t status = set_range(nvme, &slot->command, &work->io);

	if (work->io.length > NVME_MAX_TRANSFER)
		return NVME_AT(slot, cdw12, NVME_INVALID_FIELD);
	return NVME_AT(slot, cdw10, status);
}

static uint16_t prepare_data(struct nvme *nvme, struct nvme_slot *slot, struct nvme_work *work)
{
	bool to_guest = work->io.op == NVME_IO_READ;
	struct nvme_segments *segments = &nvme->segments;
	uint16_t status;

	status = nvme_set_range(nvme, slot, work);
	if (status == NVME_OK)
		status = nvme_walk_data(nvme, &slot->command, work->io.length, to_guest, segments);
	if (status == NVME_OK)
		status = nvme_map_data(nvme, work, segments, to_guest);
	return status;
}

static uint16_t prepare_zeroes(struct nvme *nvme, struct nvme_slot *slot, struct nvme_work *work)
{
	return NVME_AT(slot, cdw10, set_range(nvme, &slot->command, &work->io));
}

static uint16_t prepare_flush(struct nvme *nvme, struct nvme_slot *slot, struct nvme_work *work)
{
	(void)nvme;
	(void)slot;
	(void)work;
	return NVME_OK;
}

/* All ranges are checked before the first is given back. The other attributes are hints. */
static uint16_t prepare_dataset(struct nvme *nvme, struct nvme_slot *slot, struct nvme_work *work)
{
	const struct nvme_command *command = &slot->command;
	unsigned count = (command->cdw10 & 0xff) + 1;
	uint16_t status;

	work->pieces = nvme_take_pieces(nvme);
	if (!work->pieces)
		return NVME_INTERNAL_ERROR;
	status = nvme_receive(nvme, command, work->pieces->ranges,
			      count * sizeof(struct nvme_dsm_range));
	for (unsigned i = 0; status == NVME_OK && i < count; i++)
		status = nvme_check_range(nvme, work->pieces->ranges[i].lba,
					  work->pieces->ranges[i].blocks);
	work->range_count = command->cdw11 & NVME_DSM_AD ? count : 0;
	return status;
}

#define SUPPORTED (NVME_EFFECT_SUPPORTED | NVME_SCOPE_NAMESPACE)
#define CHANGES	  (SUPPORTED | NVME_EFFECT_CONTENT)

static const struct io_command io_commands[] = {
	[NVME_CMD_FLUSH] = {prepare_flush, NVME_IO_FLUSH, NULL, true, SUPPORTED},
	[NVME_CMD_WRITE] = {prepare_data, NVME_IO_WRITE, NULL, false, CHANGES},
	[NVME_CMD_READ] = {prepare_data, NVME_IO_READ, nvme_unbounce, false, SUPPORTED},
	[NVME_CMD_COMPARE] = {nvme_prepare_compare, NVME_IO_READ, nvme_compare, false, SUPPORTED},
	[NVME_CMD_WRITE_ZEROES] = {prepare_zeroes, NVME_IO_DISCARD, NULL, false, CHANGES},
	[NVME_CMD_DATASET_MANAGEMENT] = {prepare_dataset, NVME_IO_DISCARD, NULL, false, CHANGES},
	[NVME_CMD_VERIFY] = {nvme_prepare_verify, NVME_IO_READ, NULL, false, SUPPORTED},
	[NVME_CMD_COPY] = {nvme_prepare_copy, NVME_IO_WRITE, NULL, false, CHANGES},
};

uint32_t nvme_io_effects(uint8_t opcode)
{
	return opcode < ARRAY_LEN(io_commands) ? io_commands[opcode].effects : 0;
}

/* Without a volatile write cache every write is durable when it is answered. */
bool nvme_is_durable(const struct nvme *nvme, const struct nvme_command *command)
{
	if (command->opcode == NVME_CMD_DATASET_MANAGEMENT)
		return !nvme->state->features.write_cache;
	return command->cdw12 & NVME_RW_FUA || !nvme->state->features.write_cache;
}

static bool next_range(const struct nvme *nvme, struct nvme_work *work)
{
	uint32_t block = nvme->setup->lba_size;

	while (work->range < work->range_count) {
		const struct nvme_dsm_range *range = &work->pieces->ranges[work->range++];

		if (!range->blocks)
			continue;
		work->io.offset = range->lba * block;
		work->io.length = (uint64_t)range->blocks * block;
		return true;
	}
	return false;
}

/* The main request, or one of the row; false: there is none left. */
static bool next_main(const struct nvme *nvme, const struct nvme_command *command,
		      struct nvme_work *work)
{
	work->io.op = io_commands[command->opcode].op;
	if (command->opcode == NVME_CMD_DATASET_MANAGEMENT)
		return next_range(nvme, work);
	if (command->opcode == NVME_CMD_COPY) {
		nvme_next_copy(nvme, command, work);
		return true;
	}
	work->stage = NVME_STAGE_AFTER;
	return true;
}

/* Read, Compare, Verify with FUA (NVM Command Set 3.2.4): from what is durable. */
static bool flushes_before(const struct nvme_command *command)
{
	return io_commands[command->opcode].op == NVME_IO_READ && command->cdw12 & NVME_RW_FUA;
}

static bool flushes_after(const struct nvme *nvme, const struct nvme_command *command)
{
	return io_commands[command->opcode].op == NVME_IO_DISCARD && nvme_is_durable(nvme, command);
}

/* Fills in work->io; false: the command is at its end. */
static bool next_request(const struct nvme *nvme, const struct nvme_command *command,
			 struct nvme_work *work)
{
	switch (work->stage) {
	case NVME_STAGE_BEFORE:
		work->stage = NVME_STAGE_MAIN;
		work->io.op = NVME_IO_FLUSH;
		if (flushes_before(command))
			return true;
		__attribute__((fallthrough));
	case NVME_STAGE_MAIN:
		if (next_main(nvme, command, work))
			return true;
		__attribute__((fallthrough));
	case NVME_STAGE_AFTER:
		work->stage = NVME_STAGE_END;
		work->io.op = NVME_IO_FLUSH;
		return flushes_after(nvme, command);
	default:
		return false;
	}
}

static uint16_t status_of(const struct nvme_work *work)
{
	switch (work->error) {
	case 0:
		return NVME_OK;
	case -ENOSPC:
	case -EDQUOT:
	case -EFBIG:
		return NVME_CAPACITY_EXCEEDED;
	case -EROFS:
		return NVME_WRITE_PROTECTED;
	case -ENOMEM:
	case -EAGAIN:
		return NVME_INTERNAL_ERROR;
	default:
		return work->io.op == NVME_IO_READ ? NVME_UNRECOVERED_READ : NVME_WRITE_FAULT;
	}
}

bool nvme_moves_data(const struct nvme_slot *slot)
{
	return !nvme_is_admin(slot) && io_commands[slot->command.opcode].op <= NVME_IO_WRITE;
}

/* Base 5.16.1.3; which commands: NVM Command Set 1.4.2. */
void nvme_count_data(struct nvme *nvme, uint8_t opcode, const struct nvme_io *io)
{
	struct nvme_counters *counters = &nvme->state->counters;
	bool reads = io_commands[opcode].op == NVME_IO_READ;
	bool writes = io_commands[opcode].op == NVME_IO_WRITE;

	counters->reads += (reads && opcode != NVME_CMD_VERIFY) || opcode == NVME_CMD_COPY;
	counters->sectors_read += reads ? io->length / 512 : 0;
	counters->writes += writes;
	counters->sectors_written += writes ? io->length / 512 : 0;
}

static uint16_t end_of_row(struct nvme *nvme, const struct nvme_command *command,
			   struct nvme_work *work)
{
	const struct io_command *what = &io_commands[command->opcode];

	return what->end ? what->end(nvme, work) : NVME_OK;
}

/* Goes through the row until a request is under way. A status, or NVME_PENDING. */
static uint16_t advance(struct nvme *nvme, const struct nvme_command *command,
			struct nvme_work *work)
{
	while (next_request(nvme, command, work)) {
		if (nvme->quiescing) {
			/* Begun anew later: the guest has had no answer. */
			nvme_hold(nvme, work);
			return NVME_PENDING;
		}
		work->answered = false;
		work->submitting = true;
		nvme_submit(nvme, work);
		work->submitting = false;
		if (!work->answered)
			return NVME_PENDING;
		if (work->error)
			return status_of(work);
	}
	return end_of_row(nvme, command, work);
}

void nvme_io_continue(struct nvme *nvme, struct nvme_work *work)
{
	uint32_t index = nvme_slot_index(nvme, work);
	const struct nvme_command *command = &nvme->state->slots[index].command;
	uint16_t status;

	/* Begun anew later: no messages can be sent now, which a bounce buffer would need; or the
	 * back end has not begun it. */
	if (nvme->quiescing && (work->bounce || work->error == -ECANCELED)) {
		nvme_hold(nvme, work);
		return;
	}
	status = status_of(work);
	if (status == NVME_OK)
		status = advance(nvme, command, work);
	if (status != NVME_PENDING)
		nvme_finish(nvme, index, status);
}

static uint16_t check(struct nvme *nvme, struct nvme_slot *slot)
{
	const struct nvme_command *command = &slot->command;

	if (!nvme_io_effects(command->opcode)) {
		if (command->opcode >= NVME_CMD_VENDOR)
			nvme_tell(nvme, NVME_EVENT_FORBIDDEN_COMMAND, command->opcode);
		return NVME_INVALID_OPCODE;
	}
	if ((command->flags & NVME_FLAGS_PSDT) > NVME_PSDT_SGL)
		return NVME_AT(slot, flags, NVME_INVALID_FIELD);
	if (command->nsid == NVME_NSID_ALL && io_commands[command->opcode].broadcast)
		return NVME_OK;
	return command->nsid == 1 ? NVME_OK : NVME_INVALID_NAMESPACE;
}

uint16_t nvme_io_command(struct nvme *nvme, uint32_t index)
{
	struct nvme_slot *slot = &nvme->state->slots[index];
	struct nvme_work *work = &nvme->works[index];
	uint16_t status = check(nvme, slot);

	if (status != NVME_OK)
		return status;
	work->io = (struct nvme_io){
		.op = io_commands[slot->command.opcode].op,
		.fua = slot->command.opcode == NVME_CMD_WRITE &&
		       nvme_is_durable(nvme, &slot->command),
	};
	work->stage = NVME_STAGE_BEFORE;
	status = io_commands[slot->command.opcode].prepare(nvme, slot, work);
	if (status == NVME_PENDING)
		nvme_hold(nvme, work);
	return status == NVME_OK ? advance(nvme, &slot->command, work) : status;
}
