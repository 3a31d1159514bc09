/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The volume card with limits: never faster than told, nothing lost, nothing waits for a limit that
 * need not. What is said about time is only what a slow machine cannot make wrong.
 */
#include "volume_harness.h"

#define LIMITED(fixture, option, value)                                                            \
	(const char *[])                                                                           \
	{                                                                                          \
		"--store", (fixture)->store, "--size", "16M", "--key-fd", "6", option, value, NULL \
	}

enum { COMMANDS = 60, SECOND_QUEUE = 2 };

static void put(struct fixture *fixture, uint16_t queue, uint8_t opcode, uint32_t i,
		uint64_t address)
{
	uint32_t length = opcode == NVME_CMD_FLUSH ? 0 : BLOCK;

	assert_true(nvme_client_put_data(&fixture->nvme, queue,
					 nvme_client_transfer(opcode, i, 1, 0), address,
					 length) >= 0);
}

static void wait_for(struct fixture *fixture, uint16_t queue, uint32_t count)
{
	struct nvme_client_answer answer;

	for (uint32_t i = 0; i < count; i++) {
		assert_int_equal(nvme_client_wait(&fixture->nvme, queue, &answer), 0);
		assert_int_equal(answer.status, 0);
	}
}

static uint64_t time_of(struct fixture *fixture, uint8_t opcode, uint64_t address)
{
	uint64_t begin = os_now();

	for (uint32_t i = 0; i < COMMANDS; i++)
		put(fixture, QUEUE, opcode, i, address);
	assert_int_equal(nvme_client_ring(&fixture->nvme, QUEUE), 0);
	wait_for(fixture, QUEUE, COMMANDS);
	return os_now() - begin;
}

static void commands_are_limited(void **state)
{
	struct fixture *fixture = *state;
	uint64_t address;

	start_and_enable(fixture, LIMITED(fixture, "--iops", "500:10"));
	buffer(fixture, BLOCK, &address);
	assert_true(time_of(fixture, NVME_CMD_WRITE, address) >= 50 * NS_PER_S / 500);
	/* A flush is a command, too. */
	assert_true(time_of(fixture, NVME_CMD_FLUSH, address) >= 50 * NS_PER_S / 500);
	end(fixture);
}

static void bytes_are_limited(void **state)
{
	struct fixture *fixture = *state;
	uint64_t address;

	/* 60 blocks at 2 MiB a second, after a burst of 40 KiB; the last may go by its first byte.
	 */
	start_and_enable(fixture, LIMITED(fixture, "--bandwidth", "2M:40K"));
	buffer(fixture, BLOCK, &address);
	assert_true(time_of(fixture, NVME_CMD_READ, address) >= NS_PER_S * 48 * BLOCK / (2 * MIB));
	end(fixture);
}

/* At two commands a second none of the sixty is waited for. */
static void a_reset_does_not_wait(void **state)
{
	struct fixture *fixture = *state;
	struct nvme_client *nvme = &fixture->nvme;
	struct nvme_client_answer answer;
	uint64_t address, begin = os_now();

	start_and_enable(fixture, LIMITED(fixture, "--iops", "2:1"));
	buffer(fixture, BLOCK, &address);
	for (uint32_t i = 0; i < COMMANDS; i++)
		put(fixture, QUEUE, NVME_CMD_WRITE, i, address);
	assert_int_equal(nvme_client_ring(nvme, QUEUE), 0);
	/* The admin queue has no limit; when it answers, the I/O queue has been looked at. */
	assert_int_equal(nvme_client_do(nvme, 0,
					(struct nvme_command){.opcode = NVME_ADMIN_GET_FEATURES,
							      .cdw10 = NVME_FEATURE_WRITE_CACHE},
					0, 0, NULL),
			 0);
	assert_int_equal(nvme_client_enable(nvme), 0);
	assert_int_equal(nvme_client_create_queue(nvme, QUEUE, DEPTH), 0);
	assert_int_equal(nvme_client_take(nvme, QUEUE, &answer), 0);
	/* Sixty commands would have taken half a minute. */
	assert_true(os_now() - begin < 25 * NS_PER_S);
	/* A reset is no way round the limit: the burst is spent. */
	begin = os_now();
	for (uint32_t i = 0; i < 3; i++)
		put(fixture, QUEUE, NVME_CMD_WRITE, i, address);
	assert_int_equal(nvme_client_ring(nvme, QUEUE), 0);
	wait_for(fixture, QUEUE, 3);
	assert_true(os_now() - begin >= NS_PER_S / 2);
	end(fixture);
}

/* Taking guest memory away waits for what touches it; what waits for a limit comes back later. */
static void bus_mastering_off_does_not_wait_and_loses_nothing(void **state)
{
	struct fixture *fixture = *state;
	struct nvme_client *nvme = &fixture->nvme;
	struct nvme_client_answer answer;
	uint64_t address, answers = 0;
	uint8_t *data, *all;

	start_and_enable(fixture, LIMITED(fixture, "--iops", "40:1"));
	data = buffer(fixture, COMMANDS * BLOCK, &address);
	fill(data, COMMANDS * BLOCK, 3);
	for (uint32_t i = 0; i < COMMANDS; i++)
		put(fixture, QUEUE, NVME_CMD_WRITE, i, address + i * BLOCK);
	assert_int_equal(nvme_client_ring(nvme, QUEUE), 0);
	for (unsigned i = 0; i < 5; i++) {
		harness_master(&fixture->harness, false);
		harness_master(&fixture->harness, true);
	}
	for (uint32_t i = 0; i < COMMANDS; i++) {
		assert_int_equal(nvme_client_wait(nvme, QUEUE, &answer), 0);
		assert_int_equal(answer.status, 0);
		assert_false(answers >> answer.cid & 1);
		answers |= UINT64_C(1) << answer.cid;
	}
	end(fixture);
	all = decrypted(fixture, good_key);
	assert_memory_equal(all, data, COMMANDS * BLOCK);
	free(all);
}

static void a_killed_card_loses_nothing_that_waits(void **state)
{
	struct fixture *fixture = *state;
	uint64_t address;
	uint8_t *data, *all;

	start_and_enable(fixture, LIMITED(fixture, "--iops", "60:1"));
	data = buffer(fixture, COMMANDS * BLOCK, &address);
	fill(data, COMMANDS * BLOCK, 4);
	for (uint32_t i = 0; i < COMMANDS; i++)
		put(fixture, QUEUE, NVME_CMD_WRITE, i, address + i * BLOCK);
	assert_int_equal(nvme_client_ring(&fixture->nvme, QUEUE), 0);
	wait_for(fixture, QUEUE, 5);
	harness_kill(&fixture->harness, SIGKILL);
	assert_int_equal(harness_wait(&fixture->harness), -SIGKILL);
	start(fixture, LIMITED(fixture, "--iops", "60:1"));
	wait_for(fixture, QUEUE, COMMANDS - 5);
	end(fixture);
	all = decrypted(fixture, good_key);
	assert_memory_equal(all, data, COMMANDS * BLOCK);
	free(all);
}

/* One queue is full when the other's command comes: it has its turn before the rest of them. */
static void queues_take_turns(void **state)
{
	struct fixture *fixture = *state;
	struct nvme_client *nvme = &fixture->nvme;
	struct nvme_client_answer answer;
	uint64_t address;
	uint32_t before = 0;

	start_and_enable(fixture, LIMITED(fixture, "--iops", "40:1"));
	assert_int_equal(nvme_client_create_queue(nvme, SECOND_QUEUE, DEPTH), 0);
	buffer(fixture, BLOCK, &address);
	for (uint32_t i = 0; i < COMMANDS; i++)
		put(fixture, QUEUE, NVME_CMD_WRITE, i, address);
	assert_int_equal(nvme_client_ring(nvme, QUEUE), 0);
	wait_for(fixture, QUEUE, 1);
	put(fixture, SECOND_QUEUE, NVME_CMD_READ, 100, address);
	assert_int_equal(nvme_client_ring(nvme, SECOND_QUEUE), 0);
	while (!nvme_client_take(nvme, SECOND_QUEUE, &answer))
		before += (uint32_t)nvme_client_take(nvme, QUEUE, &answer);
	/* All but one would have gone first without turns; a stopped test may see many at once. */
	before += (uint32_t)nvme_client_take(nvme, QUEUE, &answer);
	assert_true(before < COMMANDS - 1);
	end(fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(commands_are_limited),
		CASE(bytes_are_limited),
		CASE(a_reset_does_not_wait),
		CASE(bus_mastering_off_does_not_wait_and_loses_nothing),
		CASE(a_killed_card_loses_nothing_that_waits),
		CASE(queues_take_turns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
