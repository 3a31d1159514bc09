/* SPDX-License-Identifier: Apache-2.0 */
/* The host's side of a card that dies and goes on in another process, or does not. */
#include "slot_harness.h"

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
	/* The interrupts are those of before, and nothing was reset. */
	vfu_server_interrupt(next.server, VFU_IRQ_MSIX, 1);
	assert_int_equal(slot()->vectors.fds[1], vector);
	assert_int_equal(bar32(PENDING), 1 << 1);
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

/* A doorbell's descriptor is the card's to make: one that is full, and can be waited for. */
static void test_a_full_doorbell_holds_nobody_up(void **state)
{
	uint64_t full = UINT64_MAX - 1;
	struct fake fake, next;

	(void)state;
	attach_running(&fake);
	die(&fake);
	make_next(&next, &fake);
	os_set_nonblocking(next.doorbell.fd, false);
	assert_int_equal(write(next.doorbell.fd, &full, sizeof(full)), sizeof(full));
	relink(&next);
	assert_int_equal(slot()->doorbells.count, 1);
	detach_running(&next);
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

/* The reset finds it dead: what the guest did before is over for the next process too. */
static void test_a_reset_that_it_died_before_is_made_up_for(void **state)
{
	struct fake fake, next;
	unsigned first;

	(void)state;
	attach_running(&fake);
	first = fake.writes;
	atomic_store(&fake.hold, true);
	set_bar32(0x10, 1);
	set_bar32(0x14, 2);
	while (fake.writes == first)
		usleep(1000);
	shutdown(slot_link(slot()), SHUT_RDWR);
	bus_reset(&machine.bus);
	slot_start(slot());
	assert_int_equal(status.slots[SLOT], STATUS_SLOT_WAITING);
	atomic_store(&fake.hold, false);
	stop(&fake);
	make_next(&next, &fake);
	relink(&next);
	assert_int_equal(next.resets, 1);
	assert_int_equal(next.writes, 0);
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

static void test_the_next_process_may_tell_of_doorbells(void **state)
{
	struct fake fake, next;

	(void)state;
	attach_running(&fake);
	slot()->irqs = 5; /* those that the protocol names */
	assert_int_equal(slot_news_fd(slot()), -1);
	die(&fake);
	make_next(&next, &fake);
	next.device.irq_counts[VFU_IRQ_IO_FDS] = 1;
	relink(&next);
	assert_true(slot_news_fd(slot()) >= 0);
	detach_running(&next);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accesses_wait_for_the_next_process),
		cmocka_unit_test(test_a_full_doorbell_holds_nobody_up),
		cmocka_unit_test(test_unanswered_writes_are_handed_over),
		cmocka_unit_test(test_waiting_is_interrupted),
		cmocka_unit_test(test_a_reset_that_it_died_before_is_made_up_for),
		cmocka_unit_test(test_nobody_comes),
		cmocka_unit_test(test_the_next_process_may_tell_of_doorbells),
		cmocka_unit_test(test_only_the_same_card_is_linked),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
