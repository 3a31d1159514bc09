/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One file or block device, by io_uring(7).
 *
 * A request holds one `struct file_io` and has one step under way at a time: the whole transfer,
 * then what a short one left over; a discard is a chain of such steps. There are as many file_ios
 * as ring entries, so neither ring can overflow; more requests wait in a queue. The ring is bound
 * to the store's file and to the five operations used here before it is enabled
 * (IORING_REGISTER_RESTRICTIONS): inside a sandbox it is no way round the system call list. Its own
 * descriptor is the event descriptor: readable while completions wait.
 */
#include <errno.h>
#include <liburing.h>
#include <linux/falloc.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/base.h"
#include "iov.h"
#include "os/fd.h"
#include "queue.h"
#include "store.h"

#define ENTRIES	   256u
#define MAX_AGAIN  1000u /* -EAGAIN and -EINTR in a row before the request fails with it */
#define ZEROS_SIZE (64u * 1024)

/* How whole blocks are zeroed: the first way that the file system or device knows. */
enum zero_way { ZERO_PUNCH, ZERO_RANGE, ZERO_WRITE };

struct file_io {
	struct store_request *request;
	struct file_io *next_free;
	uint64_t done; /* bytes of the request that are finished */
	uint64_t step; /* bytes that a fallocate step covers; 0: a transfer, which tells itself */
	enum zero_way way;
	unsigned again;
	struct iovec rest; /* of the piece in which a short transfer ended */
};

struct file {
	struct store store;
	struct io_uring ring;
	int fd;
	enum zero_way way;
	unsigned in_kernel; /* steps handed over and not yet reaped */
	struct store_queue waiting;
	struct file_io *free;
	struct file_io ios[ENTRIES];
};

/* Never written: not const so that it lies in .bss, where reading it takes no memory. Aligned for
 * O_DIRECT. */
static _Alignas(STORE_BLOCK) uint8_t zeros[ZEROS_SIZE];

static const int zero_modes[] = {
	[ZERO_PUNCH] = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
	[ZERO_RANGE] = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
};

/* What is left of the caller's list; a piece that was cut is done first, by itself. */
static void prepare_transfer(struct io_uring_sqe *sqe, struct file_io *io)
{
	const struct store_request *request = io->request;
	struct store_cursor cursor = store_cursor_at(request->iov, io->done);
	const struct iovec *iov = cursor.piece;
	unsigned count = (unsigned)(request->iov + request->iov_count - iov);
	uint64_t offset = request->offset + io->done;

	if (cursor.skip) {
		io->rest.iov_base = (uint8_t *)iov->iov_base + cursor.skip;
		io->rest.iov_len = iov->iov_len - cursor.skip;
		iov = &io->rest;
		count = 1;
	}
	if (request->op == STORE_READ)
		io_uring_prep_readv(sqe, 0, iov, count, offset);
	else
		io_uring_prep_writev2(sqe, 0, iov, count, offset,
				      request->flags & STORE_FUA ? RWF_DSYNC : 0);
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

/* Puts the next step into the submission ring: there is room, see above. */
static void issue(struct file *file, struct file_io *io)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&file->ring);

	io->step = 0;
	switch (io->request->op) {
	case STORE_READ:
	case STORE_WRITE:
		prepare_transfer(sqe, io);
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
		io->next_free = file->free;
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
		file->free = io->next_free;
		begin(file, io, request);
	} else {
		store_queue_push(&file->waiting, request);
	}
}

/*
 * The kernel takes what it has memory for. With something under way the rest goes in after the next
 * completion; with nothing, nobody would call again, so it is asked until it takes one.
 */
static void kick(struct store *store)
{
	struct file *file = (struct file *)store;

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

	while (!io_uring_peek_cqe(&file->ring, &cqe)) {
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
	.destroy = destroy,
};

/*
 * Nothing but these operations on nothing but file 0. By io_uring_register(): the shared library of
 * liburing 2.3 does not export the two functions made for it.
 */
static int restrict_ring(struct io_uring *ring, int fd)
{
	static const uint8_t operations[] = {IORING_OP_READV, IORING_OP_WRITEV, IORING_OP_WRITE,
					     IORING_OP_FSYNC, IORING_OP_FALLOCATE};
	struct io_uring_restriction rules[ARRAY_LEN(operations) + 1] = {0};
	unsigned id = (unsigned)ring->ring_fd;
	size_t i;
	int result;

	for (i = 0; i < ARRAY_LEN(operations); i++) {
		rules[i].opcode = IORING_RESTRICTION_SQE_OP;
		rules[i].sqe_op = operations[i];
	}
	rules[i].opcode = IORING_RESTRICTION_SQE_FLAGS_REQUIRED;
	rules[i].sqe_flags = IOSQE_FIXED_FILE;
	result = io_uring_register_files(ring, &fd, 1);
	if (!result)
		result = io_uring_register(id, IORING_REGISTER_RESTRICTIONS, rules,
					   ARRAY_LEN(rules));
	return result ? result : io_uring_register(id, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}

static int make_ring(struct file *file, struct error *error)
{
	int result = io_uring_queue_init(ENTRIES, &file->ring, IORING_SETUP_R_DISABLED);

	if (result == -EPERM || result == -ENOSYS)
		return error_set(
			error, -result,
			"the kernel refuses io_uring: set sysctl kernel.io_uring_disabled to 0");
	if (result < 0)
		return error_set(error, -result, "io_uring: %s", strerror(-result));
	result = restrict_ring(&file->ring, file->fd);
	if (result < 0) {
		io_uring_queue_exit(&file->ring);
		return error_set(error, -result, "io_uring restrictions: %s (Linux 5.10 has them)",
				 strerror(-result));
	}
	return 0;
}

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

static void fill_free_list(struct file *file)
{
	for (size_t i = ENTRIES; i-- > 0;) {
		file->ios[i].next_free = file->free;
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
	result = make_ring(file, error);
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
