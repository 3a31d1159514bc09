/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "memory.h"
#include "os/fd.h"
#include "os/memfd.h"

#define PAGE UINT64_C(4096)

/* MemAvailable of proc(5), in bytes; UINT64_MAX when the kernel does not tell. */
static uint64_t host_available(void)
{
	char text[2048];
	CLEANUP_CLOSE int fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? -1 : os_read_full(fd, text, sizeof(text) - 1);
	const char *line;
	unsigned long long kib;

	if (length <= 0)
		return UINT64_MAX;
	text[length] = '\0';
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
