/* SPDX-License-Identifier: Apache-2.0 */
/* Public keys that releases are signed with: Ed25519, or ECDSA on P-384 with SHA-384. No others. */
#ifndef KARUTA_TRUST_KEY_H
#define KARUTA_TRUST_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "digest.h"

#define TRUST_SIGNATURE_MAX 128u /* ECDSA P-384 in DER: at most 104 bytes */

struct trust_key;

/* From a SubjectPublicKeyInfo (RFC 5280) in DER. 0 with *key, which is freed with trust_key_free();
 * -EINVAL: not one of the kinds above; -ENOMEM. */
int trust_key_open(const uint8_t *der, size_t length, struct trust_key **key);
void trust_key_free(struct trust_key *key);
/* What a key is called by: the digest of its DER. */
const struct trust_digest *trust_key_id(const struct trust_key *key);
/* "ed25519" or "ecdsa-p384" */
const char *trust_key_kind(const struct trust_key *key);
/* Whether the key has signed exactly these bytes. */
bool trust_key_has_signed(const struct trust_key *key, const void *bytes, size_t length,
			  const uint8_t *signature, size_t signature_length);

#endif
