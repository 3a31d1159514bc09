/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/base.h"
#include "bus.h"
#include "os/fd.h"
#include "os/memfd.h"
#include "os/sigbus.h"

int bus_count_fds(void)
{
	DIR *directory = opendir("/proc/self/fd");
	int count = 0;

	assert_non_null(directory);
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

int bus_count_windows(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	int count = 0;

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps))
		count += strstr(line, BUS_WINDOW_NAME) != NULL;
	fclose(maps);
	return count;
}

int bus_window(uint64_t size)
{
	int fd = memfd_create(BUS_WINDOW_NAME, MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

static int device_read(void *context, unsigned region, uint64_t offset, void *to, uint32_t length)
{
	struct bus *bus = context;

	bus->reads++;
	assert_true(length > 0);
	memcpy(to, (region == VFU_REGION_CONFIG ? bus->config : bus->bar) + offset, length);
	return bus->fail;
}

static int device_write(void *context, unsigned region, uint64_t offset, const void *from,
			uint32_t length)
{
	struct bus *bus = context;
	uint8_t byte;

	bus->writes++;
	assert_true(length > 0);
	if (bus->dma_in_callback == 1)
		bus->dma_in_callback = vfu_server_dma_read(bus->server, 0, &byte, 1);
	memcpy((region == VFU_REGION_CONFIG ? bus->config : bus->bar) + offset, from, length);
	return bus->fail;
}

static void device_reset(void *context, enum vfu_reset reason)
{
	struct bus *bus = context;

	if (reason == VFU_RESET_LOST) {
		assert_int_equal(mem_count(vfu_server_memory(bus->server)), 0);
		bus->lost++;
	} else {
		bus->resets++;
	}
}

static void device_quiesce(void *context)
{
	struct bus *bus = context;

	bus->quiesces++;
}

static const struct vfu_device_ops device_ops = {
	.read = device_read,
	.write = device_write,
	.reset = device_reset,
	.quiesce = device_quiesce,
};

static void describe(struct bus *bus)
{
	struct vfu_region *bar = &bus->device.regions[0];

	for (size_t i = 0; i < VFU_REGIONS; i++)
		bus->device.regions[i].map_fd = -1;
	*bar = (struct vfu_region){.size = BUS_BAR_SIZE,
				   .readable = true,
				   .writable = true,
				   .map_fd = os_memfd("bus-bar", BUS_BAR_SIZE),
				   .areas = {{0x1000, 0x1000}, {0x3000, 0x1000}},
				   .area_count = 2};
	bus->device.regions[2] =
		(struct vfu_region){.size = 0x1000, .readable = true, .map_fd = -1};
	bus->device.regions[VFU_REGION_CONFIG] = (struct vfu_region){
		.size = BUS_CONFIG_SIZE, .readable = true, .writable = true, .map_fd = -1};
	bus->device.irq_counts[VFU_IRQ_MSIX] = BUS_VECTORS;
	bus->device.irq_counts[3] = 1;
	for (size_t i = 0; i < BUS_IO_FDS; i++)
		bus->io_fds[i] = (struct vfu_io_fd){
			.offset = 0x1000 + 4 * i, .size = 4, .fd = i < 2 ? os_eventfd() : -1};
	bus->io_fds[2].fd = bus->io_fds[1].fd;
	bus->io_fds[2].match = true;
	bus->io_fds[2].match_value = 7;
	bus->device.io_fds = bus->io_fds;
	bus->device.io_fd_count = BUS_IO_FDS;
}

void bus_reconnect(struct bus *bus)
{
	int pair[2];

	assert_int_equal(os_socket_pair(pair), 0);
	os_close(&bus->peer);
	bus->peer = pair[0];
	assert_int_equal(vfu_server_adopt(bus->server, pair[1]), 0);
}

void bus_start(struct bus *bus)
{
	memset(bus, 0, sizeof(*bus));
	bus->fds_before = bus_count_fds();
	bus->peer = -1;
	assert_int_equal(os_sigbus_install(), 0);
	describe(bus);
	assert_int_equal(os_loop_create(&bus->loop), 0);
	assert_int_equal(vfu_server_create(&bus->server, &bus->device, &device_ops, bus, bus->loop),
			 0);
	bus_reconnect(bus);
}

void bus_open(struct bus *bus)
{
	static const char version[] = "\0\0\0\0{\"capabilities\":{\"max_msg_fds\":16}}";

	bus_start(bus);
	assert_int_equal(bus_ask(bus, VFIO_USER_VERSION, version, sizeof(version), NULL, 0, NULL),
			 0);
}

void bus_end(struct bus *bus)
{
	os_close(&bus->peer);
	vfu_server_destroy(bus->server);
	os_loop_destroy(bus->loop);
	os_close(&bus->device.regions[0].map_fd);
	os_close(&bus->io_fds[0].fd);
	os_close(&bus->io_fds[1].fd);
	assert_int_equal(bus_count_windows(), 0);
	assert_int_equal(bus_count_fds(), bus->fds_before);
}

void bus_turn(struct bus *bus)
{
	/* A bound, so that a server that spins fails the test. */
	for (int i = 0; i < 10000; i++)
		if (os_loop_once(bus->loop, 0) <= 0)
			return;
	fail_msg("the loop never comes to rest");
}

void bus_hang_up(struct bus *bus)
{
	os_close(&bus->peer);
	bus_turn(bus);
}

bool bus_is_hung_up(struct bus *bus)
{
	struct pollfd entry = {.fd = bus->peer, .events = POLLIN};

	bus_turn(bus);
	return poll(&entry, 1, 0) == 1 && entry.revents & POLLHUP;
}

void bus_send_bytes(struct bus *bus, const void *bytes, size_t length, const int *fds,
		    size_t fd_count)
{
	struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = length};

	assert_int_equal(os_send(bus->peer, &iov, 1, fds, fd_count, MSG_DONTWAIT), length);
}

void bus_send(struct bus *bus, struct vfio_user_header header, const void *body, size_t length,
	      const int *fds, size_t fd_count)
{
	struct iovec iov[2] = {{.iov_base = &header, .iov_len = sizeof(header)},
			       {.iov_base = (void *)(uintptr_t)body, .iov_len = length}};

	header.size = (uint32_t)(sizeof(header) + length);
	assert_int_equal(os_send(bus->peer, iov, length ? 2 : 1, fds, fd_count, MSG_DONTWAIT),
			 header.size);
}

bool bus_receive(struct bus *bus, struct bus_message *message)
{
	ssize_t done =
		os_receive(bus->peer, &message->header, sizeof(message->header), message->fds,
			   ARRAY_LEN(message->fds), &message->fd_count, MSG_DONTWAIT);

	if (done <= 0)
		return false;
	assert_int_equal(done, sizeof(message->header));
	message->length = message->header.size - sizeof(message->header);
	assert_true(message->length <= sizeof(message->body));
	if (message->length)
		assert_int_equal(recv(bus->peer, message->body, message->length, MSG_DONTWAIT),
				 message->length);
	return true;
}

int bus_ask(struct bus *bus, uint16_t command, const void *body, size_t length, const int *fds,
	    size_t fd_count, struct bus_message *reply)
{
	struct bus_message unwanted, *message = reply ? reply : &unwanted;
	struct vfio_user_header header = {.id = ++bus->id, .command = command};

	bus_send(bus, header, body, length, fds, fd_count);
	bus_turn(bus);
	assert_true(bus_receive(bus, message));
	assert_int_equal(message->header.id, header.id);
	assert_int_equal(message->header.command, command);
	assert_int_equal(message->header.flags & ~VFIO_USER_ERROR, VFIO_USER_TYPE_REPLY);
	assert_false(bus_receive(bus, &unwanted));
	for (size_t i = 0; !reply && i < message->fd_count; i++)
		os_close(&message->fds[i]);
	if (!(message->header.flags & VFIO_USER_ERROR))
		return 0;
	assert_int_equal(message->length, 0);
	assert_int_equal(message->fd_count, 0);
	assert_true(message->header.error > 0);
	return (int)message->header.error;
}

int bus_map(struct bus *bus, uint64_t address, uint64_t size, int fd, uint64_t offset,
	    uint32_t flags)
{
	struct vfio_user_dma_map map = {.argsz = sizeof(map),
					.flags = flags,
					.offset = offset,
					.address = address,
					.size = size};

	return bus_ask(bus, VFIO_USER_DMA_MAP, &map, sizeof(map), &fd, fd >= 0 ? 1 : 0, NULL);
}

int bus_unmap(struct bus *bus, uint64_t address, uint64_t size)
{
	struct vfio_user_dma_unmap unmap = {
		.argsz = sizeof(unmap), .address = address, .size = size};

	return bus_ask(bus, VFIO_USER_DMA_UNMAP, &unmap, sizeof(unmap), NULL, 0, NULL);
}
