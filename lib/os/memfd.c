/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/base.h"
#include "fd.h"
#include "memfd.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x10u
#endif

int os_memfd(const char *name, uint64_t size)
{
	CLEANUP_CLOSE int fd = -1;

	if (size > INT64_MAX)
		return -EFBIG;
	fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || ftruncate(fd, (off_t)size) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	return os_steal_fd(&fd);
}

/* Linux 6.3 and newer want to be told; older ones do not know the flag. */
static int executable_memfd(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return fd < 0 ? -errno : fd;
}

static int copy(int from, int to, uint64_t limit, uint64_t *size)
{
	static const size_t piece = 64 * KIB;
	CLEANUP_FREE uint8_t *buffer = malloc(piece);
	ssize_t got;

	if (!buffer)
		return -ENOMEM;
	*size = 0;
	while ((got = pread(from, buffer, piece, (off_t)*size)) > 0) {
		int ret = (uint64_t)got > limit - *size
				  ? -EFBIG
				  : os_pwrite_all(to, buffer, (size_t)got, *size);

		if (ret < 0)
			return ret;
		*size += (uint64_t)got;
	}
	return got < 0 ? -errno : 0;
}

int os_copy_sealed(int file, const char *name, uint64_t limit, uint64_t *size)
{
	CLEANUP_CLOSE int fd = executable_memfd(name);
	int ret = fd < 0 ? fd : copy(file, fd, limit, size);

	if (ret < 0)
		return ret;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	return os_steal_fd(&fd);
}

int os_memfd_read_only(int memfd)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", memfd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* What the kernel maps and unmaps of a file of huge pages is whole ones: -EINVAL for less. */
static const uint64_t granules[] = {4 * KIB, 2 * MIB, GIB};

int os_map(int fd, uint64_t offset, uint64_t size, bool write, void **mapping)
{
	const int access = write ? PROT_READ | PROT_WRITE : PROT_READ;
	struct stat status;

	if (!size || size > SIZE_MAX / 2 || fstat(fd, &status) < 0 || status.st_size < 0)
		return -EINVAL;
	if (!range_within(offset, size, (uint64_t)status.st_size) || offset % granules[0])
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_LEN(granules); i++) {
		uint64_t lead = offset % granules[i];
		uint8_t *at =
			mmap(NULL, lead + size, access, MAP_SHARED, fd, (off_t)(offset - lead));

		if (at != MAP_FAILED) {
			*mapping = at + lead;
			return 0;
		}
		if (errno != EINVAL)
			return -errno;
	}
	return -EINVAL;
}

void os_unmap(void *mapping, uint64_t size)
{
	for (size_t i = 0; mapping && i < ARRAY_LEN(granules); i++) {
		uint64_t lead = (uintptr_t)mapping % granules[i];

		if (!munmap((uint8_t *)mapping - lead, align_up(lead + size, granules[i])) ||
		    errno != EINVAL)
			return;
	}
}
