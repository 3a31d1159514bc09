/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/timerfd.h>

#include "base/base.h"
#include "os/clock.h"
#include "os/fd.h"
#include "options.h"

#define LOCK_PATIENCE_NS (2 * NS_PER_S)
#define LOCK_STEP_MS	 1

static int open_path(const struct block_options *options, struct error *error)
{
	int create = options->size ? O_CREAT : 0;
	int direct = options->direct ? O_DIRECT : 0;
	int fd = open(options->path, O_RDWR | O_CLOEXEC | create | direct, 0600);

	if (fd >= 0)
		return fd;
	if (errno == ENOENT && !create)
		return error_set(error, ENOENT,
				 "does not exist: give --size to make it, or take "
				 "`karuta file create`");
	return error_set(error, errno, "cannot be opened: %s%s", strerror(errno),
			 errno == EINVAL && direct ? " (does its file system know --direct?)" : "");
}

/* The same file, opened once more: locks belong to an open file. */
static int reopen(int from, int flags, struct error *error)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", from);
	fd = open(path, O_RDWR | O_CLOEXEC | flags);
	if (fd < 0)
		return error_set(error, errno,
				 "cannot be opened again by %s: %s; is /proc mounted, and is the "
				 "file this user's?",
				 path, strerror(errno));
	return fd;
}

/* What was handed over: whoever did that still holds its lock, if it has one. */
static int open_given(const struct block_options *options, struct error *error)
{
	int flags = fcntl(options->fd, F_GETFL);

	if (flags < 0 || (flags & O_ACCMODE) != O_RDWR)
		return error_set(error, EBADF, "is not open for reading and writing");
	return reopen(options->fd, options->direct ? O_DIRECT : 0, error);
}

/*
 * The open file whose lock says that the volume is ours. A killed process must not be overtaken by
 * its successor: its writes have to have ended. Those through the page cache have when the process
 * has (io_uring waits for its workers). Those with O_DIRECT are waited for by locking the open file
 * that the ring uses: the kernel keeps it until its last request is done, and some time longer.
 */
static int open_lock(const struct block_options *options, int fd, struct error *error)
{
	int lock_fd = options->direct ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : reopen(fd, 0, error);

	if (lock_fd < 0 && options->direct)
		return error_set(error, errno, "cannot be locked: %s", strerror(errno));
	return lock_fd;
}

/* One writer a volume. Also what qemu-img looks at. */
static int lock(int fd, struct error *error)
{
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	uint64_t deadline = os_now() + LOCK_PATIENCE_NS;

	while (fcntl(fd, F_OFD_SETLK, &whole) < 0) {
		if (errno != EAGAIN && errno != EACCES)
			return error_set(error, errno, "cannot be locked: %s", strerror(errno));
		if (os_now() > deadline)
			return error_set(error, EBUSY,
					 "is in use by another program: a volume has one writer");
		poll(NULL, 0, LOCK_STEP_MS);
	}
	return 0;
}

static uint64_t identity_of(int fd)
{
	struct stat status = {0};

	fstat(fd, &status);
	return (uint64_t)status.st_ino ^ ((uint64_t)status.st_dev << 40);
}

static int open_file(struct block_options *options, struct store **store, struct error *error)
{
	CLEANUP_CLOSE int fd = -1;
	int err;

	fd = options->where == BLOCK_FD ? open_given(options, error) : open_path(options, error);
	if (options->where == BLOCK_FD)
		os_close(&options->fd);
	if (fd < 0)
		return fd;
	options->lock_fd = open_lock(options, fd, error);
	if (options->lock_fd < 0)
		return options->lock_fd;
	err = options->is_successor ? 0 : lock(options->lock_fd, error);
	if (err)
		return err;
	options->identity = identity_of(fd);
	return store_file_create(store, os_steal_fd(&fd), options->size, error);
}

static int open_ram(const struct block_options *options, struct store **store, struct error *error)
{
	if (!options->size)
		return error_set(error, EINVAL, "needs --size");
	return store_ram_create(store, options->size, error);
}

static int open_timer(int *timer, struct error *error)
{
	*timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	return *timer < 0 ? error_set(error, errno, "timerfd: %s", strerror(errno)) : 0;
}

/* What wakes the device up when there are tokens (limiter.h), and when an interrupt is due. */
static int open_timers(struct block_limits *limits, struct error *error)
{
	int err = open_timer(&limits->alarm, error);

	limits->timer = -1;
	if (!err && (limits->operations.rate || limits->bytes.rate))
		err = open_timer(&limits->timer, error);
	return err;
}

int block_options_take_over(const struct block_options *options, struct error *error)
{
	return options->is_successor && options->lock_fd > 0 ? lock(options->lock_fd, error) : 0;
}

/* The successor need not wait for what else comes before the end of a process. */
void block_options_let_go(struct block_options *options)
{
	struct flock whole = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

	if (options->lock_fd <= 0)
		return;
	fcntl(options->lock_fd, F_OFD_SETLK, &whole);
	os_close(&options->lock_fd);
}

int block_options_open(struct block_options *options, struct store **store, struct error *error)
{
	int err = open_timers(&options->limits, error);

	if (err)
		return err;
	/* A file that may not grow gives an error, not the end. */
	signal(SIGXFSZ, SIG_IGN);
	return options->where == BLOCK_RAM ? open_ram(options, store, error)
					   : open_file(options, store, error);
}
