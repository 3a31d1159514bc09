/* SPDX-License-Identifier: Apache-2.0 */
/* karuta file resize, of one that no card serves; karuta-controller(8) has it for the others. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "base/size.h"
#include "os/fd.h"
#include "size.h"
#include "volume.h"

/* The lock that a card holds: block_options_open(). */
static int lock(int fd, const char *path, struct error *error)
{
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	if (!fcntl(fd, F_OFD_SETLK, &whole))
		return 0;
	if (errno != EAGAIN && errno != EACCES)
		return error_set(error, errno, "volume %.150s: cannot be locked: %s", path,
				 strerror(errno));
	return error_set(error, EBUSY,
			 "volume %.120s: in use; `karuta-controller resize` does it while its "
			 "instance runs",
			 path);
}

static int open_volume(const char *path, uint64_t *size, struct error *error)
{
	CLEANUP_CLOSE int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat status;
	int result;

	if (fd < 0)
		return error_set(error, errno, "volume %.150s: %s", path, strerror(errno));
	result = lock(fd, path, error);
	if (result)
		return result;
	if (fstat(fd, &status))
		return error_set(error, errno, "volume %.150s: %s", path, strerror(errno));
	if (!S_ISREG(status.st_mode))
		return error_set(error, EINVAL,
				 "volume %.150s: is not a file; a device has the size that it has",
				 path);
	*size = (uint64_t)status.st_size;
	return os_steal_fd(&fd);
}

static int grow(int fd, const char *path, uint64_t present, uint64_t size, struct error *error)
{
	char has[SIZE_TEXT];

	if (size < present)
		return error_set(
			error, EINVAL,
			"volume %.80s: has %s and cannot be made smaller: what lies behind "
			"the new end would be lost",
			path, size_format(has, present));
	if (ftruncate(fd, (off_t)size) || fsync(fd))
		return error_set(error, errno, "volume %.150s: %s", path, strerror(errno));
	return 0;
}

int volume_resize(const struct invocation *call, struct error *error)
{
	const char *path = call->operands[0], *text = call->operands[1];
	uint64_t size = 0, present = 0;
	char has[SIZE_TEXT];
	int result;

	if (size_parse(text, &size) || !size || size > VOLUME_LARGEST) {
		error_set(error, EINVAL, "%.60s: wanted is a size up to 16T, such as 4G", text);
		return CLI_USAGE;
	}
	size = align_up(size, STORE_BLOCK);
	CLEANUP_CLOSE int fd = open_volume(path, &present, error);
	result = fd < 0 ? fd : grow(fd, path, present, size, error);
	if (!result)
		printf("volume %s, %s\n", path, size_format(has, size));
	return result;
}
