/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A card whose program has ended is started again on the same state area and linked in the place of
 * the old one, while the hypervisor lets the guest wait. The same way leads to another program.
 *
 *	ATTACHED -> AWAY -> RETURNING -> RELINKING -> ATTACHED
 *	  |  ^       ^       ^ |           |
 *	  v  |       +-------|-+-----------+
 *	PREPARING -----------+
 *
 * The other program is started beside the one that runs and does all that takes long; what is left
 * for the guest to wait for is the end of the one and the last step of the other. A program that
 * does not get that far, or cannot read the state, changes nothing.
 *
 * Whatever else goes wrong counts as another death. After too many nothing is started any more; the
 * hypervisor gives up then, as it does when all of this takes too long, and says FAILED.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "fit.h"
#include "machine.h"
#include "os/fd.h"
#include "programs.h"

#define STOP_DEADLINE	(2 * NS_PER_S) /* a card that was asked to end finishes its writes */
#define UPDATE_DEADLINE (3 * NS_PER_S) /* leaves time to go back to the old program */
#define NEVER		UINT64_MAX
#define CARD_FORMAT	"card %s (slot %u)"
#define CARD(slot)	(slot)->card.name, (slot)->number

static const uint64_t pauses[] = {0, 10 * NS_PER_MS, 100 * NS_PER_MS, NS_PER_S};

static unsigned recent_deaths(const struct slot *slot, uint64_t now)
{
	unsigned count = 0;

	for (unsigned i = 0; i < RESTARTS_MAX; i++)
		count += slot->deaths[i] && now - slot->deaths[i] < RESTARTS_WINDOW;
	return count;
}

static void go_away(struct slot *slot, uint64_t restart_at)
{
	watch_kill(&slot->watch);
	link_close(&slot->bus);
	slot->state = SLOT_AWAY;
	slot->restart_at = restart_at;
	slot->lost = 0;
}

static void note_death(struct machine *machine, struct slot *slot, const char *why, uint64_t now)
{
	unsigned deaths = recent_deaths(slot, now);

	snprintf(slot->death, sizeof(slot->death), "%s", why);
	if (deaths >= RESTARTS_MAX) {
		machine_note(machine, CARD_FORMAT ": %s; it died too often to be started again",
			     CARD(slot), why);
		go_away(slot, NEVER);
		return;
	}
	machine_note(machine, CARD_FORMAT ": %s; it is started again", CARD(slot), why);
	slot->deaths[slot->death_count++ % RESTARTS_MAX] = now;
	go_away(slot, now + pauses[min_u64(deaths, ARRAY_LEN(pauses) - 1)]);
}

static void forget_successor(struct slot *slot)
{
	watch_free(&slot->successor);
	link_close(&slot->bus);
	link_close(&slot->next_commands);
}

void restart_drop_update(struct machine *machine, struct slot *slot, const char *why)
{
	char text[STATUS_TEXT_SIZE + 96];

	forget_successor(slot);
	os_close(&slot->kit.program);
	slot->kit.program = os_steal_fd(&slot->old_program);
	slot->state = SLOT_ATTACHED;
	snprintf(text, sizeof(text), CARD_FORMAT ": not updated: %s", CARD(slot), why);
	machine_note(machine, "%s", text);
	machine_answer(machine, &slot->ticket, EIO, text);
}

void restart_begin(struct machine *machine, struct slot *slot, uint64_t now)
{
	char why[STATUS_TEXT_SIZE] = "it broke the bus protocol or did not answer";

	if (slot->watch.exited || slot->watch.broken)
		watch_why(&slot->watch, why, sizeof(why));
	slot->away_since = now;
	slot->grace = 0;
	if (slot->state == SLOT_PREPARING)
		restart_drop_update(machine, slot, "the card died meanwhile and is started again");
	note_death(machine, slot, why, now);
}

/* ---- the way back ---- */

/* The other program is not to be: what was there before goes on. */
static void go_back(struct machine *machine, struct slot *slot, const char *why, uint64_t now)
{
	char text[STATUS_TEXT_SIZE + 96];

	snprintf(text, sizeof(text),
		 CARD_FORMAT ": the new program is of no use: %s; the old one "
			     "goes on",
		 CARD(slot), why);
	machine_note(machine, "%s", text);
	machine_answer(machine, &slot->ticket, EIO, text);
	os_close(&slot->kit.program);
	slot->kit.program = os_steal_fd(&slot->old_program);
	go_away(slot, now);
}

static void did_not_return(struct machine *machine, struct slot *slot, const char *why,
			   uint64_t now)
{
	if (slot->old_program >= 0)
		go_back(machine, slot, why, now);
	else
		note_death(machine, slot, why, now);
}

static void turn_away(struct machine *machine, struct slot *slot, uint64_t now)
{
	struct error error = {0};

	if (watch_runs(&slot->watch) || watch_runs(&slot->successor) || now < slot->restart_at)
		return;
	if (fit_card_again(machine, slot, &error) < 0) {
		did_not_return(machine, slot, error.text, now);
		return;
	}
	slot->state = SLOT_RETURNING;
	slot->deadline = now + (slot->old_program >= 0 ? UPDATE_DEADLINE : MACHINE_READY_DEADLINE);
}

/* The hypervisor did not take it: that says little if it has died, which is seen a moment later. */
static void turn_refused(struct machine *machine, struct slot *slot, uint64_t now)
{
	const struct watch *watch = &slot->watch;
	char why[STATUS_TEXT_SIZE];

	if (!watch->exited && now < slot->lost)
		return;
	snprintf(why, sizeof(why), "%s", slot->death);
	if (watch->exited && (watch->signal || watch->exit_code > 0))
		watch_why(watch, why, sizeof(why));
	did_not_return(machine, slot, why, now);
}

static void turn_returning(struct machine *machine, struct slot *slot, uint64_t now)
{
	const struct watch *watch = &slot->watch;
	char why[STATUS_TEXT_SIZE];

	if (slot->lost) {
		turn_refused(machine, slot, now);
		return;
	}
	/* Until the new one is on it, the page is the old one's. */
	if (watch->view.standing_by && !watch->exited && now < slot->deadline)
		return;
	if (watch->exited || watch->broken || watch->view.state == STATUS_FAILED) {
		watch_why(watch, why, sizeof(why));
		did_not_return(machine, slot, why, now);
	} else if (watch->view.state == STATUS_READY || watch->view.state == STATUS_RUNNING) {
		slot->state = SLOT_RELINKING;
		if (orders_push(machine,
				(struct order){.verb = COMMAND_RELINK, .slot = slot->number}) < 0)
			did_not_return(machine, slot, "too many commands wait", now);
	} else if (now >= slot->deadline) {
		did_not_return(machine, slot, "its program did not get ready in time", now);
	}
}

void restart_relinked(struct machine *machine, struct slot *slot, int result, const char *text)
{
	uint64_t now = os_now(), us;
	char answer[128];

	if (!slot || slot->state != SLOT_RELINKING)
		return;
	if (result < 0) {
		snprintf(slot->death, sizeof(slot->death), "%s", text);
		slot->state = SLOT_RETURNING;
		slot->lost = now + MACHINE_LAST_MOMENT;
		return;
	}
	slot->state = SLOT_ATTACHED;
	slot->death[0] = '\0';
	os_close(&slot->old_program);
	us = (now - slot->away_since) / 1000;
	snprintf(answer, sizeof(answer), CARD_FORMAT " goes on after %llu.%llu ms", CARD(slot),
		 (unsigned long long)(us / 1000), (unsigned long long)(us % 1000 / 100));
	machine_note(machine, "%s", answer);
	if (slot->task.step == TASK_NONE)
		machine_answer(machine, &slot->ticket, 0, answer);
}

void restart_turn(struct machine *machine, struct slot *slot, uint64_t now)
{
	unsigned seen = slots_seen(machine, slot);

	if (seen == STATUS_SLOT_EMPTY || seen == STATUS_SLOT_FAILED) {
		link_close(&slot->bus);
		machine_answer(machine, &slot->ticket, ECANCELED,
			       "the card is not in use any more");
		/* A guest may let go so soon that FAILED was not seen. */
		if (seen == STATUS_SLOT_EMPTY && slot->restart_at != NEVER)
			slots_leave(slot);
		else
			slots_fail(machine, slot);
	} else if (slot->state == SLOT_AWAY) {
		turn_away(machine, slot, now);
	} else if (slot->state == SLOT_RETURNING) {
		turn_returning(machine, slot, now);
	}
}

/* ---- another program ---- */

static int check_update(const struct machine *machine, const struct slot *slot, struct error *error)
{
	if (machine->state != MACHINE_RUNNING && machine->state != MACHINE_PAUSED)
		return error_set(error, EBUSY, "the instance does not run");
	if (!card_outlives_process(&slot->card))
		return error_set(error, EINVAL, CARD_FORMAT ": what is in its memory would be lost",
				 CARD(slot));
	if (slot->ticket)
		return error_set(error, EBUSY, CARD_FORMAT ": somebody waits for it already",
				 CARD(slot));
	if (slot->state != SLOT_ATTACHED)
		return error_set(error, EBUSY, CARD_FORMAT ": it is not in use as it is",
				 CARD(slot));
	return 0;
}

/* From here on the one that stands by goes on as soon as the other has stopped, however that may
 * come about. */
static void change_over(struct machine *machine, struct slot *slot, uint64_t now)
{
	struct error error = {0};
	int ret = watch_swap(&slot->watch, &slot->successor, &error);

	link_close(&slot->commands);
	slot->commands = slot->next_commands;
	slot->next_commands = LINK_NONE;
	watch_stop(&slot->successor);
	slot->state = SLOT_RETURNING;
	slot->away_since = now;
	slot->stop_by = now + STOP_DEADLINE;
	slot->deadline = now + UPDATE_DEADLINE;
	if (ret < 0)
		did_not_return(machine, slot, error.text, now);
}

void restart_reap(struct slot *slot, uint64_t now)
{
	struct watch *old = &slot->successor;

	if (!old->pid || slot->state == SLOT_PREPARING)
		return;
	if (!watch_runs(old))
		watch_free(old);
	else if (now >= slot->stop_by)
		watch_kill(old);
}

void restart_prepare(struct machine *machine, struct slot *slot, uint64_t now)
{
	unsigned seen = slots_seen(machine, slot);
	char why[STATUS_TEXT_SIZE];

	if (seen == STATUS_SLOT_EMPTY || seen == STATUS_SLOT_FAILED) {
		restart_drop_update(machine, slot, "the card is not in use any more");
	} else if (slot->successor.exited) {
		watch_why(&slot->successor, why, sizeof(why));
		restart_drop_update(machine, slot, why);
	} else if (slot->watch.view.standing_by) {
		change_over(machine, slot, now);
	} else if (now >= slot->deadline) {
		restart_drop_update(machine, slot, "the new program did not get ready in time");
	}
}

int restart_update(struct machine *machine, const char *name, const char *path, uint64_t ticket,
		   struct error *error)
{
	struct slot *slot = slots_find(machine, name);
	const char *program;
	int ret, file;

	if (!slot)
		return error_set(error, ENOENT, "there is no card or taken slot %s", name);
	ret = check_update(machine, slot, error);
	if (ret < 0)
		return ret;
	program = slot->card.kind->program;
	file = path ? programs_open_path(path, program, MANIFEST_CARD, error)
		    : programs_open(program, MANIFEST_CARD, error);
	if (file < 0)
		return file;
	/* Of an update before this one, if it still takes its leave: it has nothing left to do. */
	watch_free(&slot->successor);
	slot->old_program = slot->kit.program;
	slot->kit.program = file;
	ret = fit_successor(machine, slot, error);
	if (ret < 0) {
		forget_successor(slot);
		os_close(&slot->kit.program);
		slot->kit.program = os_steal_fd(&slot->old_program);
		return ret;
	}
	slot->ticket = ticket;
	slot->state = SLOT_PREPARING;
	slot->deadline = os_now() + MACHINE_READY_DEADLINE;
	return 0;
}
