/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host on which something was not what it is to be. Nothing is started until a person says so;
 * what runs, and was intact when it was started, goes on. The suspect file and the event log are
 * kept, with their digests.
 */
#ifndef KARUTA_CONTROLLER_QUARANTINE_H
#define KARUTA_CONTROLLER_QUARANTINE_H

#include <stdio.h>

#include "base/error.h"
#include "state.h"
#include "trust/digest.h"

#define QUARANTINE_TEXT_MAX 512u

#define QUARANTINE_REASON_MAX 200u

struct suspect {
	const char *name;		     /* of the file, without folder */
	int copy;			     /* of all that it holds; -1: there is none */
	const struct trust_digest *expected; /* NULL: not known */
	const struct trust_digest *found;    /* NULL: not known */
	const char *why;
};

/* Begins a quarantine, or goes on with the one there is. Returns -EPERM and says why, also if the
 * evidence cannot be kept. */
int quarantine_begin(struct state *state, const struct suspect *suspect, struct error *error);
/* The first step, for a suspect that is a file of the state: it becomes the mark, in one step, and
 * is what it was no longer. quarantine_begin() is to follow. 0 or -errno with the reason. */
int quarantine_begin_with(const struct state *state, const char *name, struct error *error);
/* -EPERM with the reason: there is one. */
int quarantine_check(const struct state *state, struct error *error);
/* Why, as a line of text; "": there is none. `path` as for state_open(). */
int quarantine_read(const char *path, char *text, size_t size, struct error *error);
/* One line of printable text: it goes into files that are read line by line. -EINVAL. */
int quarantine_check_reason(const char *reason, struct error *error);
/* Ends it: `who` and `why` are kept with the evidence and in the event log. -ENOENT: there is none.
 */
int quarantine_end(struct state *state, const char *who, const char *why, struct error *error);
/* All evidence, with whether the files are still what was kept. */
int quarantine_list(const struct state *state, FILE *to, struct error *error);

#endif
