/* SPDX-License-Identifier: Apache-2.0 */
/* An NVMe driver of the smallest kind, for guests that mean to misuse it: see hostile.c. */
#ifndef KARUTA_GUEST_NVME_H
#define KARUTA_GUEST_NVME_H

#include "guest.h"

#define PAGE	    4096u
#define BLOCK	    4096u
#define DISK	    2048u /* blocks of the volume: hostile.sh makes 8 MiB */
#define QUEUE_DEPTH 64u
#define NO_ANSWER   0xffffu
#define CC_ENABLED  0x00460001u
#define CSTS_FATAL  2u
#define ASYNC_EVENT 0x0cu
#define DOORBELLS   0x1000u
#define READ	    2u
#define WRITE	    1u

struct command {
	uint8_t opcode, flags;
	uint16_t cid;
	uint32_t nsid, cdw2, cdw3;
	uint64_t mptr, prp1, prp2;
	uint32_t cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
};

struct completion {
	uint32_t result, reserved;
	uint16_t sq_head, sq_id, cid, status;
};

struct queue {
	unsigned number, depth, tail, head;
	uint16_t phase;
	struct command *sq;
	volatile struct completion *cq;
};

extern uint64_t nvme_bar;
extern struct queue nvme_admin, nvme_io;

/* The card in slot 1, from reset to an admin queue and an I/O queue, number 1. */
bool nvme_start(void);
bool nvme_wait_status(uint32_t mask, uint32_t value);
void nvme_ring(unsigned queue, bool completion, uint32_t value);
void nvme_put(struct queue *queue, const struct command *command);
/* Status of the next answer, or NO_ANSWER; it is taken, and rung for. */
uint16_t nvme_wait(struct queue *queue, uint32_t *result, uint16_t *cid);
uint16_t nvme_do(struct queue *queue, const struct command *command);
/* Makes both halves of an I/O queue in memory of the caller's. */
uint16_t nvme_make_queue(struct queue *queue, unsigned number, unsigned depth, uint64_t sq,
			 uint64_t cq);
uint16_t nvme_transfer(uint8_t opcode, uint32_t block, const void *page);

#endif
