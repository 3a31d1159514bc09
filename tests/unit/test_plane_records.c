/* SPDX-License-Identifier: Apache-2.0 */
/* The structures of the plane's core in documents. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "records.h"

#define UID "00112233445566778899aabbccddeeff"

/* Each byte another, but that flags are 0 or 1: what is forgotten is seen. */
static void fill(void *structure, size_t size)
{
	for (size_t i = 0; i < size; i++)
		((uint8_t *)structure)[i] = (uint8_t)(i * 37 + 11);
}

static json_t *doc(void)
{
	return json_pack("{s:{s:s,s:s},s:s}", "metadata", "name", "web", "uid", UID, "wanted",
			 "running");
}

static void an_instance_is_what_was_written(void **state)
{
	struct instance_want want = {.wanted = INSTANCE_GONE,
				     .generation = 3,
				     .starts = 4,
				     .reboots = 5,
				     .keys = true,
				     .kill = true,
				     .grace = 6};
	struct instance_record record = {0}, found;
	struct instance_want wanted;
	json_t *written = doc(), *again = doc();

	(void)state;
	record = (struct instance_record){
		.attempt = {INSTANCE_FORGET, INSTANCE_LAUNCH, 3, 4, 5, 6, 7, 8, 9},
		.placed = true,
		.refused = true,
		.generation = 10,
		.starts = 11,
		.reboots = 12,
		.doing_starts = 13,
		.doing_reboots = 14,
		.started = 15,
		.stop_begun = 16,
		.stop_loose = 17,
		.starts_known = 18,
		.failure_counted = true};
	assert_int_equal(instance_want_write(written, &want), 0);
	assert_int_equal(instance_record_write(written, &record), 0);
	assert_string_equal(doc_text(written, "wanted"), "gone");
	fill(&wanted, sizeof(wanted));
	fill(&found, sizeof(found));
	assert_int_equal(instance_want_read(written, &wanted, NULL), 0);
	assert_int_equal(instance_record_read(written, &found, NULL), 0);
	instance_want_write(again, &wanted);
	instance_record_write(again, &found);
	assert_true(json_equal(again, written));
	/* All that the structures have. */
	assert_int_equal(json_object_size(json_object_get(written, "want")), 6);
	assert_int_equal(json_object_size(json_object_get(written, "record")), 21);
	json_decref(again);
	json_decref(written);
}

static void a_volume_is_what_was_written(void **state)
{
	struct volume_want want = {.generation = 1,
				   .size = 2,
				   .held = true,
				   .holder = {1, 2, 0xff},
				   .slot = 31,
				   .force = true,
				   .gone = true,
				   .gone_at = 5};
	struct volume_record record = {
		.attempt = {VOLUME_DELETE, VOLUME_ATTACH, 3, 4, 5, 6, 7, 8, 9},
		.state = VOLUME_DETACHING,
		.in_specification = true,
		.holder = {9, 8, 7},
		.slot = 3,
		.size = 10,
		.doing_size = 11};
	struct volume_want wanted;
	struct volume_record found;
	json_t *written = doc(), *again = doc();

	(void)state;
	assert_int_equal(volume_want_write(written, &want), 0);
	assert_int_equal(volume_record_write(written, &record), 0);
	fill(&wanted, sizeof(wanted));
	fill(&found, sizeof(found));
	assert_int_equal(volume_want_read(written, &wanted, NULL), 0);
	assert_int_equal(volume_record_read(written, &found, NULL), 0);
	volume_want_write(again, &wanted);
	volume_record_write(again, &found);
	assert_true(json_equal(again, written));
	/* All that the structures have. */
	assert_int_equal(json_object_size(json_object_get(written, "want")), 8);
	assert_int_equal(json_object_size(json_object_get(written, "record")), 15);
	json_decref(again);
	json_decref(written);
}

static void what_is_not_there_is_nothing(void **state)
{
	struct instance_record record;
	struct volume_want want;
	json_t *empty = doc();

	(void)state;
	fill(&record, sizeof(record));
	fill(&want, sizeof(want));
	assert_int_equal(instance_record_read(empty, &record, NULL), 0);
	assert_int_equal(volume_want_read(empty, &want, NULL), 0);
	assert_int_equal(record.placed + record.attempt.number, 0);
	assert_int_equal(want.held + want.slot, 0);
	json_decref(empty);
}

static void expect_refusal(const char *part, const char *name, json_t *value)
{
	struct error error = {0};
	struct instance_record record;
	struct volume_record volume;
	json_t *bad = doc();

	json_object_set_new(bad, part, json_object());
	json_object_set_new(json_object_get(bad, part), name, value);
	if (!strcmp(name, "slot") || !strcmp(name, "holder"))
		assert_int_equal(volume_record_read(bad, &volume, &error), -EBADMSG);
	else
		assert_int_equal(instance_record_read(bad, &record, &error), -EBADMSG);
	assert_non_null(strstr(error.text, name));
	json_decref(bad);
}

static void what_was_never_written_is_refused_by_its_name(void **state)
{
	struct instance_want want;
	struct error error = {0};
	json_t *bad = doc();

	(void)state;
	expect_refusal("record", "doing", json_integer(INSTANCE_FORGET + 1));
	expect_refusal("record", "generation", json_integer(-1));
	expect_refusal("record", "failures", json_integer((json_int_t)UINT32_MAX + 1));
	expect_refusal("record", "placed", json_integer(1));
	expect_refusal("record", "slot", json_integer(VOLUME_SLOTS + 1));
	expect_refusal("record", "holder", json_string("00"));
	json_object_set_new(bad, "wanted", json_string("flying"));
	assert_int_equal(instance_want_read(bad, &want, &error), -EBADMSG);
	json_decref(bad);
}

static void names_on_hosts_are_of_one_document(void **state)
{
	char name[RECORDS_NAME_MAX], card[RECORDS_CARD_MAX + 1], file[RECORDS_FILE_MAX];
	char longest[DOC_NAME_MAX + 1];

	(void)state;
	memset(longest, 'a', DOC_NAME_MAX);
	longest[DOC_NAME_MAX] = '\0';
	instance_host_name(longest, UID, name);
	assert_int_equal(strlen(name), 63);
	assert_non_null(strstr(name, ".0011223344556677"));
	volume_card_name(UID, card);
	assert_string_equal(card, "vol00112233445566778");
	volume_host_file(UID, file);
	assert_string_equal(file, UID ".vol");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_instance_is_what_was_written),
		cmocka_unit_test(a_volume_is_what_was_written),
		cmocka_unit_test(what_is_not_there_is_nothing),
		cmocka_unit_test(what_was_never_written_is_refused_by_its_name),
		cmocka_unit_test(names_on_hosts_are_of_one_document),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
