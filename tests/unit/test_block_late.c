/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A block device card over a store that answers late, out of order, from another thread and with
 * errors, as a library for a network store would: the NVMe model depends on nothing that the file
 * store happens to do. The program started with arguments is the card, in the frame's sandbox;
 * without any it is the test, which checks every block that it reads.
 */
#include "late_card.h"

#define QUEUES	4u
#define LONGEST 40u /* blocks: more than one part of the crypt store */
#define BLOCKS	(VOLUME_SIZE / BLOCK)
#define JOBS	96u

struct job {
	bool busy;
	uint8_t opcode;
	uint16_t queue, cid;
	uint64_t lba;
	uint32_t count, version;
	uint64_t address;
	uint8_t *data;
};

struct verify {
	struct fixture *fixture;
	uint64_t random;
	uint32_t version; /* of the next write */
	unsigned busy, failed, succeeded;
	/* What a block holds: the version that wrote it, 0 is zeros. A write that failed may have
	 * come to some of its blocks; `maybe` is its version until a read has told, else `holds`.
	 */
	uint32_t holds[BLOCKS], maybe[BLOCKS];
	struct job jobs[JOBS];
};

static uint64_t draw(struct verify *verify, uint64_t below)
{
	uint64_t value = verify->random += 0x9e3779b97f4a7c15;

	value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
	value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
	return (value ^ (value >> 31)) % below;
}

static void expected(uint8_t block[BLOCK], uint64_t lba, uint32_t version)
{
	memset(block, 0, BLOCK);
	if (version)
		fill(block, BLOCK, version * 7919u + (uint32_t)lba);
}

/* Nothing under way meets it, and a write knows what it replaces. */
static bool is_clear(const struct verify *verify, const struct job *job)
{
	for (size_t i = 0; i < JOBS; i++) {
		const struct job *other = &verify->jobs[i];

		if (other->busy && ranges_overlap(job->lba, job->count, other->lba, other->count) &&
		    (job->opcode != NVME_CMD_READ || other->opcode != NVME_CMD_READ))
			return false;
	}
	for (uint64_t i = job->lba; job->opcode != NVME_CMD_READ && i < job->lba + job->count; i++)
		if (verify->maybe[i] != verify->holds[i])
			return false;
	return true;
}

static struct nvme_command command_of(const struct job *job, uint32_t flags)
{
	if (job->opcode == NVME_CMD_FLUSH)
		return (struct nvme_command){.opcode = NVME_CMD_FLUSH, .nsid = 1};
	return nvme_client_transfer(job->opcode, job->lba, job->count, flags);
}

static void put_job(struct verify *verify, struct job *job)
{
	static const uint8_t mix[] = {NVME_CMD_READ,  NVME_CMD_READ,  NVME_CMD_READ,
				      NVME_CMD_WRITE, NVME_CMD_WRITE, NVME_CMD_WRITE_ZEROES,
				      NVME_CMD_FLUSH};
	bool moves;
	int cid;

	job->opcode = mix[draw(verify, ARRAY_LEN(mix))];
	job->queue = (uint16_t)(1 + draw(verify, QUEUES));
	job->count = job->opcode == NVME_CMD_FLUSH ? 0 : 1 + (uint32_t)draw(verify, LONGEST);
	job->lba = draw(verify, BLOCKS - LONGEST);
	if (!is_clear(verify, job))
		return;
	moves = job->opcode == NVME_CMD_READ || job->opcode == NVME_CMD_WRITE;
	job->version = job->opcode == NVME_CMD_WRITE ? ++verify->version : 0;
	memset(job->data, 0x5a, LONGEST * BLOCK);
	for (uint32_t i = 0; job->version && i < job->count; i++)
		expected(job->data + i * BLOCK, job->lba + i, job->version);
	cid = nvme_client_put_data(&verify->fixture->nvme, job->queue,
				   command_of(job, draw(verify, 4) ? 0 : NVME_RW_FUA), job->address,
				   moves ? job->count * BLOCK : 0);
	if (cid < 0) /* the queue is full */
		return;
	job->cid = (uint16_t)cid;
	job->busy = true;
	verify->busy++;
}

static void check_read(struct verify *verify, const struct job *job)
{
	uint8_t block[BLOCK];

	for (uint32_t i = 0; i < job->count; i++) {
		uint64_t lba = job->lba + i;

		expected(block, lba, verify->holds[lba]);
		if (memcmp(block, job->data + i * BLOCK, BLOCK)) {
			expected(block, lba, verify->maybe[lba]);
			assert_memory_equal(block, job->data + i * BLOCK, BLOCK);
			verify->holds[lba] = verify->maybe[lba];
		}
		verify->maybe[lba] = verify->holds[lba];
	}
}

static void note_change(struct verify *verify, const struct job *job, bool failed)
{
	for (uint64_t lba = job->lba; lba < job->lba + job->count; lba++) {
		verify->maybe[lba] = job->version;
		if (!failed)
			verify->holds[lba] = job->version;
	}
}

static void end_job(struct verify *verify, uint16_t queue, const struct nvme_client_answer *answer)
{
	struct job *job = verify->jobs;

	while (job < verify->jobs + JOBS &&
	       (!job->busy || job->queue != queue || job->cid != answer->cid))
		job++;
	assert_true(job < verify->jobs + JOBS); /* an answer to nothing */
	job->busy = false;
	verify->busy--;
	verify->failed += answer->status != 0;
	verify->succeeded += answer->status == 0;
	if (job->opcode == NVME_CMD_WRITE || job->opcode == NVME_CMD_WRITE_ZEROES)
		note_change(verify, job, answer->status != 0);
	else if (job->opcode == NVME_CMD_READ && !answer->status)
		check_read(verify, job);
}

static void take_answers(struct verify *verify)
{
	struct nvme_client_answer answer;

	for (uint16_t queue = 1; queue <= QUEUES; queue++) {
		while (nvme_client_take(&verify->fixture->nvme, queue, &answer) == 1)
			end_job(verify, queue, &answer);
	}
}

static void drain(struct verify *verify)
{
	uint64_t deadline = os_now() + PATIENCE_MS * NS_PER_MS;

	while (verify->busy) {
		take_answers(verify);
		assert_true(os_now() < deadline);
	}
}

static void some_commands(struct verify *verify)
{
	for (size_t i = 0; i < JOBS; i++) {
		if (!verify->jobs[i].busy)
			put_job(verify, &verify->jobs[i]);
	}
	for (uint16_t queue = 1; queue <= QUEUES; queue++)
		assert_int_equal(nvme_client_ring(&verify->fixture->nvme, queue), 0);
	take_answers(verify);
}

static struct verify *begin(struct fixture *fixture, const char *const *arguments, uint64_t seed)
{
	struct verify *verify = calloc(1, sizeof(*verify));

	assert_non_null(verify);
	fixture->harness.program = harness_program(NULL);
	assert_int_equal(ftruncate(fixture->file, VOLUME_SIZE), 0);
	start_and_enable(fixture, arguments);
	for (uint16_t queue = QUEUE + 1; queue <= QUEUES; queue++)
		assert_int_equal(nvme_client_create_queue(&fixture->nvme, queue, DEPTH), 0);
	verify->fixture = fixture;
	verify->random = seed;
	for (size_t i = 0; i < JOBS; i++)
		verify->jobs[i].data = buffer(fixture, LONGEST * BLOCK, &verify->jobs[i].address);
	return verify;
}

static void finish(struct verify *verify, bool errors)
{
	drain(verify);
	assert_true(verify->succeeded > 0);
	assert_int_equal(verify->failed > 0, errors);
	end(verify->fixture);
	free(verify);
}

static const char *const plain[] = {"--errors", "0", NULL};
static const char *const failing[] = {"--errors", "20", NULL};
static const char *const encrypted[] = {"--encrypted", NULL};
static const char *const encrypted_failing[] = {"--encrypted", "--errors", "60", NULL};

static void run(void **state, const char *const *arguments, bool errors, uint64_t seed)
{
	struct verify *verify = begin(*state, arguments, seed);

	while (verify->succeeded + verify->failed < 4000)
		some_commands(verify);
	finish(verify, errors);
}

static void late_and_out_of_order(void **state)
{
	run(state, plain, false, 1);
}

static void with_errors(void **state)
{
	run(state, failing, true, 2);
}

static void encrypted_late_and_out_of_order(void **state)
{
	run(state, encrypted, false, 3);
}

static void encrypted_with_errors(void **state)
{
	run(state, encrypted_failing, true, 4);
}

static void killed_on_the_way(void **state)
{
	struct verify *verify = begin(*state, plain, 5);
	struct harness *harness = &verify->fixture->harness;

	for (unsigned round = 0; round < 10; round++) {
		for (unsigned i = 0; i < 20 + round; i++)
			some_commands(verify);
		harness_kill(harness, SIGKILL);
		assert_int_equal(harness_wait(harness), -SIGKILL);
		start(verify->fixture, plain);
	}
	finish(verify, false);
}

/* What is with the other thread is waited for, and comes back. */
static void bus_mastering_off_on_the_way(void **state)
{
	struct verify *verify = begin(*state, encrypted_failing, 6);

	for (unsigned round = 0; round < 40; round++) {
		some_commands(verify);
		harness_master(&verify->fixture->harness, false);
		harness_master(&verify->fixture->harness, true);
	}
	finish(verify, true);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE(late_and_out_of_order),
		CASE(with_errors),
		CASE(encrypted_late_and_out_of_order),
		CASE(encrypted_with_errors),
		CASE(killed_on_the_way),
		CASE(bus_mastering_off_on_the_way),
	};

	if (argc > 1)
		return card_main(&late_ops, argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
