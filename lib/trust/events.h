/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event log of a host: what was measured since it was started, in order, each with what the
 * running hash became. The hash runs as a TPM's register does, from zeros, so that it can be
 * compared with one.
 *
 *	karuta events 1 <the boot's id>
 *	<what> <SHA-384> <result> <running hash>
 *
 * Each line without its last word, newline behind it, is one event; the first line is the first
 * one. What is intact, or refused, is not logged a second time: what does not change does not make
 * the log grow.
 */
#ifndef KARUTA_TRUST_EVENTS_H
#define KARUTA_TRUST_EVENTS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "digest.h"

#define EVENTS_SIZE_MAX (256u << 10)
#define EVENTS_NAME_MAX 63u
#define EVENTS_BOOT_MAX 36u

enum event_result {
	EVENT_INTACT,	/* what the manifest says */
	EVENT_MISMATCH, /* not what it is to be: quarantine */
	EVENT_REFUSED,	/* authentic or nobody's, and not to be used: too old, not listed */
	EVENT_RELEASED, /* a quarantine was ended */
	EVENT_MADE,	/* by the controller itself, while it ran: a public key */
};

struct event {
	char what[EVENTS_NAME_MAX + 1]; /* letters, digits, '-', '_', '.' */
	struct trust_digest digest;
	enum event_result result;
};

struct event_log {
	char *text; /* owned; `length` bytes and a 0 */
	size_t length;
	size_t count; /* of events, the first line not counted */
	char boot[EVENTS_BOOT_MAX + 1];
	struct trust_digest running;
};

/* A new log. `boot`: letters, digits, '-'. 0, -EINVAL, -ENOMEM. */
int event_log_begin(struct event_log *log, const char *boot);
/* From its text, replayed line by line. -EBADMSG: changed, cut, or not a log. */
int event_log_open(struct event_log *log, const char *text, size_t length, struct error *error);
/* 0, also if it is in the log already; -EINVAL, -ENOSPC: the log is full, -ENOMEM.
 * For mismatches and releases there is room longer than for what is found in order. */
int event_log_add(struct event_log *log, const struct event *event);
/*
 * Calls `extend` with the digest of each event, the first line's included, that came after the
 * running hash was `running` (zeros: of all), in order, until it returns other than 0. -ESTALE: it
 * never was.
 */
typedef int (*event_extend_fn)(void *context, const struct trust_digest *event);
int event_log_since(const struct event_log *log, const struct trust_digest *running,
		    event_extend_fn extend, void *context);
void event_log_free(struct event_log *log);

const char *event_result_name(enum event_result result);

#endif
