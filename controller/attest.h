/* SPDX-License-Identifier: Apache-2.0 */
/* The event log and the TPM's register, kept the same. */
#ifndef KARUTA_CONTROLLER_ATTEST_H
#define KARUTA_CONTROLLER_ATTEST_H

#include "base/error.h"
#include "state.h"
#include "tpm.h"

/* Extends the register with what the log has and it has not: the log is on the disk first.
 * -EBADMSG: the register is of another log than this one. */
int attest_follow(struct tpm *tpm, const struct state *state, struct error *error);
/* A quote with its event log, as text (trust/quote.h) that is the caller's. Also in a quarantine:
 * whoever asks is told. */
int attest_quote(struct tpm *tpm, const struct state *state, const void *nonce, size_t nonce_length,
		 char **text, size_t *length, struct error *error);

#endif
