/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AWUN and AWUPF are one block (NVM Command Set 1.0, 2.1.4): whoever dies, and whoever reads
 * meanwhile, a block is as it was before a write or as it is after it.
 */
#include "volume_harness.h"

enum { WRITES = 60, ROUNDS = 12 };

/* Block i in a round: no piece of it is like the same piece of another. */
static void make_block(uint8_t *data, uint32_t size, uint32_t i, uint32_t round)
{
	if (round)
		fill(data, size, round * 7919 + i * 104729);
	else
		memset(data, 0, size);
}

static bool is_of_round(const uint8_t *data, uint32_t size, uint32_t i, uint32_t round)
{
	uint8_t expected[BLOCK];

	make_block(expected, size, i, round);
	return !memcmp(data, expected, size);
}

static void put_round(struct fixture *fixture, uint8_t *data, uint64_t address, uint32_t size,
		      uint32_t round)
{
	for (uint32_t i = 0; i < WRITES; i++) {
		make_block(data + i * BLOCK, size, i, round);
		assert_true(nvme_client_put_data(&fixture->nvme, QUEUE,
						 nvme_client_transfer(NVME_CMD_WRITE, i, 1, 0),
						 address + i * BLOCK, size) >= 0);
	}
	assert_int_equal(nvme_client_ring(&fixture->nvme, QUEUE), 0);
}

/* What the kernel still does for the dead process ends before its lock does. */
static void wait_until_it_is_still(const struct fixture *fixture)
{
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	assert_int_equal(fcntl(fixture->file, F_OFD_SETLKW, &whole), 0);
	whole.l_type = F_UNLCK;
	assert_int_equal(fcntl(fixture->file, F_OFD_SETLK, &whole), 0);
}

/* Returns how many blocks are old. */
static unsigned check_blocks(const struct fixture *fixture, uint32_t size, uint32_t round)
{
	uint8_t *all = decrypted(fixture, good_key);
	unsigned old = 0;

	for (uint32_t i = 0; i < WRITES; i++) {
		if (is_of_round(all + i * size, size, i, round))
			continue;
		assert_true(is_of_round(all + i * size, size, i, round - 1));
		old++;
	}
	free(all);
	return old;
}

static void take_answers(struct fixture *fixture)
{
	struct nvme_client_answer answer;

	for (uint32_t i = 0; i < WRITES; i++) {
		assert_int_equal(nvme_client_wait(&fixture->nvme, QUEUE, &answer), 0);
		assert_int_equal(answer.status, 0);
	}
}

/* Killed while it writes, later from round to round. */
static void check_death(struct fixture *fixture, uint32_t size, const char *const *arguments)
{
	uint64_t address;
	uint8_t *data;
	unsigned old = 0;

	start_and_enable(fixture, arguments);
	data = buffer(fixture, WRITES * BLOCK, &address);
	for (uint32_t round = 1; round <= ROUNDS; round++) {
		put_round(fixture, data, address, size, round);
		usleep(round * 20);
		harness_kill(&fixture->harness, SIGKILL);
		assert_int_equal(harness_wait(&fixture->harness), -SIGKILL);
		wait_until_it_is_still(fixture);
		old += check_blocks(fixture, size, round);
		start(fixture, arguments);
		take_answers(fixture);
	}
	print_message("%u blocks of %u were old when the card died\n", old, WRITES * ROUNDS);
	end(fixture);
	assert_int_equal(check_blocks(fixture, size, ROUNDS), 0);
}

static void a_block_of_4096_bytes_is_whole(void **state)
{
	check_death(*state, 4096, USUAL((struct fixture *)*state));
}

/* Eight of them share a block of the store's, which is read, changed, and written whole. */
static void a_block_of_512_bytes_is_whole(void **state)
{
	struct fixture *fixture = *state;

	check_death(fixture, 512,
		    (const char *[]){"--store", fixture->store, "--size", "16M", "--sector", "512",
				     "--key-fd", "6", NULL});
}

static void a_reader_sees_whole_blocks(void **state)
{
	struct fixture *fixture = *state;
	uint64_t address, into;
	uint8_t *data, *seen;

	start_and_enable(fixture, USUAL(fixture));
	data = buffer(fixture, WRITES * BLOCK, &address);
	seen = buffer(fixture, BLOCK, &into);
	for (uint32_t round = 1; round <= ROUNDS; round++) {
		uint32_t place = round * 5 % WRITES;
		struct nvme_command read = nvme_client_transfer(NVME_CMD_READ, place, 1, 0);
		struct nvme_client_answer answer;

		put_round(fixture, data, address, BLOCK, round);
		assert_true(nvme_client_put_data(&fixture->nvme, QUEUE, read, into, BLOCK) >= 0);
		assert_int_equal(nvme_client_ring(&fixture->nvme, QUEUE), 0);
		take_answers(fixture);
		assert_int_equal(nvme_client_wait(&fixture->nvme, QUEUE, &answer), 0);
		assert_true(is_of_round(seen, BLOCK, place, round) ||
			    is_of_round(seen, BLOCK, place, round - 1));
	}
	end(fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_block_of_4096_bytes_is_whole),
		CASE(a_block_of_512_bytes_is_whole),
		CASE(a_reader_sees_whole_blocks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
