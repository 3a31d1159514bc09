/* SPDX-License-Identifier: Apache-2.0 */
#include "file_ring.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

#include "base/base.h"

static const uint8_t operations[] = {
	IORING_OP_READ,	  IORING_OP_READV,	 IORING_OP_READ_FIXED, IORING_OP_WRITE,
	IORING_OP_WRITEV, IORING_OP_WRITE_FIXED, IORING_OP_FSYNC,      IORING_OP_FALLOCATE,
};

/*
 * Nothing but these operations on nothing but file 0. By io_uring_register(): the shared library of
 * liburing 2.3 does not export the two functions made for it.
 */
static int restrict_ring(struct io_uring *ring, int fd)
{
	struct io_uring_restriction rules[ARRAY_LEN(operations) + 2] = {0};
	unsigned id = (unsigned)ring->ring_fd;
	size_t i;
	int result;

	for (i = 0; i < ARRAY_LEN(operations); i++) {
		rules[i].opcode = IORING_RESTRICTION_SQE_OP;
		rules[i].sqe_op = operations[i];
	}
	rules[i].opcode = IORING_RESTRICTION_SQE_FLAGS_REQUIRED;
	rules[i++].sqe_flags = IOSQE_FIXED_FILE;
	rules[i].opcode = IORING_RESTRICTION_REGISTER_OP; /* until the sandbox: file_ring_lend() */
	rules[i].register_op = IORING_REGISTER_BUFFERS;
	result = io_uring_register_files(ring, &fd, 1);
	if (!result)
		result = io_uring_register(id, IORING_REGISTER_RESTRICTIONS, rules,
					   ARRAY_LEN(rules));
	return result ? result : io_uring_register(id, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}

/* The kernel's helper threads stay where this thread may run: they are not to take the core of
 * another card that polls. Where it knows no such thing, they are where they are. */
static void keep_helpers_here(struct io_uring *ring)
{
	cpu_set_t cores;

	if (!sched_getaffinity(0, sizeof(cores), &cores))
		io_uring_register_iowq_aff(ring, sizeof(cores), &cores);
}

/*
 * What ends in the kernel is noted when this thread is there anyway or looks for it (Linux 5.19),
 * instead of by an interrupt of whatever it does. Not IORING_SETUP_DEFER_TASKRUN: whoever sleeps on
 * the ring's descriptor is not woken then.
 */
static int init(struct io_uring *ring)
{
	unsigned late = IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
	int result = io_uring_queue_init(FILE_RING_ENTRIES, ring, IORING_SETUP_R_DISABLED | late);

	if (result == -EINVAL)
		result = io_uring_queue_init(FILE_RING_ENTRIES, ring, IORING_SETUP_R_DISABLED);
	return result;
}

int file_ring_open(struct io_uring *ring, int fd, struct error *error)
{
	int result = init(ring);

	if (result == -EPERM || result == -ENOSYS)
		return error_set(
			error, -result,
			"the kernel refuses io_uring: set sysctl kernel.io_uring_disabled to 0");
	if (result < 0)
		return error_set(error, -result, "io_uring: %s", strerror(-result));
	keep_helpers_here(ring);
	result = restrict_ring(ring, fd);
	if (result < 0) {
		io_uring_queue_exit(ring);
		return error_set(error, -result, "io_uring restrictions: %s (Linux 5.10 has them)",
				 strerror(-result));
	}
	return 0;
}

bool file_ring_lend(struct io_uring *ring, void *memory, size_t size)
{
	const struct iovec buffer = {.iov_base = memory, .iov_len = size};

	return !io_uring_register_buffers(ring, &buffer, 1);
}
