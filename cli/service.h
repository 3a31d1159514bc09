/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs that go on when `karuta init` has ended: units of systemd where that runs, and where it
 * does not, processes in the background with a log and a file that tells which they are.
 */
#ifndef KARUTA_CLI_SERVICE_H
#define KARUTA_CLI_SERVICE_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

#define SERVICE_ARGUMENTS 48

struct service {
	const char *name; /* "karuta-plane": its unit, and its log's and its process file's name */
	bool systemd;
	/* argv[0] is the program's path; of systemd's, the unit has the program and `options` the
	 * rest, as OPTIONS=... */
	const char *argv[SERVICE_ARGUMENTS];
	const char *options;	/* a file; what is there already stays */
	const char *logs, *run; /* folders, which are there */
	pid_t pid;		/* of this start, or 0 */
};

bool service_systemd_runs(void);
/* Starts it. The caller has seen that it does not run. */
int service_start(struct service *service, struct error *error);
/* It was started, and has ended since: `error` says what it said last. Else 0. */
int service_check(struct service *service, struct error *error);
/* What shows more of it, for people. Returns `text`. */
const char *service_where(const struct service *service, char *text, size_t size);

/* Runs argv[0] to its end with `input` for its standard input; what it says goes to
 * LOGS/NAME.log. -ECHILD: it failed; `error` has its last line. */
int service_run_once(const struct service *service, const char *const *argv, const char *input,
		     struct error *error);

#endif
