/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AES-256-XTS over another store; crypt.h tells the format.
 *
 * A request becomes a job; a job is cut into parts of at most PART_BLOCKS blocks, each one request
 * to the store below, all of them at once as far as bounce blocks reach:
 *
 *	read	below -> bounce, decrypt bounce -> caller
 *	write	encrypt caller -> bounce, bounce -> below
 *	part of a block	below -> bounce, decrypt, lay the caller's bytes over it, encrypt, bounce ->
 *		below
 *
 * The caller's memory may be a guest's: it is read once a write, and never holds stored bytes. Jobs
 * that touch the same block and change it run one after the other (order.h). A part takes all that
 * it needs before it starts, so that parts never wait for each other.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/base.h"
#include "crypt.h"
#include "iov.h"
#include "order.h"
#include "queue.h"

#define JOBS	    256u
#define PARTS	    256u
#define PART_BLOCKS 32u
#define BLOCKS	    256u /* of bounce memory: 1 MiB, touched only as far as it is needed */

struct crypt;

struct job {
	struct store_turn turn; /* first */
	struct crypt *crypt;
	struct store_request *request;
	struct store_cursor cursor; /* where the next part starts in the caller's memory */
	uint64_t issued;	    /* bytes */
	unsigned holds;		    /* parts under way; one more until all are issued */
	bool all_issued;
	int error;	  /* the first */
	struct job *next; /* free or ready */
};

enum stage { WHOLE, FETCH, MODIFIED };

struct part {
	struct store_request below; /* first */
	struct job *job;
	struct part *next_free;
	enum stage stage;
	struct store_cursor cursor; /* reads: where the plain text goes */
	uint64_t block;
	uint32_t from, length; /* FETCH: bytes within the block */
	unsigned blocks;       /* bounce blocks held: ... */
	uint16_t places[PART_BLOCKS];
	unsigned pieces; /* ... and the same as memory, neighbours joined */
	struct iovec bounce[PART_BLOCKS];
};

struct crypt {
	struct store store;
	struct store *under;
	struct store_cipher *cipher;
	struct store_order order;
	struct store_queue waiting; /* requests without a job */
	struct job *free_jobs;
	struct job *ready, *last_ready; /* jobs that may issue parts */
	bool pumping;
	struct part *free_parts;
	unsigned parts_touched; /* parts from here on were never used: their pages are not there */
	unsigned free_block_count;
	uint16_t free_blocks[BLOCKS]; /* a stack: the same few pages are used while few are needed
				       */
	uint8_t *bounce;
	struct job jobs[JOBS];
	struct part parts[PARTS];
};

/* ---- parts and bounce blocks ---- */

static uint8_t *bounce_of(const struct crypt *crypt, const struct part *part, unsigned index)
{
	return crypt->bounce + (size_t)part->places[index] * STORE_BLOCK;
}

static void take_block(struct crypt *crypt, struct part *part, unsigned index)
{
	struct iovec *last = &part->bounce[part->pieces];
	uint8_t *block;

	part->places[index] = crypt->free_blocks[--crypt->free_block_count];
	block = bounce_of(crypt, part, index);
	if (part->pieces && (uint8_t *)last[-1].iov_base + last[-1].iov_len == block) {
		last[-1].iov_len += STORE_BLOCK;
	} else {
		*last = (struct iovec){.iov_base = block, .iov_len = STORE_BLOCK};
		part->pieces++;
	}
}

static struct part *take_part(struct crypt *crypt, unsigned blocks)
{
	struct part *part = crypt->free_parts;

	if (blocks > crypt->free_block_count || (!part && crypt->parts_touched == PARTS))
		return NULL;
	if (part)
		crypt->free_parts = part->next_free;
	else
		part = &crypt->parts[crypt->parts_touched++];
	part->blocks = blocks;
	part->pieces = 0;
	for (unsigned i = 0; i < blocks; i++)
		take_block(crypt, part, i);
	return part;
}

static void give_part(struct crypt *crypt, struct part *part)
{
	for (unsigned i = part->blocks; i-- > 0;)
		crypt->free_blocks[crypt->free_block_count++] = part->places[i];
	part->next_free = crypt->free_parts;
	crypt->free_parts = part;
}

/* ---- blocks through the cipher ---- */

/* The next block of the caller's memory, encrypted into bounce memory. */
static int encrypt_next(struct crypt *crypt, struct store_cursor *cursor, uint64_t block,
			void *bounce)
{
	const void *from = store_cursor_whole(cursor, STORE_BLOCK);

	if (from) {
		store_cursor_advance(cursor, STORE_BLOCK);
	} else {
		store_cursor_gather(cursor, bounce, STORE_BLOCK);
		from = bounce;
	}
	return store_cipher_encrypt(crypt->cipher, block, from, bounce);
}

static int decrypt_next(struct crypt *crypt, struct store_cursor *cursor, uint64_t block,
			void *bounce)
{
	void *to = store_cursor_whole(cursor, STORE_BLOCK);
	int result;

	if (store_block_is_zero(bounce)) {
		store_cursor_scatter(cursor, NULL, STORE_BLOCK);
		return 0;
	}
	result = store_cipher_decrypt(crypt->cipher, block, bounce, to ? to : bounce);
	if (result < 0)
		return result;
	if (to)
		store_cursor_advance(cursor, STORE_BLOCK);
	else
		store_cursor_scatter(cursor, bounce, STORE_BLOCK);
	return 0;
}

/* A fetched block, decrypted where it lies. */
static int reveal(struct crypt *crypt, struct part *part)
{
	void *bounce = part->bounce[0].iov_base;

	if (store_block_is_zero(bounce))
		return 0;
	return store_cipher_decrypt(crypt->cipher, part->block, bounce, bounce);
}

static int decrypt_part(struct crypt *crypt, struct part *part)
{
	int result = 0;

	for (unsigned i = 0; i < part->blocks && !result; i++)
		result = decrypt_next(crypt, &part->cursor, part->block + i,
				      bounce_of(crypt, part, i));
	return result;
}

static int encrypt_part(struct crypt *crypt, struct part *part)
{
	struct store_cursor cursor = part->cursor;
	int result = 0;

	for (unsigned i = 0; i < part->blocks && !result; i++)
		result = encrypt_next(crypt, &cursor, part->block + i, bounce_of(crypt, part, i));
	return result;
}

static int read_fetched(struct crypt *crypt, struct part *part)
{
	int result = reveal(crypt, part);

	if (!result)
		store_cursor_scatter(&part->cursor,
				     (uint8_t *)part->bounce[0].iov_base + part->from,
				     part->length);
	return result;
}

static int modify_fetched(struct crypt *crypt, struct part *part)
{
	uint8_t *bounce = part->bounce[0].iov_base;
	int result = reveal(crypt, part);

	if (result < 0)
		return result;
	if (part->job->request->op == STORE_WRITE)
		store_cursor_gather(&part->cursor, bounce + part->from, part->length);
	else
		memset(bounce + part->from, 0, part->length);
	return store_cipher_encrypt(crypt->cipher, part->block, bounce, bounce);
}

/* ---- the end of parts and jobs ---- */

static void begin(struct crypt *crypt, struct store_request *request);
static void pump(struct crypt *crypt);

static void make_ready(void *context, struct store_turn *turn)
{
	struct crypt *crypt = context;
	struct job *job = (struct job *)turn;

	job->next = NULL;
	if (crypt->ready)
		crypt->last_ready->next = job;
	else
		crypt->ready = job;
	crypt->last_ready = job;
}

static void drop_hold(struct job *job)
{
	struct crypt *crypt = job->crypt;
	struct store_request *request = job->request, *waiting;
	int error = job->error;

	if (--job->holds)
		return;
	store_order_leave(&crypt->order, &job->turn, make_ready, crypt);
	job->next = crypt->free_jobs;
	crypt->free_jobs = job;
	waiting = store_queue_pop(&crypt->waiting);
	if (waiting)
		begin(crypt, waiting);
	request->done(request, error);
}

static void finish_part(struct part *part, int error)
{
	struct job *job = part->job;
	struct crypt *crypt = job->crypt;

	if (!job->error)
		job->error = error;
	give_part(crypt, part);
	drop_hold(job);
	pump(crypt);
}

static void send_modified(struct crypt *crypt, struct part *part)
{
	part->stage = MODIFIED;
	part->below.op = STORE_WRITE;
	part->below.flags = part->job->request->flags & STORE_FUA;
	store_submit(crypt->under, &part->below);
}

static void below_done(struct store_request *below, int error)
{
	struct part *part = (struct part *)below;
	struct crypt *crypt = part->job->crypt;
	bool read = part->job->request->op == STORE_READ;

	if (!error && part->stage == FETCH) {
		error = read ? read_fetched(crypt, part) : modify_fetched(crypt, part);
		if (!error && !read) {
			send_modified(crypt, part);
			return;
		}
	} else if (!error && read) {
		error = decrypt_part(crypt, part);
	}
	finish_part(part, error);
}

/* ---- the start of parts and jobs ---- */

/* What the next part covers: part of one block, or whole blocks. */
struct extent {
	enum stage stage;
	uint64_t offset, length;
	unsigned bounce_blocks;
};

static struct extent next_extent(const struct job *job)
{
	const struct store_request *request = job->request;
	uint64_t offset = request->offset + job->issued, left = request->length - job->issued;
	uint64_t within = offset % STORE_BLOCK;
	bool moves = request->op == STORE_READ || request->op == STORE_WRITE;

	if (request->op == STORE_FLUSH)
		return (struct extent){.stage = WHOLE};
	if (within || left < STORE_BLOCK)
		return (struct extent){.stage = FETCH,
				       .offset = offset,
				       .length = min_u64(left, STORE_BLOCK - within),
				       .bounce_blocks = 1};
	left = align_down(left, STORE_BLOCK);
	if (moves)
		left = min_u64(left, (uint64_t)PART_BLOCKS * STORE_BLOCK);
	return (struct extent){.stage = WHOLE,
			       .offset = offset,
			       .length = left,
			       .bounce_blocks = moves ? (unsigned)(left / STORE_BLOCK) : 0};
}

static void fill_part(struct part *part, struct job *job, const struct extent *extent)
{
	uint64_t block = extent->offset / STORE_BLOCK;
	bool fetch = extent->stage == FETCH;

	part->job = job;
	part->stage = extent->stage;
	part->cursor = job->cursor;
	part->block = block;
	part->from = (uint32_t)(extent->offset % STORE_BLOCK);
	part->length = fetch ? (uint32_t)extent->length : 0;
	part->below = (struct store_request){
		.op = fetch ? STORE_READ : job->request->op,
		.flags = fetch ? 0 : job->request->flags,
		.offset = block * STORE_BLOCK,
		.length = fetch ? STORE_BLOCK : extent->length,
		.iov = part->bounce,
		.iov_count = part->pieces,
		.done = below_done,
	};
}

/* False when there is no room for the next part now. */
static bool issue_part(struct crypt *crypt, struct job *job)
{
	struct extent extent = next_extent(job);
	struct part *part = take_part(crypt, extent.bounce_blocks);
	enum store_op op = job->request->op;
	int error = 0;

	if (!part)
		return false;
	fill_part(part, job, &extent);
	job->issued += extent.length;
	job->all_issued = op == STORE_FLUSH || job->issued == job->request->length;
	if (op == STORE_READ || op == STORE_WRITE)
		store_cursor_advance(&job->cursor, extent.length);
	job->holds++;
	if (op == STORE_WRITE && extent.stage == WHOLE)
		error = encrypt_part(crypt, part);
	if (error)
		finish_part(part, error);
	else
		store_submit(crypt->under, &part->below);
	return true;
}

/* Calls itself by way of a store below that completes at once: the outermost call does it all. */
static void pump(struct crypt *crypt)
{
	if (crypt->pumping)
		return;
	crypt->pumping = true;
	while (crypt->ready) {
		struct job *job = crypt->ready;

		if (!issue_part(crypt, job))
			break;
		if (!job->all_issued)
			continue;
		crypt->ready = job->next;
		drop_hold(job);
	}
	crypt->pumping = false;
}

/* There is a free job. The caller pumps. */
static void begin(struct crypt *crypt, struct store_request *request)
{
	struct job *job = crypt->free_jobs;
	uint64_t first = request->offset / STORE_BLOCK;
	uint64_t end = align_up(request->offset + request->length, STORE_BLOCK) / STORE_BLOCK;
	bool flush = request->op == STORE_FLUSH;

	crypt->free_jobs = job->next;
	*job = (struct job){
		.turn = {.first = flush ? 0 : first,
			 .count = flush ? 0 : end - first,
			 .changes = request->op == STORE_WRITE || request->op == STORE_DISCARD},
		.crypt = crypt,
		.request = request,
		.cursor = {.piece = request->iov},
		.holds = 1,
	};
	if (store_order_enter(&crypt->order, &job->turn))
		make_ready(crypt, &job->turn);
}

static void submit(struct store *store, struct store_request *request)
{
	struct crypt *crypt = (struct crypt *)store;

	if (!request->length && request->op != STORE_FLUSH) {
		request->done(request, 0);
	} else if (!crypt->free_jobs) {
		store_queue_push(&crypt->waiting, request);
	} else {
		begin(crypt, request);
		pump(crypt);
	}
}

static void kick(struct store *store)
{
	store_kick(((struct crypt *)store)->under);
}

/* Completions below may have started further parts. */
static void reap(struct store *store)
{
	struct crypt *crypt = (struct crypt *)store;

	store_poll(crypt->under);
	store_kick(crypt->under);
}

static int grow(struct store *store, uint64_t size)
{
	int result = store_grow(((struct crypt *)store)->under, size);

	if (!result)
		store->size = size;
	return result;
}

static void destroy(struct store *store)
{
	struct crypt *crypt = (struct crypt *)store;

	store_destroy(crypt->under);
	store_cipher_destroy(crypt->cipher);
	if (crypt->bounce)
		munmap(crypt->bounce, (size_t)BLOCKS * STORE_BLOCK);
	munmap(crypt, sizeof(*crypt));
}

static const struct store_ops crypt_ops = {
	.name = "crypt",
	.submit = submit,
	.kick = kick,
	.poll = reap,
	.grow = grow,
	.destroy = destroy,
};

/* Zeroed; holds plain text and its whereabouts: never part of a core dump, nor of swap where the
 * limit on locked memory allows it. */
static void *map_private(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return NULL;
	madvise(memory, size, MADV_DONTDUMP);
	madvise(memory, size, MADV_NOHUGEPAGE);
	mlock2(memory, size, MLOCK_ONFAULT);
	return memory;
}

static void fill_pools(struct crypt *crypt)
{
	for (unsigned i = JOBS; i-- > 0;) {
		crypt->jobs[i].next = crypt->free_jobs;
		crypt->free_jobs = &crypt->jobs[i];
	}
	for (unsigned i = BLOCKS; i-- > 0;)
		crypt->free_blocks[crypt->free_block_count++] = (uint16_t)i;
}

static int encrypt_itself(struct store **store, struct store *under,
			  const uint8_t key[STORE_KEY_SIZE], struct error *error)
{
	int result = under->ops->encrypt(under, key, error);

	if (result < 0)
		store_destroy(under);
	else
		*store = under;
	return result;
}

int store_crypt_create(struct store **store, struct store *under, const uint8_t key[STORE_KEY_SIZE],
		       struct error *error)
{
	struct crypt *crypt;
	int result;

	if (under->ops->encrypt)
		return encrypt_itself(store, under, key, error);
	crypt = map_private(sizeof(*crypt));
	if (!crypt) {
		store_destroy(under);
		return error_set(error, ENOMEM, "cipher: out of memory");
	}
	crypt->under = under;
	crypt->bounce = map_private((size_t)BLOCKS * STORE_BLOCK);
	result = crypt->bounce ? store_cipher_create(&crypt->cipher, key, error)
			       : error_set(error, ENOMEM, "cipher: out of memory");
	if (result < 0) {
		destroy(&crypt->store);
		return result;
	}
	fill_pools(crypt);
	if (under->ops->lend)
		under->ops->lend(under, crypt->bounce, (size_t)BLOCKS * STORE_BLOCK);
	crypt->store =
		(struct store){.ops = &crypt_ops, .size = under->size, .event_fd = under->event_fd};
	*store = &crypt->store;
	return 0;
}
