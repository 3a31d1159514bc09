/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tss2/tss2_mu.h>

#include "base/base.h"
#include "quote.h"
#include "words.h"

/* ---- text ---- */

static size_t put_line(char *at, const char *word, const uint8_t *bytes, size_t length)
{
	size_t used = (size_t)sprintf(at, "%s ", word);

	trust_hex(bytes, length, at + used);
	used += 2 * length;
	at[used] = '\n';
	return used + 1;
}

int quote_format(const struct quote *quote, const struct event_log *log, char **text,
		 size_t *length)
{
	static const char first[] = "karuta quote 1\n";
	char *at = malloc(QUOTE_SIZE_MAX);

	if (!at)
		return -ENOMEM;
	*text = at;
	memcpy(at, first, sizeof(first) - 1);
	at += sizeof(first) - 1;
	at += put_line(at, "key", quote->key, quote->key_length);
	at += put_line(at, "attest", quote->attest, quote->attest_length);
	at += put_line(at, "signature", quote->signature, quote->signature_length);
	memcpy(at, log->text, log->length + 1);
	*length = (size_t)(at - *text) + log->length;
	return 0;
}

static void take_line(struct words *words, const char *word, uint8_t *bytes, size_t size,
		      size_t *length)
{
	size_t digits = 0;

	words_expect(words, word);
	words_expect(words, " ");
	if (words->failed)
		return;
	while (words->at + digits < words->end && words->at[digits] != '\n')
		digits++;
	if (!digits || digits / 2 > size || !trust_unhex(words->at, digits, bytes)) {
		words->failed = true;
		return;
	}
	*length = digits / 2;
	words->at += digits;
	words_expect(words, "\n");
}

int quote_parse(struct quote *quote, struct event_log *log, const char *text, size_t length,
		struct error *error)
{
	struct words words = words_make(text, length);

	*quote = (struct quote){0};
	words_expect(&words, "karuta quote 1\n");
	take_line(&words, "key", quote->key, sizeof(quote->key), &quote->key_length);
	take_line(&words, "attest", quote->attest, sizeof(quote->attest), &quote->attest_length);
	take_line(&words, "signature", quote->signature, sizeof(quote->signature),
		  &quote->signature_length);
	if (words.failed)
		return error_set(error, EBADMSG, "quote: not as it has to be written");
	return event_log_open(log, words.at, (size_t)(words.end - words.at), error);
}

/* ---- what the TPM has signed ---- */

static bool is_our_register(const TPML_PCR_SELECTION *selection)
{
	const TPMS_PCR_SELECTION *only = &selection->pcrSelections[0];
	bool ours = selection->count == 1 && only->hash == TPM2_ALG_SHA384 &&
		    only->sizeofSelect <= sizeof(only->pcrSelect) &&
		    only->sizeofSelect > QUOTE_REGISTER / 8;

	for (unsigned i = 0; ours && i < only->sizeofSelect; i++) {
		unsigned wanted = i == QUOTE_REGISTER / 8 ? 1u << QUOTE_REGISTER % 8 : 0;

		ours = only->pcrSelect[i] == wanted;
	}
	return ours;
}

/* The digest of a selection is that of the values in it, one behind the other: here, of one. */
static bool is_value(const TPM2B_DIGEST *digest, const struct trust_digest *value)
{
	struct trust_digest wanted;

	return trust_digest(value->bytes, TRUST_DIGEST_SIZE, &wanted) == 0 &&
	       digest->size == TRUST_DIGEST_SIZE &&
	       !memcmp(digest->buffer, wanted.bytes, TRUST_DIGEST_SIZE);
}

/* TPM 2.0 Library, part 2, 10.12.8 (TPMS_ATTEST) and part 3, 18.4 (TPM2_Quote). */
static const char *judge(const struct quote *quote, const struct event_log *log, const void *nonce,
			 size_t nonce_length)
{
	TPMS_ATTEST attest = {0};
	size_t used = 0;

	if (Tss2_MU_TPMS_ATTEST_Unmarshal(quote->attest, quote->attest_length, &used, &attest) !=
		    TSS2_RC_SUCCESS ||
	    used != quote->attest_length)
		return "not what a TPM attests";
	/* A key that signs only what the TPM itself has made never signs this for anybody else. */
	if (attest.magic != TPM2_GENERATED_VALUE || attest.type != TPM2_ST_ATTEST_QUOTE)
		return "not a quote";
	if (attest.extraData.size != nonce_length ||
	    memcmp(attest.extraData.buffer, nonce, nonce_length) != 0)
		return "an answer to another nonce";
	if (!is_our_register(&attest.attested.quote.pcrSelect))
		return "of other registers";
	if (!is_value(&attest.attested.quote.pcrDigest, &log->running))
		return "the event log is not what the register was extended with";
	return NULL;
}

int quote_verify(const struct quote *quote, const struct event_log *log,
		 const struct trust_key *key, const void *nonce, size_t nonce_length,
		 struct error *error)
{
	const char *why = "another key has signed it, or none";

	if (nonce_length < QUOTE_NONCE_MIN || nonce_length > QUOTE_NONCE_MAX)
		return error_set(error, EINVAL, "a nonce has %u to %u bytes", QUOTE_NONCE_MIN,
				 QUOTE_NONCE_MAX);
	if (trust_key_has_signed(key, quote->attest, quote->attest_length, quote->signature,
				 quote->signature_length))
		why = judge(quote, log, nonce, nonce_length);
	return why ? error_set(error, EPERM, "quote: %s", why) : 0;
}
