/* SPDX-License-Identifier: Apache-2.0 */
/* What a caller sends for a wrapped key: never opened, but when it is what was wrapped. The input
 * is either taken as it is, or changes one that was made for this controller. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "call/wrap.h"

#define SECRET "0123456789abcdef0123456789abcdef"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct wrap_pair *pair;
static const struct wrap_context context = {.caller = "alice", .number = 5};
static uint8_t good[sizeof(SECRET) + CONTROL_WRAP_SIZE];
static uint8_t changed[CONTROL_KEY_MAX + CONTROL_WRAP_SIZE + 1], opened[CONTROL_KEY_MAX];

static void begin(void)
{
	if (wrap_pair_make(&pair, NULL) < 0 ||
	    wrap_close(wrap_pair_public(pair), &context, SECRET, sizeof(SECRET), good) !=
		    (ssize_t)sizeof(good))
		abort();
}

static void open_one(const uint8_t *wrapped, size_t size)
{
	struct error error = {0};
	ssize_t length = wrap_open(pair, &context, wrapped, size, opened, &error);
	int same = size == sizeof(good) && !memcmp(wrapped, good, size);

	if (same ? length != (ssize_t)sizeof(SECRET) || memcmp(opened, SECRET, sizeof(SECRET)) != 0
		 : length != -EINVAL && length != -ESTALE && length != -EKEYREJECTED)
		abort();
	if (!same && error.code != -length)
		abort();
}

/* Byte 0: how; the rest is combined with the good one, or follows as much of it as byte 1 says. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t kept;

	if (!pair)
		begin();
	if (size < 2 || size > sizeof(changed) - sizeof(good)) {
		open_one(data, size);
		return 0;
	}
	memset(changed, 0, sizeof(changed));
	memcpy(changed, good, sizeof(good));
	if (data[0] & 1) {
		for (size_t i = 0; i + 2 < size && i < sizeof(good); i++)
			changed[i] ^= data[i + 2];
		open_one(changed, sizeof(good));
	} else if (data[0] & 2) {
		kept = data[1] % (sizeof(good) + 1);
		memcpy(changed + kept, data + 2, size - 2);
		open_one(changed, kept + size - 2);
	} else {
		open_one(data + 1, size - 1);
	}
	return 0;
}
