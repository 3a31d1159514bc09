/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that wait, first in first out, linked by their own `next`. */
#ifndef KARUTA_STORE_QUEUE_H
#define KARUTA_STORE_QUEUE_H

#include "store.h"

struct store_queue {
	struct store_request *first, *last;
};

static inline void store_queue_push(struct store_queue *queue, struct store_request *request)
{
	request->next = NULL;
	if (queue->first)
		queue->last->next = request;
	else
		queue->first = request;
	queue->last = request;
}

/* NULL when empty. */
static inline struct store_request *store_queue_pop(struct store_queue *queue)
{
	struct store_request *request = queue->first;

	if (request)
		queue->first = request->next;
	return request;
}

#endif
