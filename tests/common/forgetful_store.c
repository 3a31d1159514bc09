/* SPDX-License-Identifier: Apache-2.0 */
#include "forgetful_store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store_bytes.h"

/* A disk carries each request out or does not, whenever its card is killed: what was begun is done
 * again from the copy. */
struct pending {
	_Atomic uint32_t valid;
	uint32_t op, flags;
	uint64_t offset, length;
};

struct forgetful {
	struct store store;
	uint8_t *now, *kept, *copy, *differs;
	struct pending *pending;
};

static void lay_out(struct forgetful *forgetful, uint8_t *bytes, uint64_t size)
{
	forgetful->store.size = size;
	forgetful->now = bytes;
	forgetful->kept = bytes + size;
	forgetful->copy = bytes + 2 * size;
	forgetful->differs = bytes + 3 * size;
	forgetful->pending = (void *)(bytes + 3 * size + size / STORE_BLOCK);
}

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

static void change(struct forgetful *forgetful)
{
	const struct pending *pending = forgetful->pending;
	uint64_t end = pending->offset + pending->length;

	memcpy(forgetful->now + pending->offset, forgetful->copy + pending->offset,
	       pending->length);
	for (uint64_t block = pending->offset / STORE_BLOCK; block * STORE_BLOCK < end; block++) {
		forgetful->differs[block] = 1;
		if (pending->flags & STORE_FUA)
			keep(forgetful, block);
	}
}

/* As often as it takes. */
static void carry_out(struct forgetful *forgetful)
{
	if (!forgetful->pending->valid)
		return;
	if (forgetful->pending->op == STORE_FLUSH)
		flush(forgetful);
	else
		change(forgetful);
	forgetful->pending->valid = 0;
}

static void submit(struct store *store, struct store_request *request)
{
	struct forgetful *forgetful = (struct forgetful *)store;
	struct pending *pending = forgetful->pending;

	store_bytes_carry_out(request->op == STORE_READ ? forgetful->now : forgetful->copy,
			      request);
	pending->op = request->op;
	pending->flags = request->flags;
	pending->offset = request->offset;
	pending->length = request->length;
	pending->valid = request->op != STORE_READ;
	carry_out(forgetful);
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
	forgetful->store = (struct store){.ops = &forgetful_ops, .event_fd = -1};
	lay_out(forgetful, bytes, size);
	*store = &forgetful->store;
	return 0;
}

void forgetful_store_lose_power(uint8_t *bytes, uint64_t size, unsigned (*chance)(void))
{
	struct forgetful forgetful = {0};

	lay_out(&forgetful, bytes, size);
	carry_out(&forgetful);
	for (uint64_t block = 0; block < size / STORE_BLOCK; block++)
		if (forgetful.differs[block] && chance() % 2)
			keep(&forgetful, block);
	memcpy(forgetful.now, forgetful.kept, size);
	memset(forgetful.differs, 0, size / STORE_BLOCK);
}
