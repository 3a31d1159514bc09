/* SPDX-License-Identifier: Apache-2.0 */
#include "handover.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "arch.h"
#include "machine.h"
#include "os/clock.h"
#include "os/fd.h"

#define MEET_NS (2 * NS_PER_S)
#define GIVE_NS (2 * NS_PER_S)	  /* more than any guest should stand still for */
#define WAIT_NS (3600 * NS_PER_S) /* whoever started us ends us long before */

/* ---- here ---- */

int handover_meet(struct machine *machine, int socket, struct error *error)
{
	struct handover_setup setup = {.memory = memory_size(&machine->memory),
				       .cpus = machine->cpus,
				       .window64 = machine->bus.window64,
				       .window64_end = machine->bus.window64_end};
	struct peer *peer = &machine->peer;
	struct handover_writer writer;
	int ret;

	peer_close(peer);
	peer->socket = socket;
	peer->deadline = os_now() + MEET_NS;
	writer = peer_begin(peer, HANDOVER_MEET, 0);
	handover_put(&writer, HANDOVER_SETUP, &setup, sizeof(setup));
	handover_put(&writer, HANDOVER_LINE, machine->line, strlen(machine->line));
	arch_save_setup(machine, &writer);
	peer_add(peer, machine->memory.fd);
	peer_add(peer, machine->options.kernel_fd);
	peer_add(peer, machine->options.initrd_fd);
	ret = peer_send(peer, &writer);
	if (ret < 0)
		peer_close(peer);
	return ret < 0 ? error_set(error, -ret, "the other program: %s", strerror(-ret)) : 0;
}

static int check_slots(const struct machine *machine, struct error *error)
{
	for (unsigned i = 1; i < BUS_SLOTS; i++)
		if (!slot_is_settled(&machine->bus.slots[i]))
			return error_set(error, EBUSY, "slot %u: its card is being started again",
					 i);
	return 0;
}

/* What is not at rest even now: it asked for its end, or an access waits for a card. */
static int check_stopped(const struct machine *machine, struct error *error)
{
	bool busy = atomic_load(&machine->requests) & ~(unsigned)REQUEST_SLOTS;

	for (unsigned i = 0; i < machine->cpus; i++)
		busy |= machine->vcpus[i].exit_is_left;
	return busy ? error_set(error, EBUSY, "the guest is about to do something else") : 0;
}

static int give_machine(struct machine *machine, uint32_t command, uint64_t stopped)
{
	struct events *events = &machine->events;
	struct handover_machine state = {.stopped = stopped,
					 .command = command,
					 .flags = machine->paused ? HANDOVER_PAUSED : 0,
					 .pending = atomic_load(&events->pending),
					 .inserted = atomic_load(&events->inserted),
					 .remove = atomic_load(&events->remove),
					 .ejected = atomic_load(&events->ejected)};
	struct handover_writer writer;

	serial_save(&machine->serial, state.serial);
	writer = peer_begin(&machine->peer, HANDOVER_MACHINE, 0);
	handover_put(&writer, HANDOVER_STATE, &state, sizeof(state));
	handover_put(&writer, HANDOVER_RESERVED, &machine->memory.reserved,
		     sizeof(machine->memory.reserved));
	return peer_send(&machine->peer, &writer);
}

static int give_slots(struct machine *machine)
{
	int ret = 0;

	for (unsigned i = 1; !ret && i < BUS_SLOTS; i++) {
		struct slot *slot = &machine->bus.slots[i];

		if (slot->state != STATUS_SLOT_EMPTY || slot->awaited)
			ret = slot_save(slot, &machine->peer);
	}
	return ret;
}

static int give_vcpus(struct machine *machine)
{
	struct handover_writer writer;
	int ret = 0;

	for (unsigned i = 0; !ret && i < machine->cpus; i++) {
		writer = peer_begin(&machine->peer, HANDOVER_VCPU, i);
		ret = arch_save_vcpu(&machine->vcpus[i], &writer);
		if (!ret)
			ret = peer_send(&machine->peer, &writer);
	}
	return ret;
}

static int give_end(struct machine *machine)
{
	struct handover_writer writer = peer_begin(&machine->peer, HANDOVER_END, 0);
	int ret = arch_save_vm(machine, &writer);

	return ret ? ret : peer_send(&machine->peer, &writer);
}

/* Slots before vCPUs: what their cards signalled until they were disconnected is in these. */
static int give_all(struct machine *machine, uint32_t command, uint64_t stopped,
		    struct error *error)
{
	struct peer *peer = &machine->peer;
	int ret;

	peer->deadline = os_now() + GIVE_NS;
	ret = give_machine(machine, command, stopped)
		      ?: give_slots(machine)
		      ?: give_vcpus(machine)
		      ?: give_end(machine)
		      ?: peer_expect(peer, HANDOVER_TAKEN)
		      /* With this, and not before, it is the other one's. */
		      ?: peer_say(peer, HANDOVER_GO);
	return ret ? error_set(error, -ret, "the other program did not take it: %s", strerror(-ret))
		   : 0;
}

static void go_on(struct machine *machine)
{
	peer_close(&machine->peer);
	for (unsigned i = 1; i < BUS_SLOTS; i++)
		slot_reconnect(&machine->bus.slots[i]);
	/* A card may have been found dead. */
	machine_request(machine, REQUEST_SLOTS);
	/* What the guest asked for comes first, and lets it run. */
	if (!machine->paused && !(atomic_load(&machine->requests) & ~(unsigned)REQUEST_SLOTS))
		machine_continue(machine);
}

int handover_give(struct machine *machine, uint32_t command, struct error *error)
{
	uint64_t stopped;
	int ret;

	if (machine->peer.socket < 0 || !machine->started)
		return error_set(error, EINVAL, "there is no other program");
	ret = check_slots(machine, error);
	if (ret < 0)
		return ret;
	stopped = os_now();
	machine_stop(machine);
	ret = check_stopped(machine, error);
	if (!ret)
		ret = give_all(machine, command, stopped, error);
	if (ret)
		go_on(machine);
	return ret;
}

/* ---- there ---- */

static int take_line(struct machine *machine, const struct handover_record *record)
{
	size_t length;
	const uint8_t *line = handover_find(record, HANDOVER_LINE, &length);

	if (!line || length > COMMAND_LINE_MAX)
		return -EPROTO;
	memcpy(machine->line, line, length);
	return 0;
}

static int take_setup(struct machine *machine, struct error *error)
{
	struct peer *peer = &machine->peer;
	struct handover_setup setup;
	int fd, ret = handover_take_setup(&peer->record, &setup);

	if (!ret)
		ret = take_line(machine, &peer->record);
	if (ret < 0)
		return error_set(error, -ret, "what it is to go on with makes no sense");
	machine->cpus = setup.cpus;
	machine->bus.window64 = setup.window64;
	machine->bus.window64_end = setup.window64_end;
	fd = peer_take(peer);
	machine->options.kernel_fd = peer_take(peer);
	machine->options.initrd_fd = peer_take(peer);
	if (machine->options.kernel_fd < 0)
		return error_set(error, EPROTO, "kernel: none came");
	return memory_adopt(&machine->memory, fd, setup.memory, error);
}

int handover_join(struct machine *machine, struct error *error)
{
	struct peer *peer = &machine->peer;
	int ret;

	peer->socket = machine->options.take_over_fd;
	peer->deadline = os_now() + MEET_NS;
	ret = peer_expect(peer, HANDOVER_MEET);
	if (ret == -ENOTSUP)
		return error_set(error, ENOTSUP,
				 "the program that runs hands over another version of the state");
	if (ret < 0)
		return error_set(error, -ret, "the program that runs does not say what it has: %s",
				 strerror(-ret));
	return take_setup(machine, error);
}

/* What of the whole has come. */
struct taking {
	struct handover_machine state;
	unsigned vcpus;
	bool has_begun, has_ended;
};

static int take_reserved(struct machine *machine)
{
	uint64_t reserved = memory_size(&machine->memory);
	int ret = handover_take(&machine->peer.record, HANDOVER_RESERVED, &reserved,
				sizeof(reserved));

	if (ret < 0 && ret != -ENOENT)
		return ret;
	return memory_go_on(&machine->memory, reserved);
}

static int take_machine(struct machine *machine, struct taking *taking)
{
	struct peer *peer = &machine->peer;
	struct events *events = &machine->events;
	int ret = handover_take_machine(&peer->record, &taking->state);

	if (ret < 0 || taking->has_begun || take_reserved(machine) < 0)
		return -EPROTO;
	taking->has_begun = true;
	peer->deadline = os_now() + GIVE_NS;
	atomic_store(&events->pending, taking->state.pending);
	atomic_store(&events->inserted, taking->state.inserted);
	atomic_store(&events->remove, taking->state.remove);
	atomic_store(&events->ejected, taking->state.ejected);
	return 0;
}

static int take_vcpu(struct machine *machine, struct taking *taking, struct error *error)
{
	const struct handover_record *record = &machine->peer.record;

	if (record->number != taking->vcpus || record->number >= machine->cpus)
		return -EPROTO;
	return arch_restore_vcpu(&machine->vcpus[taking->vcpus++], record, error);
}

static int take_end(struct machine *machine, struct taking *taking, struct error *error)
{
	int ret = taking->vcpus == machine->cpus ? 0 : -EPROTO;

	taking->has_ended = true;
	for (unsigned i = 1; !ret && i < BUS_SLOTS; i++)
		ret = slot_prepare(&machine->bus.slots[i]);
	return ret ?: interrupts_publish(&machine->interrupts)
			      ?: arch_restore_vm(machine, &machine->peer.record, error);
}

static int take_record(struct machine *machine, struct taking *taking, struct error *error)
{
	struct peer *peer = &machine->peer;
	struct slot *slot = &machine->bus.slots[peer->record.number % BUS_SLOTS];

	if (!taking->has_begun && peer->record.kind != HANDOVER_MACHINE)
		return -EPROTO;
	switch (peer->record.kind) {
	case HANDOVER_MACHINE:
		return take_machine(machine, taking);
	case HANDOVER_VCPU:
		return take_vcpu(machine, taking, error);
	case HANDOVER_SLOT:
		return slot_restore(slot, peer);
	case HANDOVER_VECTORS:
		return slot_restore_vectors(slot, peer);
	case HANDOVER_END:
		return take_end(machine, taking, error);
	default:
		return -EPROTO;
	}
}

static int take_all(struct machine *machine, struct taking *taking, struct error *error)
{
	int ret = 0;

	machine->peer.deadline = os_now() + WAIT_NS;
	while (!ret && !taking->has_ended) {
		ret = peer_receive(&machine->peer);
		if (!ret)
			ret = take_record(machine, taking, error);
	}
	return ret;
}

/* From here on there is no way back. */
static int run_on(struct machine *machine, const struct taking *taking, struct error *error)
{
	bool connected = true;
	char text[32];
	uint64_t us;

	atomic_store(&machine->status->standing_by, 0);
	for (unsigned i = 1; i < BUS_SLOTS; i++)
		connected &= slot_reconnect(&machine->bus.slots[i]);
	if (!connected)
		return error_set(error, EIO, "KVM does not take the interrupts again");
	serial_restore(&machine->serial, taking->state.serial);
	events_remind(&machine->events);
	machine->started = true;
	machine->paused = taking->state.flags & HANDOVER_PAUSED;
	if (!machine->paused)
		machine_continue(machine);
	us = (os_now() - taking->state.stopped) / 1000;
	snprintf(text, sizeof(text), "%llu.%llu ms", (unsigned long long)us / 1000,
		 (unsigned long long)us % 1000 / 100);
	status_command_done(machine->status, taking->state.command, 0, text);
	/* What was ejected, and cards that died meanwhile. */
	machine_request(machine, REQUEST_SLOTS);
	return 0;
}

int handover_take_over(struct machine *machine, struct error *error)
{
	struct peer *peer = &machine->peer;
	struct taking taking = {0};
	int ret;

	atomic_store(&machine->status->standing_by, 1);
	ret = take_all(machine, &taking, error) ?: peer_say(peer, HANDOVER_TAKEN);
	/* It says GO or closes the link. To give up before it does could end the guest. */
	peer->deadline = os_now() + WAIT_NS;
	if (!ret)
		ret = peer_expect(peer, HANDOVER_GO);
	/* The link ends with this program, after its last words: who reads of its end has both. */
	if (ret)
		return error->code ? ret
				   : error_set(error, -ret,
					       "what was handed over cannot be gone on from: %s",
					       strerror(-ret));
	peer_close(peer);
	return run_on(machine, &taking, error);
}
