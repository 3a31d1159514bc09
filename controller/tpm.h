/* SPDX-License-Identifier: Apache-2.0 */
/* The host's TPM 2.0: one register of its SHA-384 bank (trust/quote.h), and a key that signs only
 * what the TPM itself has made. */
#ifndef KARUTA_CONTROLLER_TPM_H
#define KARUTA_CONTROLLER_TPM_H

#include <stddef.h>

#include "base/error.h"
#include "trust/digest.h"
#include "trust/quote.h"

struct tpm;

/* `how`: a TCTI and its configuration, "device:/dev/tpmrm0" (tctildr of tpm2-tss). */
int tpm_open(struct tpm **tpm, const char *how, struct error *error);
void tpm_close(struct tpm *tpm);
int tpm_read(struct tpm *tpm, struct trust_digest *value, struct error *error);
int tpm_extend(struct tpm *tpm, const struct trust_digest *event, struct error *error);
/* Key, attestation and signature. The key is the same each time, made from the TPM's own seed. */
int tpm_quote(struct tpm *tpm, const void *nonce, size_t length, struct quote *quote,
	      struct error *error);

#endif
