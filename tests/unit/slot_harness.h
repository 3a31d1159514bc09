/* SPDX-License-Identifier: Apache-2.0 */
/* The host's side of a card in one process with a made-up card, without KVM. */
#ifndef KARUTA_TEST_SLOT_HARNESS_H
#define KARUTA_TEST_SLOT_HARNESS_H

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "machine.h"
#include "os/fd.h"
#include "os/loop.h"
#include "slot.h"
#include "vfu/vfu_server.h"

#define SLOT	 3u
#define BAR_SIZE 0x4000u
#define TABLE	 0x1000u
#define PENDING	 0x2000u
#define VECTORS	 4u
#define BAR_AT	 UINT64_C(0xd0000000)

static struct machine machine;
static struct status_page status;

/* ---- the card ---- */

struct fake {
	struct vfu_device device;
	struct vfu_io_fd doorbell;
	uint8_t config[PCI_CONFIG_SIZE], bar[BAR_SIZE];
	atomic_uint resets, writes; /* writes: to the BAR */
	atomic_bool hold;	    /* writes to the BAR take until it is false */
	struct vfu_server *server;
	struct os_loop *loop;
	pthread_t thread;
	int link;
};

static inline uint8_t *bytes_of(struct fake *fake, unsigned region)
{
	return region == VFU_REGION_CONFIG ? fake->config : fake->bar;
}

static inline int fake_read(void *context, unsigned region, uint64_t offset, void *to,
			    uint32_t length)
{
	memcpy(to, bytes_of(context, region) + offset, length);
	return 0;
}

static inline int fake_write(void *context, unsigned region, uint64_t offset, const void *from,
			     uint32_t length)
{
	struct fake *fake = context;

	if (region != VFU_REGION_CONFIG)
		fake->writes++;
	while (region != VFU_REGION_CONFIG && atomic_load(&fake->hold))
		usleep(1000);
	memcpy(bytes_of(context, region) + offset, from, length);
	return 0;
}

static inline void fake_reset(void *context, enum vfu_reset reason)
{
	struct fake *fake = context;

	fake->resets += reason == VFU_RESET_DEVICE;
}

static inline void fake_quiesce(void *context)
{
	(void)context;
}

static const struct vfu_device_ops fake_ops = {
	.read = fake_read, .write = fake_write, .reset = fake_reset, .quiesce = fake_quiesce};

static inline void put(uint8_t *config, unsigned offset, uint32_t value, size_t size)
{
	memcpy(config + offset, &value, size);
}

/* A sane function: one BAR, MSI-X, a doorbell. Tests spoil it before it is started. */
static inline void make(struct fake *fake)
{
	*fake = (struct fake){0};
	put(fake->config, PCI_VENDOR_ID, 0x12344b52, 4);
	put(fake->config, PCI_STATUS, 0x10, 2);
	put(fake->config, PCI_CAPABILITIES, 0x40, 1);
	put(fake->config, 0x40, PCI_CAP_MSIX, 2);
	put(fake->config, 0x42, VECTORS - 1, 2);
	put(fake->config, 0x44, TABLE, 4);
	put(fake->config, 0x48, PENDING, 4);
	for (unsigned i = 0; i < VFU_REGIONS; i++)
		fake->device.regions[i].map_fd = -1;
	fake->device.regions[0].size = BAR_SIZE;
	fake->device.regions[VFU_REGION_CONFIG].size = PCI_CONFIG_SIZE;
	for (unsigned i = 0; i < VFU_REGIONS; i++)
		fake->device.regions[i].readable = fake->device.regions[i].writable =
			fake->device.regions[i].size != 0;
	fake->device.irq_counts[VFU_IRQ_MSIX] = VECTORS;
	fake->doorbell = (struct vfu_io_fd){.region = 0, .offset = 0x10, .size = 4};
	fake->doorbell.fd = os_eventfd();
	fake->device.io_fds = &fake->doorbell;
	fake->device.io_fd_count = 1;
}

static inline void *serve(void *context)
{
	struct fake *fake = context;

	while (vfu_server_has_client(fake->server))
		os_loop_once(fake->loop, 1000);
	return NULL;
}

static inline void start(struct fake *fake)
{
	int pair[2];

	assert_int_equal(os_socket_pair(pair), 0);
	fake->link = pair[0];
	assert_int_equal(os_loop_create(&fake->loop), 0);
	assert_int_equal(
		vfu_server_create(&fake->server, &fake->device, &fake_ops, fake, fake->loop), 0);
	assert_int_equal(vfu_server_adopt(fake->server, pair[1]), 0);
	assert_int_equal(pthread_create(&fake->thread, NULL, serve, fake), 0);
}

static inline void stop(struct fake *fake)
{
	pthread_join(fake->thread, NULL);
	vfu_server_destroy(fake->server);
	os_loop_destroy(fake->loop);
	os_close(&fake->doorbell.fd);
}

/* ---- the machine ---- */

void machine_request(struct machine *of, unsigned request)
{
	atomic_fetch_or(&of->requests, request);
}

static inline struct slot *slot(void)
{
	return &machine.bus.slots[SLOT];
}

static inline int count_fds(void)
{
	DIR *directory = opendir("/proc/self/fd");
	int count = 0;

	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

static inline int set_up(void **state)
{
	(void)state;
	machine.status = &status;
	machine.vm = -1;
	if (memory_create(&machine.memory, MEMORY_SMALLEST, NULL) < 0 ||
	    interrupts_init(&machine.interrupts) < 0 || events_init(&machine.events) < 0)
		return -1;
	bus_init(&machine.bus, &machine, 64 * GIB, 128 * GIB);
	return 0;
}

static inline uint32_t get32(unsigned offset)
{
	uint32_t value;

	bus_read(&machine.bus, BUS_ECAM + (SLOT << 15) + offset, &value, 4);
	return value;
}

static inline void set32(unsigned offset, uint32_t value)
{
	bus_write(&machine.bus, BUS_ECAM + (SLOT << 15) + offset, &value, 4);
}

static inline uint32_t bar32(unsigned offset)
{
	uint32_t value;

	bus_read(&machine.bus, BAR_AT + offset, &value, 4);
	return value;
}

static inline void set_bar32(unsigned offset, uint32_t value)
{
	bus_write(&machine.bus, BAR_AT + offset, &value, 4);
}

static inline void attach(struct fake *fake)
{
	struct error error = {0};
	int ret;

	start(fake);
	ret = slot_attach(slot(), fake->link, &error);
	if (ret < 0)
		print_error("%s\n", error.text);
	assert_int_equal(ret, 0);
	set32(PCI_BAR0, BAR_AT);
	set32(PCI_COMMAND, PCI_COMMAND_MEMORY);
}

static inline void detach(struct fake *fake)
{
	assert_int_equal(slot_detach(slot(), true, NULL), 0);
	stop(fake);
}

#endif
