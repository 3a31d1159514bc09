/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Power is lost at any instant: card, state area and all that the store had not been told to keep.
 * What was flushed is there, and so is what was written with force unit access or with the write
 * cache off. Of everything else a block holds one of the versions that it was given, whole.
 */
#include "late_card.h"

#define QUEUES	  4u
#define BLOCKS	  64u /* few, so that they are written again and again */
#define IN_FLIGHT 24u
#define ROUNDS	  25u

struct write {
	bool busy, is_flush, is_forced;
	uint32_t block, version;
	uint8_t *data;
	uint64_t address;
};

struct run {
	struct fixture *fixture;
	uint8_t *bytes; /* of the store */
	bool cache_off;
	uint32_t versions;
	uint32_t sure[BLOCKS];	    /* survives: this version, or a later one */
	uint32_t answered[BLOCKS];  /* the last whose write was acknowledged */
	uint32_t submitted[BLOCKS]; /* the last that was written at all */
	/* What a flush will make sure of: as it was when it was submitted. */
	uint32_t flushing[QUEUES + 1][DEPTH][BLOCKS];
	struct write writes[QUEUES + 1][DEPTH];
	unsigned flushed, forced;
};

/* Each sector tells what it is of: a block that mixes two is noticed. */
static void fill_block(uint8_t *data, uint32_t block, uint32_t version)
{
	uint32_t *words = (uint32_t *)data;

	for (uint32_t i = 0; i < BLOCK / 4; i += 2) {
		words[i] = version;
		words[i + 1] = version ? block ^ (i * 2654435761u) : 0;
	}
}

static bool is_being_written(const struct run *run, uint32_t block)
{
	for (unsigned queue = 1; queue <= QUEUES; queue++)
		for (unsigned id = 0; id < DEPTH; id++) {
			const struct write *write = &run->writes[queue][id];

			if (write->busy && !write->is_flush && write->block == block)
				return true;
		}
	return false;
}

static void submit(struct run *run, uint16_t queue)
{
	struct nvme_client *nvme = &run->fixture->nvme;
	unsigned id = (unsigned)__builtin_ctzll(nvme->queues[queue].free_ids[0]);
	struct write *write = &run->writes[queue][id];
	uint32_t flags;

	write->is_flush = random() % 8 == 0;
	write->block = (uint32_t)random() % BLOCKS;
	write->is_forced = !write->is_flush && (run->cache_off || random() % 4 == 0);
	if (!write->is_flush && is_being_written(run, write->block))
		return;
	write->busy = true;
	if (write->is_flush) {
		memcpy(run->flushing[queue][id], run->answered, sizeof(run->answered));
		assert_int_equal(
			nvme_client_put(nvme, queue,
					(struct nvme_command){.opcode = NVME_CMD_FLUSH, .nsid = 1}),
			id);
		return;
	}
	write->version = run->submitted[write->block] = ++run->versions;
	fill_block(write->data, write->block, write->version);
	flags = write->is_forced && !run->cache_off ? NVME_RW_FUA : 0;
	assert_int_equal(
		nvme_client_put_data(nvme, queue,
				     nvme_client_transfer(NVME_CMD_WRITE, write->block, 1, flags),
				     write->address, BLOCK),
		id);
}

static void make_sure(struct run *run, const uint32_t versions[BLOCKS])
{
	for (uint32_t block = 0; block < BLOCKS; block++)
		if (versions[block] > run->sure[block])
			run->sure[block] = versions[block];
	run->flushed++;
}

static void take(struct run *run, uint16_t queue)
{
	struct nvme_client_answer answer;

	while (nvme_client_take(&run->fixture->nvme, queue, &answer)) {
		struct write *write = &run->writes[queue][answer.cid];

		assert_true(write->busy);
		assert_int_equal(answer.status, NVME_OK);
		write->busy = false;
		if (write->is_flush) {
			make_sure(run, run->flushing[queue][answer.cid]);
			continue;
		}
		run->answered[write->block] = write->version;
		if (write->is_forced && write->version > run->sure[write->block]) {
			run->sure[write->block] = write->version;
			run->forced++;
		}
	}
}

static void work(struct run *run)
{
	struct nvme_client *nvme = &run->fixture->nvme;

	for (unsigned i = 0; i < 40 + (unsigned)random() % 40; i++) {
		for (uint16_t queue = 1; queue <= QUEUES; queue++) {
			while (nvme->queues[queue].under_way < IN_FLIGHT && random() % 6)
				submit(run, queue);
			assert_int_equal(nvme_client_ring(nvme, queue), 0);
			take(run, queue);
		}
	}
}

/* ---- power on, power off ---- */

static unsigned chance(void)
{
	return (unsigned)random();
}

static void turn_on(struct run *run)
{
	struct fixture *fixture = run->fixture;
	struct nvme_command cache = {.opcode = NVME_ADMIN_SET_FEATURES,
				     .cdw10 = NVME_FEATURE_WRITE_CACHE};

	memset(fixture->harness.state, 0, CARD_STATE_AREA_SIZE);
	start_and_enable(fixture, (const char *[]){"--forgetful", "--encrypted", NULL});
	for (uint16_t queue = 2; queue <= QUEUES; queue++)
		assert_int_equal(nvme_client_create_queue(&fixture->nvme, queue, DEPTH), 0);
	memset(run->writes, 0, sizeof(run->writes));
	for (uint16_t queue = 1; queue <= QUEUES; queue++)
		for (unsigned id = 0; id < DEPTH; id++)
			run->writes[queue][id].data =
				buffer(fixture, BLOCK, &run->writes[queue][id].address);
	if (run->cache_off)
		assert_int_equal(nvme_client_do(&fixture->nvme, 0, cache, 0, 0, NULL), 0);
}

static void lose_power(struct run *run)
{
	harness_kill(&run->fixture->harness, SIGKILL);
	assert_int_equal(harness_wait(&run->fixture->harness), -SIGKILL);
	forgetful_store_lose_power(run->bytes, VOLUME_SIZE, chance);
}

/* What is found is what the next round begins with. */
static void check(struct run *run)
{
	uint8_t expected[BLOCK];
	uint64_t address;
	uint8_t *data = buffer(run->fixture, BLOCK, &address);

	for (uint32_t block = 0; block < BLOCKS; block++) {
		uint32_t version;

		assert_int_equal(read_blocks(run->fixture, block, 1, address), 0);
		memcpy(&version, data, sizeof(version));
		fill_block(expected, block, version);
		assert_memory_equal(data, expected, BLOCK);
		if (version < run->sure[block] || version > run->submitted[block])
			fail_msg("block %u holds version %u, not %u to %u", block, version,
				 run->sure[block], run->submitted[block]);
		run->sure[block] = run->answered[block] = run->submitted[block] = version;
	}
}

static void lose_power_again_and_again(struct fixture *fixture, bool cache_off)
{
	struct run *run = calloc(1, sizeof(*run));

	assert_non_null(run);
	run->fixture = fixture;
	run->cache_off = cache_off;
	fixture->harness.program = harness_program(NULL);
	assert_int_equal(ftruncate(fixture->file, FORGETFUL_SIZE(VOLUME_SIZE)), 0);
	run->bytes = mmap(NULL, FORGETFUL_SIZE(VOLUME_SIZE), PROT_READ | PROT_WRITE, MAP_SHARED,
			  fixture->file, 0);
	assert_true(run->bytes != MAP_FAILED);
	turn_on(run);
	for (unsigned i = 0; i < BLOCKS; i++) { /* a block that was never written is cipher text of
						    nothing */
		uint64_t address;
		uint8_t *data = buffer(fixture, BLOCK, &address);

		fill_block(data, i, 0);
		assert_int_equal(write_blocks(fixture, i, 1, address), 0);
	}
	assert_int_equal(transfer(fixture, NVME_CMD_FLUSH, 0, 1, 0, 0), 0);
	for (unsigned round = 0; round < ROUNDS; round++) {
		work(run);
		lose_power(run);
		turn_on(run);
		check(run);
	}
	assert_true(run->flushed > ROUNDS && run->forced > ROUNDS);
	end(fixture);
	munmap(run->bytes, FORGETFUL_SIZE(VOLUME_SIZE));
	free(run);
}

static void what_was_flushed_or_forced_survives(void **state)
{
	lose_power_again_and_again(*state, false);
}

static void without_a_write_cache_all_that_was_answered_survives(void **state)
{
	lose_power_again_and_again(*state, true);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE(what_was_flushed_or_forced_survives),
		CASE(without_a_write_cache_all_that_was_answered_survives),
	};

	if (argc > 1)
		return card_main(&late_ops, argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
