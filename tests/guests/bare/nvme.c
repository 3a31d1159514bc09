/* SPDX-License-Identifier: Apache-2.0 */
#include "nvme.h"

#define PATIENCE 400000u /* exits */

uint64_t nvme_bar;
struct queue nvme_admin, nvme_io;

static struct command admin_sq[QUEUE_DEPTH] __attribute__((aligned(PAGE)));
static struct command io_sq[QUEUE_DEPTH] __attribute__((aligned(PAGE)));
static volatile struct completion admin_cq[QUEUE_DEPTH] __attribute__((aligned(PAGE)));
static volatile struct completion io_cq[QUEUE_DEPTH] __attribute__((aligned(PAGE)));

static void reset_queue(struct queue *queue, unsigned number, unsigned depth, uint64_t sq,
			uint64_t cq)
{
	queue->number = number;
	queue->depth = depth;
	queue->tail = queue->head = 0;
	queue->phase = 1;
	queue->sq = (struct command *)sq;
	queue->cq = (struct completion *)cq;
	for (unsigned i = 0; i < depth; i++)
		queue->cq[i].status = 0;
}

bool nvme_wait_status(uint32_t mask, uint32_t value)
{
	for (unsigned i = 0; i < PATIENCE; i++)
		if ((read32(nvme_bar + 0x1c) & mask) == value)
			return true;
	return false;
}

void nvme_ring(unsigned queue, bool completion, uint32_t value)
{
	write32(nvme_bar + DOORBELLS + 8 * queue + 4 * completion, value);
}

void nvme_put(struct queue *queue, const struct command *command)
{
	queue->sq[queue->tail] = *command;
	queue->tail = (queue->tail + 1) % queue->depth;
}

uint16_t nvme_wait(struct queue *queue, uint32_t *result, uint16_t *cid)
{
	volatile struct completion *entry = &queue->cq[queue->head];
	uint16_t status;

	for (unsigned i = 0; (entry->status & 1) != queue->phase; i++) {
		if (i == PATIENCE)
			return NO_ANSWER;
		inb(0x80);
	}
	status = entry->status >> 1;
	if (result)
		*result = entry->result;
	if (cid)
		*cid = entry->cid;
	queue->head = (queue->head + 1) % queue->depth;
	queue->phase ^= !queue->head;
	nvme_ring(queue->number, true, queue->head);
	return status;
}

uint16_t nvme_do(struct queue *queue, const struct command *command)
{
	nvme_put(queue, command);
	nvme_ring(queue->number, false, queue->tail);
	return nvme_wait(queue, NULL, NULL);
}

uint16_t nvme_make_queue(struct queue *queue, unsigned number, unsigned depth, uint64_t sq,
			 uint64_t cq)
{
	struct command create = {
		.opcode = 5, .prp1 = cq, .cdw10 = (depth - 1) << 16 | number, .cdw11 = 1};
	uint16_t status = nvme_do(&nvme_admin, &create);

	if (status)
		return status;
	create.opcode = 1;
	create.prp1 = sq;
	create.cdw11 = number << 16 | 1;
	reset_queue(queue, number, depth, sq, cq);
	return nvme_do(&nvme_admin, &create);
}

bool nvme_start(void)
{
	nvme_bar = map_bar(1);
	write32(config(1, 0x14), 0);
	write32(nvme_bar + 0x14, 0);
	if (!nvme_wait_status(1, 0))
		return false;
	reset_queue(&nvme_admin, 0, QUEUE_DEPTH, (uint64_t)admin_sq, (uint64_t)admin_cq);
	write32(nvme_bar + 0x24, (QUEUE_DEPTH - 1) << 16 | (QUEUE_DEPTH - 1));
	write64(nvme_bar + 0x28, (uint64_t)admin_sq);
	write64(nvme_bar + 0x30, (uint64_t)admin_cq);
	write32(nvme_bar + 0x14, CC_ENABLED);
	return nvme_wait_status(3, 1) &&
	       !nvme_make_queue(&nvme_io, 1, QUEUE_DEPTH, (uint64_t)io_sq, (uint64_t)io_cq);
}

uint16_t nvme_transfer(uint8_t opcode, uint32_t block, const void *page)
{
	struct command command = {
		.opcode = opcode, .nsid = 1, .prp1 = (uint64_t)page, .cdw10 = block};

	return nvme_do(&nvme_io, &command);
}
