/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Security events: what a program did that none of ours does, and what a guest ordered that none
 * may. Each says what, who and when, with evidence, and is kept until newer ones need its place.
 * Those that can come without end, a guest's above all, have places of their own, and only the
 * first of a card is in the audit log, as all others are: nobody can have what matters forgotten.
 * (What was measured is another log: trust/events.h.)
 */
#ifndef KARUTA_CONTROLLER_ALARMS_H
#define KARUTA_CONTROLLER_ALARMS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "audit.h"
#include "instance.h"
#include "keep.h"
#include "kernel_log.h"
#include "wire/status.h"

#define ALARMS_PROGRAMS 128u /* kept */
#define ALARMS_GUESTS	64u
#define ALARMS_PENDING	16u
#define ALARMS_LISTED	64u /* in one answer */

#define ALARMS_PAUSE_MS 10 /* until the kernel's log is looked at again */

#define ALARM_EVIDENCE 256u

enum alarm_kind {
	ALARM_SYSTEM_CALL, /* outside its list: the kernel has ended it */
	ALARM_STATUS_PAGE, /* it does not hold to its format */
	ALARM_MESSAGE,	   /* it spoke where it is only spoken to */
	ALARM_BUS,	   /* its peer says that it broke the bus's rules */
	ALARM_GUEST,	   /* its guest ordered what no guest may */
};

struct alarm {
	uint64_t number; /* from 1, since the host's controller was started */
	int64_t when_ms; /* since 1970 */
	enum alarm_kind kind;
	bool again; /* not the first of its kind of the card */
	char instance[INSTANCE_NAME_MAX + 1];
	char program[CARD_NAME_MAX + 16]; /* "hypervisor" or a card's name */
	pid_t pid;
	char text[STATUS_TEXT_SIZE + 64];
	char evidence[ALARM_EVIDENCE]; /* printable */
};

struct alarms {
	struct audit *audit;
	struct kernel_log kernel_log;
	uint64_t last;
	/* Two rings, programs' and behind it guests' and all that comes again and again; 0 in
	 * `number`: free. */
	struct alarm all[ALARMS_PROGRAMS + ALARMS_GUESTS];
	unsigned next[2];
	struct {
		struct alarm alarm;
		uint64_t until; /* 0: free */
	} pending[ALARMS_PENDING];
};

#define ALARMS_NONE ((struct alarms){.kernel_log = {.fd = -1}})

/* `audit` stays the caller's. Where the kernel's log may be read, it tells which call it was. */
void alarms_open(struct alarms *alarms, struct audit *audit);
/* Number and time are given here. A system call waits a moment for the kernel's log. */
void alarms_raise(struct alarms *alarms, const struct alarm *alarm);
/* True: some wait; come back in ALARMS_PAUSE_MS. */
bool alarms_turn(struct alarms *alarms, uint64_t now);
/* All that there are, for a keeper that has none; one that another controller has raised, in its
 * place. */
void alarms_remember(struct alarms *alarms);
void alarms_adopt(struct alarms *alarms, unsigned place, struct keep_record *from);
/* What waits gets its time. */
void alarms_close(struct alarms *alarms);

/* {"events": [...], "last": NUMBER, "more": BOOL}: those after `since`, the oldest first; NULL: out
 * of memory. */
json_t *alarms_list(const struct alarms *alarms, uint64_t since);
/* The newest `most` of an instance, the oldest first; also with `alarms` NULL. */
json_t *alarms_of(const struct alarms *alarms, const char *instance, unsigned most);

#endif
