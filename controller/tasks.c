/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is done to a card while it is in use, one thing at a time: another size, a snapshot. The
 * card is asked by its command pipe, and answers on its status page.
 *
 *	resize     the store is made longer, RESIZE
 *	snapshot   FREEZE, the store's blocks are shared with a new file, THAW
 *
 * A card that dies in between comes back with the new size, and not frozen. One that does not
 * listen is ended, and comes back in the same way.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fit.h"
#include "machine.h"
#include "os/fd.h"

#define TASK_DEADLINE (5 * NS_PER_S) /* of each step; a guest waits longer for its disk */
#define CARD_FORMAT   "card %s (slot %u)"
#define CARD(slot)    (slot)->card.name, (slot)->number

/* A command is shorter than PIPE_BUF: it is written whole or not at all. A card that has just ended
 * is noticed elsewhere, and so is one that does not read. */
static void ask(struct slot *slot, struct command command)
{
	char bytes[COMMAND_MAX_SIZE];
	ssize_t length;

	command.id = ++slot->last_command;
	length = command_encode(&command, bytes, sizeof(bytes));
	if (length > 0 && write(slot->commands.ours, bytes, (size_t)length) != length)
		watch_kill(&slot->watch);
}

static bool has_answered(const struct slot *slot)
{
	return slot->watch.view.command_done == slot->last_command;
}

static void enter(struct task *task, enum task_step step, uint64_t now)
{
	task->step = step;
	task->deadline = now + TASK_DEADLINE;
}

static void finish(struct machine *machine, struct slot *slot, int code, const char *what)
{
	char text[STATUS_TEXT_SIZE + 64];

	slot->task.step = TASK_NONE;
	os_close(&slot->task.target);
	snprintf(text, sizeof(text), CARD_FORMAT "%s%s", CARD(slot), code ? ": " : " ", what);
	machine_note(machine, "%s", text);
	machine_answer(machine, &slot->ticket, code, text);
}

/* It may have been told already: neither does any harm twice. */
void tasks_adopt(struct slot *slot)
{
	if (slot->task.step == TASK_RESIZING)
		ask(slot, (struct command){.verb = COMMAND_RESIZE, .size = slot->kit.size});
	else if (slot->task.step != TASK_NONE)
		ask(slot, (struct command){.verb = COMMAND_THAW});
	slot->task.step = TASK_NONE;
}

/* ---- another size ---- */

static void turn_resizing(struct machine *machine, struct slot *slot, bool same, uint64_t now)
{
	const struct status_view *view = &slot->watch.view;
	char text[160];

	if (same && !has_answered(slot)) {
		if (now >= slot->task.deadline)
			watch_kill(&slot->watch);
	} else if (same && view->command_result < 0) {
		finish(machine, slot, -view->command_result, view->text);
	} else {
		snprintf(text, sizeof(text), "has %llu bytes now%s",
			 (unsigned long long)slot->kit.size,
			 card_spec_value(&slot->card, CARD_SIZE)
				 ? "; change its size in the specification too, or it has less at "
				   "its next start"
				 : "");
		finish(machine, slot, 0, text);
	}
}

/* ---- a snapshot ---- */

static void thaw(struct slot *slot, int code, const char *text, uint64_t now)
{
	struct task *task = &slot->task;

	task->code = code;
	snprintf(task->text, sizeof(task->text), "%s", text);
	ask(slot, (struct command){.verb = COMMAND_THAW});
	enter(task, TASK_THAWING, now);
}

static void turn_freezing(struct machine *machine, struct slot *slot, uint64_t now)
{
	const struct status_view *view = &slot->watch.view;
	int ret;

	if (!has_answered(slot)) {
		if (now >= slot->task.deadline)
			thaw(slot, ETIMEDOUT, "its disk did not come to rest in time", now);
		return;
	}
	if (view->command_result < 0) {
		finish(machine, slot, -view->command_result, view->text);
		return;
	}
	ret = clone_begin(&slot->task.clone, slot->kit.store, os_steal_fd(&slot->task.target));
	if (ret < 0)
		thaw(slot, -ret, strerror(-ret), now);
	else
		enter(&slot->task, TASK_SHARING, now);
}

static bool cannot_share(int code)
{
	return code == EOPNOTSUPP || code == EXDEV || code == ENOTTY || code == EINVAL;
}

static void turn_sharing(struct slot *slot, uint64_t now)
{
	const struct clone *clone = &slot->task.clone;
	int code;

	if (clone_runs(clone)) {
		if (now >= slot->task.deadline)
			thaw(slot, ETIMEDOUT, "its file system was too slow; try again", now);
		return;
	}
	code = -clone->result;
	thaw(slot, code,
	     cannot_share(code)
		     ? "its file and the snapshot cannot share blocks, which takes one file system "
		       "that knows reflinks (btrfs, XFS); elsewhere stop the instance and use "
		       "`karuta file clone`"
		     : strerror(code),
	     now);
}

static void turn_thawing(struct machine *machine, struct slot *slot, uint64_t now)
{
	uint64_t us = (now - slot->task.since) / 1000;
	char text[96];

	if (!has_answered(slot)) {
		if (now >= slot->task.deadline)
			watch_kill(&slot->watch);
		return;
	}
	snprintf(text, sizeof(text), "was still for %llu.%llu ms: its snapshot is whole",
		 (unsigned long long)(us / 1000), (unsigned long long)(us % 1000 / 100));
	finish(machine, slot, slot->task.code, slot->task.code ? slot->task.text : text);
}

/* What the process that came after did meanwhile may be in the snapshot. */
static void turn_snapshot(struct machine *machine, struct slot *slot, bool same, uint64_t now)
{
	if (!same)
		finish(machine, slot, EIO, "it died meanwhile; try again");
	else if (slot->task.step == TASK_FREEZING)
		turn_freezing(machine, slot, now);
	else if (slot->task.step == TASK_SHARING)
		turn_sharing(slot, now);
	else
		turn_thawing(machine, slot, now);
}

void tasks_turn(struct machine *machine, struct slot *slot, uint64_t now)
{
	bool same = slot->watch.pid == slot->task.pid;

	if (slot->task.step == TASK_NONE)
		return;
	if (slot->state == SLOT_LEAVING || slot->state == SLOT_FAILED)
		finish(machine, slot, EIO, "it is gone");
	else if (slot->state != SLOT_ATTACHED)
		return;
	else if (slot->task.step == TASK_RESIZING)
		turn_resizing(machine, slot, same, now);
	else
		turn_snapshot(machine, slot, same, now);
}

/* ---- what is asked for ---- */

static int find(struct machine *machine, const char *name, struct slot **found, struct error *error)
{
	struct slot *slot = slots_find(machine, name);

	if (machine->unsettled)
		return error_set(error, EBUSY, "the controller was just started again");
	if (!slot)
		return error_set(error, ENOENT, "there is no card or taken slot %s", name);
	if (!slot->card.kind->is_volume || !card_outlives_process(&slot->card))
		return error_set(error, EINVAL,
				 CARD_FORMAT ": only a volume in a file or device %s", CARD(slot),
				 "can be resized, or have snapshots");
	if (slot->ticket)
		return error_set(error, EBUSY, CARD_FORMAT ": somebody waits for it already",
				 CARD(slot));
	if (slot->state != SLOT_ATTACHED)
		return error_set(error, EBUSY, CARD_FORMAT ": it is not in use as it is",
				 CARD(slot));
	*found = slot;
	return 0;
}

static void begin(struct machine *machine, struct slot *slot, enum task_step step,
		  struct command command, uint64_t ticket)
{
	uint64_t now = os_now();

	slot->ticket = ticket;
	slot->task.pid = slot->watch.pid;
	slot->task.since = now;
	enter(&slot->task, step, now);
	machine_remember(machine);
	ask(slot, command);
}

/* In this order: whenever it ends, the card is never larger than its store, and a later process has
 * what the guest may have been told. */
int tasks_resize(struct machine *machine, const char *name, uint64_t size, uint64_t ticket,
		 struct error *error)
{
	struct slot *slot;
	int ret = find(machine, name, &slot, error);

	if (ret < 0)
		return ret;
	ret = fit_grow(machine, slot, size, error);
	if (ret < 0) {
		error_prefix(error, CARD_FORMAT, CARD(slot));
		return ret;
	}
	begin(machine, slot, TASK_RESIZING, (struct command){.verb = COMMAND_RESIZE, .size = size},
	      ticket);
	return 0;
}

int tasks_snapshot(struct machine *machine, const char *name, int target, uint64_t ticket,
		   struct error *error)
{
	CLEANUP_CLOSE int file = target;
	struct slot *slot;
	int ret = find(machine, name, &slot, error);

	if (ret < 0)
		return ret;
	if (clone_runs(&slot->task.clone))
		return error_set(error, EBUSY, CARD_FORMAT ": the last snapshot still is under way",
				 CARD(slot));
	slot->task.target = os_steal_fd(&file);
	begin(machine, slot, TASK_FREEZING, (struct command){.verb = COMMAND_FREEZE}, ticket);
	return 0;
}
