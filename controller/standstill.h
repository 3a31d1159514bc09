/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host that was started in a quarantine: its controller is the one that was released, and that is
 * all that is known to be. So it tells what it is and what was found, and ends what is wanted to
 * run; nothing is started, no key is taken, nothing is changed. When the quarantine is over, by
 * whomever, all is measured as at any start, and if that is as it should be the host begins to
 * work.
 */
#ifndef KARUTA_CONTROLLER_STANDSTILL_H
#define KARUTA_CONTROLLER_STANDSTILL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "wire/control.h"

struct fleet;

struct standstill {
	bool is_on;
	bool marked;		   /* when it was looked at last: the quarantine is not over */
	char why[ERROR_TEXT_SIZE]; /* it goes on although the quarantine is over */
	uint64_t next;		   /* when it is looked at again */
};

/* Of a start in a quarantine; `why` is what that found. */
void standstill_begin(struct standstill *standstill, const struct error *why);
/* A controller that goes on from another, without an instance that does. */
void standstill_go_on(struct fleet *fleet);
/* -EPERM: not now. */
int standstill_check(const struct fleet *fleet, const struct control_verb *verb,
		     struct error *error);
/* The quarantine is over: measures, and if that is good the fleet begins. Else the error says why
 * it does not. */
int standstill_end(struct fleet *fleet, struct error *error);
/* The same when somebody else has ended it. Returns after how many ms it is to be called. */
int standstill_turn(struct fleet *fleet);

#endif
