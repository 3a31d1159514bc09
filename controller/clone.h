/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file's content in another file of the same file system, by sharing its blocks: FICLONE,
 * ioctl_ficlone(2). It may wait for the disk, so a thread does it; the caller looks from time to
 * time. The thread touches nothing but what is in here.
 */
#ifndef KARUTA_CONTROLLER_CLONE_H
#define KARUTA_CONTROLLER_CLONE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct clone {
	pthread_t thread;
	bool begun; /* and not joined yet */
	_Atomic bool ended;
	int from, to;
	int result; /* once it has ended: 0 or -errno */
};

/* `from` stays the caller's, `to` is taken over whatever comes of it. Must not move in memory until
 * it has ended. -EBUSY: the last one has not. */
int clone_begin(struct clone *clone, int from, int to);
bool clone_runs(const struct clone *clone);
/* Waits for the end. */
void clone_free(struct clone *clone);

#endif
