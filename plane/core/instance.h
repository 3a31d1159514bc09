/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is to be done next about an instance: pure. One step at a time, each of them repeatable:
 *
 *	saw     an answer to list or status has come: goes into the record
 *	next    the one step, or none; changes nothing
 *	begin   it goes into the record, which is stored; only then the request is sent, under the
 *	        identifier that instance_id() makes of the record
 *	answered, placed   what came of it; stored again
 *	resume  the record was read by a plane that has not written it: one that has just started,
 *or that was not the only one
 *
 * A host knows it under a name that has its uid in it, so that what is seen there is never
 *another's. The record is stored with compare-and-swap: of two planes that decide at the same time
 *one sends.
 *
 * An instance is on one host at most. It is launched nowhere else before the host of an earlier
 * launch has refused that launch and then told that it has no such instance, and never after one
 * has worked: to bring it back without its host is recovery's, not this. Whoever removes a host
 *from the fleet answers for what is on it: only then an instance can go without a word of its host.
 */
#ifndef KARUTA_PLANE_INSTANCE_H
#define KARUTA_PLANE_INSTANCE_H

#include "attempt.h"

#define INSTANCE_STEADY 120000u /* ms it has to run for earlier failures to be forgotten */

enum instance_wanted {
	INSTANCE_RUNNING,
	INSTANCE_STOPPED,
	INSTANCE_GONE,
};

struct instance_want {
	enum instance_wanted wanted;
	uint64_t generation; /* of its specification with its volumes: grows with each change, from
				1 */
	uint64_t starts;  /* how often it was asked to run, from 1: a guest that powers itself off
			   * stays off until this grows */
	uint64_t reboots; /* how often a reboot was asked for, from 0 */
	bool keys;	  /* its cards need some */
	bool kill;	  /* one that does not stop within `grace` ms is killed */
	uint64_t grace;
};

/* What the host tells: karuta-controller-serve(8). */
enum instance_seen {
	INSTANCE_UNSEEN,
	INSTANCE_ABSENT,
	INSTANCE_RUNS, /* also starting, paused, ending */
	INSTANCE_ENDED,
	INSTANCE_RESTARTS,
	INSTANCE_KEYLESS, /* waiting for keys */
	INSTANCE_FAILED,
};

struct instance_sight {
	enum instance_seen state;
	uint64_t asked; /* when the question was sent, ms */
};

/* Numbers are stored and part of identifiers: new ones go to the end. */
enum instance_step {
	INSTANCE_NOTHING, /* until something is seen or wanted that is not now */
	INSTANCE_LAUNCH,  /* requests to the host, by these verbs; what */
	INSTANCE_START,	  /* needs keys is sent with them */
	INSTANCE_STOP,
	INSTANCE_KILL,
	INSTANCE_REBOOT, /* reset */
	INSTANCE_FORGET,
	INSTANCE_WAIT,		 /* nothing, until a time */
	INSTANCE_LOOK,		 /* ask the host what it has, then decide */
	INSTANCE_PLACE,		 /* choose a host; if it had one, better another */
	INSTANCE_ATTACH_VOLUMES, /* those that it waits for: volume.h */
	INSTANCE_DETACH_VOLUMES,
	INSTANCE_REMOVE, /* nothing is left of it anywhere: the record can go */
};

/* Stored; changed by the functions here only. All zeros: just made. */
struct instance_record {
	struct attempt attempt;	  /* doing: one of LAUNCH to FORGET */
	bool placed;		  /* it has a host; which one is the caller's to store */
	bool refused;		  /* the last launch was, with nothing of it left under way */
	uint64_t generation;	  /* that the host has launched last; 0: none, on this host */
	uint64_t starts, reboots; /* done */
	uint64_t doing_starts, doing_reboots; /* with the step under way */
	uint64_t started;		      /* a launch or start was done, ms */
	uint64_t stop_begun; /* since then it was asked to stop, first at, ms; 0: not */
	uint64_t
		stop_loose; /* a stop or kill that nobody has answered was sent last, ms; 0: none */
	uint64_t starts_known; /* wanted, when something was seen last */
	bool failure_counted;  /* that it was refused, lost or is `failed` */
};

/* What else is known now. */
struct instance_view {
	struct instance_sight sight;
	bool reachable, usable, keys; /* of its host: trust.h */
	bool lost;		      /* its host is none of the fleet any more */
	enum instance_step in_flight; /* this plane waits for an answer; NOTHING: to none */
	bool attach_volumes;	      /* some of its specification are not this instance's yet */
	bool detach_volumes; /* it has some that are not of its specification (gone: any) */
};

struct instance_decision {
	enum instance_step step;
	uint64_t until;	 /* of WAIT, ms */
	const char *why; /* for people: what it waits for; "": there is nothing to say */
};

/* True: the record has changed. */
bool instance_saw(struct instance_record *record, const struct instance_want *want,
		  const struct instance_sight *sight, uint64_t now, uint64_t random);
struct instance_decision instance_next(const struct instance_record *record,
				       const struct instance_want *want,
				       const struct instance_view *view, uint64_t now);
/* Of a step that is a request: LAUNCH to FORGET. */
void instance_begin(struct instance_record *record, const struct instance_want *want,
		    enum instance_step step, uint64_t now);
/* Of the step under way. */
void instance_id(const struct instance_record *record, const uint8_t uid[ATTEMPT_UID_SIZE],
		 uint8_t id[ATTEMPT_ID_SIZE]);
/* `number`: attempt.number when it was sent. False: nothing has changed, it was not the last. */
bool instance_answered(struct instance_record *record, uint32_t number,
		       enum attempt_outcome outcome, uint64_t now, uint64_t random);
/* `fits`: a host was found; the caller stores which with this. */
void instance_placed(struct instance_record *record, bool fits, uint64_t now, uint64_t random);
void instance_resume(struct instance_record *record, uint64_t now);

/* Nothing of it runs, and nothing that was ever sent can make it run: its volumes can be given to
 * another. */
bool instance_is_down(const struct instance_record *record, const struct instance_sight *sight);
bool instance_step_is_request(enum instance_step step);

#endif
