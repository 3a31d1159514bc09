/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>

#include "os/fd.h"
#include "store.h"

/* In constant time. */
static int halves_equal(const uint8_t key[STORE_KEY_SIZE])
{
	return !CRYPTO_memcmp(key, key + STORE_KEY_SIZE / 2, STORE_KEY_SIZE / 2);
}

static int check(const uint8_t key[STORE_KEY_SIZE], ssize_t length, struct error *error)
{
	if (length < 0)
		return error_set(error, (int)-length, "key: cannot be read: %s",
				 strerror((int)-length));
	if (length != STORE_KEY_SIZE)
		return error_set(error, EINVAL,
				 "key: %s; exactly %u raw bytes are needed, without a newline",
				 length < STORE_KEY_SIZE ? "too short" : "too long",
				 STORE_KEY_SIZE);
	if (halves_equal(key))
		return error_set(error, EINVAL,
				 "key: its two halves are equal, which makes XTS unsafe; take "
				 "%u random bytes",
				 STORE_KEY_SIZE);
	return 0;
}

int store_key_read(int fd, uint8_t key[STORE_KEY_SIZE], struct error *error)
{
	uint8_t bytes[STORE_KEY_SIZE + 1];
	ssize_t length = os_read_full(fd, bytes, sizeof(bytes));
	int result = check(bytes, length, error);

	if (!result)
		memcpy(key, bytes, STORE_KEY_SIZE);
	OPENSSL_cleanse(bytes, sizeof(bytes));
	return result;
}
