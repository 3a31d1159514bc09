/* SPDX-License-Identifier: Apache-2.0 */
/* The controller that a keeper has in its charge: the process, what it is started with, and what it
 * leaves behind when it dies. */
#ifndef KARUTA_KEEPER_CHARGE_H
#define KARUTA_KEEPER_CHARGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "records.h"

#define CHARGE_PASSED_MAX 8u

struct charge {
	/* As the keeper was told, all its life. */
	char *const *arguments;
	int end;		       /* number of the socket's other end in the controller */
	int passed[CHARGE_PASSED_MAX]; /* descriptors that it has under the same numbers */
	size_t passed_count;

	int self; /* the keeper's own program, which the controller has as `end` + 1 */
	int program;
	int old_program; /* while another is tried in its place: what is gone back to; else -1 */
	int socket;	 /* -1: there is no controller */
	pid_t pid;	 /* 0: the same */
	int pidfd;
	bool ready;	/* one was: it is started again from then on */
	bool served;	/* this one was */
	bool ending;	/* it has nothing left to do */
	bool replaced;	/* it was killed for the sake of another program */
	bool went_back; /* that was of no use: KEEP_WENT_BACK */
	bool orphans;	/* there may be some */
	uint64_t start_at, started;
	uint64_t ready_by; /* 0: whenever it is */
	unsigned failures; /* since one was READY for a while */
};

/* Starts it; where that fails, it is tried again at `start_at`, if one has ever been READY. -errno
 */
int charge_start(struct charge *charge);
/* It runs already, with the other end of `socket`. If it has died since, there is none: what it has
 * said is to be read yet. */
int charge_adopt(struct charge *charge, int socket, pid_t pid);
/* It has died, as its pidfd tells. -1, or what the keeper is to end with. */
int charge_died(struct charge *charge);
void charge_end_process(const struct charge *charge);
/* Another program in its place, which is taken over. */
void charge_replace(struct charge *charge, int program);
void charge_is_ready(struct charge *charge);
void charge_turn(struct charge *charge, uint64_t now);
/* Kills every child that no record names, takes the dead ones away. */
void charge_sweep(const struct charge *charge, const struct records *records);

#endif
