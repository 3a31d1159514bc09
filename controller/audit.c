/* SPDX-License-Identifier: Apache-2.0 */
#include "audit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit_files.h"
#include "base/base.h"
#include "os/fd.h"

int audit_path(const char *what, char *path, size_t size, struct error *error)
{
	const char *state = geteuid() == 0 ? "/var/lib" : getenv("XDG_STATE_HOME");
	const char *home = getenv("HOME");
	int length;

	if (state && state[0] == '/')
		length = snprintf(path, size, "%s/karuta/audit/%s", state, what);
	else if (home && home[0] == '/')
		length = snprintf(path, size, "%s/.local/state/karuta/audit/%s", home, what);
	else
		return error_set(error, ENOENT, "HOME is not set; set it or use --audit FOLDER");
	if ((size_t)length >= size)
		return error_set(error, ENAMETOOLONG, "audit log: the path is too long");
	return 0;
}

uint64_t audit_last(const struct audit *audit)
{
	return audit->head.last.number;
}

static int sync_folder(const struct audit *audit)
{
	return fsync(audit->folder) < 0 ? -errno : 0;
}

/* ---- a new file; the oldest go ---- */

static int write_begin(int fd, const struct audit_link *link, uint64_t *size)
{
	char line[AUDIT_LINE_MAX];
	int length = audit_chain_begin(link, line, sizeof(line));
	int ret = length < 0 ? length : os_pwrite_all(fd, line, (size_t)length, 0);

	if (ret == 0 && fsync(fd) < 0)
		ret = -errno;
	*size = (uint64_t)length;
	return ret;
}

/* One of this name can only be what a try before this one left, and has no entry in it. */
static int begin_file(struct audit *audit)
{
	char name[AUDIT_NAME_SIZE];
	CLEANUP_CLOSE int fd = -1;
	uint64_t size;
	int ret;

	audit_file_name(audit->head.last.number + 1, name);
	fd = openat(audit->folder, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	ret = fd < 0 ? -errno : write_begin(fd, &audit->head.last, &size);
	if (ret == 0)
		ret = sync_folder(audit);
	if (ret < 0) {
		unlinkat(audit->folder, name, 0);
		return ret;
	}
	os_close(&audit->file);
	audit->file = os_steal_fd(&fd);
	audit->size = size;
	return 0;
}

/* First the head, then the file: a crash between them leaves one file too many, not one too few. */
static int give_up_oldest(struct audit *audit, struct error *error)
{
	uint64_t firsts[AUDIT_FILES_MAX];
	int count = audit_files_list(audit->folder, firsts, error), keep = (int)audit->limits.files;
	struct audit_lines lines;
	char name[AUDIT_NAME_SIZE];
	int ret = 0, from = count - keep;

	if (count < 0)
		return count;
	if (from > 0) {
		ret = audit_lines_open(&lines, audit->folder, firsts[from], &audit->head.before,
				       error);
		if (ret < 0)
			return ret;
		audit_lines_close(&lines);
		ret = audit_head_write(audit->head_fd, &audit->head);
	}
	for (int i = 0; ret == 0 && i < count && firsts[i] <= audit->head.before.number; i++) {
		audit_file_name(firsts[i], name);
		if (unlinkat(audit->folder, name, 0) < 0)
			ret = -errno;
	}
	return ret < 0 ? error_set(error, -ret, "give up the oldest file: %s", strerror(-ret)) : 0;
}

static int rotate(struct audit *audit, struct error *error)
{
	int ret = begin_file(audit);

	if (ret < 0)
		return error_set(error, -ret, "audit log: begin a file: %s", strerror(-ret));
	return give_up_oldest(audit, error);
}

/* ---- an entry ---- */

/* Takes back what a failed entry left: bytes in the file, its hash in the head. */
static int repair(struct audit *audit)
{
	int ret = 0;

	if (!audit->dirty)
		return 0;
	if (ftruncate(audit->file, (off_t)audit->size) < 0)
		return -errno;
	ret = audit_head_write(audit->head_fd, &audit->head);
	audit->dirty = ret < 0;
	return ret;
}

static int promise(struct audit *audit, const struct audit_link *next)
{
	struct audit_head head = audit->head;
	int ret;

	head.pending = true;
	head.next = next->hash;
	ret = audit_head_write(audit->head_fd, &head);
	audit->head.generation = head.generation;
	return ret;
}

static int keep_promise(struct audit *audit, const struct audit_link *next)
{
	struct audit_head head = audit->head;
	int ret;

	head.last = *next;
	ret = audit_head_write(audit->head_fd, &head);
	if (ret == 0)
		audit->head = head;
	return ret;
}

static int put_line(struct audit *audit, const struct audit_link *next, const char *line,
		    size_t length)
{
	int ret = promise(audit, next);

	if (ret == 0)
		ret = os_pwrite_all(audit->file, line, length, audit->size);
	if (ret < 0) {
		audit->dirty = true;
		return ret;
	}
	/* After a flush that failed nobody knows what is on the disk, nor will the next one tell.
	 */
	if (fdatasync(audit->file) < 0)
		return audit->failed = -errno;
	ret = keep_promise(audit, next);
	if (ret < 0)
		return audit->failed = ret;
	audit->size += length;
	return 0;
}

int audit_write(struct audit *audit, const struct audit_record *record, struct error *error)
{
	struct audit_link next = audit->head.last;
	char line[AUDIT_LINE_MAX];
	int length = audit_chain_add(&next, record, line, sizeof(line));
	int ret = audit->failed ? audit->failed : length < 0 ? length : repair(audit);

	if (ret == 0 && audit->size + (uint64_t)length > audit->limits.bytes)
		ret = rotate(audit, error);
	if (ret == 0)
		ret = put_line(audit, &next, line, (size_t)length);
	if (ret < 0)
		return error_set(error, -ret, "the audit log cannot be written: %s",
				 strerror(-ret));
	return 0;
}

/* ---- opening ---- */

/* 0700 all the way: what is in it says who did what. */
static int make_folder(const char *path)
{
	char copy[4096];

	if (snprintf(copy, sizeof(copy), "%s", path) >= (int)sizeof(copy))
		return -ENAMETOOLONG;
	for (char *at = copy + 1; *at; at++) {
		if (*at != '/')
			continue;
		*at = '\0';
		if (mkdir(copy, 0700) < 0 && errno != EEXIST)
			return -errno;
		*at = '/';
	}
	return mkdir(copy, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

static int begin_log(struct audit *audit)
{
	CLEANUP_CLOSE int fd = openat(audit->folder, AUDIT_HEAD_NAME ".new",
				      O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	int ret = fd < 0 || ftruncate(fd, AUDIT_HEAD_SIZE) < 0 ? -errno : 0;

	if (ret == 0)
		ret = audit_head_write(fd, &audit->head);
	if (ret == 0 && (fsync(fd) < 0 || renameat(audit->folder, AUDIT_HEAD_NAME ".new",
						   audit->folder, AUDIT_HEAD_NAME) < 0))
		ret = -errno;
	if (ret == 0)
		ret = sync_folder(audit);
	audit->head_fd = os_steal_fd(&fd);
	return ret;
}

static int open_head(struct audit *audit, int files, struct error *error)
{
	int ret;

	audit->head_fd = openat(audit->folder, AUDIT_HEAD_NAME, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (audit->head_fd < 0 && errno == ENOENT && files)
		return error_set(error, EBADMSG, "its head was removed");
	if (audit->head_fd >= 0)
		ret = audit_head_read(audit->head_fd, &audit->head);
	else
		ret = errno == ENOENT ? begin_log(audit) : -errno;
	if (ret == -EBADMSG)
		return error_set(error, EBADMSG, "its head was changed");
	return ret < 0 ? error_set(error, -ret, "head: %s", strerror(-ret)) : 0;
}

static int changed_after(struct error *error, uint64_t number)
{
	return error_set(error, EBADMSG, "what follows line %llu was changed or removed",
			 (unsigned long long)number);
}

/* The chain ends where the head says, or one entry further, which is then the one that the head
 * expects: the controller died between the two. Half an entry was never acted upon. */
static int settle(struct audit *audit, const struct audit_link *end, ssize_t rest,
		  struct error *error)
{
	int ret = audit_head_fits(&audit->head, end, rest);

	if (ret < 0)
		return changed_after(error, min_u64(end->number, audit->head.last.number));
	audit->head.last = *end;
	audit->dirty = audit->head.pending;
	audit->head.pending = false;
	return 0;
}

/* Entries up to the first that is not one of the chain. */
static int read_entries(struct audit *audit, struct audit_lines *lines, struct audit_link *link,
			struct error *error)
{
	const char *line;
	ssize_t length, rest;

	audit->size = lines->offset;
	while ((length = audit_lines_next(lines, &line)) > 0 &&
	       audit_chain_check(link, line, (size_t)length) == 0)
		audit->size = lines->offset;
	rest = audit_lines_rest(lines, audit->size);
	return rest < 0 ? (int)rest : settle(audit, link, rest, error);
}

static int open_last_file(struct audit *audit, uint64_t first, struct error *error)
{
	struct audit_lines lines;
	struct audit_link link;
	char name[AUDIT_NAME_SIZE];
	int ret = audit_lines_open(&lines, audit->folder, first, &link, error);

	if (ret < 0)
		return ret;
	ret = read_entries(audit, &lines, &link, error);
	audit_lines_close(&lines);
	if (ret < 0)
		return ret;
	audit_file_name(first, name);
	audit->file = openat(audit->folder, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	return audit->file < 0 ? error_set(error, errno, "%s: %s", name, strerror(errno)) : 0;
}

/* A crash came before the first line of a new file was whole. */
static bool is_stub(const struct audit *audit, uint64_t first)
{
	char name[AUDIT_NAME_SIZE], line[AUDIT_LINE_MAX];
	struct stat status;

	audit_file_name(first, name);
	return fstatat(audit->folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
	       status.st_size < audit_chain_begin(&audit->head.last, line, sizeof(line));
}

static int open_files(struct audit *audit, const uint64_t *firsts, int count, struct error *error)
{
	uint64_t next = audit->head.last.number + 1;
	int ret;

	if (count && firsts[count - 1] > next)
		return error_set(error, EBADMSG, "a file was added");
	if (count && firsts[count - 1] == next && is_stub(audit, next))
		count--;
	else if (count)
		return open_last_file(audit, firsts[count - 1], error);
	if (!count && audit->head.last.number)
		return changed_after(error, audit->head.before.number);
	ret = begin_file(audit);
	return ret < 0 ? error_set(error, -ret, "begin a file: %s", strerror(-ret)) : 0;
}

static int open_all(struct audit *audit, const char *path, struct error *error)
{
	uint64_t firsts[AUDIT_FILES_MAX];
	int ret = make_folder(path), count;

	if (ret == 0)
		audit->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (ret < 0 || audit->folder < 0)
		return error_set(error, ret ? -ret : errno, "%s", strerror(ret ? -ret : errno));
	if (flock(audit->folder, LOCK_EX | LOCK_NB) < 0)
		return error_set(error, errno, "another controller writes it; use --audit FOLDER");
	count = audit_files_list(audit->folder, firsts, error);
	ret = count < 0 ? count : open_head(audit, count, error);
	if (ret == 0)
		ret = open_files(audit, firsts, count, error);
	if (ret == 0)
		ret = repair(audit);
	return ret < 0 && !error->code ? error_set(error, -ret, "%s", strerror(-ret)) : ret;
}

int audit_open(struct audit *audit, const char *path, const struct audit_limits *limits,
	       struct error *error)
{
	int ret;

	*audit = AUDIT_NONE;
	audit->limits = *limits;
	ret = open_all(audit, path, error);
	if (ret == 0)
		return 0;
	audit_close(audit);
	error_prefix(error, "audit log %s", path);
	return ret;
}

void audit_close(struct audit *audit)
{
	os_close(&audit->file);
	os_close(&audit->head_fd);
	os_close(&audit->folder);
	*audit = AUDIT_NONE;
}
