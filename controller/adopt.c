/* SPDX-License-Identifier: Apache-2.0 */
#include "adopt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "os/fd.h"
#include "remember.h"
#include "wire/console.h"

/* A command that was on its way when the controller died is not in its record: no number is used
 * twice. */
#define COMMANDS_SKIPPED 16u

/* ---- the records ---- */

static void take(void *context, struct keep_record *record)
{
	struct adopted *adopted = context;
	struct keep_record *all = reallocarray(adopted->records, adopted->count + 1, sizeof(*all));
	struct keep_record *copy = all ? &all[adopted->count] : NULL;
	char *bytes = malloc(record->length + 1);
	int *fds = calloc(record->fd_count + 1, sizeof(*fds));

	if (all)
		adopted->records = all;
	if (!all || !bytes || !fds) {
		adopted->failed = true;
		free(bytes);
		free(fds);
		return;
	}
	*copy = *record;
	memcpy(bytes, record->bytes, record->length);
	copy->bytes = bytes;
	copy->fds = fds;
	for (size_t i = 0; i < record->fd_count; i++)
		fds[i] = os_steal_fd(&record->fds[i]);
	adopted->count++;
}

int adopt_read(struct adopted *adopted, struct error *error)
{
	int ret = 0;

	*adopted = (struct adopted){0};
	if (keep_is_open())
		ret = keep_list(take, adopted, &adopted->outcome, error);
	return adopted->failed ? error_set(error, ENOMEM, "out of memory") : ret;
}

static enum keep_kind kind_of(const struct keep_record *record)
{
	return (enum keep_kind)(record->key >> 32);
}

static unsigned unit_of(const struct keep_record *record)
{
	return record->key >> 8 & 0xffffff;
}

static unsigned slot_of(const struct keep_record *record)
{
	return record->key & 0xff;
}

static struct keep_record *find(const struct adopted *adopted, uint64_t key)
{
	for (size_t i = 0; i < adopted->count; i++) {
		if (adopted->records[i].key == key)
			return &adopted->records[i];
	}
	return NULL;
}

bool adopt_is_first(const struct adopted *adopted)
{
	return !find(adopted, keep_key(KEEP_SOCKET, 0, 0));
}

int adopt_socket(struct adopted *adopted)
{
	struct keep_record *record = find(adopted, keep_key(KEEP_SOCKET, 0, 0));

	return record && record->fd_count ? os_steal_fd(&record->fds[0]) : -1;
}

static bool has_name(struct keep_record *from, const char *name)
{
	char found[INSTANCE_NAME_MAX + 1] = "";
	struct record record;

	if (kind_of(from) != KEEP_UNIT)
		return false;
	record_read(&record, from);
	record_text(&record, "name", found, sizeof(found));
	record_free(&record);
	return !strcmp(found, name);
}

int adopt_place(const struct adopted *adopted, const char *name)
{
	for (size_t i = 0; i < adopted->count; i++) {
		if (has_name(&adopted->records[i], name))
			return (int)unit_of(&adopted->records[i]);
	}
	return -1;
}

bool adopt_is_taken(const struct adopted *adopted, unsigned index)
{
	return find(adopted, keep_key(KEEP_UNIT, index, 0));
}

void adopt_free(struct adopted *adopted)
{
	for (size_t i = 0; i < adopted->count; i++) {
		struct keep_record *record = &adopted->records[i];

		for (size_t fd = 0; fd < record->fd_count; fd++)
			os_close(&record->fds[fd]);
		free(record->fds);
		free((char *)(uintptr_t)record->bytes);
	}
	free(adopted->records);
	*adopted = (struct adopted){0};
}

/* ---- slots ---- */

static uint64_t time_for(enum slot_state state)
{
	switch (state) {
	case SLOT_EJECTING:
		return MACHINE_EJECT_DEADLINE;
	case SLOT_LEAVING:
	case SLOT_FAILED:
		return MACHINE_LEAVE_DEADLINE;
	default:
		return MACHINE_READY_DEADLINE;
	}
}

static void open_key(struct key *key)
{
	int ret = key->fd >= 0 ? key_adopt(key) : 0;

	/* It is of use all the same. */
	if (ret < 0)
		fprintf(stderr, "karuta-controller: a key cannot be locked: %s\n", strerror(-ret));
}

static int open_slot(struct machine *machine, struct slot *slot)
{
	int ret = watch_adopt(&slot->watch, STATUS_CARD, machine->loop);
	int other =
		slot->successor.pid ? watch_adopt(&slot->successor, STATUS_CARD, machine->loop) : 0;

	if (ret == 0)
		ret = other;
	if (ret == 0)
		ret = area_adopt(&slot->area, AREA_STATE_SIZE, false);
	open_key(&slot->kit.key);
	slot->last_command += COMMANDS_SKIPPED;
	slot->deadline = os_now() + time_for(slot->state);
	return ret;
}

/* One that cannot be gone on with is ended: for its guest, its card has died for good. */
static void adopt_slot(struct machine *machine, struct keep_record *from)
{
	unsigned number = slot_of(from);
	struct record record;
	struct slot *slot = NULL;
	int ret;

	if (number >= 1 && number <= COMMAND_MAX_SLOT && !machine->slots[number])
		slot = slots_make(machine, number);
	if (!slot)
		return;
	/* For a state that only another release has. */
	slot->state = SLOT_ATTACHED;
	record_read(&record, from);
	slot_record(slot, &record);
	ret = record.failed ? -EPROTO : 0;
	record_free(&record);
	if (open_slot(machine, slot) == 0 && ret == 0)
		return;
	machine_note(machine, "slot %u: it cannot be gone on with, and is ended", number);
	slots_make_empty(machine, slot);
}

/* ---- units ---- */

static int open_machine(struct unit *unit, struct machine *machine)
{
	struct upgrade *upgrade = &machine->upgrade;
	int ret = watch_adopt(&machine->hypervisor, STATUS_HYPERVISOR, unit->fleet->loop);
	int other = upgrade->other.pid
			    ? watch_adopt(&upgrade->other, STATUS_HYPERVISOR, unit->fleet->loop)
			    : 0;

	if (ret == 0)
		ret = other;
	if (ret == 0)
		ret = area_adopt(&machine->console, CONSOLE_SIZE, true);
	machine->orders.last_id += COMMANDS_SKIPPED;
	return ret;
}

static void adopt_slots(struct adopted *adopted, struct unit *unit)
{
	for (size_t i = 0; i < adopted->count; i++) {
		struct keep_record *record = &adopted->records[i];

		if (kind_of(record) != KEEP_SLOT || unit_of(record) != unit->index)
			continue;
		unit->remembered_slots |= 1u << slot_of(record) % 32;
		adopt_slot(&unit->machine, record);
	}
}

/* A guest that has not run yet has nothing to lose: all of it is started again, for whoever waits
 * for it. */
static void begin_again(struct unit *unit)
{
	unit->again = true;
	machine_fail(&unit->machine, "the controller was started again meanwhile");
}

static void go_on(struct unit *unit)
{
	struct machine *machine = &unit->machine;
	enum status_state seen = machine->hypervisor.view.state;
	bool runs = seen == STATUS_RUNNING || seen == STATUS_PAUSED;

	machine->start_sent = true;
	if (machine->state == MACHINE_STARTING && seen > STATUS_PAUSED)
		return; /* how it ended is yet to be told */
	if (machine->state == MACHINE_STARTING && !runs)
		begin_again(unit);
	else if (machine->state == MACHINE_STARTING)
		machine->state = MACHINE_RUNNING;
	if (machine->state >= MACHINE_ENDING || machine->outcome[0])
		return;
	machine->unsettled = true;
	orders_push(machine, (struct order){.verb = COMMAND_SYNC});
}

static int open_unit(struct adopted *adopted, struct unit *unit)
{
	int ret;

	for (size_t i = 0; i < unit->keys.count; i++)
		open_key(&unit->keys.keys[i].key);
	if (!unit->live)
		return 0;
	snprintf(unit->instance.name, sizeof(unit->instance.name), "%s", unit->name);
	unit->instance.restart = unit->policy;
	ret = open_machine(unit, &unit->machine);
	adopt_slots(adopted, unit);
	return ret;
}

static void adopt_unit(struct adopted *adopted, struct unit *unit, struct keep_record *from)
{
	struct machine *machine = &unit->machine;
	struct record record;
	int ret;

	machine_prepare(machine, &unit->instance, unit->fleet->loop, fleet_answer, unit);
	machine->alarms = &unit->fleet->alarms;
	machine->remember = fleet_remember;
	machine->cgroups.host = CGROUPS_HOST;
	/* For a state that only another release has. */
	machine->state = MACHINE_RUNNING;
	record_read(&record, from);
	unit_record(unit, &record);
	ret = record.failed ? -EPROTO : 0;
	record_free(&record);
	if (open_unit(adopted, unit) < 0)
		ret = -EPROTO;
	if (ret == 0 && unit->live)
		go_on(unit);
	if (ret == 0 || !unit->live)
		return;
	fprintf(stderr, "karuta-controller: %s: it cannot be gone on with\n", unit->name);
	begin_again(unit);
}

static struct unit *unit_for(struct fleet *fleet, const struct keep_record *record)
{
	unsigned index = unit_of(record);

	if (index >= FLEET_UNITS)
		return NULL;
	/* The book cannot be read, or has it no more. */
	if (!fleet->units[index])
		fleet_add_unit(fleet, index, "");
	return fleet->units[index];
}

/* ---- operations ---- */

/* That it was told, or is told again. */
static void end_again(struct unit *unit, const struct operation *operation)
{
	if (operation->plug)
		machine_kill(&unit->machine);
	else
		orders_push(&unit->machine, (struct order){.verb = COMMAND_SHUTDOWN});
}

static void answer(struct fleet *fleet, struct operation *operation)
{
	struct unit *unit = operation->unit ? fleet->units[operation->unit->index] : NULL;

	if (operation->wait == OPERATION_HOST)
		return;
	if (operation->wait == OPERATION_TICKET || operation->wait == OPERATION_SNAPSHOT || !unit)
		fleet_finish(fleet, operation, EAGAIN,
			     "the controller was started again meanwhile; see what has come of it, "
			     "and ask again");
	else if (operation->wait == OPERATION_END && !unit->live)
		fleet_finish(fleet, operation, 0, unit->outcome);
	else if (operation->wait == OPERATION_END)
		end_again(unit, operation);
	else if (operation->wait == OPERATION_RUNNING && !unit->live && unit->wait != UNIT_RESTARTS)
		fleet_finish(fleet, operation, EIO, unit->outcome);
}

static void adopt_operation(struct fleet *fleet, struct keep_record *from)
{
	unsigned index = slot_of(from) | unit_of(from) << 8;
	struct operation *operation = &fleet->operations.all[index % OPERATIONS_MAX];
	uint32_t unit = UINT32_MAX;
	struct record record;

	*operation = (struct operation){.used = true, .remembered = true};
	record_read(&record, from);
	operation_record(operation, &unit, &record);
	operation->used = !record.failed;
	record_free(&record);
	fleet->operations.last = max_u64(fleet->operations.last, operation->order);
	if (unit < FLEET_UNITS)
		operation->unit = fleet->units[unit];
	if (operation->used && !operation->done)
		answer(fleet, operation);
}

/* Of a life that has ended: nobody would ever drop it. */
static void drop_unclaimed(const struct adopted *adopted, const struct fleet *fleet)
{
	for (size_t i = 0; i < adopted->count; i++) {
		const struct keep_record *record = &adopted->records[i];
		unsigned index = unit_of(record);

		if (kind_of(record) == KEEP_SLOT &&
		    (index >= FLEET_UNITS || !fleet->units[index] || !fleet->units[index]->live))
			keep_drop(record->key);
	}
}

unsigned adopt_fleet(struct adopted *adopted, struct fleet *fleet)
{
	unsigned live = 0;

	for (size_t i = 0; i < adopted->count; i++) {
		struct keep_record *record = &adopted->records[i];
		struct unit *unit = kind_of(record) == KEEP_UNIT ? unit_for(fleet, record) : NULL;

		if (unit)
			adopt_unit(adopted, unit, record);
		live += unit && unit->live;
	}
	for (size_t i = 0; i < adopted->count; i++) {
		if (kind_of(&adopted->records[i]) == KEEP_OPERATION)
			adopt_operation(fleet, &adopted->records[i]);
	}
	for (size_t i = 0; i < adopted->count; i++) {
		struct keep_record *record = &adopted->records[i];

		if (kind_of(record) == KEEP_HOST_UPDATE)
			host_update_adopt(fleet, record, adopted->outcome);
		else if (kind_of(record) == KEEP_ALARM)
			alarms_adopt(&fleet->alarms, slot_of(record), record);
	}
	host_update_adopted(fleet);
	drop_unclaimed(adopted, fleet);
	return live;
}

/* ---- settling ---- */

/* The command is not on its way any more, and the hypervisor's page tells what has come of it. */
static void settle_slot(struct machine *machine, struct slot *slot, uint64_t now)
{
	bool present = slots_seen(machine, slot) == STATUS_SLOT_PRESENT;

	switch (slot->state) {
	case SLOT_CONNECTING:
		slots_attached(machine, slot, present ? 0 : -ECANCELED,
			       "the controller was started again meanwhile");
		break;
	case SLOT_EJECTING:
		if (present)
			slot->state = SLOT_ATTACHED;
		break;
	case SLOT_PREPARING:
		restart_drop_update(machine, slot, "the controller was started again meanwhile");
		break;
	case SLOT_RELINKING:
		restart_relinked(machine, slot, present ? 0 : -ECANCELED,
				 "the controller was started again meanwhile");
		break;
	default:
		break;
	}
	if (slot->state != SLOT_CONNECTING && slot->state != SLOT_STARTING &&
	    slot->state != SLOT_RETURNING)
		link_close(&slot->bus);
	tasks_adopt(slot);
	slot->deadline = now + time_for(slot->state);
}

void adopt_settle(struct machine *machine, int result, const char *text)
{
	uint64_t now = os_now();

	if (result < 0) {
		machine_fail(machine, text);
		return;
	}
	machine->unsettled = false;
	machine->state =
		machine->hypervisor.view.state == STATUS_PAUSED ? MACHINE_PAUSED : MACHINE_RUNNING;
	upgrade_adopt(machine);
	for (unsigned i = 1; i <= COMMAND_MAX_SLOT; i++) {
		if (machine->slots[i])
			settle_slot(machine, machine->slots[i], now);
	}
	machine_note(machine, "goes on with this controller");
}
