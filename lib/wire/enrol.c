/* SPDX-License-Identifier: Apache-2.0 */
#include "enrol.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define PREFIX	   "karuta-enrol-"
#define CHECK_SIZE 4u
#define BYTES	   (ENROL_SECRET_SIZE + CHECK_SIZE) /* a multiple of 3: there is no padding */
#define DIGITS	   (BYTES / 3 * 4)

_Static_assert(BYTES % 3 == 0 && sizeof(PREFIX) + DIGITS == ENROL_TOKEN_SIZE, "token");

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* As control_verbs. */
const struct control_verb enrol_verbs[] = {
	[ENROL_REQUEST] = {"enrol-request",
			   "a request for a certificate, for a key that the host makes",
			   CONTROL_ADMIN,
			   false,
			   0,
			   {{0}}},
	[ENROL_INSTALL] = {"enrol-install",
			   "the certificate, and who has signed it",
			   CONTROL_ADMIN,
			   true,
			   2,
			   {{"authority", CONTROL_TEXT, true, ENROL_AUTHORITY_MAX},
			    {"certificate", CONTROL_TEXT, true, ENROL_CERTIFICATE_MAX}}},
	{.name = NULL},
};

/* As of zip and Ethernet (ISO 3309), a bit at a time: it is 32 bytes. */
static uint32_t crc32(const uint8_t *bytes, size_t length)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < length; i++) {
		crc ^= bytes[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0xedb88320) : 0);
	}
	return ~crc;
}

static void put_check(uint8_t bytes[BYTES])
{
	uint32_t crc = crc32(bytes, ENROL_SECRET_SIZE);

	for (unsigned i = 0; i < CHECK_SIZE; i++)
		bytes[ENROL_SECRET_SIZE + i] = (uint8_t)(crc >> (8 * (CHECK_SIZE - 1 - i)));
}

void enrol_token_write(const uint8_t secret[ENROL_SECRET_SIZE], char token[ENROL_TOKEN_SIZE])
{
	uint8_t bytes[BYTES];
	char *to = token + strlen(PREFIX);

	memcpy(token, PREFIX, strlen(PREFIX));
	memcpy(bytes, secret, ENROL_SECRET_SIZE);
	put_check(bytes);
	for (size_t i = 0; i < BYTES; i += 3) {
		uint32_t three =
			(uint32_t)bytes[i] << 16 | (uint32_t)bytes[i + 1] << 8 | bytes[i + 2];

		for (int shift = 18; shift >= 0; shift -= 6)
			*to++ = digits[three >> shift & 63];
	}
	*to = '\0';
	explicit_bzero(bytes, sizeof(bytes));
}

/* -1, or the place of one that is none. */
static int read_digits(const char *text, uint8_t bytes[BYTES])
{
	uint32_t bits = 0;

	for (unsigned i = 0; i < DIGITS; i++) {
		const char *digit = text[i] ? strchr(digits, text[i]) : NULL;

		if (!digit)
			return (int)i;
		bits = bits << 6 | (uint32_t)(digit - digits);
		if (i % 4 != 3)
			continue;
		bytes[i / 4 * 3] = (uint8_t)(bits >> 16);
		bytes[i / 4 * 3 + 1] = (uint8_t)(bits >> 8);
		bytes[i / 4 * 3 + 2] = (uint8_t)bits;
	}
	return -1;
}

static int check(const char *text, size_t length, uint8_t bytes[BYTES], struct error *error)
{
	uint8_t expected[BYTES];
	bool same;
	int wrong;

	if (length < strlen(PREFIX) || memcmp(text, PREFIX, strlen(PREFIX)) != 0)
		return error_set(error, EINVAL, "the token must begin with " PREFIX);
	if (length != strlen(PREFIX) + DIGITS)
		return error_set(error, EINVAL, "the token must have %u characters, it has %zu",
				 ENROL_TOKEN_SIZE - 1, length);
	wrong = read_digits(text + strlen(PREFIX), bytes);
	if (wrong >= 0)
		return error_set(error, EINVAL, "the token has a wrong character at place %zu",
				 strlen(PREFIX) + (size_t)wrong + 1);
	memcpy(expected, bytes, sizeof(expected));
	put_check(expected);
	same = !memcmp(expected, bytes, BYTES);
	explicit_bzero(expected, sizeof(expected));
	return same ? 0 : error_set(error, EINVAL, "the token is mistyped: its check is wrong");
}

int enrol_token_read(const char *text, size_t length, uint8_t secret[ENROL_SECRET_SIZE],
		     struct error *error)
{
	uint8_t bytes[BYTES];
	int ret = check(text, length, bytes, error);

	if (ret == 0)
		memcpy(secret, bytes, ENROL_SECRET_SIZE);
	explicit_bzero(bytes, sizeof(bytes));
	return ret;
}
