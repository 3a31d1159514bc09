/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "base/base.h"
#include "volumes.h"

#define KIND VOLUMES_KIND

void api_volumes_list(void *context, const struct route_request *request)
{
	api_list(context, request, KIND, NULL);
}

void api_volumes_one(void *context, const struct route_request *request)
{
	json_t *doc = api_find(context, request, KIND);

	if (doc)
		api_show(request, 200, doc);
}

/* ---- a new one ---- */

struct wanted {
	struct new_volume volume;
	json_t *labels;
	json_t *image; /* owned */
	struct volume source;
};

static int take_wanted(struct wanted *wanted, const json_t *body, struct problem *problem)
{
	static const char *const known[] = {"name",   "size",	  "host",   "image",
					    "volume", "snapshot", "labels", NULL};
	struct new_volume *volume = &wanted->volume;
	const char *snapshot = NULL;

	volume->kind = KIND;
	volume->source_kind = VOLUMES_KIND;
	if (json_in_members(body, "", known, problem) < 0 ||
	    api_take_name(body, "", "name", true, &volume->name, problem) < 0 ||
	    volumes_take_size(body, "", false, &volume->size, problem) < 0 ||
	    api_take_name(body, "", "snapshot", false, &snapshot, problem) < 0 ||
	    api_take_name(body, "", "host", false, &volume->host, problem) < 0 ||
	    api_take_name(body, "", "image", false, &volume->image, problem) < 0 ||
	    api_take_name(body, "", "volume", false, &volume->source, problem) < 0 ||
	    api_take_labels(body, "labels", &wanted->labels, problem) < 0)
		return -1;
	volume->labels = wanted->labels;
	if (!!volume->image + !!volume->source + !!snapshot > 1)
		return problem_set(problem, 422, "invalid", NULL, NULL,
				   "image, volume, snapshot: it begins as one of them");
	if (snapshot) {
		volume->source = snapshot;
		volume->source_kind = SNAPSHOTS_KIND;
	}
	if (!volume->size && !volume->source)
		return problem_set(problem, 422, "invalid", NULL, NULL, "size: is missing");
	return 0;
}

static int take_image(struct plane *plane, struct wanted *wanted, struct problem *problem)
{
	struct new_volume *volume = &wanted->volume;
	uint64_t least;

	wanted->image = api_ready_image(plane, volume->image, problem);
	if (!wanted->image)
		return -1;
	volume->image_uid = doc_uid(wanted->image);
	least = api_image_size(wanted->image);
	if (!least)
		return problem_set(problem, 422, "invalid", NULL, NULL,
				   "image: %s has no root file system", volume->image);
	if (volume->size < least)
		return problem_set(problem, 422, "invalid", NULL, NULL,
				   "size: the image %s needs %llu bytes", volume->image,
				   (unsigned long long)least);
	return 0;
}

static int add(struct plane *plane, const struct route_request *request, struct wanted *wanted,
	       struct problem *problem)
{
	const struct new_volume *volume = &wanted->volume;
	struct api_change change = {KIND, volume->name, 201, "added", "was added"};
	struct doc_batch batch = DOC_BATCH_NONE;

	if (volumes_check_name(plane, KIND, volume->name, problem) < 0 ||
	    volumes_check_room(plane, KIND, 1, problem) < 0 ||
	    api_check_host(plane, volume->host, problem) < 0 ||
	    (volume->image && take_image(plane, wanted, problem) < 0) ||
	    (volume->source &&
	     volumes_take_source(plane, &wanted->volume, &wanted->source, problem) < 0) ||
	    volumes_put_new(plane, &batch, volume, problem) < 0)
		return -1;
	api_commit(plane, request, &batch, &change);
	return 0;
}

static int add_of(struct plane *plane, const struct route_request *request, const json_t *body,
		  struct problem *problem)
{
	struct wanted wanted = {0};
	int ret = take_wanted(&wanted, body, problem);

	if (ret == 0)
		ret = add(plane, request, &wanted, problem);
	json_decref(wanted.image);
	volumes_free(&wanted.source);
	return ret;
}

void api_volumes_add(void *context, const struct route_request *request)
{
	api_add(context, request, add_of);
}

/* ---- changes ---- */

static int commit(struct plane *plane, const struct route_request *request, struct volume *volume,
		  unsigned status, const char *event, const char *text, struct problem *problem)
{
	struct api_change change = {KIND, doc_name(volume->doc), status, event, text};
	struct doc_batch batch = DOC_BATCH_NONE;

	if (volumes_put(&batch, KIND, volume, problem) < 0)
		return -1;
	api_commit(plane, request, &batch, &change);
	return 0;
}

static int resize(struct plane *plane, const struct route_request *request, struct volume *volume,
		  struct problem *problem)
{
	static const char *const known[] = {"size", NULL};
	json_t *body = json_in_body(request->exchange, problem);
	uint64_t size = 0;
	const char *why;
	int ret = body ? json_in_members(body, "", known, problem) : -1;

	if (ret == 0)
		ret = volumes_take_size(body, "", true, &size, problem);
	json_decref(body);
	if (ret < 0)
		return -1;
	why = volume_may_resize(&volume->record, &volume->want, size);
	if (why)
		return api_conflict(problem, KIND, doc_name(volume->doc), why);
	if (size == volume->want.size)
		return volumes_unchanged(plane, request, volume, 202);
	volume->want.size = size;
	if (doc_set(volume->doc, "spec.size", json_integer((json_int_t)size)) < 0)
		return api_problem(problem, -ENOMEM, NULL, NULL);
	return commit(plane, request, volume, 202, "resize", "is to have another size", problem);
}

static int remove_it(struct plane *plane, const struct route_request *request,
		     struct volume *volume, struct problem *problem)
{
	const char *why = volume_may_delete(&volume->record, &volume->want);
	bool now = false;

	if (api_take_query_flag(request->exchange, "now", &now, problem) < 0)
		return -1;
	if (why)
		return api_conflict(problem, KIND, doc_name(volume->doc), why);
	if (volume->want.gone && !now)
		return volumes_unchanged(plane, request, volume, 202);
	volumes_end(plane, volume, now);
	return commit(plane, request, volume, 202, "delete", "is to be deleted", problem);
}

static int restore(struct plane *plane, const struct route_request *request, struct volume *volume,
		   struct problem *problem)
{
	if (api_take_nothing(request->exchange, problem) < 0)
		return -1;
	if (volume->record.state >= VOLUME_DELETING)
		return api_conflict(problem, KIND, doc_name(volume->doc),
				    "the volume's grace period is over");
	if (!volume->want.gone)
		return volumes_unchanged(plane, request, volume, 200);
	volume->want.gone = false;
	volume->want.gone_at = 0;
	return commit(plane, request, volume, 200, "restore", "is kept", problem);
}

void api_volumes_resize(void *context, const struct route_request *request)
{
	volumes_change(context, request, resize);
}

void api_volumes_remove(void *context, const struct route_request *request)
{
	volumes_change(context, request, remove_it);
}

void api_volumes_restore(void *context, const struct route_request *request)
{
	volumes_change(context, request, restore);
}
