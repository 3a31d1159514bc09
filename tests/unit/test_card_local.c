/* SPDX-License-Identifier: Apache-2.0 */
/* The local-store card: what a start finds, what a crash keeps, where its key is and is not. */
#include "volume_harness.h"

#include "local.h"

#define LAST (VOLUME_SIZE / BLOCK - 1)

#define LOCAL(fixture)                                                                             \
	(const char *[])                                                                           \
	{                                                                                          \
		"--store", (fixture)->store, NULL                                                  \
	}

/* A file full of what somebody left behind. */
static int setup_local(void **state)
{
	struct fixture *fixture;
	uint8_t *noise = malloc(VOLUME_SIZE);

	if (!noise || setup(state))
		return -1;
	fixture = *state;
	fixture->harness.program = harness_program("karuta-card-local");
	fill(noise, VOLUME_SIZE, 99);
	assert_int_equal(os_pwrite_all(fixture->file, noise, VOLUME_SIZE, 0), 0);
	free(noise);
	return 0;
}

static const uint8_t *key_of(const struct fixture *fixture)
{
	const uint8_t *area = fixture->harness.state + CARD_STATE_OFFSET;

	return ((const struct local_state *)area)->key;
}

static void write_pattern(struct fixture *fixture, uint64_t lba, uint32_t seed)
{
	uint64_t address;
	uint8_t *data = buffer(fixture, BLOCK, &address);

	fill(data, BLOCK, seed);
	assert_int_equal(write_blocks(fixture, lba, 1, address), 0);
}

static bool reads_as(struct fixture *fixture, uint64_t lba, const uint8_t *expected)
{
	uint64_t address;
	uint8_t *data = buffer(fixture, BLOCK, &address);

	memset(data, 0x5a, BLOCK);
	assert_int_equal(read_blocks(fixture, lba, 1, address), 0);
	return !memcmp(data, expected, BLOCK);
}

static bool reads_as_pattern(struct fixture *fixture, uint64_t lba, uint32_t seed)
{
	uint8_t expected[BLOCK];

	fill(expected, BLOCK, seed);
	return reads_as(fixture, lba, expected);
}

static void assert_empty(struct fixture *fixture)
{
	static const uint8_t zeros[BLOCK];

	for (uint64_t lba = 0; lba < LAST; lba += 97)
		assert_true(reads_as(fixture, lba, zeros));
	assert_true(reads_as(fixture, LAST, zeros));
}

static void begins_empty(void **state)
{
	struct fixture *fixture = *state;
	struct nvme_command identify = {.opcode = NVME_ADMIN_IDENTIFY,
					.cdw10 = NVME_CNS_CONTROLLER};
	struct stat status;
	uint64_t address;
	uint8_t *page;

	start_and_enable(fixture, LOCAL(fixture));
	page = buffer(fixture, BLOCK, &address);
	assert_int_equal(nvme_client_do(&fixture->nvme, 0, identify, address, BLOCK, NULL), 0);
	assert_memory_equal(((struct nvme_identify_controller *)page)->mn, "karuta local store ",
			    19);
	assert_empty(fixture);
	assert_int_equal(fstat(fixture->file, &status), 0);
	assert_int_equal(status.st_size, VOLUME_SIZE);
	end(fixture);
}

static void stop_and_start_forget_everything(void **state)
{
	struct fixture *fixture = *state;

	start_and_enable(fixture, LOCAL(fixture));
	write_pattern(fixture, 0, 1);
	write_pattern(fixture, 97, 2);
	write_pattern(fixture, LAST, 3);
	assert_true(reads_as_pattern(fixture, LAST, 3));
	end(fixture);
	start_and_enable(fixture, LOCAL(fixture));
	assert_empty(fixture);
	end(fixture);
}

static uint8_t *stored(const struct fixture *fixture)
{
	uint8_t *bytes = malloc(VOLUME_SIZE);

	assert_non_null(bytes);
	assert_int_equal(os_pread_all(fixture->file, bytes, VOLUME_SIZE, 0), 0);
	return bytes;
}

/* The same bytes at the same place, stored by two devices one after the other. */
static void each_device_has_its_own_key(void **state)
{
	struct fixture *fixture = *state;
	uint8_t keys[2][STORE_KEY_SIZE], plain[BLOCK], *files[2];

	fill(plain, BLOCK, 7);
	for (unsigned i = 0; i < 2; i++) {
		uint8_t *all;

		start_and_enable(fixture, LOCAL(fixture));
		write_pattern(fixture, 5, 7);
		memcpy(keys[i], key_of(fixture), STORE_KEY_SIZE);
		end(fixture);
		files[i] = stored(fixture);
		all = decrypted(fixture, keys[i]);
		assert_memory_equal(all + 5 * BLOCK, plain, BLOCK);
		free(all);
	}
	for (size_t i = 0; i < STORE_KEY_SIZE; i += 8)
		assert_memory_not_equal(keys[0] + i, keys[1] + i, 8);
	for (size_t i = 5 * BLOCK; i < 6 * BLOCK; i += 16) {
		assert_memory_not_equal(files[0] + i, files[1] + i, 16);
		assert_memory_not_equal(files[0] + i, plain + (i - 5 * BLOCK), 16);
	}
	free(files[0]);
	free(files[1]);
}

/* Killed with writes under way, then stopped in order: the device goes on with its state. */
static void a_killed_card_keeps_its_data(void **state)
{
	enum { WRITES = 60, ROUNDS = 6 };
	struct fixture *fixture = *state;
	struct nvme_client *nvme = &fixture->nvme;
	struct nvme_client_answer answer;
	uint64_t address;
	uint8_t *data;

	start_and_enable(fixture, LOCAL(fixture));
	write_pattern(fixture, LAST, 8);
	data = buffer(fixture, WRITES * BLOCK, &address);
	for (uint32_t round = 0; round < ROUNDS; round++) {
		fill(data, WRITES * BLOCK, round);
		for (uint32_t i = 0; i < WRITES; i++)
			assert_true(
				nvme_client_put_data(nvme, QUEUE,
						     nvme_client_transfer(NVME_CMD_WRITE, i, 1, 0),
						     address + i * BLOCK, BLOCK) >= 0);
		assert_int_equal(nvme_client_ring(nvme, QUEUE), 0);
		usleep(round * 150);
		harness_kill(&fixture->harness, round % 2 ? SIGTERM : SIGKILL);
		assert_int_equal(harness_wait(&fixture->harness), round % 2 ? 0 : -SIGKILL);
		start(fixture, LOCAL(fixture));
		for (uint32_t i = 0; i < WRITES; i++) {
			assert_int_equal(nvme_client_wait(nvme, QUEUE, &answer), 0);
			assert_int_equal(answer.status, 0);
		}
		for (uint32_t i = 0; i < WRITES; i++)
			assert_true(reads_as(fixture, i, data + i * BLOCK));
	}
	assert_true(reads_as_pattern(fixture, LAST, 8));
	end(fixture);
}

/* Connects to the process that has stood by, once it serves. */
static void go_on_with(struct fixture *fixture, int socket)
{
	struct harness *harness = &fixture->harness;
	struct error error = {0};

	for (unsigned i = 0; i < PATIENCE_MS && harness_status(harness).standing_by; i++)
		usleep(1000);
	harness_wait_state(harness, STATUS_READY);
	harness_disconnect(harness);
	assert_int_equal(vfu_client_create(&harness->client, socket, &nvme_client_memory,
					   &fixture->nvme, PATIENCE_MS),
			 0);
	assert_int_equal(vfu_client_negotiate(harness->client, &error), 0);
	assert_int_equal(nvme_client_attach(&fixture->nvme, harness->client), 0);
}

static void an_updated_card_keeps_its_data(void **state)
{
	struct fixture *fixture = *state;
	struct harness *harness = &fixture->harness;
	pid_t old;
	int socket;

	start_and_enable(fixture, LOCAL(fixture));
	write_pattern(fixture, 3, 11);
	old = harness->pid;
	socket =
		launch_on(fixture, (const char *[]){"--store", fixture->store, "--stand-by", NULL});
	for (unsigned i = 0; i < PATIENCE_MS && !harness_status(harness).standing_by; i++)
		usleep(1000);
	assert_true(harness_status(harness).standing_by);
	write_pattern(fixture, 4, 12);
	assert_int_equal(kill(old, SIGTERM), 0);
	assert_int_equal(waitpid(old, NULL, 0), old);
	go_on_with(fixture, socket);
	assert_true(reads_as_pattern(fixture, 3, 11));
	assert_true(reads_as_pattern(fixture, 4, 12));
	end(fixture);
}

/* Killed before it was ready, it has served nobody: the next one begins anew. */
static void a_card_killed_at_its_start_leaves_nothing(void **state)
{
	struct fixture *fixture = *state;

	for (unsigned i = 0; i < 12; i++) {
		int socket = launch(fixture, LOCAL(fixture));

		usleep(i * 2000);
		harness_kill(&fixture->harness, SIGKILL);
		assert_int_equal(harness_wait(&fixture->harness), -SIGKILL);
		close(socket);
	}
	start_and_enable(fixture, LOCAL(fixture));
	assert_empty(fixture);
	end(fixture);
}

static void look_for_key(struct fixture *fixture, const char *name, const uint8_t *key)
{
	static char text[1 << 16];
	char path[64];
	ssize_t length;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", fixture->harness.pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	length = os_read_full(fd, text, sizeof(text));
	close(fd);
	assert_true(length >= 0);
	for (size_t i = 0; i < STORE_KEY_SIZE; i += 8)
		assert_null(memmem(text, (size_t)length, key + i, 8));
}

static void the_key_is_in_the_state_and_nowhere_else(void **state)
{
	struct fixture *fixture = *state;
	uint8_t key[STORE_KEY_SIZE], *bytes;

	start_and_enable(fixture, LOCAL(fixture));
	for (uint32_t i = 0; i < 64; i++)
		write_pattern(fixture, i * 64, i);
	memcpy(key, key_of(fixture), sizeof(key));
	look_for_key(fixture, "cmdline", key);
	look_for_key(fixture, "environ", key);
	bytes = stored(fixture);
	for (size_t i = 0; i < sizeof(key); i += 8) {
		assert_null(memmem(bytes, VOLUME_SIZE, key + i, 8));
		assert_null(memmem(fixture->harness.status, STATUS_PAGE_SIZE, key + i, 8));
		assert_null(memmem(fixture->nvme.memory, MEMORY_SIZE, key + i, 8));
		assert_null(memmem(fixture->harness.state,
				   CARD_STATE_OFFSET + offsetof(struct local_state, key), key + i,
				   8));
	}
	free(bytes);
	end(fixture);
}

static void refuses(struct fixture *fixture, const char *const *arguments, int code,
		    const char *text)
{
	int socket = launch(fixture, arguments);

	assert_int_equal(harness_wait(&fixture->harness), code);
	assert_non_null(strstr(harness_output(&fixture->harness), text));
	close(socket);
}

static void refuses_what_makes_no_disk(void **state)
{
	struct fixture *fixture = *state;
	struct local_state *device;

	refuses(fixture, (const char *[]){"--size", "16M", NULL}, 1, "--store is needed");
	refuses(fixture, (const char *[]){"--store", fixture->store, "--key-fd", "6", NULL}, 2,
		"--key-fd");
	refuses(fixture, (const char *[]){"--store", fixture->store, "--iops", "0", NULL}, 2,
		"--iops: 0: should be a number");
	start_and_enable(fixture, LOCAL(fixture));
	write_pattern(fixture, 0, 1);
	harness_kill(&fixture->harness, SIGKILL);
	assert_int_equal(harness_wait(&fixture->harness), -SIGKILL);
	device = (struct local_state *)(fixture->harness.state + CARD_STATE_OFFSET);
	memset(device->key, 0, sizeof(device->key));
	refuses(fixture, LOCAL(fixture), 2, "it holds no key");
}

#define LOCAL_CASE(name) cmocka_unit_test_setup_teardown(name, setup_local, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOCAL_CASE(begins_empty),
		LOCAL_CASE(stop_and_start_forget_everything),
		LOCAL_CASE(each_device_has_its_own_key),
		LOCAL_CASE(a_killed_card_keeps_its_data),
		LOCAL_CASE(an_updated_card_keeps_its_data),
		LOCAL_CASE(a_card_killed_at_its_start_leaves_nothing),
		LOCAL_CASE(the_key_is_in_the_state_and_nowhere_else),
		LOCAL_CASE(refuses_what_makes_no_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
