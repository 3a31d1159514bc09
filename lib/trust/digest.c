/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#include "digest.h"

int trust_digest(const void *bytes, size_t length, struct trust_digest *digest)
{
	/* The only way to fail is to have no memory. */
	return EVP_Digest(bytes, length, digest->bytes, NULL, EVP_sha384(), NULL) ? 0 : -ENOMEM;
}

int trust_digest_extend(struct trust_digest *running, const struct trust_digest *event)
{
	struct trust_digest both[2] = {*running, *event};

	return trust_digest(both, sizeof(both), running);
}

bool trust_digest_same(const struct trust_digest *a, const struct trust_digest *b)
{
	return !CRYPTO_memcmp(a->bytes, b->bytes, TRUST_DIGEST_SIZE);
}

void trust_hex(const uint8_t *bytes, size_t length, char *text)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < length; i++) {
		*text++ = digits[bytes[i] >> 4];
		*text++ = digits[bytes[i] & 15];
	}
	*text = '\0';
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool trust_unhex(const char *text, size_t digits, uint8_t *bytes)
{
	if (digits % 2)
		return false;
	for (size_t i = 0; i < digits; i += 2) {
		int high = digit(text[i]), low = digit(text[i + 1]);

		if (high < 0 || low < 0)
			return false;
		bytes[i / 2] = (uint8_t)(high << 4 | low);
	}
	return true;
}
