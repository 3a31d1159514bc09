/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a TPM 2.0 says of a host: that its register had this value when it was asked with this
 *nonce. Whoever trusts the TPM's key can tell from it that the event log is all that was measured.
 *Text, in one way to write each:
 *
 *	karuta quote 1
 *	key <SubjectPublicKeyInfo, DER, hexadecimal>
 *	attest <TPMS_ATTEST as it was signed>
 *	signature <ECDSA P-384 with SHA-384, DER>
 *	<the event log, trust/events.h>
 */
#ifndef KARUTA_TRUST_QUOTE_H
#define KARUTA_TRUST_QUOTE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "events.h"
#include "key.h"

/* Of the SHA-384 bank. Not one that can be reset, and not one that firmware, boot loaders or the
 * kernel's measuring use. */
#define QUOTE_REGISTER	 13u
#define QUOTE_NONCE_MIN	 16u
#define QUOTE_NONCE_MAX	 64u
#define QUOTE_ATTEST_MAX 512u
#define QUOTE_KEY_MAX	 256u
#define QUOTE_SIZE_MAX	 (EVENTS_SIZE_MAX + 4096u)

struct quote {
	uint8_t key[QUOTE_KEY_MAX];
	size_t key_length;
	uint8_t attest[QUOTE_ATTEST_MAX];
	size_t attest_length;
	uint8_t signature[TRUST_SIGNATURE_MAX];
	size_t signature_length;
};

/* *text is the caller's and ends with a 0 that is not counted. */
int quote_format(const struct quote *quote, const struct event_log *log, char **text,
		 size_t *length);
/* What the text says; nothing is believed. *log is the caller's when 0 is returned. */
int quote_parse(struct quote *quote, struct event_log *log, const char *text, size_t length,
		struct error *error);
/* -EPERM: `key`, which the caller has from elsewhere, has not signed that the register was as the
 * log makes it, in answer to this nonce. */
int quote_verify(const struct quote *quote, const struct event_log *log,
		 const struct trust_key *key, const void *nonce, size_t nonce_length,
		 struct error *error);

#endif
