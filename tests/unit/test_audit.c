/* SPDX-License-Identifier: Apache-2.0 */
/* The audit log as files: what is done to them is found, what a crash leaves is settled. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "audit.h"
#include "audit_check.h"
#include "base/base.h"

#define FIRST "00000000000000000001.log"
#define SMALL ((struct audit_limits){.bytes = 2000, .files = 3})

static char folder[64], path[80];
static struct error error;

static int make_folder(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/karuta-audit-XXXXXX");
	snprintf(path, sizeof(path), "%s/a/log", mkdtemp(folder) ? folder : "");
	return folder[5] ? 0 : -1;
}

static int remove_folder(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

static int add(struct audit *audit, const char *verb)
{
	struct audit_record record = {
		.caller = "uid 0", .verb = verb, .object = "web/data", .text = "accepted"};

	return audit_write(audit, &record, &error);
}

static void must_open(struct audit *audit, struct audit_limits limits)
{
	int ret = audit_open(audit, path, &limits, &error);

	if (ret)
		fail_msg("open: %s", error.text);
}

static void write_log(unsigned lines, struct audit_limits limits)
{
	struct audit audit;

	must_open(&audit, limits);
	for (unsigned i = 0; i < lines; i++)
		assert_int_equal(add(&audit, "attach"), 0);
	audit_close(&audit);
}

static int check(struct audit_found *found)
{
	memset(&error, 0, sizeof(error));
	return audit_check(path, NULL, NULL, found, &error);
}

static char *file_path(const char *name)
{
	static char text[160];

	snprintf(text, sizeof(text), "%s/%s", path, name);
	return text;
}

static size_t load(const char *name, char *bytes, size_t size)
{
	FILE *file = fopen(file_path(name), "r");
	size_t got;

	assert_non_null(file);
	got = fread(bytes, 1, size, file);
	fclose(file);
	return got;
}

static void store(const char *name, const char *bytes, size_t length)
{
	FILE *file = fopen(file_path(name), "w");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, length, file), length);
	fclose(file);
}

static void what_is_written_is_found(void **state)
{
	struct audit_found found;

	(void)state;
	write_log(5, AUDIT_LIMITS);
	write_log(3, AUDIT_LIMITS);
	assert_int_equal(check(&found), 0);
	assert_int_equal(found.first, 1);
	assert_int_equal(found.last, 8);
}

/* Every byte of the file, one after the other. */
static void every_changed_byte_is_found(void **state)
{
	static char bytes[8192];
	struct audit_found found;
	struct audit audit;
	size_t length;

	(void)state;
	write_log(4, AUDIT_LIMITS);
	length = load(FIRST, bytes, sizeof(bytes));
	for (size_t i = 0; i < length; i++) {
		bytes[i] ^= 1;
		store(FIRST, bytes, length);
		if (check(&found) != -EBADMSG)
			fail_msg("byte %zu: not found", i);
		assert_int_equal(audit_open(&audit, path, &AUDIT_LIMITS, &error), -EBADMSG);
		bytes[i] ^= 1;
	}
	store(FIRST, bytes, length);
	assert_int_equal(check(&found), 0);
}

static const char *line_at(const char *bytes, unsigned number)
{
	while (number--)
		bytes = strchr(bytes, '\n') + 1;
	return bytes;
}

/* Line 0 is the file's own, the log's begin with 1. */
static void lines_cannot_be_removed_added_or_moved(void **state)
{
	static char bytes[8192], other[8192];
	struct audit_found found;
	size_t length;

	(void)state;
	write_log(4, AUDIT_LIMITS);
	length = load(FIRST, bytes, sizeof(bytes) - 1);
	bytes[length] = '\0';
	for (unsigned i = 1; i <= 4; i++) {
		const char *line = line_at(bytes, i), *next = line_at(bytes, i + 1);
		size_t before = (size_t)(line - bytes), size = (size_t)(next - line);

		/* Removed: the last one is a cut-off end. */
		memcpy(other, bytes, before);
		memcpy(other + before, next, length - before - size);
		store(FIRST, other, length - size);
		assert_int_equal(check(&found), -EBADMSG);
		/* There twice: the last one is an added one. */
		memcpy(other + before, line, size);
		memcpy(other + before + size, line, length - before);
		store(FIRST, other, length + size);
		assert_int_equal(check(&found), -EBADMSG);
		/* Behind the next one. */
		if (i == 4)
			continue;
		memcpy(other, bytes, length);
		memcpy(other + before, next, (size_t)(line_at(next, 1) - next));
		memcpy(other + before + (line_at(next, 1) - next), line, size);
		store(FIRST, other, length);
		assert_int_equal(check(&found), -EBADMSG);
	}
}

/* A line with the right hash, which anybody can make: the head does not speak of it. */
static void a_well_made_line_too_many_is_found(void **state)
{
	static char head[AUDIT_HEAD_SIZE];
	struct audit_found found;
	struct audit audit;

	(void)state;
	write_log(2, AUDIT_LIMITS);
	assert_int_equal(load("head", head, sizeof(head)), sizeof(head));
	write_log(1, AUDIT_LIMITS);
	store("head", head, sizeof(head));
	assert_int_equal(check(&found), -EBADMSG);
	assert_int_equal(audit_open(&audit, path, &AUDIT_LIMITS, &error), -EBADMSG);
}

static void head_is_missed(void **state)
{
	static char head[AUDIT_HEAD_SIZE];
	struct audit_found found;
	struct audit audit;

	(void)state;
	write_log(2, AUDIT_LIMITS);
	assert_int_equal(load("head", head, sizeof(head)), sizeof(head));
	head[20] ^= 1;
	head[20 + AUDIT_HEAD_COPY] ^= 1;
	store("head", head, sizeof(head));
	assert_int_equal(check(&found), -EBADMSG);
	assert_int_equal(audit_open(&audit, path, &AUDIT_LIMITS, &error), -EBADMSG);
	assert_int_equal(unlink(file_path("head")), 0);
	assert_int_equal(audit_open(&audit, path, &AUDIT_LIMITS, &error), -EBADMSG);
	assert_non_null(strstr(error.text, "its head was removed"));
}

static unsigned count_files(uint64_t *lowest)
{
	DIR *directory = opendir(path);
	const struct dirent *entry;
	unsigned count = 0;

	*lowest = UINT64_MAX;
	while ((entry = readdir(directory))) {
		uint64_t number = strtoull(entry->d_name, NULL, 10);

		count += number != 0;
		*lowest = number ? min_u64(*lowest, number) : *lowest;
	}
	closedir(directory);
	return count;
}

static void rotation_keeps_the_chain(void **state)
{
	struct audit_found found;
	uint64_t lowest;
	char name[64];

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		write_log(7, SMALL);
		assert_int_equal(check(&found), 0);
		assert_int_equal(found.last, (i + 1) * 7);
	}
	assert_int_equal(count_files(&lowest), SMALL.files);
	assert_int_equal(found.first, lowest);
	assert_true(lowest > 1);
	/* The oldest that is kept cannot go unseen. */
	snprintf(name, sizeof(name), "%020llu.log", (unsigned long long)lowest);
	assert_int_equal(unlink(file_path(name)), 0);
	assert_int_equal(check(&found), -ENOENT);
}

struct seen {
	uint64_t first, last, most;
};

static bool see(void *context, uint64_t number, const char *line, size_t length)
{
	struct seen *seen = context;
	char expected[32];

	if (seen->last == seen->most)
		return false;
	snprintf(expected, sizeof(expected), " {\"number\":%llu,", (unsigned long long)number);
	assert_int_equal(strncmp(line + AUDIT_HASH_TEXT, expected, strlen(expected)), 0);
	assert_true(length > AUDIT_HASH_TEXT);
	if (!seen->first)
		seen->first = number;
	else
		assert_int_equal(number, seen->last + 1);
	seen->last = number;
	return true;
}

static struct seen read_since(const struct audit *audit, uint64_t since, uint64_t most)
{
	struct seen seen = {.most = most};

	assert_int_equal(audit_read(audit, since, see, &seen, &error), 0);
	return seen;
}

/* Over the ends of files; what was given up, or is not there yet, is left out. */
static void lines_are_read_from_any_number(void **state)
{
	struct audit audit;
	uint64_t oldest;

	(void)state;
	write_log(60, SMALL);
	must_open(&audit, SMALL);
	oldest = audit.head.before.number + 1;
	assert_true(oldest > 30);
	assert_int_equal(read_since(&audit, 0, UINT64_MAX).first, oldest);
	assert_int_equal(read_since(&audit, 0, UINT64_MAX).last, 60);
	for (uint64_t since = oldest - 1; since < 60; since++) {
		assert_int_equal(read_since(&audit, since, UINT64_MAX).first, since + 1);
		assert_int_equal(read_since(&audit, since, UINT64_MAX).last, 60);
	}
	assert_int_equal(read_since(&audit, 60, UINT64_MAX).first, 0);
	assert_int_equal(read_since(&audit, UINT64_MAX, UINT64_MAX).first, 0);
	assert_int_equal(read_since(&audit, 0, 58).last, 58);
	/* A line that failed half-way is none. */
	audit.head.last.number--;
	assert_int_equal(read_since(&audit, oldest, UINT64_MAX).last, 59);
	audit.head.last.number++;
	audit_close(&audit);
}

static void files_cannot_be_added(void **state)
{
	static char bytes[8192];
	struct audit_found found;
	size_t length;

	(void)state;
	write_log(3, AUDIT_LIMITS);
	length = load(FIRST, bytes, sizeof(bytes));
	store("00000000000000000002.log", bytes, length);
	assert_int_equal(check(&found), -EBADMSG);
	assert_int_equal(unlink(file_path("00000000000000000002.log")), 0);
	store("00000000000000000004.log", bytes, length);
	assert_int_equal(check(&found), -EBADMSG);
	assert_int_equal(unlink(file_path("00000000000000000004.log")), 0);
	assert_int_equal(check(&found), 0);
}

/* It goes on growing, and loses its oldest files, while it is read. */
static void a_log_is_checked_while_it_is_written(void **state)
{
	struct audit_found found;
	uint64_t last = 0;
	int status;
	pid_t pid;

	(void)state;
	write_log(1, SMALL);
	pid = fork();
	if (pid == 0) {
		struct audit audit;

		must_open(&audit, SMALL);
		while (add(&audit, "attach") == 0)
			;
		_exit(1);
	}
	for (unsigned i = 0; i < 300; i++) {
		if (check(&found) < 0)
			fail_msg("round %u: %s", i, error.text);
		assert_true(found.last >= last);
		last = found.last;
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	assert_true(WIFSIGNALED(status));
	assert_true(last > 1);
}

/* The controller was stopped between the head and the first file. */
static void a_log_without_entries_holds(void **state)
{
	struct audit_found found;

	(void)state;
	write_log(0, AUDIT_LIMITS);
	assert_int_equal(unlink(file_path(FIRST)), 0);
	assert_int_equal(check(&found), 0);
	write_log(1, AUDIT_LIMITS);
	assert_int_equal(unlink(file_path(FIRST)), 0);
	assert_int_equal(check(&found), -ENOENT);
}

/* A process that is killed at any instant, many times: what audit_write() returned for is there. */
static void kills_leave_a_log_that_opens(void **state)
{
	const char *rounds = getenv("KARUTA_TEST_ROUNDS");
	unsigned count = rounds ? (unsigned)atoi(rounds) : 20;
	struct audit_found found;
	uint64_t told = 0;

	(void)state;
	write_log(0, SMALL);
	for (unsigned i = 0; i < count; i++) {
		int pipes[2], status;
		pid_t pid;

		assert_int_equal(pipe(pipes), 0);
		pid = fork();
		if (pid == 0) {
			struct audit audit;

			must_open(&audit, SMALL);
			for (;;) {
				uint64_t last;

				if (add(&audit, "attach") < 0)
					_exit(1);
				last = audit_last(&audit);
				if (write(pipes[1], &last, sizeof(last)) < 0)
					_exit(1);
			}
		}
		close(pipes[1]);
		usleep(3000 + (unsigned)rand() % 20000);
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		assert_true(WIFSIGNALED(status));
		for (uint64_t last; read(pipes[0], &last, sizeof(last)) == sizeof(last);)
			told = last;
		close(pipes[0]);
		if (check(&found) < 0)
			fail_msg("round %u: %s", i, error.text);
		assert_true(found.last >= told && found.last <= told + 1);
		write_log(0, SMALL);
		assert_int_equal(check(&found), 0);
		told = found.last;
	}
}

/* Parts of an entry, after a power cut: the head has promised it, nobody acted upon it. */
static void half_an_entry_is_taken_back(void **state)
{
	static char before[8192], after[8192], head[AUDIT_HEAD_SIZE];
	size_t length, full;
	struct audit_found found;
	struct audit audit;

	(void)state;
	write_log(2, AUDIT_LIMITS);
	length = load(FIRST, before, sizeof(before));
	must_open(&audit, AUDIT_LIMITS);
	/* The copy of the head that was written first is the promise. */
	assert_int_equal(add(&audit, "detach"), 0);
	assert_int_equal(load("head", head, sizeof(head)), sizeof(head));
	memset(head + audit.head.generation % 2 * AUDIT_HEAD_COPY, 0, AUDIT_HEAD_COPY);
	audit_close(&audit);
	full = load(FIRST, after, sizeof(after));
	for (size_t cut = length; cut <= full; cut++) {
		store("head", head, sizeof(head));
		store(FIRST, after, cut);
		assert_int_equal(check(&found), 0);
		assert_int_equal(found.last, cut == full ? 3 : 2);
		must_open(&audit, AUDIT_LIMITS);
		assert_int_equal(audit_last(&audit), cut == full ? 3 : 2);
		assert_int_equal(add(&audit, "status"), 0);
		audit_close(&audit);
		assert_int_equal(check(&found), 0);
	}
}

/* As on a full disk: nothing is written, the log stays whole, and goes on when there is room. */
static void full_disk_refuses_and_recovers(void **state)
{
	struct rlimit limit, old;
	struct audit_found found;
	struct audit audit;
	char line[1000];
	size_t length;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	must_open(&audit, AUDIT_LIMITS);
	assert_int_equal(add(&audit, "attach"), 0);
	length = load(FIRST, line, sizeof(line));
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	limit = old;
	limit.rlim_cur = max_u64(length + 20, AUDIT_HEAD_SIZE);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	for (unsigned i = 0; i < 10; i++)
		add(&audit, "attach");
	assert_int_equal(add(&audit, "attach"), -EFBIG);
	assert_non_null(strstr(error.text, "audit log cannot be written"));
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(add(&audit, "detach"), 0);
	found.last = audit_last(&audit);
	audit_close(&audit);
	assert_int_equal(check(&found), 0);
	write_log(1, AUDIT_LIMITS);
	assert_int_equal(check(&found), 0);
}

static void one_writer(void **state)
{
	struct audit audit, other;

	(void)state;
	must_open(&audit, AUDIT_LIMITS);
	assert_int_equal(audit_open(&other, path, &AUDIT_LIMITS, &error), -EAGAIN);
	assert_non_null(strstr(error.text, "another controller writes it"));
	audit_close(&audit);
}

/* What callers choose cannot look like a line of the log, nor make one too long. */
static void hostile_texts_stay_texts(void **state)
{
	static char text[70000];
	struct audit_record record = {.caller = "a\n\"}", .verb = "\xff\xfe", .object = text};
	struct audit_found found;
	struct audit audit;

	(void)state;
	memset(text, '\x01', sizeof(text) - 1);
	record.text = text;
	must_open(&audit, AUDIT_LIMITS);
	assert_int_equal(audit_write(&audit, &record, &error), 0);
	audit_close(&audit);
	assert_int_equal(check(&found), 0);
	assert_int_equal(found.last, 1);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH(what_is_written_is_found),
		EACH(every_changed_byte_is_found),
		EACH(lines_cannot_be_removed_added_or_moved),
		EACH(a_well_made_line_too_many_is_found),
		EACH(head_is_missed),
		EACH(rotation_keeps_the_chain),
		EACH(lines_are_read_from_any_number),
		EACH(files_cannot_be_added),
		EACH(a_log_is_checked_while_it_is_written),
		EACH(a_log_without_entries_holds),
		EACH(kills_leave_a_log_that_opens),
		EACH(half_an_entry_is_taken_back),
		EACH(full_disk_refuses_and_recovers),
		EACH(one_writer),
		EACH(hostile_texts_stay_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
