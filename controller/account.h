/* SPDX-License-Identifier: Apache-2.0 */
/* An instance's commands in the audit log: each before it is carried out, then its outcome, which
 * can come long after its caller has gone. */
#ifndef KARUTA_CONTROLLER_ACCOUNT_H
#define KARUTA_CONTROLLER_ACCOUNT_H

#include <stddef.h>
#include <stdint.h>

#include "audit.h"

#define ACCOUNT_OPEN   64u	  /* commands whose outcome is not known yet */
#define ACCOUNT_AT_END UINT64_MAX /* a ticket: known when the instance has ended */

struct account {
	struct audit audit;
	struct {
		uint64_t ticket; /* 0: free */
		uint64_t line;
	} open[ACCOUNT_OPEN];
};

#define ACCOUNT_NONE ((struct account){.audit = AUDIT_NONE})

/* The command may be carried out once this has returned 0. `ticket` 0: nothing more comes of it. */
int account_accept(struct account *account, uint64_t ticket, const char *caller, const char *verb,
		   const char *object, struct error *error);
/* Nothing of it was done. */
void account_refuse(struct account *account, const char *caller, const char *verb,
		    const char *object, int code, const char *text);
/* Of all commands with this ticket, once. */
void account_outcome(struct account *account, uint64_t ticket, int code, const char *text);
/* The instance has ended: the outcome of all that is open. */
void account_end(struct account *account, const char *outcome);

#endif
