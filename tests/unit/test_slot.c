/* SPDX-License-Identifier: Apache-2.0 */
/* The host's side of a card, without KVM: what it takes, what it refuses, what it leaves behind. */
#include "slot_harness.h"

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
