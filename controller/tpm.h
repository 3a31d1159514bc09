/* SPDX-License-Identifier: Apache-2.0 */
/* The host's TPM 2.0: one register of its SHA-384 bank (trust/quote.h), a key that signs only what
 * the TPM itself has made, and an index of its own memory for the audit log (audit_anchor.h). */
#ifndef KARUTA_CONTROLLER_TPM_H
#define KARUTA_CONTROLLER_TPM_H

#include <stddef.h>

#include "base/error.h"
#include "trust/digest.h"
#include "trust/quote.h"

#define TPM_IDENTITY_SIZE 17u	      /* 16 digits and a 0 */
#define TPM_LOG_INDEX	  0x01814b41u /* of those that a TPM's owner makes */

struct tpm;

/* `how`: a TCTI and its configuration, "device:/dev/tpmrm0" (tctildr of tpm2-tss). */
int tpm_open(struct tpm **tpm, const char *how, struct error *error);
void tpm_close(struct tpm *tpm);
int tpm_read(struct tpm *tpm, struct trust_digest *value, struct error *error);
int tpm_extend(struct tpm *tpm, const struct trust_digest *event, struct error *error);
/* Key, attestation and signature. The key is the same each time, made from the TPM's own seed. */
int tpm_quote(struct tpm *tpm, const void *nonce, size_t length, struct quote *quote,
	      struct error *error);
/* What a TPM is called by: the beginning of that key's digest. */
int tpm_identify(struct tpm *tpm, char text[TPM_IDENTITY_SIZE], struct error *error);

/* tpm_nv.c. The index is made once; the TPM's owner must have no password then. */
int tpm_log_make(struct tpm *tpm, struct error *error);
/* Zeros: it was never extended. -ENOENT: there is none. */
int tpm_log_read(struct tpm *tpm, struct trust_digest *value, struct error *error);
/* value = SHA-384(value || digest), for good. */
int tpm_log_extend(struct tpm *tpm, const struct trust_digest *digest, struct error *error);

#endif
