/* SPDX-License-Identifier: Apache-2.0 */
#include "nvme_client.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "base/base.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/memfd.h"
#include "pci/pci.h"
#include "vfu/vfu_server.h"

#define BAR	    0u
#define ADMIN_DEPTH 64u

int nvme_client_create(struct nvme_client *client, uint64_t memory_size)
{
	void *mapping;
	int err;

	*client = (struct nvme_client){.size = memory_size, .patience_ns = 20 * NS_PER_S};
	client->memory_fd = os_memfd("guest", memory_size);
	if (client->memory_fd < 0)
		return client->memory_fd;
	err = os_map(client->memory_fd, 0, memory_size, true, &mapping);
	if (err)
		os_close(&client->memory_fd);
	else
		client->memory = mapping;
	return err;
}

void nvme_client_destroy(struct nvme_client *client)
{
	os_unmap(client->memory, client->size);
	os_unmap((void *)client->doorbells, NVME_PAGE);
	os_close(&client->memory_fd);
}

void *nvme_client_alloc(struct nvme_client *client, uint64_t size, uint64_t *address)
{
	uint64_t offset = client->used;

	size = align_up(size, NVME_PAGE);
	if (size > client->size - offset)
		return NULL;
	client->used += size;
	*address = NVME_CLIENT_BASE + offset;
	return client->memory + offset;
}

static uint8_t *at(struct nvme_client *client, uint64_t address, uint64_t length)
{
	bool ours = address >= NVME_CLIENT_BASE &&
		    range_within(address - NVME_CLIENT_BASE, length, client->size);

	return ours ? client->memory + (address - NVME_CLIENT_BASE) : NULL;
}

static int memory_read(void *context, uint64_t address, void *to, uint64_t length)
{
	const uint8_t *from = at(context, address, length);

	if (from)
		memcpy(to, from, length);
	return from ? 0 : -EFAULT;
}

static int memory_write(void *context, uint64_t address, const void *from, uint64_t length)
{
	uint8_t *to = at(context, address, length);

	if (to)
		memcpy(to, from, length);
	return to ? 0 : -EFAULT;
}

const struct vfu_client_ops nvme_client_memory = {
	.dma_read = memory_read,
	.dma_write = memory_write,
};

static int read_register(struct nvme_client *client, uint32_t offset, void *to, uint32_t length)
{
	return vfu_client_read(client->link, BAR, offset, to, length);
}

static int write32(struct nvme_client *client, uint32_t offset, uint32_t value)
{
	return vfu_client_write(client->link, BAR, offset, &value, sizeof(value));
}

static int write64(struct nvme_client *client, uint32_t offset, uint64_t value)
{
	return vfu_client_write(client->link, BAR, offset, &value, sizeof(value));
}

/* A card that offers its doorbells is rung by stores. */
static int map_doorbells(struct nvme_client *client)
{
	struct vfu_region_info info;
	void *mapping = NULL;
	int err;

	os_unmap((void *)client->doorbells, NVME_PAGE);
	client->doorbells = NULL;
	err = vfu_client_region(client->link, BAR, &info);
	if (err)
		return err;
	for (size_t i = 0; i < info.area_count && !err && !mapping; i++)
		if (info.areas[i].offset == NVME_REG_DOORBELLS)
			err = os_map(info.fd, info.map_offset + NVME_REG_DOORBELLS, NVME_PAGE, true,
				     &mapping);
	client->doorbells = mapping;
	os_close(&info.fd);
	return err;
}

static int ring(struct nvme_client *client, uint32_t index, uint32_t value, bool wait)
{
	uint32_t offset = NVME_REG_DOORBELLS + 4 * index;

	if (client->doorbells) {
		__atomic_store_n(&client->doorbells[index], value, __ATOMIC_RELEASE);
		return 0;
	}
	return wait ? vfu_client_write(client->link, BAR, offset, &value, sizeof(value))
		    : vfu_client_post(client->link, BAR, offset, &value, sizeof(value));
}

int nvme_client_attach(struct nvme_client *client, struct vfu_client *link)
{
	uint16_t command = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	int err;

	client->link = link;
	err = vfu_client_dma_map(link, NVME_CLIENT_BASE, client->size,
				 client->remote ? -1 : client->memory_fd, 0, true);
	if (!err)
		err = map_doorbells(client);
	return err ? err
		   : vfu_client_write(link, VFU_REGION_CONFIG, PCI_COMMAND, &command,
				      sizeof(command));
}

static int wait_ready(struct nvme_client *client, bool ready)
{
	const struct timespec pause = {.tv_nsec = 100000};
	uint64_t deadline = os_now() + client->patience_ns;
	uint32_t status;
	int err;

	while (!(err = read_register(client, NVME_REG_CSTS, &status, sizeof(status)))) {
		/* A reset ends a fatal status, once it is carried out. */
		if (ready && status & NVME_CSTS_CFS)
			return -EIO;
		if ((status & NVME_CSTS_RDY) == ready)
			return 0;
		if (os_now() > deadline)
			return -ETIMEDOUT;
		nanosleep(&pause, NULL);
	}
	return err;
}

/* Ids 0 .. depth - 2: a queue is full with one entry free. */
static int make_queue(struct nvme_client *client, struct nvme_client_queue *queue, uint16_t depth,
		      uint64_t *sq, uint64_t *cq)
{
	if (depth < 2 || depth > 1024)
		return -EINVAL;
	*queue = (struct nvme_client_queue){.depth = depth, .phase = true};
	queue->sq = nvme_client_alloc(client, depth * sizeof(struct nvme_command), sq);
	queue->cq = nvme_client_alloc(client, depth * sizeof(struct nvme_completion), cq);
	queue->lists =
		nvme_client_alloc(client, (uint64_t)depth * NVME_PAGE, &queue->lists_address);
	for (unsigned id = 0; id < depth - 1u; id++)
		queue->free_ids[id / 64] |= UINT64_C(1) << id % 64;
	return queue->sq && queue->cq && queue->lists ? 0 : -ENOMEM;
}

int nvme_client_enable(struct nvme_client *client)
{
	uint64_t sq, cq;
	int err = write32(client, NVME_REG_CC, 0);

	if (!err)
		err = wait_ready(client, false);
	if (!err)
		err = make_queue(client, &client->queues[0], ADMIN_DEPTH, &sq, &cq);
	if (!err)
		err = write32(client, NVME_REG_AQA, (ADMIN_DEPTH - 1) << 16 | (ADMIN_DEPTH - 1));
	if (!err)
		err = write64(client, NVME_REG_ASQ, sq);
	if (!err)
		err = write64(client, NVME_REG_ACQ, cq);
	if (!err)
		err = write32(client, NVME_REG_CC, NVME_CC_EN | NVME_SQES << 16 | NVME_CQES << 20);
	return err ? err : wait_ready(client, true);
}

int nvme_client_create_queue(struct nvme_client *client, uint16_t queue, uint16_t depth)
{
	struct nvme_command create = {.opcode = NVME_ADMIN_CREATE_CQ};
	uint64_t sq, cq;
	int err = queue && queue < NVME_CLIENT_QUEUES ? 0 : -EINVAL;

	if (!err)
		err = make_queue(client, &client->queues[queue], depth, &sq, &cq);
	if (err)
		return err;
	create.prp1 = cq;
	create.cdw10 = (depth - 1u) << 16 | queue;
	create.cdw11 = 1; /* contiguous, no interrupts */
	err = nvme_client_do(client, 0, create, 0, 0, NULL);
	if (err)
		return err;
	create.opcode = NVME_ADMIN_CREATE_SQ;
	create.prp1 = sq;
	create.cdw11 = (uint32_t)queue << 16 | 1;
	return nvme_client_do(client, 0, create, 0, 0, NULL);
}

static int take_id(struct nvme_client_queue *queue)
{
	for (unsigned word = 0; word < ARRAY_LEN(queue->free_ids); word++) {
		if (queue->free_ids[word]) {
			int bit = __builtin_ctzll(queue->free_ids[word]);

			queue->free_ids[word] &= queue->free_ids[word] - 1;
			return (int)(word * 64) + bit;
		}
	}
	return -EBUSY;
}

static int put(struct nvme_client_queue *queue, struct nvme_command command, int id)
{
	command.cid = (uint16_t)id;
	queue->sq[queue->tail] = command;
	queue->tail = (uint16_t)((queue->tail + 1) % queue->depth);
	queue->under_way++;
	return id;
}

int nvme_client_put(struct nvme_client *client, uint16_t queue, struct nvme_command command)
{
	int id = take_id(&client->queues[queue]);

	return id < 0 ? id : put(&client->queues[queue], command, id);
}

/* Base 2.0, 4.1.1: two pages in the command itself, more in a list. */
int nvme_client_put_data(struct nvme_client *client, uint16_t number, struct nvme_command command,
			 uint64_t address, uint32_t length)
{
	struct nvme_client_queue *queue = &client->queues[number];
	uint64_t next = align_down(address, NVME_PAGE) + NVME_PAGE, end = address + length;
	int id = take_id(queue);
	uint64_t *list;

	if (id < 0)
		return id;
	list = queue->lists + (size_t)id * (NVME_PAGE / sizeof(*list));
	command.prp1 = address;
	if (next < end && end - next <= NVME_PAGE) {
		command.prp2 = next;
	} else if (next < end) {
		command.prp2 = queue->lists_address + (uint64_t)id * NVME_PAGE;
		for (; next < end; next += NVME_PAGE)
			*list++ = next;
	}
	return put(queue, command, id);
}

int nvme_client_ring(struct nvme_client *client, uint16_t number)
{
	struct nvme_client_queue *queue = &client->queues[number];

	if (queue->rung == queue->tail)
		return 0;
	atomic_thread_fence(memory_order_release);
	queue->rung = queue->tail;
	return ring(client, 2u * number, queue->tail, true);
}

int nvme_client_ring_again(struct nvme_client *client)
{
	int err = 0;

	atomic_thread_fence(memory_order_release);
	for (unsigned i = 0; i < NVME_CLIENT_QUEUES && !err; i++) {
		const struct nvme_client_queue *queue = &client->queues[i];

		if (!queue->depth)
			continue;
		err = ring(client, 2 * i, queue->rung, true);
		if (!err)
			err = ring(client, 2 * i + 1, queue->head, true);
	}
	return err;
}

int nvme_client_take(struct nvme_client *client, uint16_t number, struct nvme_client_answer *answer)
{
	struct nvme_client_queue *queue = &client->queues[number];
	volatile struct nvme_completion *entry = &queue->cq[queue->head];
	uint16_t status = entry->status;

	if ((status & 1) != queue->phase)
		return 0;
	atomic_thread_fence(memory_order_acquire);
	*answer = (struct nvme_client_answer){
		.cid = entry->cid, .status = status >> 1, .result = entry->result};
	queue->head = (uint16_t)((queue->head + 1) % queue->depth);
	queue->phase ^= !queue->head;
	queue->under_way--;
	queue->free_ids[answer->cid / 64] |= UINT64_C(1) << answer->cid % 64;
	/* The card may use the entry again. */
	ring(client, 2u * number + 1, queue->head, false);
	return 1;
}

int nvme_client_wait(struct nvme_client *client, uint16_t queue, struct nvme_client_answer *answer)
{
	uint64_t deadline = os_now() + client->patience_ns;

	while (!nvme_client_take(client, queue, answer)) {
		if (client->remote)
			vfu_client_poll(client->link);
		if (vfu_client_is_dead(client->link))
			return -EPIPE;
		if (os_now() > deadline)
			return -ETIMEDOUT;
		sched_yield();
	}
	return 0;
}

int nvme_client_do(struct nvme_client *client, uint16_t queue, struct nvme_command command,
		   uint64_t address, uint32_t length, uint32_t *result)
{
	struct nvme_client_answer answer;
	int err = length ? nvme_client_put_data(client, queue, command, address, length)
			 : nvme_client_put(client, queue, command);

	if (err >= 0)
		err = nvme_client_ring(client, queue);
	if (!err)
		err = nvme_client_wait(client, queue, &answer);
	if (err)
		return err;
	if (result)
		*result = answer.result;
	return answer.status;
}

struct nvme_command nvme_client_transfer(uint8_t opcode, uint64_t lba, uint32_t blocks,
					 uint32_t flags)
{
	return (struct nvme_command){.opcode = opcode,
				     .nsid = 1,
				     .cdw10 = (uint32_t)lba,
				     .cdw11 = (uint32_t)(lba >> 32),
				     .cdw12 = (blocks - 1) | flags};
}
