/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A block device card: the NVMe model on one side, a store on the other. What the volume and the
 * local-store card share. Its calls are those of `struct card_ops`; the state area is the model's.
 */
#ifndef KARUTA_CARDS_BLOCK_H
#define KARUTA_CARDS_BLOCK_H

#include "card/card.h"
#include "limiter.h"
#include "nvme/nvme.h"
#include "nvme/state.h"
#include "store/store.h"

#define BLOCK_STATE_SIZE sizeof(struct nvme_state)
#ifndef BLOCK_STATE_VERSION /* tests build programs that are older and newer */
#define BLOCK_STATE_VERSION    NVME_STATE_VERSION
#define BLOCK_STATE_OLDER_SIZE NVME_STATE_OLDER_SIZE
#endif
/* Whoever does not know of shadow doorbells would wait for registers that are not written. */
#define BLOCK_STATE_READABLE_FROM NVME_STATE_VERSION
_Static_assert(BLOCK_STATE_SIZE <= CARD_STATE_MAX, "it fits the state area");

/* An NVMe controller: its BAR holds the registers, then MSI-X table and pending bits. */
extern const struct pci_identity block_identity;

/* For the card's table of operations. */
enum { BLOCK_SYSTEM_CALLS = 6 };
extern const struct jail_syscall block_system_calls[BLOCK_SYSTEM_CALLS];

/* What the device may do in a second, and its timers: timerfd(2), non-blocking. */
struct block_limits {
	struct limiter_rate operations, bytes;
	int timer; /* -1: there is no limit */
	int alarm; /* for interrupts that are held back */
};

/* The doorbells of I/O queues: while the guest keeps their values in its memory. */
enum { BLOCK_DOORBELLS = 2 * NVME_IO_QUEUES };
extern const struct vfu_io_fd block_doorbells[BLOCK_DOORBELLS];

/* Of BAR 0: a page of doorbells, for a client that can map it. */
#define BLOCK_SHARED                                                                               \
	{                                                                                          \
		.bar = 0, .offset = NVME_DOORBELLS, .size = NVME_MSIX_TABLE - NVME_DOORBELLS       \
	}

struct block;

/* `setup` is copied, its PCI ids are filled in. `store` and the timers become the block's, even
 * when this fails. The device goes on from card_state(), which begins with a `struct nvme_state`.
 */
int block_create(struct block **block, struct card *card, const struct nvme_setup *setup,
		 struct store *store, const struct block_limits *limits, struct error *error);
/* Nothing is under way any more: after block_quiesce(). NULL is fine. */
void block_destroy(struct block *block);
void block_bar_read(struct block *block, uint64_t offset, void *to, uint32_t length);
void block_bar_write(struct block *block, uint64_t offset, const void *from, uint32_t length);
void block_reset(struct block *block);
void block_quiesce(struct block *block);
/* The store has become longer, and so does the disk: the guest is told. */
int block_resize(struct block *block, uint64_t size, struct error *error);
void block_master(struct block *block, bool on);
bool block_work(struct block *block);
bool block_rest(struct block *block);

#endif
