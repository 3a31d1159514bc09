/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Block back ends behind one table of calls. Requests are asynchronous; completions come back on
 * the thread that owns the store, inside store_submit(), store_kick() (a store that need not wait)
 * or store_poll(). A back end with its own threads queues its completions and signals its event
 * descriptor.
 *
 *   file   one file or block device, by io_uring
 *   ram    memory of the process (to measure without a disk)
 *   crypt  AES-256-XTS over another store: the format of a volume (crypt.h tells it)
 */
#ifndef KARUTA_STORE_STORE_H
#define KARUTA_STORE_STORE_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/error.h"

#define STORE_BLOCK    4096u /* the unit of encryption and of discard */
#define STORE_KEY_SIZE 64u   /* AES-256-XTS: two keys of 256 bits */
#define STORE_MAX_IOV  520u  /* 2 MiB in pages, and a few */

enum store_op {
	STORE_READ,
	STORE_WRITE,
	STORE_FLUSH,   /* all writes that were completed before are durable */
	STORE_DISCARD, /* reads as zeros after; whole STORE_BLOCKs within are given back where
			  possible */
};

#define STORE_FUA 1u /* STORE_WRITE: durable when it completes */

struct store_request {
	enum store_op op;
	unsigned flags;
	/* Bytes, multiples of 512; offset + length <= size. A flush is of all, whatever they say.
	 */
	uint64_t offset, length;
	const struct iovec *iov; /* READ, WRITE: sums to `length`; the caller's until done */
	size_t iov_count;
	/*
	 * Called exactly once, by the owning thread; error 0 or -errno. The request is the caller's
	 * again and may be submitted anew from inside the call.
	 */
	void (*done)(struct store_request *request, int error);
	struct store_request *next; /* the store's, until done */
	void *private;		    /* the store's, until done */
};

struct store;

struct store_ops {
	const char *name;
	void (*submit)(struct store *store, struct store_request *request);
	void (*kick)(struct store *store);
	void (*poll)(struct store *store);
	/* What is below has become longer, and `size` is more than it was. 0 or -errno; NULL:
	 * -EOPNOTSUPP. */
	int (*grow)(struct store *store, uint64_t size);
	/* The store encrypts by itself; NULL: the crypt store does it, over this one. Before the
	 * first request. */
	int (*encrypt)(struct store *store, const uint8_t key[STORE_KEY_SIZE], struct error *error);
	/* Optional. Requests will often be made of this memory, and it stays where it is as long
	 * as the store. Before a sandbox. */
	void (*lend)(struct store *store, void *memory, size_t size);
	void (*destroy)(struct store *store);
};

/* First member of every store. */
struct store {
	const struct store_ops *ops;
	uint64_t size; /* bytes, a multiple of STORE_BLOCK */
	int event_fd;  /* readable when store_poll() has something to do; -1: never */
};

/* The request has been checked by the caller as told above. */
static inline void store_submit(struct store *store, struct store_request *request)
{
	store->ops->submit(store, request);
}

/* Submissions may be held back for a batch until this is called. */
static inline void store_kick(struct store *store)
{
	store->ops->kick(store);
}

static inline void store_poll(struct store *store)
{
	store->ops->poll(store);
}

/*
 * What the store is of has become longer: `size` bytes of it are the store's from now on. Requests
 * may be under way. -EINVAL: smaller than it was, not a multiple of STORE_BLOCK, or more than there
 * is.
 */
static inline int store_grow(struct store *store, uint64_t size)
{
	if (size < store->size || size % STORE_BLOCK)
		return -EINVAL;
	return store->ops->grow ? store->ops->grow(store, size) : -EOPNOTSUPP;
}

/* No request is under way any more. NULL is fine. */
static inline void store_destroy(struct store *store)
{
	if (store)
		store->ops->destroy(store);
}

/* ---- back ends ---- */

/*
 * `fd` becomes the store's, even when this fails. size 0: the file's own size. The file is made
 * longer (sparse) if `size` asks for more, and never shorter. Set up before a sandbox: what it
 * needs afterwards is io_uring_enter(2).
 */
int store_file_create(struct store **store, int fd, uint64_t size, struct error *error);
int store_ram_create(struct store **store, uint64_t size, struct error *error);

/*
 * `under` becomes the crypt store's, even when this fails; or it encrypts itself and comes back.
 * What is kept of the key is in the cipher's contexts and is wiped at destroy; the caller wipes its
 * own copy, and sees to it that the process is not dumped or swapped. Requests that are not whole
 * STORE_BLOCKs are read-modify-write. Those that share a block and change it take turns, in the
 * order of their arrival.
 */
int store_crypt_create(struct store **store, struct store *under, const uint8_t key[STORE_KEY_SIZE],
		       struct error *error);

/*
 * Reads exactly STORE_KEY_SIZE bytes from `fd` to its end. -EINVAL: too short, too long, or both
 * halves equal (IEEE 1619 forbids it, OpenSSL refuses it).
 */
int store_key_read(int fd, uint8_t key[STORE_KEY_SIZE], struct error *error);

/* For programs without a loop (the CLI): submits and waits. 0 or -errno. */
int store_do(struct store *store, enum store_op op, uint64_t offset, void *buffer, uint64_t length);

#endif
