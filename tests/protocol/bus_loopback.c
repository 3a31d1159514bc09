/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client against the server, each as it is used: the server in its loop on one thread, the
 * client called from others.
 *
 * The device copies COPY_SIZE bytes from guest address FROM to TO whenever BAR 0, offset 0 is
 * written, then raises vector 1. The client has not mapped that memory, so it goes by messages.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/base.h"
#include "bus.h"
#include "os/clock.h"
#include "os/fd.h"
#include "vfu/vfu_client.h"

#define FROM	    0x100000u
#define TO	    0x200000u
#define COPY_SIZE   100000u
#define DEADLINE_MS 20000

static struct bus bus;
static struct vfu_client *client;
static uint8_t guest[0x300000];
static _Atomic bool stop;
static pthread_t thread;
static char directory[32], path[64];

static int guest_read(void *context, uint64_t address, void *to, uint64_t length)
{
	(void)context;
	if (!range_within(address, length, sizeof(guest)))
		return -ENODEV;
	memcpy(to, guest + address, length);
	return 0;
}

static int guest_write(void *context, uint64_t address, const void *from, uint64_t length)
{
	(void)context;
	if (!range_within(address, length, sizeof(guest)))
		return -ENODEV;
	memcpy(guest + address, from, length);
	return 0;
}

static const struct vfu_client_ops guest_ops = {.dma_read = guest_read, .dma_write = guest_write};

static void device_work(void)
{
	static uint8_t copy[COPY_SIZE];

	if (!bus.bar[0])
		return;
	bus.bar[0] = 0;
	if (!vfu_server_dma_read(bus.server, FROM, copy, sizeof(copy)) &&
	    !vfu_server_dma_write(bus.server, TO, copy, sizeof(copy)))
		vfu_server_interrupt(bus.server, VFU_IRQ_MSIX, 1);
}

static void *serve(void *context)
{
	(void)context;
	while (!atomic_load(&stop)) {
		os_loop_once(bus.loop, 5);
		device_work();
	}
	return NULL;
}

static void start_card(void)
{
	int listening;

	bus_start(&bus);
	bus_hang_up(&bus);
	snprintf(directory, sizeof(directory), "/tmp/karuta-bus-XXXXXX");
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/bus", directory);
	listening = vfu_server_bind(path, NULL);
	assert_true(listening >= 0);
	assert_int_equal(vfu_server_listen(bus.server, listening), 0);
	atomic_store(&stop, false);
	assert_int_equal(pthread_create(&thread, NULL, serve, NULL), 0);
}

static void stop_card(void)
{
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	bus_turn(&bus);
	bus_end(&bus);
	unlink(path);
	rmdir(directory);
}

static void attach(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct error error;

	memcpy(address.sun_path, path, sizeof(path));
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(vfu_client_create(&client, fd, &guest_ops, NULL, DEADLINE_MS), 0);
	assert_int_equal(vfu_client_negotiate(client, &error), 0);
}

static void detach(void)
{
	assert_false(vfu_client_is_dead(client));
	vfu_client_destroy(client);
}

static void device_is_described(void **state)
{
	struct vfu_client_io_fd io_fds[VFU_CLIENT_IO_FDS];
	struct vfu_region_info region;
	struct vfu_info info;
	uint32_t count;

	(void)state;
	start_card();
	attach();
	assert_int_equal(vfu_client_info(client, &info), 0);
	assert_true(info.can_reset);
	assert_int_equal(info.regions, VFU_REGIONS);
	assert_int_equal(vfu_client_region(client, 0, &region), 0);
	assert_int_equal(region.size, BUS_BAR_SIZE);
	assert_true(region.readable && region.writable && region.mappable);
	assert_int_equal(region.area_count, 2);
	assert_int_equal(region.areas[1].offset, 0x3000);
	os_close(&region.fd);
	assert_int_equal(vfu_client_region(client, 7, &region), 0);
	assert_false(region.mappable);
	assert_int_equal(region.fd, -1);
	assert_int_equal(vfu_client_region(client, 9, &region), -EINVAL);
	assert_int_equal(vfu_client_irq(client, VFU_IRQ_MSIX, &count), 0);
	assert_int_equal(count, BUS_VECTORS);
	assert_int_equal(vfu_client_io_fds(client, 0, io_fds), 3);
	assert_true(io_fds[0].owned && io_fds[1].owned && !io_fds[2].owned);
	assert_int_equal(io_fds[2].fd, io_fds[1].fd);
	assert_true(io_fds[2].match && io_fds[2].match_value == 7);
	os_close(&io_fds[0].fd);
	os_close(&io_fds[1].fd);
	assert_int_equal(vfu_client_io_fds(client, 1, io_fds), 0);
	detach();
	stop_card();
}

static void regions_are_read_and_written(void **state)
{
	uint8_t block[BUS_BAR_SIZE], back[BUS_BAR_SIZE];
	uint32_t word = 0x12345678;

	(void)state;
	start_card();
	attach();
	memset(block, 0x42, sizeof(block));
	block[0] = 0;
	assert_int_equal(vfu_client_write(client, 0, 0, block, sizeof(block)), 0);
	assert_int_equal(vfu_client_post(client, 0, 0x10, &word, 4), 0);
	memcpy(block + 0x10, &word, 4);
	assert_int_equal(vfu_client_read(client, 0, 0, back, sizeof(back)), 0);
	assert_memory_equal(block, back, sizeof(block));
	assert_int_equal(vfu_client_read(client, 0, BUS_BAR_SIZE, back, 1), -EINVAL);
	assert_int_equal(vfu_client_post(client, 0, BUS_BAR_SIZE, back, 1), 0);
	assert_int_equal(vfu_client_reset(client), 0);
	assert_int_equal(bus.resets, 1);
	detach();
	stop_card();
}

static void wait_for(int fd)
{
	struct pollfd entries[2] = {{.fd = fd, .events = POLLIN},
				    {.fd = vfu_client_fd(client), .events = POLLIN}};

	while (!os_eventfd_drain(fd)) {
		assert_true(poll(entries, 2, DEADLINE_MS) > 0);
		assert_int_equal(vfu_client_poll(client), 0);
	}
}

static void memory_goes_by_messages_and_interrupts_come(void **state)
{
	int fds[BUS_VECTORS];
	uint32_t one = 1;

	(void)state;
	start_card();
	attach();
	for (size_t i = 0; i < BUS_VECTORS; i++)
		fds[i] = os_eventfd();
	assert_int_equal(vfu_client_bind_irqs(client, VFU_IRQ_MSIX, 0, fds, BUS_VECTORS), 0);
	for (unsigned round = 1; round < 50; round++) {
		memset(guest + FROM, (int)round, COPY_SIZE);
		assert_int_equal(vfu_client_post(client, 0, 0, &one, 4), 0);
		wait_for(fds[1]);
		assert_memory_equal(guest + TO, guest + FROM, COPY_SIZE);
	}
	assert_int_equal(vfu_client_disable_irqs(client, VFU_IRQ_MSIX), 0);
	detach();
	for (size_t i = 0; i < BUS_VECTORS; i++)
		os_close(&fds[i]);
	stop_card();
}

struct caller {
	pthread_t thread;
	uint64_t offset;
	int result;
};

static void *call_much(void *context)
{
	struct caller *caller = context;

	for (uint32_t i = 0; i < 2000 && !caller->result; i++) {
		uint32_t back, one = 1;

		caller->result = vfu_client_post(client, 0, caller->offset, &i, 4);
		if (!caller->result && i % 16 == 0)
			caller->result = vfu_client_post(client, 0, 0, &one, 4);
		if (!caller->result)
			caller->result = vfu_client_read(client, 0, caller->offset, &back, 4);
		if (!caller->result && back != i)
			caller->result = -EIO;
	}
	return NULL;
}

/* vCPUs that read and write registers, while the card moves memory through the same link. */
static void many_threads_share_a_link(void **state)
{
	struct caller callers[4] = {0};

	(void)state;
	start_card();
	attach();
	memset(guest + FROM, 0x61, COPY_SIZE);
	memset(guest + TO, 0, COPY_SIZE);
	for (size_t i = 0; i < ARRAY_LEN(callers); i++) {
		callers[i].offset = 0x100 + 8 * i;
		assert_int_equal(pthread_create(&callers[i].thread, NULL, call_much, &callers[i]),
				 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(callers); i++) {
		pthread_join(callers[i].thread, NULL);
		assert_int_equal(callers[i].result, 0);
	}
	assert_memory_equal(guest + TO, guest + FROM, COPY_SIZE);
	detach();
	stop_card();
}

static void one_session(int memory)
{
	struct vfu_client_io_fd io_fds[VFU_CLIENT_IO_FDS];
	struct vfu_region_info region;
	uint32_t word = 0;
	int irq = os_eventfd();

	attach();
	assert_int_equal(vfu_client_dma_map(client, 0, 0x4000, memory, 0, true), 0);
	assert_int_equal(vfu_client_dma_map(client, 0x8000, 0x4000, memory, 0x4000, false), 0);
	assert_int_equal(vfu_client_dma_map(client, 0x4000, 0x8000, memory, 0, true), -EEXIST);
	assert_int_equal(vfu_client_region(client, 0, &region), 0);
	assert_int_equal(vfu_client_io_fds(client, 0, io_fds), 3);
	assert_int_equal(vfu_client_bind_irqs(client, VFU_IRQ_MSIX, 2, &irq, 1), 0);
	assert_int_equal(vfu_client_post(client, 0, 0x20, &word, 4), 0);
	assert_int_equal(vfu_client_read(client, 0, 0x20, &word, 4), 0);
	assert_int_equal(vfu_client_dma_unmap(client, 0, 0x4000), 0);
	detach();
	os_close(&region.fd);
	os_close(&io_fds[0].fd);
	os_close(&io_fds[1].fd);
	os_close(&irq);
}

/* stop_card() finds each descriptor and window gone. */
static void a_thousand_sessions_leave_nothing(void **state)
{
	int memory = bus_window(0x8000);

	(void)state;
	start_card();
	for (int i = 0; i < 1000; i++)
		one_session(memory);
	stop_card();
	assert_int_equal(bus.lost, 1001); /* and the one of bus_start() */
	os_close(&memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(device_is_described),
		cmocka_unit_test(regions_are_read_and_written),
		cmocka_unit_test(memory_goes_by_messages_and_interrupts_come),
		cmocka_unit_test(many_threads_share_a_link),
		cmocka_unit_test(a_thousand_sessions_leave_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
