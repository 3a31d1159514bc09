/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a volume: pure, in the manner of instance.h.
 *
 *	creating -> available -> attaching -> attached -> detaching -> available
 *	                    \-> deleting (a grace period, in which it can be had back) -> gone
 *
 * It has one holder, an instance, from attaching to the end of detaching, and so one writer: it is
 * bound to another only after the first has no card of it, and cannot get one by anything that was
 * sent. A holder that does not run has its volumes in the specification that it is launched with;
 * its host would bring those back with it, so such a volume is released only when the instance is
 * down. Others are attached and detached while it runs.
 */
#ifndef KARUTA_PLANE_VOLUME_H
#define KARUTA_PLANE_VOLUME_H

#include "attempt.h"

#define VOLUME_SLOTS 31u

enum volume_state {
	VOLUME_CREATING,
	VOLUME_AVAILABLE,
	VOLUME_ATTACHING,
	VOLUME_ATTACHED,
	VOLUME_DETACHING,
	VOLUME_DELETING,
	VOLUME_GONE,
};

struct volume_want {
	uint64_t generation; /* grows with each change of what is below, from 1 */
	uint64_t size;	     /* bytes; never less than its record has */
	bool held;	     /* by `holder`, in `slot` of it */
	uint8_t holder[ATTEMPT_UID_SIZE];
	uint8_t slot;
	bool force;	  /* a guest that does not let go of it is not asked again */
	bool gone;	  /* from gone_at on */
	uint64_t gone_at; /* ms: when that was asked for, and the grace period */
};

/* Numbers are stored and part of identifiers: new ones go to the end. */
enum volume_step {
	VOLUME_NOTHING,
	VOLUME_CREATE, /* requests to the host that it is on */
	VOLUME_ATTACH,
	VOLUME_DETACH,
	VOLUME_RESIZE,
	VOLUME_DELETE,
	VOLUME_BIND,	/* to the holder that is wanted; these two change the record alone */
	VOLUME_RELEASE, /* nobody holds it any more */
	VOLUME_WAIT,
	VOLUME_LOOK, /* ask the host what cards its holder has */
	VOLUME_REMOVE,
};

enum volume_seen {
	VOLUME_UNSEEN,
	VOLUME_NO_CARD,
	VOLUME_CARD,	    /* also while it starts, restarts, leaves */
	VOLUME_FAILED_CARD, /* it is in its slot, and its host has given it up */
};

/* Stored; changed by the functions here only. All zeros: to be created. */
struct volume_record {
	struct attempt attempt;		  /* doing: one of CREATE to DELETE */
	uint8_t state;			  /* enum volume_state */
	bool in_specification;		  /* that its holder was launched with */
	uint8_t holder[ATTEMPT_UID_SIZE]; /* from attaching to detaching */
	uint8_t slot;
	/* bytes: it has, or more if a resize that its host did not confirm was taken back; and will
	 * have after a resize under way */
	uint64_t size, doing_size;
};

/* What else is known now. `lives` and `down` are both false if that is not known. */
struct volume_view {
	bool lives; /* its holder was seen running */
	bool down;  /* instance_is_down() */
	enum volume_seen card;
	uint64_t asked;		      /* when the question for the card was sent, ms */
	bool reachable, usable, keys; /* of its host: trust.h */
	bool lost;		      /* its host is none of the fleet any more */
	bool in_flight;		      /* this plane waits for an answer */
};

struct volume_decision {
	enum volume_step step;
	uint64_t until;
	const char *why;
};

/* True: the record has changed. */
bool volume_saw(struct volume_record *record, const struct volume_view *view);
struct volume_decision volume_next(const struct volume_record *record,
				   const struct volume_want *want, const struct volume_view *view,
				   uint64_t now);
/* Of any step but NOTHING, WAIT, LOOK, REMOVE. */
void volume_begin(struct volume_record *record, const struct volume_want *want,
		  enum volume_step step, uint64_t now);
void volume_id(const struct volume_record *record, const uint8_t uid[ATTEMPT_UID_SIZE],
	       uint8_t id[ATTEMPT_ID_SIZE]);
bool volume_answered(struct volume_record *record, uint32_t number, enum attempt_outcome outcome,
		     uint64_t now, uint64_t random);
/* Its holder is about to be launched with it, or started: stored with the beginning of that, in one
 * commit with the instance's record, so that nobody else has released it meanwhile. */
void volume_launched(struct volume_record *record);
void volume_resume(struct volume_record *record, uint64_t now);

bool volume_step_is_request(enum volume_step step);
const char *volume_state_name(enum volume_state state);

/* ---- what may be asked for ---- */

/* Of whom a volume is to be attached to. */
struct volume_holder {
	uint8_t uid[ATTEMPT_UID_SIZE];
	bool gone;	/* or about to be */
	bool same_host; /* as the volume, or on none yet */
	bool key;	/* the volume's is there */
	uint32_t slots; /* bit n: slot n is taken */
};

/* NULL: it may; else why not, for people. Attached there already: it may. */
const char *volume_may_attach(const struct volume_record *record, const struct volume_want *want,
			      const struct volume_holder *holder);
const char *volume_may_delete(const struct volume_record *record, const struct volume_want *want);
const char *volume_may_resize(const struct volume_record *record, const struct volume_want *want,
			      uint64_t size);
/* The lowest that is free of 1 to 31; 0: none is. One that its holder has still not let go of keeps
 * its slot (record.slot) when it is wanted there again. */
unsigned volume_choose_slot(uint32_t slots);

#endif
