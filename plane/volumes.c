/* SPDX-License-Identifier: Apache-2.0 */
#include "volumes.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/base.h"

#define KEYS_KIND   "keys"
#define HOSTS_KIND  "hosts"
#define HOLDER	    "holder" /* member of a document; not shown */
#define KEY_ID_SIZE (sizeof("vol-") + DOC_UID_SIZE)

/* ---- new ones ---- */

int volumes_take_size(const json_t *body, const char *where, bool required, uint64_t *size,
		      struct problem *problem)
{
	if (json_in_number(body, where, "size", required, VOLUME_UNIT, VOLUME_SIZE_MOST, size,
			   problem) < 0)
		return -1;
	if (*size % VOLUME_UNIT == 0)
		return 0;
	return problem_set(problem, 422, "invalid", NULL, NULL,
			   "%s%ssize is to be a multiple of %u bytes", where, *where ? "." : "",
			   VOLUME_UNIT);
}

int volumes_check_name(struct plane *plane, const char *kind, const char *name,
		       struct problem *problem)
{
	char object[API_OBJECT_SIZE];
	struct error error = {0};
	json_t *doc = NULL;
	int ret = doc_read(plane->store, kind, name, &doc, &error);

	json_decref(doc);
	if (ret == -ENOENT)
		return 0;
	snprintf(object, sizeof(object), "%s/%s", kind, name);
	if (ret == 0)
		ret = error_set(&error, EEXIST, "there is a %.*s %s already", (int)strlen(kind) - 1,
				kind, name);
	return api_problem(problem, ret, &error, object);
}

int volumes_check_room(struct plane *plane, const char *kind, size_t more, struct problem *problem)
{
	struct error error = {0};
	size_t count = fleet_total(plane->fleet, kind);

	if (count + more <= VOLUMES_MOST)
		return 0;
	error_set(&error, EDQUOT, "there are %zu %s, and %u at most", count, kind, VOLUMES_MOST);
	return api_problem(problem, -EDQUOT, &error, kind);
}

static int put_key(struct plane *plane, struct doc_batch *batch, const struct new_volume *volume,
		   const char *id, const char *uid, struct error *error)
{
	char created[DOC_TIME_SIZE], *value = NULL;
	json_t *metadata;
	int ret;

	doc_time(time(NULL), created);
	metadata = json_pack("{s:s,s:s,s:s,s:{},s:s}", "name", id, "uid", uid, "created", created,
			     "labels", "volume", volume->name);
	ret = volume->source ? keys_copy(plane->keys, volume->source_key, metadata, &value, error)
			     : keys_prepare(plane->keys, metadata, &value, error);
	json_decref(metadata);
	if (ret == 0)
		doc_put_sealed(batch, KEYS_KIND, id, value, 0);
	return ret;
}

static json_t *make_doc(const struct new_volume *volume, char id[KEY_ID_SIZE])
{
	struct volume_want want = {.generation = 1,
				   .size = volume->size,
				   .held = volume->slot != 0,
				   .slot = volume->slot};
	bool of_snapshot = volume->source && !strcmp(volume->source_kind, SNAPSHOTS_KIND);
	char instance[DOC_UID_SIZE];
	json_t *spec = json_pack(
		"{s:I,s:s*,s:s*,s:s*,s:s*,s:s*,s:I,s:s*}", "size", (json_int_t)volume->size, "host",
		volume->host, "image", volume->image, "image_uid", volume->image_uid,
		of_snapshot ? "snapshot" : "volume", volume->source, "source", volume->source_uid,
		"source_size", (json_int_t)volume->source_size, "instance", volume->instance);
	json_t *doc = spec ? doc_make(volume->name, volume->labels, spec, time(NULL)) : NULL;

	memcpy(want.holder, volume->holder, ATTEMPT_UID_SIZE);
	if (!doc)
		return NULL;
	snprintf(id, KEY_ID_SIZE, "vol-%s", doc_uid(doc));
	record_uid_text(volume->holder, instance);
	if ((!volume->instance || doc_set(doc, "spec.instance_uid", json_string(instance)) == 0) &&
	    volume_want_write(doc, &want) == 0 && doc_set(doc, "spec.key", json_string(id)) == 0 &&
	    doc_set(doc, "status.state", json_string("creating")) == 0 &&
	    (!volume->slot || doc_set(doc, HOLDER, json_string(volume->instance)) == 0))
		return doc;
	json_decref(doc);
	return NULL;
}

int volumes_put_new(struct plane *plane, struct doc_batch *batch, const struct new_volume *volume,
		    struct problem *problem)
{
	char id[KEY_ID_SIZE], object[API_OBJECT_SIZE];
	json_t *doc = make_doc(volume, id);
	struct error error = {0};
	int ret = doc ? put_key(plane, batch, volume, id, doc_uid(doc), &error) : -ENOMEM;

	if (ret == 0)
		doc_put(batch, volume->kind, volume->name, doc, 0);
	json_decref(doc);
	if (ret == 0)
		return 0;
	snprintf(object, sizeof(object), "%s/%s", volume->kind, volume->name);
	return api_problem(problem, ret, &error, object);
}

/* ---- those that there are ---- */

static bool has_key(struct plane *plane, const json_t *doc)
{
	json_t *key = NULL;
	bool has = doc_read(plane->store, KEYS_KIND, doc_text(doc, "spec.key"), &key, NULL) == 0 &&
		   !json_object_get(key, "deleted_at");

	json_decref(key);
	return has;
}

int volumes_read(struct plane *plane, json_t *doc, struct volume *volume, struct problem *problem)
{
	struct error error = {0};
	int ret;

	*volume =
		(struct volume){.doc = doc, .host = doc_host(doc), .holder = doc_text(doc, HOLDER)};
	ret = volume_want_read(doc, &volume->want, &error);
	if (ret == 0)
		ret = volume_record_read(doc, &volume->record, &error);
	if (ret < 0)
		return api_problem(problem, ret, &error, NULL);
	volume->has_key = has_key(plane, doc);
	return 0;
}

int volumes_find(struct plane *plane, const char *kind, const char *name, struct volume *volume,
		 struct problem *problem)
{
	json_t *doc = api_named(plane, kind, name, problem);

	*volume = (struct volume){0};
	return doc ? volumes_read(plane, doc, volume, problem) : -1;
}

void volumes_free(struct volume *volume)
{
	json_decref(volume->doc);
}

int volumes_put(struct doc_batch *batch, const char *kind, struct volume *volume,
		struct problem *problem)
{
	volume->want.generation++;
	if (volume_want_write(volume->doc, &volume->want) < 0)
		return api_problem(problem, -ENOMEM, NULL, NULL);
	doc_put(batch, kind, doc_name(volume->doc), volume->doc, doc_revision(volume->doc));
	return 0;
}

bool volumes_is_bound(const struct volume *volume)
{
	return volume->record.state >= VOLUME_ATTACHING && volume->record.state <= VOLUME_DETACHING;
}

bool volumes_is_bound_to(const struct volume *volume, const uint8_t instance[ATTEMPT_UID_SIZE])
{
	return volumes_is_bound(volume) &&
	       !memcmp(volume->record.holder, instance, ATTEMPT_UID_SIZE);
}

int volumes_hold(struct volume *volume, const char *name, const uint8_t instance[ATTEMPT_UID_SIZE],
		 uint8_t slot, struct problem *problem)
{
	volume->want.held = true;
	volume->want.force = false;
	volume->want.slot = slot;
	memcpy(volume->want.holder, instance, ATTEMPT_UID_SIZE);
	return doc_set(volume->doc, HOLDER, json_string(name)) < 0
		       ? api_problem(problem, -ENOMEM, NULL, NULL)
		       : 0;
}

void volumes_let_go(struct volume *volume)
{
	volume->want.held = false;
	volume->want.slot = 0;
	memset(volume->want.holder, 0, ATTEMPT_UID_SIZE);
}

void volumes_end(struct plane *plane, struct volume *volume, bool now)
{
	volume->want.gone = true;
	volume->want.gone_at = fleet_now(plane->fleet) + (now ? 0 : VOLUME_GRACE_MS);
}

void volumes_change(struct plane *plane, const struct route_request *request,
		    volumes_change_fn change)
{
	struct problem problem = {0};
	struct volume volume;
	json_t *doc;

	if (request->exchange->method == HTTP_POST && api_once(plane, request))
		return;
	doc = api_find(plane, request, VOLUMES_KIND);
	if (!doc)
		return;
	if (volumes_read(plane, doc, &volume, &problem) < 0 ||
	    change(plane, request, &volume, &problem) < 0)
		http_answer_problem(request->exchange, &problem);
	volumes_free(&volume);
}

int volumes_unchanged(struct plane *plane, const struct route_request *request,
		      const struct volume *volume, unsigned status)
{
	api_unchanged(plane, request, VOLUMES_KIND, status, json_deep_copy(volume->doc));
	return 0;
}

/* ---- what they are made from ---- */

/* A host copies what no instance has; of what a guest uses it makes snapshots only. */
static const char *may_copy(const struct new_volume *volume, const struct volume *source)
{
	bool whole = strcmp(volume->kind, SNAPSHOTS_KIND) != 0;

	if (source->want.gone || source->record.state >= VOLUME_DELETING)
		return "what is to be copied is being deleted";
	if (whole && (source->want.held || volumes_is_bound(source)))
		return "the volume to copy is attached; detach it first, or copy a snapshot of it";
	if (source->record.state == VOLUME_CREATING)
		return "what is to be copied is being made still";
	if (volume->host && strcmp(volume->host, source->host) != 0)
		return "what is to be copied is on another host";
	return source->has_key ? NULL : "the key of what is to be copied was deleted";
}

int volumes_take_source(struct plane *plane, struct new_volume *volume, struct volume *source,
			struct problem *problem)
{
	const char *why;

	if (volumes_find(plane, volume->source_kind, volume->source, source, problem) < 0)
		return -1;
	why = may_copy(volume, source);
	if (why)
		return api_conflict(problem, volume->source_kind, volume->source, why);
	volume->source_size = source->record.size;
	volume->size = volume->size ? volume->size : volume->source_size;
	if (volume->size < volume->source_size)
		return problem_set(problem, 422, "invalid", NULL, NULL, "size: %s has %llu bytes",
				   volume->source, (unsigned long long)volume->source_size);
	volume->host = source->host;
	volume->source_uid = doc_uid(source->doc);
	volume->source_key = doc_text(source->doc, "spec.key");
	return 0;
}

const char *doc_host(const json_t *doc)
{
	const char *host = doc_text(doc, "status.host");

	return *host ? host : doc_text(doc, "spec.host");
}

int api_check_host(struct plane *plane, const char *name, struct problem *problem)
{
	json_t *doc = name ? api_named(plane, HOSTS_KIND, name, problem) : NULL;

	json_decref(doc);
	return !name || doc ? 0 : -1;
}

json_t *api_ready_image(struct plane *plane, const char *name, struct problem *problem)
{
	char object[API_OBJECT_SIZE];
	json_t *doc = api_named(plane, IMAGES_KIND, name, problem);

	if (!doc || !strcmp(doc_text(doc, "status.state"), "ready"))
		return doc;
	json_decref(doc);
	snprintf(object, sizeof(object), IMAGES_KIND "/%s", name);
	problem_set(problem, 409, "conflict", object, "finish it: POST .../finish",
		    "the image %s is not whole yet", name);
	return NULL;
}

uint64_t api_image_size(const json_t *image)
{
	return align_up(min_u64(doc_number(image, "spec.root.size"), VOLUME_SIZE_MOST + 1),
			VOLUME_UNIT);
}
