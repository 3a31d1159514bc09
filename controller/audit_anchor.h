/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the audit log is tied to a TPM, so that its end cannot be cut off, nor an older copy of all
 * of it, its head included, be put in its place. Some entries are anchors:
 *
 *	{"number":N,...,"caller":"controller","verb":"anchor","object":TPM,"code":0,"text":VALUE}
 *
 * VALUE is what an index of the TPM had before it. When the entry is on the disk its hash is told
 * to the TPM, whose index becomes SHA-384(VALUE || hash), for good (tpm.h). The hash stands for
 * all entries before it, and so does the index: a log is the one that the TPM was told of if it has
 * the anchor that makes the index what it is. One anchor may follow that the TPM has not heard of
 * yet: the controller died in between.
 */
#ifndef KARUTA_CONTROLLER_AUDIT_ANCHOR_H
#define KARUTA_CONTROLLER_AUDIT_ANCHOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trust/audit_chain.h"
#include "base/error.h"

#define AUDIT_ANCHOR_CALLER "controller"
#define AUDIT_ANCHOR_VERB   "anchor"
#define AUDIT_ANCHOR_TPM    17u /* what a TPM is called by, and a 0 */

/* What is found of a log that is read from anywhere to its end. */
struct audit_proof {
	struct audit_hash value; /* the TPM's index; zeros: it was never told anything */
	uint64_t proved;	 /* the anchor that made it so; 0: none */
	uint64_t strayed;	 /* an anchor that does not follow from the one before; 0: none */
	unsigned count;		 /* of anchors */

	/* The last anchor. */
	uint64_t last;
	char tpm[AUDIT_ANCHOR_TPM];
	struct audit_link anchor;
	struct audit_hash before, after;
};

/* The index was never told anything. */
bool audit_anchor_is_none(const struct audit_hash *value);
void audit_anchor_format(const struct audit_hash *value, char text[AUDIT_HASH_TEXT + 1]);
/* What the index is after it was told the hash of an anchor. 0 or -ENOMEM. */
int audit_anchor_after(const struct audit_hash *before, const struct audit_hash *anchor,
		       struct audit_hash *after);
/* audit_entry_fn; the context is a proof, whose `value` is set. */
void audit_proof_take(void *proof, const struct audit_link *entry, const char *object,
		      size_t length);
/* After all entries. 0: the TPM has heard of it, or never of any; -EBADMSG. `tpm`: whose `value` it
 * is; `last`: the last entry. */
int audit_proof_judge(const struct audit_proof *proof, const char *tpm, uint64_t last,
		      struct error *error);
/* The TPM has yet to be told of the last anchor. */
bool audit_proof_is_behind(const struct audit_proof *proof);

#endif
