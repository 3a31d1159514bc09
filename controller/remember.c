/* SPDX-License-Identifier: Apache-2.0 */
#include "remember.h"

#include <stdio.h>
#include <string.h>

#include "base/base.h"

#define DIGEST_NONE 0 /* nothing was given to the keeper yet */

/* ---- members ---- */

static void card_value_record(struct card_value *value, const char *name, struct record *record)
{
	record_enter(record, name);
	record_bool(record, "given", &value->given);
	record_u64(record, "number", &value->number);
	record_u64(record, "burst", &value->burst);
	record_string(record, "text", &value->text);
	record_leave(record);
}

static void card_record(struct card_spec *card, struct record *record)
{
	char kind[32] = "";

	if (card->kind)
		snprintf(kind, sizeof(kind), "%s", card->kind->name);
	record_enter(record, "card");
	record_text(record, "kind", kind, sizeof(kind));
	if (record->use == RECORD_READS)
		card->kind = card_kind_find(kind);
	record_u32(record, "slot", &card->slot);
	record_text(record, "name", card->name, sizeof(card->name));
	for (size_t i = 0; card->kind && i < card->kind->member_count; i++)
		card_value_record(&card->values[i], card->kind->members[i].option, record);
	record_leave(record);
	record->failed |= !card->kind;
}

static void link_record(struct link *link, const char *name, struct record *record)
{
	record_fd(record, name, &link->ours);
}

static void slot_files_record(struct slot *slot, struct record *record)
{
	watch_record(&slot->watch, "watch", record);
	watch_record(&slot->successor, "successor", record);
	record_fd(record, "area", &slot->area.fd);
	record_fd(record, "program", &slot->kit.program);
	record_fd(record, "old_program", &slot->old_program);
	record_fd(record, "store", &slot->kit.store);
	record_fd(record, "key", &slot->kit.key.fd);
	link_record(&slot->bus, "bus", record);
	link_record(&slot->commands, "commands", record);
	link_record(&slot->next_commands, "next_commands", record);
}

static void seen_record(struct seen *seen, const char *name, struct record *record)
{
	record_enter(record, name);
	record_u64(record, "count", &seen->count);
	record_u64(record, "next", &seen->next);
	record_bool(record, "again", &seen->again);
	record_leave(record);
}

void slot_record(struct slot *slot, struct record *record)
{
	int state = (int)slot->state, task = (int)slot->task.step;

	record_enum(record, "state", &state, SLOT_FAILED + 1);
	record_enum(record, "task", &task, TASK_THAWING + 1);
	slot->state = (enum slot_state)state;
	slot->task.step = (enum task_step)task;
	card_record(&slot->card, record);
	slot_files_record(slot, record);
	record_u64(record, "size", &slot->kit.size);
	record_u32(record, "last_command", &slot->last_command);
	record_bool(record, "at_boot", &slot->at_boot);
	record_bool(record, "was_attached", &slot->was_attached);
	record_text(record, "why", slot->why, sizeof(slot->why));
	record_text(record, "death", slot->death, sizeof(slot->death));
	record_u64s(record, "deaths", slot->deaths, RESTARTS_MAX);
	record_u32(record, "death_count", &slot->death_count);
	record_u64(record, "restart_at", &slot->restart_at);
	record_u64(record, "away_since", &slot->away_since);
	record_u64(record, "stop_by", &slot->stop_by);
	seen_record(&slot->guest, "guest", record);
	seen_record(&slot->peer, "peer", record);
}

static void cgroups_record(struct cgroups *cgroups, struct record *record)
{
	char cores[CPUS_TEXT_SIZE];

	cpus_format(&cgroups->cores, cores);
	record_enter(record, "cgroups");
	record_fd(record, "instance", &cgroups->instance);
	record_u32(record, "available", &cgroups->available);
	record_text(record, "name", cgroups->name, sizeof(cgroups->name));
	record_text(record, "limits", cgroups->limits, sizeof(cgroups->limits));
	record_text(record, "cores", cores, sizeof(cores));
	if (record->use == RECORD_READS && cpus_parse(&cgroups->cores, cores) < 0)
		record->failed = true;
	record_leave(record);
}

static void upgrade_record(struct upgrade *upgrade, struct record *record)
{
	int step = (int)upgrade->step;

	record_enter(record, "upgrade");
	record_enum(record, "step", &step, UPGRADE_LEAVING + 1);
	upgrade->step = (enum upgrade_step)step;
	watch_record(&upgrade->other, "other", record);
	link_record(&upgrade->commands, "commands", record);
	link_record(&upgrade->descriptors, "descriptors", record);
	record_fd(record, "program", &upgrade->program);
	record_u64(record, "deadline", &upgrade->deadline);
	record_leave(record);
}

void machine_record(struct machine *machine, struct record *record)
{
	int state = (int)machine->state;

	record_enter(record, "machine");
	record_enum(record, "state", &state, MACHINE_ENDED + 1);
	machine->state = (enum machine_state)state;
	record_u32(record, "users", &machine->users);
	record_bool(record, "compromised", &machine->compromised);
	cgroups_record(&machine->cgroups, record);
	watch_record(&machine->hypervisor, "hypervisor", record);
	link_record(&machine->commands, "commands", record);
	link_record(&machine->descriptors, "descriptors", record);
	record_fd(record, "console", &machine->console.fd);
	record_fd(record, "program", &machine->program);
	record_u32(record, "last_id", &machine->orders.last_id);
	upgrade_record(&machine->upgrade, record);
	record_u64(record, "started", &machine->started);
	record_bool(record, "kill_asked", &machine->kill_asked);
	record_u64(record, "kill_deadline", &machine->kill_deadline);
	record_int(record, "exit", &machine->exit_code);
	record_text(record, "outcome", machine->outcome, sizeof(machine->outcome));
	record_leave(record);
}

static void keys_record(struct keyring *keys, struct record *record)
{
	uint32_t count = (uint32_t)keys->count;

	record_enter(record, "keys");
	record_u32(record, "count", &count);
	record->failed |= count > CONTROL_KEYS_MAX;
	for (size_t i = 0; !record->failed && i < count; i++) {
		char name[24];

		snprintf(name, sizeof(name), "%zu", i);
		if (record->use == RECORD_READS)
			keys->keys[i].key = KEY_NONE;
		record_enter(record, name);
		record_u64(record, "number", &keys->keys[i].number);
		record_fd(record, "fd", &keys->keys[i].key.fd);
		record_leave(record);
		if (record->use == RECORD_READS)
			keys->count = i + 1;
	}
	record_leave(record);
}

/* What the book has as well is read from there, where it can be read. */
void unit_record(struct unit *unit, struct record *record)
{
	int policy = (int)unit->policy, wait = (int)unit->wait;

	record_text(record, "name", unit->name, sizeof(unit->name));
	record_bool(record, "live", &unit->live);
	record_u64(record, "ended", &unit->ended);
	record_int(record, "exit", &unit->exit_code);
	record_bool(record, "compromised", &unit->compromised);
	record_bool(record, "again", &unit->again);
	record_bool(record, "ordered", &unit->ordered);
	record_bool(record, "had_before", &unit->had_before);
	record_text(record, "outcome", unit->outcome, sizeof(unit->outcome));
	record_enum(record, "policy", &policy, POLICY_ALWAYS + 1);
	record_enum(record, "wait", &wait, UNIT_FAILED + 1);
	unit->policy = (enum policy)policy;
	unit->wait = (enum unit_wait)wait;
	record_u64(record, "start_at", &unit->start_at);
	record_u64s(record, "restarts", unit->restarts.at, POLICY_RESTARTS);
	record_u32(record, "restart_count", &unit->restarts.count);
	keys_record(&unit->keys, record);
	if (!unit->live)
		return;
	record_u64(record, "memory", &unit->instance.memory);
	record_u32(record, "cpus", &unit->instance.cpus);
	record_u32(record, "cores", &unit->instance.cores);
	machine_record(&unit->machine, record);
}

void operation_record(struct operation *operation, uint32_t *unit, struct record *record)
{
	int wait = (int)operation->wait;

	record_bool(record, "done", &operation->done);
	record_text(record, "caller", operation->caller, sizeof(operation->caller));
	record_bytes(record, "id", operation->id, sizeof(operation->id));
	record_bytes(record, "digest", operation->digest, sizeof(operation->digest));
	record_u64(record, "order", &operation->order);
	record_u64(record, "line", &operation->line);
	record_enum(record, "wait", &wait, OPERATION_SNAPSHOT + 1);
	operation->wait = (enum operation_wait)wait;
	record_u32(record, "unit", unit);
	record_bool(record, "plug", &operation->plug);
	record_u64(record, "finished", &operation->finished);
	record_int(record, "code", &operation->code);
	record_text(record, "text", operation->text, sizeof(operation->text));
}

/* ---- giving ---- */

static void remember_slot(const struct unit *unit, unsigned number, struct slot *slot)
{
	struct record record;
	uint64_t digest;

	record_digest(&record);
	slot_record(slot, &record);
	if (slot->remembered == record.digest)
		return;
	digest = record.digest;
	record_write(&record);
	slot_record(slot, &record);
	if (record_put(&record, keep_key(KEEP_SLOT, unit->index, number)))
		slot->remembered = digest;
	record_free(&record);
}

static void remember_slots(struct unit *unit)
{
	for (unsigned i = 1; i <= COMMAND_MAX_SLOT; i++) {
		struct slot *slot = unit->live ? unit->machine.slots[i] : NULL;

		if (slot)
			remember_slot(unit, i, slot);
		else if (unit->remembered_slots & 1u << i)
			keep_drop(keep_key(KEEP_SLOT, unit->index, i));
		unit->remembered_slots &= ~(1u << i);
		unit->remembered_slots |= (slot ? 1u : 0) << i;
	}
}

static void remember_itself(struct unit *unit)
{
	struct record record;
	uint64_t digest;

	record_digest(&record);
	unit_record(unit, &record);
	if (unit->remembered == record.digest)
		return;
	digest = record.digest;
	record_write(&record);
	unit_record(unit, &record);
	if (record_put(&record, keep_key(KEEP_UNIT, unit->index, 0)))
		unit->remembered = digest;
	record_free(&record);
}

/* Slots first: a unit that lives has all of its own, one that does not has none. */
void remember_unit(struct unit *unit)
{
	if (!keep_is_open())
		return;
	remember_slots(unit);
	remember_itself(unit);
}

void remember_no_unit(const struct fleet *fleet, unsigned index)
{
	const struct unit *unit = fleet->units[index];

	for (unsigned i = 1; unit && i <= COMMAND_MAX_SLOT; i++) {
		if (unit->remembered_slots & 1u << i)
			keep_drop(keep_key(KEEP_SLOT, index, i));
	}
	keep_drop(keep_key(KEEP_UNIT, index, 0));
}

static uint64_t operation_key(const struct fleet *fleet, const struct operation *operation)
{
	return keep_key(KEEP_OPERATION, 0, (unsigned)(operation - fleet->operations.all));
}

void remember_operation(const struct fleet *fleet, struct operation *operation)
{
	uint32_t unit = operation->unit ? operation->unit->index : UINT32_MAX;
	struct record record;

	if (!keep_is_open())
		return;
	record_write(&record);
	operation_record(operation, &unit, &record);
	record_put(&record, operation_key(fleet, operation));
	record_free(&record);
	operation->remembered = true;
}

void remember_no_operations(struct fleet *fleet)
{
	for (size_t i = 0; i < OPERATIONS_MAX; i++) {
		struct operation *operation = &fleet->operations.all[i];

		if (operation->used || !operation->remembered)
			continue;
		keep_drop(operation_key(fleet, operation));
		operation->remembered = false;
	}
}

static void remember_socket(const struct fleet *fleet)
{
	int socket = fleet->socket;
	struct keep_record record = {
		.key = keep_key(KEEP_SOCKET, 0, 0), .fds = &socket, .fd_count = 1};

	keep_put(&record);
}

void remember_all(struct fleet *fleet)
{
	remember_socket(fleet);
	host_update_remember(fleet);
	for (unsigned i = 0; i < FLEET_UNITS; i++) {
		struct unit *unit = fleet->units[i];

		if (!unit)
			continue;
		unit->remembered = DIGEST_NONE;
		for (unsigned slot = 1; unit->live && slot <= COMMAND_MAX_SLOT; slot++) {
			if (unit->machine.slots[slot])
				unit->machine.slots[slot]->remembered = DIGEST_NONE;
		}
		remember_unit(unit);
	}
	for (size_t i = 0; i < OPERATIONS_MAX; i++) {
		if (fleet->operations.all[i].used)
			remember_operation(fleet, &fleet->operations.all[i]);
	}
	alarms_remember(&fleet->alarms);
}
