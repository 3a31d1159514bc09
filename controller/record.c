/* SPDX-License-Identifier: Apache-2.0 */
#include "record.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "os/fd.h"

#define FNV_START UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME UINT64_C(0x100000001b3)

void record_digest(struct record *record)
{
	*record = (struct record){.use = RECORD_DIGESTS, .digest = FNV_START};
}

void record_write(struct record *record)
{
	*record = (struct record){.use = RECORD_WRITES, .at = {json_object()}};
	record->fds = record->fds_written;
	record->failed = !record->at[0];
}

void record_read(struct record *record, struct keep_record *from)
{
	*record = (struct record){.use = RECORD_READS,
				  .at = {json_loadb(from->bytes, from->length, 0, NULL)},
				  .fds = from->fds,
				  .fd_count = from->fd_count};
	record->failed = !json_is_object(record->at[0]);
}

bool record_put(struct record *record, uint64_t key)
{
	struct keep_record kept = {.key = key, .fds = record->fds, .fd_count = record->fd_count};
	char *text = record->failed ? NULL : json_dumps(record->at[0], JSON_COMPACT);
	bool done;

	if (!text)
		return false;
	memcpy(kept.pids, record->pids, sizeof(kept.pids));
	kept.bytes = text;
	kept.length = strlen(text);
	done = keep_put(&kept) == 0;
	free(text);
	return done;
}

void record_free(struct record *record)
{
	json_decref(record->at[0]);
	record->at[0] = NULL;
}

/* ---- members ---- */

static void mix(struct record *record, const void *bytes, size_t length)
{
	const uint8_t *at = bytes;

	for (size_t i = 0; i < length; i++)
		record->digest = (record->digest ^ at[i]) * FNV_PRIME;
}

static json_t *here(const struct record *record)
{
	return record->at[record->depth];
}

static void write_member(struct record *record, const char *name, json_t *value)
{
	if (json_object_set_new(here(record), name, value) < 0)
		record->failed = true;
}

static json_t *member(const struct record *record, const char *name)
{
	return json_object_get(here(record), name);
}

void record_enter(struct record *record, const char *name)
{
	json_t *object;

	if (record->use == RECORD_DIGESTS)
		return;
	object = record->use == RECORD_WRITES ? json_object() : member(record, name);
	if (record->use == RECORD_WRITES)
		write_member(record, name, object);
	record->at[++record->depth] = object;
}

void record_leave(struct record *record)
{
	if (record->use != RECORD_DIGESTS)
		record->depth--;
}

/* False: there is none, or none that can be. */
static bool read_number(struct record *record, const char *name, json_int_t least, json_int_t most,
			json_int_t *value)
{
	const json_t *found = member(record, name);

	if (!found)
		return false;
	*value = json_integer_value(found);
	if (json_is_integer(found) && *value >= least && *value <= most)
		return true;
	record->failed = true;
	return false;
}

static void number(struct record *record, const char *name, json_int_t least, json_int_t most,
		   json_int_t *value)
{
	if (record->use == RECORD_DIGESTS)
		mix(record, value, sizeof(*value));
	else if (record->use == RECORD_WRITES)
		write_member(record, name, json_integer(*value));
	else
		read_number(record, name, least, most, value);
}

/* Also UINT64_MAX, which is -1 there. */
void record_u64(struct record *record, const char *name, uint64_t *value)
{
	json_int_t wide = (json_int_t)*value;

	number(record, name, INT64_MIN, INT64_MAX, &wide);
	*value = (uint64_t)wide;
}

void record_u32(struct record *record, const char *name, uint32_t *value)
{
	json_int_t wide = *value;

	number(record, name, 0, UINT32_MAX, &wide);
	*value = (uint32_t)wide;
}

void record_int(struct record *record, const char *name, int *value)
{
	json_int_t wide = *value;

	number(record, name, INT_MIN, INT_MAX, &wide);
	*value = (int)wide;
}

void record_enum(struct record *record, const char *name, int *value, int count)
{
	json_int_t wide = *value;

	number(record, name, INT_MIN, INT_MAX, &wide);
	if (wide >= 0 && wide < count)
		*value = (int)wide;
}

void record_bool(struct record *record, const char *name, bool *value)
{
	json_int_t wide = *value;

	number(record, name, 0, 1, &wide);
	*value = wide;
}

void record_u64s(struct record *record, const char *name, uint64_t *values, size_t count)
{
	record_enter(record, name);
	for (size_t i = 0; i < count; i++) {
		char place[24];

		snprintf(place, sizeof(place), "%zu", i);
		record_u64(record, place, &values[i]);
	}
	record_leave(record);
}

/* ---- texts ---- */

static const char *read_text(struct record *record, const char *name)
{
	const json_t *found = member(record, name);

	if (found && !json_is_string(found))
		record->failed = true;
	return json_string_value(found);
}

/* One that was cut short may end within a character; then it is written without those. */
static void write_text(struct record *record, const char *name, const char *text)
{
	json_t *value = json_string(text);
	CLEANUP_FREE char *plain = value ? NULL : strdup(text);

	for (char *at = plain; at && *at; at++) {
		if ((unsigned char)*at > '~')
			*at = '?';
	}
	write_member(record, name, value ? value : json_string(plain));
}

void record_text(struct record *record, const char *name, char *text, size_t size)
{
	const char *found;

	if (record->use == RECORD_DIGESTS) {
		mix(record, text, strlen(text) + 1);
		return;
	}
	if (record->use == RECORD_WRITES) {
		write_text(record, name, text);
		return;
	}
	found = read_text(record, name);
	if (found && strlen(found) >= size)
		record->failed = true;
	else if (found)
		memcpy(text, found, strlen(found) + 1);
}

void record_string(struct record *record, const char *name, char **text)
{
	const char *found;

	if (record->use == RECORD_DIGESTS) {
		mix(record, *text ? *text : "", *text ? strlen(*text) + 1 : 0);
		return;
	}
	if (record->use == RECORD_WRITES) {
		if (*text)
			write_text(record, name, *text);
		return;
	}
	found = read_text(record, name);
	if (!found)
		return;
	*text = strdup(found);
	record->failed |= !*text;
}

void record_bytes(struct record *record, const char *name, uint8_t *bytes, size_t length)
{
	static const char digits[] = "0123456789abcdef";
	char text[2 * 64 + 1] = "";

	for (size_t i = 0; i < length; i++) {
		text[2 * i] = digits[bytes[i] >> 4];
		text[2 * i + 1] = digits[bytes[i] & 15];
	}
	text[2 * length] = '\0';
	record_text(record, name, text, 2 * length + 1);
	for (size_t i = 0; record->use == RECORD_READS && i < length; i++) {
		const char *high = strchr(digits, text[2 * i]);
		const char *low = strchr(digits, text[2 * i + 1]);

		if (high && low)
			bytes[i] = (uint8_t)((high - digits) << 4 | (low - digits));
	}
}

/* ---- descriptors, processes ---- */

static void read_fd(struct record *record, const char *name, int *fd)
{
	json_int_t place = 0;

	if (!read_number(record, name, 0, (json_int_t)record->fd_count - 1, &place))
		return;
	*fd = os_steal_fd(&record->fds[place]);
	/* Twice the same place. */
	record->failed |= *fd < 0;
}

void record_fd(struct record *record, const char *name, int *fd)
{
	if (record->use == RECORD_DIGESTS) {
		mix(record, fd, sizeof(*fd));
	} else if (record->use == RECORD_READS) {
		read_fd(record, name, fd);
	} else if (*fd >= 0) {
		if (record->fd_count == KEEP_FDS_MAX) {
			record->failed = true;
			return;
		}
		write_member(record, name, json_integer((json_int_t)record->fd_count));
		record->fds_written[record->fd_count++] = *fd;
	}
}

void record_pid(struct record *record, const char *name, pid_t *pid)
{
	record_int(record, name, pid);
	if (record->use != RECORD_WRITES || !*pid)
		return;
	if (record->pid_count < KEEP_PIDS_MAX)
		record->pids[record->pid_count++] = *pid;
	else
		record->failed = true;
}
