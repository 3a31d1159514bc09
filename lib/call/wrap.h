/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys on their way to a host: wrapped for the controller that runs there, and for one request of
 * one caller. Whoever brings a key asks the controller for its public key (the verb `wrapping`),
 * whose other half that has made when it was started, and sends
 *
 *	wrapped = "karuta-1" identifier (16) ephemeral (32) ciphertext tag (16)
 *
 * `identifier` is the beginning of the SHA-256 of the controller's public key, `ephemeral` the
 * public key of a pair that is used once. The rest is AES-256-GCM (SP 800-38D), with key and nonce
 * from HKDF-SHA-256 (RFC 5869) over what X25519 (RFC 7748) makes of the two:
 *
 *	salt = "karuta-1"	info = controller's public key, ephemeral
 *	additional data = number of the key (8 bytes, big endian), SHA-256 of the bare request (32),
 *			  name of the caller
 *
 * The bare request (control_request_encode_bare()) has the identifier, the verb, the instance and
 * the whole of a specification, but no keys. So what was wrapped is of no use for another card,
 * instance, request, caller or host, nor for this one after its next start.
 */
#ifndef KARUTA_CALL_WRAP_H
#define KARUTA_CALL_WRAP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "wire/control.h"

#define WRAP_PUBLIC_SIZE 32u
#define WRAP_DIGEST_SIZE 32u

/* What a key is for. */
struct wrap_context {
	const char *caller;
	uint8_t request[WRAP_DIGEST_SIZE]; /* wrap_digest() */
	uint64_t number;
};

struct wrap_pair;

/* From here on OpenSSL has private keys in memory that is neither swapped out nor dumped; before
 * anything else of it is used. */
int wrap_use_locked_memory(struct error *error);

/* A new pair. The caller's. */
int wrap_pair_make(struct wrap_pair **pair, struct error *error);
const uint8_t *wrap_pair_public(const struct wrap_pair *pair);
/* Wipes it; NULL is allowed. */
void wrap_pair_free(struct wrap_pair *pair);

/* Of the bare request. 0 or -errno. */
int wrap_digest(const struct control_request *request, uint8_t digest[WRAP_DIGEST_SIZE]);

/* `wrapped` has room for CONTROL_WRAP_SIZE bytes more than `length`, which is at most
 * CONTROL_KEY_MAX. Its length or -errno. */
ssize_t wrap_close(const uint8_t public[WRAP_PUBLIC_SIZE], const struct wrap_context *context,
		   const void *bytes, size_t length, uint8_t *wrapped);
/* `bytes` has room for CONTROL_KEY_MAX. Their length; -EINVAL: it is not wrapped, -ESTALE: not for
 * this pair, -EKEYREJECTED: not for this context, or changed. Nothing of it is in `bytes` then. */
ssize_t wrap_open(const struct wrap_pair *pair, const struct wrap_context *context,
		  const uint8_t *wrapped, size_t length, uint8_t *bytes, struct error *error);

/* wrap_request.c: the same request with its keys wrapped, as `caller` will send it, with the answer
 * to the verb `wrapping`. The request stays as it is, and has what is not copied: its texts. What
 * was wrapped is freed also after an error. -EPROTO: that is no answer to it. */
int wrap_request(const struct control_request *request, const char *caller,
		 const struct control_answer *answer, struct control_request *wrapped,
		 struct error *error);
void wrap_request_free(struct control_request *wrapped);

#endif
