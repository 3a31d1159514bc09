/* SPDX-License-Identifier: Apache-2.0 */
#include "renew.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/base.h"
#include "os/fd.h"

#define WORDS_MAX 96u

/* ---- the records ---- */

static int write_record(int memory, const struct record *record)
{
	uint32_t count = (uint32_t)record->fd_count;
	int ret = os_write_all(memory, &record->head, sizeof(record->head));

	if (ret == 0)
		ret = os_write_all(memory, &count, sizeof(count));
	if (ret == 0)
		ret = os_write_all(memory, record->fds, count * sizeof(*record->fds));
	return ret == 0 ? os_write_all(memory, record->bytes, record->head.length) : ret;
}

/* What is inherited, or is not, by the program that this process becomes. */
static void inherit(const struct record *record, bool on)
{
	for (size_t i = 0; i < record->fd_count; i++)
		fcntl(record->fds[i], F_SETFD, on ? 0 : FD_CLOEXEC);
}

static int write_records(const struct records *records)
{
	CLEANUP_CLOSE int memory = memfd_create("karuta-records", MFD_CLOEXEC);
	int ret = memory < 0 ? -errno : 0;

	for (size_t i = 0; ret == 0 && i < records->count; i++)
		ret = write_record(memory, records->all[i]);
	if (ret == 0 && lseek(memory, 0, SEEK_SET) < 0)
		ret = -errno;
	return ret < 0 ? ret : os_steal_fd(&memory);
}

static int read_some(int memory, void *to, size_t length)
{
	return os_read_full(memory, to, length) == (ssize_t)length ? 0 : -EPROTO;
}

/* 1: there are no more. */
static int read_record(struct records *records, int memory, char *bytes)
{
	int fds[KEEP_FDS_MAX];
	struct keep_head head;
	uint32_t count = 0;
	ssize_t got = os_read_full(memory, &head, sizeof(head));

	if (got == 0)
		return 1;
	if (got != sizeof(head) || head.magic != KEEP_MAGIC || head.length > KEEP_BYTES_MAX ||
	    read_some(memory, &count, sizeof(count)) < 0 || count > KEEP_FDS_MAX ||
	    read_some(memory, fds, count * sizeof(*fds)) < 0 ||
	    read_some(memory, bytes, head.length) < 0)
		return -EPROTO;
	for (uint32_t i = 0; i < count; i++)
		fcntl(fds[i], F_SETFD, FD_CLOEXEC);
	return records_put(records, &head, bytes, fds, count);
}

int renew_read(struct records *records, int memory)
{
	CLEANUP_FREE char *bytes = malloc(KEEP_BYTES_MAX);
	int ret = bytes ? 0 : -ENOMEM;

	while (ret == 0)
		ret = read_record(records, memory, bytes);
	close(memory);
	return ret == 1 ? 0 : ret;
}

/* ---- the arguments ---- */

struct words {
	char *all[WORDS_MAX + 1];
	char numbers[CHARGE_PASSED_MAX + 6][16];
	size_t count, number_count;
};

static void add(struct words *words, char *word)
{
	if (words->count < WORDS_MAX)
		words->all[words->count++] = word;
}

static void add_number(struct words *words, char *option, int number)
{
	char *text = words->numbers[words->number_count++];

	snprintf(text, sizeof(words->numbers[0]), "%d", number);
	add(words, option);
	add(words, text);
}

static void add_all(struct words *words, const struct charge *charge, int memory)
{
	add(words, "karuta-keeper");
	add_number(words, "--program", charge->program);
	add_number(words, "--end", charge->end);
	for (size_t i = 0; i < charge->passed_count; i++)
		add_number(words, "--pass", charge->passed[i]);
	add_number(words, "--socket", charge->socket);
	add_number(words, "--controller", charge->pid);
	add_number(words, "--records", memory);
	add(words, "--");
	for (size_t i = 0; charge->arguments[i]; i++)
		add(words, charge->arguments[i]);
}

static void inherit_all(const struct charge *charge, const struct records *records, int memory,
			bool on)
{
	fcntl(charge->program, F_SETFD, on ? 0 : FD_CLOEXEC);
	fcntl(charge->socket, F_SETFD, on ? 0 : FD_CLOEXEC);
	fcntl(memory, F_SETFD, on ? 0 : FD_CLOEXEC);
	for (size_t i = 0; i < records->count; i++)
		inherit(records->all[i], on);
}

int renew(const struct charge *charge, const struct records *records, int program)
{
	CLEANUP_CLOSE int next = program;
	CLEANUP_CLOSE int memory = write_records(records);
	struct words words = {0};
	int ret;

	if (memory < 0)
		return memory;
	add_all(&words, charge, memory);
	inherit_all(charge, records, memory, true);
	syscall(SYS_execveat, next, "", words.all, environ, AT_EMPTY_PATH);
	ret = -errno;
	inherit_all(charge, records, memory, false);
	return ret;
}
