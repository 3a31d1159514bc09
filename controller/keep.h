/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keeper (wire/keep.h) as the controller sees it. What it is given is there again for the next
 * controller, as it was given last. A keeper that dies is replaced, and given all of it again.
 *
 * `run` has none: then nothing is kept, and nothing outlives its controller.
 */
#ifndef KARUTA_CONTROLLER_KEEP_H
#define KARUTA_CONTROLLER_KEEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "os/loop.h"
#include "wire/keep.h"

/* Which record: of what kind, of which unit, slot of it, or place in a table. */
enum keep_kind {
	KEEP_SOCKET = 1, /* that is listened on */
	KEEP_UNIT,
	KEEP_SLOT,
	KEEP_OPERATION,
	KEEP_ALARM,
	KEEP_HOST_UPDATE,
};

static inline uint64_t keep_key(enum keep_kind kind, unsigned unit, unsigned slot)
{
	return (uint64_t)kind << 32 | unit << 8 | slot;
}

struct keep_record {
	uint64_t key;
	pid_t pids[KEEP_PIDS_MAX];
	const char *bytes;
	size_t length;
	int *fds;
	size_t fd_count;
};

/* `socket` is taken over; `pid` is the keeper. */
int keep_open(int socket, pid_t pid);
/* The same with a socket that the keeper has made. */
int keep_open_inherited(int socket);
/* Its end is noticed at once from then on. */
int keep_watch(struct os_loop *loop);
bool keep_is_open(void);
/* There is one, or there was and there will be another. */
bool keep_is_used(void);
/* Calls `each` with every record; the descriptors in it are its to take (setting them to -1).
 * *outcome: what has become of the program that this one was to be replaced with, or is. */
int keep_list(void (*each)(void *context, struct keep_record *record), void *context,
	      enum keep_outcome *outcome, struct error *error);
/* `record` and its descriptors stay the caller's. -errno: the keeper does not have it. */
int keep_put(const struct keep_record *record);
void keep_drop(uint64_t key);
/* From now on it is started again when it dies. */
void keep_ready(void);
/* All is done: the keeper ends when this process does. */
void keep_ending(void);
/* How one has ended that is not our child. False: that is not known. */
bool keep_wait(pid_t pid, int *code, int *status);
/* This process ends; the program goes on in its place. -errno: it does not. */
int keep_replace(int program);
/* The keeper goes on as that program. -errno: as it was, or there is none any more. */
int keep_renew(int program);
/* True, once: there is none any more. Another one has to be given everything. */
bool keep_lost(void);

#endif
