/* SPDX-License-Identifier: Apache-2.0 */
/* Reading an audit log from its beginning to its end, while it may grow, and finding out whether it
 * is what was written. */
#ifndef KARUTA_CONTROLLER_AUDIT_CHECK_H
#define KARUTA_CONTROLLER_AUDIT_CHECK_H

#include <stddef.h>
#include <stdint.h>

#include "trust/audit_chain.h"
#include "base/error.h"

struct audit_found {
	uint64_t first, last; /* entries; last < first: none */
};

/* An entry's number and hash, and its object; not terminated. Its place in the chain is right; the
 * chain's end is only known to be when audit_check() returns. */
typedef void (*audit_entry_fn)(void *context, const struct audit_link *entry, const char *object,
			       size_t length);

/* 0, or -EBADMSG with what is wrong and where. `fn` may be NULL. */
int audit_check(const char *path, audit_entry_fn fn, void *context, struct audit_found *found,
		struct error *error);
/* The same, from the beginning of the file whose first entry is `first`. What was before is taken
 * for what that file says. */
int audit_check_from(const char *path, uint64_t first, audit_entry_fn fn, void *context,
		     struct audit_found *found, struct error *error);

#endif
