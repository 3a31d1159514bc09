/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots: what a volume was at one instant, from which others are made. */
#include <errno.h>

#include "base/base.h"
#include "volumes.h"

#define KIND SNAPSHOTS_KIND

void api_snapshots_list(void *context, const struct route_request *request)
{
	api_list(context, request, KIND, NULL);
}

void api_snapshots_one(void *context, const struct route_request *request)
{
	json_t *doc = api_find(context, request, KIND);

	if (doc)
		api_show(request, 200, doc);
}

static int take_wanted(struct new_volume *snapshot, const json_t *body, struct problem *problem)
{
	static const char *const known[] = {"name", "volume", "labels", NULL};
	json_t *labels = NULL;

	snapshot->kind = KIND;
	snapshot->source_kind = VOLUMES_KIND;
	if (json_in_members(body, "", known, problem) < 0 ||
	    api_take_name(body, "", "name", true, &snapshot->name, problem) < 0 ||
	    api_take_name(body, "", "volume", true, &snapshot->source, problem) < 0 ||
	    api_take_labels(body, "labels", &labels, problem) < 0)
		return -1;
	snapshot->labels = labels;
	return 0;
}

static int add(struct plane *plane, const struct route_request *request,
	       struct new_volume *snapshot, struct problem *problem)
{
	struct api_change change = {KIND, snapshot->name, 201, "added", "was added"};
	struct doc_batch batch = DOC_BATCH_NONE;
	struct volume source = {0};
	int ret = volumes_check_name(plane, KIND, snapshot->name, problem);

	if (ret == 0)
		ret = volumes_check_room(plane, KIND, 1, problem);
	if (ret == 0)
		ret = volumes_take_source(plane, snapshot, &source, problem);
	if (ret == 0)
		ret = volumes_put_new(plane, &batch, snapshot, problem);
	if (ret == 0)
		api_commit(plane, request, &batch, &change);
	volumes_free(&source);
	return ret;
}

static int add_of(struct plane *plane, const struct route_request *request, const json_t *body,
		  struct problem *problem)
{
	struct new_volume snapshot = {0};

	if (take_wanted(&snapshot, body, problem) < 0)
		return -1;
	return add(plane, request, &snapshot, problem);
}

void api_snapshots_add(void *context, const struct route_request *request)
{
	api_add(context, request, add_of);
}

/* Without a grace period: a copy of something else was all that it was. */
void api_snapshots_remove(void *context, const struct route_request *request)
{
	struct plane *plane = context;
	struct api_change change = {KIND, request->match->names[0], 202, "delete",
				    "is to be deleted"};
	struct doc_batch batch = DOC_BATCH_NONE;
	struct problem problem = {0};
	struct volume snapshot;
	json_t *doc = api_find(plane, request, KIND);
	int ret;

	if (!doc)
		return;
	ret = volumes_read(plane, doc, &snapshot, &problem);
	if (ret == 0) {
		volumes_end(plane, &snapshot, true);
		ret = volumes_put(&batch, KIND, &snapshot, &problem);
	}
	if (ret == 0)
		api_commit(plane, request, &batch, &change);
	else
		http_answer_problem(request->exchange, &problem);
	volumes_free(&snapshot);
}
