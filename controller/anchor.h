/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeps the TPM's index up with the audit log (audit_anchor.h). A TPM's memory wears out: lines are
 * in it a second after they were written, but as soon as there have been ANCHOR_BURST times within
 * ten hours only every ten minutes, or every ANCHOR_LINES lines; and at the end.
 */
#ifndef KARUTA_CONTROLLER_ANCHOR_H
#define KARUTA_CONTROLLER_ANCHOR_H

#include <stdint.h>

#include "audit.h"
#include "audit_anchor.h"
#include "os/clock.h"

#define ANCHOR_AFTER NS_PER_S
#define ANCHOR_EVERY (600 * NS_PER_S)
#define ANCHOR_BURST 60u
#define ANCHOR_LINES 10000u
#define ANCHOR_RETRY (60 * NS_PER_S) /* a TPM that failed */

struct anchor {
	const char *how; /* the TPM; NULL: there is none, and nothing is done */
	struct audit *audit;
	const char *path; /* of the log; the caller's */
	bool open;	  /* the TPM has been heard */
	char tpm[AUDIT_ANCHOR_TPM];
	struct audit_hash value; /* that its index must have */
	uint64_t told;		 /* the last line that it was told of */
	uint64_t since;		 /* when there was one more; 0: there is none */
	uint64_t paid;		 /* until when earlier ones use up what is allowed */
	uint64_t retry;
	bool lost; /* it has been told of something else: it is left as it is */
};

/* `audit` is open, at `path`. -EBADMSG: the TPM was told of another log. `later`: a TPM that does
 * not answer is no error, but tried again. */
int anchor_open(struct anchor *anchor, const char *how, struct audit *audit, const char *path,
		bool later, struct error *error);
/* Returns after how many ms there may be something to do. */
int anchor_turn(struct anchor *anchor, uint64_t now);
/* Tells the TPM of what it has not heard yet. */
void anchor_close(struct anchor *anchor);

#endif
