/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's memory: reserved as a whole, or not at all, and new whatever was there before. */
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

#define SIZE (160 * MIB) /* not a multiple of what is reserved at once */

/* ---- the kernel's part ---- */

static unsigned pieces_left = UINT32_MAX; /* until it has no memory any more */

int __real_fallocate64(int fd, int mode, off_t offset, off_t length);
int __wrap_fallocate64(int fd, int mode, off_t offset, off_t length);

int __wrap_fallocate64(int fd, int mode, off_t offset, off_t length)
{
	if (pieces_left-- == 0) {
		errno = ENOMEM;
		return -1;
	}
	return __real_fallocate64(fd, mode, offset, length);
}

/* ---- the tests ---- */

static void release(struct memory *memory)
{
	assert_int_equal(munmap(memory->host, SIZE), 0);
	close(memory->fd);
}

static void all_of_it_is_reserved(void **state)
{
	struct memory memory;
	struct error error;
	struct stat status;

	(void)state;
	assert_int_equal(memory_create(&memory, SIZE, &error), 0);
	assert_int_equal(fstat(memory.fd, &status), 0);
	assert_int_equal(status.st_blocks * 512, SIZE);
	release(&memory);
}

static void what_cannot_be_reserved_is_refused(void **state)
{
	struct memory memory;
	struct error error;
	int next = dup(0);

	(void)state;
	close(next);
	pieces_left = 1;
	assert_int_equal(memory_create(&memory, SIZE, &error), -ENOMEM);
	pieces_left = UINT32_MAX;
	assert_string_equal(error.text,
			    "memory: 160 MiB asked for, the host had only 64 MiB of them: Cannot "
			    "allocate memory; give the instance less, or end another one");
	assert_int_equal(dup(0), next);
	close(next);
}

static void nothing_of_the_last_one_is_there(void **state)
{
	static const char secret[] = "a guest's secret";
	struct memory memory;
	struct error error;

	(void)state;
	assert_int_equal(memory_create(&memory, SIZE, &error), 0);
	for (uint64_t at = 0; at < SIZE; at += 4096)
		memcpy(memory.host + at, secret, sizeof(secret));
	release(&memory);
	assert_int_equal(memory_create(&memory, SIZE, &error), 0);
	for (uint64_t at = 0; at < SIZE; at += 8)
		assert_int_equal(*(const uint64_t *)(const void *)(memory.host + at), 0);
	release(&memory);
}

/* No such page can be one that KSM looks at, whatever it is told: it is shared memory. */
static void it_cannot_be_merged(void **state)
{
	struct memory memory;
	struct error error;
	char line[512];
	bool found = false, mergeable = false;
	FILE *maps;

	(void)state;
	assert_int_equal(memory_create(&memory, SIZE, &error), 0);
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
		cmocka_unit_test(all_of_it_is_reserved),
		cmocka_unit_test(what_cannot_be_reserved_is_refused),
		cmocka_unit_test(nothing_of_the_last_one_is_there),
		cmocka_unit_test(it_cannot_be_merged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
