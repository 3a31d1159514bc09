/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a host comes to have a keeper (keep.h):
 *
 *	karuta-controller serve ...        measures keeper and controller, and becomes the keeper;
 *	  karuta-keeper ...                which starts
 *	    karuta-controller serve --keeper-fd N ...
 *
 * Should the keeper die, the controller starts another one beside itself. Programs whose parent the
 * first one was are nobody's children then: that they end is seen, how is not.
 */
#ifndef KARUTA_CONTROLLER_KEEPER_START_H
#define KARUTA_CONTROLLER_KEEPER_START_H

#include <stddef.h>

#include "base/error.h"
#include "call/tls.h"
#include "os/loop.h"

#define KEEPER_PASSED_MAX 8u

struct keeper_start {
	char **arguments; /* of the controller, from "serve" on; ends with NULL */
	int end;	  /* number of its end of the socket; the next is the keeper's program */
	int program;	  /* that */
	/* The numbers of descriptors that it is given, and what we have of them. */
	int passed[KEEPER_PASSED_MAX], copies[KEEPER_PASSED_MAX];
	size_t passed_count;
};

/* This process is the keeper from then on, and starts `serve` with these arguments. Returns with an
 * error only. What the files name as fd:N is read, and kept in memory. */
int keeper_become(int argc, char **argv, const struct tls_files *files, const char *audit,
		  struct error *error);
/* For keeper_again(): how the keeper has started this one. */
int keeper_remember_start(struct keeper_start *start, int end, char **argv,
			  const struct tls_files *files, struct error *error);
/* Another keeper, of the same program, which has nothing yet; *socket is the caller's. */
int keeper_again(const struct keeper_start *start, int *socket, pid_t *pid, struct error *error);

#endif
