/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that the controller started, and all that it learns of it: whether it lives (pidfd),
 * what its status page says, and what it wrote to standard error, which is 4 KiB of memory of its
 * own. Nothing of this is a message: a program cannot make the controller do anything but read.
 */
#ifndef KARUTA_CONTROLLER_WATCH_H
#define KARUTA_CONTROLLER_WATCH_H

#include <stdbool.h>
#include <sys/types.h>

#include "areas.h"
#include "base/error.h"
#include "launch.h"
#include "os/loop.h"
#include "record.h"
#include "wire/status.h"

struct watch {
	struct os_loop *loop;
	pid_t pid; /* 0: nothing was started */
	int pidfd;
	enum status_role role;
	struct area status;
	struct area words;
	struct status_view view; /* as of the last look */
	bool broken;		 /* the page does not hold to its format */
	bool spoke;		 /* where nobody is to: examine.c */
	pid_t examined;		 /* of this one a security event has been raised */
	bool exited;
	int exit_code; /* after exit: 0..255, or -1: a signal, or not known */
	int signal;    /* that ended it, or 0 */
};

#define WATCH_NONE ((struct watch){.pidfd = -1, .status = AREA_NONE, .words = AREA_NONE})

/* Makes status page and standard error, adds them to the launch, runs it. */
int watch_start(struct watch *watch, struct launch *launch, enum status_role role,
		struct os_loop *loop, struct error *error);
/* Runs a card's program once more, after the last one has ended; its page goes on counting. */
int watch_restart(struct watch *watch, struct launch *launch, struct error *error);
/* Runs another program beside the one that runs, on the same page. */
int watch_start_beside(struct watch *watch, struct watch *now, struct launch *launch,
		       struct error *error);
/* The one that was started beside takes the place of the one that runs, which goes to *beside. */
int watch_swap(struct watch *watch, struct watch *beside, struct error *error);
/* For record.h. What was read is adopted then: from another controller, whose child it was. */
void watch_record(struct watch *watch, const char *name, struct record *record);
int watch_adopt(struct watch *watch, enum status_role role, struct os_loop *loop);
/* Looks at the status page again. */
void watch_look(struct watch *watch);
bool watch_runs(const struct watch *watch);
void watch_kill(struct watch *watch);
/* Asks it to end. */
void watch_stop(struct watch *watch);
/* Why it ended or failed: its own text if it left one, else its last words, else how it died. */
void watch_why(const struct watch *watch, char *text, size_t size);
/* The last words alone; false: there are none. */
bool watch_words(const struct watch *watch, char *text, size_t size);
/* Waits for a program that still runs after killing it; gives everything back. */
void watch_free(struct watch *watch);

#endif
