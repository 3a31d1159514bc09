/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks in the process's own memory, encrypted (crypt.h) or not. What was submitted is carried out
 * by store_kick(), one request after the other, so that the memory of the next one can come out of
 * DRAM meanwhile. A request that is submitted from inside another's done() is carried out by the
 * same loop: a caller which submits anew for ever does not grow the stack.
 */
#include <errno.h>
#include <openssl/crypto.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/base.h"
#include "crypt.h"
#include "iov.h"
#include "queue.h"
#include "store.h"

#define CACHE_LINE 64u
#define AHEAD	   1024u

struct ram {
	struct store store;
	uint8_t *bytes;
	struct store_cipher *cipher; /* NULL: bytes are as they are */
	struct store_queue queue;
	bool running;
	uint8_t plain[STORE_BLOCK]; /* of a block that is not transferred in one piece */
};

/* ---- encrypted blocks ---- */

/* Decrypted into `to`. */
static int reveal(struct ram *ram, uint64_t block, void *to)
{
	const uint8_t *stored = ram->bytes + block * STORE_BLOCK;

	if (!store_block_is_zero(stored))
		return store_cipher_decrypt(ram->cipher, block, stored, to);
	memset(to, 0, STORE_BLOCK);
	return 0;
}

static int hide(struct ram *ram, uint64_t block, const void *from)
{
	return store_cipher_encrypt(ram->cipher, block, from, ram->bytes + block * STORE_BLOCK);
}

/* `length` bytes, all of one block or some of it, by way of `plain`. */
static int transfer_some(struct ram *ram, enum store_op op, struct store_cursor *cursor,
			 uint64_t offset, size_t length)
{
	uint64_t block = offset / STORE_BLOCK;
	uint8_t *at = ram->plain + offset % STORE_BLOCK;
	int result = reveal(ram, block, ram->plain);

	if (result < 0)
		return result;
	if (op == STORE_READ) {
		store_cursor_scatter(cursor, at, length);
		return 0;
	}
	if (op == STORE_WRITE)
		store_cursor_gather(cursor, at, length);
	else
		memset(at, 0, length);
	return hide(ram, block, ram->plain);
}

/* A whole block between the caller's memory and the store, if it lies there in one piece. */
static int transfer_block(struct ram *ram, enum store_op op, struct store_cursor *cursor,
			  uint64_t offset)
{
	void *piece = store_cursor_whole(cursor, STORE_BLOCK);
	uint64_t block = offset / STORE_BLOCK;

	if (!piece)
		return transfer_some(ram, op, cursor, offset, STORE_BLOCK);
	store_cursor_advance(cursor, STORE_BLOCK);
	return op == STORE_READ ? reveal(ram, block, piece) : hide(ram, block, piece);
}

static int transfer_encrypted(struct ram *ram, const struct store_request *request)
{
	struct store_cursor cursor = {.piece = request->iov};
	uint64_t end = request->offset + request->length, length;
	int result = 0;

	for (uint64_t at = request->offset; at < end && !result; at += length) {
		length = min_u64(end - at, STORE_BLOCK - at % STORE_BLOCK);
		if (length == STORE_BLOCK)
			result = transfer_block(ram, request->op, &cursor, at);
		else
			result = transfer_some(ram, request->op, &cursor, at, length);
	}
	return result;
}

/* ---- requests ---- */

static int transfer(struct ram *ram, const struct store_request *request)
{
	struct store_cursor cursor = {.piece = request->iov};
	uint8_t *bytes = ram->bytes + request->offset;

	if (ram->cipher)
		return transfer_encrypted(ram, request);
	if (request->op == STORE_READ)
		store_cursor_scatter(&cursor, bytes, request->length);
	else
		store_cursor_gather(&cursor, bytes, request->length);
	return 0;
}

static int clear_some(struct ram *ram, uint64_t offset, uint64_t length)
{
	if (ram->cipher && length)
		return transfer_some(ram, STORE_DISCARD, NULL, offset, length);
	memset(ram->bytes + offset, 0, length);
	return 0;
}

/* Whole blocks go back to the kernel, which gives zeros for them at the next touch. */
static int discard(struct ram *ram, uint64_t offset, uint64_t length)
{
	uint64_t end = offset + length;
	uint64_t first = min_u64(align_up(offset, STORE_BLOCK), end);
	uint64_t last = max_u64(align_down(end, STORE_BLOCK), first);
	int result = clear_some(ram, offset, first - offset);

	if (!result)
		result = clear_some(ram, last, end - last);
	if (last > first && madvise(ram->bytes + first, last - first, MADV_DONTNEED) < 0)
		memset(ram->bytes + first, 0, last - first);
	return result;
}

static int carry_out(struct ram *ram, const struct store_request *request)
{
	switch (request->op) {
	case STORE_READ:
	case STORE_WRITE:
		return transfer(ram, request);
	case STORE_DISCARD:
		return discard(ram, request->offset, request->length);
	default:
		return 0;
	}
}

/* The beginning: from it the processor sees by itself what comes next, and more would only be in
 * the way of what is worked on. */
static void fetch_ahead(const struct ram *ram, const struct store_request *request)
{
	uint64_t length = min_u64(request->length, AHEAD);

	if (request->op == STORE_FLUSH)
		return;
	for (uint64_t at = 0; at < length; at += CACHE_LINE)
		__builtin_prefetch(ram->bytes + request->offset + at);
}

static void submit(struct store *store, struct store_request *request)
{
	struct ram *ram = (struct ram *)store;

	if (!ram->queue.first)
		fetch_ahead(ram, request);
	store_queue_push(&ram->queue, request);
}

static void kick(struct store *store)
{
	struct ram *ram = (struct ram *)store;
	struct store_request *request;

	if (ram->running)
		return;
	ram->running = true;
	while ((request = store_queue_pop(&ram->queue))) {
		if (ram->queue.first)
			fetch_ahead(ram, ram->queue.first);
		request->done(request, carry_out(ram, request));
	}
	ram->running = false;
}

static void nothing(struct store *store)
{
	(void)store;
}

static int encrypt(struct store *store, const uint8_t key[STORE_KEY_SIZE], struct error *error)
{
	return store_cipher_create(&((struct ram *)store)->cipher, key, error);
}

static void destroy(struct store *store)
{
	struct ram *ram = (struct ram *)store;

	store_cipher_destroy(ram->cipher);
	OPENSSL_cleanse(ram->plain, sizeof(ram->plain));
	munmap(ram->bytes, store->size);
	free(ram);
}

static const struct store_ops ram_ops = {
	.name = "ram",
	.submit = submit,
	.kick = kick,
	.poll = nothing,
	.encrypt = encrypt,
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
