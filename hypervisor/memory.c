/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "memory.h"
#include "os/fd.h"
#include "os/memfd.h"
#include "os/room.h"

#define PAGE  UINT64_C(4096)
#define PIECE (4 * MIB) /* that is reserved at once: whole huge pages, and other work waits */

/* Huge pages for shared memory, but only where a mapping asks for them: fallocate(2) would fill the
 * file with small ones. */
static bool huge_on_advice(void)
{
	char text[128];

	return os_read_text(AT_FDCWD, "/sys/kernel/mm/transparent_hugepage/shmem_enabled", text,
			    sizeof(text)) == 0 &&
	       strstr(text, "[advise]");
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
	*memory = (struct memory){.fd = fd,
				  .host = host,
				  .low = min_u64(size, MEMORY_LOW_MAX),
				  .high = size - min_u64(size, MEMORY_LOW_MAX),
				  .room = os_room_open(),
				  .huge = huge_on_advice()};
	return 0;
}

static bool is_a_size(uint64_t size)
{
	return size >= MEMORY_SMALLEST && size <= MEMORY_LARGEST && size % PAGE == 0;
}

static int check_room(uint64_t size, struct error *error)
{
	CLEANUP_CLOSE int room = os_room_open();
	uint64_t there = min_u64(os_room_of_host(room), os_room_of_cgroups());

	if (there >= size + OS_ROOM_SPARE)
		return 0;
	return error_set(error, ENOMEM,
			 "memory: %llu MiB asked for, the host has %llu MiB left for it; give the "
			 "instance less, or end another one",
			 (unsigned long long)(size / MIB),
			 (unsigned long long)(there - min_u64(there, OS_ROOM_SPARE)) / MIB);
}

int memory_create(struct memory *memory, uint64_t size, struct error *error)
{
	int fd, ret;

	if (!is_a_size(size))
		return error_set(error, EINVAL,
				 "memory: %llu bytes: must be 4 MiB to 1 TiB in whole pages",
				 (unsigned long long)size);
	ret = check_room(size, error);
	if (ret < 0)
		return ret;
	fd = os_memfd("guest-memory", size);
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
	if (!is_a_size(size) || seals < 0 || !(seals & F_SEAL_SHRINK))
		return error_set(error, EPROTO, "memory: what came is no guest's");
	return use(memory, fd, size, error);
}

bool memory_is_reserved(const struct memory *memory)
{
	return memory->reserved == memory_size(memory);
}

int memory_go_on(struct memory *memory, uint64_t reserved)
{
	if (reserved > memory_size(memory) || reserved % PAGE)
		return -EPROTO;
	memory->reserved = reserved;
	if (memory_is_reserved(memory))
		os_close(&memory->room);
	return 0;
}

/* Pages are zeroed by the kernel, now or when they are first touched. */
static int reserve(const struct memory *memory, uint64_t length)
{
	if (os_room_of_host(memory->room) < length + OS_ROOM_SPARE)
		return -ENOMEM;
	if (memory->huge &&
	    madvise(memory->host + memory->reserved, length, MADV_POPULATE_WRITE) == 0)
		return 0;
	return fallocate(memory->fd, 0, (off_t)memory->reserved, (off_t)length) < 0 ? -errno : 0;
}

int memory_reserve(struct memory *memory, struct error *error)
{
	uint64_t length = min_u64(PIECE, memory_size(memory) - memory->reserved);
	int ret = reserve(memory, length);

	/* Somebody stopped this program for a while: all of the piece is undone. */
	if (ret == -EINTR)
		return 0;
	if (ret < 0)
		return error_set(error, -ret,
				 "memory: %llu MiB asked for, the host had only %llu MiB of them: "
				 "%s; give the instance less, or end another one",
				 (unsigned long long)(memory_size(memory) / MIB),
				 (unsigned long long)(memory->reserved / MIB), strerror(-ret));
	return memory_go_on(memory, memory->reserved + length);
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
