/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is a host what it should be? What it answers to the verb `evidence` (its event log, quoted by its
 * TPM if it has one) against the policy: the manifests of the releases that the fleet may run. Pure
 * but for the policy's files.
 */
#ifndef KARUTA_PLANE_EVIDENCE_H
#define KARUTA_PLANE_EVIDENCE_H

#include <jansson.h>

#include "base/error.h"
#include "core/trust.h"
#include "trust/manifest.h"

#define EVIDENCE_RELEASES 16u
#define EVIDENCE_WHY_MAX  192u

/* What hosts may have measured. */
struct evidence_policy {
	struct manifest *manifests[EVIDENCE_RELEASES];	/* owned */
	struct trust_digest digests[EVIDENCE_RELEASES]; /* of the files themselves */
	size_t count;
};

/* One more manifest, signed by `key`. -EPERM: it is not; -ENOSPC. */
int evidence_allow(struct evidence_policy *policy, const char *text, size_t length,
		   const struct trust_key *key, struct error *error);
void evidence_policy_free(struct evidence_policy *policy);

struct evidence {
	enum trust_check log, quote, policy;
	char key[2 * 256 + 1]; /* that has signed the quote: SubjectPublicKeyInfo, hexadecimal */
	char why[EVIDENCE_WHY_MAX]; /* what differs; "": nothing does */
};

/*
 * `expected`: the key that its quotes were signed with so far, as `key` above; "": none yet, this
 * one is believed. `nonce` is what it was asked with. Without a policy nothing is checked against
 * one.
 */
void evidence_check(struct evidence *evidence, const json_t *answer, const char *expected,
		    const void *nonce, size_t nonce_length, const struct evidence_policy *policy);

#endif
