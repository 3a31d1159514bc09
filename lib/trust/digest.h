/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-384 digests: of bytes, as text, and as a TPM's register runs over them. */
#ifndef KARUTA_TRUST_DIGEST_H
#define KARUTA_TRUST_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRUST_DIGEST_SIZE   48u
#define TRUST_DIGEST_DIGITS (2 * TRUST_DIGEST_SIZE)

struct trust_digest {
	uint8_t bytes[TRUST_DIGEST_SIZE];
};

/* 0 or -ENOMEM. */
int trust_digest(const void *bytes, size_t length, struct trust_digest *digest);
/* running = SHA-384(running || event): TPM 2.0 Library, part 1, "PCR Extend". 0 or -ENOMEM. */
int trust_digest_extend(struct trust_digest *running, const struct trust_digest *event);
bool trust_digest_same(const struct trust_digest *a, const struct trust_digest *b);

/* 2 * `length` small hexadecimal digits and a 0. */
void trust_hex(const uint8_t *bytes, size_t length, char *text);
/* Exactly `digits` small hexadecimal digits into digits / 2 bytes; false: they are not. */
bool trust_unhex(const char *text, size_t digits, uint8_t *bytes);

#endif
