/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key-encryption keys, which keys.h wraps volume keys with, behind a table of calls: a file, or
 * later whatever keeps keys to itself. Wrapping is AES-256-KWP (RFC 5649; SP 800-38F, 6.3).
 * There are several at a time, each with an id; one is the current one, which wraps; the others
 * only unwrap.
 */
#ifndef KARUTA_PLANE_KEK_H
#define KARUTA_PLANE_KEK_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

#define KEK_ID_MAX	16u
#define KEK_PLAIN_MAX	64u
#define KEK_WRAPPED_MAX (KEK_PLAIN_MAX + 8u)

struct kek;

struct kek_calls {
	/* The id of the current one; the kek's, until it changes. */
	const char *(*current)(const struct kek *kek);
	/* Under the current one, 1 to KEK_PLAIN_MAX bytes. The length of what is in `wrapped`, or
	 * -errno. */
	ssize_t (*wrap)(struct kek *kek, const uint8_t *plain, size_t length,
			uint8_t wrapped[KEK_WRAPPED_MAX], struct error *error);
	/* `plain` is locked memory. Its length; -ENOKEY: there is no such kek; -EKEYREJECTED: it
	 * was not wrapped under this one, or was changed. Nothing of it is in `plain` then. */
	ssize_t (*unwrap)(struct kek *kek, const char *id, const uint8_t *wrapped, size_t length,
			  uint8_t plain[KEK_PLAIN_MAX], struct error *error);
	/* A new one becomes the current one; the others stay. -E2BIG: there are too many. */
	int (*rotate)(struct kek *kek, struct error *error);
	/* All but the current one are destroyed: nothing is wrapped under them any more. */
	int (*retire)(struct kek *kek, struct error *error);
	void (*close)(struct kek *kek);
};

struct kek {
	const struct kek_calls *calls;
};

/* Memory that is neither swapped nor dumped, for OPENSSL_secure_malloc(); before any secret is
 * there. -ENOMEM: the limit on locked memory is too low. */
int kek_use_locked_memory(struct error *error);

#define KEK_FILE_MAX 8u /* keys in a file */

/*
 * A file, mode 0600, of the plane's user; made with one key if it is not there:
 *
 *	karuta kek 1
 *	current 0f3a5c7e9b2d4f60
 *	key 0f3a5c7e9b2d4f60 (64 hexadecimal digits)
 *	SHA-384 of all before it, in hexadecimal
 *
 * Replaced as a whole; what was there before is overwritten. Whoever has the file and the database
 * has all volumes' keys: keep a copy of it, but apart from copies of the database. -EBADMSG: it is
 * not what was written; -EPERM: others may use it.
 */
int kek_file_open(const char *path, struct kek **kek, struct error *error);

#endif
