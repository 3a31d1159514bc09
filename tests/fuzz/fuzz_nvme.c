/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An NVMe controller between a hostile guest, a hostile state area and a slow disk. The input is a
 * list of operations: registers, doorbells (by register or by shared memory), commands with data
 * pointers, guest memory, answers of the disk, deaths, spoilt state, resets, memory that comes and
 * goes. Memory that is not mapped is not there: a touch is a crash. The rig aborts on requests that
 * break the back end's contract.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cursor.h"
#include "nvme_rig.h"

#define OPERATIONS 400u
#define QUEUES	   3u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct bench {
	struct rig rig;
	bool mapped;
	bool shared; /* the doorbells are in a page that changes without a message */
	uint32_t doorbells[1024];
	bool spoilt; /* the state was forged: no promise about it holds, but that nothing crashes */
};

static void stop(void)
{
	abort();
}

static void register_write(struct bench *bench, struct cursor *input)
{
	uint32_t offset = cursor_u16(input) % 0x1100, length = cursor_u8(input) % 17;
	uint8_t bytes[16];

	cursor_copy(input, bytes, sizeof(bytes));
	nvme_register_write(bench->rig.nvme, offset, bytes, length);
}

static void register_read(struct bench *bench, struct cursor *input)
{
	uint32_t offset = cursor_u32(input), length = cursor_u8(input);
	uint8_t bytes[256];

	nvme_register_read(bench->rig.nvme, offset, bytes, length);
}

static void doorbell(struct bench *bench, struct cursor *input)
{
	uint32_t kind = cursor_u8(input), index = kind % (2 * QUEUES), value = cursor_u8(input);

	if (bench->shared && kind & 0x80)
		bench->doorbells[index] = value | (kind & 0x40) << 10;
	else
		rig_write(&bench->rig, NVME_REG_DOORBELLS + 4 * index, value);
}

/* Mostly pages that are there. */
static uint64_t pointer(struct cursor *input)
{
	uint8_t kind = cursor_u8(input);
	uint64_t page = cursor_u8(input) * UINT64_C(4096);

	switch (kind % 8) {
	case 0:
		return cursor_u64(input);
	case 1:
		return RIG_REMOTE + page + kind / 8 * 16;
	case 2:
		return RIG_DATA + page + kind / 8 * 4;
	case 3:
		return RIG_BASE + RIG_MEMORY - page;
	case 4:
		return RIG_DATA + page + 4096 - 8;
	default:
		return RIG_DATA + page;
	}
}

/* Length and type of an SGL descriptor. */
static uint64_t sgl_tail(struct cursor *input)
{
	uint64_t type = cursor_u8(input), length = cursor_u16(input);

	return length * (type & 1 ? 16 : 1) | (type & 2 ? type & 0x30 : type) << 56;
}

static void command(struct bench *bench, struct cursor *input)
{
	static const uint32_t namespaces[] = {1, 1, 1, 0, 2, NVME_NSID_ALL};
	unsigned queue = cursor_u8(input) % QUEUES;
	struct nvme_command entry = {0};

	entry.opcode = cursor_u8(input);
	entry.flags = cursor_u8(input);
	entry.flags = entry.flags > 200 ? entry.flags : entry.flags & NVME_PSDT_SGL;
	entry.nsid = namespaces[cursor_u8(input) % 6];
	entry.prp1 = pointer(input);
	entry.prp2 = entry.flags & NVME_PSDT_SGL ? sgl_tail(input) : pointer(input);
	entry.cdw10 = cursor_u32(input);
	entry.cdw11 = cursor_u32(input);
	entry.cdw12 = cursor_u32(input);
	entry.cdw13 = cursor_u8(input);
	entry.cdw14 = cursor_u8(input);
	if (bench->mapped && bench->rig.queues[queue].depth)
		rig_submit(&bench->rig, queue, entry);
}

/* A read or write that is in order, but for what else happens. */
static void transfer(struct bench *bench, struct cursor *input)
{
	uint8_t opcode = cursor_u8(input) & 1 ? NVME_CMD_WRITE : NVME_CMD_READ;
	uint32_t blocks = cursor_u16(input) % 2048 + 1, lba = cursor_u16(input);
	uint64_t address = RIG_DATA + cursor_u8(input) * UINT64_C(4);

	if (cursor_u8(input) % 4 == 0)
		address += RIG_REMOTE - RIG_BASE;
	if (bench->mapped && bench->rig.queues[1].depth)
		rig_submit(&bench->rig, 1, rig_io(&bench->rig, opcode, lba, blocks, address));
}

/* Compare and Write, or nearly; one of them may be missing. */
static void fused(struct bench *bench, struct cursor *input)
{
	uint8_t kind = cursor_u8(input);
	struct nvme_command first, second;

	first = rig_io(&bench->rig, NVME_CMD_COMPARE, kind % 4, 1, RIG_DATA);
	second = rig_io(&bench->rig, NVME_CMD_WRITE, kind % 4, 1, RIG_DATA + 4096);
	first.flags = NVME_FUSE_FIRST;
	second.flags = NVME_FUSE_SECOND;
	second.cdw10 += kind >= 250;
	if (!bench->mapped || !bench->rig.queues[1].depth)
		return;
	if (kind & 16)
		memcpy(rig_at(&bench->rig, RIG_DATA),
		       bench->rig.disk + kind % 4 * bench->rig.setup.lba_size,
		       bench->rig.setup.lba_size);
	if (kind & 32 || !(kind & 64))
		rig_submit(&bench->rig, 1, first);
	if (kind & 128 || !(kind & 64))
		rig_submit(&bench->rig, 1, second);
}

static void answer(struct bench *bench, struct cursor *input)
{
	static const int errors[] = {0, 0, 0, -EIO, -ENOSPC, -ENOMEM};
	unsigned which = cursor_u8(input), error = cursor_u8(input);

	if (bench->rig.waiting_count)
		rig_answer(&bench->rig, which % bench->rig.waiting_count, errors[error % 6]);
}

static void poke(struct bench *bench, struct cursor *input)
{
	uint32_t offset = cursor_u32(input) % (RIG_MEMORY - 8);
	uint8_t kind = cursor_u8(input);
	uint64_t value = kind & 1 ? cursor_u64(input) : pointer(input);

	if (kind & 2)
		offset = (uint32_t)(RIG_DATA - RIG_BASE) + offset % 65536 / 8 * 8;
	if (bench->mapped)
		memcpy(bench->rig.memory + offset, &value, sizeof(value));
	value = kind & 4 ? sgl_tail(input) : 0;
	if (bench->mapped && kind & 4 && offset < RIG_MEMORY - 16)
		memcpy(bench->rig.memory + offset + 8, &value, sizeof(value));
}

static void start_anew(struct bench *bench)
{
	if (!bench->spoilt)
		stop();
	memset(bench->rig.state, 0, sizeof(*bench->rig.state));
	if (rig_restart(&bench->rig) < 0)
		stop();
	bench->spoilt = false;
	nvme_set_master(bench->rig.nvme, true);
}

static void share(struct bench *bench)
{
	if (bench->shared)
		nvme_share_doorbells(bench->rig.nvme, bench->doorbells);
}

static void death(struct bench *bench)
{
	if (rig_restart(&bench->rig) < 0)
		start_anew(bench);
	share(bench);
}

/* As somebody would who knows the format. */
static void forge_checks(struct nvme_state *state)
{
	for (unsigned i = 0; i < 4; i++) {
		state->slots[i].check = nvme_slot_check(&state->slots[i]);
		state->slots[i].answer_check = nvme_answer_check(&state->slots[i]);
	}
}

static void forge_state(struct nvme_state *state, uint8_t kind)
{
	static const uint32_t states[] = {NVME_SLOT_FREE, NVME_SLOT_FETCHED, NVME_SLOT_DONE,
					  NVME_SLOT_POSTING};

	state->slots[kind / 4 % 4].state = states[kind % 4];
}

static void spoil(struct bench *bench, struct cursor *input)
{
	uint32_t offset = cursor_u32(input), head = offsetof(struct nvme_state, slots);
	uint8_t *bytes = (uint8_t *)bench->rig.state, kind = cursor_u8(input);

	/* The first slots, and what is before them, are what is in use. */
	offset %= head + 4 * (uint32_t)sizeof(struct nvme_slot);
	for (unsigned count = cursor_u8(input) % 4 + 1; count; count--)
		bytes[(offset + count) % sizeof(*bench->rig.state)] = cursor_u8(input);
	if (kind & 64)
		forge_state(bench->rig.state, kind);
	if (kind & 128)
		forge_checks(bench->rig.state);
	bench->spoilt = true;
	death(bench);
}

static void remap(struct bench *bench, struct cursor *input)
{
	unsigned access = cursor_u8(input) % 4;

	nvme_quiesce(bench->rig.nvme);
	if (bench->rig.waiting_count)
		stop();
	bench->mapped = access == (MEM_READ | MEM_WRITE);
	rig_map(&bench->rig, access);
	mprotect(bench->rig.memory, RIG_MEMORY, access ? PROT_READ | PROT_WRITE : PROT_NONE);
}

static void take_answers(struct bench *bench, struct cursor *input)
{
	unsigned queue = cursor_u8(input) % QUEUES;
	struct nvme_completion entry;

	if (bench->mapped && bench->rig.queues[queue].depth)
		rig_reap(&bench->rig, queue, &entry);
}

static void start_again(struct bench *bench)
{
	nvme_reset(bench->rig.nvme);
	bench->rig.late = false;
	if (!bench->mapped || bench->spoilt)
		return;
	nvme_set_master(bench->rig.nvme, true);
	rig_start(&bench->rig, QUEUES - 1);
	bench->rig.late = true;
}

static void operate(struct bench *bench, struct cursor *input)
{
	switch (cursor_u8(input) % 18) {
	case 0:
		return register_write(bench, input);
	case 1:
		return register_read(bench, input);
	case 2:
		return doorbell(bench, input);
	case 3:
	case 4:
		return command(bench, input);
	case 5:
		return transfer(bench, input);
	case 6:
	case 7:
		if (!nvme_process(bench->rig.nvme))
			(void)nvme_rest(bench->rig.nvme);
		return;
	case 8:
		return answer(bench, input);
	case 9:
		return poke(bench, input);
	case 10:
		return death(bench);
	case 11:
		return spoil(bench, input);
	case 12:
		return start_again(bench);
	case 13:
		return nvme_set_master(bench->rig.nvme, cursor_u8(input) & 3);
	case 14:
		return remap(bench, input);
	case 15:
		bench->rig.late = cursor_u8(input) & 1;
		bench->rig.eager = cursor_u8(input) & 1;
		(void)nvme_resize(bench->rig.nvme,
				  RIG_DISK - (cursor_u8(input) & 7) * UINT64_C(512));
		return;
	case 16:
		return fused(bench, input);
	default:
		return take_answers(bench, input);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct bench bench;
	struct cursor input = cursor_make(data, size);

	uint8_t kind = cursor_u8(&input);

	rig_create(&bench.rig, kind & 1 ? 512 : 4096);
	bench.shared = kind & 2;
	share(&bench);
	bench.mapped = true;
	bench.spoilt = false;
	start_again(&bench);
	for (unsigned i = 0; i < OPERATIONS && input.left && !input.failed; i++)
		operate(&bench, &input);
	nvme_quiesce(bench.rig.nvme);
	if (bench.rig.waiting_count)
		stop();
	rig_destroy(&bench.rig);
	return 0;
}
