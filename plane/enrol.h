/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plane's end of an enrolment (wire/enrol.h): it connects to the host that a token was made for
 * until that is there or the token has ended, and gives it a certificate. Without waiting; all
 * calls are from the thread that owns the loop.
 */
#ifndef KARUTA_PLANE_ENROL_H
#define KARUTA_PLANE_ENROL_H

#include <stdint.h>

#include "base/error.h"
#include "ca.h"
#include "os/loop.h"
#include "wire/enrol.h"

#define ENROL_TRY_SECONDS   10u /* of one connection, from its begin to its end */
#define ENROL_PAUSE_SECONDS 1u	/* between two */

struct enrolment;

struct enrolment_setup {
	const char *name;    /* the host's */
	const char *address; /* in numbers: "192.0.2.1", "::1" */
	uint16_t port;
	const uint8_t *secret; /* of the token, ENROL_SECRET_SIZE; copied */
	unsigned seconds;      /* that the token is still good for */
	const struct ca *ca;
	const char *const *addresses; /* that the certificate is for (ca.h); they and `ca` stay */
	size_t address_count;
	int64_t certificate_seconds; /* that it is good for */
	struct os_loop *loop;
};

/* Called once; the enrolment may be ended in it, and the token is not to be used again.
 *
 *	issued, no error   the host has taken it
 *	error, no issued   it has not: -ETIMEDOUT it was not there, -EKEYREJECTED it has another
 *			   token, or what the host says
 *	both               it was sent, and the host did not say that it has taken it: whoever calls
 *			   it will see
 */
typedef void (*enrolment_done_fn)(void *context, const struct ca_issued *issued,
				  const struct error *error);

/* A token, as text and as its secret. -EIO: no randomness. */
int enrolment_token(char token[ENROL_TOKEN_SIZE], uint8_t secret[ENROL_SECRET_SIZE],
		    struct error *error);

/* `done` is not called before this has returned. */
int enrolment_begin(const struct enrolment_setup *setup, enrolment_done_fn done, void *context,
		    struct enrolment **enrolment, struct error *error);
/* Deadlines. Returns after how many ms it is to be called at the latest. */
int enrolment_turn(struct enrolment *enrolment);
/* Why it has not been done yet: for who looks on. */
const char *enrolment_why(const struct enrolment *enrolment);
/* NULL is allowed. */
void enrolment_end(struct enrolment *enrolment);

#endif
