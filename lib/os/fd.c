/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/base.h"
#include "clock.h"
#include "fd.h"

void os_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

int os_eventfd(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	return fd < 0 ? -errno : fd;
}

void os_eventfd_signal(int fd)
{
	uint64_t one = 1;
	ssize_t done;

	do
		done = write(fd, &one, sizeof(one));
	while (done < 0 && errno == EINTR);
}

uint64_t os_eventfd_drain(int fd)
{
	uint64_t count;
	ssize_t done;

	do
		done = read(fd, &count, sizeof(count));
	while (done < 0 && errno == EINTR);
	return done == sizeof(count) ? count : 0;
}

uint64_t os_eventfd_drain_shared(int fd)
{
	uint64_t count;
	struct iovec iov = {.iov_base = &count, .iov_len = sizeof(count)};
	ssize_t done;

	do
		done = preadv2(fd, &iov, 1, -1, RWF_NOWAIT);
	while (done < 0 && errno == EINTR);
	return done == sizeof(count) ? count : 0;
}

int os_socket_pair(int pair[2])
{
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 ? -errno : 0;
}

int os_packet_pair(int pair[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0 ? -errno : 0;
}

int os_pipe(int pair[2])
{
	return pipe2(pair, O_CLOEXEC) < 0 ? -errno : 0;
}

int os_set_nonblocking(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	flags = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
	return fcntl(fd, F_SETFL, flags) < 0 ? -errno : 0;
}

/* Room for the largest set of descriptors that the kernel passes in one message. */
union control {
	struct cmsghdr header;
	uint8_t bytes[CMSG_SPACE(OS_MAX_FDS * sizeof(int))];
};

ssize_t os_send(int socket, const struct iovec *iov, size_t iov_count, const int *fds,
		size_t fd_count, int flags)
{
	union control control;
	struct msghdr message = {.msg_iov = (struct iovec *)iov, .msg_iovlen = iov_count};
	ssize_t done;

	if (fd_count > OS_MAX_FDS)
		return -EINVAL;
	if (fd_count) {
		memset(&control, 0, CMSG_SPACE(fd_count * sizeof(int)));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		memcpy(CMSG_DATA(&control.header), fds, fd_count * sizeof(int));
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
	}
	do
		done = sendmsg(socket, &message, flags | MSG_NOSIGNAL);
	while (done < 0 && errno == EINTR);
	return done < 0 ? -errno : done;
}

/* Moves the descriptors of one control message to `fds`, closes those that are too many; false if
 * there were any. */
static bool take_fds(const struct cmsghdr *header, int *fds, size_t fd_max, size_t *fd_count)
{
	size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	bool fits = true;

	for (size_t i = 0; i < count; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(fd));
		if (*fd_count < fd_max) {
			fds[(*fd_count)++] = fd;
		} else {
			close(fd);
			fits = false;
		}
	}
	return fits;
}

ssize_t os_receive(int socket, void *buffer, size_t length, int *fds, size_t fd_max,
		   size_t *fd_count, int flags)
{
	union control control;
	struct iovec iov = {.iov_base = buffer, .iov_len = length};
	struct msghdr message = {.msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};
	size_t count = 0;
	bool fits;
	ssize_t done;

	if (fd_count)
		*fd_count = 0;
	do
		done = recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC);
	while (done < 0 && errno == EINTR);
	if (done < 0)
		return -errno;
	fits = !(message.msg_flags & MSG_CTRUNC);
	for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header;
	     header = CMSG_NXTHDR(&message, header)) {
		if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
			fits &= take_fds(header, fds, fd_max, &count);
	}
	if (!fits) {
		for (size_t i = 0; i < count; i++)
			close(fds[i]);
		return -EMSGSIZE;
	}
	if (fd_count)
		*fd_count = count;
	return done;
}

int os_pread_all(int fd, void *buffer, size_t length, uint64_t offset)
{
	uint8_t *at = buffer;

	while (length) {
		ssize_t done = pread(fd, at, length, (off_t)offset);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return done < 0 ? -errno : -EIO;
		at += done;
		length -= (size_t)done;
		offset += (uint64_t)done;
	}
	return 0;
}

int os_pwrite_all(int fd, const void *buffer, size_t length, uint64_t offset)
{
	const uint8_t *at = buffer;

	while (length) {
		ssize_t done = pwrite(fd, at, length, (off_t)offset);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return done < 0 ? -errno : -EIO;
		at += done;
		length -= (size_t)done;
		offset += (uint64_t)done;
	}
	return 0;
}

ssize_t os_read_full(int fd, void *buffer, size_t length)
{
	size_t have = 0;

	while (have < length) {
		ssize_t done = read(fd, (uint8_t *)buffer + have, length - have);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -errno;
		if (done == 0)
			break;
		have += (size_t)done;
	}
	return (ssize_t)have;
}

int os_read_text(int folder, const char *file, char *text, size_t size)
{
	CLEANUP_CLOSE int fd = openat(folder, file, O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? -errno : os_read_full(fd, text, size);

	if (length < 0)
		return (int)length;
	if ((size_t)length == size)
		return -E2BIG;
	text[length] = '\0';
	if (length && text[length - 1] == '\n')
		text[length - 1] = '\0';
	return 0;
}

int os_write_all(int fd, const void *buffer, size_t length)
{
	const uint8_t *at = buffer;

	while (length) {
		ssize_t done = write(fd, at, length);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -errno;
		at += done;
		length -= (size_t)done;
	}
	return 0;
}

int os_wait(int fd, short events, uint64_t deadline_ns)
{
	struct pollfd entry = {.fd = fd, .events = events};

	for (;;) {
		uint64_t now = os_now();
		uint64_t left = now < deadline_ns ? deadline_ns - now : 0;
		/* Rounded up: a wait that ends early would spin until the deadline. */
		uint64_t ms = min_u64((left + NS_PER_MS - 1) / NS_PER_MS, 1u << 30);
		int ready = poll(&entry, 1, (int)ms);

		if (ready > 0)
			return entry.revents;
		if (ready < 0 && errno != EINTR)
			return -errno;
		if (!left)
			return 0;
	}
}
