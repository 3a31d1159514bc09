/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The instances of a host and what was ordered for them, turned by one loop. An operation that is
 * under way ends in fleet_finish(), once: its outcome goes to the audit log and to who waits.
 */
#ifndef KARUTA_CONTROLLER_FLEET_H
#define KARUTA_CONTROLLER_FLEET_H

#include <jansson.h>

#include "audit.h"
#include "instance.h"
#include "machine.h"
#include "operations.h"
#include "wire/control.h"

#define FLEET_UNITS 64u

struct fleet;

/* An instance that runs, or did until not long ago. */
struct unit {
	struct fleet *fleet;
	unsigned index;
	bool live; /* else only the four below count */
	char name[INSTANCE_NAME_MAX + 1];
	uint64_t ended; /* os_now() */
	int exit_code;
	char outcome[STATUS_TEXT_SIZE + 64];
	struct instance instance;
	struct machine machine;
};

struct fleet {
	struct os_loop *loop;
	const char *files; /* the folder that specifications may name files in; absolute */
	struct audit audit;
	struct operations operations;
	uint64_t last_ticket;
	struct unit *units[FLEET_UNITS]; /* NULL: none */
	bool ending;			 /* nothing is launched any more */
	/* An operation is done. */
	void (*answered)(void *context, const struct operation *operation);
	void *context;
};

/* Takes `instance` over, its keys' descriptors included, whatever comes of it. */
int fleet_launch(struct fleet *fleet, struct instance *instance, struct operation *operation,
		 struct error *error);
/* One that is live; NULL with the error set. */
struct unit *fleet_find(struct fleet *fleet, const char *name, struct error *error);
struct unit *fleet_find_any(struct fleet *fleet, const char *name);
/* The operation waits from now on; the ticket is for the machine. */
uint64_t fleet_wait(struct unit *unit, struct operation *operation, enum operation_wait wait);
void fleet_finish(struct fleet *fleet, struct operation *operation, int code, const char *text);
/* Returns after how many ms there may be something to do. */
int fleet_turn(struct fleet *fleet);
/* Presses all power buttons; `force`: pulls all plugs. */
void fleet_stop(struct fleet *fleet, bool force);
bool fleet_is_empty(const struct fleet *fleet);
void fleet_free(struct fleet *fleet);

/* NULL: out of memory. */
json_t *fleet_list(const struct fleet *fleet);
json_t *fleet_status(const struct unit *unit);

/* keys.c: gives each card that has a key_fd a descriptor of the key that came under that number.
 * None may be missing, none too many. */
int keys_hand_over(struct card_spec *cards, size_t count, const struct control_request *request,
		   struct error *error);

#endif
