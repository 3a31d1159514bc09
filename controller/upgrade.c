/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fit.h"
#include "machine.h"
#include "os/fd.h"
#include "programs.h"

#define LEAVE_DEADLINE (2 * NS_PER_S)	 /* the one that has handed over ends */
#define REFUSAL_GRACE  (200 * NS_PER_MS) /* the one that cannot be met is seen to have ended */

static void forget(struct upgrade *upgrade)
{
	watch_free(&upgrade->other);
	link_close(&upgrade->between);
	link_close(&upgrade->commands);
	link_close(&upgrade->descriptors);
	os_close(&upgrade->program);
	upgrade->step = UPGRADE_NONE;
	upgrade->refusal[0] = '\0';
}

static void give_up(struct machine *machine, int code, const char *why)
{
	char text[STATUS_TEXT_SIZE + 96];

	snprintf(text, sizeof(text), "the hypervisor is not updated: %s", why);
	forget(&machine->upgrade);
	machine_note(machine, "%s", text);
	machine_answer(machine, &machine->upgrade.ticket, code, text);
}

/* A card that is on its way in or out is not to find its slot with another program. */
static const struct slot *unsettled(const struct machine *machine)
{
	for (unsigned i = 1; i <= COMMAND_MAX_SLOT; i++) {
		const struct slot *slot = machine->slots[i];

		if (slot && slot->state != SLOT_ATTACHED && slot->state != SLOT_EJECTING &&
		    slot->state != SLOT_FAILED)
			return slot;
	}
	return NULL;
}

static int check(const struct machine *machine, struct error *error)
{
	const struct slot *slot = unsettled(machine);

	if (machine->upgrade.ticket)
		return error_set(error, EBUSY, "the hypervisor is being updated already");
	if (slot)
		return error_set(error, EBUSY, "card %s (slot %u): it is not in use as it is",
				 slot->card.name, slot->number);
	return 0;
}

int upgrade_begin(struct machine *machine, const char *path, uint64_t ticket, struct error *error)
{
	static const char program[] = "karuta-hypervisor";
	struct upgrade *upgrade = &machine->upgrade;
	CLEANUP_CLOSE int file = -1;
	int ret = check(machine, error);

	if (ret < 0)
		return ret;
	file = path ? programs_open_path(path, program, MANIFEST_HYPERVISOR, error)
		    : programs_open(program, MANIFEST_HYPERVISOR, error);
	if (file < 0)
		return file;
	/* Of an update before this one, if it still takes its leave. */
	forget(upgrade);
	ret = fit_hypervisor_beside(machine, file, error);
	if (ret == 0 && orders_push(machine, (struct order){.verb = COMMAND_MEET}) < 0)
		ret = error_set(error, EBUSY, "too many commands wait");
	if (ret < 0) {
		forget(upgrade);
		return ret;
	}
	upgrade->step = UPGRADE_PREPARING;
	upgrade->program = os_steal_fd(&file);
	upgrade->ticket = ticket;
	upgrade->deadline = os_now() + MACHINE_READY_DEADLINE;
	return 0;
}

void upgrade_met(struct machine *machine, int result, const char *text)
{
	struct upgrade *upgrade = &machine->upgrade;

	if (upgrade->step != UPGRADE_PREPARING || result == 0)
		return;
	/* As a rule since the other one has ended, which says more. */
	snprintf(upgrade->refusal, sizeof(upgrade->refusal), "%s", text);
	upgrade->deadline = os_now() + REFUSAL_GRACE;
}

/* The other one is the hypervisor from now on. */
static void change_over(struct machine *machine, uint64_t now)
{
	struct upgrade *upgrade = &machine->upgrade;
	struct error error = {0};

	upgrade->step = UPGRADE_LEAVING;
	upgrade->deadline = now + LEAVE_DEADLINE;
	/* What the first one was asked, the other one has not heard. */
	if (machine->unsettled)
		machine->orders.under_way = false;
	link_close(&upgrade->between);
	link_close(&machine->commands);
	machine->commands = upgrade->commands;
	upgrade->commands = LINK_NONE;
	link_close(&machine->descriptors);
	machine->descriptors = upgrade->descriptors;
	upgrade->descriptors = LINK_NONE;
	os_close(&machine->program);
	machine->program = os_steal_fd(&upgrade->program);
	if (watch_swap(&machine->hypervisor, &upgrade->other, &error) < 0)
		machine_fail(machine, error.text);
}

bool upgrade_succeeds(struct machine *machine, uint64_t now)
{
	const struct watch *first = &machine->hypervisor;

	/* A guest may power off in the very moment. How one has ended that another controller has
	 * started is not always known. */
	if (machine->upgrade.step != UPGRADE_HANDING || first->exit_code > 0 || first->signal ||
	    first->view.state == STATUS_ENDED)
		return false;
	change_over(machine, now);
	/* If it has ended as well, it is the one to say why. */
	return watch_runs(&machine->hypervisor);
}

void upgrade_handed(struct machine *machine, int result, const char *text)
{
	struct upgrade *upgrade = &machine->upgrade;
	char answer[STATUS_TEXT_SIZE + 96];

	if (result < 0) {
		/* What the other one has said last is nearer to the cause. */
		give_up(machine, -result,
			watch_words(&upgrade->other, answer, sizeof(answer)) ? answer : text);
		return;
	}
	if (upgrade->step == UPGRADE_HANDING)
		change_over(machine, os_now());
	snprintf(answer, sizeof(answer), "instance %s goes on after %s", machine->instance->name,
		 text);
	machine_note(machine, "%s", answer);
	machine_answer(machine, &upgrade->ticket, 0, answer);
}

static void turn_preparing(struct machine *machine, uint64_t now)
{
	struct upgrade *upgrade = &machine->upgrade;
	bool is_ready = machine->hypervisor.view.standing_by && !upgrade->refusal[0];
	char why[STATUS_TEXT_SIZE];

	if (upgrade->other.exited) {
		watch_why(&upgrade->other, why, sizeof(why));
		give_up(machine, EIO, why);
	} else if (is_ready && !machine->orders.count && !unsettled(machine)) {
		/* The queue is empty. */
		orders_push(machine, (struct order){.verb = COMMAND_HAND_OVER});
		upgrade->step = UPGRADE_HANDING;
	} else if (now >= upgrade->deadline) {
		give_up(machine, is_ready ? EBUSY : EIO,
			upgrade->refusal[0] ? upgrade->refusal
			: is_ready ? "a card is on its way in or out, or being started again"
				   : "the new program did not get ready in time");
	}
}

static void turn_leaving(struct machine *machine, uint64_t now)
{
	struct upgrade *upgrade = &machine->upgrade;

	if (!watch_runs(&upgrade->other))
		forget(upgrade);
	else if (now >= upgrade->deadline)
		watch_kill(&upgrade->other);
}

void upgrade_turn(struct machine *machine, uint64_t now)
{
	if (machine->upgrade.step == UPGRADE_PREPARING)
		turn_preparing(machine, now);
	else if (machine->upgrade.step == UPGRADE_LEAVING)
		turn_leaving(machine, now);
}

bool upgrade_is_busy(const struct machine *machine)
{
	return machine->upgrade.step != UPGRADE_NONE;
}

void upgrade_adopt(struct machine *machine)
{
	if (machine->upgrade.step != UPGRADE_LEAVING)
		forget(&machine->upgrade);
}

void upgrade_end(struct machine *machine)
{
	forget(&machine->upgrade);
	machine_answer(machine, &machine->upgrade.ticket, ESHUTDOWN, "the instance has ended");
}
