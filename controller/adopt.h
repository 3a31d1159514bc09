/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Going on where the controller before this one has died, or was replaced: what it has given to the
 * keeper (remember.h) becomes the fleet again. Guests and cards notice nothing.
 *
 *	1. adopt_read     all records, and their descriptors
 *	2. adopt_fleet    units in the places that they had, operations, security events
 *	3. adopt_settle   a machine's hypervisor has said SYNC: whatever was ordered before has been
 *			  carried out or never will be, and its page tells which
 *
 * What was under way between controller and programs is seen through where that can be told from
 * pages and processes; else it is begun again or given up, and who has ordered it is told so.
 */
#ifndef KARUTA_CONTROLLER_ADOPT_H
#define KARUTA_CONTROLLER_ADOPT_H

#include "fleet.h"
#include "keep.h"

struct adopted {
	struct keep_record *records; /* all its own */
	size_t count;
	enum keep_outcome outcome;
	bool failed; /* memory was short */
};

/* Without a keeper, or with one that has nothing: none. */
int adopt_read(struct adopted *adopted, struct error *error);
bool adopt_is_first(const struct adopted *adopted);
/* The listening socket, which is the caller's then; -1. */
int adopt_socket(struct adopted *adopted);
/* The place in the fleet of a name; -1: it has none. True: it has somebody's. */
int adopt_place(const struct adopted *adopted, const char *name);
bool adopt_is_taken(const struct adopted *adopted, unsigned index);
/* fleet->units has what the book says. Returns how many instances go on. */
unsigned adopt_fleet(struct adopted *adopted, struct fleet *fleet);
void adopt_free(struct adopted *adopted);

/* The outcome of SYNC. */
void adopt_settle(struct machine *machine, int result, const char *text);

#endif
