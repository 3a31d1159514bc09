/* SPDX-License-Identifier: Apache-2.0 */
/* The volume card as a whole: what a guest sees of it, and what is found in the file behind it. */
#include "volume_harness.h"

#include <sys/resource.h>

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

/* What has to be durable before its answer, without a flush of the guest's. */
static void forced_commands_end(void **state)
{
	struct fixture *fixture = *state;
	struct nvme_command deallocate = {
		.opcode = NVME_CMD_DATASET_MANAGEMENT, .nsid = 1, .cdw11 = NVME_DSM_AD};
	struct nvme_command cache_off = {.opcode = NVME_ADMIN_SET_FEATURES,
					 .cdw10 = NVME_FEATURE_WRITE_CACHE};
	struct nvme_command delete = {.opcode = NVME_ADMIN_DELETE_SQ, .cdw10 = QUEUE};
	struct nvme_command zeroes = nvme_client_transfer(NVME_CMD_WRITE_ZEROES, 8, 8, NVME_RW_FUA);
	struct nvme_command read = nvme_client_transfer(NVME_CMD_READ, 8, 8, NVME_RW_FUA);
	uint64_t address, list;
	struct nvme_dsm_range *range;

	start_and_enable(fixture, USUAL(fixture));
	buffer(fixture, 8 * BLOCK, &address);
	range = (struct nvme_dsm_range *)buffer(fixture, BLOCK, &list);
	*range = (struct nvme_dsm_range){.lba = 1, .blocks = 2};
	assert_int_equal(nvme_client_do(&fixture->nvme, QUEUE, zeroes, 0, 0, NULL), 0);
	assert_int_equal(nvme_client_do(&fixture->nvme, QUEUE, read, address, 8 * BLOCK, NULL), 0);
	assert_int_equal(nvme_client_do(&fixture->nvme, 0, cache_off, 0, 0, NULL), 0);
	assert_int_equal(nvme_client_do(&fixture->nvme, QUEUE, deallocate, list, 16, NULL), 0);
	assert_int_equal(nvme_client_do(&fixture->nvme, 0, delete, 0, 0, NULL), 0);
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
	assert_in_range(own, 1, 6 * 1024);
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

/* In pieces of 4, 8, 12 ... bytes, with holes between them. */
static int by_pieces(struct fixture *fixture, uint8_t opcode, uint64_t lba, uint64_t data,
		     uint32_t length)
{
	struct nvme_command command = nvme_client_transfer(opcode, lba, length / BLOCK, 0);
	struct nvme_sgl *list;
	uint64_t count = 0, at = 0;

	list = (void *)buffer(fixture, 4 * BLOCK, &command.prp1);
	for (uint32_t done = 0; done < length; count++) {
		uint32_t piece = (uint32_t)(count + 1) * 4;

		piece = piece < length - done ? piece : length - done;
		list[count] = (struct nvme_sgl){.address = data + at, .length = piece};
		done += piece;
		at += piece + 4;
	}
	command.flags = NVME_PSDT_SGL;
	command.prp2 = count * sizeof(*list) | (uint64_t)NVME_SGL_LAST_SEGMENT << 56;
	return nvme_client_do(&fixture->nvme, QUEUE, command, 0, 0, NULL);
}

static void compare_and_write(struct fixture *fixture, uint64_t old, uint64_t new, int first,
			      int second)
{
	struct nvme_command compare = nvme_client_transfer(NVME_CMD_COMPARE, 200, 1, 0);
	struct nvme_command write = nvme_client_transfer(NVME_CMD_WRITE, 200, 1, 0);
	struct nvme_client_answer answer;

	compare.flags = NVME_FUSE_FIRST;
	write.flags = NVME_FUSE_SECOND;
	assert_true(nvme_client_put_data(&fixture->nvme, QUEUE, compare, old, BLOCK) >= 0);
	assert_true(nvme_client_put_data(&fixture->nvme, QUEUE, write, new, BLOCK) >= 0);
	assert_int_equal(nvme_client_ring(&fixture->nvme, QUEUE), 0);
	assert_int_equal(nvme_client_wait(&fixture->nvme, QUEUE, &answer), 0);
	assert_int_equal(answer.status, first);
	assert_int_equal(nvme_client_wait(&fixture->nvme, QUEUE, &answer), 0);
	assert_int_equal(answer.status, second);
}

/* Compare, verify, copy, lists of pieces, a fused pair. */
static void all_of_the_command_set(struct fixture *fixture)
{
	struct nvme_command copy = nvme_client_transfer(NVME_CMD_COPY, 200, 1, 0);
	uint64_t to, ranges, other;
	uint8_t *data = buffer(fixture, 128 * BLOCK, &to);
	struct nvme_copy_range *range = (void *)buffer(fixture, BLOCK, &ranges);

	buffer(fixture, BLOCK, &other);
	fill(data, 128 * BLOCK, 9);
	assert_int_equal(by_pieces(fixture, NVME_CMD_WRITE, 60, to, 32 * BLOCK), 0);
	assert_int_equal(by_pieces(fixture, NVME_CMD_COMPARE, 60, to, 32 * BLOCK), 0);
	memset(data, 0, 128 * BLOCK);
	assert_int_equal(by_pieces(fixture, NVME_CMD_READ, 60, to, 32 * BLOCK), 0);
	assert_int_equal(by_pieces(fixture, NVME_CMD_COMPARE, 60, to, 32 * BLOCK), 0);
	fill(data, 128 * BLOCK, 9);
	assert_int_equal(write_blocks(fixture, 11, 128, to), 0);
	assert_int_equal(transfer(fixture, NVME_CMD_COMPARE, 11, 128, to, 128 * BLOCK), 0);
	data[128 * BLOCK - 1] ^= 1;
	assert_int_equal(transfer(fixture, NVME_CMD_COMPARE, 11, 128, to, 128 * BLOCK),
			 NVME_COMPARE_FAILURE);
	data[128 * BLOCK - 1] ^= 1;
	assert_int_equal(transfer(fixture, NVME_CMD_VERIFY, 11, 128, 0, 0), 0);
	range->lba = 11;
	range->blocks = 127;
	assert_int_equal(nvme_client_do(&fixture->nvme, QUEUE, copy, ranges, sizeof(*range), NULL),
			 0);
	assert_int_equal(transfer(fixture, NVME_CMD_COMPARE, 200, 128, to, 128 * BLOCK), 0);
	compare_and_write(fixture, to, other, NVME_OK, NVME_OK);
	compare_and_write(fixture, to, other, NVME_COMPARE_FAILURE, NVME_FAILED_FUSED);
	assert_int_equal(transfer(fixture, NVME_CMD_COMPARE, 200, 1, other, BLOCK), 0);
}

static void has_all_of_the_command_set(void **state)
{
	struct fixture *fixture = *state;

	start_and_enable(fixture, USUAL(fixture));
	all_of_the_command_set(fixture);
	end(fixture);
}

static void serves_memory_that_is_not_shared(void **state)
{
	struct fixture *fixture = *state;

	fixture->nvme.remote = true;
	start_and_enable(fixture, USUAL(fixture));
	write_and_read_back(fixture);
	all_of_the_command_set(fixture);
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
	all_of_the_command_set(fixture);
	end(fixture);
}

static void memory_needs_no_key(void **state)
{
	struct fixture *fixture = *state;

	start_and_enable(fixture, (const char *[]){"--store", "ram:", "--size", "16M", NULL});
	write_and_read_back(fixture);
	end(fixture);
}

/* The client has the card's page of doorbells; no message goes by for a command. */
static void polling_cards_are_rung_by_stores(void **state)
{
	struct fixture *fixture = *state;
	const char *const polling[] = {
		"--poll", "--store", fixture->store, "--size", "16M", "--key-fd", "6", NULL};

	start_and_enable(fixture, USUAL(fixture));
	assert_null(fixture->nvme.doorbells);
	end(fixture);
	start_and_enable(fixture, polling);
	assert_non_null(fixture->nvme.doorbells);
	write_and_read_back(fixture);
	harness_kill(&fixture->harness, SIGKILL);
	assert_int_equal(harness_wait(&fixture->harness), -SIGKILL);
	start(fixture, polling);
	write_and_read_back(fixture);
	end(fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(serves_a_disk),
		CASE(keeps_what_is_written_as_cipher_text),
		CASE(data_survives_a_restart),
		CASE(a_wrong_key_gives_noise),
		CASE(deallocated_blocks_read_as_zeros_and_take_no_room),
		CASE(forced_commands_end),
		CASE(sectors_of_512_bytes_share_blocks),
		CASE(a_killed_card_is_followed_by_another),
		CASE(a_cut_file_gives_errors_and_nothing_worse),
		CASE(forbidden_commands_are_security_events),
		CASE(the_key_shows_nowhere),
		CASE(memory_stays_small),
		CASE(a_file_can_be_handed_over),
		CASE(has_all_of_the_command_set),
		CASE(serves_memory_that_is_not_shared),
		CASE(can_pass_the_page_cache_by),
		CASE(memory_needs_no_key),
		CASE(polling_cards_are_rung_by_stores),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
