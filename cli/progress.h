/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a person sees while something takes long, on standard error. On a terminal one line that is
 * drawn anew (a bar where the total is known, the seconds otherwise) and ends as "step ... 3.2 s";
 * elsewhere one plain line at the beginning of a step and one at its end.
 */
#ifndef KARUTA_CLI_PROGRESS_H
#define KARUTA_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
	char title[96];
	uint64_t total; /* 0: unknown */
	uint64_t done;
	uint64_t started, drawn; /* os_now() */
	bool terminal, open;
};

/* Ends the step that is open, if there is one. The title is copied, and cut. */
void progress_step(struct progress *progress, const char *title, uint64_t total);
/* Draws at most ten times a second. */
void progress_update(struct progress *progress, uint64_t done);
void progress_end(struct progress *progress);
/* Nothing is left of the line: something better is printed. */
void progress_clear(struct progress *progress);
/* After a failure: leaves the line as it is. */
void progress_abandon(struct progress *progress);

#endif
