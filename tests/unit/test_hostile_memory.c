/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile driver's memory: data pointers of all kinds, memory that changes while it is read or
 * goes away, resets with commands under way, and as many commands as there can be.
 */
#include "hostile_harness.h"

#include <sys/eventfd.h>

#define ALIAS UINT64_C(0x80000000) /* the client's memory once more */

/* ---- data pointers ---- */

#define LIST_PAGES 4u

struct pointers {
	uint64_t data, list; /* pages of the client's: 1 MiB + 1 page; LIST_PAGES */
	uint64_t *entries;
};

static struct pointers make_pointers(struct fixture *fixture)
{
	struct pointers pointers;

	buffer(fixture, NVME_MAX_TRANSFER + BLOCK, &pointers.data);
	pointers.entries = (void *)buffer(fixture, LIST_PAGES * BLOCK, &pointers.list);
	return pointers;
}

static int with_pointers(struct fixture *fixture, uint8_t opcode, uint32_t blocks, uint64_t prp1,
			 uint64_t prp2)
{
	struct nvme_command command = nvme_client_transfer(opcode, 0, blocks, 0);

	command.prp1 = prp1;
	command.prp2 = prp2;
	return nvme_client_do(&fixture->nvme, QUEUE, command, 0, 0, NULL);
}

static void prps_that_lead_nowhere(void **state)
{
	static const uint64_t places[] = {NOWHERE, REGISTERS, 0, UINT64_MAX - 4095,
					  NVME_CLIENT_BASE + MEMORY_SIZE};
	struct fixture *fixture = *state;
	struct pointers to;

	start_and_enable(fixture, USUAL(fixture));
	to = make_pointers(fixture);
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		for (uint8_t opcode = NVME_CMD_WRITE; opcode <= NVME_CMD_READ; opcode++) {
			assert_int_equal(with_pointers(fixture, opcode, 1, places[i], 0),
					 NVME_DATA_TRANSFER_ERROR);
			assert_int_equal(with_pointers(fixture, opcode, 2, to.data, places[i]),
					 NVME_DATA_TRANSFER_ERROR);
			assert_int_equal(with_pointers(fixture, opcode, 9, to.data, places[i]),
					 NVME_DATA_TRANSFER_ERROR);
			to.entries[1] = places[i];
			to.entries[0] = to.data;
			assert_int_equal(with_pointers(fixture, opcode, 3, to.data, to.list),
					 NVME_DATA_TRANSFER_ERROR);
		}
	}
	assert_int_equal(events_of(fixture), ARRAY_LEN(places) * 8);
	still_works(fixture);
	end(fixture);
}

static void prps_that_are_skewed_or_loop(void **state)
{
	struct fixture *fixture = *state;
	struct pointers to;

	start_and_enable(fixture, USUAL(fixture));
	to = make_pointers(fixture);
	assert_int_equal(with_pointers(fixture, NVME_CMD_READ, 1, to.data + 2, 0),
			 NVME_INVALID_PRP_OFFSET);
	assert_int_equal(with_pointers(fixture, NVME_CMD_READ, 2, to.data, to.data + 8),
			 NVME_INVALID_PRP_OFFSET);
	assert_int_equal(with_pointers(fixture, NVME_CMD_READ, 3, to.data, to.list + 4),
			 NVME_INVALID_PRP_OFFSET);
	to.entries[0] = to.data;
	to.entries[1] = to.data + 1;
	assert_int_equal(with_pointers(fixture, NVME_CMD_READ, 3, to.data, to.list),
			 NVME_INVALID_PRP_OFFSET);
	/* A page that ends with itself: one page of data each time round, the end is the data's. */
	to.entries[510] = to.data;
	to.entries[511] = to.list;
	for (unsigned i = 0; i < 510; i++)
		to.entries[i] = to.list;
	assert_int_equal(with_pointers(fixture, NVME_CMD_WRITE, 256, to.data, to.list + 4080),
			 NVME_OK);
	/* Data that is the list itself: it was read before. */
	assert_int_equal(with_pointers(fixture, NVME_CMD_READ, 256, to.data, to.list), NVME_OK);
	still_works(fixture);
	end(fixture);
}

static struct nvme_sgl sgl(uint8_t type, uint64_t address, uint32_t length)
{
	return (struct nvme_sgl){.address = address, .length = length, .type = type};
}

static int with_sgl(struct fixture *fixture, uint32_t blocks, struct nvme_sgl entry)
{
	struct nvme_command command = nvme_client_transfer(NVME_CMD_READ, 0, blocks, 0);

	command.flags = NVME_PSDT_SGL;
	memcpy(&command.prp1, &entry, sizeof(entry));
	return nvme_client_do(&fixture->nvme, QUEUE, command, 0, 0, NULL);
}

static void sgls_that_lead_nowhere(void **state)
{
	static const uint64_t places[] = {NOWHERE, REGISTERS, UINT64_MAX - 4095};
	struct fixture *fixture = *state;
	struct pointers to;
	struct nvme_sgl *list;

	start_and_enable(fixture, USUAL(fixture));
	to = make_pointers(fixture);
	list = (void *)to.entries;
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		assert_int_equal(with_sgl(fixture, 1, sgl(NVME_SGL_DATA, places[i], BLOCK)),
				 NVME_DATA_TRANSFER_ERROR);
		assert_int_equal(with_sgl(fixture, 1, sgl(NVME_SGL_SEGMENT, places[i], 64)),
				 NVME_DATA_TRANSFER_ERROR);
		list[0] = sgl(NVME_SGL_DATA, to.data, 16);
		list[1] = sgl(NVME_SGL_DATA, places[i], BLOCK - 16);
		assert_int_equal(with_sgl(fixture, 1, sgl(NVME_SGL_LAST_SEGMENT, to.list, 32)),
				 NVME_DATA_TRANSFER_ERROR);
	}
	assert_int_equal(events_of(fixture), ARRAY_LEN(places) * 3);
	still_works(fixture);
	end(fixture);
}

static void sgls_that_loop_or_overflow(void **state)
{
	struct fixture *fixture = *state;
	struct pointers to;
	struct nvme_sgl *list;

	start_and_enable(fixture, USUAL(fixture));
	to = make_pointers(fixture);
	list = (void *)to.entries;
	/* A segment of nothing but the way to itself. */
	list[0] = sgl(NVME_SGL_SEGMENT, to.list, 16);
	assert_int_equal(with_sgl(fixture, 1, list[0]), NVME_SGL_COUNT_INVALID);
	/* Round and round with no bytes. */
	list[0] = sgl(NVME_SGL_DATA, to.data, 0);
	list[1] = sgl(NVME_SGL_SEGMENT, to.list, 32);
	assert_int_equal(with_sgl(fixture, 1, list[1]), NVME_SGL_COUNT_INVALID);
	/* More than there are bytes, less than there have to be. */
	assert_int_equal(with_sgl(fixture, 1, sgl(NVME_SGL_DATA, to.data, UINT32_MAX)), NVME_OK);
	assert_int_equal(with_sgl(fixture, 2, sgl(NVME_SGL_DATA, to.data, BLOCK)),
			 NVME_SGL_LENGTH_INVALID);
	assert_int_equal(with_sgl(fixture, 1, sgl(NVME_SGL_SEGMENT, to.list, UINT32_MAX)),
			 NVME_SGL_SEGMENT_INVALID);
	assert_int_equal(with_sgl(fixture, 1, sgl(NVME_SGL_SEGMENT, to.list, 0)),
			 NVME_SGL_SEGMENT_INVALID);
	assert_int_equal(with_sgl(fixture, 1, sgl(NVME_SGL_SEGMENT, to.list + 1, 16)),
			 NVME_SGL_SEGMENT_INVALID);
	assert_int_equal(with_sgl(fixture, 1, sgl(NVME_SGL_SEGMENT, UINT64_MAX - 15, 32)),
			 NVME_SGL_SEGMENT_INVALID);
	for (unsigned type = 0x40; type < 0x100; type += 0x10)
		assert_int_equal(with_sgl(fixture, 1, sgl((uint8_t)type, to.data, BLOCK)),
				 NVME_SGL_TYPE_INVALID);
	still_works(fixture);
	end(fixture);
}

/* ---- memory that changes while it is read ---- */

struct changer {
	struct raw *raw;
	struct pointers *to;
	atomic_bool stop;
};

static void *change(void *context)
{
	struct changer *self = context;
	uint32_t random = 1;

	while (!self->stop) {
		volatile uint8_t *entry;

		random = random * 1664525 + 1013904223;
		entry = (uint8_t *)&self->raw->sq[random >> 8 & 63];
		/* Not the opcode, or it could read into the rings; nor the identifier. */
		entry[4 + (random >> 16) % 60] ^= (uint8_t)(1u << (random >> 24 & 7));
		self->to->entries[random >> 20 & 7] ^= UINT64_C(1) << (random >> 26);
	}
	return NULL;
}

static struct nvme_command any_command(const struct pointers *to, unsigned number)
{
	static const uint8_t opcodes[] = {NVME_CMD_WRITE, NVME_CMD_COMPARE, NVME_CMD_COPY,
					  NVME_CMD_DATASET_MANAGEMENT, NVME_CMD_WRITE};
	struct nvme_command command =
		nvme_client_transfer(opcodes[number % ARRAY_LEN(opcodes)], number % 64, 8, 0);

	command.cid = (uint16_t)number;
	command.flags = number % 2 ? NVME_PSDT_SGL : 0;
	command.prp1 = number % 2 ? to->list : to->data;
	command.prp2 = number % 2 ? UINT64_C(0x2000000000000080) : to->list;
	return command;
}

static void memory_that_changes_while_it_is_read(void **state)
{
	enum { ROUNDS = 60, COUNT = 60 };
	struct fixture *fixture = *state;
	struct changer changer = {0};
	struct pointers to;
	pthread_t thread;
	struct raw raw;

	start_and_enable(fixture, USUAL(fixture));
	to = make_pointers(fixture);
	raw_create(fixture, &raw, 2, 64, 64);
	for (unsigned i = 0; i < 8; i++)
		to.entries[i] = to.data + i * BLOCK;
	changer.raw = &raw;
	changer.to = &to;
	assert_int_equal(pthread_create(&thread, NULL, change, &changer), 0);
	for (unsigned round = 0; round < ROUNDS; round++) {
		uint64_t seen = 0;

		for (unsigned i = 0; i < COUNT; i++)
			raw_put(&raw, any_command(&to, i));
		ring(fixture, 2, false, raw.tail);
		for (unsigned i = 0; i < COUNT; i++) {
			uint16_t cid, status;

			raw_wait(fixture, &raw, &cid, &status);
			assert_true(cid < COUNT && !(seen & UINT64_C(1) << cid));
			seen |= UINT64_C(1) << cid;
		}
	}
	changer.stop = true;
	pthread_join(thread, NULL);
	still_works(fixture);
	end(fixture);
}

/* ---- resets, and memory that goes away ---- */

static void many_reads(struct fixture *fixture, uint64_t address, unsigned count)
{
	struct nvme_command read = nvme_client_transfer(NVME_CMD_READ, 0, 256, 0);

	for (unsigned i = 0; i < count; i++)
		assert_true(nvme_client_put_data(&fixture->nvme, QUEUE, read, address,
						 NVME_MAX_TRANSFER) >= 0);
	assert_int_equal(nvme_client_ring(&fixture->nvme, QUEUE), 0);
}

static void disable(struct fixture *fixture)
{
	write_register(fixture, NVME_REG_CC, 0);
}

static void device_reset(struct fixture *fixture)
{
	assert_int_equal(vfu_client_reset(fixture->harness.client), 0);
	harness_master(&fixture->harness, true);
}

static void mastering_off_and_on(struct fixture *fixture)
{
	harness_master(&fixture->harness, false);
	harness_master(&fixture->harness, true);
}

static void enable_twice(struct fixture *fixture)
{
	disable(fixture);
	write_register(fixture, NVME_REG_CC, NVME_CC_EN | NVME_SQES << 16 | NVME_CQES << 20);
	disable(fixture);
}

static void shut_down(struct fixture *fixture)
{
	write_register(fixture, NVME_REG_CC,
		       NVME_CC_EN | 1u << 14 | NVME_SQES << 16 | NVME_CQES << 20);
}

static void resets_in_the_middle(void **state)
{
	static void (*const resets[])(struct fixture *) = {
		disable, device_reset, mastering_off_and_on, enable_twice, shut_down};
	struct fixture *fixture = *state;
	uint64_t address;

	start_and_enable(fixture, USUAL(fixture));
	for (unsigned i = 0; i < 4 * ARRAY_LEN(resets); i++) {
		buffer(fixture, NVME_MAX_TRANSFER, &address);
		many_reads(fixture, address, 32);
		usleep(i * 300);
		resets[i % ARRAY_LEN(resets)](fixture);
		enable_again(fixture);
		still_works(fixture);
	}
	end(fixture);
}

/* On the answer to the unmap nothing is stored any more; each command has its answer. */
static void memory_unmapped_under_io(void **state)
{
	enum { COUNT = 48 };
	struct fixture *fixture = *state;
	struct nvme_client *nvme = &fixture->nvme;
	struct nvme_client_answer answer;
	uint64_t address;
	uint8_t *data;

	start_and_enable(fixture, USUAL(fixture));
	data = buffer(fixture, NVME_MAX_TRANSFER, &address);
	assert_int_equal(vfu_client_dma_map(fixture->harness.client, ALIAS, MEMORY_SIZE,
					    nvme->memory_fd, 0, true),
			 0);
	many_reads(fixture, address - NVME_CLIENT_BASE + ALIAS, COUNT);
	assert_int_equal(vfu_client_dma_unmap(fixture->harness.client, ALIAS, MEMORY_SIZE), 0);
	memset(data, 0xa5, NVME_MAX_TRANSFER);
	for (unsigned i = 0; i < COUNT; i++) {
		assert_int_equal(nvme_client_wait(nvme, QUEUE, &answer), 0);
		assert_true(answer.status == NVME_OK || answer.status == NVME_DATA_TRANSFER_ERROR);
	}
	many_reads(fixture, address - NVME_CLIENT_BASE + ALIAS, 1);
	assert_int_equal(nvme_client_wait(nvme, QUEUE, &answer), 0);
	assert_int_equal(answer.status, NVME_DATA_TRANSFER_ERROR);
	for (size_t i = 0; i < NVME_MAX_TRANSFER; i++)
		assert_int_equal(data[i], 0xa5);
	still_works(fixture);
	end(fixture);
}

/* ---- as many commands as there can be ---- */

#define FULL NVME_QUEUE_DEPTH

struct flood {
	struct raw raw[NVME_IO_QUEUES];
	int vectors[NVME_VECTORS];
	uint8_t seen[NVME_IO_QUEUES][FULL];
};

static void bind_vectors(struct fixture *fixture, struct flood *flood)
{
	for (unsigned i = 0; i < NVME_VECTORS; i++)
		flood->vectors[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_int_equal(vfu_client_bind_irqs(fixture->harness.client, VFU_IRQ_MSIX, 0,
					      flood->vectors, NVME_VECTORS),
			 0);
}

static void every_vector_has_fired(struct flood *flood)
{
	for (unsigned i = 1; i < NVME_VECTORS; i++) {
		uint64_t count;

		assert_int_equal(read(flood->vectors[i], &count, sizeof(count)), sizeof(count));
	}
	for (unsigned i = 0; i < NVME_VECTORS; i++)
		close(flood->vectors[i]);
}

/* Nothing of a queue is taken before it stands still. */
static void drain(struct fixture *fixture, struct flood *flood, unsigned which)
{
	struct raw *raw = &flood->raw[which];
	uint16_t cid, status;

	for (unsigned left = FULL - 1; left; left--) {
		uint64_t deadline = os_now() + PATIENCE_MS * NS_PER_MS;

		while (!raw_take(raw, &cid, &status)) {
			assert_true(os_now() < deadline);
			ring(fixture, raw->number, true, raw->head);
			sched_yield();
		}
		assert_int_equal(status, NVME_OK);
		assert_true(cid < FULL - 1 && !flood->seen[which][cid]);
		flood->seen[which][cid] = 1;
	}
	ring(fixture, raw->number, true, raw->head);
	assert_false(raw_take(raw, &cid, &status));
}

static void sixty_four_thousand_commands(void **state)
{
	struct nvme_command identify = {.opcode = NVME_ADMIN_IDENTIFY,
					.cdw10 = NVME_CNS_CONTROLLER};
	struct nvme_command flush = {.opcode = NVME_CMD_FLUSH, .nsid = 1};
	struct flood *flood = calloc(1, sizeof(*flood));
	struct fixture *fixture = *state;
	uint64_t address;

	assert_non_null(flood);
	assert_true(NVME_IO_QUEUES * (FULL - 1) > 64000);
	start_and_enable(fixture, USUAL(fixture));
	buffer(fixture, BLOCK, &address);
	assert_int_equal(admin(fixture, (struct nvme_command){.opcode = NVME_ADMIN_DELETE_SQ,
							      .cdw10 = QUEUE}),
			 0);
	assert_int_equal(admin(fixture, (struct nvme_command){.opcode = NVME_ADMIN_DELETE_CQ,
							      .cdw10 = QUEUE}),
			 0);
	bind_vectors(fixture, flood);
	for (uint16_t i = 0; i < NVME_IO_QUEUES; i++)
		raw_create(fixture, &flood->raw[i], i + 1u, FULL, i % 2 ? FULL : 64);
	for (unsigned i = 0; i < NVME_IO_QUEUES; i++) {
		for (flush.cid = 0; flush.cid < FULL - 1; flush.cid++)
			raw_put(&flood->raw[i], flush);
		ring(fixture, i + 1, false, flood->raw[i].tail);
	}
	/* The admin queue has its turn, and the neighbour. */
	assert_int_equal(nvme_client_do(&fixture->nvme, 0, identify, address, BLOCK, NULL), 0);
	neighbour_notices_nothing();
	for (unsigned i = 0; i < NVME_IO_QUEUES; i++)
		drain(fixture, flood, i);
	every_vector_has_fired(flood);
	free(flood);
	enable_again(fixture);
	still_works(fixture);
	end(fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(prps_that_lead_nowhere),
		CASE(prps_that_are_skewed_or_loop),
		CASE(sgls_that_lead_nowhere),
		CASE(sgls_that_loop_or_overflow),
		CASE(memory_that_changes_while_it_is_read),
		CASE(resets_in_the_middle),
		CASE(memory_unmapped_under_io),
		CASE(sixty_four_thousand_commands),
	};

	return cmocka_run_group_tests_name("hostile memory", tests, start_neighbour,
					   stop_neighbour);
}
