/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs another program and waits for it: no shell, an argument array, found by PATH. Its output and
 * error go line by line to a log file and to a function; when it fails the last lines of the log
 * are shown. It is a process group of its own, so that an interrupt ends all that it started.
 */
#ifndef KARUTA_CLI_CHILD_H
#define KARUTA_CLI_CHILD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct child {
	const char *const *argv; /* NULL at the end */
	const char *folder;	 /* to run in; NULL: here */
	int log;		 /* descriptor, or -1 */
	int keep[2];		 /* descriptors that it has under the same numbers; 0: none */
	bool stubborn;		 /* goes on after an interrupt: for tidying up */
	/* One line without its end, cut at 1 KiB; may be NULL. */
	void (*line)(void *context, const char *line);
	void (*tick)(void *context); /* several times a second; may be NULL */
	void *context;
};

/* 0; -ENOENT not installed; -EINTR interrupted; -ECHILD it failed. `error` says all that. */
int child_run(const struct child *child, struct error *error);

#endif
