/* SPDX-License-Identifier: Apache-2.0 */
#include "key.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "os/clock.h"
#include "os/fd.h"
#include "os/memfd.h"

/* To its end, if that comes in time: a pipe that stays open holds nobody up. */
static ssize_t read_all(int from, uint8_t *bytes, size_t size)
{
	uint64_t deadline = os_now() + KEY_SECONDS * NS_PER_S;
	size_t have = 0;

	while (have < size) {
		int ready = os_wait(from, POLLIN, deadline);
		ssize_t got = ready > 0 ? read(from, bytes + have, size - have) : -1;

		if (ready <= 0)
			return ready ? ready : -ETIMEDOUT;
		if (got < 0 && errno != EINTR && errno != EAGAIN)
			return -errno;
		if (got == 0)
			break;
		have += got > 0 ? (size_t)got : 0;
	}
	return (ssize_t)have;
}

static int keep(const uint8_t *bytes, size_t length)
{
	CLEANUP_CLOSE int fd = os_memfd("karuta-key", length);
	int ret = fd < 0 ? fd : os_pwrite_all(fd, bytes, length, 0);

	return ret < 0 ? ret : os_steal_fd(&fd);
}

int key_keep(int from, struct error *error)
{
	uint8_t bytes[KEY_MAX + 1];
	ssize_t length = read_all(from, bytes, sizeof(bytes));
	int ret = length < 0	     ? (int)length
		  : length > KEY_MAX ? -EFBIG
				     : keep(bytes, (size_t)length);

	explicit_bzero(bytes, sizeof(bytes));
	return ret < 0 ? error_set(error, -ret, "key: cannot be read: %s", strerror(-ret)) : ret;
}
