/* SPDX-License-Identifier: Apache-2.0 */
#include "records.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"

/* ---- structures as lists of their members ---- */

enum type {
	FLAG,
	NUMBER,
	UID,
};

struct member {
	const char *name;
	enum type type;
	uint8_t size; /* of a NUMBER, bytes */
	uint16_t offset;
	uint64_t most;
};

#define NUMBER_OF(structure, path, name, most)                                                     \
	{                                                                                          \
		name, NUMBER, sizeof(((struct structure *)0)->path),                               \
			offsetof(struct structure, path), most                                     \
	}
#define FLAG_OF(structure, path, name)                                                             \
	{                                                                                          \
		name, FLAG, 1, offsetof(struct structure, path), 1                                 \
	}
#define UID_OF(structure, path, name)                                                              \
	{                                                                                          \
		name, UID, 0, offsetof(struct structure, path), 0                                  \
	}
#define TIME_MOST INT64_MAX

#define ATTEMPT_OF(structure, request_most, step_most)                                             \
	NUMBER_OF(structure, attempt.doing, "doing", request_most),                                \
		NUMBER_OF(structure, attempt.last, "last", step_most),                             \
		NUMBER_OF(structure, attempt.number, "number", UINT32_MAX),                        \
		NUMBER_OF(structure, attempt.generation, "attempt_generation", INT64_MAX),         \
		NUMBER_OF(structure, attempt.sent, "sent", TIME_MOST),                             \
		NUMBER_OF(structure, attempt.loose, "loose", TIME_MOST),                           \
		NUMBER_OF(structure, attempt.failures, "failures", UINT32_MAX),                    \
		NUMBER_OF(structure, attempt.not_before, "not_before", TIME_MOST),                 \
		NUMBER_OF(structure, attempt.changed, "changed", TIME_MOST)

static const struct member instance_want[] = {
	NUMBER_OF(instance_want, generation, "generation", INT64_MAX),
	NUMBER_OF(instance_want, starts, "starts", INT64_MAX),
	NUMBER_OF(instance_want, reboots, "reboots", INT64_MAX),
	NUMBER_OF(instance_want, grace, "grace", TIME_MOST),
	FLAG_OF(instance_want, keys, "keys"),
	FLAG_OF(instance_want, kill, "kill"),
};

static const struct member instance_record[] = {
	ATTEMPT_OF(instance_record, INSTANCE_FORGET, INSTANCE_FORGET),
	FLAG_OF(instance_record, placed, "placed"),
	FLAG_OF(instance_record, refused, "refused"),
	FLAG_OF(instance_record, failure_counted, "failure_counted"),
	NUMBER_OF(instance_record, generation, "generation", INT64_MAX),
	NUMBER_OF(instance_record, starts, "starts", INT64_MAX),
	NUMBER_OF(instance_record, reboots, "reboots", INT64_MAX),
	NUMBER_OF(instance_record, doing_starts, "doing_starts", INT64_MAX),
	NUMBER_OF(instance_record, doing_reboots, "doing_reboots", INT64_MAX),
	NUMBER_OF(instance_record, started, "started", TIME_MOST),
	NUMBER_OF(instance_record, stop_begun, "stop_begun", TIME_MOST),
	NUMBER_OF(instance_record, stop_loose, "stop_loose", TIME_MOST),
	NUMBER_OF(instance_record, starts_known, "starts_known", INT64_MAX),
};

static const struct member volume_want[] = {
	NUMBER_OF(volume_want, generation, "generation", INT64_MAX),
	NUMBER_OF(volume_want, size, "size", INT64_MAX),
	NUMBER_OF(volume_want, slot, "slot", VOLUME_SLOTS),
	NUMBER_OF(volume_want, gone_at, "gone_at", TIME_MOST),
	FLAG_OF(volume_want, held, "held"),
	FLAG_OF(volume_want, force, "force"),
	FLAG_OF(volume_want, gone, "gone"),
	UID_OF(volume_want, holder, "holder"),
};

static const struct member volume_record[] = {
	ATTEMPT_OF(volume_record, VOLUME_DELETE, VOLUME_BIND),
	NUMBER_OF(volume_record, state, "state", VOLUME_GONE),
	NUMBER_OF(volume_record, slot, "slot", VOLUME_SLOTS),
	NUMBER_OF(volume_record, size, "size", INT64_MAX),
	NUMBER_OF(volume_record, doing_size, "doing_size", INT64_MAX),
	FLAG_OF(volume_record, in_specification, "in_specification"),
	UID_OF(volume_record, holder, "holder"),
};

/* ---- uids ---- */

bool record_uid_parse(const char *text, uint8_t uid[ATTEMPT_UID_SIZE])
{
	static const char digits[] = "0123456789abcdef";

	if (strlen(text) != 2 * ATTEMPT_UID_SIZE || strspn(text, digits) != strlen(text))
		return false;
	for (size_t i = 0; i < ATTEMPT_UID_SIZE; i++)
		uid[i] = (uint8_t)((strchr(digits, text[2 * i]) - digits) << 4 |
				   (strchr(digits, text[2 * i + 1]) - digits));
	return true;
}

int record_uid(const json_t *doc, uint8_t uid[ATTEMPT_UID_SIZE], struct error *error)
{
	if (record_uid_parse(doc_uid(doc), uid))
		return 0;
	return error_set(error, EBADMSG, "%.63s: metadata.uid: is none", doc_name(doc));
}

void record_uid_text(const uint8_t uid[ATTEMPT_UID_SIZE], char text[DOC_UID_SIZE])
{
	for (size_t i = 0; i < ATTEMPT_UID_SIZE; i++)
		snprintf(text + 2 * i, 3, "%02x", uid[i]);
}

/* ---- reading ---- */

static void put_number(void *at, size_t size, uint64_t value)
{
	if (size == 1)
		*(uint8_t *)at = (uint8_t)value;
	else if (size == 4)
		*(uint32_t *)at = (uint32_t)value;
	else
		*(uint64_t *)at = value;
}

static bool take_member(const struct member *member, const json_t *value, void *at)
{
	json_int_t number = json_integer_value(value);

	switch (member->type) {
	case FLAG:
		*(bool *)at = json_is_true(value);
		return json_is_boolean(value);
	case UID:
		return json_is_string(value) && record_uid_parse(json_string_value(value), at);
	default:
		if (!json_is_integer(value) || number < 0 || (uint64_t)number > member->most)
			return false;
		put_number(at, member->size, (uint64_t)number);
		return true;
	}
}

static int take_all(const json_t *doc, const char *part, const struct member *members, size_t count,
		    void *structure, struct error *error)
{
	const json_t *object = json_object_get(doc, part);

	for (size_t i = 0; i < count; i++) {
		const json_t *value = json_object_get(object, members[i].name);

		if (value &&
		    !take_member(&members[i], value, (char *)structure + members[i].offset))
			return error_set(error, EBADMSG, "%.63s: %s.%s: is not what was written",
					 doc_name(doc), part, members[i].name);
	}
	return 0;
}

static const char *const wanted_names[] = {
	[INSTANCE_RUNNING] = "running",
	[INSTANCE_STOPPED] = "stopped",
	[INSTANCE_GONE] = "gone",
};

int instance_want_read(const json_t *doc, struct instance_want *want, struct error *error)
{
	const char *wanted = doc_text(doc, "wanted");

	*want = (struct instance_want){0};
	for (size_t i = 0; i < ARRAY_LEN(wanted_names); i++) {
		if (strcmp(wanted, wanted_names[i]) != 0)
			continue;
		want->wanted = (enum instance_wanted)i;
		return take_all(doc, "want", instance_want, ARRAY_LEN(instance_want), want, error);
	}
	return error_set(error, EBADMSG, "%.63s: wanted: is not what was written", doc_name(doc));
}

int instance_record_read(const json_t *doc, struct instance_record *record, struct error *error)
{
	*record = (struct instance_record){0};
	return take_all(doc, "record", instance_record, ARRAY_LEN(instance_record), record, error);
}

int volume_want_read(const json_t *doc, struct volume_want *want, struct error *error)
{
	*want = (struct volume_want){0};
	return take_all(doc, "want", volume_want, ARRAY_LEN(volume_want), want, error);
}

int volume_record_read(const json_t *doc, struct volume_record *record, struct error *error)
{
	*record = (struct volume_record){0};
	return take_all(doc, "record", volume_record, ARRAY_LEN(volume_record), record, error);
}

/* ---- writing ---- */

static uint64_t get_number(const void *at, size_t size)
{
	if (size == 1)
		return *(const uint8_t *)at;
	return size == 4 ? *(const uint32_t *)at : *(const uint64_t *)at;
}

static json_t *member_json(const struct member *member, const void *at)
{
	char uid[DOC_UID_SIZE];

	if (member->type == FLAG)
		return json_boolean(*(const bool *)at);
	if (member->type == NUMBER)
		return json_integer((json_int_t)min_u64(get_number(at, member->size), INT64_MAX));
	record_uid_text(at, uid);
	return json_string(uid);
}

static int put_all(json_t *doc, const char *part, const struct member *members, size_t count,
		   const void *structure)
{
	json_t *object = json_object();

	for (size_t i = 0; object && i < count; i++) {
		json_t *value =
			member_json(&members[i], (const char *)structure + members[i].offset);

		if (json_object_set_new(object, members[i].name, value) < 0) {
			json_decref(object);
			object = NULL;
		}
	}
	return json_object_set_new(doc, part, object) < 0 ? -ENOMEM : 0;
}

int instance_want_write(json_t *doc, const struct instance_want *want)
{
	int ret = put_all(doc, "want", instance_want, ARRAY_LEN(instance_want), want);

	return ret < 0 ? ret : doc_set(doc, "wanted", json_string(wanted_names[want->wanted]));
}

int instance_record_write(json_t *doc, const struct instance_record *record)
{
	return put_all(doc, "record", instance_record, ARRAY_LEN(instance_record), record);
}

int volume_want_write(json_t *doc, const struct volume_want *want)
{
	return put_all(doc, "want", volume_want, ARRAY_LEN(volume_want), want);
}

int volume_record_write(json_t *doc, const struct volume_record *record)
{
	return put_all(doc, "record", volume_record, ARRAY_LEN(volume_record), record);
}

/* ---- names on hosts ---- */

void instance_host_name(const char *name, const char *uid, char text[RECORDS_NAME_MAX])
{
	snprintf(text, RECORDS_NAME_MAX, "%.46s.%.16s", name, uid);
}

void volume_host_file(const char *uid, char text[RECORDS_FILE_MAX])
{
	snprintf(text, RECORDS_FILE_MAX, "%.32s.vol", uid);
}

void volume_card_name(const char *uid, char text[RECORDS_CARD_MAX + 1])
{
	snprintf(text, RECORDS_CARD_MAX + 1, "vol%.17s", uid);
}

void record_hide(json_t *doc)
{
	json_object_del(doc, "want");
	json_object_del(doc, "record");
	json_object_del(doc, "writer");
}
