/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One file or block device, by io_uring(7).
 *
 * A request holds one `struct file_io` and has one step under way at a time: the whole transfer,
 * then what a short one left over; a discard is a chain of such steps. There are as many file_ios
 * as ring entries, so neither ring can overflow; more requests wait in a queue. The ring's own
 * descriptor is the event descriptor: readable while completions wait.
 *
 * A file in memory (tmpfs) is read and written by plain system calls: it never waits for a device,
 * but the ring would hand every transfer to a thread of the kernel's, which wants this thread's
 * core while this one polls.
 */
#include <errno.h>
#include <liburing.h>
#include <linux/falloc.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/uio.h>

#include "base/base.h"
#include "file_ring.h"
#include "iov.h"
#include "os/fd.h"
#include "queue.h"
#include "store.h"

#define MAX_AGAIN  1000u /* -EAGAIN and -EINTR in a row before the request fails with it */
#define ZEROS_SIZE (64u * 1024)
#define LONGEST	   (1u << 30) /* of one call: what is left is another step */

/* How whole blocks are zeroed: the first way that the file system or device knows. */
enum zero_way { ZERO_PUNCH, ZERO_RANGE, ZERO_WRITE };

struct file_io {
	struct store_request *request;
	struct file_io *next; /* in the list of those that are free, or wait for a plain call */
	uint64_t done;	      /* bytes of the request that are finished */
	uint64_t step; /* bytes that a fallocate step covers; 0: a transfer, which tells itself */
	enum zero_way way;
	unsigned again;
	struct iovec rest; /* of the piece in which a short transfer ended */
};

/* What a step moves: all or some of a request. */
struct transfer {
	const struct iovec *iov;
	unsigned count;
	uint64_t offset;
};

struct file {
	struct store store;
	struct io_uring ring;
	int fd;
	enum zero_way way;
	unsigned in_kernel; /* steps handed over and not yet reaped */
	bool in_memory;	    /* its transfers are plain calls, made by kick() ... */
	bool calling;	    /* ... and that is at it */
	struct file_io *plain, **plain_end;
	struct iovec lent; /* memory that the ring knows: file_ring_lend() */
	struct store_queue waiting;
	struct file_io *free;
	struct file_io ios[FILE_RING_ENTRIES];
};

/* Never written: not const so that it lies in .bss, where reading it takes no memory. Aligned for
 * O_DIRECT. */
static _Alignas(STORE_BLOCK) uint8_t zeros[ZEROS_SIZE];

static const int zero_modes[] = {
	[ZERO_PUNCH] = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
	[ZERO_RANGE] = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
};

/* What is left of the caller's list; a piece that was cut is done first, by itself. */
static struct transfer transfer_of(struct file_io *io)
{
	const struct store_request *request = io->request;
	struct store_cursor cursor = store_cursor_at(request->iov, io->done);
	struct transfer transfer = {
		.iov = cursor.piece,
		.count = (unsigned)(request->iov + request->iov_count - cursor.piece),
		.offset = request->offset + io->done,
	};

	if (cursor.skip) {
		io->rest.iov_base = (uint8_t *)cursor.piece->iov_base + cursor.skip;
		io->rest.iov_len = cursor.piece->iov_len - cursor.skip;
		transfer.iov = &io->rest;
		transfer.count = 1;
	}
	return transfer;
}

static bool is_lent(const struct file *file, const struct iovec *iov)
{
	uintptr_t lent = (uintptr_t)file->lent.iov_base, at = (uintptr_t)iov->iov_base;

	return at >= lent && range_within(at - lent, iov->iov_len, file->lent.iov_len);
}

/* The kernel has least to do for one piece of memory that it knows. */
static void prepare_transfer(const struct file *file, struct io_uring_sqe *sqe, struct file_io *io)
{
	struct transfer transfer = transfer_of(io);
	void *memory = transfer.iov->iov_base;
	unsigned length = (unsigned)min_u64(transfer.iov->iov_len, LONGEST);
	bool read = io->request->op == STORE_READ;

	if (transfer.count > 1 && read)
		io_uring_prep_readv(sqe, 0, transfer.iov, transfer.count, transfer.offset);
	else if (transfer.count > 1)
		io_uring_prep_writev(sqe, 0, transfer.iov, transfer.count, transfer.offset);
	else if (is_lent(file, transfer.iov) && read)
		io_uring_prep_read_fixed(sqe, 0, memory, length, transfer.offset, 0);
	else if (is_lent(file, transfer.iov))
		io_uring_prep_write_fixed(sqe, 0, memory, length, transfer.offset, 0);
	else if (read)
		io_uring_prep_read(sqe, 0, memory, length, transfer.offset);
	else
		io_uring_prep_write(sqe, 0, memory, length, transfer.offset);
	if (io->request->flags & STORE_FUA && !read)
		sqe->rw_flags = RWF_DSYNC;
}

static void prepare_zeros(struct io_uring_sqe *sqe, struct file_io *io, enum zero_way way)
{
	uint64_t at = io->request->offset + io->done, left = io->request->length - io->done;
	uint64_t ragged = align_up(at + 1, STORE_BLOCK) - at;

	io->way = way;
	if (way == ZERO_WRITE) {
		io_uring_prep_write(sqe, 0, zeros, (unsigned)min_u64(left, ZEROS_SIZE), at);
	} else if (ragged < STORE_BLOCK || left < STORE_BLOCK) {
		io_uring_prep_write(sqe, 0, zeros, (unsigned)min_u64(left, ragged), at);
	} else {
		io->step = align_down(left, STORE_BLOCK);
		/* The types of the last two arguments differ between liburing 2.3 and 2.9. */
		io_uring_prep_fallocate(sqe, 0, zero_modes[way], 0, 0);
		sqe->off = at;
		sqe->addr = io->step;
	}
}

static void issue_plain(struct file *file, struct file_io *io)
{
	io->next = NULL;
	*file->plain_end = io;
	file->plain_end = &io->next;
}

/* Puts the next step into the submission ring: there is room, see above. */
static void issue_to_ring(struct file *file, struct file_io *io)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&file->ring);

	switch (io->request->op) {
	case STORE_READ:
	case STORE_WRITE:
		prepare_transfer(file, sqe, io);
		break;
	case STORE_FLUSH:
		io_uring_prep_fsync(sqe, 0, IORING_FSYNC_DATASYNC);
		break;
	case STORE_DISCARD:
		prepare_zeros(sqe, io, file->way);
		break;
	}
	sqe->flags |= IOSQE_FIXED_FILE;
	io_uring_sqe_set_data(sqe, io);
}

static void issue(struct file *file, struct file_io *io)
{
	enum store_op op = io->request->op;

	io->step = 0;
	if (file->in_memory && (op == STORE_READ || op == STORE_WRITE))
		issue_plain(file, io);
	else
		issue_to_ring(file, io);
}

static void begin(struct file *file, struct file_io *io, struct store_request *request)
{
	*io = (struct file_io){.request = request};
	issue(file, io);
}

static void finish(struct file *file, struct file_io *io, int error)
{
	struct store_request *request = io->request, *next = store_queue_pop(&file->waiting);

	if (next) {
		begin(file, io, next);
	} else {
		io->next = file->free;
		file->free = io;
	}
	request->done(request, error);
}

/* True when the step was started anew, in another way or as it was. */
static bool try_again(struct file *file, struct file_io *io, int result)
{
	bool refused = io->step && (result == -EOPNOTSUPP || result == -EINVAL);

	if (refused) {
		if (file->way <= io->way)
			file->way = io->way + 1;
	} else if ((result != -EAGAIN && result != -EINTR) || ++io->again > MAX_AGAIN) {
		return false;
	}
	issue(file, io);
	return true;
}

static void step_done(struct file *file, struct file_io *io, int result)
{
	const struct store_request *request = io->request;

	if (result < 0) {
		if (!try_again(file, io, result))
			finish(file, io, result);
		return;
	}
	if (request->op == STORE_FLUSH) {
		finish(file, io, 0);
		return;
	}
	if (!result && !io->step) { /* the file ends before the store does */
		finish(file, io, -EIO);
		return;
	}
	io->again = 0;
	io->done += io->step ? io->step : (uint64_t)result;
	if (io->done < request->length)
		issue(file, io);
	else
		finish(file, io, 0);
}

static void submit(struct store *store, struct store_request *request)
{
	struct file *file = (struct file *)store;
	struct file_io *io = file->free;

	if (!request->length && request->op != STORE_FLUSH) {
		request->done(request, 0);
	} else if (io) {
		file->free = io->next;
		begin(file, io, request);
	} else {
		store_queue_push(&file->waiting, request);
	}
}

/* Nothing there is durable, so nothing is written through. */
static int call(const struct file *file, struct file_io *io)
{
	struct transfer transfer = transfer_of(io);
	int count = (int)transfer.count;
	off_t offset = (off_t)transfer.offset;
	ssize_t result = io->request->op == STORE_READ
				 ? preadv(file->fd, transfer.iov, count, offset)
				 : pwritev(file->fd, transfer.iov, count, offset);

	return result < 0 ? -errno : (int)result;
}

/* What a done() submits anew is taken by the same loop: the stack does not grow. */
static void make_calls(struct file *file)
{
	struct file_io *io;

	if (file->calling)
		return;
	file->calling = true;
	while ((io = file->plain)) {
		file->plain = io->next;
		if (!file->plain)
			file->plain_end = &file->plain;
		step_done(file, io, call(file, io));
	}
	file->calling = false;
}

/*
 * The kernel takes what it has memory for. With something under way the rest goes in after the next
 * completion; with nothing, nobody would call again, so it is asked until it takes one.
 */
static void kick(struct store *store)
{
	struct file *file = (struct file *)store;

	make_calls(file);
	while (io_uring_sq_ready(&file->ring)) {
		int taken = io_uring_submit(&file->ring);

		if (taken > 0)
			file->in_kernel += (unsigned)taken;
		else if (file->in_kernel && taken != -EINTR)
			return;
	}
}

static void reap(struct store *store)
{
	struct file *file = (struct file *)store;
	struct io_uring_cqe *cqe;

	while (file->in_kernel && !io_uring_peek_cqe(&file->ring, &cqe)) {
		struct file_io *io = io_uring_cqe_get_data(cqe);
		int result = cqe->res;

		io_uring_cqe_seen(&file->ring, cqe);
		file->in_kernel--;
		step_done(file, io, result);
	}
	kick(store);
}

/* The size of a block device cannot be asked for inside a sandbox: beyond its end there are errors.
 */
static int grow(struct store *store, uint64_t size)
{
	struct file *file = (struct file *)store;
	struct stat status;

	if (fstat(file->fd, &status) < 0)
		return -errno;
	if (S_ISREG(status.st_mode) && size > (uint64_t)status.st_size)
		return -EINVAL;
	store->size = size;
	return 0;
}

static void lend(struct store *store, void *memory, size_t size)
{
	struct file *file = (struct file *)store;

	if (!file->in_memory && file_ring_lend(&file->ring, memory, size))
		file->lent = (struct iovec){.iov_base = memory, .iov_len = size};
}

static void destroy(struct store *store)
{
	struct file *file = (struct file *)store;

	io_uring_queue_exit(&file->ring);
	os_close(&file->fd);
	free(file);
}

static const struct store_ops file_ops = {
	.name = "file",
	.submit = submit,
	.kick = kick,
	.poll = reap,
	.grow = grow,
	.lend = lend,
	.destroy = destroy,
};

/* The present size in bytes, of a regular file or a block device. */
static int present_size(int fd, bool *is_file, uint64_t *size, struct error *error)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return error_set(error, errno, "fstat: %s", strerror(errno));
	*is_file = S_ISREG(status.st_mode);
	*size = (uint64_t)status.st_size;
	if (S_ISBLK(status.st_mode) && ioctl(fd, BLKGETSIZE64, size) < 0)
		return error_set(error, errno, "BLKGETSIZE64: %s", strerror(errno));
	if (!*is_file && !S_ISBLK(status.st_mode))
		return error_set(error, EINVAL, "neither a regular file nor a block device");
	return 0;
}

static int settle_size(int fd, uint64_t *size, struct error *error)
{
	uint64_t present;
	bool is_file = false;
	int result = present_size(fd, &is_file, &present, error);

	if (result < 0)
		return result;
	if (!*size && !present)
		return error_set(error, EINVAL, "it is empty: give a size");
	if (!*size)
		*size = present;
	if (*size % STORE_BLOCK || *size > INT64_MAX)
		return error_set(error, EINVAL, "its size, %llu, is not a multiple of %u",
				 (unsigned long long)*size, STORE_BLOCK);
	if (*size <= present)
		return 0;
	if (!is_file)
		return error_set(error, EINVAL, "the device has only %llu bytes",
				 (unsigned long long)present);
	if (ftruncate(fd, (off_t)*size) < 0)
		return error_set(error, errno, "cannot be made %llu bytes long: %s",
				 (unsigned long long)*size, strerror(errno));
	return 0;
}

static bool is_in_memory(int fd)
{
	struct statfs status;

	return !fstatfs(fd, &status) && status.f_type == TMPFS_MAGIC;
}

static void fill_free_list(struct file *file)
{
	for (size_t i = FILE_RING_ENTRIES; i-- > 0;) {
		file->ios[i].next = file->free;
		file->free = &file->ios[i];
	}
}

int store_file_create(struct store **store, int fd, uint64_t size, struct error *error)
{
	struct file *file;
	int result = settle_size(fd, &size, error);

	if (result < 0)
		goto close_fd;
	file = calloc(1, sizeof(*file));
	if (!file) {
		result = error_set(error, ENOMEM, "out of memory");
		goto close_fd;
	}
	file->fd = fd;
	file->in_memory = is_in_memory(fd);
	file->plain_end = &file->plain;
	result = file_ring_open(&file->ring, fd, error);
	if (result < 0)
		goto free_file;
	fill_free_list(file);
	file->store =
		(struct store){.ops = &file_ops, .size = size, .event_fd = file->ring.ring_fd};
	*store = &file->store;
	return 0;

free_file:
	free(file);
close_fd:
	os_close(&fd);
	return result;
}
