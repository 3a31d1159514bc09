/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "words.h"

static size_t left(const struct words *words)
{
	return words->failed ? 0 : (size_t)(words->end - words->at);
}

bool words_are_next(const struct words *words, const char *text)
{
	size_t length = strlen(text);

	return left(words) >= length && !memcmp(words->at, text, length);
}

void words_expect(struct words *words, const char *text)
{
	if (words_are_next(words, text))
		words->at += strlen(text);
	else
		words->failed = true;
}

static bool is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

void words_copy(struct words *words, const char *others, char *text, size_t size)
{
	size_t length = 0, most = left(words);

	while (length < most && words->at[length] &&
	       (is_plain(words->at[length]) || strchr(others, words->at[length])))
		length++;
	if (!length || length >= size) {
		words->failed = true;
		length = 0;
	} else {
		memcpy(text, words->at, length);
		words->at += length;
	}
	text[length] = '\0';
}

uint64_t words_number(struct words *words, uint64_t least, uint64_t most)
{
	const char *first = words->at;
	uint64_t value = 0;

	while (left(words) && *words->at >= '0' && *words->at <= '9') {
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*words->at - '0'), &value))
			words->failed = true;
		words->at++;
	}
	if (words->failed || words->at == first || (*first == '0' && words->at != first + 1) ||
	    value < least || value > most)
		words->failed = true;
	return words->failed ? 0 : value;
}

void words_digest(struct words *words, struct trust_digest *digest)
{
	if (left(words) < TRUST_DIGEST_DIGITS ||
	    !trust_unhex(words->at, TRUST_DIGEST_DIGITS, digest->bytes))
		words->failed = true;
	else
		words->at += TRUST_DIGEST_DIGITS;
}
