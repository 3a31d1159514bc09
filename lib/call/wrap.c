/* SPDX-License-Identifier: Apache-2.0 */
#include "wrap.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

#define MARK	       "karuta-1"
#define MARK_SIZE      8u
#define IDENTIFIER     16u
#define TAG	       16u
#define HEAD	       (MARK_SIZE + IDENTIFIER + WRAP_PUBLIC_SIZE)
#define NONCE	       12u
#define CIPHER_KEY     32u
#define ADDITIONAL_MAX 512u

/* X25519 keys of handshakes that are under way are in it too; 64 bytes each at most. */
#define LOCKED_MEMORY (64u << 10)
#define LOCKED_LEAST  32u

_Static_assert(HEAD + TAG == CONTROL_WRAP_SIZE, "as wire/control.h says");

struct wrap_pair {
	EVP_PKEY *key;
	uint8_t public[WRAP_PUBLIC_SIZE];
	uint8_t identifier[IDENTIFIER];
};

int wrap_use_locked_memory(struct error *error)
{
	/* 2: it is there, but some protection is not. */
	if (CRYPTO_secure_malloc_initialized() ||
	    CRYPTO_secure_malloc_init(LOCKED_MEMORY, LOCKED_LEAST) == 1)
		return 0;
	return error_set(error, ENOMEM,
			 "memory for keys cannot be locked; allow %u KiB (ulimit -l, "
			 "LimitMEMLOCK=)",
			 LOCKED_MEMORY >> 10);
}

/* ---- the pair ---- */

static bool identify(const uint8_t public[WRAP_PUBLIC_SIZE], uint8_t identifier[IDENTIFIER])
{
	uint8_t hash[EVP_MAX_MD_SIZE];

	if (EVP_Digest(public, WRAP_PUBLIC_SIZE, hash, NULL, EVP_sha256(), NULL) != 1)
		return false;
	memcpy(identifier, hash, IDENTIFIER);
	return true;
}

static bool take_public(const EVP_PKEY *key, uint8_t public[WRAP_PUBLIC_SIZE])
{
	size_t length = WRAP_PUBLIC_SIZE;

	return EVP_PKEY_get_raw_public_key(key, public, &length) == 1 && length == WRAP_PUBLIC_SIZE;
}

int wrap_pair_make(struct wrap_pair **pair, struct error *error)
{
	struct wrap_pair *made = calloc(1, sizeof(*made));

	if (made)
		made->key = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
	if (!made || !made->key || !take_public(made->key, made->public) ||
	    !identify(made->public, made->identifier)) {
		wrap_pair_free(made);
		return error_set(error, ENOMEM, "a pair of keys cannot be made");
	}
	*pair = made;
	return 0;
}

const uint8_t *wrap_pair_public(const struct wrap_pair *pair)
{
	return pair->public;
}

void wrap_pair_free(struct wrap_pair *pair)
{
	if (!pair)
		return;
	EVP_PKEY_free(pair->key);
	free(pair);
}

/* ---- key and nonce ---- */

struct secret {
	uint8_t key[CIPHER_KEY];
	uint8_t nonce[NONCE];
};

/* -EKEYREJECTED: a point of small order, whose secret everybody knows (RFC 7748, 6.1). */
static int agree(EVP_PKEY *own, EVP_PKEY *other, uint8_t shared[WRAP_PUBLIC_SIZE])
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(own, NULL);
	size_t length = WRAP_PUBLIC_SIZE;
	int ret = -EKEYREJECTED;

	if (!context || EVP_PKEY_derive_init(context) != 1)
		ret = -ENOMEM;
	else if (EVP_PKEY_derive_set_peer(context, other) == 1 &&
		 EVP_PKEY_derive(context, shared, &length) == 1 && length == WRAP_PUBLIC_SIZE)
		ret = 0;
	EVP_PKEY_CTX_free(context);
	return ret;
}

static bool stretch(const uint8_t shared[WRAP_PUBLIC_SIZE], const uint8_t info[],
		    size_t info_length, struct secret *secret)
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, NULL);
	size_t length = sizeof(*secret);
	bool done = context && EVP_PKEY_derive_init(context) == 1 &&
		    EVP_PKEY_CTX_set_hkdf_md(context, EVP_sha256()) == 1 &&
		    EVP_PKEY_CTX_set1_hkdf_salt(context, (const uint8_t *)MARK, MARK_SIZE) == 1 &&
		    EVP_PKEY_CTX_set1_hkdf_key(context, shared, WRAP_PUBLIC_SIZE) == 1 &&
		    EVP_PKEY_CTX_add1_hkdf_info(context, info, (int)info_length) == 1 &&
		    EVP_PKEY_derive(context, (uint8_t *)secret, &length) == 1;

	EVP_PKEY_CTX_free(context);
	return done;
}

/* `public` is the controller's; one of `own` and `other` belongs to it, the other to `ephemeral`.
 */
static int make_secret(EVP_PKEY *own, const uint8_t other[WRAP_PUBLIC_SIZE],
		       const uint8_t public[WRAP_PUBLIC_SIZE],
		       const uint8_t ephemeral[WRAP_PUBLIC_SIZE], struct secret *secret)
{
	EVP_PKEY *peer =
		EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, other, WRAP_PUBLIC_SIZE);
	uint8_t info[2 * WRAP_PUBLIC_SIZE], shared[WRAP_PUBLIC_SIZE];
	int ret = peer ? agree(own, peer, shared) : -ENOMEM;

	memcpy(info, public, WRAP_PUBLIC_SIZE);
	memcpy(info + WRAP_PUBLIC_SIZE, ephemeral, WRAP_PUBLIC_SIZE);
	if (ret == 0 && !stretch(shared, info, sizeof(info), secret))
		ret = -ENOMEM;
	OPENSSL_cleanse(shared, sizeof(shared));
	EVP_PKEY_free(peer);
	return ret;
}

/* ---- what it is for ---- */

int wrap_digest(const struct control_request *request, uint8_t digest[WRAP_DIGEST_SIZE])
{
	CLEANUP_FREE uint8_t *bare = malloc(CONTROL_REQUEST_MAX);
	ssize_t length =
		bare ? control_request_encode_bare(request, bare, CONTROL_REQUEST_MAX) : -ENOMEM;

	if (length < 0)
		return (int)length;
	return EVP_Digest(bare, (size_t)length, digest, NULL, EVP_sha256(), NULL) == 1 ? 0
										       : -ENOMEM;
}

/* Only the last part has no fixed length. */
static size_t put_context(const struct wrap_context *context, uint8_t to[ADDITIONAL_MAX])
{
	size_t length = min_u64(strlen(context->caller),
				ADDITIONAL_MAX - sizeof(context->number) - WRAP_DIGEST_SIZE);

	for (unsigned i = 0; i < 8; i++)
		to[i] = (uint8_t)(context->number >> (8 * (7 - i)));
	memcpy(to + 8, context->request, WRAP_DIGEST_SIZE);
	memcpy(to + 8 + WRAP_DIGEST_SIZE, context->caller, length);
	return 8 + WRAP_DIGEST_SIZE + length;
}

/* ---- AES-256-GCM ---- */

static bool begin_cipher(EVP_CIPHER_CTX *cipher, const struct secret *secret,
			 const struct wrap_context *context, bool encrypt)
{
	uint8_t additional[ADDITIONAL_MAX];
	int length = (int)put_context(context, additional), done;

	return EVP_CipherInit_ex(cipher, EVP_aes_256_gcm(), NULL, secret->key, secret->nonce,
				 encrypt) == 1 &&
	       EVP_CipherUpdate(cipher, NULL, &done, additional, length) == 1;
}

static int encrypt(const struct secret *secret, const struct wrap_context *context,
		   const void *bytes, size_t length, uint8_t *to)
{
	EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
	int part = 0, rest;
	bool done = cipher && begin_cipher(cipher, secret, context, true) &&
		    EVP_CipherUpdate(cipher, to, &part, bytes, (int)length) == 1 &&
		    EVP_CipherFinal_ex(cipher, to + part, &rest) == 1 &&
		    EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, (int)TAG, to + length) == 1;

	EVP_CIPHER_CTX_free(cipher);
	return done ? 0 : -ENOMEM;
}

static int decrypt(const struct secret *secret, const struct wrap_context *context,
		   const uint8_t *from, size_t length, uint8_t *bytes)
{
	EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
	uint8_t tag[TAG];
	int part = 0, rest, ret = -EKEYREJECTED;

	memcpy(tag, from + length, TAG);
	if (!cipher || !begin_cipher(cipher, secret, context, false))
		ret = -ENOMEM;
	else if (EVP_CipherUpdate(cipher, bytes, &part, from, (int)length) == 1 &&
		 EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, (int)TAG, tag) == 1 &&
		 EVP_CipherFinal_ex(cipher, bytes + part, &rest) == 1)
		ret = 0;
	if (ret < 0)
		OPENSSL_cleanse(bytes, length);
	EVP_CIPHER_CTX_free(cipher);
	return ret;
}

/* ---- wrapping ---- */

ssize_t wrap_close(const uint8_t public[WRAP_PUBLIC_SIZE], const struct wrap_context *context,
		   const void *bytes, size_t length, uint8_t *wrapped)
{
	uint8_t *ephemeral = wrapped + MARK_SIZE + IDENTIFIER;
	EVP_PKEY *once = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
	struct secret secret;
	int ret = once && length <= CONTROL_KEY_MAX && take_public(once, ephemeral) &&
				  identify(public, wrapped + MARK_SIZE)
			  ? 0
			  : -EINVAL;

	memcpy(wrapped, MARK, MARK_SIZE);
	if (ret == 0)
		ret = make_secret(once, public, public, ephemeral, &secret);
	if (ret == 0)
		ret = encrypt(&secret, context, bytes, length, wrapped + HEAD);
	OPENSSL_cleanse(&secret, sizeof(secret));
	EVP_PKEY_free(once);
	return ret < 0 ? ret : (ssize_t)(length + CONTROL_WRAP_SIZE);
}

static int check(const struct wrap_pair *pair, const uint8_t *wrapped, size_t length,
		 struct error *error)
{
	if (length < CONTROL_WRAP_SIZE || length - CONTROL_WRAP_SIZE > CONTROL_KEY_MAX ||
	    memcmp(wrapped, MARK, MARK_SIZE) != 0)
		return error_set(error, EINVAL,
				 "is not wrapped; wrap it with what the verb wrapping tells");
	if (memcmp(wrapped + MARK_SIZE, pair->identifier, IDENTIFIER) != 0)
		return error_set(error, ESTALE,
				 "is wrapped for another host, or for this one before its "
				 "controller was started; ask for wrapping anew");
	return 0;
}

ssize_t wrap_open(const struct wrap_pair *pair, const struct wrap_context *context,
		  const uint8_t *wrapped, size_t length, uint8_t *bytes, struct error *error)
{
	const uint8_t *ephemeral = wrapped + MARK_SIZE + IDENTIFIER;
	struct secret secret;
	int ret = check(pair, wrapped, length, error);

	if (ret < 0)
		return ret;
	length -= CONTROL_WRAP_SIZE;
	ret = make_secret(pair->key, ephemeral, pair->public, ephemeral, &secret);
	if (ret == 0)
		ret = decrypt(&secret, context, wrapped + HEAD, length, bytes);
	OPENSSL_cleanse(&secret, sizeof(secret));
	if (ret == -EKEYREJECTED)
		return error_set(error, EKEYREJECTED,
				 "is wrapped for another request, caller, instance or card, or was "
				 "changed");
	return ret < 0 ? error_set(error, -ret, "cannot be unwrapped: %s", strerror(-ret))
		       : (ssize_t)length;
}
