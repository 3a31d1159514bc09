/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moving a host to the release that is installed on it, one part after the other, while its guests
 * run:
 *
 *	KEEPER      goes on as the installed program (keep.h)
 *	CONTROLLER  is replaced: this process ends, the next one goes on with the update
 *	PARTS       each hypervisor, each card of each instance, unless it is that program already
 *
 * A part that does not get healthy is what it was before; then nothing else is begun, and who has
 * ordered it is told which part it was. Whoever dies meanwhile, the next controller goes on.
 */
#ifndef KARUTA_CONTROLLER_HOST_UPDATE_H
#define KARUTA_CONTROLLER_HOST_UPDATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "keep.h"

struct fleet;
struct operation;

enum host_update_step {
	HOST_UPDATE_NONE,
	HOST_UPDATE_KEEPER,
	HOST_UPDATE_CONTROLLER,
	HOST_UPDATE_REPLACED, /* this process is about to be killed */
	HOST_UPDATE_PARTS,
};

struct host_update {
	enum host_update_step step;
	bool whole;	/* else the controller alone */
	uint32_t place; /* the next part: unit * 32, and 0 for its hypervisor or a slot's number */
	uint32_t updated, same, left;
	uint64_t ticket;     /* of the part that is under way; 0 */
	uint64_t busy_until; /* 0, or how long a part that is busy is waited for */
};

/* The operation waits for it. `whole` false: the controller alone. */
int host_update_begin(struct fleet *fleet, struct operation *operation, bool whole,
		      struct error *error);
/* Returns after how many ms there may be something to do. */
int host_update_turn(struct fleet *fleet);
/* The outcome of a part; false: the ticket is another's. */
bool host_update_answer(struct fleet *fleet, uint64_t ticket, int code, const char *text);
void host_update_remember(struct fleet *fleet);
/* After all was adopted: nobody waits for an update that there is not. */
void host_update_adopted(struct fleet *fleet);
void host_update_keeper_lost(struct fleet *fleet);
/* Begun by another controller. */
void host_update_adopt(struct fleet *fleet, struct keep_record *from, enum keep_outcome outcome);

#endif
