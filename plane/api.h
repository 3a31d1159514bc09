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
/* The same as a problem; -1. */
int api_problem(struct problem *problem, int ret, const struct error *error, const char *object);
/* What was asked for cannot be, as things are: 409, "conflict"; -1. */
int api_conflict(struct problem *problem, const char *kind, const char *name, const char *why);
/* What no client sees is taken out, of a document of any kind. */
void api_hide(json_t *doc);
/* And what is known now is put in. */
void api_complete(struct plane *plane, const char *kind, json_t *doc);
/* With its ETag, without what is hidden; takes `doc` over. */
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

/* A document that a body names, the caller's; NULL: the problem is set, 422. */
json_t *api_named(struct plane *plane, const char *kind, const char *name, struct problem *problem);

/* ---- what was sent; all set `problem` as json_in.h does ---- */

/* A name that a document may have. */
int api_take_name(const json_t *body, const char *where, const char *member, bool required,
		  const char **name, struct problem *problem);
/* An object of at most 16 short texts; *labels stays as it is if there is none. */
int api_take_labels(const json_t *body, const char *member, json_t **labels,
		    struct problem *problem);
/* An object without members. */
int api_take_nothing(const struct http_exchange *exchange, struct problem *problem);
/* "?now=true"; false if it is not there. */
int api_take_query_flag(const struct http_exchange *exchange, const char *name, bool *flag,
			struct problem *problem);

/* ---- changes ---- */

#define API_OBJECT_SIZE (DOC_NAME_MAX + 16u) /* "instances/web" */

/* What a change is, for those who read of it. */
struct api_change {
	const char *kind, *name; /* of the document that is the answer */
	unsigned status;
	const char *event, *text; /* "added"; "was added", behind the kind and the name */
};

/* Commits the batch with its event and what api_once() is to find, and answers with the document as
 * it is then; or says why not. False: it was not committed. */
bool api_commit(struct plane *plane, const struct route_request *request, struct doc_batch *batch,
		const struct api_change *change);

/* The same for what is so already: answers with `doc`, which it takes over. */
void api_unchanged(struct plane *plane, const struct route_request *request, const char *kind,
		   unsigned status, json_t *doc);

/* A POST that makes something, once (api_once()). `add` checks the body and makes what that says:
 * 0, it has answered, or -1, `problem` is set. */
typedef int (*api_add_fn)(struct plane *plane, const struct route_request *request,
			  const json_t *body, struct problem *problem);
void api_add(struct plane *plane, const struct route_request *request, api_add_fn add);

/* The document that the path names is no more, and nothing else has to be done for that: 204. */
void api_forget(struct plane *plane, const struct route_request *request, const char *kind);

/*
 * A POST with an Idempotency-Key is carried out once: what has come of it is kept for a day. True:
 * it is answered. Else api_once_keep() puts that into the batch of what it does; `name` is "" if
 * nothing was made that could be shown again.
 */
bool api_once(struct plane *plane, const struct route_request *request);
void api_once_keep(struct doc_batch *batch, const struct route_request *request, const char *kind,
		   const char *name);
/* Those that are older than a day go. */
int api_once_trim(struct store *store, int64_t now, struct error *error);

/* A client waits for what a host says. */
struct api_asked {
	struct plane *plane;
	struct route_request request; /* match is not there any more */
	bool gone;		      /* the client is */
	char host[NAME_MOST + 1], who[AUTH_NAME_SIZE];
};

/* Sends it, or answers why not. `done` has a struct api_asked, which is free() by it. */
void api_ask(struct plane *plane, const struct route_request *request, const char *host,
	     struct control_request *question, call_done_fn done);
/* The same, of what takes its time. */
void api_ask_within(struct plane *plane, const struct route_request *request, const char *host,
		    struct control_request *question, unsigned seconds, call_done_fn done);
/* Of a yes, the caller's; or NULL: it is answered. */
json_t *api_asked_result(const struct api_asked *asked, const struct control_answer *answer,
			 const struct error *error);
/* A `done` that shows it. */
void api_asked_show(void *asked, const struct control_answer *answer, const struct error *error);

/* api_*.c: route handlers. */
void api_hosts_add(void *plane, const struct route_request *request);
void api_hosts_list(void *plane, const struct route_request *request);
void api_hosts_one(void *plane, const struct route_request *request);
void api_hosts_remove(void *plane, const struct route_request *request);
void api_hosts_evidence(void *plane, const struct route_request *request);
void api_hosts_release(void *plane, const struct route_request *request);
void api_hosts_update(void *plane, const struct route_request *request);
void api_hosts_audit(void *plane, const struct route_request *request);
void api_hosts_instances(void *plane, const struct route_request *request);
void api_instances_add(void *plane, const struct route_request *request);
void api_instances_list(void *plane, const struct route_request *request);
void api_instances_one(void *plane, const struct route_request *request);
void api_instances_change(void *plane, const struct route_request *request);
void api_instances_reboot(void *plane, const struct route_request *request);
void api_instances_remove(void *plane, const struct route_request *request);
void api_instances_console(void *plane, const struct route_request *request);
void api_volumes_add(void *plane, const struct route_request *request);
void api_volumes_list(void *plane, const struct route_request *request);
void api_volumes_one(void *plane, const struct route_request *request);
void api_volumes_resize(void *plane, const struct route_request *request);
void api_volumes_remove(void *plane, const struct route_request *request);
void api_volumes_restore(void *plane, const struct route_request *request);
void api_volumes_attach(void *plane, const struct route_request *request);
void api_volumes_detach(void *plane, const struct route_request *request);
void api_volumes_trace(void *plane, const struct route_request *request);
void api_snapshots_add(void *plane, const struct route_request *request);
void api_snapshots_list(void *plane, const struct route_request *request);
void api_snapshots_one(void *plane, const struct route_request *request);
void api_snapshots_remove(void *plane, const struct route_request *request);
void api_keys_list(void *plane, const struct route_request *request);
void api_keys_one(void *plane, const struct route_request *request);
void api_keys_rotate(void *plane, const struct route_request *request);
void api_keys_remove(void *plane, const struct route_request *request);
void api_images_add(void *plane, const struct route_request *request);
void api_images_list(void *plane, const struct route_request *request);
void api_images_one(void *plane, const struct route_request *request);
void api_images_remove(void *plane, const struct route_request *request);
void api_images_kernel(void *plane, const struct route_request *request);
void api_images_initrd(void *plane, const struct route_request *request);
void api_images_root(void *plane, const struct route_request *request);
void api_images_finish(void *plane, const struct route_request *request);
void api_tokens_make(void *plane, const struct route_request *request);
void api_tokens_list(void *plane, const struct route_request *request);
void api_tokens_remove(void *plane, const struct route_request *request);
/* Those that have expired go. */
int api_certificates_trim(struct store *store, int64_t now, struct error *error);
void api_certificates_make(void *plane, const struct route_request *request);
void api_certificates_list(void *plane, const struct route_request *request);
void api_certificates_remove(void *plane, const struct route_request *request);
void api_events(void *plane, const struct route_request *request);
void api_health(void *plane, const struct route_request *request);
void api_metrics(void *plane, const struct route_request *request);

#endif
