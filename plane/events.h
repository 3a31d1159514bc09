/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What has happened, in order, for people and for programs that watch: "events/<number>". An event
 * is written in the same commit as what it tells of, so that neither is there without the other.
 * The last EVENTS_KEPT are kept.
 */
#ifndef KARUTA_PLANE_EVENTS_H
#define KARUTA_PLANE_EVENTS_H

#include "doc.h"

#define EVENTS_KEPT 10000u

struct events {
	struct store *store;
	uint64_t first, last; /* numbers of those that are there; last 0: none yet */
};

/* Finds out where it goes on. */
int events_open(struct events *events, struct store *store, struct error *error);
/* Into the batch. `object`: "hosts/h1"; `who`: a caller's name, or NULL: the plane itself. */
__attribute__((format(printf, 7, 8))) void events_add(struct events *events,
						      struct doc_batch *batch, int64_t now,
						      const char *kind, const char *object,
						      const char *who, const char *format, ...);
/* After a commit of batches with events: those that are too old go. */
int events_trim(struct events *events, struct error *error);

#endif
