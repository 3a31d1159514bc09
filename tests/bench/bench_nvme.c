/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_nvme NAME SECONDS CARD [OPTION ...]: what a card can do without a guest. The driver's side
 * of the queues runs here, on core 0; the card runs on core 1; commands and data go by shared
 * memory. The card finds a key on descriptor 6 if its options ask for one. One line of JSON a case
 * on standard output.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base.h"
#include "nvme_client.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/spawn.h"

#define MEMORY	   (UINT64_C(64) << 20)
#define QUEUE	   1u
#define MAX_DEPTH  32u
#define LENGTH	   4096u
#define DEADLINE   5000 /* ms, of one exchange of the link */
#define BUCKET_NS  16u
#define BUCKETS	   65536u /* 1 ms; what took longer is in the last */
#define FD_BUS	   3
#define FD_KEY	   6
#define CARD_USER  "1879048258"
#define MAX_OPTION 24

struct pattern {
	const char *name;
	uint8_t opcode;
	unsigned depth;
};

/* Writes first: nothing is read that was never written. */
static const struct pattern patterns[] = {
	{"write 4K random", NVME_CMD_WRITE, 1}, {"write 4K random", NVME_CMD_WRITE, 32},
	{"read 4K random", NVME_CMD_READ, 1},	{"read 4K random", NVME_CMD_READ, 32},
	{"flush", NVME_CMD_FLUSH, 32},
};

struct bench {
	struct nvme_client nvme;
	struct vfu_client *link;
	pid_t card;
	uint64_t data; /* MAX_DEPTH blocks, for the card */
	uint64_t blocks, random;
	uint64_t began[1024]; /* by command id */
	uint32_t latencies[BUCKETS];
};

static void pin(unsigned core)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(core, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		fprintf(stderr, "bench_nvme: core %u: %s\n", core, strerror(errno));
}

static int key_pipe(void)
{
	uint8_t key[64];
	int pair[2], err = os_pipe(pair);

	for (unsigned i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)(i * 7 + 1);
	if (!err)
		err = os_write_all(pair[1], key, sizeof(key));
	if (err)
		return err;
	close(pair[1]);
	return pair[0];
}

/* The card inherits its core. Returns this end of the link. */
static int start_card(struct bench *bench, char **words)
{
	char *argv[MAX_OPTION + 6] = {words[0], (char *)"--bus-fd", (char *)"3"};
	int program = open(words[0], O_RDONLY | O_CLOEXEC);
	int pair[2], pidfd, err, count = 3, key = key_pipe();

	if (!geteuid()) {
		argv[count++] = (char *)"--user";
		argv[count++] = (char *)CARD_USER;
	}
	for (int i = 1; words[i] && i < MAX_OPTION; i++)
		argv[count++] = words[i];
	err = program < 0 || key < 0 ? -ENOENT : os_socket_pair(pair);
	if (err)
		return err;
	const struct os_spawn_fd fds[] = {
		{STDERR_FILENO, STDERR_FILENO}, {pair[1], FD_BUS}, {key, FD_KEY}};

	pin(1);
	err = os_spawn(program, argv, fds, ARRAY_LEN(fds), true, &bench->card, &pidfd);
	pin(0);
	close(program);
	close(key);
	close(pair[1]);
	return err ? err : pair[0];
}

static int connect_card(struct bench *bench, int socket)
{
	struct error error = {0};
	uint8_t *identity;
	uint64_t address;
	int err = vfu_client_create(&bench->link, socket, &nvme_client_memory, &bench->nvme,
				    DEADLINE);

	if (!err)
		err = vfu_client_negotiate(bench->link, &error);
	if (!err)
		err = nvme_client_attach(&bench->nvme, bench->link);
	if (!err)
		err = nvme_client_enable(&bench->nvme);
	if (!err)
		err = nvme_client_create_queue(&bench->nvme, QUEUE, 2 * MAX_DEPTH);
	if (err)
		return err;
	identity = nvme_client_alloc(&bench->nvme, LENGTH, &address);
	if (!identity || !nvme_client_alloc(&bench->nvme, MAX_DEPTH * LENGTH, &bench->data))
		return -ENOMEM;
	err = nvme_client_do(&bench->nvme, 0,
			     (struct nvme_command){.opcode = NVME_ADMIN_IDENTIFY, .nsid = 1},
			     address, LENGTH, NULL);
	memcpy(&bench->blocks, identity, sizeof(bench->blocks));
	return err;
}

static uint64_t next_block(struct bench *bench)
{
	bench->random = bench->random * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (bench->random >> 20) % bench->blocks;
}

static int put(struct bench *bench, const struct pattern *pattern, unsigned place, uint64_t now)
{
	struct nvme_command command = {.opcode = pattern->opcode, .nsid = 1};
	int id;

	if (pattern->opcode == NVME_CMD_FLUSH) {
		id = nvme_client_put(&bench->nvme, QUEUE, command);
	} else {
		command = nvme_client_transfer(pattern->opcode, next_block(bench), 1, 0);
		id = nvme_client_put_data(&bench->nvme, QUEUE, command,
					  bench->data + place * LENGTH, LENGTH);
	}
	if (id >= 0)
		bench->began[id] = now;
	return id;
}

static void note(struct bench *bench, uint64_t ns)
{
	bench->latencies[min_u64(ns / BUCKET_NS, BUCKETS - 1)]++;
}

/* Takes what is there and puts as much in again: one ring for all of it. */
static int turn(struct bench *bench, const struct pattern *pattern, bool again, uint64_t *ended)
{
	struct nvme_client_answer answer;
	uint64_t now;
	int id = 0;

	while (id >= 0 && nvme_client_take(&bench->nvme, QUEUE, &answer)) {
		if (answer.status)
			return -EIO;
		now = os_now();
		note(bench, now - bench->began[answer.cid]);
		++*ended;
		if (again)
			id = put(bench, pattern, answer.cid % MAX_DEPTH, now);
	}
	if (id >= 0)
		id = nvme_client_ring(&bench->nvme, QUEUE);
	return id < 0 ? id : 0;
}

static uint64_t percentile(const struct bench *bench, uint64_t total, double part)
{
	uint64_t wanted = (uint64_t)((double)total * part), sum = 0;
	unsigned bucket = 0;

	while (bucket < BUCKETS - 1 && (sum += bench->latencies[bucket]) < wanted)
		bucket++;
	return (uint64_t)bucket * BUCKET_NS;
}

static int run(struct bench *bench, const struct pattern *pattern, double seconds, uint64_t *total)
{
	uint64_t deadline = os_now() + (uint64_t)(seconds * (double)NS_PER_S);
	int err = 0;

	memset(bench->latencies, 0, sizeof(bench->latencies));
	*total = 0;
	for (unsigned i = 0; i < pattern->depth && err >= 0; i++)
		err = put(bench, pattern, i, os_now());
	err = err < 0 ? err : nvme_client_ring(&bench->nvme, QUEUE);
	while (!err && os_now() < deadline)
		for (unsigned i = 0; i < 256 && !err; i++)
			err = turn(bench, pattern, true, total);
	while (!err && bench->nvme.queues[QUEUE].under_way && !vfu_client_is_dead(bench->link))
		err = turn(bench, pattern, false, total);
	return err;
}

static int measure(struct bench *bench, const struct pattern *pattern, const char *name,
		   double seconds)
{
	uint64_t began, total;
	double took;
	int err = run(bench, pattern, seconds / 4, &total); /* to warm up */

	began = os_now();
	if (!err)
		err = run(bench, pattern, seconds, &total);
	if (err) {
		fprintf(stderr, "bench_nvme: %s, %s: %s\n", name, pattern->name, strerror(-err));
		return err;
	}
	took = (double)(os_now() - began) / (double)NS_PER_S;
	printf("{\"card\":\"%s\",\"pattern\":\"%s\",\"depth\":%u,\"iops\":%.0f,"
	       "\"median_ns\":%llu,\"p99_ns\":%llu,\"p999_ns\":%llu}\n",
	       name, pattern->name, pattern->depth, (double)total / took,
	       (unsigned long long)percentile(bench, total, 0.5),
	       (unsigned long long)percentile(bench, total, 0.99),
	       (unsigned long long)percentile(bench, total, 0.999));
	return fflush(stdout) ? -errno : 0;
}

int main(int argc, char **argv)
{
	struct bench *bench = calloc(1, sizeof(*bench));
	int socket, err;

	if (argc < 4 || !bench) {
		fprintf(stderr, "usage: bench_nvme NAME SECONDS CARD [OPTION ...]\n");
		return 2;
	}
	bench->random = 1;
	err = nvme_client_create(&bench->nvme, MEMORY);
	socket = err ? err : start_card(bench, argv + 3);
	err = socket < 0 ? socket : connect_card(bench, socket);
	if (err)
		fprintf(stderr, "bench_nvme: %s: %s\n", argv[3], strerror(-err));
	for (size_t i = 0; i < ARRAY_LEN(patterns) && !err; i++)
		err = measure(bench, &patterns[i], argv[1], atof(argv[2]));
	vfu_client_destroy(bench->link);
	if (bench->card > 0)
		waitpid(bench->card, NULL, 0);
	nvme_client_destroy(&bench->nvme);
	free(bench);
	return err ? 1 : 0;
}
