/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small NVMe driver without a guest: it drives a card over the client's half of vfio-user, from
 * memory of its own. For tests and benchmarks; it polls and binds no interrupts. 0 or -errno, or an
 * NVMe status, which is positive.
 */
#ifndef KARUTA_TESTS_NVME_CLIENT_H
#define KARUTA_TESTS_NVME_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nvme/spec.h"
#include "vfu/vfu_client.h"

#define NVME_CLIENT_QUEUES 17u
#define NVME_CLIENT_BASE   UINT64_C(0x40000000) /* where its memory lies for the card */

struct nvme_client_queue {
	struct nvme_command *sq;
	volatile struct nvme_completion *cq;
	uint16_t depth, tail, head, under_way;
	uint16_t rung; /* the tail that the card knows */
	bool phase;
	/* One page of PRP list for each command under way, by command id. */
	uint64_t *lists;
	uint64_t lists_address;
	uint64_t free_ids[16]; /* a bit an id; at most 1024 */
};

struct nvme_client {
	struct vfu_client *link;
	int memory_fd;
	uint8_t *memory;
	uint64_t size, used;
	uint64_t patience_ns;
	volatile uint32_t *doorbells; /* of the card, mapped; NULL: rung by message */
	bool remote; /* the card gets no descriptor: it reaches the memory by messages */
	struct nvme_client_queue queues[NVME_CLIENT_QUEUES]; /* 0: admin */
};

struct nvme_client_answer {
	uint16_t cid;
	uint16_t status; /* NVME_OK, ... */
	uint32_t result;
};

/* Memory that the card will see. The link stays the caller's. */
int nvme_client_create(struct nvme_client *client, uint64_t memory_size);
void nvme_client_destroy(struct nvme_client *client);
/* Page aligned, zeroed, for the client's life; NULL: too much. */
void *nvme_client_alloc(struct nvme_client *client, uint64_t size, uint64_t *address);

/* For vfu_client_create(), with the nvme_client as context: answers the card's messages. */
extern const struct vfu_client_ops nvme_client_memory;

/* Shows the memory to the card on `link` and turns bus mastering on: also to go on with a device
 * that another process of the card had served before. */
int nvme_client_attach(struct nvme_client *client, struct vfu_client *link);
/* Rings every queue with what was rung last: what the process before may not have taken. */
int nvme_client_ring_again(struct nvme_client *client);
/* From reset to ready, with an admin queue. */
int nvme_client_enable(struct nvme_client *client);
int nvme_client_create_queue(struct nvme_client *client, uint16_t queue, uint16_t depth);

/* Puts a command into a queue that has room for it; the doorbell waits for nvme_client_ring().
 * Returns the command id, -EBUSY when there is no room. */
int nvme_client_put(struct nvme_client *client, uint16_t queue, struct nvme_command command);
/* The same with a transfer of `length` bytes at `address`, page aligned or not: fills in the PRPs.
 */
int nvme_client_put_data(struct nvme_client *client, uint16_t queue, struct nvme_command command,
			 uint64_t address, uint32_t length);
int nvme_client_ring(struct nvme_client *client, uint16_t queue);
/* Takes one answer if there is one; 1 or 0. */
int nvme_client_take(struct nvme_client *client, uint16_t queue, struct nvme_client_answer *answer);
/* The same, waiting; -ETIMEDOUT after client->patience_ns. */
int nvme_client_wait(struct nvme_client *client, uint16_t queue, struct nvme_client_answer *answer);

/* One command and its answer, alone in the queue: 0, a status or -errno. */
int nvme_client_do(struct nvme_client *client, uint16_t queue, struct nvme_command command,
		   uint64_t address, uint32_t length, uint32_t *result);
/* Read or write of `blocks` logical blocks, for nvme_client_put_data() or nvme_client_do(). */
struct nvme_command nvme_client_transfer(uint8_t opcode, uint64_t lba, uint32_t blocks,
					 uint32_t flags);

#endif
