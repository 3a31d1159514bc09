/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The format of a volume, and its cipher.
 *
 * The data area is what dm-crypt writes as `aes-xts-plain64` with a sector size of 4096 and without
 * iv_large_sectors, so that this opens it:
 *
 *	cryptsetup open --type plain --cipher aes-xts-plain64 --key-size 512 --sector-size 4096 \
 *		--key-file KEY FILE NAME
 *
 * Block n (4096 bytes at n * 4096) is AES-256-XTS (IEEE 1619) of its plain text as one data unit.
 * The tweak is the block's start counted in 512-byte sectors, n * 8, as 64 bits little endian and
 *64 bits of zeros: dm-crypt counts so unless it is given iv_large_sectors. The first half of the
 *key encrypts data, the second half the tweak.
 *
 * A block whose stored bytes are all zero was never written and reads as zeros. That a written
 * block encrypts to all zeros has a chance of 2^-32768 and is not provided for.
 */
#ifndef KARUTA_STORE_CRYPT_H
#define KARUTA_STORE_CRYPT_H

#include <stdbool.h>
#include <stdint.h>

#include "store.h"

struct store_cipher;

int store_cipher_create(struct store_cipher **cipher, const uint8_t key[STORE_KEY_SIZE],
			struct error *error);
/* Wipes what it knew of the key. NULL is fine. */
void store_cipher_destroy(struct store_cipher *cipher);

/* One whole block; `from` and `to` are apart or the same. 0 or -EIO. */
int store_cipher_encrypt(struct store_cipher *cipher, uint64_t block, const void *from, void *to);
int store_cipher_decrypt(struct store_cipher *cipher, uint64_t block, const void *from, void *to);

bool store_block_is_zero(const void *block);

#endif
