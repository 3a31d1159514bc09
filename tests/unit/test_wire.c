/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/base.h"
#include "wire/command.h"
#include "wire/console.h"
#include "wire/status.h"

static void command_survives_the_pipe(void **state)
{
	struct command out;
	struct command in = {.verb = COMMAND_CONFIGURE, .id = 7, .memory = GIB, .cpus = 2};
	uint8_t bytes[COMMAND_MAX_SIZE];
	int length;

	(void)state;
	strcpy(in.line, "console=ttyS0");
	length = command_encode(&in, bytes, sizeof(bytes));
	assert_true(length > 0);
	assert_int_equal(command_decode(&out, bytes, (size_t)length), length);
	assert_memory_equal(&in, &out, sizeof(in));
}

static void commands_to_a_card_survive_it(void **state)
{
	static const struct command sent[] = {
		{.verb = COMMAND_RESIZE, .id = 1, .size = 3 * GIB},
		{.verb = COMMAND_FREEZE, .id = 2},
		{.verb = COMMAND_THAW, .id = 3},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sent); i++) {
		uint8_t bytes[COMMAND_MAX_SIZE];
		int length = command_encode(&sent[i], bytes, sizeof(bytes));
		struct command out;

		assert_true(length > 0);
		assert_int_equal(command_decode(&out, bytes, (size_t)length), length);
		assert_memory_equal(&sent[i], &out, sizeof(out));
	}
}

static void half_a_command_waits_for_the_rest(void **state)
{
	struct command in = {.verb = COMMAND_DETACH, .id = 1, .slot = 3, .flags = 1};
	struct command out;
	uint8_t bytes[COMMAND_MAX_SIZE];
	int length = command_encode(&in, bytes, sizeof(bytes));

	(void)state;
	for (size_t cut = 0; cut < (size_t)length; cut++)
		assert_int_equal(command_decode(&out, bytes, cut), 0);
	assert_int_equal(command_decode(&out, bytes, (size_t)length), length);
}

static void command_out_of_range_is_not_sent(void **state)
{
	uint8_t bytes[COMMAND_MAX_SIZE];
	struct command bad[] = {
		{.verb = COMMAND_ATTACH, .id = 1, .slot = 0},
		{.verb = COMMAND_ATTACH, .id = 1, .slot = COMMAND_MAX_SLOT + 1},
		{.verb = COMMAND_START, .id = 0},
		{.verb = COMMAND_RESIZE, .id = 1, .size = 0},
		{.verb = COMMAND_CONFIGURE, .id = 1, .memory = 0, .cpus = 1},
		{.verb = COMMAND_CONFIGURE, .id = 1, .memory = 1, .cpus = COMMAND_MAX_CPUS + 1},
		{.verb = (enum command_verb)99, .id = 1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(command_encode(&bad[i], bytes, sizeof(bytes)), -EINVAL);
}

static void damaged_command_is_refused(void **state)
{
	struct command in = {.verb = COMMAND_ATTACH, .id = 1, .slot = 3};
	struct command out;
	uint8_t bytes[COMMAND_MAX_SIZE], good[COMMAND_MAX_SIZE];
	int length = command_encode(&in, good, sizeof(good));
	static const size_t fields[] = {0, 4, 12, 16}; /* magic, verb, zero, slot */

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		memcpy(bytes, good, sizeof(bytes));
		bytes[fields[i]] ^= 0x80;
		assert_int_equal(command_decode(&out, bytes, (size_t)length), -EPROTO);
	}
}

static void status_is_read_as_written(void **state)
{
	struct status_page *page = calloc(1, STATUS_PAGE_SIZE);
	struct status_view view;

	(void)state;
	assert_int_equal(status_read(page, STATUS_CARD, &view), -EAGAIN);
	status_init(page, STATUS_CARD);
	status_set(page, STATUS_READY, STATUS_REASON_NONE, "serving \001");
	status_command_done(page, 9, -ENOENT, "slot 3: empty");
	status_count(page, STATUS_CARD_READS, 5);
	assert_int_equal(status_read(page, STATUS_CARD, &view), 0);
	assert_int_equal(view.state, STATUS_READY);
	assert_int_equal(view.command_done, 9);
	assert_int_equal(view.command_result, -ENOENT);
	assert_string_equal(view.text, "slot 3: empty");
	assert_int_equal(view.counters[STATUS_CARD_READS], 5);
	free(page);
}

static void hostile_status_page_is_refused(void **state)
{
	struct status_page *page = calloc(1, STATUS_PAGE_SIZE);
	struct status_view view;

	(void)state;
	status_init(page, STATUS_CARD);
	assert_int_equal(status_read(page, STATUS_HYPERVISOR, &view), -EPROTO);
	page->state = 77;
	assert_int_equal(status_read(page, STATUS_CARD, &view), -EPROTO);
	page->state = STATUS_READY;
	page->slots[5] = 200;
	assert_int_equal(status_read(page, STATUS_CARD, &view), -EPROTO);
	page->slots[5] = 0;
	page->command_result = INT32_MIN; /* no error of any kind */
	assert_int_equal(status_read(page, STATUS_CARD, &view), -EPROTO);
	page->command_result = 0;
	page->sequence = 3; /* for ever being written */
	assert_int_equal(status_read(page, STATUS_CARD, &view), -EAGAIN);
	page->magic ^= 1; /* and not a page at all */
	assert_int_equal(status_read(page, STATUS_CARD, &view), -EPROTO);
	page->magic ^= 1;
	page->sequence = 4;
	memset(page->text, '\033', sizeof(page->text)); /* not terminated, and a terminal escape */
	assert_int_equal(status_read(page, STATUS_CARD, &view), 0);
	assert_int_equal(strlen(view.text), STATUS_TEXT_SIZE - 1);
	assert_int_equal(view.text[0], '?');
	free(page);
}

static void successor_of_a_killed_writer_is_readable(void **state)
{
	struct status_page *page = calloc(1, STATUS_PAGE_SIZE);
	struct status_view view;

	(void)state;
	page->sequence = 5; /* died while it wrote */
	status_init(page, STATUS_CARD);
	assert_int_equal(status_read(page, STATUS_CARD, &view), 0);
	free(page);
}

static void console_gives_bytes_in_order(void **state)
{
	struct console_ring *ring = calloc(1, CONSOLE_SIZE);
	uint64_t position = 0, lost = 0;
	char bytes[16];

	(void)state;
	console_init(ring);
	console_write(ring, "hello ", 6);
	console_write(ring, "world", 5);
	assert_int_equal(console_read(ring, &position, bytes, sizeof(bytes), &lost), 11);
	assert_memory_equal(bytes, "hello world", 11);
	assert_int_equal(console_read(ring, &position, bytes, sizeof(bytes), &lost), 0);
	assert_int_equal(lost, 0);
	free(ring);
}

static void slow_console_reader_loses_the_oldest(void **state)
{
	struct console_ring *ring = calloc(1, CONSOLE_SIZE);
	uint64_t position = 0, lost = 0;
	uint8_t byte;

	(void)state;
	console_init(ring);
	for (uint32_t i = 0; i < CONSOLE_KEPT + 10; i++)
		console_write(ring, &(uint8_t){(uint8_t)(i % 251)}, 1);
	assert_int_equal(console_read(ring, &position, &byte, 1, &lost), 1);
	assert_int_equal(lost, 10);
	assert_int_equal(byte, 10);
	ring->written = 3; /* runs backwards */
	assert_int_equal(console_read(ring, &position, &byte, 1, &lost), -EPROTO);
	free(ring);
}

/* The writer has overwritten the oldest bytes and not yet said so. */
static void console_reader_sees_no_burst_in_the_making(void **state)
{
	struct console_ring *ring = calloc(1, CONSOLE_SIZE);
	uint8_t *all = malloc(CONSOLE_DATA);
	uint64_t position = 0, lost = 0;
	int64_t count;

	(void)state;
	console_init(ring);
	memset(all, 'a', CONSOLE_DATA);
	console_write(ring, all, CONSOLE_DATA);
	memset(ring->data, 'b', CONSOLE_BURST);
	count = console_read(ring, &position, all, CONSOLE_DATA, &lost);
	assert_int_equal(count + (int64_t)lost, CONSOLE_DATA);
	assert_int_equal(position, CONSOLE_DATA);
	for (int64_t i = 0; i < count; i++)
		assert_int_equal(all[i], 'a');
	free(all);
	free(ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(command_survives_the_pipe),
		cmocka_unit_test(commands_to_a_card_survive_it),
		cmocka_unit_test(half_a_command_waits_for_the_rest),
		cmocka_unit_test(command_out_of_range_is_not_sent),
		cmocka_unit_test(damaged_command_is_refused),
		cmocka_unit_test(status_is_read_as_written),
		cmocka_unit_test(hostile_status_page_is_refused),
		cmocka_unit_test(successor_of_a_killed_writer_is_readable),
		cmocka_unit_test(console_gives_bytes_in_order),
		cmocka_unit_test(slow_console_reader_loses_the_oldest),
		cmocka_unit_test(console_reader_sees_no_burst_in_the_making),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
