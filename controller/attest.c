/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "attest.h"

struct following {
	struct tpm *tpm;
	struct error *error;
};

static int extend(void *context, const struct trust_digest *event)
{
	struct following *following = context;

	return tpm_extend(following->tpm, event, following->error);
}

int attest_follow(struct tpm *tpm, const struct state *state, struct error *error)
{
	struct following following = {.tpm = tpm, .error = error};
	struct trust_digest value;
	int ret = tpm_read(tpm, &value, error);

	if (ret < 0)
		return ret;
	ret = event_log_since(&state->log, &value, extend, &following);
	if (ret == -ESTALE)
		return error_set(error, EBADMSG,
				 "event log: the TPM's register %u is of another one",
				 QUOTE_REGISTER);
	if (ret == -ENOMEM)
		return error_set(error, ENOMEM, "event log: out of memory");
	return ret;
}

int attest_quote(struct tpm *tpm, const struct state *state, const void *nonce, size_t nonce_length,
		 char **text, size_t *length, struct error *error)
{
	struct quote quote;
	int ret = attest_follow(tpm, state, error);

	if (ret == 0)
		ret = tpm_quote(tpm, nonce, nonce_length, &quote, error);
	if (ret < 0)
		return ret;
	ret = quote_format(&quote, &state->log, text, length);
	return ret < 0 ? error_set(error, -ret, "quote: %s", strerror(-ret)) : 0;
}
