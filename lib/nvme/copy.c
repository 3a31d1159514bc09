/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copy (NVM Command Set 3.2.2): all sources are read, then the whole is written. A process that
 * takes over does all of it again, which is right only while the write changes no source: ranges
 * that overlap the destination are refused.
 */
#include "base/base.h"
#include "nvme_private.h"

static uint64_t destination(const struct nvme_command *command)
{
	return command->cdw10 | (uint64_t)command->cdw11 << 32;
}

/* MSSRL and MCL are both what one transfer may be. */
static uint16_t add_up(const struct nvme *nvme, const struct nvme_work *work, uint64_t *blocks)
{
	uint64_t limit = NVME_MAX_TRANSFER / nvme->setup->lba_size;
	uint16_t status = NVME_OK;

	*blocks = 0;
	for (unsigned i = 0; status == NVME_OK && i < work->range_count; i++) {
		const struct nvme_copy_range *source = &work->pieces->sources[i];
		uint64_t count = source->blocks + UINT64_C(1);

		*blocks += count;
		if (*blocks > limit)
			return NVME_COMMAND_SIZE_EXCEEDED;
		status = nvme_check_range(nvme, source->lba, count);
	}
	return status;
}

static bool overlaps(const struct nvme_work *work, uint64_t lba, uint64_t blocks)
{
	for (unsigned i = 0; i < work->range_count; i++)
		if (ranges_overlap(work->pieces->sources[i].lba,
				   work->pieces->sources[i].blocks + UINT64_C(1), lba, blocks))
			return true;
	return false;
}

static uint16_t check_sources(const struct nvme *nvme, const struct nvme_command *command,
			      struct nvme_work *work)
{
	uint64_t blocks;
	uint16_t status;

	status = add_up(nvme, work, &blocks);
	if (status == NVME_OK)
		status = nvme_check_range(nvme, destination(command), blocks);
	if (status != NVME_OK)
		return status;
	work->io.length = blocks * nvme->setup->lba_size;
	return overlaps(work, destination(command), blocks) ? NVME_INVALID_FIELD : NVME_OK;
}

uint16_t nvme_prepare_copy(struct nvme *nvme, struct nvme_slot *slot, struct nvme_work *work)
{
	const struct nvme_command *command = &slot->command;
	unsigned count = (command->cdw12 & 0xff) + 1;
	uint16_t status;

	if (NVME_COPY_FORMAT(command->cdw12))
		return nvme_at(slot, offsetof(struct nvme_command, cdw12) + 1, NVME_INVALID_FIELD);
	if (count > NVME_COPY_RANGES)
		return NVME_AT(slot, cdw12, NVME_COMMAND_SIZE_EXCEEDED);
	work->pieces = nvme_take_pieces(nvme);
	if (!work->pieces)
		return NVME_INTERNAL_ERROR;
	work->range_count = count;
	status = nvme_receive(nvme, command, work->pieces->sources,
			      count * sizeof(struct nvme_copy_range));
	if (status == NVME_OK)
		status = check_sources(nvme, command, work);
	return status == NVME_OK ? nvme_take_bounce(nvme, work, NULL) : status;
}

static void read_source(const struct nvme *nvme, struct nvme_work *work)
{
	const struct nvme_copy_range *source = &work->pieces->sources[work->range++];
	uint8_t *to = work->bounce->iov.iov_base;
	struct nvme_io *io = &work->io;

	io->op = NVME_IO_READ;
	io->offset = source->lba * nvme->setup->lba_size;
	io->length = (source->blocks + UINT64_C(1)) * nvme->setup->lba_size;
	work->few[0] = (struct iovec){.iov_base = to + work->gathered, .iov_len = io->length};
	io->iov = work->few;
	work->gathered += io->length;
}

void nvme_next_copy(const struct nvme *nvme, const struct nvme_command *command,
		    struct nvme_work *work)
{
	if (work->range < work->range_count) {
		read_source(nvme, work);
		return;
	}
	work->io.op = NVME_IO_WRITE;
	work->io.fua = nvme_is_durable(nvme, command);
	work->io.offset = destination(command) * nvme->setup->lba_size;
	work->io.length = work->gathered;
	work->io.iov = &work->bounce->iov;
	work->stage = NVME_STAGE_AFTER;
}
