/* SPDX-License-Identifier: Apache-2.0 */
#include "audit_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/base.h"
#include "os/fd.h"

void audit_file_name(uint64_t first, char name[AUDIT_NAME_SIZE])
{
	snprintf(name, AUDIT_NAME_SIZE, "%020llu.log", (unsigned long long)first);
}

/* 0: not one of ours. */
static uint64_t number_of(const char *name)
{
	uint64_t first = strtoull(name, NULL, 10);
	char expected[AUDIT_NAME_SIZE];

	audit_file_name(first, expected);
	return strcmp(name, expected) ? 0 : first;
}

static int compare(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

int audit_files_list(int folder, uint64_t firsts[AUDIT_FILES_MAX], struct error *error)
{
	int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), count = 0, ret = 0;
	DIR *directory = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	if (!directory) {
		ret = error_set(error, errno, "read the folder: %s", strerror(errno));
		os_close(&fd);
		return ret;
	}
	while (ret == 0 && (entry = readdir(directory))) {
		uint64_t first = number_of(entry->d_name);

		if (!first)
			continue;
		if (count == (int)AUDIT_FILES_MAX)
			ret = error_set(error, EBADMSG, "more than %u files", AUDIT_FILES_MAX);
		else
			firsts[count++] = first;
	}
	closedir(directory);
	qsort(firsts, (size_t)count, sizeof(*firsts), compare);
	return ret < 0 ? ret : count;
}

static int fill(struct audit_lines *lines)
{
	ssize_t got;

	memmove(lines->buffer, lines->buffer + lines->begin, lines->end - lines->begin);
	lines->end -= lines->begin;
	lines->begin = 0;
	do {
		got = pread(lines->fd, lines->buffer + lines->end,
			    sizeof(lines->buffer) - lines->end,
			    (off_t)(lines->offset + lines->end));
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	lines->end += (size_t)got;
	return 0;
}

ssize_t audit_lines_next(struct audit_lines *lines, const char **line)
{
	for (int pass = 0; pass < 2; pass++) {
		size_t have = lines->end - lines->begin;
		char *at = lines->buffer + lines->begin, *end = memchr(at, '\n', have);
		int ret;

		if (end) {
			*line = at;
			lines->begin += (size_t)(end - at) + 1;
			lines->offset += (size_t)(end - at) + 1;
			/* An empty line is no line of the log, and must not look like the end. */
			return end == at || end - at >= (ssize_t)AUDIT_LINE_MAX ? -EBADMSG
										: end - at;
		}
		if (have >= AUDIT_LINE_MAX)
			return -EBADMSG;
		ret = pass ? 0 : fill(lines);
		if (ret < 0)
			return ret;
	}
	return 0;
}

ssize_t audit_lines_rest(const struct audit_lines *lines, uint64_t offset)
{
	struct stat status;

	if (fstat(lines->fd, &status) < 0)
		return -errno;
	return (uint64_t)status.st_size > offset ? (ssize_t)((uint64_t)status.st_size - offset) : 0;
}

int audit_lines_open(struct audit_lines *lines, int folder, uint64_t first, struct audit_link *link,
		     struct error *error)
{
	char name[AUDIT_NAME_SIZE];
	const char *line;
	ssize_t length;

	audit_file_name(first, name);
	*lines = (struct audit_lines){
		.fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)};
	if (lines->fd < 0)
		return error_set(error, errno, "%s: %s", name, strerror(errno));
	length = audit_lines_next(lines, &line);
	if (length <= 0 || audit_chain_parse_begin(link, line, (size_t)length) < 0 ||
	    link->number + 1 != first) {
		audit_lines_close(lines);
		return error_set(error, EBADMSG, "%s: its first line was changed", name);
	}
	return 0;
}

void audit_lines_close(struct audit_lines *lines)
{
	os_close(&lines->fd);
}
