/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What callers have ordered, by caller and identifier, until some time after it was answered: who
 * sends a request again gets the answer of the first, and nothing is done twice. A caller has a
 * share of the places; when it is used up, the answer that it had first is forgotten.
 */
#ifndef KARUTA_CONTROLLER_OPERATIONS_H
#define KARUTA_CONTROLLER_OPERATIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "call/tls.h"
#include "call/wrap.h"
#include "os/clock.h"
#include "trace.h"
#include "wire/control.h"

#define OPERATIONS_MAX	  512u
#define OPERATIONS_SHARE  128u
#define OPERATIONS_MEMORY (600 * NS_PER_S) /* how long an answer is kept */
#define OPERATION_TEXT	  512u

/* What it waits for. */
enum operation_wait {
	OPERATION_TICKET,   /* the machine's word */
	OPERATION_RUNNING,  /* the instance runs */
	OPERATION_END,	    /* the instance has ended */
	OPERATION_HOST,	    /* the host has the installed release: host_update.h */
	OPERATION_SNAPSHOT, /* snapshots.c */
	OPERATION_CHORE,    /* chores.h: of no unit */
};

struct unit;

struct operation {
	bool used, done;
	bool remembered; /* the keeper has it: remember.h */
	char caller[TLS_NAME_MAX + 1];
	uint8_t id[CONTROL_ID_SIZE];
	uint8_t digest[WRAP_DIGEST_SIZE]; /* of the bare request: wrap.h */
	uint64_t order;			  /* of arrival */
	uint64_t line;			  /* in the audit log; 0: not accepted */
	enum operation_wait wait;
	bool plug; /* OPERATION_END: by the plug, not the button */
	const struct unit *unit;
	uint64_t ticket;
	uint64_t finished; /* os_now() */
	int code;
	char text[OPERATION_TEXT];
	struct trace trace; /* of an attach that is done; the next controller does not have it */
};

struct operations {
	uint64_t last;
	struct operation all[OPERATIONS_MAX];
};

struct operation *operations_find(struct operations *operations, const char *caller,
				  const uint8_t id[CONTROL_ID_SIZE]);
/* NULL: all that this caller, or all callers, may have is under way. */
struct operation *operations_begin(struct operations *operations, const char *caller,
				   const uint8_t id[CONTROL_ID_SIZE],
				   const uint8_t digest[WRAP_DIGEST_SIZE]);
/* Is it the same, byte for byte? But for its keys, which are wrapped anew each time. */
bool operation_is(const struct operation *operation, const uint8_t digest[WRAP_DIGEST_SIZE]);
void operation_finish(struct operation *operation, int code, const char *text);
/* Forgets what is old. */
void operations_turn(struct operations *operations, uint64_t now);

#endif
