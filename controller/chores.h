/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What callers over the network ask for that concerns no instance and takes long: a thread does it
 * while the loop goes on, and may wait for a program. It touches nothing but its chore.
 *
 *	finish-image		digests of the parts
 *	make-volume, image	karuta-fill encrypts into a file without a name, which gets its name
 *then copy-volume		blocks are shared or copied into such a file
 *
 * A controller that ends or dies leaves no file with a name; the keeper ends a program that is
 * nobody's any more.
 */
#ifndef KARUTA_CONTROLLER_CHORES_H
#define KARUTA_CONTROLLER_CHORES_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "areas.h"
#include "base/error.h"
#include "images.h"
#include "keyring.h"
#include "operations.h"
#include "os/newfile.h"

#define CHORES_MAX 4u /* at once */

struct fleet;

struct chore {
	struct operation *operation; /* NULL: this place is free */
	/* In a thread of its own. 0, or -errno with `error`. */
	int (*run)(struct chore *chore);
	const char *files;		/* the fleet's */
	char image[IMAGE_NAME_MAX + 1]; /* finish-image: which */
	struct image_digests digests;	/* the same */
	struct os_newfile file;		/* the volume to be */
	int from;			/* copy-volume: the other one; else -1 */
	int process;			/* make-volume: pidfd of karuta-fill; else -1 */
	pid_t pid;			/* the same */
	struct keyring keys;	   /* the same: its descriptor reads zeros when they are gone */
	struct area words;	   /* the same: its standard error */
	uint64_t deadline;	   /* the same, of os_now() */
	int signal;		   /* what has ended it; 0: none */
	char text[OPERATION_TEXT]; /* what is answered when it is done */

	pthread_t thread;
	bool begun;
	_Atomic bool ended, stop;
	struct error error; /* once it has ended */
};

/* A place for one. NULL: too many are under way. */
struct chore *chores_place(struct fleet *fleet, struct operation *operation, struct error *error);
/* The chore is begun, or, -errno, gone. */
int chores_begin(struct chore *chore, int (*run)(struct chore *chore), struct error *error);
/* One that is not begun. */
void chores_drop(struct chore *chore);
/* Is this image being finished? */
bool chores_have_image(const struct fleet *fleet, const char *image);
/* Returns after how many ms there may be something to do. */
int chores_turn(struct fleet *fleet);
bool chores_are_done(const struct fleet *fleet);
/* Ends all, and waits for that; nothing is told. */
void chores_free(struct fleet *fleet);

#endif
