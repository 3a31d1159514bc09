/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the plane remembers: keys with values, behind a table of calls. What it promises is what
 * etcd v3 can promise too (a revision that grows with each commit, compare-and-swap over several
 * keys, prefixes in byte order), and no more. SQLite is the one that is there: store_sqlite.c.
 *
 * Keys are printable ASCII, "instances/web"; a value is a JSON text of at most STORE_VALUE_MAX
 * bytes. One thread owns a store. A commit that has returned 0 is on the disk: a loss of power
 * later does not undo it, one meanwhile leaves all of it or nothing.
 */
#ifndef KARUTA_PLANE_STORE_H
#define KARUTA_PLANE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define STORE_KEY_MAX	  255u
#define STORE_VALUE_MAX	  (1u << 20)
#define STORE_CHANGES_MAX 1024u	     /* in one commit */
#define STORE_ANY	  UINT64_MAX /* a change that does not ask what was there */

/* Of one key, at one moment. */
struct store_item {
	const char *key;
	const char *value; /* terminated; NULL: it was deleted */
	size_t length;
	uint64_t created, revision; /* of the commits that made it and changed it last */
};

struct store_change {
	const char *key;
	const char *value; /* terminated; NULL: delete */
	uint64_t expected; /* the revision that it has; 0: it is not there; or STORE_ANY */
	bool sealed; /* once it was deleted or replaced, a scrub leaves nothing of this value */
};

/* The item is there for the time of the call. Other than 0 ends what calls it, which returns it. */
typedef int (*store_item_fn)(void *context, const struct store_item *item);

struct store;

struct store_calls {
	/* Calls `fn` with the item. -ENOENT: there is none; the error is not set then. */
	int (*get)(struct store *store, const char *key, store_item_fn fn, void *context,
		   struct error *error);
	/* At most `limit` items whose keys begin with `prefix` and come behind `after` (NULL: from
	 * the first), in order. `fn` may read the store, not change it. */
	int (*list)(struct store *store, const char *prefix, const char *after, size_t limit,
		    store_item_fn fn, void *context, struct error *error);
	/* All of them or none; a key at most once. -ESTALE: something is not as expected, the error
	 * names its key. -EIO: the disk failed; what it holds is not known before the store is
	 * opened again, and no more changes are taken. */
	int (*commit)(struct store *store, const struct store_change *changes, size_t count,
		      uint64_t *revision, struct error *error);
	/* Nothing of a sealed value that was deleted or replaced is in the store's files any more
	 * when it returns 0: overwritten, as far as the file system overwrites in place. */
	int (*scrub)(struct store *store, struct error *error);
	void (*close)(struct store *store);
};

struct store {
	const struct store_calls *calls;
	/* Told of each item that a commit has changed, after it, in order; NULL: nobody. Must not
	 * call the store. */
	void (*watcher)(void *context, const struct store_item *item);
	void *watcher_context;
	uint64_t revision; /* of the last commit */
	unsigned reading;  /* calls of get and list that are under way */
};

#define STORE_SQLITE_FILE "plane.db" /* and beside it "plane.db-wal" */

/* A database in a folder of the plane's own, which only the plane's user may read; made if it is
 * not there. -EBADMSG: it is damaged, or of a newer karuta; nothing is changed then. -EBUSY:
 * another plane has it. -EPERM: others may read or write it. */
int store_sqlite_open(const char *folder, struct store **store, struct error *error);

/* What all of them have in common: store.c. */

/* Checked before any of them is called: -EINVAL, -E2BIG; -EBUSY: a change or a scrub from within a
 * call that reads. */
int store_get(struct store *store, const char *key, store_item_fn fn, void *context,
	      struct error *error);
int store_list(struct store *store, const char *prefix, const char *after, size_t limit,
	       store_item_fn fn, void *context, struct error *error);
int store_commit(struct store *store, const struct store_change *changes, size_t count,
		 uint64_t *revision, struct error *error);
int store_scrub(struct store *store, struct error *error);
/* NULL is allowed. */
void store_close(struct store *store);

/* For those who write a store: as the header says of keys; and what the watcher is told. */
bool store_key_is_valid(const char *key, size_t length);
void store_tell(struct store *store, const struct store_item *item);

#endif
