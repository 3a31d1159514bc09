/* SPDX-License-Identifier: Apache-2.0 */
/* A card whose hypervisor is replaced: the slot goes over, the card does not notice. */
#include "slot_harness.h"

#include "os/clock.h"
#include "peer.h"

static struct machine other; /* of the program that goes on */
static struct peer here, there;

static struct slot *other_slot(void)
{
	return &other.bus.slots[SLOT];
}

static int set_up_both(void **state)
{
	if (set_up(state) < 0)
		return -1;
	here.version = there.version = 1;
	other.status = &status;
	other.vm = -1;
	other.memory = machine.memory;
	if (interrupts_init(&other.interrupts) < 0 || events_init(&other.events) < 0)
		return -1;
	return 0;
}

static void meet(void)
{
	int pair[2];

	bus_init(&other.bus, &other, 64 * GIB, 128 * GIB);
	assert_int_equal(os_packet_pair(pair), 0);
	here.socket = pair[0];
	there.socket = pair[1];
	here.deadline = there.deadline = os_now() + 10 * NS_PER_S;
}

static void part(void)
{
	peer_close(&here);
	peer_close(&there);
}

static int receive_all(void)
{
	int ret = 0;

	while (!ret && peer_receive(&there) == 0)
		ret = there.record.kind == HANDOVER_SLOT
			      ? slot_restore(other_slot(), &there)
			      : slot_restore_vectors(other_slot(), &there);
	return ret ? ret : slot_prepare(other_slot());
}

static int carry(void)
{
	int ret = slot_save(slot(), &here);

	shutdown(here.socket, SHUT_WR);
	return ret ? ret : receive_all();
}

static void leave_first(void)
{
	assert_int_equal(slot_detach(slot(), true, NULL), 0);
	slot_ejected(slot());
}

static void leave_other(struct fake *fake)
{
	assert_int_equal(slot_detach(other_slot(), true, NULL), 0);
	slot_ejected(other_slot());
	stop(fake);
}

static uint32_t read_other(uint64_t address)
{
	uint32_t value;

	bus_read(&other.bus, address, &value, 4);
	return value;
}

static void card_goes_on_where_it_was(void **state)
{
	uint32_t config[16], vector = 0x12;
	struct fake fake;

	(void)state;
	make(&fake);
	attach(&fake);
	set_bar32(0x20, 77);
	set32(0x40, 0x8000u << 16); /* MSI-X on */
	set_bar32(TABLE + 16, 0xfee00000);
	set_bar32(TABLE + 24, vector);
	for (unsigned i = 0; i < 16; i++)
		config[i] = get32(4 * i);
	meet();
	assert_int_equal(carry(), 0);
	leave_first();
	assert_int_equal(read_other(BAR_AT + 0x20), 77);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(read_other(BUS_ECAM + (SLOT << 15) + 4 * i), config[i]);
	assert_int_equal(read_other(BAR_AT + TABLE + 24), vector);
	assert_true(other_slot()->msix.enabled);
	assert_int_equal(fake.resets, 1); /* when it was attached */
	leave_other(&fake);
	part();
}

/* The card has the eventfds that it had. */
static void interrupts_under_way_are_kept(void **state)
{
	struct fake fake;

	(void)state;
	make(&fake);
	attach(&fake);
	set32(0x40, 0x8000u << 16);
	os_eventfd_signal(slot()->vectors.fds[2]);
	meet();
	assert_int_equal(carry(), 0);
	leave_first();
	assert_int_equal(read_other(BAR_AT + PENDING), 1u << 2);
	os_eventfd_signal(other_slot()->vectors.fds[3]);
	assert_int_equal(read_other(BAR_AT + PENDING), 1u << 2 | 1u << 3);
	leave_other(&fake);
	part();
}

static void *let_go_later(void *fake)
{
	usleep(100000);
	atomic_store(&((struct fake *)fake)->hold, false);
	return NULL;
}

static void writes_under_way_end_first(void **state)
{
	pthread_t thread;
	struct fake fake;

	(void)state;
	make(&fake);
	attach(&fake);
	atomic_store(&fake.hold, true);
	for (uint32_t i = 0; i < 8; i++)
		set_bar32(0x20 + 4 * i, i);
	assert_int_equal(pthread_create(&thread, NULL, let_go_later, &fake), 0);
	meet();
	assert_int_equal(carry(), 0);
	assert_int_equal(fake.writes, 8);
	pthread_join(thread, NULL);
	leave_first();
	for (uint32_t i = 0; i < 8; i++)
		assert_int_equal(read_other(BAR_AT + 0x20 + 4 * i), i);
	leave_other(&fake);
	part();
}

/* Nobody went on with it: it stays where it was. */
static void update_that_fails_leaves_the_card(void **state)
{
	struct fake fake;

	(void)state;
	make(&fake);
	attach(&fake);
	set_bar32(0x20, 5);
	meet();
	assert_int_equal(slot_save(slot(), &here), 0);
	part();
	slot_reconnect(slot());
	assert_int_equal(bar32(0x20), 5);
	set_bar32(0x20, 6);
	assert_int_equal(bar32(0x20), 6);
	detach(&fake);
	slot_ejected(slot());
}

static void card_that_is_dead_is_not_carried(void **state)
{
	struct fake fake;

	(void)state;
	make(&fake);
	machine.started = true;
	attach(&fake);
	assert_true(slot_is_settled(slot()));
	shutdown(slot_link(slot()), SHUT_RDWR);
	stop(&fake);
	meet();
	bar32(0x20); /* finds it dead; with vCPUs at rest it does not wait */
	assert_false(slot_is_settled(slot()));
	assert_int_equal(slot_save(slot(), &here), -EPIPE);
	slot_hangup(slot());
	assert_false(slot_is_settled(slot()));
	leave_first();
	machine.started = false;
	part();
}

/* ---- what came is wrong ---- */

static int send_changed(void (*change)(struct handover_slot *state), int fds)
{
	struct handover_writer writer = peer_begin(&here, HANDOVER_SLOT, SLOT);
	static const uint8_t table[VECTORS * HANDOVER_MSIX_ENTRY];
	struct handover_slot state = {.state = STATUS_SLOT_PRESENT,
				      .vectors = VECTORS,
				      .card_fds = 1,
				      .card_transfer = 4096,
				      .config_size = PCI_CONFIG_SIZE,
				      .sizes = {BAR_SIZE}};
	int ret;

	memcpy(state.config, slot()->config, sizeof(state.config));
	if (change)
		change(&state);
	handover_put(&writer, HANDOVER_STATE, &state, sizeof(state));
	handover_put(&writer, HANDOVER_TABLE, table, sizeof(table));
	for (int i = 0; i < fds; i++)
		peer_add(&here, machine.events.fd);
	assert_int_equal(peer_send(&here, &writer), 0);
	assert_int_equal(peer_receive(&there), 0);
	ret = slot_restore(other_slot(), &there);
	slot_detach(other_slot(), true, NULL);
	bus_init(&other.bus, &other, 64 * GIB, 128 * GIB);
	return ret;
}

static void no_vectors(struct handover_slot *state)
{
	state->config[0x42] = VECTORS;
}

static void odd_bar(struct handover_slot *state)
{
	state->sizes[0] = BAR_SIZE + 1;
}

static void long_config(struct handover_slot *state)
{
	state->config_size = PCI_ECAM_SIZE + 1;
}

static void greedy_link(struct handover_slot *state)
{
	state->card_fds = 1000;
}

static void no_transfer(struct handover_slot *state)
{
	state->card_transfer = 0;
}

static void slot_that_makes_no_sense_is_not_taken(void **state)
{
	struct fake fake;

	(void)state;
	make(&fake);
	attach(&fake);
	meet();
	assert_int_equal(send_changed(NULL, 1), 0);
	assert_int_equal(send_changed(NULL, 0), -EPROTO);
	assert_int_equal(send_changed(no_vectors, 1), -EPROTO);
	assert_int_equal(send_changed(odd_bar, 1), -EPROTO);
	assert_int_equal(send_changed(long_config, 1), -EPROTO);
	assert_int_equal(send_changed(greedy_link, 1), -EPROTO);
	assert_int_equal(send_changed(no_transfer, 1), -EPROTO);
	part();
	detach(&fake);
	slot_ejected(slot());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(card_goes_on_where_it_was),
		cmocka_unit_test(interrupts_under_way_are_kept),
		cmocka_unit_test(writes_under_way_end_first),
		cmocka_unit_test(update_that_fails_leaves_the_card),
		cmocka_unit_test(card_that_is_dead_is_not_carried),
		cmocka_unit_test(slot_that_makes_no_sense_is_not_taken),
	};

	return cmocka_run_group_tests(tests, set_up_both, NULL);
}
