/* SPDX-License-Identifier: Apache-2.0 */
#include "key.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
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

/* Populated, so that all of it is locked, and then out of our own reach. */
static int lock(struct key *key, size_t size)
{
	int ret = os_map(key->fd, 0, size, false, &key->lock);

	if (ret < 0)
		return ret;
	if (mlock(key->lock, KEY_MAX) < 0 || madvise(key->lock, KEY_MAX, MADV_DONTDUMP) < 0 ||
	    mprotect(key->lock, KEY_MAX, PROT_NONE) < 0)
		return -errno;
	return 0;
}

/* Memory first, so that the bytes never are in pages that can be swapped out. The length is what
 * the file says at the end. */
static int keep(struct key *key, const uint8_t *bytes, size_t length)
{
	int ret;

	key->fd = memfd_create("karuta-key", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (key->fd < 0 || ftruncate(key->fd, KEY_MAX) < 0)
		return -errno;
	ret = lock(key, KEY_MAX);
	if (ret == 0)
		ret = os_pwrite_all(key->fd, bytes, length, 0);
	if (ret == 0 &&
	    (ftruncate(key->fd, (off_t)length) < 0 ||
	     fcntl(key->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0))
		ret = -errno;
	return ret;
}

int key_adopt(struct key *key)
{
	struct stat status;

	if (fstat(key->fd, &status) < 0)
		return -errno;
	if (status.st_size < 1 || status.st_size > KEY_MAX)
		return -EINVAL;
	return lock(key, (size_t)status.st_size);
}

int key_keep_bytes(struct key *key, const void *bytes, size_t length, struct error *error)
{
	int ret = keep(key, bytes, length);

	if (ret == 0)
		return 0;
	key_free(key);
	return error_set(error, -ret, "key: cannot be kept: %s", strerror(-ret));
}

int key_keep(struct key *key, int from, struct error *error)
{
	uint8_t bytes[KEY_MAX + 1];
	ssize_t length = read_all(from, bytes, sizeof(bytes));
	int ret;

	if (length > KEY_MAX)
		length = -EFBIG;
	ret = length < 0 ? error_set(error, (int)-length, "key: cannot be kept: %s",
				     strerror((int)-length))
			 : key_keep_bytes(key, bytes, (size_t)length, error);
	explicit_bzero(bytes, sizeof(bytes));
	return ret;
}

/* What is freed is not all written over by the next who needs memory. */
static void wipe(const struct key *key)
{
	static const uint8_t zeros[KEY_MAX];
	struct stat status;

	if (key->fd >= 0 && fstat(key->fd, &status) == 0)
		os_pwrite_all(key->fd, zeros, (size_t)min_u64((uint64_t)status.st_size, KEY_MAX),
			      0);
}

void key_free(struct key *key)
{
	wipe(key);
	os_unmap(key->lock, KEY_MAX);
	os_close(&key->fd);
	*key = KEY_NONE;
}
