/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The key service: keys of volumes, 512 random bits each (XTS-AES-256: two keys of 256), kept in
 * the store only as wrapped under a key-encryption key (kek.h):
 *
 *	keys/ID	{"metadata": {...}, "kek": "id of the key-encryption key", "wrapped": "base64"}
 *
 * and when it was deleted {"metadata": {...}, "deleted_at": "..."}, so that what has become of it
 * can be told; whoever made the item may remove that from the store as any other. A deleted key is
 * in none of the store's files any more: the volume is gone, whoever has its blocks.
 */
#ifndef KARUTA_PLANE_KEYS_H
#define KARUTA_PLANE_KEYS_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "kek.h"
#include "store.h"

#define KEYS_PREFIX   "keys/"
#define KEYS_KEY_SIZE 64u
#define KEYS_BATCH    100u /* to be rewrapped in one call */

struct keys;

/* Both stay the caller's, and are there longer. Locks memory for keys (kek_use_locked_memory()). */
int keys_open(struct store *store, struct kek *kek, struct keys **keys, struct error *error);
/* NULL is allowed. */
void keys_close(struct keys *keys);

/*
 * The value of the item of a new key, for a commit together with what the key is for: with `sealed`
 * set, before anything else is asked of `keys`. *value is the caller's (free()); `metadata` stays
 * the caller's.
 */
int keys_prepare(struct keys *keys, const json_t *metadata, char **value, struct error *error);
/* The same of a key that there is, under another name: for a volume that begins as a copy. Errors
 * as of keys_get(). */
int keys_copy(struct keys *keys, const char *id, const json_t *metadata, char **value,
	      struct error *error);
/* The same as keys_prepare() and the commit. -EEXIST: there is, or was, a key of this id. */
int keys_make(struct keys *keys, const char *id, const json_t *metadata, uint64_t *revision,
	      struct error *error);

/* In locked memory, which is wiped after the call. */
typedef int (*keys_fn)(void *context, const uint8_t key[KEYS_KEY_SIZE]);

/* Returns what `fn` does, or -ENOENT: there is none, and no error is set; -EKEYREVOKED: it was
 * deleted; -ENOKEY: its key-encryption key is not there; -EKEYREJECTED, -EBADMSG: it is not what
 * was written. */
int keys_get(struct keys *keys, const char *id, keys_fn fn, void *context, struct error *error);

/* For good, when it returns 0; also 0: it was deleted already. `expected` as in a store_change;
 * `now` as RFC 3339 writes it. -ENOENT, -ESTALE. */
int keys_delete(struct keys *keys, const char *id, uint64_t expected, const char *now,
		struct error *error);

/* A new key-encryption key wraps from now on; keys_rewrap() does the rest. */
int keys_rotate(struct keys *keys, struct error *error);
/*
 * At most KEYS_BATCH keys that are wrapped under another key-encryption key are wrapped under the
 * current one, in one commit. 1: call it again; 0: all are, and the other key-encryption keys are
 * destroyed. After a start as well: a rotation may have been under way. -errno: no other was
 * destroyed, and the next call begins again from the first; one that cannot be unwrapped is named
 * when all others are done.
 */
int keys_rewrap(struct keys *keys, struct error *error);

#endif
