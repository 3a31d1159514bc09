/* SPDX-License-Identifier: Apache-2.0 */
/* The host's side of a card, without KVM: what it takes, what it refuses, what it leaves behind. */
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

static uint8_t *bytes_of(struct fake *fake, unsigned region)
{
	return region == VFU_REGION_CONFIG ? fake->config : fake->bar;
}

static int fake_read(void *context, unsigned region, uint64_t offset, void *to, uint32_t length)
{
	memcpy(to, bytes_of(context, region) + offset, length);
	return 0;
}

static int fake_write(void *context, unsigned region, uint64_t offset, const void *from,
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

static void fake_reset(void *context, enum vfu_reset reason)
{
	struct fake *fake = context;

	fake->resets += reason == VFU_RESET_DEVICE;
}

static void fake_quiesce(void *context)
{
	(void)context;
}

static const struct vfu_device_ops fake_ops = {
	.read = fake_read, .write = fake_write, .reset = fake_reset, .quiesce = fake_quiesce};

static void put(uint8_t *config, unsigned offset, uint32_t value, size_t size)
{
	memcpy(config + offset, &value, size);
}

/* A sane function: one BAR, MSI-X, a doorbell. Tests spoil it before it is started. */
static void make(struct fake *fake)
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

static void *serve(void *context)
{
	struct fake *fake = context;

	while (vfu_server_has_client(fake->server))
		os_loop_once(fake->loop, 1000);
	return NULL;
}

static void start(struct fake *fake)
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

static void stop(struct fake *fake)
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

static struct slot *slot(void)
{
	return &machine.bus.slots[SLOT];
}

static int count_fds(void)
{
	DIR *directory = opendir("/proc/self/fd");
	int count = 0;

	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

static int set_up(void **state)
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

static uint32_t get32(unsigned offset)
{
	uint32_t value;

	bus_read(&machine.bus, BUS_ECAM + (SLOT << 15) + offset, &value, 4);
	return value;
}

static void set32(unsigned offset, uint32_t value)
{
	bus_write(&machine.bus, BUS_ECAM + (SLOT << 15) + offset, &value, 4);
}

static uint32_t bar32(unsigned offset)
{
	uint32_t value;

	bus_read(&machine.bus, BAR_AT + offset, &value, 4);
	return value;
}

static void set_bar32(unsigned offset, uint32_t value)
{
	bus_write(&machine.bus, BAR_AT + offset, &value, 4);
}

static void attach(struct fake *fake)
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

static void detach(struct fake *fake)
{
	assert_int_equal(slot_detach(slot(), true, NULL), 0);
	stop(fake);
}

/* ---- tests ---- */

static void test_life(void **state)
{
	struct fake fake;
	int before = count_fds();

	(void)state;
	assert_int_equal(get32(0), 0xffffffff);
	make(&fake);
	attach(&fake);
	assert_int_equal(fake.resets, 1);
	assert_int_equal(status.slots[SLOT], STATUS_SLOT_PRESENT);
	assert_int_equal(get32(0), 0x12344b52);
	set_bar32(0x100, 0xcafe);
	assert_int_equal(bar32(0x100), 0xcafe);
	assert_int_equal(bar32(BAR_SIZE), 0xffffffff);
	set32(PCI_COMMAND, 0);
	assert_int_equal(bar32(0x100), 0xffffffff);
	detach(&fake);
	assert_int_equal(get32(0), 0xffffffff);
	assert_int_equal(status.slots[SLOT], STATUS_SLOT_EMPTY);
	assert_int_equal(count_fds(), before);
}

static void test_table_never_reaches_the_card(void **state)
{
	struct fake fake;

	(void)state;
	make(&fake);
	attach(&fake);
	set_bar32(TABLE, 0xfee00000);
	set_bar32(PENDING, 0xffffffff);
	assert_int_equal(bar32(TABLE), 0xfee00000);
	assert_int_equal(bar32(PENDING), 0);
	set32(0x40, 0x80000000);
	assert_int_equal(get32(0x40) >> 16, 0x8000 | (VECTORS - 1));
	for (unsigned i = TABLE; i < TABLE + 16 * VECTORS; i++)
		assert_int_equal(fake.bar[i], 0);
	/* BARs are the host's as well. */
	assert_int_equal(fake.config[PCI_BAR0 + 3], 0);
	detach(&fake);
}

static void test_pending_bits(void **state)
{
	struct fake fake;

	(void)state;
	make(&fake);
	attach(&fake);
	set32(0x40, 0x80000000);
	os_eventfd_signal(slot()->vectors.fds[2]);
	assert_int_equal(bar32(PENDING), 1 << 2);
	set32(0x40, 0);
	assert_int_equal(bar32(PENDING), 0); /* off: forgotten */
	detach(&fake);
}

static void test_reset(void **state)
{
	struct fake fake;

	(void)state;
	make(&fake);
	attach(&fake);
	set_bar32(TABLE + 12, 0);
	set32(0x40, 0x80000000);
	bus_reset(&machine.bus);
	assert_int_equal(fake.resets, 2);
	assert_int_equal(get32(PCI_BAR0), 0);
	assert_int_equal(get32(0x40) >> 16, VECTORS - 1);
	assert_int_equal(bar32(0), 0xffffffff);
	set32(PCI_BAR0, BAR_AT);
	set32(PCI_COMMAND, PCI_COMMAND_MEMORY);
	assert_int_equal(bar32(TABLE + 12), 1);
	detach(&fake);
}

static void test_bars_stay_in_the_windows(void **state)
{
	struct fake fake;
	uint32_t value;

	(void)state;
	make(&fake);
	attach(&fake);
	memset(fake.bar, 0x5a, 4);
	assert_int_equal(bar32(0), 0x5a5a5a5a);
	set32(PCI_BAR0, 0x100000); /* over memory */
	bus_read(&machine.bus, 0x100000, &value, 4);
	assert_int_equal(value, 0xffffffff);
	set32(PCI_BAR0, 0xfee00000); /* over the interrupt controllers */
	bus_read(&machine.bus, 0xfee00000, &value, 4);
	assert_int_equal(value, 0xffffffff);
	set32(PCI_BAR0, BUS_ECAM); /* over configuration space */
	assert_int_equal(get32(0), 0x12344b52);
	detach(&fake);
}

static void test_odd_accesses(void **state)
{
	struct fake fake;
	uint64_t value = 0;

	(void)state;
	make(&fake);
	attach(&fake);
	bus_read(&machine.bus, BUS_ECAM + (SLOT << 15) + 0xffd, &value, 8);
	assert_true(value == UINT64_MAX); /* across a function's end */
	bus_read(&machine.bus, BUS_ECAM + (SLOT << 15) + 0xff8, &value, 8);
	assert_true(value == 0);
	bus_read(&machine.bus, BUS_ECAM + (SLOT << 15) + 0xfc, &value, 8);
	bus_write(&machine.bus, BUS_ECAM + (SLOT << 15) + 0xfd, &value, 8);
	bus_write(&machine.bus, BUS_ECAM + (SLOT << 15) + 0x0f, &value, 8);
	bus_read(&machine.bus, BAR_AT + TABLE - 2, &value, 8);
	bus_write(&machine.bus, BAR_AT + TABLE + 13, &value, 8);
	bus_write(&machine.bus, BAR_AT + PENDING - 1, &value, 8);
	assert_int_equal(get32(0), 0x12344b52);
	detach(&fake);
}

static void test_dead_card(void **state)
{
	struct fake fake;

	(void)state;
	make(&fake);
	attach(&fake);
	atomic_store(&machine.requests, 0);
	shutdown(slot_link(slot()), SHUT_RDWR);
	pthread_join(fake.thread, NULL);
	assert_int_equal(bar32(0x100), 0xffffffff);
	assert_true(atomic_load(&machine.requests) & REQUEST_SLOTS);
	assert_int_equal(get32(0), 0xffffffff);
	/* Before the guest runs nobody waits for it. */
	slot_check(slot());
	assert_int_equal(status.slots[SLOT], STATUS_SLOT_FAILED);
	assert_int_equal(slot_link(slot()), -1);
	assert_int_equal(slot_detach(slot(), false, NULL), 0);
	vfu_server_destroy(fake.server);
	os_loop_destroy(fake.loop);
	os_close(&fake.doorbell.fd);
}

/* ---- a card that dies and goes on ---- */

/* A running machine with a card in use. */
static void attach_running(struct fake *fake)
{
	make(fake);
	machine.started = true;
	atomic_store(&machine.run, true);
	attach(fake);
}

static void detach_running(struct fake *fake)
{
	detach(fake);
	slot_ejected(slot());
	machine.started = false;
	atomic_store(&machine.run, false);
	atomic_store(&machine.requests, 0);
}

static void die(struct fake *fake)
{
	shutdown(slot_link(slot()), SHUT_RDWR);
	atomic_store(&fake->hold, false);
	stop(fake);
	slot_hangup(slot());
	assert_int_equal(status.slots[SLOT], STATUS_SLOT_WAITING);
	assert_int_equal(slot_link(slot()), -1);
}

/* What the dead one's state area would have told. */
static void make_next(struct fake *next, const struct fake *fake)
{
	make(next);
	memcpy(next->bar, fake->bar, sizeof(next->bar));
}

static void relink(struct fake *next)
{
	struct error error = {0};
	int ret;

	start(next);
	ret = slot_relink(slot(), next->link, &error);
	if (ret < 0)
		print_error("%s\n", error.text);
	assert_int_equal(ret, 0);
	assert_int_equal(status.slots[SLOT], STATUS_SLOT_PRESENT);
}

struct access {
	pthread_t thread;
	uint32_t value;
	bool write, done;
	atomic_bool ended;
};

static void *run_access(void *context)
{
	struct access *access = context;

	access->done = access->write ? bus_write(&machine.bus, BAR_AT + 0x80, &access->value, 4)
				     : bus_read(&machine.bus, BAR_AT + 0x80, &access->value, 4);
	atomic_store(&access->ended, true);
	return NULL;
}

static void begin_access(struct access *access, bool write, uint32_t value)
{
	*access = (struct access){.write = write, .value = value};
	assert_int_equal(pthread_create(&access->thread, NULL, run_access, access), 0);
}

static void test_accesses_wait_for_the_next_process(void **state)
{
	struct access write, read;
	struct fake fake, next;
	int before = count_fds();
	int vector;

	(void)state;
	attach_running(&fake);
	set32(0x40, 0x80000000);
	set_bar32(0x80, 1);
	assert_int_equal(bar32(0x80), 1);
	vector = slot()->vectors.fds[1];
	die(&fake);
	begin_access(&write, true, 2);
	usleep(20000);
	assert_false(atomic_load(&write.ended));
	make_next(&next, &fake);
	relink(&next);
	pthread_join(write.thread, NULL);
	assert_true(write.done);
	assert_int_equal(bar32(0x80), 2);
	/* The interrupts are those of before, its doorbell was rung, and nothing was reset. */
	vfu_server_interrupt(next.server, VFU_IRQ_MSIX, 1);
	assert_int_equal(slot()->vectors.fds[1], vector);
	assert_int_equal(bar32(PENDING), 1 << 1);
	assert_int_equal(os_eventfd_drain(next.doorbell.fd), 1);
	assert_int_equal(next.resets, 0);
	/* A death that a vCPU finds first. */
	shutdown(slot_link(slot()), SHUT_RDWR);
	begin_access(&read, false, 0);
	while (!(atomic_load(&machine.requests) & REQUEST_SLOTS))
		usleep(1000);
	slot_check(slot());
	stop(&next);
	make_next(&fake, &next);
	relink(&fake);
	pthread_join(read.thread, NULL);
	assert_true(read.done);
	assert_int_equal(read.value, 2);
	detach_running(&fake);
	assert_int_equal(count_fds(), before);
}

static void test_unanswered_writes_are_handed_over(void **state)
{
	struct fake fake, next;
	unsigned first;

	(void)state;
	attach_running(&fake);
	set_bar32(0x10, 100);
	assert_int_equal(bar32(0x10), 100);
	first = fake.writes;
	atomic_store(&fake.hold, true);
	for (uint32_t i = 0; i < 20; i++)
		set_bar32(0x10 + 4 * (i % 2), i);
	while (fake.writes == first)
		usleep(1000);
	die(&fake);
	/* One at most was carried out, and no answer came; answered ones are not repeated. */
	assert_true(fake.writes <= first + 1);
	make_next(&next, &fake);
	relink(&next);
	assert_int_equal(next.writes, 20);
	assert_int_equal(bar32(0x10), 18);
	assert_int_equal(bar32(0x14), 19);
	detach_running(&next);
}

/* Pause and reset do not wait for a card. */
static void test_waiting_is_interrupted(void **state)
{
	struct fake fake, next;
	struct access write;

	(void)state;
	attach_running(&fake);
	die(&fake);
	begin_access(&write, true, 7);
	usleep(20000);
	assert_false(atomic_load(&write.ended));
	atomic_store(&machine.run, false);
	bus_interrupt(&machine.bus);
	pthread_join(write.thread, NULL);
	assert_false(write.done);
	bus_reset(&machine.bus);
	slot_start(slot());
	atomic_store(&machine.run, true);
	make_next(&next, &fake);
	relink(&next);
	assert_int_equal(next.resets, 1);
	assert_int_equal(get32(PCI_BAR0), 0);
	detach_running(&next);
}

static void test_nobody_comes(void **state)
{
	struct fake fake;
	struct access read;

	(void)state;
	attach_running(&fake);
	events_read(&machine.events, EVENTS_REMOVE);
	die(&fake);
	begin_access(&read, false, 0);
	slot_turn(slot());
	assert_int_equal(status.slots[SLOT], STATUS_SLOT_WAITING);
	slot()->give_up = 0;
	slot_turn(slot());
	pthread_join(read.thread, NULL);
	assert_true(read.done);
	assert_int_equal(read.value, 0xffffffff);
	assert_int_equal(status.slots[SLOT], STATUS_SLOT_FAILED);
	assert_int_equal(events_read(&machine.events, EVENTS_REMOVE), 1u << SLOT);
	assert_int_equal(slot_detach(slot(), false, NULL), 0);
	slot_ejected(slot());
	machine.started = false;
	atomic_store(&machine.run, false);
}

static void not_the_same(struct fake *other)
{
	struct error error = {0};

	start(other);
	assert_true(slot_relink(slot(), other->link, &error) < 0);
	stop(other);
	if (!strstr(error.text, "not what was in the slot"))
		print_error("%s\n", error.text);
	assert_non_null(strstr(error.text, "not what was in the slot"));
	assert_int_equal(status.slots[SLOT], STATUS_SLOT_WAITING);
}

static void test_only_the_same_card_is_linked(void **state)
{
	struct error error = {0};
	struct fake fake, next;
	int pair[2];

	(void)state;
	assert_int_equal(os_socket_pair(pair), 0);
	assert_true(slot_relink(slot(), pair[0], &error) < 0);
	assert_non_null(strstr(error.text, "no card is waited for"));
	os_close(&pair[1]);
	attach_running(&fake);
	die(&fake);
	make_next(&next, &fake);
	put(next.config, PCI_DEVICE_ID, 0x99, 2);
	not_the_same(&next);
	make_next(&next, &fake);
	next.device.regions[0].size = 2 * BAR_SIZE;
	not_the_same(&next);
	make_next(&next, &fake);
	put(next.config, 0x42, VECTORS - 2, 2);
	not_the_same(&next);
	assert_int_equal(os_socket_pair(pair), 0);
	os_close(&pair[1]);
	assert_true(slot_relink(slot(), pair[0], &error) < 0);
	make_next(&next, &fake);
	relink(&next);
	detach_running(&next);
}

static void test_guest_lets_go(void **state)
{
	struct fake fake;

	(void)state;
	make(&fake);
	machine.started = true;
	attach(&fake);
	assert_int_equal(events_read(&machine.events, EVENTS_INSERTED), 1u << SLOT);
	assert_int_equal(slot_detach(slot(), false, NULL), 0);
	assert_int_equal(status.slots[SLOT], STATUS_SLOT_EJECTING);
	assert_int_equal(events_read(&machine.events, EVENTS_REMOVE), 1u << SLOT);
	assert_int_equal(get32(0), 0x12344b52); /* until it has */
	slot_ejected(slot());
	assert_int_equal(status.slots[SLOT], STATUS_SLOT_EMPTY);
	stop(&fake);
	machine.started = false;
}

/* A card that was pulled: its place stays free until the guest has let go. */
static void test_forced_detach(void **state)
{
	struct error error = {0};
	struct fake fake;
	int pair[2];

	(void)state;
	make(&fake);
	machine.started = true;
	attach(&fake);
	detach(&fake);
	assert_int_equal(os_socket_pair(pair), 0);
	assert_int_equal(slot_attach(slot(), pair[0], &error), -EBUSY);
	os_close(&pair[1]);
	slot_ejected(slot());
	machine.started = false;
	make(&fake);
	attach(&fake);
	detach(&fake);
}

/* ---- refusals ---- */

static void refused(struct fake *fake, const char *why)
{
	struct error error = {0};
	int before = count_fds();

	start(fake);
	assert_true(slot_attach(slot(), fake->link, &error) < 0);
	stop(fake);
	if (!strstr(error.text, why))
		print_error("%s\n", error.text);
	assert_non_null(strstr(error.text, why));
	assert_int_equal(slot()->state, STATUS_SLOT_EMPTY);
	assert_int_equal(slot_link(slot()), -1);
	assert_int_equal(get32(0), 0xffffffff);
	assert_int_equal(count_fds(), before - 1); /* its doorbell */
}

static void test_refusals(void **state)
{
	struct fake fake;

	(void)state;
	make(&fake);
	fake.device.regions[VFU_REGION_CONFIG].size = 64;
	refused(&fake, "configuration space");
	make(&fake);
	put(fake.config, PCI_HEADER_TYPE, 0x81, 1);
	refused(&fake, "configuration space");
	make(&fake);
	fake.device.regions[0].size = BAR_SIZE - 4096;
	refused(&fake, "base address");
	make(&fake);
	put(fake.config, PCI_BAR0, 1, 4);
	refused(&fake, "base address");
	make(&fake);
	put(fake.config, 0x44, BAR_SIZE - 16, 4);
	refused(&fake, "MSI-X");
	make(&fake);
	put(fake.config, 0x41, 0x40, 1);
	put(fake.config, 0x40, 0x99, 1);
	refused(&fake, "MSI-X");
	make(&fake);
	fake.device.irq_counts[VFU_IRQ_MSIX] = VECTORS - 1;
	refused(&fake, "fewer interrupts");
}

/* Nobody else loses an interrupt to a card that there are none left for. */
static void test_no_room_for_interrupts(void **state)
{
	struct interrupts *interrupts = &machine.interrupts;
	uint32_t capacity = interrupts->capacity;
	struct fake fake;

	(void)state;
	memset(interrupts->reserved, 1, sizeof(interrupts->reserved));
	make(&fake);
	refused(&fake, "no room for 4 interrupts");
	assert_int_equal(interrupts->capacity, capacity);
	for (unsigned i = 0; i < GSI_COUNT; i++)
		assert_int_equal(interrupts->reserved[i], 1);
	memset(interrupts->reserved, 0, sizeof(interrupts->reserved));
}

static void test_no_card_at_all(void **state)
{
	struct error error = {0};
	int pair[2];

	(void)state;
	assert_int_equal(os_socket_pair(pair), 0);
	os_close(&pair[1]);
	assert_true(slot_attach(slot(), pair[0], &error) < 0);
	assert_non_null(strstr(error.text, "slot 3"));
	assert_int_equal(slot_detach(slot(), false, &error), -ENOENT);
}

static void test_many_times(void **state)
{
	struct fake fake;
	int before = count_fds();
	uint32_t capacity = machine.interrupts.capacity;

	(void)state;
	for (unsigned i = 0; i < 200; i++) {
		make(&fake);
		attach(&fake);
		set32(0x40, 0x80000000);
		detach(&fake);
	}
	assert_int_equal(count_fds(), before);
	assert_int_equal(machine.interrupts.capacity, capacity);
}

static void test_serial(void **state)
{
	static struct console_ring ring;
	struct serial serial;
	uint64_t position = 0, lost = 0;
	char text[8] = "";

	(void)state;
	console_init(&ring);
	assert_int_equal(serial_init(&serial, &ring), 0);
	assert_int_equal(serial_read(&serial, 5) & 0x60, 0x60);
	assert_int_equal(serial_read(&serial, 2), 0x01);
	serial_write(&serial, 1, 0x02);
	assert_int_equal(os_eventfd_drain(serial.fd), 1);
	assert_int_equal(serial_read(&serial, 2), 0x02);
	assert_int_equal(serial_read(&serial, 2), 0x01); /* reading it cleared it */
	serial_write(&serial, 0, 'k');
	assert_int_equal(serial_read(&serial, 2), 0x02);
	serial_write(&serial, 3, 0x83);
	serial_write(&serial, 0, 12);
	assert_int_equal(serial_read(&serial, 0), 12); /* the divisor is no text */
	serial_write(&serial, 3, 0x03);
	serial_write(&serial, 4, 0x1f);
	assert_int_equal(serial_read(&serial, 6) & 0xf0, 0xf0);
	serial_write(&serial, 0, 'x'); /* looped back: not sent */
	assert_int_equal(console_read(&ring, &position, text, sizeof(text), &lost), 1);
	assert_int_equal(text[0], 'k');
	os_close(&serial.fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_table_never_reaches_the_card),
		cmocka_unit_test(test_pending_bits),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_bars_stay_in_the_windows),
		cmocka_unit_test(test_odd_accesses),
		cmocka_unit_test(test_dead_card),
		cmocka_unit_test(test_accesses_wait_for_the_next_process),
		cmocka_unit_test(test_unanswered_writes_are_handed_over),
		cmocka_unit_test(test_waiting_is_interrupted),
		cmocka_unit_test(test_nobody_comes),
		cmocka_unit_test(test_only_the_same_card_is_linked),
		cmocka_unit_test(test_guest_lets_go),
		cmocka_unit_test(test_forced_detach),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_no_room_for_interrupts),
		cmocka_unit_test(test_no_card_at_all),
		cmocka_unit_test(test_many_times),
		cmocka_unit_test(test_serial),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
