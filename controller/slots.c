/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a card in its slot. Every state that waits has a deadline; what happens at it is in
 * the state's own function below.
 *
 *	STARTING -> CONNECTING -> ATTACHED -> EJECTING -> LEAVING -> (empty)
 *	    |            |            |           |          ^
 *	    +------------+-> LEAVING  +-----------+-> FAILED + (detach)
 *
 * From ATTACHED through a restart and back: restart.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fit.h"
#include "machine.h"
#include "os/fd.h"

/* "card root (slot 1)" */
#define CARD_FORMAT "card %s (slot %u)"
#define CARD(slot)  (slot)->card.name, (slot)->number

unsigned slots_seen(const struct machine *machine, const struct slot *slot)
{
	return machine->hypervisor.view.slots[slot->number];
}

struct slot *slots_make(struct machine *machine, unsigned number)
{
	struct slot *slot = malloc(sizeof(*slot));

	if (!slot)
		return NULL;
	*slot = (struct slot){.number = number,
			      .watch = WATCH_NONE,
			      .area = AREA_NONE,
			      .bus = LINK_NONE,
			      .commands = LINK_NONE,
			      .task = TASK_IDLE,
			      .kit = KIT_NONE,
			      .old_program = -1,
			      .next_commands = LINK_NONE,
			      .successor = WATCH_NONE};
	machine->slots[number] = slot;
	return slot;
}

void slots_make_empty(struct machine *machine, struct slot *slot)
{
	/* No process is left that uses the rest. */
	watch_free(&slot->watch);
	watch_free(&slot->successor);
	cgroups_end_card(&machine->cgroups, slot->number);
	area_free(&slot->area);
	link_close(&slot->bus);
	link_close(&slot->commands);
	link_close(&slot->next_commands);
	os_close(&slot->task.target);
	clone_free(&slot->task.clone);
	card_spec_free(&slot->card);
	os_close(&slot->kit.program);
	os_close(&slot->kit.store);
	key_free(&slot->kit.key);
	os_close(&slot->old_program);
	machine->slots[slot->number] = NULL;
	free(slot);
}

static unsigned first_empty(const struct machine *machine)
{
	for (unsigned i = 1; i <= COMMAND_MAX_SLOT; i++) {
		if (!machine->slots[i])
			return i;
	}
	return 0;
}

struct slot *slots_find(struct machine *machine, const char *name)
{
	char *end;
	unsigned long number = strtoul(name, &end, 10);

	for (unsigned i = 1; i <= COMMAND_MAX_SLOT; i++) {
		struct slot *slot = machine->slots[i];

		if (slot && !strcmp(slot->card.name, name))
			return slot;
	}
	if (*end || end == name || number < 1 || number > COMMAND_MAX_SLOT)
		return NULL;
	return machine->slots[number];
}

/* Where the card goes and what it is called, when its specification leaves that open. */
static int choose_slot(struct machine *machine, struct card_spec *card, struct error *error)
{
	unsigned number = card->slot ? card->slot : first_empty(machine);

	if (!number)
		return error_set(error, EBUSY, "all %u slots are taken", COMMAND_MAX_SLOT);
	if (machine->slots[number])
		return error_set(error, EBUSY, "slot %u is taken by card %s", number,
				 machine->slots[number]->card.name);
	if (!card->name[0])
		snprintf(card->name, sizeof(card->name), "%s%u", card->kind->name, number);
	if (slots_find(machine, card->name))
		return error_set(error, EEXIST, "there is a card %s already", card->name);
	card->slot = number;
	return 0;
}

int slots_attach(struct machine *machine, struct card_spec *card, uint64_t ticket, bool at_boot,
		 struct error *error)
{
	struct slot *slot = NULL;
	int ret = choose_slot(machine, card, error);

	if (ret == 0) {
		slot = slots_make(machine, card->slot);
		ret = slot ? 0 : error_set(error, ENOMEM, "no memory for a card");
	}
	if (ret < 0) {
		card_spec_close_key(card);
		card_spec_free(card);
		return ret;
	}
	trace_begin(&slot->trace, ticket);
	slot->card = *card;
	*card = (struct card_spec){0};
	ret = fit_card(machine, slot, error);
	if (ret < 0) {
		error_prefix(error, CARD_FORMAT, CARD(slot));
		slots_make_empty(machine, slot);
		return ret;
	}
	trace_reach(&slot->trace, TRACE_STARTED);
	slot->state = SLOT_STARTING;
	slot->deadline = os_now() + MACHINE_READY_DEADLINE;
	slot->ticket = ticket;
	slot->at_boot = at_boot;
	return 0;
}

/* It never came to be of use: whoever waits is told, the program goes. */
static void give_up(struct machine *machine, struct slot *slot, int code, const char *why)
{
	char text[STATUS_TEXT_SIZE + 64];

	snprintf(text, sizeof(text), CARD_FORMAT ": %s", CARD(slot), why);
	machine_answer(machine, &slot->ticket, code, text);
	watch_kill(&slot->watch);
	link_close(&slot->bus);
	slot->state = SLOT_LEAVING;
	slot->deadline = os_now() + MACHINE_LEAVE_DEADLINE;
	if (slot->at_boot)
		machine_fail(machine, text);
	else
		machine_note(machine, "%s", text);
}

void slots_fail(struct machine *machine, struct slot *slot)
{
	char text[STATUS_TEXT_SIZE + 64];

	watch_why(&slot->watch, slot->why, sizeof(slot->why));
	if (!slot->watch.exited && !slot->watch.broken)
		snprintf(slot->why, sizeof(slot->why), "it broke the bus protocol");
	/* On its way back: what counts is why it had to. */
	if (slot->state != SLOT_ATTACHED && slot->death[0])
		snprintf(slot->why, sizeof(slot->why), "%s", slot->death);
	snprintf(text, sizeof(text), CARD_FORMAT " failed: %s", CARD(slot), slot->why);
	machine_note(machine, "%s", text);
	machine_answer(machine, &slot->ticket, EIO, text);
	slot->state = SLOT_FAILED;
	slot->deadline = os_now() + MACHINE_LEAVE_DEADLINE;
	if (machine->state == MACHINE_STARTING)
		machine_fail(machine, text);
}

void slots_leave(struct slot *slot)
{
	slot->state = SLOT_LEAVING;
	slot->deadline = os_now() + MACHINE_LEAVE_DEADLINE;
}

static void turn_starting(struct machine *machine, struct slot *slot, uint64_t now)
{
	const struct watch *watch = &slot->watch;
	char why[STATUS_TEXT_SIZE];

	if (watch->exited || watch->broken || watch->view.state == STATUS_FAILED) {
		watch_why(watch, why, sizeof(why));
		give_up(machine, slot, EIO, why);
	} else if (watch->view.state == STATUS_READY || watch->view.state == STATUS_RUNNING) {
		trace_reach(&slot->trace, TRACE_READY);
		slot->state = SLOT_CONNECTING;
		if (orders_push(machine,
				(struct order){.verb = COMMAND_ATTACH, .slot = slot->number}) < 0)
			give_up(machine, slot, EBUSY, "too many commands wait");
	} else if (now >= slot->deadline) {
		give_up(machine, slot, ETIMEDOUT, "its program did not get ready in time");
	}
}

void slots_attached(struct machine *machine, struct slot *slot, int result, const char *text)
{
	char answer[96];

	if (!slot || slot->state != SLOT_CONNECTING)
		return;
	if (result < 0) {
		char why[STATUS_TEXT_SIZE];

		watch_look(&slot->watch);
		watch_why(&slot->watch, why, sizeof(why));
		give_up(machine, slot, -result, slot->watch.exited ? why : text);
		return;
	}
	trace_reach(&slot->trace, TRACE_PRESENT);
	slot->state = SLOT_ATTACHED;
	slot->was_attached = true;
	snprintf(answer, sizeof(answer), CARD_FORMAT " attached", CARD(slot));
	machine_note(machine, "%s", answer);
	machine_answer(machine, &slot->ticket, 0, answer);
}

/*
 * A card ends by itself when the hypervisor has closed its link, which can be seen a moment before
 * the hypervisor's page says so.
 */
static bool has_died(struct slot *slot, uint64_t now)
{
	if (!slot->watch.exited)
		return slot->watch.broken;
	if (slot->watch.signal || slot->watch.exit_code > 0)
		return true;
	if (!slot->grace)
		slot->grace = now + MACHINE_GRACE;
	return now >= slot->grace;
}

/* The hypervisor has lost it. A link ends a moment before its process does, and how that ended is
 * worth knowing. */
static bool is_lost(const struct machine *machine, struct slot *slot, uint64_t now)
{
	if (slots_seen(machine, slot) != STATUS_SLOT_WAITING) {
		slot->lost = 0;
		return false;
	}
	if (!slot->lost)
		slot->lost = now + MACHINE_LAST_MOMENT;
	return now >= slot->lost;
}

/* A guest that has been asked to let go is not to wait for what it will not use. */
static bool can_return(const struct machine *machine, const struct slot *slot)
{
	return (slot->state == SLOT_ATTACHED || slot->state == SLOT_PREPARING) &&
	       card_outlives_process(&slot->card) &&
	       (machine->state == MACHINE_RUNNING || machine->state == MACHINE_PAUSED);
}

/* A driver that has asked it anything has had an interrupt, or has polled for what it read. */
static void look_for_guest(struct slot *slot)
{
	const uint64_t *counters = slot->watch.view.counters;

	if (counters[STATUS_CARD_INTERRUPTS] || counters[STATUS_CARD_READS])
		trace_reach(&slot->trace, TRACE_TAKEN);
}

/* Common to the states in which the hypervisor has the card. True: the state has changed. */
static bool turn_present(struct machine *machine, struct slot *slot, uint64_t now)
{
	bool died = has_died(slot, now);
	bool lost = is_lost(machine, slot, now);

	if (died)
		watch_look(&machine->hypervisor);
	/* A guest may let go of a card that died before it is seen that it died. */
	if (slots_seen(machine, slot) == STATUS_SLOT_EMPTY && !died)
		slots_leave(slot);
	else if (slots_seen(machine, slot) == STATUS_SLOT_EMPTY)
		slots_fail(machine, slot);
	else if (slots_seen(machine, slot) != STATUS_SLOT_FAILED && can_return(machine, slot) &&
		 (died || lost))
		restart_begin(machine, slot, now);
	else if (died || slots_seen(machine, slot) == STATUS_SLOT_FAILED)
		slots_fail(machine, slot);
	else
		return false;
	return true;
}

static void turn_ejecting(struct machine *machine, struct slot *slot, uint64_t now)
{
	char text[160];

	if (slot->why[0]) { /* has failed before: it only has to be taken out */
		if (slots_seen(machine, slot) == STATUS_SLOT_EMPTY)
			slots_leave(slot);
	} else if (turn_present(machine, slot, now)) {
		return;
	}
	if (slot->state != SLOT_EJECTING || !slot->ticket || now < slot->deadline)
		return;
	snprintf(text, sizeof(text),
		 CARD_FORMAT ": the guest did not let go of it in time; it still may, or use "
			     "--force",
		 CARD(slot));
	machine_answer(machine, &slot->ticket, ETIMEDOUT, text);
}

static void turn_leaving(struct machine *machine, struct slot *slot, uint64_t now)
{
	char text[96];

	if (watch_runs(&slot->watch) && now >= slot->deadline)
		watch_kill(&slot->watch);
	if (watch_runs(&slot->watch) || clone_runs(&slot->task.clone))
		return;
	snprintf(text, sizeof(text), CARD_FORMAT " detached", CARD(slot));
	if (slot->was_attached && machine->state != MACHINE_ENDING)
		machine_note(machine, "%s", text);
	machine_answer(machine, &slot->ticket, 0, text);
	slots_make_empty(machine, slot);
}

/* A card that is out of use still gets its time to end by itself. */
static void turn_failed(struct slot *slot, uint64_t now)
{
	if (watch_runs(&slot->watch) && now >= slot->deadline)
		watch_kill(&slot->watch);
}

static void turn(struct machine *machine, struct slot *slot, uint64_t now)
{
	if (watch_runs(&slot->watch))
		watch_look(&slot->watch);
	restart_reap(slot, now);
	tasks_turn(machine, slot, now);
	switch (slot->state) {
	case SLOT_STARTING:
		turn_starting(machine, slot, now);
		break;
	case SLOT_ATTACHED:
		look_for_guest(slot);
		turn_present(machine, slot, now);
		break;
	case SLOT_PREPARING:
		restart_prepare(machine, slot, now);
		if (slot->state != SLOT_RETURNING)
			turn_present(machine, slot, now);
		break;
	case SLOT_EJECTING:
		turn_ejecting(machine, slot, now);
		break;
	case SLOT_LEAVING:
		turn_leaving(machine, slot, now);
		break;
	case SLOT_AWAY:
	case SLOT_RETURNING:
	case SLOT_RELINKING:
		restart_turn(machine, slot, now);
		break;
	case SLOT_FAILED:
		turn_failed(slot, now);
		break;
	case SLOT_CONNECTING: /* its order has a deadline of its own */
		break;
	}
}

void slots_turn(struct machine *machine, uint64_t now)
{
	for (unsigned i = 1; i <= COMMAND_MAX_SLOT; i++) {
		if (machine->slots[i])
			turn(machine, machine->slots[i], now);
	}
}

/* Which cards can be asked to go, and what is in the way of the others. */
static int check_detach(const struct slot *slot, bool force, struct error *error)
{
	if (slot->ticket && !(slot->state == SLOT_EJECTING && force))
		return error_set(error, EBUSY, CARD_FORMAT ": somebody waits for it already",
				 CARD(slot));
	if (slot->state == SLOT_ATTACHED || slot->state == SLOT_FAILED ||
	    (slot->state == SLOT_EJECTING && force))
		return 0;
	return error_set(error, EBUSY, CARD_FORMAT ": %s", CARD(slot),
			 slot->state == SLOT_EJECTING ? "the guest was asked already; use --force"
						      : "it is on its way in or out, or being "
							"started again");
}

int slots_detach(struct machine *machine, const char *name, bool force, uint64_t timeout,
		 uint64_t ticket, struct error *error)
{
	struct slot *slot = slots_find(machine, name);
	struct order order = {.verb = COMMAND_DETACH};
	int ret;

	if (!slot)
		return error_set(error, ENOENT, "there is no card or taken slot %s", name);
	ret = check_detach(slot, force, error);
	if (ret < 0)
		return ret;
	/* The guest cannot let go of what it cannot talk to. */
	force = force || slot->state == SLOT_FAILED;
	order.slot = slot->number;
	order.flags = force ? COMMAND_DETACH_FORCE : 0;
	if (slots_seen(machine, slot) != STATUS_SLOT_EMPTY && orders_push(machine, order) < 0)
		return error_set(error, EBUSY, CARD_FORMAT ": too many commands wait", CARD(slot));
	/* Who waits for the guest to let go hears that it was not asked any longer. */
	machine_answer(machine, &slot->ticket, ECANCELED, "the card is taken out by force");
	slot->state = SLOT_EJECTING;
	slot->ticket = ticket;
	slot->deadline = os_now() + timeout;
	return 0;
}

void slots_ejecting(struct machine *machine, struct slot *slot, int result, const char *text)
{
	char answer[STATUS_TEXT_SIZE + 64];

	if (!slot || slot->state != SLOT_EJECTING || result == 0)
		return;
	snprintf(answer, sizeof(answer), CARD_FORMAT ": %s", CARD(slot), text);
	machine_answer(machine, &slot->ticket, -result, answer);
	slot->state = slot->why[0] ? SLOT_FAILED : SLOT_ATTACHED;
}

void slots_end(struct machine *machine, uint64_t now)
{
	for (unsigned i = 1; i <= COMMAND_MAX_SLOT; i++) {
		struct slot *slot = machine->slots[i];

		if (!slot)
			continue;
		machine_answer(machine, &slot->ticket, ESHUTDOWN, "the instance has ended");
		link_close(&slot->bus);
		slot->state = SLOT_LEAVING;
		slot->deadline = now + MACHINE_LEAVE_DEADLINE;
	}
}

bool slots_all(const struct machine *machine, enum slot_state state)
{
	for (unsigned i = 1; i <= COMMAND_MAX_SLOT; i++) {
		if (machine->slots[i] && machine->slots[i]->state != state)
			return false;
	}
	return true;
}

bool slots_left(const struct machine *machine)
{
	for (unsigned i = 1; i <= COMMAND_MAX_SLOT; i++) {
		if (machine->slots[i])
			return true;
	}
	return false;
}

bool slots_busy(const struct machine *machine)
{
	for (unsigned i = 1; i <= COMMAND_MAX_SLOT; i++) {
		const struct slot *slot = machine->slots[i];

		/* A guest that has not let go in time may take for ever. */
		if (!slot || (slot->state == SLOT_EJECTING && !slot->ticket))
			continue;
		if (slot->task.step != TASK_NONE || slot->lost ||
		    trace_waits(&slot->trace, os_now()))
			return true;
		if (slot->state != SLOT_ATTACHED && slot->state != SLOT_FAILED)
			return true;
	}
	return false;
}

struct trace *slots_trace(const struct machine *machine, uint64_t ticket)
{
	for (unsigned i = 1; i <= COMMAND_MAX_SLOT; i++) {
		struct slot *slot = machine->slots[i];

		if (slot && slot->trace.begun && slot->trace.ticket == ticket)
			return &slot->trace;
	}
	return NULL;
}

void slots_free(struct machine *machine)
{
	for (unsigned i = 1; i <= COMMAND_MAX_SLOT; i++) {
		if (machine->slots[i])
			slots_make_empty(machine, machine->slots[i]);
	}
}
