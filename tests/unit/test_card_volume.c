/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The volume card as a whole: the real program, with a key by pipe and an NVMe driver on its link,
 * and what is found in the file behind it.
 */
#include "card_harness.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "nvme_client.h"
#include "store/store.h"

#define VOLUME_SIZE (16u << 20)
#define MEMORY_SIZE (64u << 20)
#define BLOCK	    4096u
#define DEPTH	    64u
#define QUEUE	    1u

enum { FD_KEY = 6, FD_FILE = 7 };

static const uint8_t good_key[STORE_KEY_SIZE] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLM"
						"NOPQRSTUVWXYZ-+";

struct fixture {
	struct harness harness;
	struct nvme_client nvme;
	char path[64], store[80];
	int file;
	const uint8_t *key; /* what the card is given; NULL: nothing */
	size_t key_size;
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	assert_non_null(fixture);
	harness_open(&fixture->harness, harness_program("karuta-card-volume"));
	strcpy(fixture->path, "/var/tmp/karuta-volume-XXXXXX");
	fixture->file = mkostemp(fixture->path, O_CLOEXEC);
	assert_true(fixture->file >= 0);
	snprintf(fixture->store, sizeof(fixture->store), "file:%s", fixture->path);
	fixture->key = good_key;
	fixture->key_size = sizeof(good_key);
	assert_int_equal(nvme_client_create(&fixture->nvme, MEMORY_SIZE), 0);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;
	struct harness *harness = &fixture->harness;

	if (harness->pid > 0 && harness->pidfd >= 0) {
		kill(harness->pid, SIGKILL);
		waitpid(harness->pid, NULL, 0);
	}
	nvme_client_destroy(&fixture->nvme);
	harness_close(harness);
	close(fixture->file);
	unlink(fixture->path);
	free(fixture);
	return 0;
}

/* ---- starting it ---- */

static int key_pipe(const struct fixture *fixture)
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
static void fill_arguments(const struct harness *harness, char *argv[40],
			   const char *const *arguments)
{
	static const char *const frame[] = {"--bus-fd", "3", "--state-fd", "4", "--status-fd", "5"};
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
static int launch(struct fixture *fixture, const char *const *arguments)
{
	struct harness *harness = &fixture->harness;
	const char *launcher = HARNESS_NEEDS_LAUNCHER ? "/usr/bin/env" : harness->program;
	int pair[2], output[2], key = key_pipe(fixture);
	int program = open(launcher, O_RDONLY | O_CLOEXEC);
	char *argv[40];

	fill_arguments(harness, argv, arguments);
	assert_true(program >= 0);
	assert_int_equal(os_pipe(output), 0);
	assert_int_equal(os_socket_pair(pair), 0);
	const struct os_spawn_fd fds[] = {
		{output[1], STDOUT_FILENO},    {output[1], STDERR_FILENO},	{pair[1], FD_BUS},
		{harness->state_fd, FD_STATE}, {harness->status_fd, FD_STATUS}, {key, FD_KEY},
		{fixture->file, FD_FILE}};

	os_close(&harness->pidfd);
	os_close(&harness->output);
	memset(harness->status, 0, STATUS_PAGE_SIZE);
	assert_int_equal(
		os_spawn(program, argv, fds, ARRAY_LEN(fds), true, &harness->pid, &harness->pidfd),
		0);
	harness->output = output[0];
	close(output[1]);
	close(pair[1]);
	close(key);
	close(program);
	return pair[0];
}

static void start(struct fixture *fixture, const char *const *arguments)
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
static void start_and_enable(struct fixture *fixture, const char *const *arguments)
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

static void end(struct fixture *fixture)
{
	harness_disconnect(&fixture->harness);
	assert_int_equal(harness_wait(&fixture->harness), 0);
	/* Power off: the next start finds a new device. */
	memset(fixture->harness.state, 0, CARD_STATE_AREA_SIZE);
}

/* ---- what is on the disk ---- */

static void fill(uint8_t *data, uint64_t length, uint32_t seed)
{
	for (uint64_t i = 0; i < length; i++)
		data[i] = (uint8_t)((i * 2654435761u + seed) >> 13);
}

static uint8_t *buffer(struct fixture *fixture, uint64_t size, uint64_t *address)
{
	uint8_t *data = nvme_client_alloc(&fixture->nvme, size, address);

	assert_non_null(data);
	return data;
}

static int transfer(struct fixture *fixture, uint8_t opcode, uint64_t lba, uint32_t blocks,
		    uint64_t address, uint32_t length)
{
	return nvme_client_do(&fixture->nvme, QUEUE, nvme_client_transfer(opcode, lba, blocks, 0),
			      address, length, NULL);
}

static int write_blocks(struct fixture *fixture, uint64_t lba, uint32_t blocks, uint64_t address)
{
	return transfer(fixture, NVME_CMD_WRITE, lba, blocks, address, blocks * BLOCK);
}

static int read_blocks(struct fixture *fixture, uint64_t lba, uint32_t blocks, uint64_t address)
{
	return transfer(fixture, NVME_CMD_READ, lba, blocks, address, blocks * BLOCK);
}

/* All of the volume as somebody with `key` sees it. */
static uint8_t *decrypted(const struct fixture *fixture, const uint8_t *key)
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

/* ---- the tests ---- */

static void serves_a_disk(void **state)
{
	struct fixture *fixture = *state;
	struct nvme_command identify = {.opcode = NVME_ADMIN_IDENTIFY,
					.cdw10 = NVME_CNS_CONTROLLER};
	uint64_t address;
	uint8_t *page;

	start_and_enable(fixture, (const char *[]){"--store", fixture->store, "--size", "16M",
						   "--key-fd", "6", "--serial", "disk-1", NULL});
	page = buffer(fixture, BLOCK, &address);
	assert_int_equal(nvme_client_do(&fixture->nvme, 0, identify, address, BLOCK, NULL), 0);
	assert_memory_equal(((struct nvme_identify_controller *)page)->sn, "disk-1       ", 13);
	assert_memory_equal(((struct nvme_identify_controller *)page)->mn, "karuta volume   ", 16);
	identify.cdw10 = NVME_CNS_NAMESPACE;
	identify.nsid = 1;
	assert_int_equal(nvme_client_do(&fixture->nvme, 0, identify, address, BLOCK, NULL), 0);
	assert_int_equal(((struct nvme_identify_namespace *)page)->nsze, VOLUME_SIZE / BLOCK);
	assert_int_equal(((struct nvme_identify_namespace *)page)->lbaf[0].lbads, 12);
	end(fixture);
}

static void keeps_what_is_written_as_cipher_text(void **state)
{
	struct fixture *fixture = *state;
	uint64_t to, from;
	uint8_t *data, *back, *all, *stored = malloc(VOLUME_SIZE);

	start_and_enable(fixture, USUAL(fixture));
	data = buffer(fixture, 256 * BLOCK, &to);
	back = buffer(fixture, 256 * BLOCK, &from);
	fill(data, 256 * BLOCK, 1);
	assert_int_equal(write_blocks(fixture, 100, 256, to), 0);
	assert_int_equal(transfer(fixture, NVME_CMD_FLUSH, 0, 1, 0, 0), 0);
	assert_int_equal(read_blocks(fixture, 100, 256, from), 0);
	assert_memory_equal(back, data, 256 * BLOCK);
	assert_int_equal(read_blocks(fixture, 400, 1, from), 0);
	assert_int_equal(back[0] | back[BLOCK - 1], 0);
	assert_int_equal(os_pread_all(fixture->file, stored, VOLUME_SIZE, 0), 0);
	for (size_t i = 0; i < 256; i += 8)
		assert_null(memmem(stored, VOLUME_SIZE, data + i * BLOCK, 64));
	all = decrypted(fixture, good_key);
	assert_memory_equal(all + 100 * BLOCK, data, 256 * BLOCK);
	free(all);
	free(stored);
	end(fixture);
}

static void data_survives_a_restart(void **state)
{
	struct fixture *fixture = *state;
	uint64_t address;
	uint8_t *data, expected[4 * BLOCK];

	fill(expected, sizeof(expected), 2);
	start_and_enable(fixture, USUAL(fixture));
	data = buffer(fixture, sizeof(expected), &address);
	memcpy(data, expected, sizeof(expected));
	assert_int_equal(write_blocks(fixture, 4000, 4, address), 0);
	end(fixture);
	start_and_enable(fixture,
			 (const char *[]){"--store", fixture->store, "--key-fd", "6", NULL});
	data = buffer(fixture, sizeof(expected), &address);
	assert_int_equal(read_blocks(fixture, 4000, 4, address), 0);
	assert_memory_equal(data, expected, sizeof(expected));
	end(fixture);
}

static void a_wrong_key_gives_noise(void **state)
{
	struct fixture *fixture = *state;
	uint8_t other[STORE_KEY_SIZE];
	uint64_t address;
	uint8_t *data, expected[BLOCK];

	fill(expected, sizeof(expected), 3);
	start_and_enable(fixture, USUAL(fixture));
	data = buffer(fixture, BLOCK, &address);
	memcpy(data, expected, BLOCK);
	assert_int_equal(write_blocks(fixture, 9, 1, address), 0);
	end(fixture);
	memcpy(other, good_key, sizeof(other));
	other[1] ^= 1;
	fixture->key = other;
	start_and_enable(fixture, USUAL(fixture));
	data = buffer(fixture, BLOCK, &address);
	assert_int_equal(read_blocks(fixture, 9, 1, address), 0);
	for (size_t i = 0; i < BLOCK; i += 16)
		assert_memory_not_equal(data + i, expected + i, 16);
	end(fixture);
}

static void deallocated_blocks_read_as_zeros_and_take_no_room(void **state)
{
	struct fixture *fixture = *state;
	struct nvme_command deallocate = {
		.opcode = NVME_CMD_DATASET_MANAGEMENT, .nsid = 1, .cdw10 = 0, .cdw11 = NVME_DSM_AD};
	struct nvme_dsm_range *range;
	uint64_t address, list;
	struct stat before, after;
	uint8_t *data;

	start_and_enable(fixture, USUAL(fixture));
	data = buffer(fixture, 256 * BLOCK, &address);
	range = (struct nvme_dsm_range *)buffer(fixture, BLOCK, &list);
	fill(data, 256 * BLOCK, 4);
	assert_int_equal(write_blocks(fixture, 0, 256, address), 0);
	assert_int_equal(transfer(fixture, NVME_CMD_FLUSH, 0, 1, 0, 0), 0);
	fstat(fixture->file, &before);
	*range = (struct nvme_dsm_range){.lba = 1, .blocks = 255};
	assert_int_equal(nvme_client_do(&fixture->nvme, QUEUE, deallocate, list, 16, NULL), 0);
	fstat(fixture->file, &after);
	assert_true(after.st_blocks < before.st_blocks);
	assert_int_equal(read_blocks(fixture, 0, 256, address), 0);
	for (size_t i = BLOCK; i < 256 * BLOCK; i++)
		assert_int_equal(data[i], 0);
	assert_int_not_equal(data[0] | data[1] | data[2], 0);
	end(fixture);
}

/* Eight sectors of one block at a time, from memory that starts anywhere. */
static void sectors_of_512_bytes_share_blocks(void **state)
{
	struct fixture *fixture = *state;
	struct nvme_client *nvme = &fixture->nvme;
	struct nvme_client_answer answer;
	uint64_t address;
	uint8_t *data, *all;

	start_and_enable(fixture, (const char *[]){"--store", fixture->store, "--size", "16M",
						   "--key-fd", "6", "--sector", "512", NULL});
	data = buffer(fixture, 64 * 516, &address);
	fill(data, 64 * 516, 5);
	for (uint32_t i = 0; i < 48; i++)
		assert_true(nvme_client_put_data(
				    nvme, QUEUE,
				    nvme_client_transfer(NVME_CMD_WRITE, 80 + i * 5 % 48, 1, 0),
				    address + i * 516, 512) >= 0);
	assert_int_equal(nvme_client_ring(nvme, QUEUE), 0);
	for (uint32_t i = 0; i < 48; i++) {
		assert_int_equal(nvme_client_wait(nvme, QUEUE, &answer), 0);
		assert_int_equal(answer.status, 0);
	}
	end(fixture);
	all = decrypted(fixture, good_key);
	for (uint32_t i = 0; i < 48; i++)
		assert_memory_equal(all + (80 + i * 5 % 48) * 512, data + i * 516, 512);
	free(all);
}

/* ---- death and what follows ---- */

static void put_write(struct fixture *fixture, uint8_t *data, uint64_t address, uint32_t i,
		      uint32_t round)
{
	fill(data + i * 8 * BLOCK, 8 * BLOCK, round * 1000 + i);
	assert_true(nvme_client_put_data(&fixture->nvme, QUEUE,
					 nvme_client_transfer(NVME_CMD_WRITE, i * 8, 8, 0),
					 address + i * 8 * BLOCK, 8 * BLOCK) >= 0);
}

/* Killed with up to 60 writes under way; another process goes on: each gets its one answer. */
static void a_killed_card_is_followed_by_another(void **state)
{
	enum { WRITES = 60, ROUNDS = 12 };
	struct fixture *fixture = *state;
	struct nvme_client *nvme = &fixture->nvme;
	struct nvme_client_answer answer;
	uint64_t address;
	uint8_t *data, *all;

	start_and_enable(fixture, USUAL(fixture));
	data = buffer(fixture, WRITES * 8 * BLOCK, &address);
	for (uint32_t round = 0; round < ROUNDS; round++) {
		uint64_t answers = 0;

		for (uint32_t i = 0; i < WRITES; i++)
			put_write(fixture, data, address, i, round);
		assert_int_equal(nvme_client_ring(nvme, QUEUE), 0);
		usleep(round * 150);
		harness_kill(&fixture->harness, SIGKILL);
		assert_int_equal(harness_wait(&fixture->harness), -SIGKILL);
		start(fixture, USUAL(fixture));
		for (uint32_t i = 0; i < WRITES; i++) {
			assert_int_equal(nvme_client_wait(nvme, QUEUE, &answer), 0);
			assert_int_equal(answer.status, 0);
			assert_false(answers >> answer.cid & 1);
			answers |= UINT64_C(1) << answer.cid;
		}
		assert_int_equal(nvme_client_take(nvme, QUEUE, &answer), 0);
	}
	assert_int_equal(transfer(fixture, NVME_CMD_FLUSH, 0, 1, 0, 0), 0);
	end(fixture);
	all = decrypted(fixture, good_key);
	assert_memory_equal(all, data, WRITES * 8 * BLOCK);
	free(all);
}

static void a_cut_file_gives_errors_and_nothing_worse(void **state)
{
	struct fixture *fixture = *state;
	uint64_t address;

	start_and_enable(fixture, USUAL(fixture));
	buffer(fixture, BLOCK, &address);
	assert_int_equal(ftruncate(fixture->file, VOLUME_SIZE / 2), 0);
	assert_true(read_blocks(fixture, 4000, 1, address) > 0);
	assert_int_equal(read_blocks(fixture, 1, 1, address), 0);
	assert_true(harness_status(&fixture->harness).counters[STATUS_CARD_ERRORS] > 0);
	end(fixture);
}

static void forbidden_commands_are_security_events(void **state)
{
	struct fixture *fixture = *state;
	struct nvme_command format = {.opcode = NVME_ADMIN_FORMAT, .nsid = 1};

	start_and_enable(fixture, USUAL(fixture));
	assert_true(nvme_client_do(&fixture->nvme, 0, format, 0, 0, NULL) > 0);
	struct status_view view = harness_status(&fixture->harness);

	assert_int_equal(view.counters[STATUS_CARD_SECURITY_EVENTS], 1);
	assert_non_null(strstr(view.text, "0x80"));
	end(fixture);
}

/* ---- secrets ---- */

static size_t read_proc(const struct fixture *fixture, const char *name, char *text, size_t size)
{
	char path[64];
	ssize_t length;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", fixture->harness.pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	length = os_read_full(fd, text, size - 1);
	close(fd);
	assert_true(length >= 0);
	text[length] = '\0';
	return (size_t)length;
}

static uint64_t proc_value(const struct fixture *fixture, const char *name)
{
	char text[8192];
	const char *at;

	read_proc(fixture, "status", text, sizeof(text));
	at = strstr(text, name);
	assert_non_null(at);
	return strtoull(at + strlen(name), NULL, 10);
}

static void the_key_shows_nowhere(void **state)
{
	struct fixture *fixture = *state;
	char text[8192], path[64];
	struct rlimit locked;
	struct stat entry;
	size_t length;

	start_and_enable(fixture, USUAL(fixture));
	length = read_proc(fixture, "cmdline", text, sizeof(text));
	assert_null(memmem(text, length, good_key, 8));
	length = read_proc(fixture, "environ", text, sizeof(text));
	assert_null(memmem(text, length, good_key, 8));
	snprintf(path, sizeof(path), "/proc/%d/environ", fixture->harness.pid);
	assert_null(memmem(fixture->harness.state, CARD_STATE_AREA_SIZE, good_key, 8));
	assert_null(memmem(fixture->harness.status, STATUS_PAGE_SIZE, good_key, 8));
	/* Bounce memory at least, and the heap. */
	assert_true(getrlimit(RLIMIT_MEMLOCK, &locked) == 0);
	if (locked.rlim_cur >= 2 * MIB)
		assert_in_range(proc_value(fixture, "VmLck:"), 1025, 4096);
	read_proc(fixture, "limits", text, sizeof(text));
	assert_non_null(strstr(text, "Max core file size        0                    0 "));
	if (!geteuid()) {
		/* proc(5): what cannot be dumped belongs to root, whoever runs it. */
		assert_int_equal(stat(path, &entry), 0);
		assert_int_equal(proc_value(fixture, "Uid:"), 0x70000042u);
		assert_int_equal(entry.st_uid, 0);
	}
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", fixture->harness.pid, FD_KEY);
	assert_true(readlink(path, text, sizeof(text)) < 0 || !strstr(text, "pipe"));
	end(fixture);
}

/* Besides the client's memory, which is counted with the card's as shared. */
static void memory_stays_small(void **state)
{
	struct fixture *fixture = *state;
	uint64_t address, own;

	if (HARNESS_NEEDS_LAUNCHER)
		skip(); /* the sanitizer's own memory */
	start_and_enable(fixture, USUAL(fixture));
	buffer(fixture, 256 * BLOCK, &address);
	for (uint32_t i = 0; i < 15; i++)
		assert_int_equal(write_blocks(fixture, i * 256, 256, address), 0);
	own = proc_value(fixture, "RssAnon:") + proc_value(fixture, "RssFile:");
	printf("resident: %llu KiB\n", (unsigned long long)own);
	assert_in_range(own, 1, 8 * 1024);
	end(fixture);
}

/* ---- refusals ---- */

static void refuses(struct fixture *fixture, const char *const *arguments, const char *text)
{
	int socket = launch(fixture, arguments);
	int code = harness_wait(&fixture->harness);
	const char *output = harness_output(&fixture->harness);

	close(socket);
	if (code != 1 && code != 2)
		fail_msg("ended with %d: %s", code, output);
	if (!strstr(output, text))
		fail_msg("said: %s", output);
}

static void refuses_what_makes_no_volume(void **state)
{
	struct fixture *fixture = *state;
	const char *store = fixture->store;

	refuses(fixture, (const char *[]){"--key-fd", "6", NULL}, "--store is needed");
	refuses(fixture, (const char *[]){"--store", "tape:1", NULL}, "file:PATH, fd:N or ram:");
	refuses(fixture, (const char *[]){"--store", "fd:99", NULL}, "no such descriptor");
	refuses(fixture, (const char *[]){"--store", "ram:", NULL}, "needs --size");
	refuses(fixture, (const char *[]){"--store", store, "--key-fd", "6", NULL}, "empty");
	refuses(fixture, (const char *[]){"--store", store, "--size", "10Q", NULL}, "--size 10Q");
	refuses(fixture, (const char *[]){"--store", store, "--size", "0", NULL}, "--size 0");
	refuses(fixture, (const char *[]){"--store", store, "--size", "9000000T", NULL}, "--size");
	refuses(fixture, (const char *[]){"--store", store, "--sector", "520", NULL}, "--sector");
	refuses(fixture, (const char *[]){"--serial", "123456789012345678901", NULL}, "--serial");
	refuses(fixture, (const char *[]){"--store", "file:/nowhere/x", "--key-fd", "6", NULL},
		"volume file:/nowhere/x: does not exist");
}

static void refuses_to_run_without_a_good_key(void **state)
{
	struct fixture *fixture = *state;
	uint8_t twice[STORE_KEY_SIZE];
	struct stat status;

	refuses(fixture, (const char *[]){"--store", fixture->store, "--size", "16M", NULL},
		"no key");
	fixture->key = NULL;
	refuses(fixture, USUAL(fixture), "too short");
	fixture->key = good_key;
	fixture->key_size = STORE_KEY_SIZE - 1;
	refuses(fixture, USUAL(fixture), "too short");
	memset(twice, 7, sizeof(twice));
	fixture->key = twice;
	fixture->key_size = sizeof(twice);
	refuses(fixture, USUAL(fixture), "halves are equal");
	assert_int_equal(fstat(fixture->file, &status), 0);
	assert_int_equal(status.st_size, 0); /* nothing was touched */
}

static void a_volume_has_one_writer(void **state)
{
	struct fixture *fixture = *state;
	struct harness first;

	start(fixture, USUAL(fixture));
	first = fixture->harness;
	harness_open(&fixture->harness, first.program);
	refuses(fixture, USUAL(fixture), "in use by another program");
	refuses(fixture, (const char *[]){"--store", "fd:7", "--key-fd", "6", NULL},
		"in use by another program");
	harness_close(&fixture->harness);
	fixture->harness = first;
	end(fixture);
}

static void a_file_can_be_handed_over(void **state)
{
	struct fixture *fixture = *state;
	uint64_t address;

	start_and_enable(fixture, (const char *[]){"--store", "fd:7", "--size", "16777216",
						   "--key-fd", "6", NULL});
	buffer(fixture, BLOCK, &address);
	assert_int_equal(write_blocks(fixture, 4095, 1, address), 0);
	assert_true(write_blocks(fixture, 4096, 1, address) > 0);
	end(fixture);
}

static void write_and_read_back(struct fixture *fixture)
{
	uint64_t to, from;
	uint8_t *data = buffer(fixture, 128 * BLOCK, &to);
	uint8_t *back = buffer(fixture, 128 * BLOCK, &from);

	fill(data, 128 * BLOCK, 7);
	assert_int_equal(write_blocks(fixture, 11, 128, to), 0);
	assert_int_equal(read_blocks(fixture, 11, 128, from), 0);
	assert_memory_equal(back, data, 128 * BLOCK);
}

static void serves_memory_that_is_not_shared(void **state)
{
	struct fixture *fixture = *state;

	fixture->nvme.remote = true;
	start_and_enable(fixture, USUAL(fixture));
	write_and_read_back(fixture);
	end(fixture);
}

static void can_pass_the_page_cache_by(void **state)
{
	struct fixture *fixture = *state;
	int fd = open(fixture->path, O_RDWR | O_DIRECT | O_CLOEXEC);

	if (fd < 0)
		skip(); /* the file system has no such thing */
	close(fd);
	start_and_enable(fixture, (const char *[]){"--store", fixture->store, "--size", "16M",
						   "--key-fd", "6", "--direct", NULL});
	write_and_read_back(fixture);
	end(fixture);
}

static void memory_needs_no_key(void **state)
{
	struct fixture *fixture = *state;

	start_and_enable(fixture, (const char *[]){"--store", "ram:", "--size", "16M", NULL});
	write_and_read_back(fixture);
	end(fixture);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(serves_a_disk),
		CASE(keeps_what_is_written_as_cipher_text),
		CASE(data_survives_a_restart),
		CASE(a_wrong_key_gives_noise),
		CASE(deallocated_blocks_read_as_zeros_and_take_no_room),
		CASE(sectors_of_512_bytes_share_blocks),
		CASE(a_killed_card_is_followed_by_another),
		CASE(a_cut_file_gives_errors_and_nothing_worse),
		CASE(forbidden_commands_are_security_events),
		CASE(the_key_shows_nowhere),
		CASE(memory_stays_small),
		CASE(refuses_what_makes_no_volume),
		CASE(refuses_to_run_without_a_good_key),
		CASE(a_volume_has_one_writer),
		CASE(a_file_can_be_handed_over),
		CASE(serves_memory_that_is_not_shared),
		CASE(can_pass_the_page_cache_by),
		CASE(memory_needs_no_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
