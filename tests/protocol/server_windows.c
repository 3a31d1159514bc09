/* SPDX-License-Identifier: Apache-2.0 */
/* Hostile clients of the server: DMA windows and their files. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"
#include "bus.h"
#include "os/fd.h"
#include "os/memfd.h"
#include "os/sigbus.h"

#define RW (VFIO_USER_MAP_READ | VFIO_USER_MAP_WRITE)

static struct bus bus;

static size_t windows(void)
{
	return mem_count(vfu_server_memory(bus.server));
}

static void window_shows_the_file(void **state)
{
	int fd = bus_window(0x3000);
	char text[8] = {0};

	(void)state;
	bus_open(&bus);
	assert_int_equal(pwrite(fd, "karuta", 6, 0x1000), 6);
	assert_int_equal(bus_map(&bus, 0x20000000000, 0x2000, fd, 0x1000, RW), 0);
	assert_int_equal(mem_read(vfu_server_memory(bus.server), 0x20000000000, text, 6), 0);
	assert_string_equal(text, "karuta");
	assert_int_equal(mem_write(vfu_server_memory(bus.server), 0x20000000002, "s", 1), 0);
	assert_int_equal(pread(fd, text, 6, 0x1000), 6);
	assert_string_equal(text, "kasuta");
	bus_end(&bus);
	os_close(&fd);
}

static void access_follows_the_flags(void **state)
{
	const struct mem_map *map;
	int fd = bus_window(0x2000);
	uint8_t byte = 0;

	(void)state;
	bus_open(&bus);
	map = vfu_server_memory(bus.server);
	assert_int_equal(bus_map(&bus, 0x1000, 0x1000, fd, 0, VFIO_USER_MAP_READ), 0);
	assert_int_equal(mem_read(map, 0x1000, &byte, 1), 0);
	assert_int_equal(mem_write(map, 0x1000, &byte, 1), -EFAULT);
	assert_int_equal(bus_map(&bus, 0x2000, 0x1000, fd, 0, VFIO_USER_MAP_WRITE), 0);
	assert_int_equal(mem_read(map, 0x2000, &byte, 1), -EFAULT);
	assert_int_equal(bus_map(&bus, 0x3000, 0x1000, -1, 0, RW), 0);
	assert_int_equal(mem_read(map, 0x3000, &byte, 1), -EREMOTE);
	bus_end(&bus);
	os_close(&fd);
}

static void bad_windows_are_refused(void **state)
{
	static const struct {
		const char *what;
		uint64_t address, size, offset;
		uint32_t flags;
		bool with_fd;
		int error;
	} bad[] = {
		{"empty", 0x1000, 0, 0, RW, true, EINVAL},
		{"wraps", UINT64_MAX - 0xfff, 0x2000, 0, RW, true, EINVAL},
		{"wraps, no file", UINT64_MAX, UINT64_MAX, 0, RW, false, EINVAL},
		{"no access", 0x1000, 0x1000, 0, 0, true, EINVAL},
		{"unknown flag", 0x1000, 0x1000, 0, RW | 0x10, true, EINVAL},
		{"unknown flag", 0x1000, 0x1000, 0, RW | 1u << 31, false, EINVAL},
		{"mmap what?", 0x1000, 0x1000, 0, RW | VFIO_USER_MAP_MMAP, false, EINVAL},
		{"read what?", 0x1000, 0x1000, 0, RW | VFIO_USER_MAP_FILE, false, EINVAL},
		{"both ways", 0x1000, 0x1000, 0, RW | 0xc, true, EINVAL},
		{"by pread", 0x1000, 0x1000, 0, RW | VFIO_USER_MAP_FILE, true, EOPNOTSUPP},
		{"odd offset", 0x1000, 0x1000, 0x10, RW, true, EINVAL},
		{"file ends before", 0x1000, 0x1000, 0x4000, RW, true, EINVAL},
		{"file ends within", 0x1000, 0x5000, 0, RW, true, EINVAL},
		{"file ends within", 0x1000, 0x2000, 0x3000, RW, true, EINVAL},
		{"offset wraps", 0x1000, 0x2000, UINT64_MAX - 0xfff, RW, true, EINVAL},
		{"offset is negative", 0x1000, 0x1000, 1ull << 63, RW, true, EINVAL},
		{"huge", 0x1000, 1ull << 62, 0, RW, true, EINVAL},
	};
	int fd = bus_window(0x4000);

	(void)state;
	bus_open(&bus);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		int error = bus_map(&bus, bad[i].address, bad[i].size, bad[i].with_fd ? fd : -1,
				    bad[i].offset, bad[i].flags);

		if (error != bad[i].error)
			fail_msg("%s: %d", bad[i].what, error);
	}
	assert_int_equal(windows(), 0);
	assert_int_equal(bus_count_windows(), 0);
	bus_end(&bus);
	os_close(&fd);
}

static void wrong_files_are_refused(void **state)
{
	int fd = bus_window(0x1000), pair[2], read_only = os_memfd_read_only(fd);

	(void)state;
	bus_open(&bus);
	assert_int_equal(pipe(pair), 0);
	assert_int_not_equal(bus_map(&bus, 0, 0x1000, pair[0], 0, RW), 0);
	assert_int_not_equal(bus_map(&bus, 0, 0x1000, bus.peer, 0, RW), 0);
	assert_int_equal(bus_map(&bus, 0, 0x1000, read_only, 0, RW), EACCES);
	assert_int_equal(windows(), 0);
	assert_int_equal(bus_map(&bus, 0, 0x1000, read_only, 0, VFIO_USER_MAP_READ), 0);
	os_close(&pair[0]);
	os_close(&pair[1]);
	bus_end(&bus);
	os_close(&fd);
	os_close(&read_only);
}

static void overlap_is_refused(void **state)
{
	static const struct {
		uint64_t address, size;
	} over[] = {{0x4000, 0x4000}, {0x4000, 0x1000}, {0x7000, 0x1000}, {0x3000, 0x2000},
		    {0x7000, 0x2000}, {0x3000, 0x6000}, {0x5000, 0x1000}};
	int fd = bus_window(0x10000);

	(void)state;
	bus_open(&bus);
	assert_int_equal(bus_map(&bus, 0x4000, 0x4000, fd, 0, RW), 0);
	for (size_t i = 0; i < ARRAY_LEN(over); i++) {
		assert_int_equal(bus_map(&bus, over[i].address, over[i].size, fd, 0, RW), EEXIST);
		assert_int_equal(bus_map(&bus, over[i].address, over[i].size, -1, 0, RW), EEXIST);
	}
	assert_int_equal(bus_map(&bus, 0x3000, 0x1000, fd, 0, RW), 0);
	assert_int_equal(bus_map(&bus, 0x8000, 0x1000, fd, 0, RW), 0);
	assert_int_equal(bus_count_windows(), 3);
	bus_end(&bus);
	os_close(&fd);
}

static void short_argsz_and_two_descriptors_are_refused(void **state)
{
	struct vfio_user_dma_map map = {.argsz = 31, .flags = RW, .size = 0x1000};
	int fds[2] = {bus_window(0x1000), bus_window(0x1000)};

	(void)state;
	bus_open(&bus);
	assert_int_equal(bus_ask(&bus, VFIO_USER_DMA_MAP, &map, sizeof(map), fds, 1, NULL), EINVAL);
	map.argsz = 32;
	assert_int_equal(bus_ask(&bus, VFIO_USER_DMA_MAP, &map, sizeof(map), fds, 2, NULL), EINVAL);
	assert_int_equal(windows(), 0);
	bus_end(&bus);
	os_close(&fds[0]);
	os_close(&fds[1]);
}

static void windows_are_limited(void **state)
{
	int fd = bus_window(0x1000);

	(void)state;
	bus_open(&bus);
	for (uint64_t i = 0; i < 512; i++)
		assert_int_equal(bus_map(&bus, i * 0x1000, 0x1000, fd, 0, RW), 0);
	assert_int_equal(bus_map(&bus, 512 * 0x1000, 0x1000, fd, 0, RW), ENOSPC);
	assert_int_equal(bus_unmap(&bus, 0x5000, 0x1000), 0);
	assert_int_equal(bus_map(&bus, 512 * 0x1000, 0x1000, fd, 0, RW), 0);
	assert_int_equal(bus_count_windows(), 512);
	bus_hang_up(&bus);
	assert_int_equal(windows(), 0);
	bus_end(&bus);
	os_close(&fd);
}

static void unmap_takes_exactly_one_window(void **state)
{
	int fd = bus_window(0x4000);

	(void)state;
	bus_open(&bus);
	assert_int_equal(bus_map(&bus, 0x4000, 0x4000, fd, 0, RW), 0);
	assert_int_equal(bus_map(&bus, 0x8000, 0x4000, fd, 0, RW), 0);
	assert_int_equal(bus_unmap(&bus, 0x4000, 0x1000), ENOENT);
	assert_int_equal(bus_unmap(&bus, 0x5000, 0x1000), ENOENT);
	assert_int_equal(bus_unmap(&bus, 0x4000, 0x8000), ENOENT);
	assert_int_equal(bus_unmap(&bus, 0, UINT64_MAX), ENOENT);
	assert_int_equal(bus_unmap(&bus, 0, 0), ENOENT);
	assert_int_equal(bus.quiesces, 0);
	assert_int_equal(bus_unmap(&bus, 0x4000, 0x4000), 0);
	assert_int_equal(bus.quiesces, 1);
	assert_int_equal(bus_unmap(&bus, 0x4000, 0x4000), ENOENT);
	assert_int_equal(bus_count_windows(), 1);
	bus_end(&bus);
	os_close(&fd);
}

static void unmap_repeats_the_request(void **state)
{
	struct vfio_user_dma_unmap unmap = {.argsz = 24, .address = 0x1000, .size = 0x1000};
	struct bus_message reply;

	(void)state;
	bus_open(&bus);
	assert_int_equal(bus_map(&bus, 0x1000, 0x1000, -1, 0, RW), 0);
	/* A descriptor comes along from some clients; it is closed (bus_end counts). */
	assert_int_equal(bus_ask(&bus, VFIO_USER_DMA_UNMAP, &unmap, sizeof(unmap),
				 &bus.io_fds[0].fd, 1, &reply),
			 0);
	assert_int_equal(reply.length, sizeof(unmap));
	assert_memory_equal(reply.body, &unmap, sizeof(unmap));
	bus_end(&bus);
}

static int unmap_with(uint32_t argsz, uint32_t flags, uint64_t address, uint64_t size)
{
	struct vfio_user_dma_unmap unmap = {
		.argsz = argsz, .flags = flags, .address = address, .size = size};

	return bus_ask(&bus, VFIO_USER_DMA_UNMAP, &unmap, sizeof(unmap), NULL, 0, NULL);
}

static void unmap_all_and_bad_flags(void **state)
{
	int fd = bus_window(0x4000);

	(void)state;
	bus_open(&bus);
	for (uint64_t i = 0; i < 4; i++)
		assert_int_equal(bus_map(&bus, i * 0x1000, 0x1000, fd, 0, RW), 0);
	assert_int_equal(unmap_with(23, 0, 0, 0x1000), EINVAL);
	assert_int_equal(unmap_with(24, 1, 0, 0x1000), EINVAL);
	assert_int_equal(unmap_with(24, 4, 0, 0x1000), EINVAL);
	assert_int_equal(unmap_with(24, 2, 0, 0x1000), EINVAL);
	assert_int_equal(unmap_with(24, 2, 0x1000, 0), EINVAL);
	assert_int_equal(windows(), 4);
	assert_int_equal(unmap_with(24, 2, 0, 0), 0);
	assert_int_equal(windows(), 0);
	assert_int_equal(bus_count_windows(), 0);
	assert_int_equal(unmap_with(24, 2, 0, 0), 0);
	bus_end(&bus);
	os_close(&fd);
}

/* What SeaBIOS makes QEMU do, in one go, without waiting for answers. */
static void pipelined_changes_are_done_in_order(void **state)
{
	struct bus_message reply;
	int fd = bus_window(0x2000);

	(void)state;
	bus_open(&bus);
	for (uint16_t i = 0; i < 100; i++) {
		struct vfio_user_dma_map map = {.argsz = 32, .flags = RW, .size = 0x2000};
		struct vfio_user_dma_unmap unmap = {.argsz = 24, .size = 0x2000};

		bus_send(&bus, (struct vfio_user_header){.id = i, .command = VFIO_USER_DMA_MAP},
			 &map, sizeof(map), &fd, 1);
		if (i < 99)
			bus_send(&bus,
				 (struct vfio_user_header){.id = i, .command = VFIO_USER_DMA_UNMAP},
				 &unmap, sizeof(unmap), NULL, 0);
	}
	bus_turn(&bus);
	for (uint16_t i = 0; i < 199; i++) {
		assert_true(bus_receive(&bus, &reply));
		assert_int_equal(reply.header.id, i / 2);
		assert_int_equal(reply.header.error, 0);
	}
	assert_int_equal(windows(), 1);
	assert_int_equal(bus.quiesces, 99);
	bus_end(&bus);
	os_close(&fd);
}

static void file_that_is_cut_later_hurts_nobody(void **state)
{
	uint64_t replaced = os_sigbus_count();
	int fd = bus_window(0x4000);
	uint8_t bytes[0x4000];

	(void)state;
	bus_open(&bus);
	assert_int_equal(bus_map(&bus, 0, 0x4000, fd, 0, RW), 0);
	assert_int_equal(ftruncate(fd, 0x1000), 0);
	memset(bytes, 1, sizeof(bytes));
	assert_int_equal(mem_read(vfu_server_memory(bus.server), 0, bytes, sizeof(bytes)), 0);
	assert_int_equal(bytes[0x3fff], 0);
	assert_true(os_sigbus_count() > replaced);
	assert_int_equal(mem_write(vfu_server_memory(bus.server), 0, bytes, sizeof(bytes)), 0);
	assert_int_equal(bus_unmap(&bus, 0, 0x4000), 0);
	bus_end(&bus);
	os_close(&fd);
}

static void windows_survive_reset_and_go_with_the_client(void **state)
{
	int fd = bus_window(0x1000);

	(void)state;
	bus_open(&bus);
	assert_int_equal(bus_map(&bus, 0, 0x1000, fd, 0, RW), 0);
	assert_int_equal(bus_ask(&bus, VFIO_USER_RESET, NULL, 0, NULL, 0, NULL), 0);
	assert_int_equal(bus.resets, 1);
	assert_int_equal(bus_count_windows(), 1);
	bus_hang_up(&bus);
	assert_int_equal(bus.lost, 1);
	assert_int_equal(bus.quiesces, 1);
	assert_int_equal(bus_count_windows(), 0);
	bus_end(&bus);
	os_close(&fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(window_shows_the_file),
		cmocka_unit_test(access_follows_the_flags),
		cmocka_unit_test(bad_windows_are_refused),
		cmocka_unit_test(wrong_files_are_refused),
		cmocka_unit_test(overlap_is_refused),
		cmocka_unit_test(short_argsz_and_two_descriptors_are_refused),
		cmocka_unit_test(windows_are_limited),
		cmocka_unit_test(unmap_takes_exactly_one_window),
		cmocka_unit_test(unmap_repeats_the_request),
		cmocka_unit_test(unmap_all_and_bad_flags),
		cmocka_unit_test(pipelined_changes_are_done_in_order),
		cmocka_unit_test(file_that_is_cut_later_hurts_nobody),
		cmocka_unit_test(windows_survive_reset_and_go_with_the_client),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
