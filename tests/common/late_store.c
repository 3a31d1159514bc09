/* SPDX-License-Identifier: Apache-2.0 */
#include "late_store.h"

#include <stdlib.h>
#include <string.h>

#include "store_bytes.h"

static void submit(struct store *store, struct store_request *request)
{
	struct late_store *late = (struct late_store *)store;

	if (late->count == LATE_MAX)
		abort();
	late->submitted[request->op]++;
	late->pending[late->count++] = request;
}

static void nothing(struct store *store)
{
	(void)store;
}

static void end_one_at_random(struct store *store)
{
	struct late_store *late = (struct late_store *)store;

	late->random = late->random * 1103515245u + 12345u;
	if (late->count)
		late_store_end(late, (late->random >> 16) % late->count, 0);
}

static void destroy(struct store *store)
{
	struct late_store *late = (struct late_store *)store;

	free(late->bytes);
	free(late);
}

static const struct store_ops late_ops = {
	.name = "late",
	.submit = submit,
	.kick = nothing,
	.poll = end_one_at_random,
	.destroy = destroy,
};

struct late_store *late_store_create(uint64_t size)
{
	struct late_store *late = calloc(1, sizeof(*late));

	if (!late)
		return NULL;
	late->bytes = calloc(1, size);
	late->store = (struct store){.ops = &late_ops, .size = size, .event_fd = -1};
	if (late->bytes)
		return late;
	free(late);
	return NULL;
}

void late_store_end(struct late_store *late, size_t index, int error)
{
	struct store_request *request = late->pending[index];

	late->count--;
	memmove(&late->pending[index], &late->pending[index + 1],
		(late->count - index) * sizeof(late->pending[0]));
	if (!error)
		store_bytes_carry_out(late->bytes, request);
	request->done(request, error);
}

void late_store_end_all(struct late_store *late)
{
	while (late->count)
		late_store_end(late, late->count - 1, 0);
}
