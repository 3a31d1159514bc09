/* SPDX-License-Identifier: Apache-2.0 */
/* The real volume card, with a key by pipe, an NVMe driver on its link and a file of the test's. */
#ifndef KARUTA_TESTS_VOLUME_HARNESS_H
#define KARUTA_TESTS_VOLUME_HARNESS_H

#include "card_harness.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "nvme_client.h"
#include "store/store.h"

#define VOLUME_SIZE (16u << 20)
#define MEMORY_SIZE (64u << 20)
#define BLOCK	    4096u
#define DEPTH	    64u
#define QUEUE	    1u

enum { FD_KEY = 6, FD_FILE = 7, FD_COMMANDS = 8 };

__attribute__((unused)) static const uint8_t good_key[STORE_KEY_SIZE] =
	"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLM"
	"NOPQRSTUVWXYZ-+";

struct fixture {
	struct harness harness;
	struct nvme_client nvme;
	char path[64], store[80];
	int file;
	int commands; /* the pipe's end that writes; -1 */
	uint32_t command_id;
	const uint8_t *key; /* what the card is given; NULL: nothing */
	size_t key_size;
};

static inline int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	assert_non_null(fixture);
	harness_open(&fixture->harness, harness_program("karuta-card-volume"));
	strcpy(fixture->path, "/var/tmp/karuta-volume-XXXXXX");
	fixture->file = mkostemp(fixture->path, O_CLOEXEC);
	assert_true(fixture->file >= 0);
	snprintf(fixture->store, sizeof(fixture->store), "file:%s", fixture->path);
	fixture->commands = -1;
	fixture->key = good_key;
	fixture->key_size = sizeof(good_key);
	assert_int_equal(nvme_client_create(&fixture->nvme, MEMORY_SIZE), 0);
	*state = fixture;
	return 0;
}

static inline int teardown(void **state)
{
	struct fixture *fixture = *state;
	struct harness *harness = &fixture->harness;

	if (harness->pid > 0 && harness->pidfd >= 0) {
		kill(harness->pid, SIGKILL);
		waitpid(harness->pid, NULL, 0);
	}
	nvme_client_destroy(&fixture->nvme);
	harness_close(harness);
	os_close(&fixture->commands);
	close(fixture->file);
	unlink(fixture->path);
	free(fixture);
	return 0;
}

/* ---- starting it ---- */

static inline int key_pipe(const struct fixture *fixture)
{
	int pair[2];

	if (!fixture->key)
		return open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(os_pipe(pair), 0);
	assert_int_equal(os_write_all(pair[1], fixture->key, fixture->key_size), 0);
	close(pair[1]);
	return pair[0];
}

/* The program, the frame's options, the test's. */
static inline void fill_arguments(const struct harness *harness, char *argv[40],
				  const char *const *arguments)
{
	static const char *const frame[] = {"--bus-fd",	   "3", "--state-fd",	"4",
					    "--status-fd", "5", "--command-fd", "8"};
	size_t count = 0;

	argv[count++] = (char *)"karuta-card-volume";
	if (HARNESS_NEEDS_LAUNCHER) {
		argv[count++] = (char *)"ASAN_OPTIONS=detect_leaks=0";
		argv[count++] = (char *)harness->program;
	}
	for (size_t i = 0; i < ARRAY_LEN(frame); i++)
		argv[count++] = (char *)frame[i];
	if (!geteuid()) {
		argv[count++] = (char *)"--user";
		argv[count++] = (char *)"1879048258";
	}
	while (*arguments && count < 39)
		argv[count++] = (char *)*arguments++;
	argv[count] = NULL;
}

/* Returns this end of the link. */
static inline int launch_on(struct fixture *fixture, const char *const *arguments)
{
	struct harness *harness = &fixture->harness;
	const char *launcher = HARNESS_NEEDS_LAUNCHER ? "/usr/bin/env" : harness->program;
	int pair[2], output[2], commands[2], key = key_pipe(fixture);
	int program = open(launcher, O_RDONLY | O_CLOEXEC);
	char *argv[40];

	fill_arguments(harness, argv, arguments);
	assert_true(program >= 0);
	assert_int_equal(os_pipe(output), 0);
	assert_int_equal(os_socket_pair(pair), 0);
	assert_int_equal(os_pipe(commands), 0);
	const struct os_spawn_fd fds[] = {
		{output[1], STDOUT_FILENO},    {output[1], STDERR_FILENO},	{pair[1], FD_BUS},
		{harness->state_fd, FD_STATE}, {harness->status_fd, FD_STATUS}, {key, FD_KEY},
		{fixture->file, FD_FILE},      {commands[0], FD_COMMANDS}};

	os_close(&harness->pidfd);
	os_close(&harness->output);
	assert_int_equal(os_spawn(program, argv, fds, ARRAY_LEN(fds), true, NULL, &harness->pid,
				  &harness->pidfd),
			 0);
	harness->output = output[0];
	close(output[1]);
	close(pair[1]);
	os_close(&fixture->commands);
	fixture->commands = commands[1];
	close(commands[0]);
	close(key);
	close(program);
	return pair[0];
}

static inline int launch(struct fixture *fixture, const char *const *arguments)
{
	memset(fixture->harness.status, 0, STATUS_PAGE_SIZE);
	return launch_on(fixture, arguments);
}

static inline void start(struct fixture *fixture, const char *const *arguments)
{
	int socket = launch(fixture, arguments);
	struct error error = {0};

	harness_wait_state(&fixture->harness, STATUS_READY);
	harness_disconnect(&fixture->harness);
	assert_int_equal(vfu_client_create(&fixture->harness.client, socket, &nvme_client_memory,
					   &fixture->nvme, PATIENCE_MS),
			 0);
	assert_int_equal(vfu_client_negotiate(fixture->harness.client, &error), 0);
	assert_int_equal(nvme_client_attach(&fixture->nvme, fixture->harness.client), 0);
}

/* From power on to an I/O queue. */
static inline void start_and_enable(struct fixture *fixture, const char *const *arguments)
{
	start(fixture, arguments);
	fixture->nvme.used = 0;
	memset(fixture->nvme.memory, 0, MEMORY_SIZE);
	assert_int_equal(nvme_client_enable(&fixture->nvme), 0);
	assert_int_equal(nvme_client_create_queue(&fixture->nvme, QUEUE, DEPTH), 0);
}

#define USUAL(fixture)                                                                             \
	(const char *[])                                                                           \
	{                                                                                          \
		"--store", (fixture)->store, "--size", "16M", "--key-fd", "6", NULL                \
	}

static inline void end(struct fixture *fixture)
{
	harness_disconnect(&fixture->harness);
	assert_int_equal(harness_wait(&fixture->harness), 0);
	/* Power off: the next start finds a new device. */
	memset(fixture->harness.state, 0, CARD_STATE_AREA_SIZE);
}

/* ---- what is on the disk ---- */

static inline void fill(uint8_t *data, uint64_t length, uint32_t seed)
{
	for (uint64_t i = 0; i < length; i++)
		data[i] = (uint8_t)((i * 2654435761u + seed) >> 13);
}

static inline uint8_t *buffer(struct fixture *fixture, uint64_t size, uint64_t *address)
{
	uint8_t *data = nvme_client_alloc(&fixture->nvme, size, address);

	assert_non_null(data);
	return data;
}

static inline int transfer(struct fixture *fixture, uint8_t opcode, uint64_t lba, uint32_t blocks,
			   uint64_t address, uint32_t length)
{
	return nvme_client_do(&fixture->nvme, QUEUE, nvme_client_transfer(opcode, lba, blocks, 0),
			      address, length, NULL);
}

static inline int write_blocks(struct fixture *fixture, uint64_t lba, uint32_t blocks,
			       uint64_t address)
{
	return transfer(fixture, NVME_CMD_WRITE, lba, blocks, address, blocks * BLOCK);
}

static inline int read_blocks(struct fixture *fixture, uint64_t lba, uint32_t blocks,
			      uint64_t address)
{
	return transfer(fixture, NVME_CMD_READ, lba, blocks, address, blocks * BLOCK);
}

/* All of the volume as somebody with `key` sees it. */
static inline uint8_t *decrypted(const struct fixture *fixture, const uint8_t *key)
{
	struct store *store = NULL;
	uint8_t *data = malloc(VOLUME_SIZE);

	assert_non_null(data);
	assert_int_equal(
		store_file_create(&store, open(fixture->path, O_RDWR | O_CLOEXEC), 0, NULL), 0);
	assert_int_equal(store_crypt_create(&store, store, key, NULL), 0);
	assert_int_equal(store_do(store, STORE_READ, 0, data, VOLUME_SIZE), 0);
	store_destroy(store);
	return data;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
