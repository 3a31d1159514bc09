/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/base.h"
#include "instances.h"

#define KIND	      INSTANCES_KIND
#define GRACE_MOST    3600u /* seconds */
#define GRACE_DEFAULT 60u

static void show(struct plane *plane, json_t *doc)
{
	fleet_show_instance(plane->fleet, doc);
}

void api_instances_list(void *context, const struct route_request *request)
{
	api_list(context, request, KIND, show);
}

void api_instances_one(void *context, const struct route_request *request)
{
	json_t *doc = api_find(context, request, KIND);

	if (!doc)
		return;
	show(context, doc);
	api_show(request, 200, doc);
}

/* ---- changes ---- */

/* In the manner of volumes_change(). */
typedef int (*change_fn)(struct plane *plane, const struct route_request *request,
			 struct instance *instance, struct problem *problem);

static void change(struct plane *plane, const struct route_request *request, change_fn fn)
{
	struct problem problem = {0};
	struct instance instance;
	json_t *doc;

	if (request->exchange->method == HTTP_POST && api_once(plane, request))
		return;
	doc = api_find(plane, request, KIND);
	if (!doc)
		return;
	if (instances_read(doc, &instance, &problem) < 0 ||
	    fn(plane, request, &instance, &problem) < 0)
		http_answer_problem(request->exchange, &problem);
	instances_free(&instance);
}

static int unchanged(struct plane *plane, const struct route_request *request,
		     const struct instance *instance)
{
	api_unchanged(plane, request, KIND, 202, json_deep_copy(instance->doc));
	return 0;
}

static int refuse(const struct instance *instance, struct problem *problem, const char *why)
{
	return api_conflict(problem, KIND, doc_name(instance->doc), why);
}

static int commit(struct plane *plane, const struct route_request *request,
		  struct instance *instance, const char *event, const char *text,
		  struct problem *problem)
{
	struct api_change made = {KIND, doc_name(instance->doc), 202, event, text};
	struct doc_batch batch = DOC_BATCH_NONE;

	if (instances_put(&batch, instance, problem) < 0)
		return -1;
	api_commit(plane, request, &batch, &made);
	return 0;
}

/* One that has ended by itself, or could not be kept running. */
static bool is_down(const struct instance *instance)
{
	const char *state = doc_text(instance->doc, "status.state");

	return !strcmp(state, "ended") || !strcmp(state, "failed") || !strcmp(state, "stopped");
}

static int run(struct plane *plane, const struct route_request *request, struct instance *instance,
	       struct problem *problem)
{
	struct instance_want *want = &instance->want;
	struct instance_record record;
	struct error error = {0};
	int ret = instance_record_read(instance->doc, &record, &error);

	if (ret < 0)
		return api_problem(problem, ret, &error, NULL);
	/* A start that has not been carried out yet is enough: one more would bring the guest back
	 * when it has powered itself off the next time. */
	if (want->wanted == INSTANCE_RUNNING &&
	    (!is_down(instance) || record.starts < want->starts))
		return unchanged(plane, request, instance);
	want->wanted = INSTANCE_RUNNING;
	want->kill = false;
	want->starts++;
	return commit(plane, request, instance, "start", "is to run", problem);
}

static int stop(struct plane *plane, const struct route_request *request, struct instance *instance,
		bool kill, uint64_t grace, struct problem *problem)
{
	struct instance_want *want = &instance->want;

	if (want->wanted == INSTANCE_STOPPED && want->kill == kill && want->grace == grace * 1000)
		return unchanged(plane, request, instance);
	want->wanted = INSTANCE_STOPPED;
	want->kill = kill;
	want->grace = grace * 1000;
	return commit(plane, request, instance, "stop", "is to be stopped", problem);
}

struct asked {
	const char *wanted;
	bool kill;
	uint64_t grace;
};

static int take_asked(struct asked *asked, const json_t *body, struct problem *problem)
{
	static const char *const known[] = {"wanted", "kill", "grace", NULL};
	bool stopped;

	if (json_in_members(body, "", known, problem) < 0 ||
	    json_in_text(body, "", "wanted", true, 16, &asked->wanted, problem) < 0 ||
	    json_in_flag(body, "", "kill", false, &asked->kill, problem) < 0 ||
	    json_in_number(body, "", "grace", false, 0, GRACE_MOST, &asked->grace, problem) < 0)
		return -1;
	stopped = !strcmp(asked->wanted, "stopped");
	if (!stopped && strcmp(asked->wanted, "running") != 0)
		return problem_set(problem, 422, "invalid", NULL, NULL,
				   "wanted: must be running or stopped; DELETE terminates");
	if (!stopped && (json_object_get(body, "kill") || json_object_get(body, "grace")))
		return problem_set(problem, 422, "invalid", NULL, NULL,
				   "kill, grace: are for stopped");
	return 0;
}

static int want(struct plane *plane, const struct route_request *request, struct instance *instance,
		struct problem *problem)
{
	struct asked asked = {.grace = GRACE_DEFAULT};
	json_t *body = json_in_body(request->exchange, problem);
	int ret = body ? take_asked(&asked, body, problem) : -1;

	if (ret == 0 && instance->want.wanted == INSTANCE_GONE)
		ret = refuse(instance, problem, "the instance is being terminated");
	if (ret == 0 && !strcmp(asked.wanted, "running"))
		ret = run(plane, request, instance, problem);
	else if (ret == 0)
		ret = stop(plane, request, instance, asked.kill, asked.grace, problem);
	json_decref(body);
	return ret;
}

static int reboot(struct plane *plane, const struct route_request *request,
		  struct instance *instance, struct problem *problem)
{
	if (api_take_nothing(request->exchange, problem) < 0)
		return -1;
	if (instance->want.wanted == INSTANCE_GONE)
		return refuse(instance, problem, "the instance is being terminated");
	if (instance->want.wanted != INSTANCE_RUNNING || is_down(instance))
		return refuse(instance, problem, "the instance does not run; start it");
	instance->want.reboots++;
	return commit(plane, request, instance, "reboot", "is to be rebooted", problem);
}

/* ---- the end of one ---- */

struct ending {
	bool volumes, now; /* those made with it are deleted; without a grace period */
};

static int release(struct plane *plane, struct doc_batch *batch, const struct instance *instance,
		   const struct instance_volume *named, const struct ending *ending,
		   struct problem *problem)
{
	struct volume volume;
	int ret = volumes_find(plane, VOLUMES_KIND, named->name, &volume, problem);

	if (ret == 0) {
		bool ends = ending->volumes && !strcmp(doc_text(volume.doc, "spec.instance_uid"),
						       doc_uid(instance->doc));

		if (named->wanted)
			volumes_let_go(&volume);
		if (ends)
			volumes_end(plane, &volume, ending->now);
		if (named->wanted || ends)
			ret = volumes_put(batch, VOLUMES_KIND, &volume, problem);
	}
	volumes_free(&volume);
	return ret;
}

/* Its guest has its time, and then the plug is pulled. */
static void end(struct instance_want *want)
{
	if (!want->kill)
		want->grace = GRACE_DEFAULT * 1000;
	want->kill = true;
	want->wanted = INSTANCE_GONE;
}

static int terminate(struct plane *plane, const struct route_request *request,
		     struct instance *instance, struct problem *problem)
{
	struct api_change made = {KIND, doc_name(instance->doc), 202, "terminate",
				  "is to be terminated"};
	struct instance_volume list[2 * VOLUME_SLOTS];
	struct doc_batch batch = DOC_BATCH_NONE;
	struct ending ending = {false, false};
	size_t count;
	int ret;

	if (api_take_query_flag(request->exchange, "volumes", &ending.volumes, problem) < 0 ||
	    api_take_query_flag(request->exchange, "now", &ending.now, problem) < 0)
		return -1;
	if (instance->want.wanted == INSTANCE_GONE && !ending.volumes)
		return unchanged(plane, request, instance);
	end(&instance->want);
	count = instances_volumes(plane, instance, list);
	ret = instances_put_volumes(&batch, instance, false, problem);
	for (size_t i = 0; i < count && ret == 0; i++)
		ret = release(plane, &batch, instance, &list[i], &ending, problem);
	if (ret == 0)
		api_commit(plane, request, &batch, &made);
	else
		doc_drop(&batch);
	return ret;
}

void api_instances_change(void *context, const struct route_request *request)
{
	change(context, request, want);
}

void api_instances_reboot(void *context, const struct route_request *request)
{
	change(context, request, reboot);
}

void api_instances_remove(void *context, const struct route_request *request)
{
	change(context, request, terminate);
}
