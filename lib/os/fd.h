/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors: scope cleanup, eventfds, socket pairs, passing descriptors (unix(7), SCM_RIGHTS),
 * whole reads and writes. All return 0, a count or a descriptor, or -errno. Everything that is
 * opened here is close-on-exec.
 */
#ifndef KARUTA_OS_FD_H
#define KARUTA_OS_FD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#include <unistd.h>

#define OS_MAX_FDS 253 /* SCM_MAX_FD: what one message can carry at most */

/* Closes *fd unless it is negative, and sets it to -1. */
void os_close(int *fd);
#define CLEANUP_CLOSE __attribute__((cleanup(os_close)))

/* Takes the descriptor out of a CLEANUP_CLOSE variable. */
static inline int os_steal_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

/* Non-blocking counter. */
int os_eventfd(void);
/* Adds one. Never blocks: a counter at its limit is already "signalled". */
void os_eventfd_signal(int fd);
/* Reads and clears the counter; 0 if it was not signalled. */
uint64_t os_eventfd_drain(int fd);
/* The same for one that another program has too, which may have made it block. */
uint64_t os_eventfd_drain_shared(int fd);

/* AF_UNIX SOCK_STREAM pair. */
int os_socket_pair(int pair[2]);
/* The same with SOCK_SEQPACKET: each message stays one. */
int os_packet_pair(int pair[2]);
/* pipe2(2): pair[0] reads, pair[1] writes. */
int os_pipe(int pair[2]);
int os_set_nonblocking(int fd, bool on);

/*
 * One sendmsg(2) of all of `iov` with `fd_count` descriptors on its first byte (flags: MSG_*;
 * MSG_NOSIGNAL is added). Returns the number of bytes taken, which can be less than asked for, or
 * -errno.
 */
ssize_t os_send(int socket, const struct iovec *iov, size_t iov_count, const int *fds,
		size_t fd_count, int flags);

/*
 * One recvmsg(2). Descriptors that came with it go to fds[0 .. *fd_count) and are then the
 * caller's. More than `fd_max` (at most OS_MAX_FDS), or a truncated control message: all of them
 * are closed and -EMSGSIZE is returned; the bytes are lost. Returns bytes read, 0 at end of stream,
 * or -errno.
 */
ssize_t os_receive(int socket, void *buffer, size_t length, int *fds, size_t fd_max,
		   size_t *fd_count, int flags);

/* Whole reads and writes at an offset, or -EIO at an early end of file. */
int os_pread_all(int fd, void *buffer, size_t length, uint64_t offset);
int os_pwrite_all(int fd, const void *buffer, size_t length, uint64_t offset);
/* read(2) until `length` bytes, end of file, or error; returns the count. */
ssize_t os_read_full(int fd, void *buffer, size_t length);
/* All of a small file in `folder` as text, without the end of its last line; -E2BIG: it has `size`
 * bytes or more. */
int os_read_text(int folder, const char *file, char *text, size_t size);
int os_write_all(int fd, const void *buffer, size_t length);

/* Waits for `events` (poll(2)) until the deadline of os_now(); returns revents, 0 at the deadline,
 * -errno. */
int os_wait(int fd, short events, uint64_t deadline_ns);

#endif
