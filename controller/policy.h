/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether and when an instance that has ended is started again. Decisions alone: the time is a
 * parameter.
 */
#ifndef KARUTA_CONTROLLER_POLICY_H
#define KARUTA_CONTROLLER_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "os/clock.h"

#define POLICY_RESTARTS 5u
#define POLICY_WINDOW	(60 * NS_PER_S)
#define POLICY_PAUSE	(250 * NS_PER_MS) /* before the first; each within the window doubles it */

enum policy {
	POLICY_ON_FAILURE, /* unless its guest has powered it off; also when the host starts */
	POLICY_NEVER,
	POLICY_ALWAYS, /* whatever ended it, but for a caller */
};

/* "never", "on-failure", "always" */
bool policy_parse(const char *text, enum policy *policy);
const char *policy_name(enum policy policy);
/* It ended by itself: its guest powered it off, or it failed. */
bool policy_wants(enum policy policy, bool failed);

struct restarts {
	uint64_t at[POLICY_RESTARTS]; /* os_now(); a ring */
	unsigned count;		      /* in all */
};

/* One more, to be at *when. False: there were too many. */
bool restarts_add(struct restarts *restarts, uint64_t now, uint64_t *when);

#endif
