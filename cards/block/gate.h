/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where commands wait for the tokens of limiter.h, before the store sees them: a line for each
 * submission queue, and the lines take turns.
 */
#ifndef KARUTA_CARDS_BLOCK_GATE_H
#define KARUTA_CARDS_BLOCK_GATE_H

#include "limiter.h"
#include "nvme/state.h"
#include "store/queue.h"
#include "store/store.h"

struct gate {
	struct limiter limiter;
	struct store *store;
	int timer; /* wakes up for gate_release(); -1: there is no limit, and nothing comes here */
	unsigned waiting;
	unsigned turn;			       /* the line that is asked next */
	struct store_queue lines[NVME_QUEUES]; /* by submission queue */
};

/* To the store now, or into the line. */
void gate_submit(struct gate *gate, unsigned queue, struct store_request *request);
/* The timer has fired: lets through what there are tokens for. */
void gate_release(struct gate *gate);
/* Ends all that waits with -ECANCELED: the store has not seen it. */
void gate_cancel(struct gate *gate);

#endif
