/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "api.h"

bool api_commit(struct plane *plane, const struct route_request *request, struct doc_batch *batch,
		const struct api_change *change)
{
	char object[API_OBJECT_SIZE];
	struct error error = {0};
	json_t *doc = NULL;
	uint64_t revision;
	int ret;

	snprintf(object, sizeof(object), "%s/%s", change->kind, change->name);
	events_add(&plane->events, batch, time(NULL), change->event, object, request->caller->name,
		   "%.*s %s %s", (int)strlen(change->kind) - 1, change->kind, change->name,
		   change->text);
	api_once_keep(batch, request, change->kind, change->name);
	ret = doc_commit(batch, plane->store, &revision, &error);
	if (ret < 0) {
		api_fail(request, ret, &error, object);
		return false;
	}
	ret = doc_read(plane->store, change->kind, change->name, &doc, &error);
	if (ret < 0) {
		api_fail(request, ret, &error, object);
	} else {
		api_complete(plane, change->kind, doc);
		api_show(request, change->status, doc);
	}
	return true;
}

void api_add(struct plane *plane, const struct route_request *request, api_add_fn add)
{
	struct problem problem = {0};
	json_t *body;

	if (api_once(plane, request))
		return;
	body = json_in_body(request->exchange, &problem);
	if (!body || add(plane, request, body, &problem) < 0)
		http_answer_problem(request->exchange, &problem);
	json_decref(body);
}

void api_unchanged(struct plane *plane, const struct route_request *request, const char *kind,
		   unsigned status, json_t *doc)
{
	struct doc_batch batch = DOC_BATCH_NONE;
	struct error error = {0};
	uint64_t revision;
	int ret = 0;

	api_once_keep(&batch, request, kind, doc_name(doc));
	if (batch.count)
		ret = doc_commit(&batch, plane->store, &revision, &error);
	if (ret < 0) {
		json_decref(doc);
		api_fail(request, ret, &error, kind);
		return;
	}
	api_complete(plane, kind, doc);
	api_show(request, status, doc);
}

void api_forget(struct plane *plane, const struct route_request *request, const char *kind)
{
	const char *name = request->match->names[0];
	json_t *doc = api_find(plane, request, kind);
	struct doc_batch batch = DOC_BATCH_NONE;
	char object[API_OBJECT_SIZE];
	struct error error = {0};
	uint64_t revision;
	int ret;

	if (!doc)
		return;
	snprintf(object, sizeof(object), "%s/%s", kind, name);
	doc_put(&batch, kind, name, NULL, doc_revision(doc));
	events_add(&plane->events, &batch, time(NULL), "deleted", object, request->caller->name,
		   "a %.*s of %s was deleted", (int)strlen(kind) - 1, kind, doc_text(doc, "name"));
	json_decref(doc);
	ret = doc_commit(&batch, plane->store, &revision, &error);
	if (ret < 0)
		api_fail(request, ret, &error, object);
	else
		http_answer_text(request->exchange, 204, "text/plain", "", 0);
}
