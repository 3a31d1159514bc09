/* SPDX-License-Identifier: Apache-2.0 */
#include "forgetful_store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store_bytes.h"

struct forgetful {
	struct store store;
	uint8_t *now, *kept, *differs;
};

static void keep(struct forgetful *forgetful, uint64_t block)
{
	uint64_t at = block * STORE_BLOCK;

	memcpy(forgetful->kept + at, forgetful->now + at, STORE_BLOCK);
	forgetful->differs[block] = 0;
}

static void flush(struct forgetful *forgetful)
{
	for (uint64_t block = 0; block < forgetful->store.size / STORE_BLOCK; block++)
		if (forgetful->differs[block])
			keep(forgetful, block);
}

static void note_change(struct forgetful *forgetful, const struct store_request *request)
{
	uint64_t end = request->offset + request->length;

	for (uint64_t block = request->offset / STORE_BLOCK; block * STORE_BLOCK < end; block++) {
		forgetful->differs[block] = 1;
		if (request->flags & STORE_FUA)
			keep(forgetful, block);
	}
}

static void submit(struct store *store, struct store_request *request)
{
	struct forgetful *forgetful = (struct forgetful *)store;

	store_bytes_carry_out(forgetful->now, request);
	if (request->op == STORE_FLUSH)
		flush(forgetful);
	else if (request->op != STORE_READ)
		note_change(forgetful, request);
	request->done(request, 0);
}

static void nothing(struct store *store)
{
	(void)store;
}

static void destroy(struct store *store)
{
	free(store);
}

static const struct store_ops forgetful_ops = {
	.name = "forgetful",
	.submit = submit,
	.kick = nothing,
	.poll = nothing,
	.destroy = destroy,
};

int forgetful_store_create(struct store **store, uint8_t *bytes, uint64_t size)
{
	struct forgetful *forgetful = calloc(1, sizeof(*forgetful));

	if (!forgetful)
		return -ENOMEM;
	forgetful->store = (struct store){.ops = &forgetful_ops, .size = size, .event_fd = -1};
	forgetful->now = bytes;
	forgetful->kept = bytes + size;
	forgetful->differs = bytes + 2 * size;
	*store = &forgetful->store;
	return 0;
}

void forgetful_store_lose_power(uint8_t *bytes, uint64_t size, unsigned (*chance)(void))
{
	struct forgetful forgetful = {
		.now = bytes, .kept = bytes + size, .differs = bytes + 2 * size};

	for (uint64_t block = 0; block < size / STORE_BLOCK; block++)
		if (forgetful.differs[block] && chance() % 2)
			keep(&forgetful, block);
	memcpy(forgetful.now, forgetful.kept, size);
	memset(forgetful.differs, 0, size / STORE_BLOCK);
}
