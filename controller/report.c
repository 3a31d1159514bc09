/* SPDX-License-Identifier: Apache-2.0 */
#include "report.h"

#include <stdio.h>

#include "alarms.h"
#include "base/base.h"
#include "programs.h"
#include "quarantine.h"

#define EVENTS_SHOWN 8u

static const char *const machine_states[] = {
	[MACHINE_STARTING] = "starting", [MACHINE_RUNNING] = "running", [MACHINE_PAUSED] = "paused",
	[MACHINE_ENDING] = "ending",	 [MACHINE_ENDED] = "ended",
};

static const char *const slot_states[] = {
	[SLOT_STARTING] = "starting",	 [SLOT_CONNECTING] = "starting",
	[SLOT_ATTACHED] = "attached",	 [SLOT_EJECTING] = "ejecting",
	[SLOT_LEAVING] = "leaving",	 [SLOT_FAILED] = "failed",
	[SLOT_PREPARING] = "updating",	 [SLOT_AWAY] = "restarting",
	[SLOT_RETURNING] = "restarting", [SLOT_RELINKING] = "restarting",
};

struct counter {
	unsigned index;
	const char *name;
};

static const struct counter hypervisor_counters[] = {
	{STATUS_HV_EXITS, "exits"},
	{STATUS_HV_MMIO, "mmio"},
	{STATUS_HV_CONFIG, "config"},
	{STATUS_HV_PIO, "pio"},
	{STATUS_HV_RESETS, "resets"},
	{STATUS_HV_BUS_TIMEOUTS, "bus_timeouts"},
	{STATUS_HV_GUEST_ERRORS, "guest_errors"},
	{STATUS_HV_RESERVED, "reserved"},
};

static const struct counter card_counters[] = {
	{STATUS_CARD_READS, "reads"},
	{STATUS_CARD_WRITES, "writes"},
	{STATUS_CARD_READ_BYTES, "read_bytes"},
	{STATUS_CARD_WRITE_BYTES, "write_bytes"},
	{STATUS_CARD_FLUSHES, "flushes"},
	{STATUS_CARD_ERRORS, "errors"},
	{STATUS_CARD_INTERRUPTS, "interrupts"},
	{STATUS_CARD_RESETS, "resets"},
	{STATUS_CARD_SECURITY_EVENTS, "security_events"},
	{STATUS_CARD_PROTOCOL_ERRORS, "protocol_errors"},
	{STATUS_CARD_CLIENTS, "clients"},
};

static json_t *counters(const struct watch *watch, const struct counter *list, size_t count)
{
	json_t *object = json_object();

	for (size_t i = 0; object && i < count; i++)
		json_object_set_new(object, list[i].name,
				    json_integer((json_int_t)watch->view.counters[list[i].index]));
	return object;
}

static json_t *report_slot(const struct slot *slot)
{
	const struct watch *watch = &slot->watch;

	return json_pack("{s:i,s:s,s:s,s:s,s:i,s:I,s:s,s:o,s:o*}", "slot", (int)slot->number,
			 "name", slot->card.name, "kind", slot->card.kind->name, "state",
			 slot_states[slot->state], "pid", watch_runs(watch) ? (int)watch->pid : 0,
			 "size", (json_int_t)slot->kit.size, "text",
			 slot->why[0] ? slot->why : watch->view.text, "counters",
			 counters(watch, card_counters, ARRAY_LEN(card_counters)), "steps",
			 trace_report(&slot->trace));
}

static json_t *report_slots(const struct machine *machine)
{
	json_t *list = json_array();

	for (unsigned i = 1; list && i <= COMMAND_MAX_SLOT; i++) {
		if (machine->slots[i])
			json_array_append_new(list, report_slot(machine->slots[i]));
	}
	return list;
}

json_t *report_host(void)
{
	const struct programs_host *host = programs_host();
	char quarantine[QUARANTINE_TEXT_MAX] = "";
	struct error error = {0};

	if (quarantine_read(programs_state(), quarantine, sizeof(quarantine), &error) < 0)
		snprintf(quarantine, sizeof(quarantine), "%s", error.text);
	return json_pack("{s:I,s:s,s:s,s:s}", "release", (json_int_t)host->release, "signer",
			 programs_signer(host), "attestation", programs_attestation(host),
			 "quarantine", quarantine);
}

json_t *report_make(const struct machine *machine)
{
	const struct instance *instance = machine->instance;
	const struct watch *hypervisor = &machine->hypervisor;
	char cores[CPUS_TEXT_SIZE];

	cpus_format(&machine->cgroups.cores, cores);
	return json_pack("{s:i,s:s,s:s,s:b,s:I,s:I,s:i,s:s,s:s,s:i,s:s,s:o,s:o,s:o,s:o}", "code", 0,
			 "name", instance->name, "state", machine_states[machine->state],
			 "compromised", machine->compromised, "uptime_ms",
			 (json_int_t)((os_now() - machine->started) / NS_PER_MS), "memory",
			 (json_int_t)instance->memory, "cpus", (int)instance->cpus, "cores", cores,
			 "limits", machine->cgroups.limits, "pid",
			 watch_runs(hypervisor) ? (int)hypervisor->pid : 0, "text",
			 hypervisor->view.text, "counters",
			 counters(hypervisor, hypervisor_counters, ARRAY_LEN(hypervisor_counters)),
			 "cards", report_slots(machine), "host", report_host(), "events",
			 alarms_of(machine->alarms, instance->name, EVENTS_SHOWN));
}
