/* SPDX-License-Identifier: Apache-2.0 */
/*
 * karuta file clone: by sharing blocks where the file system can (ioctl_ficlone(2)), else by
 * copying what is not a hole. The key is not needed: what is copied is cipher text.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "content.h"
#include "interrupt.h"
#include "os/fd.h"
#include "os/newfile.h"
#include "os/sparse.h"
#include "progress.h"
#include "size.h"
#include "volume.h"

#define STEP   ((uint64_t)16 << 20) /* so that an interrupt does not wait for all of it */
#define BUFFER ((size_t)1 << 20)

static int open_volume(const char *path, uint64_t *size, struct error *error)
{
	CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat status;
	int result;

	if (fd < 0 || fstat(fd, &status))
		return error_set(error, errno, "volume %.150s: %s", path, strerror(errno));
	if (!S_ISREG(status.st_mode))
		return error_set(error, EINVAL, "volume %.150s: is not a file", path);
	result = volume_lock_out_writers(fd, path, error);
	*size = (uint64_t)status.st_size;
	return result ? result : os_steal_fd(&fd);
}

/* ---- the copy ---- */

/* By way of this process, for file systems between which the kernel does not copy. */
static int carry(int from, int to, uint64_t at, uint64_t length, uint8_t *buffer)
{
	int result = 0;

	while (length && !result) {
		size_t part = (size_t)min_u64(length, BUFFER);

		result = os_pread_all(from, buffer, part, at);
		if (!result)
			result = os_pwrite_all(to, buffer, part, at);
		at += part;
		length -= part;
	}
	return result;
}

/* copy_file_range(2) stays within the kernel, and on some file systems within the server. */
static int copy_part(int from, int to, uint64_t at, uint64_t length, uint8_t *buffer)
{
	off_t in = (off_t)at, out = (off_t)at;

	while (length) {
		ssize_t copied = copy_file_range(from, &in, to, &out, (size_t)length, 0);

		if (copied < 0 && errno == EINTR)
			continue;
		if (copied <= 0)
			return carry(from, to, (uint64_t)in, length, buffer);
		length -= (uint64_t)copied;
	}
	return 0;
}

static int copy_stretch(int from, int to, uint64_t start, uint64_t end, uint8_t *buffer,
			struct progress *progress)
{
	int result = 0;

	for (uint64_t at = start; at < end && !result; at += STEP) {
		progress_update(progress, at);
		result = interrupt_pending()
				 ? -EINTR
				 : copy_part(from, to, at, min_u64(STEP, end - at), buffer);
	}
	return result;
}

static int copy_data(int from, int to, uint64_t size, struct progress *progress)
{
	CLEANUP_FREE uint8_t *buffer = malloc(BUFFER);
	uint64_t start = 0, end = 0;
	int result = buffer ? 0 : -ENOMEM;

	if (!result && ftruncate(to, (off_t)size))
		result = -errno;
	while (!result && end < size) {
		result = os_next_data(from, end, size, &start, &end);
		if (!result)
			result = copy_stretch(from, to, start, end, buffer, progress);
	}
	return result;
}

static int copy(int from, int to, uint64_t size)
{
	struct progress progress = {0};
	int result;

	progress_step(&progress, "copy", size);
	result = copy_data(from, to, size, &progress);
	if (!result && fsync(to))
		result = -errno;
	if (result)
		progress_abandon(&progress);
	else
		progress_end(&progress);
	return result;
}

/* ---- the verb ---- */

static int fill(int from, struct os_newfile *file, uint64_t size, bool *shared)
{
	int result = 0;

	*shared = !ioctl(file->fd, FICLONE, from);
	if (!*shared)
		result = copy(from, file->fd, size);
	return result ? result : os_newfile_publish(file);
}

int volume_clone(const struct invocation *call, struct error *error)
{
	const char *path = call->operands[1];
	struct os_newfile file = OS_NEWFILE_NONE;
	char text[SIZE_TEXT];
	uint64_t size = 0;
	bool shared = false;
	CLEANUP_CLOSE int from = open_volume(call->operands[0], &size, error);
	int result;

	if (from < 0)
		return from;
	result = os_newfile_open(&file, path);
	if (!result)
		result = fill(from, &file, size, &shared);
	os_newfile_close(&file);
	if (result)
		return error_set(error, -result, "volume %.150s: %s", path, strerror(-result));
	printf("volume %s, %s, with the key of %s%s\n", path, size_format(text, size),
	       call->operands[0], shared ? "; both share their blocks" : "");
	return 0;
}
