/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots for callers over the network: a new file, in the folder that they may name files in,
 * which shares its blocks with a card's volume. What waits for a disk is done by a thread:
 *
 *	WRITING      what the file system has not written yet is written (syncfs(2)): the guest
 *waits for the rest only SHARING      tasks.c: the card is frozen, blocks are shared, it is thawed
 *	PUBLISHING   the file is on the disk, and then has its name
 *
 * An instance that ends before its blocks are shared leaves no file.
 */
#ifndef KARUTA_CONTROLLER_SNAPSHOTS_H
#define KARUTA_CONTROLLER_SNAPSHOTS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "instance.h"
#include "operations.h"
#include "os/newfile.h"

#define SNAPSHOTS_MAX 8u

enum snapshot_step {
	SNAPSHOT_NONE,
	SNAPSHOT_WRITING,
	SNAPSHOT_SHARING,
	SNAPSHOT_PUBLISHING,
};

struct fleet;
struct unit;

struct snapshot {
	enum snapshot_step step;
	struct unit *unit; /* NULL: it lives no longer */
	struct operation *operation;
	uint64_t ticket;
	char card[CARD_NAME_MAX + 1];
	struct os_newfile file;
	pthread_t thread; /* WRITING, PUBLISHING */
	_Atomic bool ended;
	int result;		   /* of the thread, once it has ended */
	char text[OPERATION_TEXT]; /* PUBLISHING: what the card's answer was */
};

/* `path` is a new file's. -EEXIST, -EBUSY: too many at once. */
int snapshots_begin(struct unit *unit, const char *card, const char *path,
		    struct operation *operation, struct error *error);
/* Was it the answer to one of ours? */
bool snapshots_answer(struct fleet *fleet, uint64_t ticket, int code, const char *text);
/* The unit lives no longer. */
void snapshots_lose(const struct unit *unit);
/* Returns after how many ms there may be something to do. */
int snapshots_turn(struct fleet *fleet);
bool snapshots_are_done(const struct fleet *fleet);
/* Waits for threads; what is not published is gone. */
void snapshots_free(struct fleet *fleet);

#endif
