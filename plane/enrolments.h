/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hosts that were added and are not of the fleet yet. Each has a token, which is in memory only: a
 * plane that is started again has forgotten it, and the host is added again.
 */
#ifndef KARUTA_PLANE_ENROLMENTS_H
#define KARUTA_PLANE_ENROLMENTS_H

#include "doc.h"
#include "enrol.h"
#include "events.h"
#include "hosts.h"

#define ENROLMENTS_MOST	   32u
#define ENROLMENTS_SECONDS 600u

struct plane;
struct enrolling;

struct enrolments {
	struct plane *plane;
	struct enrolling *first;
	unsigned count;
};

/* For a host that is in the store. `token` is to be shown once. -EBUSY: too many are under way. */
int enrolments_begin(struct enrolments *enrolments, const json_t *host,
		     char token[ENROL_TOKEN_SIZE], struct error *error);
/* The host is not to be enrolled any more; nothing if there is none of this name. */
void enrolments_drop(struct enrolments *enrolments, const char *host);
/* Returns after how many ms it is to be called at the latest. */
int enrolments_turn(struct enrolments *enrolments);
/* Why it takes so long; NULL: it is not under way. */
const char *enrolments_why(const struct enrolments *enrolments, const char *host);
void enrolments_end(struct enrolments *enrolments);

#endif
