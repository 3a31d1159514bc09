/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "key.h"

struct trust_key {
	EVP_PKEY *key;
	const char *kind;
	const EVP_MD *hash; /* NULL: the signature has its own */
	struct trust_digest id;
};

static int find_kind(struct trust_key *key)
{
	char group[32];

	if (EVP_PKEY_is_a(key->key, "ED25519")) {
		key->kind = "ed25519";
		return 0;
	}
	if (!EVP_PKEY_is_a(key->key, "EC") ||
	    !EVP_PKEY_get_group_name(key->key, group, sizeof(group), NULL) ||
	    strcmp(group, "secp384r1") != 0)
		return -EINVAL;
	key->kind = "ecdsa-p384";
	key->hash = EVP_sha384();
	return 0;
}

int trust_key_open(const uint8_t *der, size_t length, struct trust_key **key)
{
	struct trust_key *made = calloc(1, sizeof(*made));
	const uint8_t *end = der;
	int ret;

	if (!made)
		return -ENOMEM;
	if (length <= 4096)
		made->key = d2i_PUBKEY(NULL, &end, (long)length);
	ret = made->key && end == der + length ? find_kind(made) : -EINVAL;
	if (ret == 0)
		ret = trust_digest(der, length, &made->id);
	if (ret < 0) {
		trust_key_free(made);
		return ret;
	}
	*key = made;
	return 0;
}

void trust_key_free(struct trust_key *key)
{
	if (key)
		EVP_PKEY_free(key->key);
	free(key);
}

const struct trust_digest *trust_key_id(const struct trust_key *key)
{
	return &key->id;
}

const char *trust_key_kind(const struct trust_key *key)
{
	return key->kind;
}

bool trust_key_has_signed(const struct trust_key *key, const void *bytes, size_t length,
			  const uint8_t *signature, size_t signature_length)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool good = context &&
		    EVP_DigestVerifyInit(context, NULL, key->hash, NULL, key->key) == 1 &&
		    EVP_DigestVerify(context, signature, signature_length, bytes, length) == 1;

	EVP_MD_CTX_free(context);
	return good;
}
