/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's memory: refused or reserved piece by piece, and new whatever was there before. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "memory.h"

#define SIZE (161 * MIB) /* not a multiple of what is reserved at once */

/* ---- the kernel's part ---- */

static unsigned pieces_left = UINT32_MAX; /* until it fails, once */
static int failure = ENOMEM;

int __real_fallocate64(int fd, int mode, off_t offset, off_t length);
int __wrap_fallocate64(int fd, int mode, off_t offset, off_t length);

int __wrap_fallocate64(int fd, int mode, off_t offset, off_t length)
{
	if (pieces_left-- == 0) {
		errno = failure;
		return -1;
	}
	return __real_fallocate64(fd, mode, offset, length);
}

/* ---- the tests ---- */

static void make(struct memory *memory)
{
	struct error error;

	assert_int_equal(memory_create(memory, SIZE, &error), 0);
}

static void reserve_all(struct memory *memory)
{
	struct error error;

	while (!memory_is_reserved(memory))
		assert_int_equal(memory_reserve(memory, &error), 0);
}

static uint64_t allocated(const struct memory *memory)
{
	struct stat status;

	assert_int_equal(fstat(memory->fd, &status), 0);
	return (uint64_t)status.st_blocks * 512;
}

static void release(struct memory *memory)
{
	assert_int_equal(munmap(memory->host, SIZE), 0);
	close(memory->fd);
	if (memory->room >= 0)
		close(memory->room);
}

static void all_of_it_is_reserved_by_and_by(void **state)
{
	struct memory memory;
	struct error error;

	(void)state;
	make(&memory);
	assert_int_equal(allocated(&memory), 0);
	assert_int_equal(memory_reserve(&memory, &error), 0);
	assert_in_range(memory.reserved, 1, 8 * MIB);
	assert_int_equal(allocated(&memory), memory.reserved);
	reserve_all(&memory);
	assert_int_equal(memory.reserved, SIZE);
	assert_int_equal(allocated(&memory), SIZE);
	assert_int_equal(memory.room, -1);
	release(&memory);
}

static void what_cannot_be_reserved_is_told(void **state)
{
	struct memory memory;
	struct error error;

	(void)state;
	make(&memory);
	pieces_left = 2;
	assert_int_equal(memory_reserve(&memory, &error), 0);
	assert_int_equal(memory_reserve(&memory, &error), 0);
	assert_int_equal(memory_reserve(&memory, &error), -ENOMEM);
	pieces_left = UINT32_MAX;
	assert_string_equal(error.text,
			    "memory: 161 MiB asked for, the host had only 8 MiB of them: Cannot "
			    "allocate memory; give the instance less, or end another one");
	assert_false(memory_is_reserved(&memory));
	release(&memory);
}

static void an_interrupted_piece_is_begun_again(void **state)
{
	struct memory memory;
	struct error error;

	(void)state;
	make(&memory);
	pieces_left = 0;
	failure = EINTR;
	assert_int_equal(memory_reserve(&memory, &error), 0);
	failure = ENOMEM;
	assert_int_equal(memory.reserved, 0);
	reserve_all(&memory);
	assert_int_equal(allocated(&memory), SIZE);
	release(&memory);
}

static void what_the_host_does_not_have_is_refused(void **state)
{
	struct memory memory;
	struct error error;
	int next = dup(0);

	(void)state;
	close(next);
	assert_int_equal(memory_create(&memory, MEMORY_LARGEST, &error), -ENOMEM);
	assert_non_null(strstr(error.text, "memory: 1048576 MiB asked for, the host has "));
	assert_int_equal(dup(0), next);
	close(next);
}

static void adopted_memory_is_reserved_to_its_end(void **state)
{
	struct memory memory, adopted;
	struct error error;

	(void)state;
	make(&memory);
	assert_int_equal(memory_reserve(&memory, &error), 0);
	assert_int_equal(memory_adopt(&adopted, dup(memory.fd), SIZE, &error), 0);
	assert_int_equal(memory_go_on(&adopted, SIZE + 4096), -EPROTO);
	assert_int_equal(memory_go_on(&adopted, 512), -EPROTO);
	assert_int_equal(memory_go_on(&adopted, memory.reserved), 0);
	assert_false(memory_is_reserved(&adopted));
	reserve_all(&adopted);
	assert_int_equal(allocated(&memory), SIZE);
	release(&adopted);
	release(&memory);
}

static void nothing_of_the_last_one_is_there(void **state)
{
	static const char secret[] = "a guest's secret";
	struct memory memory;

	(void)state;
	make(&memory);
	for (uint64_t at = 0; at < SIZE; at += 4096)
		memcpy(memory.host + at, secret, sizeof(secret));
	release(&memory);
	make(&memory);
	reserve_all(&memory);
	for (uint64_t at = 0; at < SIZE; at += 8)
		assert_int_equal(*(const uint64_t *)(const void *)(memory.host + at), 0);
	release(&memory);
}

/* No such page can be one that KSM looks at, whatever it is told: it is shared memory. */
static void it_cannot_be_merged(void **state)
{
	struct memory memory;
	char line[512];
	bool found = false, mergeable = false;
	FILE *maps;

	(void)state;
	make(&memory);
	madvise(memory.host, SIZE, MADV_MERGEABLE);
	maps = fopen("/proc/self/smaps", "re");
	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps)) {
		if (strchr(line, '-') && strstr(line, "memfd:guest-memory"))
			found = true;
		else if (found && !strncmp(line, "VmFlags:", 8)) {
			mergeable = strstr(line, " mg");
			break;
		}
	}
	fclose(maps);
	assert_true(found);
	assert_false(mergeable);
	release(&memory);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_of_it_is_reserved_by_and_by),
		cmocka_unit_test(what_cannot_be_reserved_is_told),
		cmocka_unit_test(an_interrupted_piece_is_begun_again),
		cmocka_unit_test(what_the_host_does_not_have_is_refused),
		cmocka_unit_test(adopted_memory_is_reserved_to_its_end),
		cmocka_unit_test(nothing_of_the_last_one_is_there),
		cmocka_unit_test(it_cannot_be_merged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
