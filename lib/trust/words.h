/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of words out of hostile text. After the first thing that is not as it must be, `failed` is
 * set and stays: check once, at the end of a line. */
#ifndef KARUTA_TRUST_WORDS_H
#define KARUTA_TRUST_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "digest.h"

struct words {
	const char *at, *end;
	bool failed;
};

static inline struct words words_make(const char *text, size_t length)
{
	return (struct words){.at = text, .end = text + length};
}

/* The next bytes are exactly these. */
bool words_are_next(const struct words *words, const char *text);
void words_expect(struct words *words, const char *text);
/* A word of letters, digits and `others`, of 1 to `size` - 1 characters, into `text`. */
void words_copy(struct words *words, const char *others, char *text, size_t size);
/* Decimal, no leading zero, `least` to `most`. */
uint64_t words_number(struct words *words, uint64_t least, uint64_t most);
void words_digest(struct words *words, struct trust_digest *digest);

#endif
