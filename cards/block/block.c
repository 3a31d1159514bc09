/* SPDX-License-Identifier: Apache-2.0 */
#include "block.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>

#include "base/base.h"
#include "gate.h"
#include "os/clock.h"
#include "os/fd.h"

/* A command with the back end. */
struct request {
	struct store_request store; /* first */
	struct block *block;
	struct nvme_io *io;
};

struct block {
	struct card *card;
	struct nvme_setup setup;
	struct nvme *nvme;
	struct store *store;
	struct gate gate;
	bool polls;	    /* the card has a core of its own and never sleeps */
	unsigned under_way; /* requests */
	int alarm;
	struct request requests[NVME_COMMANDS]; /* by the command's slot */
};

const struct pci_identity block_identity = {
	.vendor = KARUTA_PCI_VENDOR,
	.device = 0x0010,
	.subsystem_vendor = KARUTA_PCI_VENDOR,
	.subsystem = 0x0010,
	.class_code = 0x010802, /* NVM Express: drivers bind to this */
	.bars = {{.size = NVME_BAR_SIZE, .is_64bit = true}},
	.msix_vectors = NVME_VECTORS,
	.msix_bar = 0,
	.msix_table_offset = NVME_MSIX_TABLE,
	.msix_pending_offset = NVME_MSIX_PENDING,
};

/* Values that lie in the guest's memory need not come along: any length will do, one descriptor is
 * enough, and KVM need not look at the instruction. The admin queue's are never there. */
#define DOORBELL(number)                                                                           \
	{                                                                                          \
		.region = 0, .offset = NVME_DOORBELLS + 4 * (number)                               \
	}
#define DOORBELLS_8(number)                                                                        \
	DOORBELL(number), DOORBELL((number) + 1), DOORBELL((number) + 2), DOORBELL((number) + 3),  \
		DOORBELL((number) + 4), DOORBELL((number) + 5), DOORBELL((number) + 6),            \
		DOORBELL((number) + 7)

const struct vfu_io_fd block_doorbells[BLOCK_DOORBELLS] = {DOORBELLS_8(2), DOORBELLS_8(10),
							   DOORBELLS_8(18), DOORBELLS_8(26)};

/* The store's ring is bound to its file and a few operations: lib/store/file_ring.h. */
const struct jail_syscall block_system_calls[BLOCK_SYSTEM_CALLS] = {
	{SCMP_SYS(io_uring_enter), "reads, writes, flushes and discards of the store", {{0}}},
	{SCMP_SYS(preadv), "reads of a file in memory", {{0}}},
	{SCMP_SYS(pwritev), "writes of a file in memory", {{0}}},
	{SCMP_SYS(sched_yield), "the kernel's threads for the ring want the core", {{0}}},
	{SCMP_SYS(timerfd_settime),
	 "wake up when a limit lets a command through, or at a late interrupt",
	 {{0}}},
	{SCMP_SYS(fcntl),
	 "the file's lock goes from one process to the next",
	 {{1, UINT32_MAX, F_OFD_SETLK}}},
};

/* ---- from the model to the store ---- */

static const enum store_op store_ops_of[] = {
	[NVME_IO_READ] = STORE_READ,
	[NVME_IO_WRITE] = STORE_WRITE,
	[NVME_IO_FLUSH] = STORE_FLUSH,
	[NVME_IO_DISCARD] = STORE_DISCARD,
};

static void count(struct card *card, const struct nvme_io *io, int error)
{
	if (error)
		return; /* counted as NVME_EVENT_ERROR */
	switch (io->op) {
	case NVME_IO_READ:
		card_count(card, STATUS_CARD_READS, 1);
		card_count(card, STATUS_CARD_READ_BYTES, io->length);
		break;
	case NVME_IO_WRITE:
		card_count(card, STATUS_CARD_WRITES, 1);
		card_count(card, STATUS_CARD_WRITE_BYTES, io->length);
		break;
	case NVME_IO_FLUSH:
		card_count(card, STATUS_CARD_FLUSHES, 1);
		break;
	case NVME_IO_DISCARD:
		break;
	}
}

static void done(struct store_request *store, int error)
{
	struct request *request = (struct request *)store;
	struct block *block = request->block;

	block->under_way--;
	count(block->card, request->io, error);
	nvme_io_done(block->nvme, request->io, error);
}

static struct nvme_state *state_of(const struct block *block)
{
	return card_state(block->card);
}

/* The flush of a shutdown is nobody's command: no queue, no limit. */
static void pass_on(struct block *block, const struct nvme_io *io, struct store_request *request)
{
	const struct nvme_slot *slot = &state_of(block)->slots[io->slot];

	if (block->gate.timer < 0 || slot->state == NVME_SLOT_FREE)
		store_submit(block->store, request);
	else
		gate_submit(&block->gate, slot->queue, request);
}

static void submit(void *context, struct nvme_io *io)
{
	struct block *block = context;
	struct request *request = &block->requests[io->slot];

	request->block = block;
	request->io = io;
	request->store = (struct store_request){
		.op = store_ops_of[io->op],
		.flags = io->fua ? STORE_FUA : 0,
		.offset = io->offset,
		.length = io->length,
		.iov = io->iov,
		.iov_count = io->iov_count,
		.done = done,
	};
	block->under_way++;
	pass_on(block, io, &request->store);
}

static void kick(void *context)
{
	struct block *block = context;

	store_kick(block->store);
}

/* Reads that the page cache could answer are done by now: no need to sleep and be woken for them.
 */
static void poll_store(void *context)
{
	struct block *block = context;

	store_poll(block->store);
}

/*
 * A store has no way to take a request back: what was submitted is waited for. What still waits for
 * a limit is not: the model begins it anew, or nobody asks for it any more. To let it through
 * instead would make a reset the way round every limit.
 */
static void wait_for_store(void *context)
{
	struct block *block = context;

	if (block->gate.waiting) {
		gate_cancel(&block->gate);
		return;
	}
	store_kick(block->store);
	if (block->under_way && block->store->event_fd >= 0)
		os_wait(block->store->event_fd, POLLIN, os_now() + NS_PER_S);
	store_poll(block->store);
}

/* ---- from the model to the frame ---- */

static void interrupt(void *context, unsigned vector)
{
	struct block *block = context;

	card_interrupt(block->card, vector);
}

static void event(void *context, enum nvme_event event, uint64_t value)
{
	struct card *card = ((struct block *)context)->card;
	unsigned long long number = value;

	switch (event) {
	case NVME_EVENT_FORBIDDEN_COMMAND:
		card_security_event(card, "command 0x%02llx, which no guest may give", number);
		break;
	case NVME_EVENT_READ_ONLY_REGISTER:
		card_security_event(card, "write to the read-only register 0x%llx", number);
		break;
	case NVME_EVENT_BAD_DOORBELL:
		card_security_event(card, "impossible value in the doorbell 0x%llx", number);
		break;
	case NVME_EVENT_BAD_POINTER:
		card_security_event(card, "pointer to 0x%llx, which is not the guest's memory",
				    number);
		break;
	case NVME_EVENT_FATAL:
	case NVME_EVENT_ERROR:
		card_count(card, STATUS_CARD_ERRORS, 1);
		break;
	}
}

static int remote_read(void *context, uint64_t address, void *to, uint64_t length)
{
	struct block *block = context;

	return vfu_server_dma_read(card_server(block->card), address, to, length);
}

static int remote_write(void *context, uint64_t address, const void *from, uint64_t length)
{
	struct block *block = context;

	return vfu_server_dma_write(card_server(block->card), address, from, length);
}

static uint64_t wall_clock_ms(void *context)
{
	struct timespec now;

	(void)context;
	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / NS_PER_MS;
}

static void set_alarm(void *context, uint32_t microseconds)
{
	struct block *block = context;
	const struct itimerspec time = {
		.it_value.tv_nsec = (long)(microseconds * NS_PER_US),
	};

	timerfd_settime(block->alarm, 0, &time, NULL);
}

static void use_shadows(void *context, bool on)
{
	struct block *block = context;

	card_offer_doorbells(block->card, on);
}

static const struct nvme_ops nvme_ops = {
	.submit = submit,
	.kick = kick,
	.poll = poll_store,
	.wait = wait_for_store,
	.interrupt = interrupt,
	.event = event,
	.remote_read = remote_read,
	.remote_write = remote_write,
	.now_ms = wall_clock_ms,
	.alarm = set_alarm,
	.shadows = use_shadows,
};

/* ---- what a card calls ---- */

static void store_is_ready(void *context, int fd, uint32_t events)
{
	struct block *block = context;

	(void)fd;
	(void)events;
	store_poll(block->store);
}

static void limit_lets_through(void *context, int fd, uint32_t events)
{
	struct block *block = context;

	(void)fd;
	(void)events;
	gate_release(&block->gate);
}

static void interrupt_is_due(void *context, int fd, uint32_t events)
{
	struct block *block = context;
	uint64_t expirations;

	(void)events;
	if (read(fd, &expirations, sizeof(expirations)) == sizeof(expirations))
		nvme_alarm(block->nvme);
}

static int watch(struct block *block)
{
	struct os_loop *loop = card_loop(block->card);
	int err = 0;

	if (block->store->event_fd >= 0)
		err = os_loop_add(loop, block->store->event_fd, EPOLLIN, store_is_ready, block);
	if (!err)
		err = os_loop_add(loop, block->alarm, EPOLLIN, interrupt_is_due, block);
	if (!err && block->gate.timer >= 0)
		err = os_loop_add(loop, block->gate.timer, EPOLLIN, limit_lets_through, block);
	return err;
}

int block_create(struct block **result, struct card *card, const struct nvme_setup *setup,
		 struct store *store, const struct block_limits *limits, struct error *error)
{
	struct block *block = calloc(1, sizeof(*block));
	int err, timer = limits->timer, alarm = limits->alarm;

	if (!block) {
		store_destroy(store);
		os_close(&timer);
		os_close(&alarm);
		return error_set(error, ENOMEM, "block device: out of memory");
	}
	block->card = card;
	block->store = store;
	block->setup = *setup;
	block->setup.vendor = block_identity.vendor;
	block->setup.subsystem_vendor = block_identity.subsystem_vendor;
	block->gate.store = store;
	block->gate.timer = timer;
	block->alarm = alarm;
	limiter_start(&block->gate.limiter, limits->operations, limits->bytes, os_now());
	err = watch(block);
	if (err)
		error_set(error, -err, "block device: its back end cannot be waited for");
	else
		err = nvme_create(&block->nvme, &block->setup, card_state(card), card_memory(card),
				  &nvme_ops, block, error);
	card_offer_doorbells(card, !err && state_of(block)->shadows);
	block->polls = card_shared(card) != NULL;
	if (!err && block->polls)
		nvme_share_doorbells(block->nvme, card_shared(card));
	if (err) {
		block_destroy(block);
		return err;
	}
	*result = block;
	return 0;
}

void block_destroy(struct block *block)
{
	if (!block)
		return;
	if (block->nvme)
		nvme_destroy(block->nvme);
	if (block->store->event_fd >= 0)
		os_loop_remove(card_loop(block->card), block->store->event_fd);
	if (block->gate.timer >= 0)
		os_loop_remove(card_loop(block->card), block->gate.timer);
	os_close(&block->gate.timer);
	os_loop_remove(card_loop(block->card), block->alarm);
	os_close(&block->alarm);
	store_destroy(block->store);
	free(block);
}

void block_bar_read(struct block *block, uint64_t offset, void *to, uint32_t length)
{
	nvme_register_read(block->nvme, (uint32_t)offset, to, length);
}

void block_bar_write(struct block *block, uint64_t offset, const void *from, uint32_t length)
{
	nvme_register_write(block->nvme, (uint32_t)offset, from, length);
}

void block_reset(struct block *block)
{
	nvme_reset(block->nvme);
}

void block_quiesce(struct block *block)
{
	nvme_quiesce(block->nvme);
}

int block_resize(struct block *block, uint64_t size, struct error *error)
{
	int err = store_grow(block->store, size);

	if (!err)
		err = nvme_resize(block->nvme, size);
	if (err)
		return error_set(error, -err, "a disk of %llu bytes cannot have %llu: %s",
				 (unsigned long long)block->store->size, (unsigned long long)size,
				 strerror(-err));
	return 0;
}

void block_master(struct block *block, bool on)
{
	nvme_set_master(block->nvme, on);
}

/*
 * What the kernel cannot do for the ring without waiting, a thread of its does, on the cores of
 * this one (lib/store/file_ring.c). A card that sleeps gives it the core so; from one that polls it
 * would have it only after some milliseconds.
 */
static void let_helpers_work(const struct block *block)
{
	if (block->polls && block->under_way)
		sched_yield();
}

bool block_work(struct block *block)
{
	/* A controller reset waits for all that is under way, but not for a limit. */
	if (state_of(block)->resetting)
		gate_cancel(&block->gate);
	if (nvme_process(block->nvme))
		return true;
	let_helpers_work(block);
	return false;
}

bool block_rest(struct block *block)
{
	return nvme_rest(block->nvme);
}
