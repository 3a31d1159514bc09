/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Documents: the JSON objects that the store keeps, "hosts/h1" for one, and how all of them look:
 *
 *	{"metadata": {"name", "uid", "created", "labels"}, "spec": {...}, "status": {...}}
 *
 * What was asked for is in `spec` (and `wanted`), what is, in `status`. A document that was read
 * has its revision as "revision", which is not stored.
 */
#ifndef KARUTA_PLANE_DOC_H
#define KARUTA_PLANE_DOC_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "problem.h"
#include "store.h"

#define DOC_NAME_MAX	63u
#define DOC_CHANGES_MAX 96u /* all volumes of an instance, with their keys, and more */
#define DOC_TIME_SIZE	32u
#define DOC_UID_SIZE	33u /* 32 hexadecimal digits */

/* Letters, digits and '-', beginning with a letter: what may be the name of something. */
bool doc_name_is_good(const char *name);

/* The caller's; -ENOENT: there is none, the error is not set then. */
int doc_read(struct store *store, const char *kind, const char *name, json_t **doc,
	     struct error *error);

/* Calls `fn` with each document of a kind, in the order of their names; other than 0 ends it, and
 * is returned. The document stays the caller's. */
typedef int (*doc_fn)(void *context, const json_t *doc, struct error *error);
int doc_each(struct store *store, const char *kind, doc_fn fn, void *context, struct error *error);

/* Several documents that change together. */
struct doc_batch {
	struct store_change changes[DOC_CHANGES_MAX];
	char *texts[2 * DOC_CHANGES_MAX]; /* keys and values */
	size_t count, text_count;
	int failed; /* the first thing that went wrong: -ENOMEM, -E2BIG */
};

#define DOC_BATCH_NONE ((struct doc_batch){0})

/* `doc` stays the caller's; NULL: it is deleted. `expected`: as of struct store_change. */
void doc_put(struct doc_batch *batch, const char *kind, const char *name, const json_t *doc,
	     uint64_t expected);
/* Bytes of somebody else's making, of which a scrub leaves nothing once they were replaced: a key.
 * Takes `value` over. */
void doc_put_sealed(struct doc_batch *batch, const char *kind, const char *name, char *value,
		    uint64_t expected);
/* Nothing of it is done. */
void doc_drop(struct doc_batch *batch);
/* All or none; the batch is empty afterwards in any case. -ESTALE: one has changed meanwhile. */
int doc_commit(struct doc_batch *batch, struct store *store, uint64_t *revision,
	       struct error *error);

/* A new one; takes `spec` over. `labels` may be NULL. NULL: out of memory. */
json_t *doc_make(const char *name, const json_t *labels, json_t *spec, int64_t now);
uint64_t doc_revision(const json_t *doc);
const char *doc_name(const json_t *doc);
const char *doc_uid(const json_t *doc);

/* A text of whatever bytes, for people: cut at PROBLEM_TEXT_MAX, and '?' for what is no UTF-8. */
json_t *doc_string(const char *text);

/* "2026-11-26T20:00:00Z" of seconds since 1970. */
void doc_time(int64_t seconds, char text[DOC_TIME_SIZE]);

/* Members of an object, by a dotted path ("status.state"); "", 0 or NULL if there is none. */
const char *doc_text(const json_t *doc, const char *path);
uint64_t doc_number(const json_t *doc, const char *path);
json_t *doc_member(const json_t *doc, const char *path);
/* Makes the objects on the way. Takes `value` over. */
int doc_set(json_t *doc, const char *path, json_t *value);

#endif
