/* SPDX-License-Identifier: Apache-2.0 */
#include "audit_check.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "audit_files.h"
#include "audit_head.h"
#include "base/base.h"
#include "os/fd.h"

struct check {
	int folder, head_fd;
	struct audit_head head;
	struct audit_link link; /* the last entry that was read */
	struct audit_lines lines;
	uint64_t good;	/* offset behind it */
	uint64_t from;	/* 0: the first entry that is kept */
	uint64_t first; /* that is read */
	uint64_t told;	/* the last that `fn` was told of */
	uint64_t files[AUDIT_FILES_MAX];
	size_t file_count;
	audit_entry_fn fn;
	void *context;
	struct error *error;
};

static int read_head(struct check *check)
{
	int ret = audit_head_read(check->head_fd, &check->head);

	if (ret == 0)
		return 0;
	return error_set(check->error, EBADMSG, "its head %s",
			 ret == -EBADMSG ? "was changed" : "cannot be read");
}

static int wrong_line(struct check *check)
{
	return error_set(check->error, EBADMSG,
			 "line %llu was changed, or lines before it were removed, added or moved",
			 (unsigned long long)check->link.number + 1);
}

/* What the last file ended with is what the next one has to begin with. */
static int open_file(struct check *check, uint64_t first)
{
	struct audit_link before;
	int ret;

	audit_lines_close(&check->lines);
	if (check->file_count == AUDIT_FILES_MAX)
		return error_set(check->error, EBADMSG, "more than %u files", AUDIT_FILES_MAX);
	ret = audit_lines_open(&check->lines, check->folder, first, &before, check->error);
	if (ret < 0)
		return ret;
	if (memcmp(&before.hash, &check->link.hash, sizeof(before.hash)) != 0)
		return wrong_line(check);
	check->files[check->file_count++] = first;
	check->good = check->lines.offset;
	return 0;
}

static int read_entries(struct check *check)
{
	const char *line;
	ssize_t length;

	while ((length = audit_lines_next(&check->lines, &line)) > 0) {
		size_t object_length;
		const char *object = audit_chain_object(line, (size_t)length, &object_length);

		if (audit_chain_check(&check->link, line, (size_t)length) < 0)
			return -EBADMSG;
		check->good = check->lines.offset;
		if (check->fn && check->link.number > check->told)
			check->fn(check->context, &check->link, object, object_length);
		check->told = max_u64(check->told, check->link.number);
	}
	return (int)length;
}

/* Nothing follows in this file. The head is read after the entries: what it speaks of is there. */
static int read_on(struct check *check, int ret)
{
	ssize_t rest = audit_lines_rest(&check->lines, check->good);
	int end = read_head(check);

	if (end < 0 || rest < 0)
		return end < 0 ? end : (int)rest;
	if (audit_head_fits(&check->head, &check->link, rest) == 0)
		return 1;
	if (ret < 0 || check->link.number > check->head.last.number)
		return wrong_line(check);
	if (check->link.number == check->head.last.number)
		return error_set(check->error, EBADMSG, "what comes after line %llu was added",
				 (unsigned long long)check->link.number);
	return 0;
}

/* Where entries go on that are not in this file: in it, written meanwhile, or in the next. */
static int follow(struct check *check)
{
	uint64_t at = check->link.number;
	int ret = read_entries(check);

	if (ret < 0)
		return wrong_line(check);
	if (check->link.number > at)
		return 0;
	ret = open_file(check, at + 1);
	if (ret == -ENOENT)
		return error_set(check->error, EBADMSG, "line %llu and what follows was removed",
				 (unsigned long long)at + 1);
	return ret;
}

static int read_all(struct check *check)
{
	int ret = open_file(check, check->link.number + 1);

	if (ret == -ENOENT && check->head.last.number == 0)
		return 0;
	while (ret == 0) {
		ret = read_entries(check);
		ret = read_on(check, ret);
		if (ret == 0)
			ret = follow(check);
	}
	return ret < 0 ? ret : 0;
}

static bool was_read(const struct check *check, uint64_t first)
{
	for (size_t i = 0; i < check->file_count; i++) {
		if (check->files[i] == first)
			return true;
	}
	return false;
}

/* The file after the last: begun, and perhaps an entry is being written. */
static bool is_begun_only(struct check *check, const char *name)
{
	uint64_t last = check->head.last.number;
	char line[AUDIT_LINE_MAX];
	int begin = audit_chain_begin(&check->link, line, sizeof(line));
	struct stat status;

	if (fstatat(check->folder, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT;
	if (status.st_size <= begin)
		return true;
	if (audit_head_read(check->head_fd, &check->head) < 0)
		return false;
	return check->head.last.number > last ||
	       (check->head.pending && status.st_size <= begin + (off_t)AUDIT_LINE_MAX);
}

/* The log has gone on since its end was read, by more than a file if that is short. */
static bool is_of_later_on(struct check *check, uint64_t first)
{
	return audit_head_read(check->head_fd, &check->head) == 0 &&
	       check->head.last.number > check->link.number && first <= check->head.last.number + 1;
}

/* Files that the chain did not lead to. Older ones are left from when they were given up. */
static int check_files(struct check *check)
{
	uint64_t firsts[AUDIT_FILES_MAX], next = check->link.number + 1;
	int count = audit_files_list(check->folder, firsts, check->error);

	for (int i = 0; i < count; i++) {
		char name[AUDIT_NAME_SIZE];

		audit_file_name(firsts[i], name);
		if (firsts[i] <= check->head.before.number || firsts[i] < check->from ||
		    was_read(check, firsts[i]) ||
		    (firsts[i] == next && is_begun_only(check, name)) ||
		    (firsts[i] > next && is_of_later_on(check, firsts[i])))
			continue;
		return error_set(check->error, EBADMSG, "%s was added", name);
	}
	return count < 0 ? count : 0;
}

static int open_log(struct check *check, const char *path)
{
	check->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (check->folder < 0)
		return error_set(check->error, errno, "%s", strerror(errno));
	check->head_fd = openat(check->folder, AUDIT_HEAD_NAME,
				O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (check->head_fd < 0)
		return error_set(check->error, errno, "its head: %s", strerror(errno));
	return read_head(check);
}

/* What comes before the first entry that is read. */
static int find_begin(struct check *check)
{
	struct audit_lines lines;
	int ret;

	check->link = check->head.before;
	if (!check->from)
		return 0;
	ret = audit_lines_open(&lines, check->folder, check->from, &check->link, check->error);
	if (ret == 0)
		audit_lines_close(&lines);
	return ret;
}

static int check_once(struct check *check, const char *path)
{
	int ret = open_log(check, path);

	if (ret == 0)
		ret = find_begin(check);
	if (ret == 0) {
		check->first = check->link.number + 1;
		ret = read_all(check);
	}
	return ret == 0 ? check_files(check) : ret;
}

static void close_log(struct check *check)
{
	audit_lines_close(&check->lines);
	os_close(&check->head_fd);
	os_close(&check->folder);
	check->file_count = 0;
}

/* The oldest file was given up while it was looked for. */
static bool begins_elsewhere(struct check *check)
{
	struct audit_head head;

	return check->head_fd >= 0 && audit_head_read(check->head_fd, &head) == 0 &&
	       head.before.number >= check->first;
}

int audit_check(const char *path, audit_entry_fn fn, void *context, struct audit_found *found,
		struct error *error)
{
	return audit_check_from(path, 0, fn, context, found, error);
}

int audit_check_from(const char *path, uint64_t first, audit_entry_fn fn, void *context,
		     struct audit_found *found, struct error *error)
{
	struct check check = {.folder = -1,
			      .from = first,
			      .head_fd = -1,
			      .lines.fd = -1,
			      .fn = fn,
			      .context = context,
			      .error = error};
	bool again;
	int ret;

	do {
		ret = check_once(&check, path);
		again = ret < 0 && begins_elsewhere(&check);
		close_log(&check);
		check.from = again ? 0 : check.from;
	} while (again);
	*found = (struct audit_found){.first = check.first, .last = check.link.number};
	if (ret < 0)
		error_prefix(error, "audit log %s", path);
	return ret;
}
