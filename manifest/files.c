/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/base.h"
#include "manifest_tool.h"
#include "os/fd.h"

int file_read(const char *path, size_t limit, char **text, size_t *length, struct error *error)
{
	CLEANUP_CLOSE int file = open(path, O_RDONLY | O_CLOEXEC);
	CLEANUP_FREE char *bytes = malloc(limit + 1);
	ssize_t got;

	if (file < 0)
		return error_set(error, errno, "open %s: %s", path, strerror(errno));
	if (!bytes)
		return error_set(error, ENOMEM, "%s: out of memory", path);
	got = os_read_full(file, bytes, limit + 1);
	if (got < 0)
		return error_set(error, (int)-got, "read %s: %s", path, strerror((int)-got));
	if ((size_t)got > limit)
		return error_set(error, EFBIG, "%s: longer than %zu bytes", path, limit);
	bytes[got] = '\0';
	*length = (size_t)got;
	*text = bytes;
	bytes = NULL;
	return 0;
}

int file_write(const char *path, const char *text, size_t length, struct error *error)
{
	CLEANUP_FREE char *beside = NULL;
	CLEANUP_CLOSE int file = -1;
	int ret;

	if (asprintf(&beside, "%s.new", path) < 0)
		return error_set(error, ENOMEM, "%s: out of memory", path);
	file = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	ret = file < 0 ? -errno : os_write_all(file, text, length);
	if (ret == 0 && (fsync(file) < 0 || rename(beside, path) < 0))
		ret = -errno;
	if (ret < 0) {
		unlink(beside);
		return error_set(error, -ret, "write %s: %s", path, strerror(-ret));
	}
	return 0;
}

int file_measure(const char *path, uint64_t *size, struct trust_digest *digest, struct error *error)
{
	CLEANUP_FREE char *bytes = NULL;
	size_t length;
	int ret = file_read(path, MANIFEST_FILE_MAX, &bytes, &length, error);

	if (ret < 0)
		return ret;
	*size = length;
	ret = trust_digest(bytes, length, digest);
	return ret < 0 ? error_set(error, -ret, "%s: %s", path, strerror(-ret)) : 0;
}
