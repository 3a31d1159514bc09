/* SPDX-License-Identifier: Apache-2.0 */
#include "thread_store.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "os/fd.h"
#include "store/queue.h"
#include "store_bytes.h"

#define MAX_PENDING 8192u

struct thread_store {
	struct store store; /* first */
	uint8_t *bytes;
	unsigned errors, random;
	pthread_t thread;
	pthread_mutex_t lock; /* all below */
	pthread_cond_t more;
	struct store_request *pending[MAX_PENDING];
	size_t count;
	struct store_queue ended;
	bool stop;
};

/* Of the worker's thread only. */
static unsigned draw(struct thread_store *store)
{
	store->random = store->random * 1103515245u + 12345u;
	return store->random >> 8;
}

/* With the lock held. */
static struct store_request *take_one(struct thread_store *store)
{
	size_t index = draw(store) % store->count;
	struct store_request *request = store->pending[index];

	store->pending[index] = store->pending[--store->count];
	return request;
}

static void work(struct thread_store *store, struct store_request *request)
{
	bool fails = store->errors && draw(store) % store->errors == 0;

	if (draw(store) % 4 == 0)
		usleep(draw(store) % 300);
	if (!fails)
		store_bytes_carry_out(store->bytes, request);
	/* Until the owner has it back it is ours: the answer is kept here. */
	request->private = fails ? store : NULL;
}

static void *run(void *context)
{
	struct thread_store *store = context;

	pthread_mutex_lock(&store->lock);
	while (!store->stop) {
		struct store_request *request;

		if (!store->count) {
			pthread_cond_wait(&store->more, &store->lock);
			continue;
		}
		request = take_one(store);
		pthread_mutex_unlock(&store->lock);
		work(store, request);
		pthread_mutex_lock(&store->lock);
		store_queue_push(&store->ended, request);
		os_eventfd_signal(store->store.event_fd);
	}
	pthread_mutex_unlock(&store->lock);
	return NULL;
}

static void submit(struct store *base, struct store_request *request)
{
	struct thread_store *store = (struct thread_store *)base;

	pthread_mutex_lock(&store->lock);
	if (store->count == MAX_PENDING)
		abort();
	store->pending[store->count++] = request;
	pthread_cond_signal(&store->more);
	pthread_mutex_unlock(&store->lock);
}

static void kick(struct store *base)
{
	(void)base;
}

static void poll_ended(struct store *base)
{
	struct thread_store *store = (struct thread_store *)base;
	struct store_queue ended;
	struct store_request *request;

	os_eventfd_drain(base->event_fd);
	pthread_mutex_lock(&store->lock);
	ended = store->ended;
	store->ended = (struct store_queue){0};
	pthread_mutex_unlock(&store->lock);
	while ((request = store_queue_pop(&ended)))
		request->done(request, request->private ? -EIO : 0);
}

static void destroy(struct store *base)
{
	struct thread_store *store = (struct thread_store *)base;

	pthread_mutex_lock(&store->lock);
	store->stop = true;
	pthread_cond_signal(&store->more);
	pthread_mutex_unlock(&store->lock);
	pthread_join(store->thread, NULL);
	os_close(&base->event_fd);
	free(store);
}

static const struct store_ops thread_ops = {
	.name = "thread",
	.submit = submit,
	.kick = kick,
	.poll = poll_ended,
	.destroy = destroy,
};

int thread_store_create(struct store **result, uint8_t *bytes, uint64_t size, unsigned errors)
{
	struct thread_store *store = calloc(1, sizeof(*store));

	if (!store)
		return -ENOMEM;
	store->bytes = bytes;
	store->errors = errors;
	store->random = errors + 1;
	pthread_mutex_init(&store->lock, NULL);
	pthread_cond_init(&store->more, NULL);
	store->store = (struct store){.ops = &thread_ops, .size = size, .event_fd = os_eventfd()};
	if (store->store.event_fd < 0 || pthread_create(&store->thread, NULL, run, store)) {
		os_close(&store->store.event_fd);
		free(store);
		return -EAGAIN;
	}
	*result = &store->store;
	return 0;
}
