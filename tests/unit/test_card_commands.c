/* SPDX-License-Identifier: Apache-2.0 */
/* What a controller can ask of a card that serves: another size, and to hold still. */
#include "volume_harness.h"

#include "wire/command.h"

enum { WRITES = 60 };

static void send_command(struct fixture *fixture, struct command command)
{
	uint8_t bytes[COMMAND_MAX_SIZE];
	int length;

	command.id = ++fixture->command_id;
	length = command_encode(&command, bytes, sizeof(bytes));
	assert_true(length > 0);
	assert_int_equal(os_write_all(fixture->commands, bytes, (size_t)length), 0);
}

/* Its result, and *text if that is wanted. */
static int command(struct fixture *fixture, struct command command, char *text)
{
	struct status_view view;

	send_command(fixture, command);
	for (unsigned i = 0; i < PATIENCE_MS; i++) {
		view = harness_status(&fixture->harness);
		if (view.command_done == fixture->command_id) {
			if (text)
				strcpy(text, view.text);
			return view.command_result;
		}
		usleep(1000);
	}
	fail_msg("the card does not answer");
	return -1;
}

static int resize(struct fixture *fixture, uint64_t size)
{
	return command(fixture, (struct command){.verb = COMMAND_RESIZE, .size = size}, NULL);
}

static int freeze(struct fixture *fixture)
{
	return command(fixture, (struct command){.verb = COMMAND_FREEZE}, NULL);
}

static int thaw(struct fixture *fixture)
{
	return command(fixture, (struct command){.verb = COMMAND_THAW}, NULL);
}

static void ask_for_event(struct fixture *fixture)
{
	struct nvme_command events = {
		.opcode = NVME_ADMIN_SET_FEATURES, .cdw10 = NVME_FEATURE_EVENTS, .cdw11 = 0x100};
	struct nvme_command wait = {.opcode = NVME_ADMIN_ASYNC_EVENT};

	assert_int_equal(nvme_client_do(&fixture->nvme, 0, events, 0, 0, NULL), 0);
	assert_true(nvme_client_put(&fixture->nvme, 0, wait) >= 0);
	assert_int_equal(nvme_client_ring(&fixture->nvme, 0), 0);
}

static uint64_t blocks(struct fixture *fixture)
{
	struct nvme_command identify = {
		.opcode = NVME_ADMIN_IDENTIFY, .nsid = 1, .cdw10 = NVME_CNS_NAMESPACE};
	uint64_t address;
	uint8_t *page = buffer(fixture, BLOCK, &address);

	assert_int_equal(nvme_client_do(&fixture->nvme, 0, identify, address, BLOCK, NULL), 0);
	return ((struct nvme_identify_namespace *)page)->nsze;
}

static void a_larger_file_is_a_larger_disk(void **state)
{
	struct fixture *fixture = *state;
	struct nvme_client_answer answer;
	uint64_t last = 2 * VOLUME_SIZE / BLOCK - 1, address;
	uint8_t *data;

	start_and_enable(fixture, USUAL(fixture));
	data = buffer(fixture, BLOCK, &address);
	fill(data, BLOCK, 1);
	ask_for_event(fixture);
	assert_true(write_blocks(fixture, last, 1, address) > 0);
	assert_int_equal(ftruncate(fixture->file, 2 * VOLUME_SIZE), 0);
	assert_int_equal(resize(fixture, 2 * VOLUME_SIZE), 0);
	assert_int_equal(nvme_client_wait(&fixture->nvme, 0, &answer), 0);
	assert_int_equal(answer.result, 0x040002);
	assert_int_equal(blocks(fixture), last + 1);
	assert_int_equal(write_blocks(fixture, last, 1, address), 0);
	assert_int_equal(read_blocks(fixture, last, 1, address), 0);
	assert_true(read_blocks(fixture, last + 1, 1, address) > 0);
	/* Once more is no news, and no harm. */
	assert_int_equal(resize(fixture, 2 * VOLUME_SIZE), 0);
	assert_int_equal(nvme_client_take(&fixture->nvme, 0, &answer), 0);
	end(fixture);
}

static void a_disk_does_not_shrink(void **state)
{
	static const uint64_t wrong[] = {VOLUME_SIZE / 2, VOLUME_SIZE + 512, VOLUME_SIZE + BLOCK,
					 UINT64_MAX - 4095, UINT64_MAX};
	struct fixture *fixture = *state;

	start_and_enable(fixture, USUAL(fixture));
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_int_equal(resize(fixture, wrong[i]), -EINVAL);
	assert_int_equal(blocks(fixture), VOLUME_SIZE / BLOCK);
	end(fixture);
}

/* The guest was not told yet, or was: the next process tells it if need be. */
static void a_card_that_dies_meanwhile_tells_it_all_the_same(void **state)
{
	struct fixture *fixture = *state;
	struct nvme_client_answer answer;

	start_and_enable(fixture, USUAL(fixture));
	ask_for_event(fixture);
	harness_kill(&fixture->harness, SIGKILL);
	assert_int_equal(harness_wait(&fixture->harness), -SIGKILL);
	assert_int_equal(ftruncate(fixture->file, 2 * VOLUME_SIZE), 0);
	start(fixture,
	      (const char *[]){"--store", fixture->store, "--size", "32M", "--key-fd", "6", NULL});
	assert_int_equal(nvme_client_wait(&fixture->nvme, 0, &answer), 0);
	assert_int_equal(answer.result, 0x040002);
	assert_int_equal(blocks(fixture), 2 * VOLUME_SIZE / BLOCK);
	end(fixture);
}

static void put_writes(struct fixture *fixture, uint64_t address)
{
	for (uint32_t i = 0; i < WRITES; i++)
		assert_true(nvme_client_put_data(&fixture->nvme, QUEUE,
						 nvme_client_transfer(NVME_CMD_WRITE, i * 8, 8, 0),
						 address + i * 8 * BLOCK, 8 * BLOCK) >= 0);
	assert_int_equal(nvme_client_ring(&fixture->nvme, QUEUE), 0);
}

static void take_answers(struct fixture *fixture, unsigned count)
{
	struct nvme_client_answer answer;

	while (count--) {
		assert_int_equal(nvme_client_wait(&fixture->nvme, QUEUE, &answer), 0);
		assert_int_equal(answer.status, 0);
	}
}

static uint8_t *stored(const struct fixture *fixture)
{
	uint8_t *bytes = malloc(VOLUME_SIZE);

	assert_non_null(bytes);
	assert_int_equal(os_pread_all(fixture->file, bytes, VOLUME_SIZE, 0), 0);
	return bytes;
}

/* Whatever was under way has ended, and nothing new begins. */
static void a_frozen_card_does_not_touch_its_file(void **state)
{
	struct fixture *fixture = *state;
	uint8_t *data, *before, *after;
	uint64_t address;

	start_and_enable(fixture, USUAL(fixture));
	data = buffer(fixture, WRITES * 8 * BLOCK, &address);
	for (uint32_t round = 1; round <= 8; round++) {
		fill(data, WRITES * 8 * BLOCK, round);
		put_writes(fixture, address);
		assert_int_equal(freeze(fixture), 0);
		before = stored(fixture);
		usleep(3000);
		after = stored(fixture);
		assert_memory_equal(before, after, VOLUME_SIZE);
		free(before);
		free(after);
		assert_int_equal(thaw(fixture), 0);
		take_answers(fixture, WRITES);
	}
	end(fixture);
	after = decrypted(fixture, good_key);
	assert_memory_equal(after, data, WRITES * 8 * BLOCK);
	free(after);
}

static void what_comes_while_it_is_frozen_is_done_after(void **state)
{
	struct fixture *fixture = *state;
	struct nvme_client_answer answer;
	uint64_t address;

	start_and_enable(fixture, USUAL(fixture));
	buffer(fixture, WRITES * 8 * BLOCK, &address);
	assert_int_equal(freeze(fixture), 0);
	assert_int_equal(freeze(fixture), 0);
	put_writes(fixture, address);
	usleep(20000);
	assert_int_equal(nvme_client_take(&fixture->nvme, QUEUE, &answer), 0);
	assert_int_equal(thaw(fixture), 0);
	take_answers(fixture, WRITES);
	assert_int_equal(thaw(fixture), 0);
	end(fixture);
}

/* Doorbells in the guest's memory do not keep it awake: it does not even look. */
static void a_frozen_card_sleeps(void **state)
{
	struct fixture *fixture = *state;
	struct nvme_command shadows = {.opcode = NVME_ADMIN_DOORBELL_BUFFERS};
	struct nvme_command flush = {.opcode = NVME_CMD_FLUSH, .nsid = 1};
	volatile uint32_t *values;
	uint64_t before;

	start_and_enable(fixture, USUAL(fixture));
	values = (void *)buffer(fixture, BLOCK, &shadows.prp1);
	buffer(fixture, BLOCK, &shadows.prp2);
	assert_int_equal(nvme_client_do(&fixture->nvme, 0, shadows, 0, 0, NULL), 0);
	assert_int_equal(freeze(fixture), 0);
	assert_true(nvme_client_put(&fixture->nvme, QUEUE, flush) >= 0);
	values[2 * QUEUE] = 1;
	harness_read(&fixture->harness, 0, NVME_REG_CSTS, 4); /* wakes it up */
	usleep(50000); /* it looks on for a moment before it sleeps */
	before = harness_status(&fixture->harness).heartbeat;
	usleep(300000);
	assert_true(harness_status(&fixture->harness).heartbeat - before < 100);
	assert_int_equal(thaw(fixture), 0);
	take_answers(fixture, 1);
	end(fixture);
}

static void a_frozen_card_is_not_forgotten(void **state)
{
	struct fixture *fixture = *state;
	uint64_t address;

	start_and_enable(fixture, USUAL(fixture));
	buffer(fixture, WRITES * 8 * BLOCK, &address);
	/* Who would thaw it has gone. */
	assert_int_equal(freeze(fixture), 0);
	put_writes(fixture, address);
	os_close(&fixture->commands);
	take_answers(fixture, WRITES);
	end(fixture);
	/* The next process is not frozen. */
	start_and_enable(fixture, USUAL(fixture));
	assert_int_equal(freeze(fixture), 0);
	put_writes(fixture, address);
	harness_kill(&fixture->harness, SIGKILL);
	assert_int_equal(harness_wait(&fixture->harness), -SIGKILL);
	start(fixture, USUAL(fixture));
	take_answers(fixture, WRITES);
	end(fixture);
}

static void a_reset_does_not_wait_for_the_thaw(void **state)
{
	struct fixture *fixture = *state;

	start_and_enable(fixture, USUAL(fixture));
	assert_int_equal(freeze(fixture), 0);
	assert_int_equal(vfu_client_reset(fixture->harness.client), 0);
	assert_int_equal(thaw(fixture), 0);
	harness_master(&fixture->harness, true);
	assert_int_equal(nvme_client_enable(&fixture->nvme), 0);
	end(fixture);
}

static void nonsense_ends_the_listening_and_nothing_else(void **state)
{
	struct fixture *fixture = *state;
	char text[STATUS_TEXT_SIZE];
	uint64_t address;

	start_and_enable(fixture, USUAL(fixture));
	buffer(fixture, WRITES * 8 * BLOCK, &address);
	assert_int_equal(command(fixture, (struct command){.verb = COMMAND_KILL}, text), -EINVAL);
	assert_string_equal(text, "that is not for a card");
	assert_int_equal(os_write_all(fixture->commands, "this is not a command", 21), 0);
	put_writes(fixture, address);
	take_answers(fixture, WRITES);
	end(fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_larger_file_is_a_larger_disk),
		CASE(a_disk_does_not_shrink),
		CASE(a_card_that_dies_meanwhile_tells_it_all_the_same),
		CASE(a_frozen_card_does_not_touch_its_file),
		CASE(what_comes_while_it_is_frozen_is_done_after),
		CASE(a_frozen_card_sleeps),
		CASE(a_frozen_card_is_not_forgotten),
		CASE(a_reset_does_not_wait_for_the_thaw),
		CASE(nonsense_ends_the_listening_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
