/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The volume card killed at any instant, and updated to a newer version and back, under writes,
 * trims, flushes and reads on four queues, with a driver that knows what was acknowledged: every
 * command is answered once and without an error, every read and at the end the file behind the card
 * hold what the answers promised.
 *
 * KARUTA_TEST_KILLS: how many times; 40 if not set.
 */
#include "volume_harness.h"

#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

#define QUEUES	   4u
#define QUEUE_FULL 24u /* commands that a queue gets at most */
#define BLOCKS	   (VOLUME_SIZE / BLOCK)
#define MOST	   8u /* blocks a command */

enum kind { WRITE, ZERO, TRIM, READ, FLUSH, KINDS };

struct operation {
	enum kind kind;
	bool under_way;
	uint32_t first, count;
	uint32_t version; /* WRITE: what the blocks will hold */
	uint8_t *data;	  /* MOST blocks of the client's memory */
	uint64_t address;
};

struct run {
	struct fixture *fixture;
	struct operation operations[QUEUES + 1][DEPTH];
	uint32_t version[BLOCKS]; /* as acknowledged; 0: zeros */
	bool taken[BLOCKS];	  /* a command under way changes or reads it */
	uint32_t versions;
	unsigned answered, kills, updates;
	double *stalls; /* ms, from the end of one process to the first answer of the next */
};

/* ---- what the blocks hold ---- */

static void fill_block(uint8_t *data, uint32_t block, uint32_t version)
{
	uint32_t *words = (uint32_t *)data;

	for (uint32_t i = 0; i < BLOCK / 4; i++)
		words[i] = version ? (version * 2654435761u) ^ (block << 16) ^ i : 0;
}

static void check_block(const uint8_t *data, uint32_t block, uint32_t version)
{
	uint8_t expected[BLOCK];

	fill_block(expected, block, version);
	if (memcmp(data, expected, BLOCK))
		fail_msg("block %u does not hold version %u", block, version);
}

/* ---- commands and answers ---- */

static bool choose_blocks(struct run *run, struct operation *operation)
{
	operation->first = (uint32_t)random() % (BLOCKS - MOST);
	operation->count = 1 + (uint32_t)random() % MOST;
	for (uint32_t i = 0; i < operation->count; i++)
		if (run->taken[operation->first + i])
			return false;
	for (uint32_t i = 0; i < operation->count; i++)
		run->taken[operation->first + i] = true;
	return true;
}

static struct nvme_command make_command(const struct operation *operation)
{
	static const uint8_t opcodes[KINDS] = {NVME_CMD_WRITE, NVME_CMD_WRITE_ZEROES,
					       NVME_CMD_DATASET_MANAGEMENT, NVME_CMD_READ,
					       NVME_CMD_FLUSH};
	struct nvme_command command = nvme_client_transfer(opcodes[operation->kind],
							   operation->first, operation->count, 0);

	if (operation->kind == TRIM) {
		command.cdw10 = 0; /* one range */
		command.cdw11 = 4; /* deallocate */
		command.cdw12 = 0;
	} else if (operation->kind == FLUSH) {
		command.cdw10 = command.cdw12 = 0;
	}
	return command;
}

static void prepare_data(struct operation *operation)
{
	uint32_t length = operation->count;
	uint64_t first = operation->first;

	if (operation->kind == WRITE) {
		for (uint32_t i = 0; i < operation->count; i++)
			fill_block(operation->data + i * BLOCK, operation->first + i,
				   operation->version);
	} else if (operation->kind == TRIM) {
		memset(operation->data, 0, 16);
		memcpy(operation->data + 4, &length, 4);
		memcpy(operation->data + 8, &first, 8);
	} else {
		memset(operation->data, 0xee, MOST * BLOCK);
	}
}

static void submit(struct run *run, uint16_t queue)
{
	static const uint32_t lengths[KINDS] = {BLOCK, 0, 0, BLOCK, 0};
	struct nvme_client *nvme = &run->fixture->nvme;
	struct operation next = {.kind = (enum kind)(random() % KINDS), .under_way = true};
	struct operation *operation;
	struct nvme_command command;
	uint32_t length;
	int id;

	if (next.kind != FLUSH && !choose_blocks(run, &next))
		return;
	/* The next id is the lowest that is free: its memory is where the data has to be. */
	id = __builtin_ctzll(nvme->queues[queue].free_ids[0]);
	operation = &run->operations[queue][id];
	assert_false(operation->under_way);
	next.data = operation->data;
	next.address = operation->address;
	next.version = ++run->versions;
	*operation = next;
	prepare_data(operation);
	command = make_command(operation);
	length = operation->kind == TRIM ? 16 : lengths[operation->kind] * operation->count;
	assert_int_equal(
		length ? nvme_client_put_data(nvme, queue, command, operation->address, length)
		       : nvme_client_put(nvme, queue, command),
		id);
}

static void conclude(struct run *run, struct operation *operation)
{
	for (uint32_t i = 0; i < operation->count; i++) {
		uint32_t block = operation->first + i;

		if (operation->kind == WRITE)
			run->version[block] = operation->version;
		else if (operation->kind == READ)
			check_block(operation->data + i * BLOCK, block, run->version[block]);
		else
			run->version[block] = 0;
		run->taken[block] = false;
	}
	operation->under_way = false;
	run->answered++;
}

static void take(struct run *run, uint16_t queue)
{
	struct nvme_client_answer answer;

	while (nvme_client_take(&run->fixture->nvme, queue, &answer)) {
		struct operation *operation;

		assert_true(answer.cid < DEPTH - 1);
		operation = &run->operations[queue][answer.cid];
		assert_true(operation->under_way); /* once, and no answer that nobody waits for */
		assert_int_equal(answer.status, NVME_OK);
		conclude(run, operation);
	}
}

static bool has_ended(const struct run *run)
{
	struct pollfd entry = {.fd = run->fixture->harness.pidfd, .events = POLLIN};

	return poll(&entry, 1, 0) == 1;
}

/* False: the card is dead. */
static bool do_some(struct run *run)
{
	struct nvme_client *nvme = &run->fixture->nvme;

	for (uint16_t queue = 1; queue <= QUEUES; queue++) {
		while (nvme->queues[queue].under_way < QUEUE_FULL && random() % 8)
			submit(run, queue);
		if (nvme_client_ring(nvme, queue))
			return false;
		take(run, queue);
	}
	return !vfu_client_is_dead(nvme->link) && !has_ended(run);
}

/* ---- ends and new beginnings ---- */

static volatile sig_atomic_t victim;

static void strike(int signal)
{
	(void)signal;
	if (victim)
		kill(victim, SIGKILL);
}

static void wait_until_ready(const struct harness *harness)
{
	const struct timespec pause = {.tv_nsec = 50000};
	uint64_t deadline = os_now() + PATIENCE_MS * NS_PER_MS;
	struct status_view view = {0};

	while (status_read(harness->status, STATUS_CARD, &view) || view.standing_by ||
	       view.state != STATUS_READY) {
		assert_true(os_now() < deadline);
		nanosleep(&pause, NULL);
	}
}

/* What a hypervisor does: memory first, then the write that sets it going, then doorbells that the
 * dead one may not have taken. */
static void link_to(struct run *run, int socket)
{
	struct fixture *fixture = run->fixture;
	struct harness *harness = &fixture->harness;
	struct error error = {0};

	wait_until_ready(harness);
	harness_disconnect(harness);
	assert_int_equal(vfu_client_create(&harness->client, socket, &nvme_client_memory,
					   &fixture->nvme, PATIENCE_MS),
			 0);
	assert_int_equal(vfu_client_negotiate(harness->client, &error), 0);
	assert_int_equal(nvme_client_attach(&fixture->nvme, harness->client), 0);
	assert_int_equal(nvme_client_ring_again(&fixture->nvme), 0);
}

static void go_on(struct run *run, int socket, uint64_t since)
{
	unsigned before = run->answered;

	link_to(run, socket);
	while (run->answered == before)
		assert_true(do_some(run));
	run->stalls[run->kills + run->updates] = (double)(os_now() - since) / 1e6;
}

static void kill_once(struct run *run)
{
	struct harness *harness = &run->fixture->harness;
	struct itimerval timer = {.it_value.tv_usec = 1 + random() % 8000};
	uint64_t since;

	victim = harness->pid;
	setitimer(ITIMER_REAL, &timer, NULL);
	while (do_some(run))
		;
	since = os_now();
	assert_int_equal(harness_wait(harness), -SIGKILL);
	victim = 0;
	go_on(run, launch(run->fixture, USUAL(run->fixture)), since);
	run->kills++;
}

static int launch_beside(struct run *run)
{
	const char *const arguments[] = {
		"--store", run->fixture->store, "--size", "16M", "--key-fd",
		"6",	   "--stand-by",	NULL};

	return launch_on(run->fixture, arguments);
}

static void work_until_it_stands_by(struct run *run)
{
	struct harness *harness = &run->fixture->harness;
	uint64_t deadline = os_now() + PATIENCE_MS * NS_PER_MS;

	while (!harness_status(harness).standing_by) {
		assert_true(do_some(run));
		assert_true(os_now() < deadline);
	}
}

/* There and back: the other program's state areas are of another version. */
static const char *other_program(const struct run *run)
{
	static char newer[4096], usual[4096];

	snprintf(newer, sizeof(newer), "%s", harness_program("../tests/unit/volume-newer"));
	snprintf(usual, sizeof(usual), "%s", harness_program("karuta-card-volume"));
	return run->updates % 2 ? usual : newer;
}

static void update_once(struct run *run)
{
	struct harness *harness = &run->fixture->harness;
	pid_t old = harness->pid;
	int socket, status;
	uint64_t since;

	harness->program = other_program(run);
	socket = launch_beside(run);
	work_until_it_stands_by(run);
	since = os_now();
	assert_int_equal(kill(old, SIGTERM), 0);
	go_on(run, socket, since);
	assert_int_equal(waitpid(old, &status, 0), old);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	run->updates++;
}

/* ---- the run ---- */

static void begin(struct run *run)
{
	struct fixture *fixture = run->fixture;

	start(fixture, USUAL(fixture));
	fixture->nvme.used = 0;
	assert_int_equal(nvme_client_enable(&fixture->nvme), 0);
	for (uint16_t queue = 1; queue <= QUEUES; queue++) {
		assert_int_equal(nvme_client_create_queue(&fixture->nvme, queue, DEPTH), 0);
		for (unsigned id = 0; id < DEPTH; id++) {
			struct operation *operation = &run->operations[queue][id];

			operation->data = buffer(fixture, MOST * BLOCK, &operation->address);
		}
	}
}

static void wait_for_the_rest(struct run *run)
{
	uint64_t deadline = os_now() + PATIENCE_MS * NS_PER_MS;

	for (uint16_t queue = 1; queue <= QUEUES; queue++) {
		while (run->fixture->nvme.queues[queue].under_way) {
			assert_true(os_now() < deadline);
			take(run, queue);
		}
	}
}

static void check_file(const struct run *run)
{
	uint8_t *all = decrypted(run->fixture, good_key);

	for (uint32_t block = 0; block < BLOCKS; block++)
		check_block(all + (size_t)block * BLOCK, block, run->version[block]);
	free(all);
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void report(const struct run *run, const char *what)
{
	unsigned count = run->kills + run->updates;

	qsort(run->stalls, count, sizeof(*run->stalls), by_size);
	print_message(
		"# %u commands answered, %u %s; without an answer for %.1f ms (median), %.1f ms "
		"(99 of 100), %.1f ms (longest)\n",
		run->answered, count, what, run->stalls[count / 2], run->stalls[count * 99 / 100],
		run->stalls[count - 1]);
}

static void end_again_and_again(struct fixture *fixture, void (*end_once)(struct run *),
				const char *what)
{
	const char *wanted = getenv("KARUTA_TEST_KILLS");
	unsigned count = wanted ? (unsigned)atoi(wanted) : 40;
	struct run *run = calloc(1, sizeof(*run));

	assert_non_null(run);
	run->fixture = fixture;
	run->stalls = calloc(count, sizeof(*run->stalls));
	assert_non_null(run->stalls);
	signal(SIGALRM, strike);
	begin(run);
	for (unsigned i = 0; i < count; i++)
		end_once(run);
	wait_for_the_rest(run);
	report(run, what);
	end(fixture);
	check_file(run);
	free(run->stalls);
	free(run);
}

static void nothing_acknowledged_is_lost_when_it_is_killed(void **state)
{
	end_again_and_again(*state, kill_once, "kills");
}

static void nothing_acknowledged_is_lost_when_it_is_updated(void **state)
{
	end_again_and_again(*state, update_once, "updates");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(nothing_acknowledged_is_lost_when_it_is_killed),
		CASE(nothing_acknowledged_is_lost_when_it_is_updated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
