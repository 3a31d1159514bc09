/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "volumes.h"

#define KIND "keys"

static void show(struct plane *plane, json_t *doc)
{
	json_t *metadata = json_object_get(doc, "metadata");
	json_t *volume = json_object_get(metadata, "volume");

	(void)plane;
	if (volume)
		json_object_set(doc, "volume", volume);
	json_object_del(metadata, "volume");
}

void api_keys_list(void *context, const struct route_request *request)
{
	api_list(context, request, KIND, show);
}

void api_keys_one(void *context, const struct route_request *request)
{
	json_t *doc = api_find(context, request, KIND);

	if (!doc)
		return;
	show(context, doc);
	api_show(request, 200, doc);
}

/* ---- the end of one ---- */

/* Events come after: what is gone for good is not undone by one that cannot be written. */
static void tell(struct plane *plane, const struct route_request *request, const char *event,
		 const char *object, const char *text)
{
	struct doc_batch batch = DOC_BATCH_NONE;
	struct error error = {0};
	uint64_t revision;

	events_add(&plane->events, &batch, time(NULL), event, object, request->caller->name, "%s",
		   text);
	if (request->exchange->method == HTTP_POST)
		api_once_keep(&batch, request, KIND, "");
	if (doc_commit(&batch, plane->store, &revision, &error) < 0)
		fprintf(stderr, "karuta-plane: %s: %s\n", object, error.text);
}

/* While a volume is attached, its instance has the key. */
static int check_unused(struct plane *plane, const json_t *key, struct problem *problem)
{
	const char *name = doc_text(key, "metadata.volume");
	struct volume volume = {0};
	struct error error = {0};
	json_t *doc = NULL;
	int ret = *name ? doc_read(plane->store, VOLUMES_KIND, name, &doc, &error) : -ENOENT;

	if (ret < 0)
		return ret == -ENOENT ? 0 : api_problem(problem, ret, &error, VOLUMES_KIND);
	ret = volumes_read(plane, doc, &volume, problem);
	if (ret == 0 && !strcmp(doc_text(doc, "spec.key"), doc_name(key)) &&
	    (volume.want.held || volumes_is_bound(&volume)))
		ret = api_conflict(problem, VOLUMES_KIND, name,
				   "the key's volume is attached; detach it first");
	volumes_free(&volume);
	return ret;
}

void api_keys_remove(void *context, const struct route_request *request)
{
	struct plane *plane = context;
	const char *name = request->match->names[0];
	json_t *doc = api_find(plane, request, KIND);
	char object[API_OBJECT_SIZE], text[PROBLEM_TEXT_MAX], now[DOC_TIME_SIZE];
	struct problem problem = {0};
	struct error error = {0};
	int ret;

	if (!doc)
		return;
	snprintf(object, sizeof(object), KIND "/%s", name);
	snprintf(text, sizeof(text), "key %s was deleted, and with it what volume %s holds", name,
		 doc_text(doc, "metadata.volume"));
	doc_time(time(NULL), now);
	ret = check_unused(plane, doc, &problem);
	if (ret == 0) {
		ret = keys_delete(plane->keys, name, doc_revision(doc), now, &error);
		if (ret < 0)
			api_problem(&problem, ret, &error, object);
		else
			tell(plane, request, "deleted", object, text);
	}
	json_decref(doc);
	if (ret < 0)
		http_answer_problem(request->exchange, &problem);
	else
		http_answer_text(request->exchange, 204, "text/plain", "", 0);
}

/* ---- rotation ---- */

void api_keys_rotate(void *context, const struct route_request *request)
{
	struct plane *plane = context;
	struct problem problem = {0};
	struct error error = {0};
	int ret;

	if (api_once(plane, request))
		return;
	ret = api_take_nothing(request->exchange, &problem);
	if (ret == 0) {
		ret = keys_rotate(plane->keys, &error);
		if (ret == -E2BIG)
			api_conflict(&problem, KIND, "rotate", error.text);
		else if (ret < 0)
			api_problem(&problem, ret, &error, KIND);
	}
	if (ret < 0) {
		http_answer_problem(request->exchange, &problem);
		return;
	}
	plane->rewrapping = true;
	tell(plane, request, "rotate", KIND, "all keys are to be wrapped anew");
	http_answer_json(request->exchange, 202, json_pack("{s:s}", "state", "rotating"));
}
