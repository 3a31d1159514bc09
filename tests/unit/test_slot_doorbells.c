/* SPDX-License-Identifier: Apache-2.0 */
/* Doorbells that a card comes to offer, and takes back. There is no KVM here to connect them. */
#include "slot_harness.h"

#include <poll.h>

static void attach_silent(struct fake *fake)
{
	make(fake);
	fake->device.irq_counts[VFU_IRQ_IO_FDS] = 1;
	fake->device.io_fd_count = 0;
	attach(fake);
}

static void offer(struct fake *fake, size_t count)
{
	fake->device.io_fd_count = count;
	vfu_server_interrupt(fake->server, VFU_IRQ_IO_FDS, 0);
}

/* What the main thread does. */
static bool has_news(void)
{
	struct pollfd pollfd = {.fd = slot_news_fd(slot()), .events = POLLIN};

	if (poll(&pollfd, 1, 0) != 1)
		return false;
	slot_news(slot());
	return true;
}

/* Once it is known that there is news, it is not waited for: no card keeps the main thread busy. */
static void test_an_offer_is_taken_at_the_next_access(void **state)
{
	struct fake fake;
	int before = count_fds();

	(void)state;
	attach_silent(&fake);
	assert_false(has_news());
	assert_int_equal(slot()->doorbells.count, 0);
	offer(&fake, 1);
	assert_true(has_news());
	assert_int_equal(slot_news_fd(slot()), -1);
	assert_int_equal(slot()->doorbells.count, 0);
	set_bar32(0x80, 1);
	assert_int_equal(slot()->doorbells.count, 1);
	offer(&fake, 1);
	assert_true(has_news());
	detach(&fake);
	assert_int_equal(slot_news_fd(slot()), -1);
	assert_int_equal(count_fds(), before);
}

/* The main thread may be late: the access itself finds it out. */
static void test_what_is_taken_back_is_gone_after_a_read(void **state)
{
	struct fake fake;

	(void)state;
	attach_silent(&fake);
	offer(&fake, 1);
	assert_true(has_news());
	bar32(0x80);
	assert_int_equal(slot()->doorbells.count, 1);
	offer(&fake, 0);
	bar32(0x80);
	assert_int_equal(slot()->doorbells.count, 0);
	offer(&fake, 1);
	assert_true(has_news());
	bar32(0x80);
	offer(&fake, 0);
	get32(PCI_COMMAND);
	assert_int_equal(slot()->doorbells.count, 0);
	detach(&fake);
}

static void test_a_reset_takes_them_back(void **state)
{
	struct fake fake;

	(void)state;
	attach_silent(&fake);
	offer(&fake, 1);
	assert_true(has_news());
	bar32(0x80);
	assert_int_equal(slot()->doorbells.count, 1);
	offer(&fake, 0);
	bus_reset(&machine.bus);
	assert_int_equal(slot()->doorbells.count, 0);
	detach(&fake);
}

/* The flags of an eventfd are shared with the card: it could have a read of it wait. */
static void test_no_eventfd_of_a_card_is_waited_for(void **state)
{
	struct fake fake;

	(void)state;
	attach_silent(&fake);
	set32(0x40, 0x80000000);
	for (unsigned i = 0; i < VECTORS; i++)
		os_set_nonblocking(slot()->vectors.fds[i], false);
	set32(0x40, 0);
	os_set_nonblocking(slot()->doorbells.news, false);
	offer(&fake, 1);
	assert_true(has_news());
	bar32(0x80);
	assert_int_equal(slot()->doorbells.count, 1);
	bar32(0x80);
	detach(&fake);
}

/* One register after the other, of any length each; and one that is not in the BAR. */
static void test_registers_of_any_length(void **state)
{
	struct vfu_io_fd three[3];
	struct fake fake;

	(void)state;
	attach_silent(&fake);
	for (unsigned i = 0; i < 3; i++)
		three[i] = (struct vfu_io_fd){.offset = 0x1c + 4 * i, .fd = fake.doorbell.fd};
	three[2].offset = BAR_SIZE;
	fake.device.io_fds = three;
	offer(&fake, 3);
	assert_true(has_news());
	bar32(0x80);
	assert_int_equal(slot()->doorbells.count, 3);
	assert_int_equal(slot()->doorbells.list[0].io_fd.size, 0);
	assert_int_equal(slot()->doorbells.list[1].io_fd.size, 0);
	assert_int_equal(slot()->doorbells.list[2].io_fd.size, UINT32_MAX); /* never connected */
	detach(&fake);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_offer_is_taken_at_the_next_access),
		cmocka_unit_test(test_what_is_taken_back_is_gone_after_a_read),
		cmocka_unit_test(test_a_reset_takes_them_back),
		cmocka_unit_test(test_no_eventfd_of_a_card_is_waited_for),
		cmocka_unit_test(test_registers_of_any_length),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
