/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_nvme OPTIONS CARD [OPTION ...]: what a card can do without a guest; the options are those
 * of measure.h. The driver's side of the queues runs here, on the first core; the card on the
 * second; commands and data go by shared memory. The card finds a key on descriptor 6 if its
 * options ask for one. Idle: what the card does with nothing to do.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"
#include "measure.h"
#include "nvme_client.h"
#include "os/fd.h"
#include "os/spawn.h"

#define MEMORY	   (UINT64_C(256) << 20)
#define QUEUE	   1u
#define DEADLINE   5000 /* ms, of one exchange of the link */
#define FD_BUS	   3
#define FD_KEY	   6
#define CARD_USER  1879048258u
#define MAX_OPTION 24

struct bench {
	struct nvme_client nvme;
	struct vfu_client *link;
	pid_t card;
	uint64_t data; /* MEASURE_DEPTH times the longest transfer, for the card */
	uint64_t size, lba_size;
};

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
static int start_card(struct bench *bench, const struct measure_settings *settings, char **words)
{
	char *argv[MAX_OPTION + 6] = {words[0], (char *)"--bus-fd", (char *)"3"};
	int program = open(words[0], O_RDONLY | O_CLOEXEC);
	int pair[2], pidfd, err, count = 3, key = key_pipe();
	char user[16];

	snprintf(user, sizeof(user), "%u", CARD_USER + settings->server_core);
	if (!geteuid()) {
		argv[count++] = (char *)"--user";
		argv[count++] = user;
	}
	for (int i = 1; words[i] && i < MAX_OPTION; i++)
		argv[count++] = words[i];
	err = program < 0 || key < 0 ? -ENOENT : os_socket_pair(pair);
	if (err)
		return err;
	const struct os_spawn_fd fds[] = {
		{STDERR_FILENO, STDERR_FILENO}, {pair[1], FD_BUS}, {key, FD_KEY}};

	measure_pin(settings->server_core);
	err = os_spawn(program, argv, fds, ARRAY_LEN(fds), true, NULL, &bench->card, &pidfd);
	measure_pin(settings->client_core);
	close(program);
	close(key);
	close(pair[1]);
	return err ? err : pair[0];
}

/* Size and block size of namespace 1: NVM Command Set 4.1.5.1. */
static int identify(struct bench *bench)
{
	uint64_t address;
	uint8_t *identity = nvme_client_alloc(&bench->nvme, NVME_PAGE, &address);
	int err;

	if (!identity)
		return -ENOMEM;
	err = nvme_client_do(&bench->nvme, 0,
			     (struct nvme_command){.opcode = NVME_ADMIN_IDENTIFY, .nsid = 1},
			     address, NVME_PAGE, NULL);
	memcpy(&bench->size, identity, sizeof(bench->size));
	bench->lba_size = UINT64_C(1) << identity[128 + 4 * (identity[26] & 0xf) + 2];
	bench->size *= bench->lba_size;
	return err;
}

static int connect_card(struct bench *bench, int socket)
{
	struct error error = {0};
	int err = vfu_client_create(&bench->link, socket, &nvme_client_memory, &bench->nvme,
				    DEADLINE);

	if (!err)
		err = vfu_client_negotiate(bench->link, &error);
	if (!err)
		err = nvme_client_attach(&bench->nvme, bench->link);
	if (!err)
		err = nvme_client_enable(&bench->nvme);
	if (!err)
		err = nvme_client_create_queue(&bench->nvme, QUEUE, 2 * MEASURE_DEPTH);
	if (!err && !nvme_client_alloc(&bench->nvme, MEASURE_DEPTH * (uint64_t)MEASURE_LENGTH,
				       &bench->data))
		err = -ENOMEM;
	return err ? err : identify(bench);
}

static int put(void *context, const struct measure_pattern *pattern, unsigned place,
	       uint64_t offset)
{
	static const uint8_t opcodes[] = {
		[MEASURE_READ] = NVME_CMD_READ, [MEASURE_WRITE] = NVME_CMD_WRITE};
	struct bench *bench = context;
	uint32_t lba_size = (uint32_t)bench->lba_size;
	struct nvme_command command = {.opcode = NVME_CMD_FLUSH, .nsid = 1};

	if (pattern->how == MEASURE_FLUSH)
		return nvme_client_put(&bench->nvme, QUEUE, command);
	command = nvme_client_transfer(opcodes[pattern->how], offset / lba_size,
				       pattern->length / lba_size, 0);
	return nvme_client_put_data(&bench->nvme, QUEUE, command,
				    bench->data + (uint64_t)place * pattern->length,
				    pattern->length);
}

static int ring(void *context)
{
	return nvme_client_ring(&((struct bench *)context)->nvme, QUEUE);
}

static int take(void *context)
{
	struct bench *bench = context;
	struct nvme_client_answer answer;

	if (!nvme_client_take(&bench->nvme, QUEUE, &answer))
		return -EAGAIN;
	return answer.status ? -EIO : answer.cid;
}

static int measure_idle(const struct bench *bench, const struct measure_settings *settings)
{
	struct timespec before = {0}, after = {0};
	clockid_t clock;
	int err = clock_getcpuclockid(bench->card, &clock);

	if (err)
		return -err;
	clock_gettime(clock, &before);
	usleep((useconds_t)(settings->seconds * 1e6));
	clock_gettime(clock, &after);
	printf("{\"card\":\"%s\",\"pattern\":\"idle\",\"depth\":0,\"cpu_us\":%.0f}\n",
	       settings->name,
	       (double)(after.tv_sec - before.tv_sec) * 1e6 +
		       (double)(after.tv_nsec - before.tv_nsec) / 1e3);
	return fflush(stdout) ? -errno : 0;
}

static int measure_all(struct bench *bench, const struct measure_settings *settings)
{
	const struct measure_device device = {
		.context = bench, .size = bench->size, .put = put, .ring = ring, .take = take};
	int err = 0;

	for (unsigned i = 0; i < settings->pattern_count && !err; i++) {
		const struct measure_pattern *pattern = &settings->patterns[i];

		err = pattern->how == MEASURE_IDLE ? measure_idle(bench, settings)
						   : measure_run(&device, settings, pattern);
	}
	return err;
}

int main(int argc, char **argv)
{
	struct bench bench = {0};
	struct measure_settings settings;
	int socket, err;

	if (!measure_options(&settings, argc, argv)) {
		fprintf(stderr, "usage: bench_nvme [-n NAME] [-t SECONDS] [-c CORE,CORE] "
				"-p HOW:KIB:DEPTH ... CARD [OPTION ...]\n");
		return 2;
	}
	err = nvme_client_create(&bench.nvme, MEMORY);
	socket = err ? err : start_card(&bench, &settings, argv + optind);
	err = socket < 0 ? socket : connect_card(&bench, socket);
	if (err)
		fprintf(stderr, "bench_nvme: %s: %s\n", argv[optind], strerror(-err));
	else
		err = measure_all(&bench, &settings);
	vfu_client_destroy(bench.link);
	if (bench.card > 0)
		waitpid(bench.card, NULL, 0);
	nvme_client_destroy(&bench.nvme);
	return err ? 1 : 0;
}
