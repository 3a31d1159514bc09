/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile driver on a real volume card. Beside it another volume does I/O all the time, and
 * verifies it: it notices nothing.
 */
#ifndef KARUTA_TESTS_HOSTILE_HARNESS_H
#define KARUTA_TESTS_HOSTILE_HARNESS_H

#include "volume_harness.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "nvme/nvme.h"

#define REGISTERS UINT64_C(0xd0000000) /* where a hypervisor would put the BAR: no memory */
#define NOWHERE	  UINT64_C(0x700000000000)

/* ---- the neighbour ---- */

struct neighbour {
	struct fixture *fixture;
	pthread_t thread;
	atomic_bool stop;
	atomic_uint rounds, errors;
};

static struct neighbour neighbour;

static inline bool verify_round(struct neighbour *self, unsigned round, uint8_t *data,
				uint64_t address)
{
	struct nvme_client *nvme = &self->fixture->nvme;
	struct nvme_command write, read;
	uint8_t expected[8 * BLOCK];
	uint64_t lba = round * 8 % (VOLUME_SIZE / BLOCK);

	fill(expected, sizeof(expected), round);
	memcpy(data, expected, sizeof(expected));
	write = nvme_client_transfer(NVME_CMD_WRITE, lba, 8, 0);
	read = nvme_client_transfer(NVME_CMD_READ, lba, 8, 0);
	if (nvme_client_do(nvme, QUEUE, write, address, sizeof(expected), NULL))
		return false;
	memset(data, 0, sizeof(expected));
	return !nvme_client_do(nvme, QUEUE, read, address, sizeof(expected), NULL) &&
	       !memcmp(data, expected, sizeof(expected));
}

static inline void *verify(void *context)
{
	struct neighbour *self = context;
	uint64_t address;
	uint8_t *data = nvme_client_alloc(&self->fixture->nvme, 8 * BLOCK, &address);

	for (unsigned round = 0; !self->stop; round++) {
		if (!verify_round(self, round, data, address))
			self->errors++;
		self->rounds++;
		usleep(1000);
	}
	return NULL;
}

static inline int start_neighbour(void **state)
{
	void *fixture;

	(void)state;
	setup(&fixture);
	neighbour.fixture = fixture;
	start_and_enable(neighbour.fixture, USUAL(neighbour.fixture));
	return pthread_create(&neighbour.thread, NULL, verify, &neighbour);
}

static inline int stop_neighbour(void **state)
{
	void *fixture = neighbour.fixture;

	(void)state;
	neighbour.stop = true;
	pthread_join(neighbour.thread, NULL);
	if (neighbour.errors || !neighbour.rounds)
		return -1;
	end(neighbour.fixture);
	return teardown(&fixture);
}

static inline void neighbour_notices_nothing(void)
{
	unsigned rounds = neighbour.rounds;

	for (unsigned i = 0; i < PATIENCE_MS && neighbour.rounds < rounds + 2; i++)
		usleep(1000);
	assert_true(neighbour.rounds >= rounds + 2);
	assert_int_equal(neighbour.errors, 0);
}

/* ---- what is left of the hostile one's device ---- */

static inline void still_works(struct fixture *fixture)
{
	uint64_t address;
	uint8_t *data = buffer(fixture, BLOCK, &address);

	fill(data, BLOCK, 77);
	assert_int_equal(write_blocks(fixture, 7, 1, address), 0);
	memset(data, 0, BLOCK);
	assert_int_equal(read_blocks(fixture, 7, 1, address), 0);
	assert_int_equal(data[1], (uint8_t)((2654435761u + 77) >> 13));
	neighbour_notices_nothing();
}

static inline void enable_again(struct fixture *fixture)
{
	fixture->nvme.used = 0;
	memset(fixture->nvme.memory, 0, MEMORY_SIZE);
	assert_int_equal(nvme_client_enable(&fixture->nvme), 0);
	assert_int_equal(nvme_client_create_queue(&fixture->nvme, QUEUE, DEPTH), 0);
}

static inline uint32_t read_register(struct fixture *fixture, uint32_t offset)
{
	return (uint32_t)harness_read(&fixture->harness, 0, offset, 4);
}

static inline void write_register(struct fixture *fixture, uint32_t offset, uint32_t value)
{
	harness_write(&fixture->harness, 0, offset, 4, value);
}

static inline void ring(struct fixture *fixture, unsigned queue, bool completion, uint32_t value)
{
	write_register(fixture, NVME_REG_DOORBELLS + 8 * queue + 4 * completion, value);
}

static inline void fails_fatally(struct fixture *fixture)
{
	for (unsigned i = 0; i < PATIENCE_MS; i++) {
		if (read_register(fixture, NVME_REG_CSTS) & NVME_CSTS_CFS)
			return;
		usleep(1000);
	}
	fail_msg("no fatal status");
}

static inline int admin(struct fixture *fixture, struct nvme_command command)
{
	return nvme_client_do(&fixture->nvme, 0, command, 0, 0, NULL);
}

static inline uint64_t events_of(const struct fixture *fixture)
{
	return harness_status(&fixture->harness).counters[STATUS_CARD_SECURITY_EVENTS];
}

/* ---- queues that the client's half of these tests would not make ---- */

struct raw {
	uint16_t number;
	uint32_t depth, cq_depth, tail, head;
	bool phase;
	struct nvme_command *sq;
	volatile struct nvme_completion *cq;
};

static inline void raw_create(struct fixture *fixture, struct raw *raw, uint16_t number,
			      uint32_t depth, uint32_t cq_depth)
{
	struct nvme_command create = {.opcode = NVME_ADMIN_CREATE_CQ};
	uint64_t sq, cq;

	*raw = (struct raw){.number = number, .depth = depth, .cq_depth = cq_depth, .phase = true};
	raw->sq = (void *)buffer(fixture, depth * sizeof(*raw->sq), &sq);
	raw->cq = (void *)buffer(fixture, cq_depth * sizeof(*raw->cq), &cq);
	create.prp1 = cq;
	create.cdw10 = (cq_depth - 1) << 16 | number;
	create.cdw11 = (uint32_t)number << 16 | 3; /* a vector of its own */
	assert_int_equal(admin(fixture, create), 0);
	create.opcode = NVME_ADMIN_CREATE_SQ;
	create.prp1 = sq;
	create.cdw10 = (depth - 1) << 16 | number;
	create.cdw11 = (uint32_t)number << 16 | 1;
	assert_int_equal(admin(fixture, create), 0);
}

static inline void raw_put(struct raw *raw, struct nvme_command command)
{
	raw->sq[raw->tail] = command;
	raw->tail = (raw->tail + 1) % raw->depth;
}

/* Rings for none of them. */
static inline bool raw_take(struct raw *raw, uint16_t *cid, uint16_t *status)
{
	volatile struct nvme_completion *entry = &raw->cq[raw->head];
	uint16_t value = entry->status;

	if ((value & 1) != raw->phase)
		return false;
	atomic_thread_fence(memory_order_acquire);
	*cid = entry->cid;
	*status = value >> 1;
	raw->head = (raw->head + 1) % raw->cq_depth;
	raw->phase ^= !raw->head;
	return true;
}

static inline void raw_wait(struct fixture *fixture, struct raw *raw, uint16_t *cid,
			    uint16_t *status)
{
	uint64_t deadline = os_now() + PATIENCE_MS * NS_PER_MS;

	while (!raw_take(raw, cid, status)) {
		assert_true(os_now() < deadline);
		sched_yield();
	}
	ring(fixture, raw->number, true, raw->head);
}

#endif
