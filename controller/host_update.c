/* SPDX-License-Identifier: Apache-2.0 */
#include "host_update.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "fleet.h"
#include "measure.h"
#include "os/fd.h"
#include "programs.h"
#include "remember.h"

#define SLOTS	      32u
#define BUSY_TIME     (20 * NS_PER_S) /* a card that is being started again gets so long */
#define TURN_PAUSE_MS 2
#define IDLE_PAUSE_MS 1000

static void host_update_record(struct host_update *update, struct record *record)
{
	int step = (int)update->step;

	record_enum(record, "step", &step, HOST_UPDATE_PARTS + 1);
	update->step = (enum host_update_step)step;
	record_bool(record, "whole", &update->whole);
	record_u32(record, "place", &update->place);
	record_u32(record, "updated", &update->updated);
	record_u32(record, "same", &update->same);
	record_u32(record, "left", &update->left);
}

void host_update_remember(struct fleet *fleet)
{
	struct record record;

	if (fleet->update.step == HOST_UPDATE_NONE) {
		keep_drop(keep_key(KEEP_HOST_UPDATE, 0, 0));
		return;
	}
	record_write(&record);
	host_update_record(&fleet->update, &record);
	record_put(&record, keep_key(KEEP_HOST_UPDATE, 0, 0));
	record_free(&record);
}

/* ---- the end ---- */

static void answer_all(struct fleet *fleet, int code, const char *text)
{
	for (size_t i = 0; i < OPERATIONS_MAX; i++) {
		struct operation *operation = &fleet->operations.all[i];

		if (operation->used && !operation->done && operation->wait == OPERATION_HOST)
			fleet_finish(fleet, operation, code, text);
	}
}

static void finish(struct fleet *fleet, int code, const char *text)
{
	fprintf(stderr, "karuta-controller: update of the host: %s\n", text);
	fleet->update = (struct host_update){0};
	answer_all(fleet, code, text);
	host_update_remember(fleet);
}

static void finish_well(struct fleet *fleet)
{
	const struct host_update *update = &fleet->update;
	char text[OPERATION_TEXT];
	size_t used;

	used = (size_t)snprintf(text, sizeof(text), "release %" PRIu64 ": the controller%s",
				programs_host()->release, update->whole ? ", its keeper" : "");
	if (update->whole)
		used += (size_t)snprintf(
			text + used, sizeof(text) - used,
			" and %u hypervisors and cards were updated, %u had it already",
			update->updated, update->same);
	else
		used += (size_t)snprintf(text + used, sizeof(text) - used, " was updated");
	if (update->left)
		snprintf(text + used, sizeof(text) - used,
			 "; %u, which have failed or whose disk is in memory, stay as they are",
			 update->left);
	finish(fleet, 0, text);
}

/* ---- the beginning ---- */

int host_update_begin(struct fleet *fleet, struct operation *operation, bool whole,
		      struct error *error)
{
	struct programs_host host;

	if (fleet->update.step != HOST_UPDATE_NONE)
		return error_set(error, EBUSY, "the host is being updated already");
	if (fleet->ending)
		return error_set(error, ESHUTDOWN, "the controller is about to end");
	if (programs_verify_again(&host, error) < 0)
		return -error->code;
	operation->wait = OPERATION_HOST;
	fleet->update = (struct host_update){
		.step = whole ? HOST_UPDATE_KEEPER : HOST_UPDATE_CONTROLLER, .whole = whole};
	host_update_remember(fleet);
	return 0;
}

static void renew_keeper(struct fleet *fleet)
{
	struct error error = {0};
	CLEANUP_CLOSE int program = programs_open("karuta-keeper", MANIFEST_CONTROLLER, &error);
	int ret = program < 0 ? program : keep_renew(program);

	if (ret < 0) {
		finish(fleet, -ret,
		       program < 0
			       ? error.text
			       : "the new keeper did not get ready; one of the old program goes "
				 "on, and nothing else was updated");
		return;
	}
	fleet->update.step = HOST_UPDATE_CONTROLLER;
	host_update_remember(fleet);
}

/* What this process knows, the keeper has: all of it was remembered at the end of the last turn. */
static void replace_controller(struct fleet *fleet)
{
	struct error error = {0};
	CLEANUP_CLOSE int program = programs_open("karuta-controller", MANIFEST_CONTROLLER, &error);
	int ret = program < 0 ? program : keep_replace(program);

	if (ret < 0)
		finish(fleet, -ret, program < 0 ? error.text : "there is no keeper just now");
	else
		fleet->update.step = HOST_UPDATE_REPLACED;
}

void host_update_adopt(struct fleet *fleet, struct keep_record *from, enum keep_outcome outcome)
{
	struct host_update *update = &fleet->update;
	struct record record;

	record_read(&record, from);
	host_update_record(update, &record);
	if (record.failed)
		*update = (struct host_update){.step = HOST_UPDATE_CONTROLLER};
	record_free(&record);
	if (update->step == HOST_UPDATE_REPLACED)
		update->step = HOST_UPDATE_CONTROLLER;
	if (outcome == KEEP_REPLACED && update->step == HOST_UPDATE_CONTROLLER)
		update->step = HOST_UPDATE_PARTS;
	else if (outcome == KEEP_WENT_BACK)
		finish(fleet, EIO,
		       update->whole ? "the new controller did not get ready; the old one goes on, "
				       "with the new keeper, and nothing else was updated"
				     : "the new controller did not get ready; the old one goes on");
}

void host_update_adopted(struct fleet *fleet)
{
	if (fleet->update.step == HOST_UPDATE_NONE)
		answer_all(
			fleet, EAGAIN,
			"the controller was started again meanwhile; see what has come of it, and "
			"ask again");
}

/* The keeper has died before it has done it. */
void host_update_keeper_lost(struct fleet *fleet)
{
	if (fleet->update.step == HOST_UPDATE_REPLACED)
		fleet->update.step = HOST_UPDATE_CONTROLLER;
}

/* ---- parts ---- */

struct part {
	struct unit *unit;
	struct slot *slot; /* NULL: the hypervisor */
};

static bool find_part(const struct fleet *fleet, uint32_t place, struct part *part)
{
	unsigned number = place % SLOTS;

	part->unit = fleet->units[place / SLOTS];
	if (!part->unit || !part->unit->live)
		return false;
	part->slot = number ? part->unit->machine.slots[number] : NULL;
	return !number || part->slot;
}

static void name_part(const struct part *part, char *text, size_t size)
{
	if (part->slot)
		snprintf(text, size, "card %s of %s", part->slot->card.name, part->unit->name);
	else
		snprintf(text, size, "hypervisor of %s", part->unit->name);
}

/* False also if that cannot be told: what is in the way will be told then. */
static bool is_installed(const struct part *part)
{
	const char *name = part->slot ? part->slot->card.kind->program : "karuta-hypervisor";
	int runs = part->slot ? part->slot->kit.program : part->unit->machine.program;
	struct error error;
	CLEANUP_CLOSE int installed =
		programs_open(name, part->slot ? MANIFEST_CARD : MANIFEST_HYPERVISOR, &error);

	return installed >= 0 && measured_same(runs, installed);
}

/* What is in its memory would be lost, or it is on its way out. */
static bool is_to_stay(const struct slot *slot)
{
	return !card_outlives_process(&slot->card) || slot->state == SLOT_FAILED ||
	       slot->state == SLOT_EJECTING || slot->state == SLOT_LEAVING;
}

static int begin_part(struct fleet *fleet, const struct part *part, struct error *error)
{
	struct machine *machine = &part->unit->machine;

	if (machine->unsettled || machine->state == MACHINE_STARTING)
		return error_set(error, EBUSY, "it is being started");
	fleet->update.ticket = ++fleet->last_ticket;
	if (part->slot)
		return restart_update(machine, part->slot->card.name, NULL, fleet->update.ticket,
				      error);
	return upgrade_begin(machine, NULL, fleet->update.ticket, error);
}

static void part_failed(struct fleet *fleet, int code, const char *why)
{
	struct part part = {0};
	char name[128] = "a part that is gone", text[OPERATION_TEXT];

	if (find_part(fleet, fleet->update.place, &part))
		name_part(&part, name, sizeof(name));
	snprintf(text, sizeof(text),
		 "%s: %s; it is what it was, %u others were updated, and nothing after it", name,
		 why, fleet->update.updated);
	finish(fleet, code, text);
}

static void next_part(struct fleet *fleet)
{
	fleet->update.place++;
	fleet->update.ticket = fleet->update.busy_until = 0;
	host_update_remember(fleet);
}

static void wait_or_fail(struct fleet *fleet, const struct error *error)
{
	struct host_update *update = &fleet->update;
	uint64_t now = os_now();

	update->ticket = 0;
	if (!update->busy_until)
		update->busy_until = now + BUSY_TIME;
	if (error->code != EBUSY || now >= update->busy_until)
		part_failed(fleet, error->code, error->text);
}

static void turn_parts(struct fleet *fleet)
{
	struct host_update *update = &fleet->update;
	struct error error = {0};
	struct part part = {0};

	while (update->place < FLEET_UNITS * SLOTS && !find_part(fleet, update->place, &part))
		update->place++;
	if (!update->whole || update->place == FLEET_UNITS * SLOTS) {
		finish_well(fleet);
	} else if (part.slot && is_to_stay(part.slot)) {
		update->left++;
		next_part(fleet);
	} else if (is_installed(&part)) {
		update->same++;
		next_part(fleet);
	} else if (begin_part(fleet, &part, &error) < 0) {
		wait_or_fail(fleet, &error);
	}
}

bool host_update_answer(struct fleet *fleet, uint64_t ticket, int code, const char *text)
{
	if (!ticket || ticket != fleet->update.ticket)
		return false;
	/* The instance has ended, or the card was taken out: there is nothing left to update. */
	if (code && code != ESHUTDOWN && code != ECANCELED) {
		part_failed(fleet, code, text);
		return true;
	}
	fleet->update.updated += code == 0;
	next_part(fleet);
	return true;
}

int host_update_turn(struct fleet *fleet)
{
	const struct host_update *update = &fleet->update;

	if (update->step == HOST_UPDATE_NONE)
		return IDLE_PAUSE_MS;
	if (fleet->ending)
		finish(fleet, ESHUTDOWN, "the controller is about to end");
	else if (update->step == HOST_UPDATE_KEEPER)
		renew_keeper(fleet);
	else if (update->step == HOST_UPDATE_CONTROLLER)
		replace_controller(fleet);
	else if (update->step == HOST_UPDATE_PARTS && !update->ticket)
		turn_parts(fleet);
	return TURN_PAUSE_MS;
}
