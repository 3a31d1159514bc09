/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands to the hypervisor, one on its way at a time: the status page has room for the outcome of
 * one, and a second written before the first was seen would hide it. KILL is the exception: nobody
 * needs the outcome of what it overtakes.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "adopt.h"
#include "machine.h"
#include "os/fd.h"

static const char *verb_name(enum command_verb verb)
{
	static const char *const names[] = {
		[COMMAND_CONFIGURE] = "configure", [COMMAND_ATTACH] = "attach",
		[COMMAND_START] = "start",	   [COMMAND_DETACH] = "detach",
		[COMMAND_PAUSE] = "pause",	   [COMMAND_RESUME] = "resume",
		[COMMAND_SHUTDOWN] = "stop",	   [COMMAND_RESET] = "reset",
		[COMMAND_KILL] = "kill",	   [COMMAND_RELINK] = "relink",
		[COMMAND_MEET] = "meet",	   [COMMAND_HAND_OVER] = "hand over",
		[COMMAND_SYNC] = "sync",
	};

	return names[verb];
}

int orders_push(struct machine *machine, struct order order)
{
	struct orders *orders = &machine->orders;

	if (orders->count == MACHINE_ORDERS)
		return -EBUSY;
	orders->queue[(orders->head + orders->count++) % MACHINE_ORDERS] = order;
	return 0;
}

static void fill_command(const struct machine *machine, const struct order *order,
			 struct command *command)
{
	command->verb = order->verb;
	command->slot = order->slot;
	command->flags = order->flags;
	if (order->verb != COMMAND_CONFIGURE)
		return;
	command->memory = machine->instance->memory;
	command->cpus = machine->instance->cpus;
	snprintf(command->line, sizeof(command->line), "%s", machine->instance->command_line);
}

/* A command is shorter than PIPE_BUF: it is written whole or not at all. */
static int write_command(struct machine *machine, const struct order *order)
{
	struct command command = {.id = machine->orders.last_id};
	char bytes[COMMAND_MAX_SIZE];
	int length;

	fill_command(machine, order, &command);
	length = command_encode(&command, bytes, sizeof(bytes));
	if (length < 0)
		return length;
	return write(machine->commands.ours, bytes, (size_t)length) < 0 ? -errno : 0;
}

/* The descriptor goes first, so that it is there when its command is read. The order has its number
 * before, so that whatever becomes of it, an older one's outcome is not taken for its own. */
static int send_order(struct machine *machine, const struct order *order)
{
	struct slot *slot = machine->slots[order->slot];
	int ret = 0;

	machine->orders.last_id++;
	if (order->verb == COMMAND_RELINK && (!slot || slot->state != SLOT_RELINKING))
		return -ECANCELED;
	if (order->verb == COMMAND_ATTACH || order->verb == COMMAND_RELINK) {
		struct link *bus = &slot->bus;

		ret = link_send_descriptor(&machine->descriptors, bus->ours);
		os_close(&bus->ours);
	} else if (order->verb == COMMAND_MEET) {
		ret = link_send_descriptor(&machine->descriptors, machine->upgrade.between.ours);
		os_close(&machine->upgrade.between.ours);
	}
	if (ret == 0)
		ret = write_command(machine, order);
	if (ret == 0 && order->verb == COMMAND_ATTACH)
		trace_reach(&slot->trace, TRACE_TOLD);
	return ret;
}

static void started(struct machine *machine, int result, const char *text)
{
	char failure[STATUS_TEXT_SIZE + 32];

	if (result < 0) {
		snprintf(failure, sizeof(failure), "start: %s", text);
		machine_fail(machine, failure);
		return;
	}
	machine->state = MACHINE_RUNNING;
	machine_note(machine, "running");
}

static void switched(struct machine *machine, struct order *order, int result, const char *text)
{
	if (result == 0 && order->verb == COMMAND_PAUSE)
		machine->state = MACHINE_PAUSED;
	if (result == 0 && order->verb == COMMAND_RESUME)
		machine->state = MACHINE_RUNNING;
	machine_answer(machine, &order->ticket, -result, result ? text : "done");
}

static void finish(struct machine *machine, struct order *order, int result, const char *text)
{
	struct slot *slot = machine->slots[order->slot];

	if (result < 0 && !text[0])
		text = strerror(-result);
	switch (order->verb) {
	case COMMAND_CONFIGURE:
		if (result < 0)
			machine_fail(machine, text);
		break;
	case COMMAND_START:
		started(machine, result, text);
		break;
	case COMMAND_ATTACH:
		slots_attached(machine, slot, result, text);
		break;
	case COMMAND_RELINK:
		restart_relinked(machine, slot, result, text);
		break;
	case COMMAND_MEET:
		upgrade_met(machine, result, text);
		break;
	case COMMAND_HAND_OVER:
		upgrade_handed(machine, result, text);
		break;
	case COMMAND_SYNC:
		adopt_settle(machine, result, text);
		break;
	case COMMAND_DETACH:
		slots_ejecting(machine, slot, result, text);
		break;
	default:
		switched(machine, order, result, text);
		break;
	}
}

static void finish_head(struct machine *machine, int result, const char *text)
{
	struct orders *orders = &machine->orders;
	struct order order = orders->queue[orders->head];

	orders->head = (orders->head + 1) % MACHINE_ORDERS;
	orders->count--;
	orders->under_way = false;
	finish(machine, &order, result, text);
}

static void check_head(struct machine *machine, uint64_t now)
{
	const struct status_view *view = &machine->hypervisor.view;
	struct orders *orders = &machine->orders;
	char text[96];

	if (view->command_done == orders->last_id) {
		finish_head(machine, view->command_result, view->text);
		return;
	}
	if (now < orders->deadline)
		return;
	snprintf(text, sizeof(text), "the hypervisor did not carry out \"%s\" within %u s",
		 verb_name(orders->queue[orders->head].verb),
		 (unsigned)(MACHINE_COMMAND_DEADLINE / NS_PER_S));
	machine_fail(machine, text);
}

void orders_turn(struct machine *machine, uint64_t now)
{
	struct orders *orders = &machine->orders;
	int ret;

	if (orders->under_way)
		check_head(machine, now);
	while (!orders->under_way && orders->count && watch_runs(&machine->hypervisor)) {
		ret = send_order(machine, &orders->queue[orders->head]);
		/* A closed pipe: it is ending, and how it ends says more than this would. */
		if (ret < 0 && ret != -EPIPE) {
			finish_head(machine, ret, strerror(-ret));
			continue;
		}
		orders->under_way = true;
		orders->deadline = now + MACHINE_COMMAND_DEADLINE;
	}
}

void orders_end(struct machine *machine)
{
	struct orders *orders = &machine->orders;

	for (; orders->count; orders->count--) {
		struct order *order = &orders->queue[orders->head];

		machine_answer(machine, &order->ticket, ESHUTDOWN, "the instance has ended");
		orders->head = (orders->head + 1) % MACHINE_ORDERS;
	}
	orders->under_way = false;
}
