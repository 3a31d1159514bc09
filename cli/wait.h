/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plane notes what is wanted and answers; a while later it is so. Who wants to see that waits
 * here, with progress on standard error.
 */
#ifndef KARUTA_CLI_WAIT_H
#define KARUTA_CLI_WAIT_H

#include "api.h"
#include "cli.h"

#define WAIT_SECONDS 300u /* "5 min" in what is said then */
#define WAIT_ENDS    3u

struct wait {
	const char *kind; /* "instance" */
	const char *name;
	const char *path;
	const char *goal; /* a state; NULL: until it is not there any more */
	/* States that end it too, as "failed" does; then NULL. */
	const char *dead_ends[WAIT_ENDS];
	/* How it was before: a state that has not changed since is the old one. NULL: it is new. */
	const json_t *before;
};

/* --wait, --no-wait; without both who sits at a terminal waits, and a program does not. */
bool wait_is_wanted(const struct invocation *call);
/* 0: it is so; -EIO: it has failed; -ETIMEDOUT: not yet; -EINTR; what api_ask() returns. */
int wait_for(struct api *api, const struct wait *wait, struct error *error);

#endif
