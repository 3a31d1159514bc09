/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/base.h"
#include "cgroup.h"
#include "fd.h"

#define DIRECTORY	(O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define REMOVE_TRIES	50
#define REMOVE_PAUSE_US 1000

int os_cgroup_root(void)
{
	/* The second is where systemd puts it beside version 1. */
	static const char *const places[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};

	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		CLEANUP_CLOSE int fd = open(places[i], DIRECTORY);
		struct statfs status;

		if (fd >= 0 && !fstatfs(fd, &status) && status.f_type == CGROUP2_SUPER_MAGIC)
			return os_steal_fd(&fd);
	}
	return -ENODEV;
}

int os_cgroup_make(int parent, const char *name)
{
	if (mkdirat(parent, name, 0700) < 0)
		return -errno;
	return os_cgroup_open(parent, name);
}

int os_cgroup_open(int parent, const char *name)
{
	int fd = openat(parent, name, DIRECTORY);

	return fd < 0 ? -errno : fd;
}

/* A program that has just ended can still be on its way out of its cgroup. */
int os_cgroup_remove(int parent, const char *name)
{
	for (int i = 0; unlinkat(parent, name, AT_REMOVEDIR) < 0; i++) {
		if (errno != EBUSY || i == REMOVE_TRIES)
			return -errno;
		usleep(REMOVE_PAUSE_US);
	}
	return 0;
}

int os_cgroup_write(int cgroup, const char *file, const char *text)
{
	CLEANUP_CLOSE int fd = openat(cgroup, file, O_WRONLY | O_CLOEXEC);
	ssize_t written = fd < 0 ? -1 : write(fd, text, strlen(text));

	if (written < 0)
		return -errno;
	return (size_t)written == strlen(text) ? 0 : -EIO;
}

static int lock(int cgroup, int operation)
{
	int ret;

	do
		ret = flock(cgroup, operation);
	while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : 0;
}

int os_cgroup_lock(int cgroup)
{
	return lock(cgroup, LOCK_EX);
}

int os_cgroup_try_lock(int cgroup)
{
	return lock(cgroup, LOCK_EX | LOCK_NB);
}
