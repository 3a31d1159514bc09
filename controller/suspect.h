/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is measured and is not what it is to be: it goes into the event log and begins a quarantine.
 * All of these take the host's state, locked.
 */
#ifndef KARUTA_CONTROLLER_SUSPECT_H
#define KARUTA_CONTROLLER_SUSPECT_H

#include "base/error.h"
#include "book.h"
#include "measure.h"
#include "state.h"

int suspect_log_event(struct state *state, const char *what, const struct trust_digest *digest,
		      enum event_result result, struct error *error);
/* Returns -EPERM. `error` says why; `expected` may be NULL. */
int suspect_program(struct state *state, const char *what, const struct measured *measured,
		    const struct trust_digest *expected, struct error *error);
/* The log was removed or replaced by a whole one, or the TPM has been used by somebody else. */
int suspect_events(struct state *state, struct error *error);
/* state_load() and book_load(); -EPERM: a quarantine has begun. */
int suspect_load_state(struct state *state, struct error *error);
int suspect_load_book(struct state *state, struct book_entry entries[BOOK_ENTRIES], size_t *count,
		      struct error *error);

#endif
