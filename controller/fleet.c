/* SPDX-License-Identifier: Apache-2.0 */
#include "fleet.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adopt.h"
#include "base/base.h"
#include "programs.h"
#include "remember.h"
#include "report.h"

#define IDLE_PAUSE_MS 1000

void fleet_finish(struct fleet *fleet, struct operation *operation, int code, const char *text)
{
	struct audit_record record = {.of = operation->line, .code = code, .text = text};
	struct error error = {0};

	/* What was done cannot be undone because it cannot be written down. */
	if (operation->line && audit_write(&fleet->audit, &record, &error) < 0)
		fprintf(stderr, "karuta-controller: %s: %s\n", text, error.text);
	operation_finish(operation, code, text);
	remember_operation(fleet, operation);
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

void fleet_remember(void *context)
{
	remember_unit(context);
}

void fleet_answer_start(struct unit *unit, int code, const char *text)
{
	finish_waiting(unit, OPERATION_RUNNING, code, text);
}

/* How a card has come to be there is part of the answer. */
static void take_trace(const struct unit *unit, struct operation *operation)
{
	const struct trace *trace = slots_trace(&unit->machine, operation->ticket);

	if (trace)
		operation->trace = *trace;
}

void fleet_answer(void *context, uint64_t ticket, int code, const char *text)
{
	struct unit *unit = context;
	struct operations *operations = &unit->fleet->operations;

	if (host_update_answer(unit->fleet, ticket, code, text) ||
	    snapshots_answer(unit->fleet, ticket, code, text))
		return;
	for (size_t i = 0; i < OPERATIONS_MAX; i++) {
		struct operation *operation = &operations->all[i];

		if (!operation->used || operation->done || operation->ticket != ticket ||
		    operation->wait != OPERATION_TICKET)
			continue;
		if (!code)
			take_trace(unit, operation);
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

/* Nothing is lost when its place is used. */
static bool is_over(const struct unit *unit)
{
	return !unit->live && !unit->entry.spec;
}

/* A free place, or that of the instance that ended first. */
static int find_place(const struct fleet *fleet)
{
	int found = -1;

	for (int i = 0; i < (int)FLEET_UNITS; i++) {
		const struct unit *unit = fleet->units[i];

		if (!unit)
			return i;
		if (is_over(unit) && (found < 0 || unit->ended < fleet->units[found]->ended))
			found = i;
	}
	return found;
}

static int check_place(struct fleet *fleet, const char *name, unsigned *index, struct error *error)
{
	const struct unit *same = fleet_find_any(fleet, name);
	int place = same ? (int)same->index : find_place(fleet);

	if (fleet->ending)
		return error_set(error, ESHUTDOWN, "the controller is about to end");
	if (same && (same->live || same->wait == UNIT_RESTARTS))
		return error_set(error, EEXIST, "there is an instance %s already", name);
	if (place < 0)
		return error_set(error, EBUSY,
				 "there are %u instances already; forget one that does not run",
				 FLEET_UNITS);
	*index = (unsigned)place;
	return 0;
}

static struct unit *make_unit(struct fleet *fleet, unsigned index, const char *name)
{
	struct unit *unit = calloc(1, sizeof(*unit));

	if (!unit)
		return NULL;
	unit->fleet = fleet;
	unit->index = index;
	snprintf(unit->name, sizeof(unit->name), "%s", name);
	return unit;
}

static void free_unit(struct unit *unit)
{
	if (!unit)
		return;
	if (unit->live) {
		machine_free(&unit->machine);
		instance_free(&unit->instance);
	}
	console_rest_free(&unit->console);
	keyring_free(&unit->keys);
	book_entry_free(&unit->entry);
	book_entry_free(&unit->before);
	free(unit);
}

struct unit *fleet_add_unit(struct fleet *fleet, unsigned index, const char *name)
{
	fleet->units[index] = make_unit(fleet, index, name);
	return fleet->units[index];
}

/* With nobody if `unit` is NULL. */
static void replace_unit(struct fleet *fleet, unsigned index, struct unit *unit)
{
	struct unit *old = fleet->units[index];

	remember_no_unit(fleet, index);
	for (int wait = OPERATION_TICKET; old && wait <= OPERATION_SNAPSHOT; wait++)
		finish_waiting(old, (enum operation_wait)wait, ESHUTDOWN,
			       "the instance is there no longer");
	free_unit(old);
	fleet->units[index] = unit;
}

/* ---- orders ---- */

static int fill_unit(struct unit *unit, const char *spec, size_t length, struct error *error)
{
	const struct book_entry entry = {.spec = (char *)(uintptr_t)spec, .length = length};
	int ret = book_entry_copy(&unit->entry, &entry);

	memcpy(unit->entry.name, unit->name, sizeof(unit->entry.name));
	return ret < 0 ? error_set(error, ENOMEM, "out of memory") : 0;
}

/* What the book says of the one whose place it is; NULL: nothing. */
static const struct book_entry *entry_at(const struct fleet *fleet, unsigned index)
{
	const struct unit *unit = fleet->units[index];

	return unit && unit->entry.spec ? &unit->entry : NULL;
}

int fleet_launch(struct fleet *fleet, struct instance *instance, const char *spec, size_t length,
		 struct keyring *keys, struct operation *operation, struct error *error)
{
	unsigned index = 0;
	int ret = check_place(fleet, instance->name, &index, error);
	struct unit *unit = ret == 0 ? make_unit(fleet, index, instance->name) : NULL;

	if (!unit) {
		keyring_free(keys);
		instance_free(instance);
		return ret ? ret : error_set(error, ENOMEM, "out of memory");
	}
	unit->instance = *instance;
	unit->keys = *keys;
	ret = fill_unit(unit, spec, length, error);
	if (ret == 0)
		ret = revival_order(unit, entry_at(fleet, index), error);
	else
		instance_free(&unit->instance);
	if (ret < 0) {
		free_unit(unit);
		return ret;
	}
	replace_unit(fleet, index, unit);
	fleet_wait(unit, operation, OPERATION_RUNNING);
	return 0;
}

int fleet_start(struct unit *unit, struct keyring *keys, struct operation *operation,
		struct error *error)
{
	int ret;

	if (unit->fleet->ending) {
		keyring_free(keys);
		instance_free(&unit->instance);
		return error_set(error, ESHUTDOWN, "the controller is about to end");
	}
	keyring_free(&unit->keys);
	unit->keys = *keys;
	unit->restarts = (struct restarts){0};
	unit->compromised = false;
	ret = revival_order(unit, &unit->entry, error);
	if (ret == 0)
		fleet_wait(unit, operation, OPERATION_RUNNING);
	return ret;
}

int fleet_may_forget(const struct unit *unit, struct error *error)
{
	if (!unit->live && unit->wait != UNIT_RESTARTS)
		return 0;
	return error_set(error, EBUSY, "instance %s is %s; stop it first", unit->name,
			 revival_state(unit));
}

int fleet_forget(struct unit *unit, struct error *error)
{
	int ret = unit->entry.spec ? book_remove(&unit->fleet->book, unit->name, error) : 0;

	if (ret == 0) {
		replace_unit(unit->fleet, unit->index, NULL);
	}
	return ret;
}

/* ---- the book ---- */

/* Takes the entry over. */
static int add_entry(struct fleet *fleet, unsigned index, struct book_entry *entry)
{
	struct unit *unit = fleet_add_unit(fleet, index, entry->name);
	struct error error = {0};

	if (!unit)
		return -ENOMEM;
	unit->entry = *entry;
	*entry = (struct book_entry){0};
	unit->ended = os_now();
	/* Another release may have written what this one does not take. */
	if (revival_prepare(unit, &error) == 0) {
		unit->policy = unit->instance.restart;
		instance_free(&unit->instance);
	} else if (unit->entry.wanted) {
		unit->wait = UNIT_FAILED;
	}
	snprintf(unit->outcome, sizeof(unit->outcome), "%s",
		 error.code		   ? error.text
		 : fleet->standstill.is_on ? "not started: the host is in quarantine"
					   : "not started since the controller was");
	return 0;
}

/* One that goes on stays where it is: its user ids are its place's. */
static unsigned place_for(const struct fleet *fleet, const struct adopted *adopted,
			  const char *name)
{
	int place = adopt_place(adopted, name);

	for (unsigned i = 0; place < 0 && i < FLEET_UNITS; i++) {
		if (!fleet->units[i] && !adopt_is_taken(adopted, i))
			place = (int)i;
	}
	return place < 0 ? FLEET_UNITS : (unsigned)place;
}

static int add_entries(struct fleet *fleet, const struct adopted *adopted,
		       struct book_entry *entries, size_t count)
{
	int ret = 0;

	for (unsigned i = 0; i < count; i++) {
		unsigned place = place_for(fleet, adopted, entries[i].name);

		if (ret == 0 && (place >= FLEET_UNITS || fleet->units[place]))
			ret = -EBUSY;
		if (ret == 0)
			ret = add_entry(fleet, place, &entries[i]);
		book_entry_free(&entries[i]);
	}
	return ret;
}

int fleet_open(struct fleet *fleet, struct adopted *adopted, struct error *error)
{
	struct book_entry entries[BOOK_ENTRIES];
	bool first = adopt_is_first(adopted);
	size_t count = 0;
	int ret = book_open(&fleet->book, programs_state(), error);

	if (ret == 0)
		ret = programs_load_book(entries, &count, !first || fleet->standstill.is_on, error);
	/* Instances that run go on without it: nothing can be started or written down. */
	if (ret < 0 && !first) {
		fprintf(stderr, "karuta-controller: %s\n", error->text);
		*error = (struct error){0};
		ret = 0;
	}
	if (ret == 0)
		ret = add_entries(fleet, adopted, entries, count);
	if (ret == -ENOMEM)
		error_set(error, ENOMEM, "out of memory");
	else if (ret == -EBUSY && !error->code)
		error_set(error, EBUSY, "the book has more instances than there are places");
	if (ret == 0)
		fleet->adopted = adopt_fleet(adopted, fleet);
	return ret;
}

void fleet_attest_wrapping(struct fleet *fleet)
{
	struct error why = {0};
	int ret;

	if (!programs_tpm())
		return;
	ret = programs_note("wrapping-key", wrap_pair_public(fleet->wrapping), WRAP_PUBLIC_SIZE,
			    &why);
	fleet->wrapping_attested = ret == 0;
	if (ret < 0)
		fprintf(stderr, "karuta-controller: no quote has the wrapping key: %s\n", why.text);
}

/* ---- turning ---- */

static void end_unit(struct unit *unit)
{
	struct machine *machine = &unit->machine;
	bool again = unit->again;

	unit->exit_code = machine->exit_code;
	unit->compromised |= machine->compromised;
	snprintf(unit->outcome, sizeof(unit->outcome), "%s", machine->outcome);
	unit->ended = os_now();
	unit->live = false;
	console_rest_keep(&unit->console, machine->console.view);
	snapshots_lose(unit);
	machine_free(machine);
	instance_free(&unit->instance);
	/* The book first, then the answers. */
	if (unit->again)
		revival_again(unit);
	else
		revival_ended(unit);
	if (!again || unit->wait != UNIT_RESTARTS)
		finish_waiting(unit, OPERATION_RUNNING, EIO, unit->outcome);
	finish_waiting(unit, OPERATION_TICKET, ESHUTDOWN, "the instance has ended");
	finish_waiting(unit, OPERATION_END, 0, unit->outcome);
}

static int turn_unit(struct unit *unit)
{
	int pause = machine_turn(&unit->machine);
	char text[INSTANCE_NAME_MAX + 32];

	if (unit->machine.state == MACHINE_RUNNING) {
		revival_ran(unit);
		snprintf(text, sizeof(text), "instance %s runs", unit->name);
		finish_waiting(unit, OPERATION_RUNNING, 0, text);
	}
	if (unit->machine.state == MACHINE_ENDED)
		end_unit(unit);
	return pause;
}

int fleet_turn(struct fleet *fleet)
{
	int pause = host_update_turn(fleet);

	operations_turn(&fleet->operations, os_now());
	for (unsigned i = 0; i < FLEET_UNITS; i++) {
		struct unit *unit = fleet->units[i];
		int part = !unit ? pause : unit->live ? turn_unit(unit) : revival_turn(unit);

		if (unit)
			remember_unit(unit);
		pause = (int)min_u64((uint64_t)pause, (uint64_t)part);
	}
	remember_no_operations(fleet);
	pause = (int)min_u64((uint64_t)pause, (uint64_t)snapshots_turn(fleet));
	pause = (int)min_u64((uint64_t)pause, (uint64_t)chores_turn(fleet));
	if (alarms_turn(&fleet->alarms, os_now()))
		pause = (int)min_u64((uint64_t)pause, ALARMS_PAUSE_MS);
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
	return snapshots_are_done(fleet) && chores_are_done(fleet);
}

void fleet_free(struct fleet *fleet)
{
	chores_free(fleet);
	snapshots_free(fleet);
	for (unsigned i = 0; i < FLEET_UNITS; i++)
		free_unit(fleet->units[i]);
	alarms_close(&fleet->alarms);
	book_close(&fleet->book);
	audit_close(&fleet->audit);
}

/* ---- what there is ---- */

json_t *fleet_status(const struct unit *unit)
{
	json_t *report;

	if (!unit->live)
		return json_pack("{s:s,s:s,s:s,s:i,s:b,s:s,s:i}", "name", unit->name, "state",
				 revival_state(unit), "text", unit->outcome, "exit",
				 unit->exit_code, "compromised", unit->compromised, "restart",
				 policy_name(unit->policy), "restarts", (int)unit->restarts.count);
	report = report_make(&unit->machine);
	json_object_del(report, "code");
	if (unit->compromised)
		json_object_set_new(report, "compromised", json_true());
	json_object_set_new(report, "restart", json_string(policy_name(unit->policy)));
	json_object_set_new(report, "restarts", json_integer(unit->restarts.count));
	if (unit->restarts.count)
		json_object_set_new(report, "last", json_string(unit->outcome));
	return report;
}

static json_t *brief_counters(const json_t *card)
{
	static const char *const names[] = {"reads", "writes", "read_bytes", "write_bytes"};
	const json_t *all = json_object_get(card, "counters");
	json_t *some = json_object();

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		json_object_set(some, names[i], json_object_get(all, names[i]));
	return some;
}

/* A list of all instances with all their cards is to fit into an answer. */
static json_t *brief_cards(const json_t *cards, bool counters)
{
	json_t *list = json_array(), *card;
	size_t i;

	json_array_foreach(cards, i, card)
	{
		json_t *item = json_pack("{s:O,s:O,s:O}", "slot", json_object_get(card, "slot"),
					 "name", json_object_get(card, "name"), "state",
					 json_object_get(card, "state"));

		if (counters)
			json_object_set_new(item, "counters", brief_counters(card));
		json_array_append_new(list, item);
	}
	return list;
}

static json_t *brief(const struct unit *unit, bool counters)
{
	json_t *report = fleet_status(unit);

	json_object_del(report, "counters");
	if (unit->live)
		json_object_set_new(report, "cards",
				    brief_cards(json_object_get(report, "cards"), counters));
	json_object_del(report, "events");
	return report;
}

json_t *fleet_list(const struct fleet *fleet, bool counters)
{
	json_t *list = json_array();

	for (unsigned i = 0; list && i < FLEET_UNITS; i++) {
		if (fleet->units[i])
			json_array_append_new(list, brief(fleet->units[i], counters));
	}
	return json_pack("{s:o}", "instances", list);
}
