/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Doorbells in the guest's memory, of a guest that keeps to the rules on some of its queues and to
 * none on others: any value at any time, memory that comes and goes, queues that are made anew,
 * resets, deaths. The controller sleeps when it may and is woken by nothing but what a card is
 * woken by. A queue on which the rules were kept must never be left with a command that nobody
 * looks at, and its own values never be taken for bad ones.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cursor.h"
#include "nvme_rig.h"

#define OPERATIONS 600u
#define QUEUES	   3u /* the admin queue is one of them */
#define PAGES	   RIG_DATA
#define PAGE	   UINT64_C(4096)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct bench {
	struct rig rig;
	uint64_t shadows, events; /* 0: registers */
	bool awake, mapped, master;
	bool done; /* awake, and nothing was left to do when it looked last: it may try to sleep */
	bool honest[QUEUES];
	unsigned put[QUEUES], taken[QUEUES];
};

static void stop(void)
{
	abort();
}

static void wake(struct bench *bench)
{
	bench->awake = true;
	bench->done = false;
}

static uint32_t *word(struct bench *bench, uint64_t page, unsigned index)
{
	return (uint32_t *)(void *)rig_at(&bench->rig, page) + index;
}

/* Base, annex B. Without shadows every store is a write to the register. */
static void store(struct bench *bench, unsigned index, uint32_t value)
{
	uint32_t old = *word(bench, bench->shadows ? bench->shadows : PAGES, index);
	uint32_t event;

	*word(bench, bench->shadows ? bench->shadows : PAGES, index) = value;
	event = bench->shadows ? *word(bench, bench->events, index) : old;
	if ((uint16_t)(value - event - 1) >= (uint16_t)(value - old) && bench->shadows)
		return;
	rig_write(&bench->rig, NVME_REG_DOORBELLS + 4 * index, bench->shadows ? 0xabcd : value);
	wake(bench);
}

static bool is_up(const struct bench *bench)
{
	return bench->mapped && bench->master;
}

static void submit(struct bench *bench, struct cursor *input)
{
	unsigned id = cursor_u8(input) % (QUEUES - 1) + 1;
	struct rig_queue *queue = &bench->rig.queues[id];
	struct nvme_command command =
		rig_io(&bench->rig, NVME_CMD_READ, 0, 1, RIG_DATA + 64 * PAGE);

	if (!is_up(bench) || bench->put[id] - bench->taken[id] >= queue->depth - 1)
		return;
	memcpy(rig_at(&bench->rig, queue->sq + queue->tail * sizeof(command)), &command,
	       sizeof(command));
	queue->tail = (queue->tail + 1) % queue->depth;
	bench->put[id]++;
	store(bench, 2 * id, queue->tail);
}

static bool take(struct bench *bench, unsigned id)
{
	struct rig_queue *queue = &bench->rig.queues[id];
	struct nvme_completion entry;

	memcpy(&entry, rig_at(&bench->rig, queue->cq + queue->head * sizeof(entry)), sizeof(entry));
	if ((entry.status & 1) != queue->phase)
		return false;
	queue->head = (queue->head + 1) % queue->cq_depth;
	queue->phase ^= queue->head == 0;
	bench->taken[id]++;
	store(bench, 2 * id + 1, queue->head);
	return true;
}

static void work(struct bench *bench)
{
	rig_process(&bench->rig);
	bench->done = true;
}

/* The guest may have stored something since the card looked last. */
static void sleep_if_it_may(struct bench *bench)
{
	bench->awake = nvme_rest(bench->rig.nvme);
	bench->done = false;
}

static void process(struct bench *bench)
{
	do {
		work(bench);
		sleep_if_it_may(bench);
	} while (bench->awake);
}

/* Asleep, and the guest has taken all there is: then it has had all its answers. */
static void settle(struct bench *bench)
{
	bool more = true;

	while (more || bench->awake) {
		if (bench->awake)
			process(bench);
		rig_answer_all(&bench->rig);
		if (bench->rig.late && bench->rig.state->csts & NVME_CSTS_RDY)
			process(bench); /* the store has told */
		more = bench->rig.waiting_count > 0;
		for (unsigned id = 1; id < QUEUES; id++)
			while (bench->honest[id] && take(bench, id))
				more = true;
	}
	for (unsigned id = 1; id < QUEUES; id++)
		if (bench->honest[id] && bench->put[id] != bench->taken[id])
			stop();
}

static uint16_t configure(struct bench *bench, uint64_t shadows, uint64_t events)
{
	wake(bench);
	return rig_do(&bench->rig, 0,
		      (struct nvme_command){.opcode = NVME_ADMIN_DOORBELL_BUFFERS,
					    .prp1 = shadows,
					    .prp2 = events});
}

/* From registers to memory, or on to other pages. */
static void change_pages(struct bench *bench, struct cursor *input)
{
	uint8_t kind = cursor_u8(input);
	uint64_t shadows = PAGES + (kind & 3) * PAGE, events = PAGES + (4 + (kind >> 2 & 3)) * PAGE;
	uint64_t from = bench->shadows ? bench->shadows : PAGES;
	uint32_t kept[2 * QUEUES];

	if (!is_up(bench) || !bench->honest[0])
		return;
	memcpy(kept, rig_at(&bench->rig, from), sizeof(kept));
	if (kind & 16) {
		if (configure(bench, shadows + (kind & 32 ? 4 : 0), kind & 32 ? events : shadows) !=
		    NVME_INVALID_FIELD)
			stop();
		return;
	}
	memcpy(rig_at(&bench->rig, shadows), kept, sizeof(kept));
	if (events != bench->events)
		memset(rig_at(&bench->rig, events), 0, PAGE);
	if (configure(bench, shadows, events) != NVME_OK)
		stop();
	bench->shadows = shadows;
	bench->events = events;
}

static void start_again(struct bench *bench)
{
	struct rig *rig = &bench->rig;

	nvme_reset(rig->nvme);
	bench->shadows = bench->events = 0;
	wake(bench);
	memset(bench->put, 0, sizeof(bench->put));
	memset(bench->taken, 0, sizeof(bench->taken));
	memset(bench->honest, 0, sizeof(bench->honest));
	if (!is_up(bench))
		return;
	memset(rig_at(rig, PAGES), 0, 8 * PAGE);
	rig_enable(rig);
	if (rig_create_cq(rig, 1, 5, 1) != NVME_OK || rig_create_sq(rig, 1, 16, 1) != NVME_OK ||
	    rig_create_cq(rig, 2, 64, 2) != NVME_OK || rig_create_sq(rig, 2, 7, 2) != NVME_OK)
		stop();
	memset(bench->honest, true, sizeof(bench->honest));
}

/* Deleted and made anew, while the other one works. */
static void renew(struct bench *bench, struct cursor *input)
{
	unsigned id = cursor_u8(input) % (QUEUES - 1) + 1, depth = cursor_u8(input) % 60 + 3;
	struct rig *rig = &bench->rig;

	if (!is_up(bench) || !bench->honest[0])
		return;
	wake(bench);
	if (rig_do(rig, 0, (struct nvme_command){.opcode = NVME_ADMIN_DELETE_SQ, .cdw10 = id}) !=
		    NVME_OK ||
	    rig_do(rig, 0, (struct nvme_command){.opcode = NVME_ADMIN_DELETE_CQ, .cdw10 = id}) !=
		    NVME_OK ||
	    rig_create_cq(rig, id, depth, id) != NVME_OK ||
	    rig_create_sq(rig, id, depth, id) != NVME_OK)
		stop();
	if (!bench->shadows)
		memset(word(bench, PAGES, 2 * id), 0, 8);
	bench->put[id] = bench->taken[id] = 0;
	bench->honest[id] = true;
}

/* The rules are not kept: in the pages, or by the register. */
static void spoil(struct bench *bench, struct cursor *input)
{
	unsigned kind = cursor_u8(input), index = kind % (2 * QUEUES);
	uint32_t value = kind & 128 ? cursor_u32(input) : cursor_u8(input) % 65;

	if (!is_up(bench) || index < 2)
		return;
	bench->honest[index / 2] = false;
	if (kind & 64)
		*word(bench, bench->shadows ? bench->shadows : PAGES, index) = value;
	else if (bench->shadows && kind & 32)
		*word(bench, bench->events, index) = value;
	else
		rig_write(&bench->rig, NVME_REG_DOORBELLS + 4 * index, value);
	if (!(kind & 64))
		wake(bench);
}

/* Windows go and come by messages. What an unmapped page cost is the guest's own. */
static void remap(struct bench *bench, struct cursor *input)
{
	unsigned access = cursor_u8(input) % 4;

	nvme_quiesce(bench->rig.nvme);
	bench->mapped = access == (MEM_READ | MEM_WRITE);
	rig_map(&bench->rig, access);
	mprotect(bench->rig.memory, RIG_MEMORY, access ? PROT_READ | PROT_WRITE : PROT_NONE);
	if (bench->rig.state->csts & NVME_CSTS_CFS)
		memset(bench->honest, 0, sizeof(bench->honest));
	wake(bench);
}

static void operate(struct bench *bench, struct cursor *input)
{
	struct rig *rig = &bench->rig;

	switch (cursor_u8(input) % 16) {
	case 0:
	case 1:
	case 2:
		return submit(bench, input);
	case 3:
		if (is_up(bench))
			take(bench, cursor_u8(input) % (QUEUES - 1) + 1);
		return;
	case 4:
		if (bench->awake)
			process(bench);
		return;
	case 5:
		if (bench->done)
			sleep_if_it_may(bench);
		return;
	case 6:
		if (bench->awake)
			work(bench);
		return;
	case 7:
		return spoil(bench, input);
	case 8:
		return change_pages(bench, input);
	case 9:
		return start_again(bench);
	case 10:
		if (rig_restart(rig) < 0)
			stop();
		wake(bench);
		return;
	case 11:
		return remap(bench, input);
	case 12:
		return renew(bench, input);
	case 13:
		bench->master = cursor_u8(input) & 3;
		nvme_set_master(rig->nvme, bench->master);
		wake(bench);
		return;
	case 14:
		rig->late = cursor_u8(input) & 1;
		return;
	default:
		if (is_up(bench))
			settle(bench);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct bench bench;
	struct cursor input = cursor_make(data, size);

	memset(&bench, 0, sizeof(bench));
	rig_create(&bench.rig, 512);
	bench.mapped = bench.master = true;
	start_again(&bench);
	for (unsigned i = 0; i < OPERATIONS && input.left && !input.failed; i++)
		operate(&bench, &input);
	if (is_up(&bench))
		settle(&bench);
	nvme_quiesce(bench.rig.nvme);
	rig_destroy(&bench.rig);
	return 0;
}
