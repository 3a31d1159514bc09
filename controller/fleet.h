/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The instances of a host and what was ordered for them, turned by one loop. An operation that is
 * under way ends in fleet_finish(), once: its outcome goes to the audit log and to who waits.
 *
 * An instance is in the book (book.h) from before its first start until it is forgotten. What it is
 * wanted to be outlasts what it is: revival.c starts it again when it has ended by itself, or with
 * the host.
 */
#ifndef KARUTA_CONTROLLER_FLEET_H
#define KARUTA_CONTROLLER_FLEET_H

#include <jansson.h>

#include "alarms.h"
#include "audit.h"
#include "book.h"
#include "call/wrap.h"
#include "chores.h"
#include "console_page.h"
#include "host_update.h"
#include "instance.h"
#include "keyring.h"
#include "machine.h"
#include "operations.h"
#include "policy.h"
#include "renewal.h"
#include "snapshots.h"
#include "standstill.h"

#define FLEET_UNITS BOOK_ENTRIES

struct fleet;
struct adopted;

/* What one that is not live waits for. */
enum unit_wait {
	UNIT_RESTS,    /* it is not to run */
	UNIT_RESTARTS, /* until `start_at` */
	UNIT_KEYLESS,  /* somebody who brings the keys of its cards */
	UNIT_FAILED,   /* somebody who starts it: it has ended too often, or cannot be started */
};

/* An instance that runs, is to run, or did until not long ago. */
struct unit {
	struct fleet *fleet;
	unsigned index;
	char name[INSTANCE_NAME_MAX + 1];

	bool live; /* else instance and machine are not there */
	struct instance instance;
	struct machine machine;

	/* Of the life before, or why there was none. */
	uint64_t ended; /* os_now() */
	int exit_code;
	bool compromised; /* in any life since a caller has started it */
	char outcome[STATUS_TEXT_SIZE + 64];
	struct console_rest console;

	/* revival.c */
	struct book_entry entry;  /* as it is in the book */
	bool ordered;		  /* a caller waits to hear that it runs; else it is undone */
	struct book_entry before; /* ordered: what the book had */
	enum policy policy;
	enum unit_wait wait;
	uint64_t start_at;
	struct restarts restarts;
	struct keyring keys; /* while it is to run: for the next life */

	bool had_before; /* ordered: the book had something in its place */
	bool again;	 /* its life does not count: it is started again at once */

	/* remember.h: digest of what the keeper has, and of which slots it has something */
	uint64_t remembered;
	uint32_t remembered_slots;
};

struct fleet {
	struct os_loop *loop;
	const char *files; /* the folder that specifications may name files in; absolute */
	struct audit audit;
	struct book book;
	struct alarms alarms;
	struct operations operations;
	struct renewal *renewal;    /* the host's certificate */
	struct wrap_pair *wrapping; /* what keys for this host are wrapped with */
	bool wrapping_attested;	    /* the TPM knows it */
	uint64_t last_ticket;
	struct snapshot snapshots[SNAPSHOTS_MAX];
	struct chore chores[CHORES_MAX];
	struct unit *units[FLEET_UNITS]; /* NULL: none */
	int socket;			 /* that the server listens on; for the keeper */
	struct host_update update;
	unsigned adopted; /* so many go on from another controller */
	bool ending;	  /* nothing is launched any more */
	struct standstill standstill;
	/* An operation is done. */
	void (*answered)(void *context, const struct operation *operation);
	void *context;
};

/* Opens the book; has a unit for each instance in it, none of which is live but those that go on
 * from another controller. */
int fleet_open(struct fleet *fleet, struct adopted *adopted, struct error *error);
/* That the wrapping key is this host's is put into its event log, where there is a TPM. Without a
 * place there it is as good; nobody can tell from a quote whose it is then. */
void fleet_attest_wrapping(struct fleet *fleet);
/* In a free place; NULL: out of memory. */
struct unit *fleet_add_unit(struct fleet *fleet, unsigned index, const char *name);
/* Starts those that are to run and are not live; what another controller has had goes on as it
 * was. */
void fleet_resume(struct fleet *fleet);
/* What `spec` says, parsed. Takes `instance` and `keys` over, whatever comes of it. */
int fleet_launch(struct fleet *fleet, struct instance *instance, const char *spec, size_t length,
		 struct keyring *keys, struct operation *operation, struct error *error);
/* One that revival_prepare() has prepared. Takes `keys` over. */
int fleet_start(struct unit *unit, struct keyring *keys, struct operation *operation,
		struct error *error);
/* -EBUSY: it runs, or is about to. */
int fleet_may_forget(const struct unit *unit, struct error *error);
int fleet_forget(struct unit *unit, struct error *error);
/* One that is live; NULL with the error set. */
struct unit *fleet_find(struct fleet *fleet, const char *name, struct error *error);
struct unit *fleet_find_any(struct fleet *fleet, const char *name);
/* The operation waits from now on; the ticket is for the machine. */
uint64_t fleet_wait(struct unit *unit, struct operation *operation, enum operation_wait wait);
/* machine.h: `remember`; the context is the unit, as of the next. */
void fleet_remember(void *context);
/* machine_answer_fn */
void fleet_answer(void *context, uint64_t ticket, int code, const char *text);
/* Whoever waits for the instance to run. */
void fleet_answer_start(struct unit *unit, int code, const char *text);
void fleet_finish(struct fleet *fleet, struct operation *operation, int code, const char *text);
/* Returns after how many ms there may be something to do. */
int fleet_turn(struct fleet *fleet);
/* Presses all power buttons; `force`: pulls all plugs. */
void fleet_stop(struct fleet *fleet, bool force);
bool fleet_is_empty(const struct fleet *fleet);
void fleet_free(struct fleet *fleet);

/* NULL: out of memory. `counters`: with what the cards have read and written. */
json_t *fleet_list(const struct fleet *fleet, bool counters);
json_t *fleet_status(const struct unit *unit);

/* revival.c. Reads what the book says of one that is not live, into its `instance`. -EBUSY: it is;
 * -ESRCH: the book has nothing of it. */
int revival_prepare(struct unit *unit, struct error *error);
/* One that is prepared begins to live, for a caller. First it is in the book; if it does not come
 * to run, the book says again what it says of `before` (NULL: nothing). */
int revival_order(struct unit *unit, const struct book_entry *before, struct error *error);
/* From now on it is to run, or not. `error` may be NULL. */
int revival_want(struct unit *unit, bool wanted, struct error *error);
/* A life that another controller has begun, and that could not be gone on with: it does not count.
 */
void revival_again(struct unit *unit);
/* It runs. */
void revival_ran(struct unit *unit);
/* It lives no longer; exit_code and outcome say how it ended. */
void revival_ended(struct unit *unit);
/* Of one that is not live. Returns after how many ms there is something to do. */
int revival_turn(struct unit *unit);
const char *revival_state(const struct unit *unit);

#endif
