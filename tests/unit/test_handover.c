/* SPDX-License-Identifier: Apache-2.0 */
/* What a hypervisor hands over: the records, and which of them are refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "wire/handover.h"
#include "wire/status.h"

#define VERSION 5u

static uint8_t bytes[HANDOVER_RECORD_MAX];
static struct handover_record record;

static size_t make(enum handover_kind kind, unsigned number, uint16_t version)
{
	struct handover_writer writer = handover_begin(bytes, kind, number, version);
	ssize_t length;

	handover_put(&writer, 1, "one", 3);
	handover_put(&writer, 7, "", 0);
	handover_put(&writer, HANDOVER_ARCH, "machine", 7);
	length = handover_finish(&writer);
	assert_true(length > 0);
	return (size_t)length;
}

static void record_comes_as_it_was_sent(void **state)
{
	size_t length = make(HANDOVER_VCPU, 3, VERSION), there;
	char text[8] = "";

	(void)state;
	assert_int_equal(handover_open(&record, bytes, length, VERSION), 0);
	assert_int_equal(record.kind, HANDOVER_VCPU);
	assert_int_equal(record.number, 3);
	assert_memory_equal(handover_find(&record, HANDOVER_ARCH, &there), "machine", 7);
	assert_int_equal(there, 7);
	assert_non_null(handover_find(&record, 7, &there));
	assert_int_equal(there, 0);
	there = 7;
	assert_null(handover_find(&record, 2, &there));
	assert_int_equal(there, 0);
	assert_int_equal(handover_take(&record, 1, text, 3), 0);
	assert_string_equal(text, "one");
	assert_int_equal(handover_take(&record, 1, text, 4), -EPROTO);
	assert_int_equal(handover_take(&record, 2, text, 3), -ENOENT);
}

/* What is cut off anywhere, or longer than it says, is no record. */
static void damaged_frame_is_refused(void **state)
{
	size_t length = make(HANDOVER_END, 0, VERSION);

	(void)state;
	for (size_t cut = 0; cut < length; cut++)
		assert_int_equal(handover_open(&record, bytes, cut, VERSION), -EPROTO);
	assert_int_equal(handover_open(&record, bytes, length + 1, VERSION), -EPROTO);
	bytes[0] ^= 1;
	assert_int_equal(handover_open(&record, bytes, length, VERSION), -EPROTO);
	bytes[0] ^= 1;
	bytes[8] = HANDOVER_KINDS;
	assert_int_equal(handover_open(&record, bytes, length, VERSION), -EPROTO);
	bytes[8] = 0;
	assert_int_equal(handover_open(&record, bytes, length, VERSION), -EPROTO);
}

static void items_out_of_order_are_refused(void **state)
{
	struct handover_writer writer = handover_begin(bytes, HANDOVER_END, 0, VERSION);

	(void)state;
	handover_put(&writer, 4, "a", 1);
	handover_put(&writer, 4, "b", 1);
	assert_int_equal(handover_open(&record, bytes, (size_t)handover_finish(&writer), VERSION),
			 -EPROTO);
}

static void record_that_does_not_fit_is_not_made(void **state)
{
	struct handover_writer writer = handover_begin(bytes, HANDOVER_END, 0, VERSION);
	static const uint8_t much[HANDOVER_RECORD_MAX];

	(void)state;
	handover_put(&writer, 1, much, sizeof(much) - HANDOVER_HEADER_SIZE - 7);
	assert_int_equal(handover_finish(&writer), -ENOSPC);
}

/* One forward, one back; further only if nobody says no. */
static void versions_next_to_each_other_go_on(void **state)
{
	static const int expected[] = {-ENOTSUP, 0, 0, 0, -ENOTSUP};
	size_t length;

	(void)state;
	for (uint16_t i = 0; i < 5; i++) {
		length = make(HANDOVER_MEET, 0, VERSION - 2 + i);
		assert_int_equal(handover_open(&record, bytes, length, VERSION), expected[i]);
	}
	/* A newer one that must not be gone on from by an older one. */
	length = make(HANDOVER_MEET, 0, VERSION + 1);
	bytes[6] = VERSION + 1;
	assert_int_equal(handover_open(&record, bytes, length, VERSION), -ENOTSUP);
}

/* ---- what is in them ---- */

static void put_state(enum handover_kind kind, unsigned number, uint32_t tag, const void *from,
		      size_t length, size_t table)
{
	static const uint8_t entries[HANDOVER_MSIX_MOST * HANDOVER_MSIX_ENTRY];
	struct handover_writer writer = handover_begin(bytes, kind, number, VERSION);

	handover_put(&writer, tag, from, length);
	if (table)
		handover_put(&writer, HANDOVER_TABLE, entries, table);
	assert_int_equal(handover_open(&record, bytes, (size_t)handover_finish(&writer), VERSION),
			 0);
}

static const struct handover_setup good_setup = {
	.memory = 1u << 30, .cpus = 2, .window64 = 5ull << 30, .window64_end = 6ull << 30};

static int try_setup(struct handover_setup setup)
{
	put_state(HANDOVER_MEET, 0, HANDOVER_SETUP, &setup, sizeof(setup), 0);
	return handover_take_setup(&record, &setup);
}

static void setup_that_makes_no_sense_is_refused(void **state)
{
	struct handover_setup bad;

	(void)state;
	assert_int_equal(try_setup(good_setup), 0);
	bad = good_setup, bad.cpus = 0;
	assert_int_equal(try_setup(bad), -EPROTO);
	bad = good_setup, bad.cpus = 65;
	assert_int_equal(try_setup(bad), -EPROTO);
	bad = good_setup, bad.window64 = 1u << 30;
	assert_int_equal(try_setup(bad), -EPROTO);
	bad = good_setup, bad.window64_end = bad.window64 - 1;
	assert_int_equal(try_setup(bad), -EPROTO);
	bad = good_setup, bad.window64_end = UINT64_MAX;
	assert_int_equal(try_setup(bad), -EPROTO);
}

static int try_machine(struct handover_machine machine)
{
	put_state(HANDOVER_MACHINE, 0, HANDOVER_STATE, &machine, sizeof(machine), 0);
	return handover_take_machine(&record, &machine);
}

static void machine_that_makes_no_sense_is_refused(void **state)
{
	(void)state;
	assert_int_equal(try_machine((struct handover_machine){.command = 9}), 0);
	assert_int_equal(try_machine((struct handover_machine){.command = 0}), -EPROTO);
	assert_int_equal(try_machine((struct handover_machine){.command = 9, .flags = 2}), -EPROTO);
}

static const struct handover_slot good_slot = {.state = STATUS_SLOT_PRESENT, .vectors = 3};

static int try_slot(unsigned number, struct handover_slot slot, size_t table)
{
	put_state(HANDOVER_SLOT, number, HANDOVER_STATE, &slot, sizeof(slot), table);
	return handover_take_slot(&record, &slot);
}

static void slot_that_makes_no_sense_is_refused(void **state)
{
	const size_t table = 3 * HANDOVER_MSIX_ENTRY;
	struct handover_slot bad;

	(void)state;
	assert_int_equal(try_slot(1, good_slot, table), 0);
	assert_int_equal(try_slot(0, good_slot, table), -EPROTO);
	assert_int_equal(try_slot(32, good_slot, table), -EPROTO);
	assert_int_equal(try_slot(1, good_slot, table - 1), -EPROTO);
	assert_int_equal(try_slot(1, good_slot, 0), -EPROTO);
	bad = good_slot, bad.state = STATUS_SLOT_WAITING;
	assert_int_equal(try_slot(1, bad, table), -EPROTO);
	bad = good_slot, bad.state = STATUS_SLOT_FAILED;
	assert_int_equal(try_slot(1, bad, table), -EPROTO);
	bad.vectors = 0;
	assert_int_equal(try_slot(1, bad, 0), 0);
	bad = good_slot, bad.flags = HANDOVER_SLOT_FLAGS + 1;
	assert_int_equal(try_slot(1, bad, table), -EPROTO);
	bad = good_slot, bad.vectors = HANDOVER_MSIX_MOST + 1;
	assert_int_equal(try_slot(1, bad, table), -EPROTO);
	/* A table that is not there is not as long as what is. */
	bad = good_slot, bad.vectors = sizeof(bad) / HANDOVER_MSIX_ENTRY;
	assert_int_equal(try_slot(1, bad, 0), -EPROTO);
	bad = good_slot, bad.next_id = 0x10000;
	assert_int_equal(try_slot(1, bad, table), -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(record_comes_as_it_was_sent),
		cmocka_unit_test(damaged_frame_is_refused),
		cmocka_unit_test(items_out_of_order_are_refused),
		cmocka_unit_test(record_that_does_not_fit_is_not_made),
		cmocka_unit_test(versions_next_to_each_other_go_on),
		cmocka_unit_test(setup_that_makes_no_sense_is_refused),
		cmocka_unit_test(machine_that_makes_no_sense_is_refused),
		cmocka_unit_test(slot_that_makes_no_sense_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
