/* SPDX-License-Identifier: Apache-2.0 */
#include "examine.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "alarms.h"
#include "base/base.h"

#define PAUSE	      NS_PER_S
#define HYPERVISOR    "hypervisor"
#define EVIDENCE_SIZE 64u /* bytes of what is not understood */

struct finding {
	enum alarm_kind kind;
	const char *program;
	pid_t pid;
	bool again;
	char evidence[ALARM_EVIDENCE];
};

__attribute__((format(printf, 3, 4))) static void
raise_alarm(struct machine *machine, const struct finding *finding, const char *format, ...)
{
	struct alarm alarm = {.kind = finding->kind, .pid = finding->pid, .again = finding->again};
	va_list args;

	if (finding->kind != ALARM_GUEST)
		machine->compromised = true;
	if (!machine->alarms)
		return;
	va_start(args, format);
	vsnprintf(alarm.text, sizeof(alarm.text), format, args);
	va_end(args);
	snprintf(alarm.instance, sizeof(alarm.instance), "%s", machine->instance->name);
	snprintf(alarm.program, sizeof(alarm.program), "%s", finding->program);
	snprintf(alarm.evidence, sizeof(alarm.evidence), "%s", finding->evidence);
	alarms_raise(machine->alarms, &alarm);
}

static void put_hex(char *text, size_t size, const uint8_t *bytes, size_t length)
{
	size_t used = strlen(text);

	for (size_t i = 0; i < length && used + 3 <= size; i++, used += 2)
		snprintf(text + used, size - used, "%02x", bytes[i]);
}

/* ---- any program ---- */

static void check_signal(struct machine *machine, struct watch *watch, const char *program)
{
	struct finding finding = {.kind = ALARM_SYSTEM_CALL, .program = program, .pid = watch->pid};
	char words[STATUS_TEXT_SIZE];

	watch->examined = watch->pid;
	if (watch_words(watch, words, sizeof(words)))
		snprintf(finding.evidence, sizeof(finding.evidence), "last words: %.100s", words);
	raise_alarm(machine, &finding, "ended by SIGSYS: a system call that is not on its list");
}

static void check_page(struct machine *machine, struct watch *watch, const char *program)
{
	struct finding finding = {.kind = ALARM_STATUS_PAGE,
				  .program = program,
				  .pid = watch->pid,
				  .evidence = "page "};
	uint8_t bytes[EVIDENCE_SIZE];

	watch->examined = watch->pid;
	memcpy(bytes, watch->status.view, sizeof(bytes));
	put_hex(finding.evidence, sizeof(finding.evidence), bytes, sizeof(bytes));
	raise_alarm(machine, &finding, "its status page is not one; it is ended");
	watch_kill(watch);
}

/* Once a process: the first is enough to end it. */
static void check_program(struct machine *machine, struct watch *watch, const char *program)
{
	if (!watch->pid || watch->examined == watch->pid)
		return;
	if (watch->exited && watch->signal == SIGSYS)
		check_signal(machine, watch, program);
	else if (watch->broken && watch->status.view)
		check_page(machine, watch, program);
}

/* Something can be read where nothing is to come. What came is evidence and nothing else:
 * descriptors with it are dropped by the kernel. */
static void check_link(struct machine *machine, struct watch *watch, const char *program, int link,
		       const char *what)
{
	struct finding finding = {
		.kind = ALARM_MESSAGE, .program = program, .pid = watch->pid, .evidence = "bytes "};
	uint8_t bytes[EVIDENCE_SIZE];
	ssize_t got = link < 0 || !watch->pid || watch->examined == watch->pid
			      ? 0
			      : recv(link, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (got <= 0)
		return;
	watch->examined = watch->pid;
	watch->spoke = true;
	put_hex(finding.evidence, sizeof(finding.evidence), bytes, (size_t)got);
	raise_alarm(machine, &finding, "it spoke on %s, where nobody is to; it is ended", what);
	watch_kill(watch);
}

/* ---- cards ---- */

/* By how much a count has grown, once a second. It is of a hostile program's page: it may be
 * anything. */
static uint64_t grown(struct seen *seen, uint64_t count, uint64_t now)
{
	uint64_t by;

	if (now < seen->next)
		return 0;
	by = count > seen->count ? count - seen->count : 0;
	seen->count = count;
	seen->again = seen->next;
	if (by)
		seen->next = now + PAUSE;
	return by;
}

static void check_peer(struct machine *machine, struct slot *slot, uint64_t now)
{
	const struct watch *watch = &slot->watch;
	uint64_t count = grown(&slot->peer, watch->view.counters[STATUS_CARD_PROTOCOL_ERRORS], now);
	const struct finding finding = {.kind = ALARM_BUS,
					.program = HYPERVISOR,
					.pid = machine->hypervisor.pid,
					.again = slot->peer.again};

	if (count)
		raise_alarm(machine, &finding,
			    "it broke the bus's rules %llu times, says card %s (slot %u)",
			    (unsigned long long)count, slot->card.name, slot->number);
}

static void check_guest(struct machine *machine, struct slot *slot, uint64_t now)
{
	const struct watch *watch = &slot->watch;
	uint64_t count =
		grown(&slot->guest, watch->view.counters[STATUS_CARD_SECURITY_EVENTS], now);
	struct finding finding = {.kind = ALARM_GUEST,
				  .program = slot->card.name,
				  .pid = watch->pid,
				  .again = slot->guest.again};

	if (!count)
		return;
	snprintf(finding.evidence, sizeof(finding.evidence), "%s", watch->view.text);
	raise_alarm(machine, &finding, "its guest did what no guest may, %llu times",
		    (unsigned long long)count);
}

static void check_slot(struct machine *machine, struct slot *slot, uint64_t now)
{
	/* A link that the hypervisor has not been given yet is of the process that was started
	 * last. */
	struct watch *last = slot->state == SLOT_PREPARING ? &slot->successor : &slot->watch;

	check_program(machine, &slot->watch, slot->card.name);
	check_program(machine, &slot->successor, slot->card.name);
	check_link(machine, last, slot->card.name, slot->bus.ours, "a bus without a peer");
	check_peer(machine, slot, now);
	check_guest(machine, slot, now);
}

static void check_hypervisor(struct machine *machine, struct watch *watch, int descriptors)
{
	check_program(machine, watch, HYPERVISOR);
	check_link(machine, watch, HYPERVISOR, descriptors, "the channel for descriptors");
}

void examine(struct machine *machine, uint64_t now)
{
	struct watch *hypervisor = &machine->hypervisor;

	check_hypervisor(machine, hypervisor, machine->descriptors.ours);
	check_hypervisor(machine, &machine->upgrade.other, machine->upgrade.descriptors.ours);
	if (hypervisor->spoke)
		machine_fail(machine, "hypervisor: it spoke where nobody is to; it was ended");
	for (unsigned i = 1; i <= COMMAND_MAX_SLOT; i++) {
		if (machine->slots[i])
			check_slot(machine, machine->slots[i], now);
	}
}
