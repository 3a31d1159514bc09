/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A step that somebody else carries out, until it is known what has come of it. Pure.
 *
 *	begin     it is about to be sent: this is stored first, so that a plane that comes after one
 *	          that was killed knows what may have been sent, and asks the same again
 *	answered  done or refused: over; no answer: nobody knows, and it is asked again later
 *
 * All times are ms of one clock that does not go back in one life of the plane.
 */
#ifndef KARUTA_PLANE_ATTEMPT_H
#define KARUTA_PLANE_ATTEMPT_H

#include <stdbool.h>
#include <stdint.h>

#define ATTEMPT_ID_SIZE	    16u
#define ATTEMPT_UID_SIZE    16u
#define ATTEMPT_PAUSE_FIRST 1000u /* ms, doubled by each failure */
#ifndef ATTEMPT_PAUSE_MOST
#define ATTEMPT_PAUSE_MOST 300000u /* ms */
#endif
/* ms that an answer is waited for at most; till then a caller may send it again by itself. */
#define ATTEMPT_DEADLINE 90000u
/* ms after which a request is nowhere any more: a host drops those that are not whole within a
 * minute. */
#ifndef ATTEMPT_SETTLED
#define ATTEMPT_SETTLED (ATTEMPT_DEADLINE + 90000u)
#endif

enum attempt_outcome {
	ATTEMPT_DONE,
	ATTEMPT_REFUSED,    /* answered with an error */
	ATTEMPT_UNANSWERED, /* in time */
};

/* Stored, all of it, with what it belongs to. */
struct attempt {
	uint8_t doing;	 /* a step that is begun and not over; 0: none */
	uint8_t last;	 /* the one that was begun last */
	uint32_t number; /* its number: grows with each that is begun, is the same when asked again
			  */
	uint64_t generation; /* of what is wanted, when it was begun */
	uint64_t sent;	     /* last */
	uint64_t loose;	     /* one that was given up without an answer was sent last, if that
			      * matters (attempt_give_up); 0: none */
	uint32_t failures;
	uint64_t not_before; /* for the same step again */
	uint64_t changed;    /* any of this: what was seen before says nothing any more */
};

/* A number other than those of before, but for the step that is under way: that is asked again. */
void attempt_begin(struct attempt *attempt, uint8_t step, uint64_t generation, uint64_t now);
/* Nobody will ask for the answer of the one under way. Before the next is begun. */
void attempt_give_up(struct attempt *attempt);
/* True: it was the one under way; others (late, double) change nothing. */
bool attempt_answered(struct attempt *attempt, uint32_t number, enum attempt_outcome outcome,
		      uint64_t now, uint64_t random);
/* It did not work out, whatever it was: the next pause is twice as long. */
void attempt_failed(struct attempt *attempt, uint64_t now, uint64_t random);
/* Read from the store by a plane that has not written it. Its clock may be another: what waits for
 * a time to pass, waits anew, and what was asked before now says nothing. */
void attempt_resume(struct attempt *attempt, uint64_t now);
/* When nothing that was sent as `step`, given up or still without an answer, can be carried out any
 * more, which may be past; 0: there is nothing. What was asked for and seen before says little. */
uint64_t attempt_settles(const struct attempt *attempt, uint8_t step);

/*
 * A function of its parameters and nothing else. For one uid no two of (generation, step, attempt)
 * have the same; for two uids, which are random, it is as unlikely as two equal ones of those.
 */
void attempt_id(const uint8_t uid[ATTEMPT_UID_SIZE], uint64_t generation, uint8_t step,
		uint32_t number, uint8_t id[ATTEMPT_ID_SIZE]);

/* ms after that many failures (0: none); from half of the pause to all of it, as `random` has it,
 * which is any number. */
uint64_t attempt_pause(uint32_t failures, uint64_t random);

#endif
