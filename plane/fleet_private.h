/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of fleet.h:
 *
 *	fleet.c		  what is known, as the store has it; who is due
 *	fleet_hosts.c	  what hosts are asked, and what they have told
 *	fleet_instance.c  the next step of an instance
 *	fleet_volume.c	  the next step of a volume
 *	fleet_place.c	  where they go
 *	fleet_request.c	  what hosts are sent, with keys, and what comes back
 *	fleet_status.c	  what people are shown
 */
#ifndef KARUTA_PLANE_FLEET_PRIVATE_H
#define KARUTA_PLANE_FLEET_PRIVATE_H

#include "fleet.h"

#define FLEET_BUCKETS	 4096u
#define FLEET_NEVER	 UINT64_MAX
#define FLEET_ROOM	 1u /* of what a host may be asked at once, for what cannot wait */
#define FLEET_GUEST_ROOM 3u /* and for all that does not wait for a guest that may never do it */
#define FLEET_TRACE_MOST 16u
#define FLEET_REASON_MAX 256u

/* A snapshot is a volume that nobody holds. */
enum fleet_kind { FLEET_INSTANCE, FLEET_VOLUME, FLEET_SNAPSHOT };

#define FLEET_KINDS (FLEET_SNAPSHOT + 1u)

extern const char *const fleet_kinds[]; /* "instances", "volumes", "snapshots" */

/* A host that something is on. */
struct fleet_host {
	struct fleet_host *next;
	char name[DOC_NAME_MAX + 1];
	struct entry *entries; /* that are on it */
	bool asking, look;
	uint64_t asked;		      /* ms, when the last question was sent */
	struct trust_verdict verdict; /* of then */
	json_t *seen; /* {"web.3f2a9c0d5e6b7a81": an entry of the answer}; NULL: none yet */
	uint64_t seen_asked;
};

struct fleet_step {
	char text[64], part[16];
	uint64_t at; /* µs since 1970 */
};

struct fleet_trace {
	struct fleet_step steps[FLEET_TRACE_MOST];
	size_t count;
	bool over; /* it is attached */
};

struct entry;

/* In the list of who holds what: once for who is wanted, once for who has it. */
struct holding {
	struct holding *next;
	struct entry *volume;
	uint8_t holder[ATTEMPT_UID_SIZE];
	bool linked;
};

/* An instance or a volume: its document, and what is not stored. */
struct entry {
	struct fleet *fleet;
	struct entry *next_name, *next_uid; /* of the same bucket */
	struct entry *next;		    /* of all */
	enum fleet_kind kind;
	char name[DOC_NAME_MAX + 1];
	char uid_text[DOC_UID_SIZE];
	uint8_t uid[ATTEMPT_UID_SIZE];
	json_t *doc;
	struct fleet_host *host; /* NULL: it has none yet */
	struct entry *next_here; /* on the same */
	bool broken;		 /* its document is not what was written: it is left alone */

	unsigned step; /* that an answer is waited for of; 0: none */
	uint32_t number;
	struct entry *next_now, **at_now; /* what points to it; NULL: it is not due now */
	uint64_t due;			  /* ms; FLEET_NEVER: when something changes */
	char refusal[FLEET_REASON_MAX];	  /* what its host has said to the last step */
	char nowhere[FLEET_REASON_MAX];	  /* why no host fits; "": one does */
	enum instance_step decision;	  /* the last */

	struct instance_want instance_want;
	struct instance_record instance_record;
	struct instance_sight sight;
	json_t *cards;		     /* seen with it; NULL: none */
	char told[FLEET_REASON_MAX]; /* by its host, about it */
	uint64_t restarts;

	struct volume_want volume_want;
	struct volume_record volume_record;
	struct holding wanted, bound;
	struct fleet_trace *trace;
};

struct fleet {
	struct fleet_setup setup;
	char writer[DOC_UID_SIZE]; /* this life of the plane */
	int64_t offset;		   /* ms from the monotonic clock to 1970 */
	struct entry *names[FLEET_KINDS][FLEET_BUCKETS], *uids[FLEET_KINDS][FLEET_BUCKETS];
	struct holding *holdings[FLEET_BUCKETS];
	struct entry *entries, *cursor; /* all; the next of the pass over them that is under way */
	size_t counts[FLEET_KINDS];
	struct entry *now, **now_end; /* those that are due now, the first that was first */
	struct fleet_host *hosts;
	uint64_t soonest; /* of all that are due at a time */
	bool opening;
};

/* fleet.c */

struct entry *fleet_find(const struct fleet *fleet, enum fleet_kind kind, const char *name);
struct entry *fleet_find_uid(const struct fleet *fleet, enum fleet_kind kind,
			     const uint8_t uid[ATTEMPT_UID_SIZE]);
/* 0: now. */
void fleet_due(struct entry *entry, uint64_t at);
/* Itself, and all that decide by what is known of it. */
void fleet_touch(struct entry *entry);
uint64_t fleet_random(void);
/* Calls `fn` with each volume that is wanted by, or bound to, the instance. */
void fleet_each_volume(const struct fleet *fleet, const uint8_t instance[ATTEMPT_UID_SIZE],
		       void (*fn)(void *context, struct entry *volume), void *context);
bool fleet_is_wanted_by(const struct entry *volume, const uint8_t instance[ATTEMPT_UID_SIZE]);
bool fleet_is_bound_to(const struct entry *volume, const uint8_t instance[ATTEMPT_UID_SIZE]);
/* A copy of its document with this record in it, for a batch: the caller's. */
json_t *fleet_with_instance(const struct entry *entry, const struct instance_record *record);
json_t *fleet_with_volume(const struct entry *entry, const struct volume_record *record);
/* Into the batch; takes `doc` over. */
void fleet_put(struct doc_batch *batch, const struct entry *entry, json_t *doc);
/* False: it was not stored, which is told, and tried again later. */
bool fleet_commit(struct fleet *fleet, struct doc_batch *batch, const struct entry *entry);

/* fleet_hosts.c */

struct fleet_host *fleet_host(struct fleet *fleet, const char *name);
/* NULL: nowhere. */
void fleet_put_on(struct entry *entry, struct fleet_host *host);
/* ms until it is to be called at the latest. */
uint64_t fleet_hosts_turn(struct fleet *fleet, uint64_t now);
void fleet_hosts_free(struct fleet *fleet);
/* What was told of it last, if it is of now: into sight and cards. */
void fleet_see(struct entry *instance);
struct trust_verdict fleet_verdict(const struct entry *entry);
/* Its host is none of the fleet any more. */
bool fleet_is_lost(const struct entry *entry);
enum volume_seen fleet_sees_card(const struct entry *instance, const struct entry *volume);

/* fleet_instance.c, fleet_volume.c */

void fleet_turn_instance(struct entry *entry, uint64_t now);
void fleet_turn_volume(struct entry *entry, uint64_t now);
/* Who has it or, if nobody, who is to have it; NULL: nobody. */
struct entry *fleet_holder(const struct entry *volume);
/* What it begins as a copy of; NULL: nothing, or that is not there any more. */
struct entry *fleet_source(const struct entry *volume);
/* Its guest has it now. */
bool fleet_is_in_use(const struct entry *volume);

/* fleet_place.c */

void fleet_place_instance(struct entry *entry, uint64_t now);
/* False: nothing was done, entry->nowhere says why. */
bool fleet_place_volume(struct entry *entry);

/* fleet_request.c */

/* What has become of a request that was sent: as attempt.h has it. `result` is NULL or the host's.
 */
typedef void (*fleet_answered_fn)(struct entry *entry, unsigned step, uint32_t number,
				  enum attempt_outcome outcome, const json_t *result);

/* There is room for one more at its host. */
bool fleet_may_send(const struct entry *entry, unsigned room);
/* Of a step that has begun and is stored. What cannot be sent counts as not answered. */
void fleet_send_instance(struct entry *entry, enum instance_step step,
			 const uint8_t id[ATTEMPT_ID_SIZE]);
void fleet_send_volume(struct entry *entry, enum volume_step step,
		       const uint8_t id[ATTEMPT_ID_SIZE]);
void fleet_instance_answered(struct entry *entry, unsigned step, uint32_t number,
			     enum attempt_outcome outcome, const json_t *result);
void fleet_volume_answered(struct entry *entry, unsigned step, uint32_t number,
			   enum attempt_outcome outcome, const json_t *result);

/* fleet_status.c */

/* What has changed of it is stored, with an event. `why`: what it waits for. */
void fleet_show_state(struct entry *entry, const char *why, uint64_t now);
void fleet_trace_step(struct entry *volume, const char *text, const char *part);
/* What the host has told of an attach: {"steps": [{"step", "us", "part"}]}, µs since it was asked.
 */
void fleet_trace_host(struct entry *volume, const json_t *result);
void fleet_trace_end(struct entry *volume);

#endif
