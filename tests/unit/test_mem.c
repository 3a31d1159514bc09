/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdarg.h>
#include <setjmp.h>
#include <string.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/base.h"
#include "mem/mem.h"

static uint8_t ram[3][4096];

/* 0x1000 read-write, 0x2000 read-only behind it, a gap, 0x8000 by messages only. */
static int make_map(void **state)
{
	struct mem_map *map;
	struct mem_window windows[] = {
		{0x8000, 4096, MEM_READ | MEM_WRITE, NULL},
		{0x1000, 4096, MEM_READ | MEM_WRITE, ram[0]},
		{0x2000, 4096, MEM_READ, ram[1]},
	};

	assert_int_equal(mem_create(&map, 4), 0);
	for (size_t i = 0; i < ARRAY_LEN(windows); i++)
		assert_int_equal(mem_add(map, &windows[i]), 0);
	*state = map;
	return 0;
}

static int free_map(void **state)
{
	mem_destroy(*state);
	return 0;
}

static void view_is_cut_at_the_window(void **state)
{
	struct mem_view view;

	assert_int_equal(mem_view(*state, 0x1ff0, 0x100, MEM_READ, &view), 0);
	assert_ptr_equal(view.host, ram[0] + 0xff0);
	assert_int_equal(view.length, 0x10);
}

static void view_of_a_gap_is_refused(void **state)
{
	struct mem_view view;

	assert_int_equal(mem_view(*state, 0x3000, 1, MEM_READ, &view), -EFAULT);
	assert_int_equal(mem_view(*state, 0x0fff, 1, MEM_READ, &view), -EFAULT);
	assert_int_equal(mem_view(*state, 0x9000, 1, MEM_READ, &view), -EFAULT);
}

static void view_that_wraps_is_refused(void **state)
{
	struct mem_view view;

	assert_int_equal(mem_view(*state, 0x1000, UINT64_MAX, MEM_READ, &view), -EFAULT);
	assert_int_equal(mem_view(*state, UINT64_MAX, 2, MEM_READ, &view), -EFAULT);
	assert_int_equal(mem_view(*state, 0x1000, 0, MEM_READ, &view), -EFAULT);
}

static void write_to_read_only_is_refused(void **state)
{
	struct mem_view view;

	assert_int_equal(mem_view(*state, 0x2000, 1, MEM_WRITE, &view), -EFAULT);
	assert_int_equal(mem_view(*state, 0x2000, 1, MEM_READ, &view), 0);
}

static void copy_crosses_windows(void **state)
{
	uint8_t bytes[32];

	memset(ram[0] + 0xff0, 1, 16);
	memset(ram[1], 2, 16);
	assert_int_equal(mem_read(*state, 0x1ff0, bytes, 32), 0);
	assert_int_equal(bytes[15], 1);
	assert_int_equal(bytes[16], 2);
	assert_int_equal(mem_write(*state, 0x1ff0, bytes, 32), -EFAULT);
}

static void unmapped_memory_is_remote(void **state)
{
	uint8_t byte;
	struct mem_view view;

	assert_int_equal(mem_read(*state, 0x8000, &byte, 1), -EREMOTE);
	assert_int_equal(mem_view(*state, 0x8000, 8, MEM_WRITE, &view), 0);
	assert_null(view.host);
}

static void bad_windows_are_refused(void **state)
{
	struct mem_window overlap = {0x1fff, 2, MEM_READ, ram[2]};
	struct mem_window empty = {0x5000, 0, MEM_READ, ram[2]};
	struct mem_window wrap = {UINT64_MAX, 2, MEM_READ, ram[2]};
	struct mem_window last = {UINT64_MAX, 1, MEM_READ, ram[2]};
	struct mem_window more = {0x5000, 1, MEM_READ, ram[2]};

	assert_int_equal(mem_add(*state, &overlap), -EEXIST);
	assert_int_equal(mem_add(*state, &empty), -EINVAL);
	assert_int_equal(mem_add(*state, &wrap), -EINVAL);
	assert_int_equal(mem_add(*state, &last), 0);
	assert_int_equal(mem_add(*state, &more), -ENOSPC);
}

static void only_whole_windows_are_removed(void **state)
{
	struct mem_window removed;

	assert_int_equal(mem_remove(*state, 0x1000, 2048, NULL), -ENOENT);
	assert_int_equal(mem_remove(*state, 0x1800, 2048, NULL), -ENOENT);
	assert_int_equal(mem_remove(*state, 0x1000, 4096, &removed), 0);
	assert_ptr_equal(removed.host, ram[0]);
	assert_int_equal(mem_count(*state), 2);
	assert_int_equal(mem_window_at(*state, 0)->address, 0x2000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_map, free_map)
		TEST(view_is_cut_at_the_window),  TEST(view_of_a_gap_is_refused),
		TEST(view_that_wraps_is_refused), TEST(write_to_read_only_is_refused),
		TEST(copy_crosses_windows),	  TEST(unmapped_memory_is_remote),
		TEST(bad_windows_are_refused),	  TEST(only_whole_windows_are_removed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
