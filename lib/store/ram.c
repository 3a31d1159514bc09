/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks in the process's own memory. Every request is done before store_submit() returns. A
 * request that is submitted from inside another's done() is queued and carried out by the loop
 * below it on the stack, so that a caller which submits anew for ever does not grow the stack.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/base.h"
#include "iov.h"
#include "queue.h"
#include "store.h"

struct ram {
	struct store store;
	uint8_t *bytes;
	struct store_queue queue;
	bool running;
};

/* Whole blocks go back to the kernel, which gives zeros for them at the next touch. */
static void discard(struct ram *ram, uint64_t offset, uint64_t length)
{
	uint64_t end = offset + length;
	uint64_t first = min_u64(align_up(offset, STORE_BLOCK), end);
	uint64_t last = max_u64(align_down(end, STORE_BLOCK), first);

	memset(ram->bytes + offset, 0, first - offset);
	memset(ram->bytes + last, 0, end - last);
	if (last > first && madvise(ram->bytes + first, last - first, MADV_DONTNEED) < 0)
		memset(ram->bytes + first, 0, last - first);
}

static void carry_out(struct ram *ram, struct store_request *request)
{
	struct store_cursor cursor = {.piece = request->iov};

	switch (request->op) {
	case STORE_READ:
		store_cursor_scatter(&cursor, ram->bytes + request->offset, request->length);
		break;
	case STORE_WRITE:
		store_cursor_gather(&cursor, ram->bytes + request->offset, request->length);
		break;
	case STORE_DISCARD:
		discard(ram, request->offset, request->length);
		break;
	case STORE_FLUSH:
		break;
	}
	request->done(request, 0);
}

static void submit(struct store *store, struct store_request *request)
{
	struct ram *ram = (struct ram *)store;

	store_queue_push(&ram->queue, request);
	if (ram->running)
		return;
	ram->running = true;
	while ((request = store_queue_pop(&ram->queue)))
		carry_out(ram, request);
	ram->running = false;
}

static void nothing(struct store *store)
{
	(void)store;
}

static void destroy(struct store *store)
{
	struct ram *ram = (struct ram *)store;

	munmap(ram->bytes, store->size);
	free(ram);
}

static const struct store_ops ram_ops = {
	.name = "ram",
	.submit = submit,
	.kick = nothing,
	.poll = nothing,
	.destroy = destroy,
};

int store_ram_create(struct store **store, uint64_t size, struct error *error)
{
	struct ram *ram;

	if (!size || size % STORE_BLOCK || size > PTRDIFF_MAX)
		return error_set(error, EINVAL, "RAM store: the size must be a multiple of %u",
				 STORE_BLOCK);
	ram = calloc(1, sizeof(*ram));
	if (!ram)
		return error_set(error, ENOMEM, "RAM store: out of memory");
	ram->bytes = mmap(NULL, size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (ram->bytes == MAP_FAILED) {
		free(ram);
		return error_set(error, ENOMEM, "RAM store: no address space for %llu bytes",
				 (unsigned long long)size);
	}
	madvise(ram->bytes, size, MADV_HUGEPAGE);
	ram->store = (struct store){.ops = &ram_ops, .size = size, .event_fd = -1};
	*store = &ram->store;
	return 0;
}
