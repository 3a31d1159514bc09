/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another program for the hypervisor of an instance that runs. KVM binds a virtual machine to the
 * process that made it, so the other one is started beside it and makes its own; then one hands
 * the guest over to the other, by a link that the controller makes and does not keep
 * (wire/handover.h).
 *
 *	NONE -> PREPARING  MEET tells the one that runs; the other gets ready and stands by
 *	     -> HANDING    HAND_OVER is on its way: no card is being started again
 *	     -> LEAVING    the other one has the guest; the first is about to end
 *
 * Up to HANDING whatever goes wrong ends the other one, and the first goes on. In HANDING that is
 * between the two: the outcome of HAND_OVER says which of them has the guest. Should the first one
 * end in peace before that is seen, it is the other that is watched.
 */
#ifndef KARUTA_CONTROLLER_UPGRADE_H
#define KARUTA_CONTROLLER_UPGRADE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "link.h"
#include "watch.h"

struct machine;

enum upgrade_step {
	UPGRADE_NONE,
	UPGRADE_PREPARING,
	UPGRADE_HANDING,
	UPGRADE_LEAVING,
};

struct upgrade {
	enum upgrade_step step;
	struct watch other; /* the one that stands by; LEAVING: the one that ends */
	struct link between;
	struct link commands, descriptors; /* of the one that stands by */
	int program;			   /* the same */
	uint64_t deadline;
	uint64_t ticket;		/* 0: nobody waits for an update */
	char refusal[STATUS_TEXT_SIZE]; /* PREPARING: of MEET; "" */
};

#define UPGRADE_IDLE                                                                               \
	((struct upgrade){.other = WATCH_NONE,                                                     \
			  .between = LINK_NONE,                                                    \
			  .commands = LINK_NONE,                                                   \
			  .descriptors = LINK_NONE,                                                \
			  .program = -1})

/* `path` NULL: the installed program. */
int upgrade_begin(struct machine *machine, const char *path, uint64_t ticket, struct error *error);
void upgrade_turn(struct machine *machine, uint64_t now);
/* True while something is about to change. */
bool upgrade_is_busy(const struct machine *machine);
/* The outcomes of MEET and HAND_OVER. */
void upgrade_met(struct machine *machine, int result, const char *text);
void upgrade_handed(struct machine *machine, int result, const char *text);
/* The hypervisor has ended. True: since the other one has the guest, and is the hypervisor now. */
bool upgrade_succeeds(struct machine *machine, uint64_t now);
/* Begun by another controller, who has died meanwhile; which hypervisor has the guest is known. */
void upgrade_adopt(struct machine *machine);
/* The instance ends. */
void upgrade_end(struct machine *machine);

#endif
