/* SPDX-License-Identifier: Apache-2.0 */
#include "fleet.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "report.h"

#define IDLE_PAUSE_MS 1000

/* User ids of the instances of a host: 64 each. Those of `run` are by its process (launch.c). */
#define UID_BASE 0x6e000000u

void fleet_finish(struct fleet *fleet, struct operation *operation, int code, const char *text)
{
	struct audit_record record = {.of = operation->line, .code = code, .text = text};
	struct error error = {0};

	/* What was done cannot be undone because it cannot be written down. */
	if (operation->line && audit_write(&fleet->audit, &record, &error) < 0)
		fprintf(stderr, "karuta-controller: %s: %s\n", text, error.text);
	operation_finish(operation, code, text);
	fleet->answered(fleet->context, operation);
}

uint64_t fleet_wait(struct unit *unit, struct operation *operation, enum operation_wait wait)
{
	operation->unit = unit;
	operation->wait = wait;
	operation->ticket = ++unit->fleet->last_ticket;
	return operation->ticket;
}

/* All that wait for this of the unit. */
static void finish_waiting(struct unit *unit, enum operation_wait wait, int code, const char *text)
{
	struct operations *operations = &unit->fleet->operations;

	for (size_t i = 0; i < OPERATIONS_MAX; i++) {
		struct operation *operation = &operations->all[i];

		if (operation->used && !operation->done && operation->unit == unit &&
		    operation->wait == wait)
			fleet_finish(unit->fleet, operation, code, text);
	}
}

/* machine_answer_fn */
static void on_answer(void *context, uint64_t ticket, int code, const char *text)
{
	struct unit *unit = context;
	struct operations *operations = &unit->fleet->operations;

	for (size_t i = 0; i < OPERATIONS_MAX; i++) {
		struct operation *operation = &operations->all[i];

		if (operation->used && !operation->done && operation->ticket == ticket &&
		    operation->wait == OPERATION_TICKET)
			fleet_finish(unit->fleet, operation, code, text);
	}
}

/* ---- units ---- */

struct unit *fleet_find_any(struct fleet *fleet, const char *name)
{
	for (unsigned i = 0; i < FLEET_UNITS; i++) {
		if (fleet->units[i] && !strcmp(fleet->units[i]->name, name))
			return fleet->units[i];
	}
	return NULL;
}

struct unit *fleet_find(struct fleet *fleet, const char *name, struct error *error)
{
	struct unit *unit = fleet_find_any(fleet, name);

	if (unit && unit->live)
		return unit;
	if (unit)
		error_set(error, ESRCH, "instance %s has ended: %s", name, unit->outcome);
	else
		error_set(error, ESRCH, "there is no instance %s", name);
	return NULL;
}

/* A free place, or that of the instance that ended first. */
static int find_place(const struct fleet *fleet)
{
	int found = -1;

	for (int i = 0; i < (int)FLEET_UNITS; i++) {
		const struct unit *unit = fleet->units[i];

		if (!unit)
			return i;
		if (!unit->live && (found < 0 || unit->ended < fleet->units[found]->ended))
			found = i;
	}
	return found;
}

static int check_place(struct fleet *fleet, const struct instance *instance, unsigned *index,
		       struct error *error)
{
	const struct unit *same = fleet_find_any(fleet, instance->name);
	int place = same ? (int)same->index : find_place(fleet);

	if (fleet->ending)
		return error_set(error, ESHUTDOWN, "the controller is about to end");
	if (same && same->live)
		return error_set(error, EEXIST, "there is an instance %s already", instance->name);
	if (place < 0)
		return error_set(error, EBUSY, "there are %u instances already", FLEET_UNITS);
	*index = (unsigned)place;
	return 0;
}

static void close_keys(struct instance *instance)
{
	for (size_t i = 0; i < instance->card_count; i++) {
		if (instance->cards[i].kind)
			card_spec_close_key(&instance->cards[i]);
	}
}

static void discard(struct instance *instance)
{
	close_keys(instance);
	instance_free(instance);
}

int fleet_launch(struct fleet *fleet, struct instance *instance, struct operation *operation,
		 struct error *error)
{
	unsigned index = 0;
	int ret = check_place(fleet, instance, &index, error);
	struct unit *unit = ret == 0 ? calloc(1, sizeof(*unit)) : NULL;

	if (!unit) {
		discard(instance);
		return ret ? ret : error_set(error, ENOMEM, "out of memory");
	}
	*unit = (struct unit){.fleet = fleet, .index = index, .live = true, .instance = *instance};
	*instance = (struct instance){0};
	snprintf(unit->name, sizeof(unit->name), "%s", unit->instance.name);
	ret = machine_launch(&unit->machine, &unit->instance,
			     UID_BASE + index * LAUNCH_USERS_PER_INSTANCE, fleet->loop, on_answer,
			     unit, error);
	if (ret < 0) {
		discard(&unit->instance);
		free(unit);
		return ret;
	}
	free(fleet->units[index]);
	fleet->units[index] = unit;
	fleet_wait(unit, operation, OPERATION_RUNNING);
	return 0;
}

static void end_unit(struct unit *unit)
{
	struct machine *machine = &unit->machine;

	unit->exit_code = machine->exit_code;
	snprintf(unit->outcome, sizeof(unit->outcome), "%s", machine->outcome);
	unit->ended = os_now();
	unit->live = false;
	finish_waiting(unit, OPERATION_RUNNING, EIO, unit->outcome);
	finish_waiting(unit, OPERATION_TICKET, ESHUTDOWN, "the instance has ended");
	finish_waiting(unit, OPERATION_END, 0, unit->outcome);
	machine_free(machine);
	instance_free(&unit->instance);
}

static int turn_unit(struct unit *unit)
{
	int pause = machine_turn(&unit->machine);
	char text[INSTANCE_NAME_MAX + 32];

	if (unit->machine.state == MACHINE_RUNNING) {
		snprintf(text, sizeof(text), "instance %s runs", unit->name);
		finish_waiting(unit, OPERATION_RUNNING, 0, text);
	}
	if (unit->machine.state == MACHINE_ENDED)
		end_unit(unit);
	return pause;
}

int fleet_turn(struct fleet *fleet)
{
	int pause = IDLE_PAUSE_MS;

	operations_turn(&fleet->operations, os_now());
	for (unsigned i = 0; i < FLEET_UNITS; i++) {
		if (fleet->units[i] && fleet->units[i]->live)
			pause = (int)min_u64((uint64_t)pause, (uint64_t)turn_unit(fleet->units[i]));
	}
	return pause;
}

void fleet_stop(struct fleet *fleet, bool force)
{
	fleet->ending = true;
	for (unsigned i = 0; i < FLEET_UNITS; i++) {
		struct unit *unit = fleet->units[i];

		if (!unit || !unit->live)
			continue;
		if (force || unit->machine.state != MACHINE_RUNNING ||
		    orders_push(&unit->machine, (struct order){.verb = COMMAND_SHUTDOWN}) < 0)
			machine_kill(&unit->machine);
	}
}

bool fleet_is_empty(const struct fleet *fleet)
{
	for (unsigned i = 0; i < FLEET_UNITS; i++) {
		if (fleet->units[i] && fleet->units[i]->live)
			return false;
	}
	return true;
}

void fleet_free(struct fleet *fleet)
{
	for (unsigned i = 0; i < FLEET_UNITS; i++) {
		if (fleet->units[i] && fleet->units[i]->live) {
			machine_free(&fleet->units[i]->machine);
			instance_free(&fleet->units[i]->instance);
		}
		free(fleet->units[i]);
	}
	audit_close(&fleet->audit);
}

/* ---- what there is ---- */

json_t *fleet_status(const struct unit *unit)
{
	json_t *report;

	if (!unit->live)
		return json_pack("{s:s,s:s,s:s,s:i}", "name", unit->name, "state", "ended", "text",
				 unit->outcome, "exit", unit->exit_code);
	report = report_make(&unit->machine);
	json_object_del(report, "code");
	return report;
}

static json_t *brief(const struct unit *unit)
{
	json_t *report = fleet_status(unit);

	json_object_del(report, "counters");
	json_object_del(report, "cards");
	return report;
}

json_t *fleet_list(const struct fleet *fleet)
{
	json_t *list = json_array();

	for (unsigned i = 0; list && i < FLEET_UNITS; i++) {
		if (fleet->units[i])
			json_array_append_new(list, brief(fleet->units[i]));
	}
	return json_pack("{s:o}", "instances", list);
}
