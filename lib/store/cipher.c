/* SPDX-License-Identifier: Apache-2.0 */
#include "crypt.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define SECTORS_PER_BLOCK (STORE_BLOCK / 512)
#define TWEAK_SIZE	  16u

/* A context for each direction: setting the key up again costs more than a block. */
struct direction {
	EVP_CIPHER_CTX *context;
	uint8_t *tweak; /* where the context keeps it; NULL: it takes it by call only */
};

struct store_cipher {
	struct direction encrypt, decrypt;
};

static int set_tweak(const struct direction *direction, const uint8_t tweak[TWEAK_SIZE])
{
	if (direction->tweak)
		memcpy(direction->tweak, tweak, TWEAK_SIZE);
	else if (EVP_CipherInit_ex2(direction->context, NULL, NULL, tweak, -1, NULL) != 1)
		return -EIO;
	return 0;
}

static int transform(const struct direction *direction, const uint8_t tweak[TWEAK_SIZE],
		     const void *from, void *to, int size)
{
	int length, result = set_tweak(direction, tweak);

	if (!result &&
	    (EVP_CipherUpdate(direction->context, to, &length, from, size) != 1 || length != size))
		result = -EIO;
	return result;
}

static uint8_t *find_tweak(EVP_CIPHER_CTX *context)
{
	void *place = NULL;
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_ptr(OSSL_CIPHER_PARAM_UPDATED_IV, &place, 0),
		OSSL_PARAM_END};

	if (EVP_CIPHER_CTX_get_params(context, params) != 1 || params[0].return_size != TWEAK_SIZE)
		return NULL;
	return place;
}

/*
 * To set a tweak by call takes OpenSSL 3 as long as a fifth of a block: it asks the context by name
 * how long a tweak is. The context also tells where it keeps it, and it is set there, if that
 * proves to do the same: here is the place where another version may differ.
 */
static int try_short_way(struct direction *direction)
{
	static const uint8_t data[TWEAK_SIZE] = {1}, first[TWEAK_SIZE] = {2}, second[TWEAK_SIZE];
	uint8_t by_call[TWEAK_SIZE], by_place[TWEAK_SIZE];
	int result = transform(direction, first, data, by_call, TWEAK_SIZE);

	if (!result)
		result = set_tweak(direction, second);
	direction->tweak = find_tweak(direction->context);
	if (!result && direction->tweak &&
	    (transform(direction, first, data, by_place, TWEAK_SIZE) < 0 ||
	     memcmp(by_call, by_place, TWEAK_SIZE) != 0))
		direction->tweak = NULL;
	return result;
}

static int open_direction(struct direction *direction, const EVP_CIPHER *xts, const uint8_t *key,
			  int encrypt)
{
	direction->context = EVP_CIPHER_CTX_new();
	if (!direction->context ||
	    EVP_CipherInit_ex2(direction->context, xts, key, NULL, encrypt, NULL) != 1)
		return -EINVAL;
	return try_short_way(direction);
}

int store_cipher_create(struct store_cipher **made, const uint8_t key[STORE_KEY_SIZE],
			struct error *error)
{
	struct store_cipher *cipher = calloc(1, sizeof(*cipher));
	EVP_CIPHER *xts;
	int result = -EINVAL;

	if (!cipher)
		return error_set(error, ENOMEM, "cipher: out of memory");
	/* No configuration file: nothing outside this program chooses the implementation. */
	OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
	xts = EVP_CIPHER_fetch(NULL, "AES-256-XTS", NULL);
	if (xts)
		result = open_direction(&cipher->encrypt, xts, key, 1);
	if (!result)
		result = open_direction(&cipher->decrypt, xts, key, 0);
	EVP_CIPHER_free(xts);
	if (result < 0) {
		store_cipher_destroy(cipher);
		return error_set(error, EINVAL, "cipher: OpenSSL refuses AES-256-XTS or the key");
	}
	*made = cipher;
	return 0;
}

/* OpenSSL clears a context's key schedule when it frees it. */
void store_cipher_destroy(struct store_cipher *cipher)
{
	if (!cipher)
		return;
	EVP_CIPHER_CTX_free(cipher->encrypt.context);
	EVP_CIPHER_CTX_free(cipher->decrypt.context);
	free(cipher);
}

static int transform_block(const struct direction *direction, uint64_t block, const void *from,
			   void *to)
{
	uint64_t tweak[2] = {block * SECTORS_PER_BLOCK, 0};

	return transform(direction, (const uint8_t *)tweak, from, to, (int)STORE_BLOCK);
}

int store_cipher_encrypt(struct store_cipher *cipher, uint64_t block, const void *from, void *to)
{
	return transform_block(&cipher->encrypt, block, from, to);
}

int store_cipher_decrypt(struct store_cipher *cipher, uint64_t block, const void *from, void *to)
{
	return transform_block(&cipher->decrypt, block, from, to);
}

/* The first word tells nearly always; the rest is the block compared with itself one word on. */
bool store_block_is_zero(const void *block)
{
	uint64_t first;

	memcpy(&first, block, sizeof(first));
	return !first &&
	       !memcmp(block, (const uint8_t *)block + sizeof(first), STORE_BLOCK - sizeof(first));
}
