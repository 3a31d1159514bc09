/* SPDX-License-Identifier: Apache-2.0 */
#include "crypt.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define SECTORS_PER_BLOCK (STORE_BLOCK / 512)

/* A context for each direction: setting the key up again costs more than a block. */
struct store_cipher {
	EVP_CIPHER_CTX *encrypt, *decrypt;
};

static EVP_CIPHER_CTX *make_context(const EVP_CIPHER *xts, const uint8_t *key, int encrypt)
{
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();

	if (context && EVP_CipherInit_ex2(context, xts, key, NULL, encrypt, NULL) == 1 &&
	    EVP_CIPHER_CTX_set_padding(context, 0) == 1)
		return context;
	EVP_CIPHER_CTX_free(context);
	return NULL;
}

int store_cipher_create(struct store_cipher **result, const uint8_t key[STORE_KEY_SIZE],
			struct error *error)
{
	struct store_cipher *cipher = calloc(1, sizeof(*cipher));
	EVP_CIPHER *xts;

	if (!cipher)
		return error_set(error, ENOMEM, "cipher: out of memory");
	/* No configuration file: nothing outside this program chooses the implementation. */
	OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
	xts = EVP_CIPHER_fetch(NULL, "AES-256-XTS", NULL);
	if (xts) {
		cipher->encrypt = make_context(xts, key, 1);
		cipher->decrypt = make_context(xts, key, 0);
		EVP_CIPHER_free(xts);
	}
	if (!cipher->encrypt || !cipher->decrypt) {
		store_cipher_destroy(cipher);
		return error_set(error, EINVAL, "cipher: OpenSSL refuses AES-256-XTS or the key");
	}
	*result = cipher;
	return 0;
}

/* OpenSSL clears a context's key schedule when it frees it. */
void store_cipher_destroy(struct store_cipher *cipher)
{
	if (!cipher)
		return;
	EVP_CIPHER_CTX_free(cipher->encrypt);
	EVP_CIPHER_CTX_free(cipher->decrypt);
	free(cipher);
}

static int transform(EVP_CIPHER_CTX *context, uint64_t block, const void *from, void *to)
{
	uint64_t tweak[2] = {block * SECTORS_PER_BLOCK, 0};
	int length;

	if (EVP_CipherInit_ex2(context, NULL, NULL, (const uint8_t *)tweak, -1, NULL) != 1 ||
	    EVP_CipherUpdate(context, to, &length, from, (int)STORE_BLOCK) != 1 ||
	    length != (int)STORE_BLOCK)
		return -EIO;
	return 0;
}

int store_cipher_encrypt(struct store_cipher *cipher, uint64_t block, const void *from, void *to)
{
	return transform(cipher->encrypt, block, from, to);
}

int store_cipher_decrypt(struct store_cipher *cipher, uint64_t block, const void *from, void *to)
{
	return transform(cipher->decrypt, block, from, to);
}

/* The first word tells nearly always; the rest is the block compared with itself one word on. */
bool store_block_is_zero(const void *block)
{
	uint64_t first;

	memcpy(&first, block, sizeof(first));
	return !first &&
	       !memcmp(block, (const uint8_t *)block + sizeof(first), STORE_BLOCK - sizeof(first));
}
