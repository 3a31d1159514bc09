/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "nvme_rig.h"

#define PAGE UINT64_C(4096)
/* Guest memory: rings of queue n at n * 128 KiB, PRP lists at 3 MiB, data from 4 MiB on. */
#define RINGS (UINT64_C(128) << 10)
#define LISTS (RIG_BASE + (UINT64_C(3) << 20))

static void fatal(const char *what)
{
	fprintf(stderr, "nvme rig: %s\n", what);
	abort();
}

static void carry_out(struct rig *rig, struct nvme_io *io)
{
	uint8_t *disk = rig->disk + io->offset;

	if (io->op == NVME_IO_DISCARD)
		memset(disk, 0, io->length);
	for (size_t i = 0; i < io->iov_count && io->op <= NVME_IO_WRITE; i++) {
		const struct iovec *iov = &io->iov[i];

		if (io->op == NVME_IO_READ)
			memcpy(iov->iov_base, disk, iov->iov_len);
		else
			memcpy(disk, iov->iov_base, iov->iov_len);
		disk += iov->iov_len;
	}
}

static void check_request(const struct rig *rig, const struct nvme_io *io)
{
	uint64_t sum = 0;

	if (io->slot >= NVME_COMMANDS)
		fatal("slot out of range");
	if (io->op == NVME_IO_FLUSH)
		return;
	if (io->length == 0 || io->offset > RIG_DISK || io->length > RIG_DISK - io->offset ||
	    io->offset % rig->setup.lba_size || io->length % rig->setup.lba_size)
		fatal("request out of range");
	for (size_t i = 0; i < io->iov_count && io->op <= NVME_IO_WRITE; i++)
		sum += io->iov[i].iov_len;
	if (io->op <= NVME_IO_WRITE && sum != io->length)
		fatal("pieces do not sum to the length");
}

static void finish(struct rig *rig, struct nvme_io *io, int error)
{
	if (!error && rig->fail_count) {
		rig->fail_count--;
		error = rig->fail;
	}
	if (!error)
		carry_out(rig, io);
	nvme_io_done(rig->nvme, io, error);
}

static void submit(void *context, struct nvme_io *io)
{
	struct rig *rig = context;

	check_request(rig, io);
	rig->submitted++;
	rig->flushes += io->op == NVME_IO_FLUSH;
	rig->discards += io->op == NVME_IO_DISCARD;
	rig->last_fua = io->fua;
	if (!rig->late) {
		finish(rig, io, 0);
		return;
	}
	for (unsigned i = 0; i < rig->waiting_count; i++)
		if (rig->waiting[i]->slot == io->slot)
			fatal("slot twice");
	rig->waiting[rig->waiting_count++] = io;
}

static void kick(void *context)
{
	struct rig *rig = context;

	rig->kicks++;
	if (rig->prompt)
		rig_answer_all(rig);
}

void rig_answer(struct rig *rig, unsigned which, int error)
{
	struct nvme_io *io = rig->waiting[which];

	rig->waiting_count--;
	memmove(&rig->waiting[which], &rig->waiting[which + 1],
		(rig->waiting_count - which) * sizeof(rig->waiting[0]));
	finish(rig, io, error);
}

static void poll(void *context)
{
	struct rig *rig = context;

	if (rig->eager)
		rig_answer_all(rig);
}

static void wait(void *context)
{
	struct rig *rig = context;

	rig->waits++;
	if (!rig->waiting_count)
		fatal("waits for nothing");
	rig_answer(rig, 0, 0);
}

static void interrupt(void *context, unsigned vector)
{
	struct rig *rig = context;

	if (vector >= NVME_VECTORS)
		fatal("vector out of range");
	if (!rig->state->master)
		fatal("interrupt without bus mastering");
	rig->interrupts[vector]++;
}

static void event(void *context, enum nvme_event what, uint64_t value)
{
	struct rig *rig = context;

	rig->events[what]++;
	rig->last_event[what] = value;
}

static int remote_read(void *context, uint64_t address, void *to, uint64_t length)
{
	struct rig *rig = context;

	if (rig->no_messages)
		return -EDEADLK;
	rig->remote_reads++;
	memcpy(to, rig->memory + (address - RIG_REMOTE), length);
	return 0;
}

static int remote_write(void *context, uint64_t address, const void *from, uint64_t length)
{
	struct rig *rig = context;

	if (rig->no_messages)
		return -EDEADLK;
	rig->remote_writes++;
	memcpy(rig->memory + (address - RIG_REMOTE), from, length);
	return 0;
}

static uint64_t now_ms(void *context)
{
	return ((struct rig *)context)->now;
}

static void set_alarm(void *context, uint32_t microseconds)
{
	struct rig *rig = context;

	if (rig->alarm || !microseconds)
		fatal("an alarm too many, or for never");
	rig->alarm = microseconds;
}

static void shadows(void *context, bool on)
{
	((struct rig *)context)->shadows = on;
}

static const struct nvme_ops rig_ops = {
	.submit = submit,
	.kick = kick,
	.poll = poll,
	.wait = wait,
	.interrupt = interrupt,
	.event = event,
	.remote_read = remote_read,
	.remote_write = remote_write,
	.now_ms = now_ms,
	.alarm = set_alarm,
	.shadows = shadows,
};

static void *shared(uint64_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		fatal("no memory");
	return memory;
}

void rig_map(struct rig *rig, unsigned access)
{
	struct mem_window here = {RIG_BASE, RIG_MEMORY, access, rig->memory};
	struct mem_window remote = {RIG_REMOTE, RIG_MEMORY, access, NULL};

	mem_remove(rig->map, RIG_BASE, RIG_MEMORY, NULL);
	mem_remove(rig->map, RIG_REMOTE, RIG_MEMORY, NULL);
	if (access && (mem_add(rig->map, &here) < 0 || mem_add(rig->map, &remote) < 0))
		fatal("no window");
}

static int make(struct rig *rig)
{
	struct error error;

	return nvme_create(&rig->nvme, &rig->setup, rig->state, rig->map, &rig_ops, rig, &error);
}

void rig_create(struct rig *rig, uint32_t lba_size)
{
	memset(rig, 0, sizeof(*rig));
	rig->setup = (struct nvme_setup){.size = RIG_DISK, .lba_size = lba_size, .vendor = 0x4b52};
	memset(rig->setup.serial, ' ', sizeof(rig->setup.serial));
	memset(rig->setup.model, ' ', sizeof(rig->setup.model));
	memcpy(rig->setup.firmware, "1.0     ", sizeof(rig->setup.firmware));
	memset(rig->setup.nguid, 0x5a, sizeof(rig->setup.nguid));
	rig->memory = shared(RIG_MEMORY);
	rig->disk = shared(RIG_DISK);
	rig->state = shared(sizeof(*rig->state));
	rig->now = 1000000;
	if (mem_create(&rig->map, 16) < 0)
		fatal("no map");
	rig_map(rig, MEM_READ | MEM_WRITE);
	if (make(rig) < 0)
		fatal("no controller");
	nvme_set_master(rig->nvme, true);
}

void rig_destroy(struct rig *rig)
{
	nvme_destroy(rig->nvme);
	mem_destroy(rig->map);
	munmap(rig->memory, RIG_MEMORY);
	munmap(rig->disk, RIG_DISK);
	munmap(rig->state, sizeof(*rig->state));
}

int rig_restart(struct rig *rig)
{
	nvme_destroy(rig->nvme);
	rig->nvme = NULL;
	rig->waiting_count = 0;
	rig->alarm = 0;
	return make(rig);
}

uint32_t rig_read(struct rig *rig, uint32_t offset)
{
	uint32_t value;

	nvme_register_read(rig->nvme, offset, &value, sizeof(value));
	return value;
}

void rig_write(struct rig *rig, uint32_t offset, uint32_t value)
{
	nvme_register_write(rig->nvme, offset, &value, sizeof(value));
}

uint8_t *rig_at(struct rig *rig, uint64_t address)
{
	if (address >= RIG_REMOTE)
		return rig->memory + (address - RIG_REMOTE);
	return rig->memory + (address - RIG_BASE);
}

static void lay_out(struct rig *rig, unsigned id, uint32_t depth, uint32_t cq_depth)
{
	struct rig_queue *queue = &rig->queues[id];

	*queue = (struct rig_queue){
		.sq = RIG_BASE + id * RINGS,
		.cq = RIG_BASE + id * RINGS + RINGS / 2,
		.depth = depth,
		.cq_depth = cq_depth,
		.phase = true,
	};
	memset(rig_at(rig, queue->cq), 0, cq_depth * sizeof(struct nvme_completion));
}

void rig_enable(struct rig *rig)
{
	uint64_t base;

	lay_out(rig, 0, RIG_DEPTH, RIG_DEPTH);
	rig_write(rig, NVME_REG_AQA, (RIG_DEPTH - 1) << 16 | (RIG_DEPTH - 1));
	base = rig->queues[0].sq;
	nvme_register_write(rig->nvme, NVME_REG_ASQ, &base, sizeof(base));
	base = rig->queues[0].cq;
	nvme_register_write(rig->nvme, NVME_REG_ACQ, &base, sizeof(base));
	rig_write(rig, NVME_REG_CC, NVME_CC_EN | NVME_SQES << 16 | NVME_CQES << 20);
	rig_process(rig);
}

void rig_start(struct rig *rig, unsigned count)
{
	rig_enable(rig);
	for (unsigned queue = 1; queue <= count; queue++)
		if (rig_create_cq(rig, queue, RIG_DEPTH, queue) != NVME_OK ||
		    rig_create_sq(rig, queue, RIG_DEPTH, queue) != NVME_OK)
			fatal("no queue");
}

uint16_t rig_submit(struct rig *rig, unsigned id, struct nvme_command command)
{
	struct rig_queue *queue = &rig->queues[id];

	command.cid = rig->next_cid++;
	memcpy(rig_at(rig, queue->sq + queue->tail * sizeof(command)), &command, sizeof(command));
	queue->tail = (queue->tail + 1) % queue->depth;
	rig_write(rig, NVME_REG_DOORBELLS + 8 * id, queue->tail);
	return command.cid;
}

void rig_process(struct rig *rig)
{
	for (unsigned i = 0; nvme_process(rig->nvme); i++)
		if (i == 10000)
			fatal("never at its end");
}

void rig_answer_all(struct rig *rig)
{
	while (rig->waiting_count)
		rig_answer(rig, 0, 0);
}

bool rig_reap(struct rig *rig, unsigned id, struct nvme_completion *entry)
{
	struct rig_queue *queue = &rig->queues[id];

	memcpy(entry, rig_at(rig, queue->cq + queue->head * sizeof(*entry)), sizeof(*entry));
	if ((entry->status & 1) != queue->phase)
		return false;
	queue->head = (queue->head + 1) % queue->cq_depth;
	queue->phase ^= queue->head == 0;
	rig_write(rig, NVME_REG_DOORBELLS + 8 * id + 4, queue->head);
	return true;
}

uint16_t rig_do_result(struct rig *rig, unsigned queue, struct nvme_command command,
		       uint32_t *result)
{
	uint16_t cid = rig_submit(rig, queue, command);
	struct nvme_completion entry;

	for (unsigned i = 0; i < 1000; i++) {
		rig_process(rig);
		rig_answer_all(rig);
		if (!rig_reap(rig, queue, &entry))
			continue;
		if (entry.cid != cid)
			fatal("answer of another command");
		*result = entry.result;
		return entry.status >> 1;
	}
	fatal("no answer");
	return 0;
}

uint16_t rig_do(struct rig *rig, unsigned queue, struct nvme_command command)
{
	uint32_t result;

	return rig_do_result(rig, queue, command, &result);
}

/* A PRP list at LISTS, one page of it after the other. */
static uint64_t make_list(struct rig *rig, uint64_t address, uint64_t pages)
{
	uint64_t list = LISTS;

	for (uint64_t i = 0, at = 0; i < pages; i++, at++) {
		if (at == PAGE / 8 - 1 && i + 1 < pages) {
			uint64_t next = list + PAGE;

			memcpy(rig_at(rig, list + at * 8), &next, sizeof(next));
			list = next;
			at = 0;
		}
		memcpy(rig_at(rig, list + at * 8), &(uint64_t){address + i * PAGE}, 8);
	}
	return LISTS;
}

struct nvme_command rig_io(struct rig *rig, uint8_t opcode, uint64_t lba, uint32_t blocks,
			   uint64_t address)
{
	uint64_t length = (uint64_t)blocks * rig->setup.lba_size;
	uint64_t first = PAGE - address % PAGE;
	struct nvme_command command = {
		.opcode = opcode,
		.nsid = 1,
		.prp1 = address,
		.cdw10 = (uint32_t)lba,
		.cdw11 = (uint32_t)(lba >> 32),
		.cdw12 = blocks - 1,
	};

	if (length > first + PAGE)
		command.prp2 = make_list(rig, address + first, (length - first + PAGE - 1) / PAGE);
	else if (length > first)
		command.prp2 = address + first;
	return command;
}

uint16_t rig_create_cq(struct rig *rig, unsigned id, uint32_t depth, unsigned vector)
{
	lay_out(rig, id, depth, depth);
	return rig_do(rig, 0,
		      (struct nvme_command){
			      .opcode = NVME_ADMIN_CREATE_CQ,
			      .prp1 = rig->queues[id].cq,
			      .cdw10 = (depth - 1) << 16 | id,
			      .cdw11 = vector << 16 | 3,
		      });
}

uint16_t rig_create_sq(struct rig *rig, unsigned id, uint32_t depth, unsigned cq)
{
	rig->queues[id].depth = depth;
	rig->queues[id].tail = 0;
	if (cq != id)
		rig->queues[id].sq = RIG_BASE + id * RINGS;
	return rig_do(rig, 0,
		      (struct nvme_command){
			      .opcode = NVME_ADMIN_CREATE_SQ,
			      .prp1 = rig->queues[id].sq,
			      .cdw10 = (depth - 1) << 16 | id,
			      .cdw11 = cq << 16 | 1,
		      });
}
