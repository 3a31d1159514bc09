/* SPDX-License-Identifier: Apache-2.0 */
/* A record of the controller's own state from arbitrary bytes, as another release, or a keeper that
 * went wrong, would give it. */
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"
#include "os/fd.h"
#include "record.h"

#define FDS 4u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct members {
	uint64_t wide, many[3];
	uint32_t narrow;
	int number, kind, fd[2];
	bool flag;
	char text[16], *string;
	uint8_t bytes[8];
	pid_t pid;
};

static void members_record(struct members *members, struct record *record)
{
	record_u64(record, "wide", &members->wide);
	record_u64s(record, "many", members->many, ARRAY_LEN(members->many));
	record_enter(record, "inside");
	record_u32(record, "narrow", &members->narrow);
	record_int(record, "number", &members->number);
	record_enter(record, "inside");
	record_enum(record, "kind", &members->kind, 5);
	record_bool(record, "flag", &members->flag);
	record_leave(record);
	record_fd(record, "first", &members->fd[0]);
	record_leave(record);
	record_fd(record, "second", &members->fd[1]);
	record_text(record, "text", members->text, sizeof(members->text));
	record_string(record, "string", &members->string);
	record_bytes(record, "bytes", members->bytes, sizeof(members->bytes));
	record_pid(record, "pid", &members->pid);
}

static uint64_t digest(struct members *members)
{
	struct record record;

	record_digest(&record);
	members_record(members, &record);
	return record.digest;
}

static bool read_record(struct members *members, const char *bytes, size_t length, int fds[FDS])
{
	struct keep_record from = {.bytes = bytes, .length = length, .fds = fds, .fd_count = FDS};
	struct record record;
	bool failed;

	*members = (struct members){.fd = {-1, -1}};
	record_read(&record, &from);
	members_record(members, &record);
	failed = record.failed;
	record_free(&record);
	return !failed;
}

/* What was taken can be written, and is the same when that is read; each descriptor is somebody's.
 */
static void write_and_read(struct members *members)
{
	int fds[FDS] = {-1, -1, -1, -1};
	struct record record;
	struct members again;
	char *text;

	record_write(&record);
	members_record(members, &record);
	text = json_dumps(record.at[0], JSON_COMPACT);
	if (record.failed || !text)
		abort();
	for (size_t i = 0; i < record.fd_count; i++)
		fds[i] = record.fds[i];
	record_free(&record);
	if (!read_record(&again, text, strlen(text), fds) || digest(&again) != digest(members))
		abort();
	free(again.string);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fds[FDS];
	struct members members;
	bool taken;

	for (unsigned i = 0; i < FDS; i++)
		fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	taken = read_record(&members, (const char *)data, size, fds);
	if (members.kind < 0 || members.kind >= 5 ||
	    strnlen(members.text, sizeof(members.text)) == sizeof(members.text))
		abort();
	if (taken)
		write_and_read(&members);
	free(members.string);
	for (unsigned i = 0; i < FDS; i++)
		os_close(&fds[i]);
	for (unsigned i = 0; i < 2; i++)
		os_close(&members.fd[i]);
	return 0;
}
