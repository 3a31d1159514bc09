/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <openssl/crypto.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/base.h"
#include "local.h"

/* IEEE 1619: both halves alike are no key; nor are the zeros of a new state. */
static bool is_key(const uint8_t key[STORE_KEY_SIZE])
{
	return CRYPTO_memcmp(key, key + STORE_KEY_SIZE / 2, STORE_KEY_SIZE / 2) != 0;
}

/* Whole for up to 256 bytes, once the kernel's generator has been seeded: getrandom(2). */
static int make_key(uint8_t key[STORE_KEY_SIZE], struct error *error)
{
	ssize_t got;

	do
		got = getrandom(key, STORE_KEY_SIZE, 0);
	while (got < 0 && errno == EINTR);
	if (got == STORE_KEY_SIZE && is_key(key))
		return 0;
	return error_set(error, EIO, "no random numbers for a key: %s",
			 got < 0 ? strerror(errno) : "too few");
}

int local_key_open(const struct local_state *state, uint8_t key[STORE_KEY_SIZE],
		   struct error *error)
{
	memcpy(key, state->key, STORE_KEY_SIZE);
	return is_key(key) ? 0 : make_key(key, error);
}

void local_key_protect(struct local_state *state)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t first = align_down((uintptr_t)state->key, page);
	size_t length = align_up((uintptr_t)(state->key + STORE_KEY_SIZE), page) - first;

	madvise((void *)first, length, MADV_DONTDUMP);
	mlock((void *)first, length);
}
