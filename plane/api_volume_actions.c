/* SPDX-License-Identifier: Apache-2.0 */
/* A volume comes to an instance and leaves it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "instances.h"

#define KIND	  VOLUMES_KIND
#define TEXT_SIZE (DOC_NAME_MAX + 64u)

/* ---- attach ---- */

struct attaching {
	struct plane *plane;
	struct volume *volume;
	struct instance instance;
	struct volume_holder holder;
	uint64_t slot; /* that was asked for; 0: any */
	char host[DOC_NAME_MAX + 1];
};

static int refuse(const struct attaching *attaching, struct problem *problem, const char *why)
{
	return api_conflict(problem, KIND, doc_name(attaching->volume->doc), why);
}

static int take_attach(struct attaching *attaching, const json_t *body, struct problem *problem)
{
	static const char *const known[] = {"instance", "slot", NULL};
	const char *name = NULL;

	if (json_in_members(body, "", known, problem) < 0 ||
	    api_take_name(body, "", "instance", true, &name, problem) < 0 ||
	    json_in_number(body, "", "slot", false, 1, VOLUME_SLOTS, &attaching->slot, problem) < 0)
		return -1;
	return instances_find(attaching->plane, name, &attaching->instance, problem);
}

/* An instance that has no host yet is going to be where its volumes are. */
static void find_host(struct attaching *attaching, const struct instance_volume *list, size_t count)
{
	snprintf(attaching->host, sizeof(attaching->host), "%s", doc_host(attaching->instance.doc));
	for (size_t i = 0; i < count && !attaching->host[0]; i++) {
		json_t *doc = NULL;

		if (list[i].wanted &&
		    doc_read(attaching->plane->store, KIND, list[i].name, &doc, NULL) == 0)
			snprintf(attaching->host, sizeof(attaching->host), "%s", doc_host(doc));
		json_decref(doc);
	}
}

static void see_holder(struct attaching *attaching)
{
	const struct volume *volume = attaching->volume;
	struct volume_holder *holder = &attaching->holder;
	struct instance_volume list[2 * VOLUME_SLOTS];
	size_t count = instances_volumes(attaching->plane, &attaching->instance, list);

	find_host(attaching, list, count);
	for (size_t i = 0; i < count; i++) {
		if (strcmp(list[i].name, doc_name(volume->doc)) != 0)
			holder->slots |= UINT32_C(1) << list[i].slot;
	}
	memcpy(holder->uid, attaching->instance.uid, sizeof(holder->uid));
	holder->gone = attaching->instance.want.wanted == INSTANCE_GONE;
	holder->key = volume->has_key;
	holder->same_host =
		!volume->host[0] || !attaching->host[0] || !strcmp(volume->host, attaching->host);
}

/* The one that it has there, was asked for, or the first. */
static int choose_slot(const struct attaching *attaching, uint8_t *slot, struct problem *problem)
{
	const struct volume *volume = attaching->volume;
	uint64_t asked = attaching->slot;
	uint8_t has = 0;

	if (volume->want.held)
		has = volume->want.slot;
	else if (volumes_is_bound_to(volume, attaching->instance.uid))
		has = volume->record.slot;
	if (has && asked && asked != has)
		return refuse(attaching, problem,
			      "the instance has the volume in another slot; detach it first");
	if (!has && asked && (attaching->holder.slots & UINT32_C(1) << asked))
		return refuse(attaching, problem, "the slot is taken");
	*slot = (uint8_t)(has ? has : asked ? asked : volume_choose_slot(attaching->holder.slots));
	return 0;
}

static int commit_attach(struct attaching *attaching, const struct route_request *request,
			 uint8_t slot, struct problem *problem)
{
	struct volume *volume = attaching->volume;
	struct instance *instance = &attaching->instance;
	char text[TEXT_SIZE], name[DOC_NAME_MAX + 1];
	struct api_change change = {KIND, name, 202, "attach", text};
	struct doc_batch batch = DOC_BATCH_NONE;

	snprintf(name, sizeof(name), "%s", doc_name(volume->doc));
	snprintf(text, sizeof(text), "is to be attached to instance %s", doc_name(instance->doc));
	if (volumes_hold(volume, doc_name(instance->doc), instance->uid, slot, problem) < 0 ||
	    volumes_put(&batch, VOLUMES_KIND, volume, problem) < 0 ||
	    instances_put_volumes(&batch, instance, true, problem) < 0) {
		doc_drop(&batch);
		return -1;
	}
	if (api_commit(attaching->plane, request, &batch, &change))
		fleet_trace_begin(attaching->plane->fleet, name);
	return 0;
}

static int attach_to(struct attaching *attaching, const struct route_request *request,
		     struct problem *problem)
{
	const struct volume *volume = attaching->volume;
	const char *why;
	uint8_t slot = 0;

	see_holder(attaching);
	why = volume_may_attach(&volume->record, &volume->want, &attaching->holder);
	if (why)
		return refuse(attaching, problem, why);
	if (choose_slot(attaching, &slot, problem) < 0)
		return -1;
	if (volume->want.held)
		return volumes_unchanged(attaching->plane, request, volume, 202);
	return commit_attach(attaching, request, slot, problem);
}

static int attach(struct plane *plane, const struct route_request *request, struct volume *volume,
		  struct problem *problem)
{
	struct attaching attaching = {.plane = plane, .volume = volume};
	json_t *body = json_in_body(request->exchange, problem);
	int ret = body ? take_attach(&attaching, body, problem) : -1;

	if (ret == 0)
		ret = attach_to(&attaching, request, problem);
	instances_free(&attaching.instance);
	json_decref(body);
	return ret;
}

void api_volumes_attach(void *context, const struct route_request *request)
{
	volumes_change(context, request, attach);
}

/* ---- detach ---- */

static bool has_others(struct plane *plane, const struct instance *instance, const char *name)
{
	struct instance_volume list[2 * VOLUME_SLOTS];
	size_t count = instances_volumes(plane, instance, list);

	for (size_t i = 0; i < count; i++) {
		if (list[i].wanted && strcmp(list[i].name, name) != 0)
			return true;
	}
	return false;
}

/* The instance that has it: it may be another one of its name by now. */
static int put_holder(struct plane *plane, struct doc_batch *batch, const struct volume *volume,
		      struct problem *problem)
{
	struct instance instance = {0};
	struct error error = {0};
	json_t *doc = NULL;
	int ret = volume->holder[0]
			  ? doc_read(plane->store, INSTANCES_KIND, volume->holder, &doc, &error)
			  : -ENOENT;

	if (ret < 0)
		return ret == -ENOENT ? 0 : api_problem(problem, ret, &error, INSTANCES_KIND);
	ret = instances_read(doc, &instance, problem);
	if (ret == 0 && !memcmp(instance.uid, volume->want.holder, ATTEMPT_UID_SIZE))
		ret = instances_put_volumes(batch, &instance,
					    has_others(plane, &instance, doc_name(volume->doc)),
					    problem);
	instances_free(&instance);
	return ret;
}

static int commit_detach(struct plane *plane, const struct route_request *request,
			 struct volume *volume, bool force, struct problem *problem)
{
	struct api_change change = {KIND, doc_name(volume->doc), 202, "detach",
				    force ? "is to be detached, whatever the guest does"
					  : "is to be detached"};
	struct doc_batch batch = DOC_BATCH_NONE;
	int ret = volume->want.held ? put_holder(plane, &batch, volume, problem) : 0;

	volumes_let_go(volume);
	volume->want.force = force;
	if (ret == 0)
		ret = volumes_put(&batch, VOLUMES_KIND, volume, problem);
	if (ret == 0)
		api_commit(plane, request, &batch, &change);
	else
		doc_drop(&batch);
	return ret;
}

static int detach(struct plane *plane, const struct route_request *request, struct volume *volume,
		  struct problem *problem)
{
	static const char *const known[] = {"force", NULL};
	json_t *body = json_in_body(request->exchange, problem);
	bool force = false;
	int ret = body ? json_in_members(body, "", known, problem) : -1;

	if (ret == 0)
		ret = json_in_flag(body, "", "force", false, &force, problem);
	json_decref(body);
	if (ret < 0)
		return -1;
	force = force || (!volume->want.held && volume->want.force);
	if (!volume->want.held && (!volumes_is_bound(volume) || force == volume->want.force))
		return volumes_unchanged(plane, request, volume, 202);
	return commit_detach(plane, request, volume, force, problem);
}

void api_volumes_detach(void *context, const struct route_request *request)
{
	volumes_change(context, request, detach);
}

/* ---- how that went ---- */

void api_volumes_trace(void *context, const struct route_request *request)
{
	struct plane *plane = context;
	struct problem problem = {0};
	const char *name = request->match->names[0];
	json_t *doc = api_find(plane, request, KIND), *trace;

	if (!doc)
		return;
	json_decref(doc);
	trace = fleet_trace(plane->fleet, name);
	if (trace) {
		http_answer_json(request->exchange, 200, trace);
		return;
	}
	problem_set(&problem, 404, "no-trace", NULL, NULL,
		    "the volume %s was not attached since the plane was started", name);
	http_answer_problem(request->exchange, &problem);
}
