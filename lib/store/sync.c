/* SPDX-License-Identifier: Apache-2.0 */
#include <poll.h>
#include <stdbool.h>

#include "os/clock.h"
#include "os/fd.h"
#include "store.h"

struct waiter {
	struct store_request request; /* first */
	bool finished;
	int error;
};

static void done(struct store_request *request, int error)
{
	struct waiter *waiter = (struct waiter *)request;

	waiter->error = error;
	waiter->finished = true;
}

int store_do(struct store *store, enum store_op op, uint64_t offset, void *buffer, uint64_t length)
{
	struct iovec iov = {.iov_base = buffer, .iov_len = length};
	struct waiter waiter = {.request = {.op = op,
					    .offset = offset,
					    .length = length,
					    .iov = &iov,
					    .iov_count = 1,
					    .done = done}};

	store_submit(store, &waiter.request);
	store_kick(store);
	while (!waiter.finished) {
		if (store->event_fd >= 0)
			os_wait(store->event_fd, POLLIN, os_now() + NS_PER_S);
		store_poll(store);
	}
	return waiter.error;
}
