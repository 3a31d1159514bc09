/* SPDX-License-Identifier: Apache-2.0 */
/* Hostile clients of the server: queries, region access, interrupts, listening. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/base.h"
#include "bus.h"
#include "os/fd.h"

static struct bus bus;

static void close_fds(struct bus_message *message)
{
	for (size_t i = 0; i < message->fd_count; i++)
		os_close(&message->fds[i]);
}

static void info_is_checked(void **state)
{
	struct vfio_user_info info = {.argsz = 15};
	struct bus_message reply;

	(void)state;
	bus_open(&bus);
	assert_int_equal(bus_ask(&bus, VFIO_USER_GET_INFO, &info, 16, NULL, 0, NULL), EINVAL);
	info.argsz = 16;
	assert_int_equal(bus_ask(&bus, VFIO_USER_GET_INFO, &info, 16, NULL, 0, &reply), 0);
	assert_int_equal(reply.length, 16);
	memcpy(&info, reply.body, sizeof(info));
	assert_int_equal(info.flags, 3);
	assert_int_equal(info.regions, 9);
	assert_int_equal(info.irqs, VFU_IRQS);
	bus_end(&bus);
}

static int region(uint32_t argsz, uint32_t index, struct bus_message *reply,
		  struct vfio_user_region_info *info)
{
	int error;

	*info = (struct vfio_user_region_info){.argsz = argsz, .index = index};
	error = bus_ask(&bus, VFIO_USER_GET_REGION_INFO, info, sizeof(*info), NULL, 0, reply);
	if (!error)
		memcpy(info, reply->body, sizeof(*info));
	return error;
}

static void region_info_grows_in_two_steps(void **state)
{
	static const struct vfio_user_area areas[] = {{0x1000, 0x1000}, {0x3000, 0x1000}};
	struct vfio_user_region_info info;
	struct bus_message reply;

	(void)state;
	bus_open(&bus);
	for (uint32_t argsz = 32; argsz < 80; argsz += 47) {
		assert_int_equal(region(argsz, 0, &reply, &info), 0);
		assert_int_equal(reply.length, 32);
		assert_int_equal(reply.fd_count, 0);
		assert_int_equal(info.argsz, 80);
		assert_int_equal(info.flags, 7);
	}
	for (uint32_t argsz = 80; argsz < 1000; argsz += 500) {
		assert_int_equal(region(argsz, 0, &reply, &info), 0);
		assert_int_equal(reply.length, 80);
		assert_int_equal(reply.fd_count, 1);
		assert_int_equal(info.flags, 15);
		assert_int_equal(info.cap_offset, 32);
		assert_memory_equal(reply.body + 48, areas, sizeof(areas));
		close_fds(&reply);
	}
	bus_end(&bus);
}

static void region_info_is_checked(void **state)
{
	struct vfio_user_region_info info;
	struct bus_message reply;

	(void)state;
	bus_open(&bus);
	assert_int_equal(region(31, 0, &reply, &info), EINVAL);
	assert_int_equal(region(32, 9, &reply, &info), EINVAL);
	assert_int_equal(region(32, UINT32_MAX, &reply, &info), EINVAL);
	assert_int_equal(region(32, 1, &reply, &info), 0);
	assert_int_equal(info.size + info.flags, 0);
	assert_int_equal(region(32, 2, &reply, &info), 0);
	assert_int_equal(info.flags, 1);
	assert_int_equal(region(32, 7, &reply, &info), 0);
	assert_int_equal(info.size, 256);
	bus_end(&bus);
}

static int io_fds(struct vfio_user_io_fds head, struct bus_message *reply)
{
	return bus_ask(&bus, VFIO_USER_GET_REGION_IO_FDS, &head, sizeof(head), NULL, 0, reply);
}

static void io_fds_share_descriptors(void **state)
{
	struct vfio_user_io_fd entries[BUS_IO_FDS];
	struct bus_message reply;

	(void)state;
	bus_open(&bus);
	assert_int_equal(io_fds((struct vfio_user_io_fds){.argsz = 135}, &reply), 0);
	assert_int_equal(reply.length, 16);
	assert_int_equal(reply.fd_count, 0);
	assert_int_equal(io_fds((struct vfio_user_io_fds){.argsz = 136}, &reply), 0);
	assert_int_equal(reply.length, 16 + 3 * 40);
	assert_int_equal(reply.fd_count, 2);
	memcpy(entries, reply.body + 16, sizeof(entries));
	assert_int_equal(entries[1].fd_index, 1);
	assert_int_equal(entries[2].fd_index, 1);
	assert_int_equal(entries[2].offset, 0x1008);
	assert_int_equal(entries[2].flags, 1);
	assert_int_equal(entries[2].match_value, 7);
	close_fds(&reply);
	bus_end(&bus);
}

static void io_fds_are_checked(void **state)
{
	struct bus_message reply;

	(void)state;
	bus_open(&bus);
	assert_int_equal(io_fds((struct vfio_user_io_fds){.argsz = 15}, &reply), EINVAL);
	assert_int_equal(io_fds((struct vfio_user_io_fds){.argsz = 16, .flags = 1}, &reply),
			 EINVAL);
	assert_int_equal(io_fds((struct vfio_user_io_fds){.argsz = 16, .count = 1}, &reply),
			 EINVAL);
	assert_int_equal(io_fds((struct vfio_user_io_fds){.argsz = 16, .index = 9}, &reply),
			 EINVAL);
	assert_int_equal(io_fds((struct vfio_user_io_fds){.argsz = 16, .index = 1}, &reply),
			 EINVAL);
	assert_int_equal(io_fds((struct vfio_user_io_fds){.argsz = 999, .index = 7}, &reply), 0);
	assert_int_equal(reply.length, 16);
	bus_end(&bus);
}

/* A client that takes one descriptor a message, as it is without capabilities. */
static void client_limit_on_descriptors_is_kept(void **state)
{
	struct bus_message reply;

	(void)state;
	bus_start(&bus);
	assert_int_equal(bus_ask(&bus, VFIO_USER_VERSION, "\0\0\0\0", 4, NULL, 0, NULL), 0);
	assert_int_equal(io_fds((struct vfio_user_io_fds){.argsz = 1000}, &reply), 0);
	assert_int_equal(reply.fd_count, 1);
	assert_int_equal(reply.length, 16 + 40);
	close_fds(&reply);
	bus_end(&bus);
}

static int access_region(uint16_t command, uint32_t index, uint64_t offset, uint32_t count,
			 size_t data, struct bus_message *reply)
{
	uint8_t body[512] = {0};
	struct vfio_user_region_access head = {.offset = offset, .region = index, .count = count};

	memcpy(body, &head, sizeof(head));
	memset(body + 16, 0xab, data);
	return bus_ask(&bus, command, body, 16 + data, NULL, 0, reply);
}

static void region_access_is_checked(void **state)
{
	static const struct {
		uint32_t index;
		uint64_t offset;
		uint32_t count;
	} bad[] = {{0, BUS_BAR_SIZE, 1},
		   {0, BUS_BAR_SIZE - 3, 4},
		   {0, UINT64_MAX, 1},
		   {0, UINT64_MAX - 3, 8},
		   {0, 0, BUS_BAR_SIZE + 1},
		   {0, 0, (1 << 20) + 1},
		   {0, 0, UINT32_MAX},
		   {1, 0, 1},
		   {7, 255, 2},
		   {9, 0, 4},
		   {UINT32_MAX, 0, 4}};

	(void)state;
	bus_open(&bus);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(access_region(VFIO_USER_REGION_READ, bad[i].index, bad[i].offset,
					       bad[i].count, 0, NULL),
				 EINVAL);
		assert_int_equal(access_region(VFIO_USER_REGION_WRITE, bad[i].index, bad[i].offset,
					       bad[i].count, bad[i].count & 15, NULL),
				 EINVAL);
	}
	assert_int_equal(access_region(VFIO_USER_REGION_READ, 0, 0, 4, 4, NULL), EINVAL);
	assert_int_equal(access_region(VFIO_USER_REGION_WRITE, 0, 0, 4, 3, NULL), EINVAL);
	assert_int_equal(access_region(VFIO_USER_REGION_WRITE, 0, 0, 4, 5, NULL), EINVAL);
	assert_int_equal(access_region(VFIO_USER_REGION_WRITE, 2, 0, 4, 4, NULL), EINVAL);
	assert_int_equal(bus.reads + bus.writes, 0);
	bus_end(&bus);
}

static void region_access_works(void **state)
{
	struct bus_message reply;

	(void)state;
	bus_open(&bus);
	assert_int_equal(access_region(VFIO_USER_REGION_WRITE, 0, 5, 3, 3, &reply), 0);
	assert_int_equal(reply.length, 16);
	assert_int_equal(access_region(VFIO_USER_REGION_READ, 0, 4, 8, 0, &reply), 0);
	assert_int_equal(reply.length, 24);
	assert_memory_equal(reply.body + 16, "\0\xab\xab\xab\0\0\0\0", 8);
	assert_int_equal(access_region(VFIO_USER_REGION_READ, 7, 0, 256, 0, &reply), 0);
	assert_int_equal(access_region(VFIO_USER_REGION_READ, 0, BUS_BAR_SIZE, 0, 0, &reply), 0);
	assert_int_equal(reply.length, 16);
	assert_int_equal(bus.reads, 2);
	bus.fail = -EPERM;
	assert_int_equal(access_region(VFIO_USER_REGION_READ, 7, 0, 4, 0, NULL), EPERM);
	assert_int_equal(access_region(VFIO_USER_REGION_WRITE, 7, 0, 4, 4, NULL), EPERM);
	bus_end(&bus);
}

static int set_irqs(struct vfio_user_set_irqs set, size_t data, const int *fds, size_t fd_count)
{
	uint8_t body[64];

	memset(body, 1, sizeof(body));
	set.argsz = set.argsz ? set.argsz : (uint32_t)(sizeof(set) + data);
	memcpy(body, &set, sizeof(set));
	return bus_ask(&bus, VFIO_USER_SET_IRQS, body, sizeof(set) + data, fds, fd_count, NULL);
}

static void bad_set_irqs_are_refused(void **state)
{
	static const struct {
		const char *what;
		struct vfio_user_set_irqs set;
		size_t data, fds;
	} bad[] = {
		{"no action", {.flags = 0x04, .index = 2, .count = 1}, 0, 1},
		{"no data kind", {.flags = 0x20, .index = 2, .count = 1}, 0, 0},
		{"two kinds", {.flags = 0x25, .index = 2, .count = 1}, 0, 1},
		{"two actions", {.flags = 0x31, .index = 2, .count = 1}, 0, 0},
		{"unknown flag", {.flags = 0x61, .index = 2, .count = 1}, 0, 0},
		{"index", {.flags = 0x21, .index = VFU_IRQS, .count = 1}, 0, 0},
		{"index", {.flags = 0x21, .index = UINT32_MAX, .count = 1}, 0, 0},
		{"index without vectors", {.flags = 0x21, .index = 0}, 0, 0},
		{"start", {.flags = 0x24, .index = 2, .start = 8, .count = 1}, 0, 1},
		{"count", {.flags = 0x24, .index = 2, .start = 7, .count = 2}, 0, 2},
		{"sum wraps", {.flags = 0x21, .index = 2, .start = 1, .count = UINT32_MAX}, 0, 0},
		{"count 0", {.flags = 0x24, .index = 2}, 0, 0},
		{"count 0", {.flags = 0x21, .index = 2, .start = 1}, 0, 0},
		{"count 0", {.flags = 0x11, .index = 2}, 0, 0},
		{"few fds", {.flags = 0x24, .index = 2, .count = 3}, 0, 2},
		{"many fds", {.flags = 0x24, .index = 2, .count = 3}, 0, 4},
		{"fds with none", {.flags = 0x21, .index = 2, .count = 1}, 0, 1},
		{"fds with bool", {.flags = 0x22, .index = 2, .count = 1}, 1, 1},
		{"fds to mask", {.flags = 0x0c, .index = 2, .count = 1}, 0, 1},
		{"few bools", {.flags = 0x22, .index = 2, .count = 3}, 2, 0},
		{"many bools", {.flags = 0x22, .index = 2, .count = 3}, 4, 0},
		{"data with none", {.flags = 0x21, .index = 2, .count = 3}, 3, 0},
		{"argsz short", {.argsz = 19, .flags = 0x21, .index = 2, .count = 1}, 0, 0},
		{"argsz long", {.argsz = 21, .flags = 0x22, .index = 2, .count = 1}, 0, 0},
		{"argsz below data", {.argsz = 20, .flags = 0x22, .index = 2, .count = 1}, 1, 0},
		{"mask ERR", {.flags = 0x09, .index = 3, .count = 1}, 0, 0},
		{"unmask ERR", {.flags = 0x11, .index = 3, .count = 1}, 0, 0},
	};
	int fds[4];

	(void)state;
	bus_open(&bus);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = os_eventfd();
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		int error = set_irqs(bad[i].set, bad[i].data, fds, bad[i].fds);

		if (error != EINVAL)
			fail_msg("%s: %d", bad[i].what, error);
	}
	for (unsigned i = 0; i < BUS_VECTORS; i++)
		assert_false(vfu_server_vector_is_bound(bus.server, VFU_IRQ_MSIX, i));
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		os_close(&fds[i]);
	bus_end(&bus);
}

/* A write to one of these could block the card. */
static void only_eventfds_are_bound(void **state)
{
	struct vfio_user_set_irqs set = {.flags = 0x24, .index = 2, .count = 1};
	int pair[2], memory = bus_window(4096);

	(void)state;
	bus_open(&bus);
	assert_int_equal(pipe(pair), 0);
	assert_int_equal(set_irqs(set, 0, &pair[1], 1), EINVAL);
	assert_int_equal(set_irqs(set, 0, &bus.peer, 1), EINVAL);
	assert_int_equal(set_irqs(set, 0, &memory, 1), EINVAL);
	os_close(&pair[0]);
	os_close(&pair[1]);
	bus_end(&bus);
	os_close(&memory);
}

static void interrupts_are_bound_replaced_and_unbound(void **state)
{
	int fds[2] = {os_eventfd(), os_eventfd()};

	(void)state;
	bus_open(&bus);
	vfu_server_interrupt(bus.server, VFU_IRQ_MSIX, 3); /* dropped */
	assert_int_equal(set_irqs(
				 (struct vfio_user_set_irqs){
					 .flags = 0x24, .index = 2, .start = 3, .count = 2},
				 0, fds, 2),
			 0);
	vfu_server_interrupt(bus.server, VFU_IRQ_MSIX, 4);
	vfu_server_interrupt(bus.server, VFU_IRQ_MSIX, BUS_VECTORS);
	vfu_server_interrupt(bus.server, 99, 0);
	assert_int_equal(os_eventfd_drain(fds[0]), 0);
	assert_int_equal(os_eventfd_drain(fds[1]), 1);
	assert_int_equal(set_irqs(
				 (struct vfio_user_set_irqs){
					 .flags = 0x24, .index = 2, .start = 4, .count = 1},
				 0, fds, 1),
			 0);
	vfu_server_interrupt(bus.server, VFU_IRQ_MSIX, 4);
	assert_int_equal(os_eventfd_drain(fds[0]), 1);
	assert_int_equal(set_irqs(
				 (struct vfio_user_set_irqs){
					 .flags = 0x24, .index = 2, .start = 4, .count = 1},
				 0, NULL, 0),
			 0);
	assert_false(vfu_server_vector_is_bound(bus.server, VFU_IRQ_MSIX, 4));
	assert_true(vfu_server_vector_is_bound(bus.server, VFU_IRQ_MSIX, 3));
	assert_int_equal(
		set_irqs((struct vfio_user_set_irqs){.flags = 0x21, .index = 2}, 0, NULL, 0), 0);
	assert_false(vfu_server_vector_is_bound(bus.server, VFU_IRQ_MSIX, 3));
	bus_end(&bus);
	os_close(&fds[0]);
	os_close(&fds[1]);
}

static void client_can_fire_its_own_interrupts(void **state)
{
	int fds[2] = {os_eventfd(), os_eventfd()};

	(void)state;
	bus_open(&bus);
	assert_int_equal(
		set_irqs((struct vfio_user_set_irqs){.flags = 0x24, .index = 2, .count = 2}, 0, fds,
			 2),
		0);
	assert_int_equal(
		set_irqs((struct vfio_user_set_irqs){.flags = 0x21, .index = 2, .count = 1}, 0,
			 NULL, 0),
		0);
	assert_int_equal(
		set_irqs((struct vfio_user_set_irqs){.flags = 0x22, .index = 2, .count = 3}, 3,
			 NULL, 0),
		0);
	assert_int_equal(os_eventfd_drain(fds[0]), 2);
	assert_int_equal(os_eventfd_drain(fds[1]), 1);
	assert_int_equal(
		set_irqs((struct vfio_user_set_irqs){.flags = 0x11, .index = 2, .count = 1}, 0,
			 NULL, 0),
		0);
	bus_hang_up(&bus);
	assert_false(vfu_server_vector_is_bound(bus.server, VFU_IRQ_MSIX, 0));
	bus_end(&bus);
	os_close(&fds[0]);
	os_close(&fds[1]);
}

static void irq_info_is_checked(void **state)
{
	static const uint32_t counts[] = {0, 0, BUS_VECTORS, 1, 0};
	struct vfio_user_irq_info info;
	struct bus_message reply;

	(void)state;
	bus_open(&bus);
	for (uint32_t i = 0; i < 5; i++) {
		info = (struct vfio_user_irq_info){.argsz = 16, .index = i};
		assert_int_equal(bus_ask(&bus, VFIO_USER_GET_IRQ_INFO, &info, 16, NULL, 0, &reply),
				 0);
		memcpy(&info, reply.body, 16);
		assert_int_equal(info.count, counts[i]);
		assert_int_equal(info.flags, 1);
	}
	info = (struct vfio_user_irq_info){.argsz = 16, .index = VFU_IRQS};
	assert_int_equal(bus_ask(&bus, VFIO_USER_GET_IRQ_INFO, &info, 16, NULL, 0, NULL), EINVAL);
	info = (struct vfio_user_irq_info){.argsz = 15};
	assert_int_equal(bus_ask(&bus, VFIO_USER_GET_IRQ_INFO, &info, 16, NULL, 0, NULL), EINVAL);
	bus_end(&bus);
}

static int connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void listening_serves_one_after_the_other(void **state)
{
	char directory[] = "/tmp/karuta-bus-XXXXXX", path[64];
	struct stat status;
	struct error error;
	int listening, first, second;

	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/bus", directory);
	bus_start(&bus);
	bus_hang_up(&bus);
	listening = vfu_server_bind(path, &error);
	assert_true(listening >= 0);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	assert_int_equal(vfu_server_listen(bus.server, listening), 0);
	first = connect_to(path);
	second = connect_to(path);
	bus_turn(&bus);
	assert_int_equal(vfu_server_counters(bus.server).clients, 2);
	bus.peer = first;
	assert_int_equal(bus_ask(&bus, VFIO_USER_VERSION, "\0\0\0\0", 4, NULL, 0, NULL), 0);
	bus_hang_up(&bus);
	assert_int_equal(vfu_server_counters(bus.server).clients, 3);
	bus.peer = second;
	assert_int_equal(bus_ask(&bus, VFIO_USER_VERSION, "\0\0\0\0", 4, NULL, 0, NULL), 0);
	bus_end(&bus);
	unlink(path);
	rmdir(directory);
}

static void stale_socket_is_replaced_and_nothing_else(void **state)
{
	char directory[] = "/tmp/karuta-bus-XXXXXX", path[64], long_path[200];
	struct error error;
	int fd, again;

	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/bus", directory);
	fd = vfu_server_bind(path, &error);
	assert_true(fd >= 0);
	assert_int_equal(vfu_server_bind(path, &error), -EADDRINUSE);
	os_close(&fd);
	again = vfu_server_bind(path, &error);
	assert_true(again >= 0);
	os_close(&again);
	assert_int_equal(vfu_server_bind(directory, &error), -EEXIST);
	assert_int_equal(access(directory, F_OK), 0);
	memset(long_path, 'a', sizeof(long_path));
	long_path[199] = '\0';
	assert_int_equal(vfu_server_bind(long_path, &error), -ENAMETOOLONG);
	assert_int_equal(vfu_server_bind("/nowhere/bus", &error), -ENOENT);
	unlink(path);
	rmdir(directory);
}

/* Nobody can connect to it as a stream, and yet it is in use. */
static void socket_of_another_kind_is_left_alone(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char directory[] = "/tmp/karuta-bus-XXXXXX";
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct error error;

	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/log", directory);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(vfu_server_bind(address.sun_path, &error), -EADDRINUSE);
	assert_int_equal(access(address.sun_path, F_OK), 0);
	os_close(&fd);
	unlink(address.sun_path);
	rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(info_is_checked),
		cmocka_unit_test(region_info_grows_in_two_steps),
		cmocka_unit_test(region_info_is_checked),
		cmocka_unit_test(io_fds_share_descriptors),
		cmocka_unit_test(io_fds_are_checked),
		cmocka_unit_test(client_limit_on_descriptors_is_kept),
		cmocka_unit_test(region_access_is_checked),
		cmocka_unit_test(region_access_works),
		cmocka_unit_test(bad_set_irqs_are_refused),
		cmocka_unit_test(only_eventfds_are_bound),
		cmocka_unit_test(interrupts_are_bound_replaced_and_unbound),
		cmocka_unit_test(client_can_fire_its_own_interrupts),
		cmocka_unit_test(irq_info_is_checked),
		cmocka_unit_test(listening_serves_one_after_the_other),
		cmocka_unit_test(stale_socket_is_replaced_and_nothing_else),
		cmocka_unit_test(socket_of_another_kind_is_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
