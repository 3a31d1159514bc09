/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "memory.h"
#include "os/fd.h"
#include "os/memfd.h"

#define PAGE  UINT64_C(4096)
#define PIECE (64 * MIB) /* that is reserved without another look at what the host has left */
#define SPARE (32 * MIB) /* that stays, so that the host's kernel ends nobody to make room */

#ifndef MADV_POPULATE_WRITE /* Linux 5.14 */
#define MADV_POPULATE_WRITE 23
#endif

/* MemAvailable of proc(5), in bytes; UINT64_MAX when the kernel does not tell. */
static uint64_t host_available(void)
{
	char text[4096];
	const char *line;
	unsigned long long kib;

	if (os_read_text(AT_FDCWD, "/proc/meminfo", text, sizeof(text)) < 0)
		return UINT64_MAX;
	line = strstr(text, "MemAvailable:");
	if (!line || sscanf(line, "MemAvailable: %llu", &kib) != 1)
		return UINT64_MAX;
	return kib * KIB;
}

int memory_check(uint64_t size, struct error *error)
{
	uint64_t available = host_available();

	if (size < MEMORY_SMALLEST || size > MEMORY_LARGEST || size % PAGE)
		return error_set(error, EINVAL,
				 "memory: %llu bytes: must be 4 MiB to 1 TiB in whole pages",
				 (unsigned long long)size);
	if (size > available)
		return error_set(error, ENOMEM,
				 "memory: %llu MiB asked for, the host has %llu MiB left; give the "
				 "instance less, or end another one",
				 (unsigned long long)(size / MIB),
				 (unsigned long long)(available / MIB));
	return 0;
}

/* Huge pages for shared memory, but only where a mapping asks for them: fallocate(2) would fill the
 * file with small ones. */
static bool huge_on_advice(void)
{
	char text[128];

	return os_read_text(AT_FDCWD, "/sys/kernel/mm/transparent_hugepage/shmem_enabled", text,
			    sizeof(text)) == 0 &&
	       strstr(text, "[advise]");
}

/* All of it is the guest's from here on: a start fails, not a guest that touches its last page.
 * Pages are zeroed by the kernel, now or when they are first touched. */
static int reserve(int fd, uint8_t *host, uint64_t size, struct error *error)
{
	bool huge = huge_on_advice();
	int ret = 0;

	for (uint64_t at = 0; ret == 0 && at < size; at += PIECE) {
		uint64_t length = min_u64(PIECE, size - at);

		if (host_available() < length + SPARE)
			ret = ENOMEM;
		else if (!huge || madvise(host + at, length, MADV_POPULATE_WRITE) < 0)
			ret = fallocate(fd, 0, (off_t)at, (off_t)length) < 0 ? errno : 0;
		if (ret)
			return error_set(error, ret,
					 "memory: %llu MiB asked for, the host had only %llu MiB "
					 "of them: %s; give the instance less, or end another one",
					 (unsigned long long)(size / MIB),
					 (unsigned long long)(at / MIB), strerror(ret));
	}
	return 0;
}

static int use(struct memory *memory, int fd, uint64_t size, struct error *error)
{
	void *host;
	int ret = os_map(fd, 0, size, true, &host);

	if (ret < 0)
		return error_set(error, -ret, "memory: cannot map %llu MiB: %s",
				 (unsigned long long)(size / MIB), strerror(-ret));
	/* Both are wishes: fewer page faults where the host allows huge pages in shared memory. */
	madvise(host, size, MADV_HUGEPAGE);
	madvise(host, size, MADV_DONTDUMP);
	memory->fd = fd;
	memory->host = host;
	memory->low = min_u64(size, MEMORY_LOW_MAX);
	memory->high = size - memory->low;
	return 0;
}

int memory_create(struct memory *memory, uint64_t size, struct error *error)
{
	int fd = os_memfd("guest-memory", size);
	int ret;

	if (fd < 0)
		return error_set(error, -fd, "memory: no shared memory of %llu MiB: %s",
				 (unsigned long long)(size / MIB), strerror(-fd));
	ret = use(memory, fd, size, error);
	if (ret == 0) {
		ret = reserve(fd, memory->host, size, error);
		if (ret < 0)
			os_unmap(memory->host, size);
	}
	if (ret < 0)
		os_close(&fd);
	return ret;
}

int memory_adopt(struct memory *memory, int fd, uint64_t size, struct error *error)
{
	int seals = fcntl(fd, F_GET_SEALS);

	/* Nobody can pull a page from under the guest's feet, or ours. */
	if (size < MEMORY_SMALLEST || size > MEMORY_LARGEST || size % PAGE || seals < 0 ||
	    !(seals & F_SEAL_SHRINK))
		return error_set(error, EPROTO, "memory: what came is no guest's");
	return use(memory, fd, size, error);
}

void *memory_at(const struct memory *memory, uint64_t address, uint64_t length)
{
	if (range_within(address, length, memory->low))
		return memory->host + address;
	if (address >= MEMORY_HIGH_BASE &&
	    range_within(address - MEMORY_HIGH_BASE, length, memory->high))
		return memory->host + memory->low + (address - MEMORY_HIGH_BASE);
	return NULL;
}
