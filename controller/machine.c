/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "examine.h"
#include "fit.h"
#include "machine.h"
#include "os/fd.h"

#define BUSY_PAUSE_MS 1	  /* a program is expected to change its page soon */
#define IDLE_PAUSE_MS 100 /* ends are told by pidfd; this is for what only a page tells */

void machine_note(const struct machine *machine, const char *format, ...)
{
	uint64_t ms = (os_now() - machine->started) / NS_PER_MS;
	char text[STATUS_TEXT_SIZE + 96];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fprintf(stderr, "karuta-controller: %s: [%llu.%03llu] %s\n", machine->instance->name,
		(unsigned long long)(ms / 1000), (unsigned long long)(ms % 1000), text);
}

void machine_remember(const struct machine *machine)
{
	if (machine->remember)
		machine->remember(machine->answer_context);
}

void machine_answer(struct machine *machine, uint64_t *ticket, int code, const char *text)
{
	if (*ticket)
		machine->answer(machine->answer_context, *ticket, code, text);
	*ticket = 0;
}

/* Explicit slots first, so that none of them is taken by a card that does not care. */
static int launch_cards(struct machine *machine, struct error *error)
{
	struct instance *instance = machine->instance;
	int ret = 0;

	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; ret == 0 && i < instance->card_count; i++) {
			struct card_spec *card = &instance->cards[i];

			if (card->kind && (pass == 1) == (card->slot == 0))
				ret = slots_attach(machine, card, 0, true, error);
		}
	}
	return ret;
}

void machine_prepare(struct machine *machine, struct instance *instance, struct os_loop *loop,
		     machine_answer_fn answer, void *context)
{
	*machine = (struct machine){.instance = instance,
				    .loop = loop,
				    .answer = answer,
				    .answer_context = context,
				    .cgroups = CGROUPS_NONE,
				    .hypervisor = WATCH_NONE,
				    .program = -1,
				    .commands = LINK_NONE,
				    .descriptors = LINK_NONE,
				    .console = AREA_NONE,
				    .upgrade = UPGRADE_IDLE,
				    .started = os_now()};
}

int machine_launch(struct machine *machine, struct instance *instance, uint32_t users,
		   struct os_loop *loop, machine_answer_fn answer, void *context,
		   struct error *error)
{
	int ret;

	machine_prepare(machine, instance, loop, answer, context);
	machine->users = users;
	ret = cgroups_begin(&machine->cgroups, instance, &CGROUPS_HOST, error);
	if (ret == 0 && machine->cgroups.available != CGROUPS_ALL)
		machine_note(machine, "limits: %s", machine->cgroups.limits);
	if (ret == 0)
		ret = fit_hypervisor(machine, error);
	if (ret == 0)
		ret = orders_push(machine, (struct order){.verb = COMMAND_CONFIGURE});
	if (ret < 0) {
		machine_free(machine);
		return ret;
	}
	/* It is busy with that while the cards are launched. */
	orders_turn(machine, os_now());
	ret = launch_cards(machine, error);
	if (ret < 0)
		machine_free(machine);
	return ret;
}

void machine_fail(struct machine *machine, const char *text)
{
	if (machine->outcome[0])
		return;
	snprintf(machine->outcome, sizeof(machine->outcome), "%s", text);
	machine->exit_code = 1;
	watch_kill(&machine->hypervisor);
}

void machine_kill(struct machine *machine)
{
	struct command command = {.verb = COMMAND_KILL, .id = ++machine->orders.last_id};
	char bytes[COMMAND_MAX_SIZE];
	int length = command_encode(&command, bytes, sizeof(bytes));

	if (machine->kill_asked)
		return;
	machine->kill_asked = true;
	machine->kill_deadline = os_now() + MACHINE_KILL_DEADLINE;
	if (length < 0 || write(machine->commands.ours, bytes, (size_t)length) != length)
		watch_kill(&machine->hypervisor);
}

/* What the hypervisor's last page and its end tell. */
static void judge(struct machine *machine)
{
	const struct status_view *view = &machine->hypervisor.view;
	bool clean = machine->hypervisor.exit_code == 0 && view->state == STATUS_ENDED;
	char why[STATUS_TEXT_SIZE];

	if (machine->outcome[0])
		return;
	machine->exit_code = 1;
	if (clean && view->reason == STATUS_POWERED_OFF) {
		machine->exit_code = 0;
		snprintf(machine->outcome, sizeof(machine->outcome), "powered off by the guest");
	} else if (machine->kill_asked || view->reason == STATUS_KILLED) {
		snprintf(machine->outcome, sizeof(machine->outcome), "killed");
	} else if (machine->hypervisor.signal == SIGKILL &&
		   cgroups_hypervisor_ran_out(&machine->cgroups)) {
		snprintf(
			machine->outcome, sizeof(machine->outcome),
			"hypervisor: killed by the host's kernel, which had no memory left for it");
	} else {
		watch_why(&machine->hypervisor, why, sizeof(why));
		snprintf(machine->outcome, sizeof(machine->outcome), "%s: %s",
			 view->reason == STATUS_CRASHED ? "guest crashed" : "hypervisor",
			 view->reason == STATUS_CRASHED && view->text[0] ? view->text : why);
	}
}

static void begin_end(struct machine *machine, uint64_t now)
{
	judge(machine);
	machine->state = MACHINE_ENDING;
	machine->unsettled = false;
	upgrade_end(machine);
	slots_end(machine, now);
	orders_end(machine);
}

/* Starting is over when the last card is in its slot. */
static void turn_start(struct machine *machine)
{
	if (machine->start_sent || machine->hypervisor.view.state != STATUS_READY ||
	    !slots_all(machine, SLOT_ATTACHED) || machine->orders.count)
		return;
	machine->start_sent = true;
	orders_push(machine, (struct order){.verb = COMMAND_START});
}

/* "About to exit" has a deadline too. */
static void check_promise(struct machine *machine, uint64_t now)
{
	enum status_state state = machine->hypervisor.view.state;

	if (state != STATUS_ENDED && state != STATUS_FAILED)
		return;
	if (!machine->kill_deadline)
		machine->kill_deadline = now + MACHINE_KILL_DEADLINE;
}

static void check_hypervisor(struct machine *machine, uint64_t now)
{
	struct watch *hypervisor = &machine->hypervisor;

	if (watch_runs(hypervisor)) {
		watch_look(hypervisor);
		check_promise(machine, now);
	}
	if (hypervisor->broken)
		machine_fail(machine, "hypervisor: its status page is not one");
	if (machine->kill_deadline && now >= machine->kill_deadline)
		watch_kill(hypervisor);
	if (hypervisor->exited && machine->state < MACHINE_ENDING &&
	    !upgrade_succeeds(machine, now))
		begin_end(machine, now);
}

int machine_turn(struct machine *machine)
{
	uint64_t now = os_now();

	check_hypervisor(machine, now);
	if (machine->unsettled) {
		orders_turn(machine, now);
		return BUSY_PAUSE_MS;
	}
	examine(machine, now);
	if (machine->state < MACHINE_ENDING && !machine->kill_deadline)
		orders_turn(machine, now);
	upgrade_turn(machine, now);
	slots_turn(machine, now);
	if (machine->state == MACHINE_STARTING)
		turn_start(machine);
	if (machine->state == MACHINE_ENDING && !slots_left(machine)) {
		machine->state = MACHINE_ENDED;
		machine_note(machine, "%s", machine->outcome);
	}
	if (machine->orders.count || slots_busy(machine) || upgrade_is_busy(machine) ||
	    machine->state == MACHINE_STARTING)
		return BUSY_PAUSE_MS;
	return machine->state == MACHINE_ENDED ? 0 : IDLE_PAUSE_MS;
}

void machine_free(struct machine *machine)
{
	upgrade_end(machine);
	watch_free(&machine->hypervisor);
	slots_free(machine);
	link_close(&machine->commands);
	link_close(&machine->descriptors);
	os_close(&machine->program);
	area_free(&machine->console);
	cgroups_end(&machine->cgroups);
}
