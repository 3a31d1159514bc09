/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the handlers of all resources share. A handler checks what was sent, changes what is wanted
 * in one commit together with its event, and answers with the document. What has to be done for it
 * is done elsewhere, later.
 */
#ifndef KARUTA_PLANE_API_H
#define KARUTA_PLANE_API_H

#include "doc.h"
#include "json_in.h"
#include "plane.h"

/* ---- answers ---- */

/* In the words of an error that a call gave; `object`: "hosts/h1" or NULL. */
void api_fail(const struct route_request *request, int ret, const struct error *error,
	      const char *object);
/* With its ETag; takes `doc` over. */
void api_show(const struct route_request *request, unsigned status, json_t *doc);

/* ---- requests ---- */

/* The page that the query asks for; `show` completes each item, NULL: as they are. */
void api_list(struct plane *plane, const struct route_request *request, const char *kind,
	      void (*show)(struct plane *plane, json_t *doc));
/* A page's; NULL: 0. -1: the problem is set. */
int api_take_limit(const char *text, unsigned *limit, struct problem *problem);
/* The document that the path names first, or NULL: it is answered, 404 or 412 (If-Match, RFC 9110,
 * 13.1.1). */
json_t *api_find(struct plane *plane, const struct route_request *request, const char *kind);

/*
 * A POST with an Idempotency-Key is carried out once: what has come of it is kept for a day. True:
 * it is answered. Else api_once_keep() puts that into the batch of what it does.
 */
bool api_once(struct plane *plane, const struct route_request *request);
void api_once_keep(struct doc_batch *batch, const struct route_request *request, const char *kind,
		   const char *name);
/* Those that are older than a day go. */
int api_once_trim(struct store *store, int64_t now, struct error *error);

/* api_*.c: route handlers. */
void api_hosts_add(void *plane, const struct route_request *request);
void api_hosts_list(void *plane, const struct route_request *request);
void api_hosts_one(void *plane, const struct route_request *request);
void api_hosts_remove(void *plane, const struct route_request *request);
void api_hosts_evidence(void *plane, const struct route_request *request);
void api_hosts_release(void *plane, const struct route_request *request);
void api_tokens_make(void *plane, const struct route_request *request);
void api_tokens_list(void *plane, const struct route_request *request);
void api_tokens_remove(void *plane, const struct route_request *request);
void api_events(void *plane, const struct route_request *request);
void api_health(void *plane, const struct route_request *request);
void api_metrics(void *plane, const struct route_request *request);

#endif
