/* SPDX-License-Identifier: Apache-2.0 */
#include "replace.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

const struct os_file_calls os_file_calls = {
	.openat = openat,
	.write = write,
	.fsync = fsync,
	.close = close,
	.renameat = renameat,
	.unlinkat = unlinkat,
};

static int write_all(const struct os_file_calls *calls, int file, const char *bytes, size_t length)
{
	size_t done = 0;

	while (done < length) {
		ssize_t part = calls->write(file, bytes + done, length - done);

		if (part < 0 && errno != EINTR)
			return -errno;
		done += part > 0 ? (size_t)part : 0;
	}
	return 0;
}

static int write_beside(const struct os_file_calls *calls, int folder, const char *beside,
			const void *bytes, size_t length)
{
	int file = calls->openat(folder, beside,
				 O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	int ret = file < 0 ? -errno : write_all(calls, file, bytes, length);

	if (ret == 0 && calls->fsync(file) < 0)
		ret = -errno;
	if (file >= 0)
		calls->close(file);
	return ret;
}

int os_replace(const struct os_file_calls *calls, int folder, const char *name, const void *bytes,
	       size_t length)
{
	char beside[NAME_MAX + 1];
	int ret;

	if ((size_t)snprintf(beside, sizeof(beside), "%s.new", name) >= sizeof(beside))
		return -ENAMETOOLONG;
	ret = write_beside(calls, folder, beside, bytes, length);
	if (ret == 0 && calls->renameat(folder, beside, folder, name) < 0)
		ret = -errno;
	/* It may hold the last of the disk's room. */
	if (ret < 0)
		calls->unlinkat(folder, beside, 0);
	return ret;
}
