/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a host remembers of what it has run: a folder of the controller's own, mode 0700.
 *
 *	lock         held by whoever uses the others
 *	release      the highest release that was verified here
 *	events       what was measured since the host was started (trust/events.h)
 *	events.old   the same of the start before
 *	*.instance   the instances that the host is to have (book.h)
 *	quarantine   there: nothing starts (quarantine.h)
 *	evidence/N/  what led to a quarantine
 *
 * Each file is replaced as a whole, so that a loss of power leaves the one or the other; none is
 * believed whose digest or running hash does not come out.
 */
#ifndef KARUTA_CONTROLLER_STATE_H
#define KARUTA_CONTROLLER_STATE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "trust/events.h"

struct state {
	int folder; /* -1: not open */
	int lock;
	uint64_t release; /* 0: none was verified yet */
	uint64_t saved_release;
	struct event_log log;
	size_t saved_length; /* of the log */
};

#define STATE_NONE ((struct state){.folder = -1, .lock = -1})

/* What state_open() takes for NULL. */
int state_default_path(char *path, size_t size, struct error *error);
/* Makes the folder if there is none, opens and locks it. `path` NULL: /var/lib/karuta/host; without
 * root $XDG_STATE_HOME/karuta. Waits while another controller measures: milliseconds. */
int state_open(struct state *state, const char *path, struct error *error);
/* Without the lock, for what reads single files: each is replaced as a whole. */
int state_open_to_read(struct state *state, const char *path, struct error *error);
/* -EBADMSG: a file is not what was written; *suspect is its name. */
int state_load(struct state *state, const char **suspect, struct error *error);
/* Release and events, on the disk when it returns 0. */
int state_save(struct state *state, struct error *error);
void state_close(struct state *state);

/* A small file of a folder, whole. *text is the caller's and ends with a 0 that is not counted;
 * -ENOENT, -EFBIG, -errno. */
int state_read_file(int folder, const char *name, size_t limit, char **text, size_t *length);
int state_write_file(int folder, const char *name, const char *text, size_t length);

#endif
