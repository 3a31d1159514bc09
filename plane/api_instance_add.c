/* SPDX-License-Identifier: Apache-2.0 */
/* A new instance, with the volumes that are made with it and those that it is given, in one
 * commit. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "instance_in.h"

#define KIND INSTANCES_KIND

struct making {
	struct plane *plane;
	const struct instance_in *in;
	json_t *doc, *image;
	uint8_t uid[ATTEMPT_UID_SIZE];
	uint32_t slots;	  /* that are taken */
	const char *host; /* that it is to be on, by its volumes too; NULL: any */
	char host_name[DOC_NAME_MAX + 1];
	struct doc_batch batch;
};

/* ---- its document ---- */

static int check_new(struct plane *plane, const char *name, struct problem *problem)
{
	char object[API_OBJECT_SIZE];
	struct error error = {0};
	json_t *doc = NULL;
	int ret = doc_read(plane->store, KIND, name, &doc, &error);

	json_decref(doc);
	if (ret == 0)
		ret = error_set(&error, EEXIST, "there is an instance %s already", name);
	else if (ret == -ENOENT)
		ret = 0;
	if (ret == 0 && fleet_total(plane->fleet, KIND) >= INSTANCES_MOST)
		ret = error_set(&error, EDQUOT, "there are %u instances already", INSTANCES_MOST);
	if (ret == 0)
		return 0;
	snprintf(object, sizeof(object), KIND "/%s", name);
	return api_problem(problem, ret, &error, object);
}

static void put_image(json_t *spec, const json_t *image, bool own_line)
{
	const char *uid = doc_uid(image);

	json_object_set_new(spec, "image", json_string(doc_name(image)));
	json_object_set_new(spec, "image_uid", json_string(uid));
	json_object_set_new(spec, "kernel", json_sprintf(IMAGES_KIND "/%s/kernel", uid));
	if (doc_member(image, "spec.initrd"))
		json_object_set_new(spec, "initrd", json_sprintf(IMAGES_KIND "/%s/initrd", uid));
	if (!own_line && doc_member(image, "spec.command_line"))
		json_object_set(spec, "command_line", doc_member(image, "spec.command_line"));
}

static json_t *make_spec(const struct making *making)
{
	const struct instance_in *in = making->in;
	json_t *spec =
		json_pack("{s:I,s:I,s:s*,s:s*,s:s*,s:s*,s:s*,s:O*}", "cpus", (json_int_t)in->cpus,
			  "memory", (json_int_t)in->memory, "kernel", in->kernel, "initrd",
			  in->initrd, "command_line", in->command_line, "restart", in->restart,
			  "host", in->host, "host_labels", in->host_labels);

	if (spec && in->cores)
		json_object_set_new(spec, "cores", json_integer((json_int_t)in->cores));
	if (spec && making->image)
		put_image(spec, making->image, in->command_line);
	return spec;
}

static int make_doc(struct making *making, struct problem *problem)
{
	struct instance_want want = {.wanted = INSTANCE_RUNNING,
				     .generation = 1,
				     .starts = 1,
				     .keys = making->in->volume_count > 0};
	char now[DOC_TIME_SIZE];
	json_t *spec = make_spec(making);

	making->doc =
		spec ? doc_make(making->in->name, making->in->labels, spec, time(NULL)) : NULL;
	doc_time(time(NULL), now);
	if (!making->doc || record_uid(making->doc, making->uid, NULL) < 0 ||
	    instance_want_write(making->doc, &want) < 0 ||
	    doc_set(making->doc, "status.state", json_string("placing")) < 0 ||
	    doc_set(making->doc, "status.since", json_string(now)) < 0)
		return api_problem(problem, -ENOMEM, NULL, NULL);
	doc_put(&making->batch, KIND, making->in->name, making->doc, 0);
	return 0;
}

/* ---- its volumes ---- */

static int take_image(struct making *making, struct problem *problem)
{
	making->image = api_ready_image(making->plane, making->in->image, problem);
	return making->image ? 0 : -1;
}

static int put_new(struct making *making, const struct instance_volume_in *in, uint8_t slot,
		   struct problem *problem)
{
	struct new_volume volume = {.kind = VOLUMES_KIND,
				    .name = in->name,
				    .size = in->size,
				    .instance = making->in->name,
				    .slot = slot};

	memcpy(volume.holder, making->uid, ATTEMPT_UID_SIZE);
	if (in->root) {
		volume.image = making->in->image;
		volume.image_uid = doc_uid(making->image);
	}
	if (volumes_check_name(making->plane, VOLUMES_KIND, in->name, problem) < 0)
		return -1;
	return volumes_put_new(making->plane, &making->batch, &volume, problem);
}

static int put_known(struct making *making, const struct instance_volume_in *in, uint8_t slot,
		     struct problem *problem)
{
	struct volume_holder holder = {.same_host = true};
	struct volume volume;
	const char *why;
	int ret = volumes_find(making->plane, VOLUMES_KIND, in->name, &volume, problem);

	if (ret == 0) {
		if (volume.host[0] && !making->host) {
			snprintf(making->host_name, sizeof(making->host_name), "%s", volume.host);
			making->host = making->host_name;
		}
		memcpy(holder.uid, making->uid, ATTEMPT_UID_SIZE);
		holder.key = volume.has_key;
		holder.same_host = !volume.host[0] || !strcmp(volume.host, making->host);
		why = volume_may_attach(&volume.record, &volume.want, &holder);
		ret = why ? api_conflict(problem, VOLUMES_KIND, in->name, why)
			  : volumes_hold(&volume, making->in->name, making->uid, slot, problem);
	}
	if (ret == 0)
		ret = volumes_put(&making->batch, VOLUMES_KIND, &volume, problem);
	volumes_free(&volume);
	return ret;
}

static int put_volume(struct making *making, const struct instance_volume_in *in,
		      struct problem *problem)
{
	uint8_t slot = (uint8_t)(in->slot ? in->slot : volume_choose_slot(making->slots));
	int ret = in->size ? put_new(making, in, slot, problem)
			   : put_known(making, in, slot, problem);

	making->slots |= UINT32_C(1) << slot;
	return ret;
}

static int put_volumes(struct making *making, struct problem *problem)
{
	const struct instance_in *in = making->in;
	size_t new = 0;
	int ret = 0;

	for (size_t i = 0; i < in->volume_count; i++) {
		making->slots |= UINT32_C(1) << in->volumes[i].slot;
		new += in->volumes[i].size != 0;
	}
	if (new)
		ret = volumes_check_room(making->plane, VOLUMES_KIND, new, problem);
	for (size_t i = 0; i < in->volume_count && ret == 0; i++)
		ret = put_volume(making, &in->volumes[i], problem);
	return ret;
}

/* ---- all of it ---- */

static int make(struct making *making, struct instance_in *in, struct problem *problem)
{
	if (check_new(making->plane, in->name, problem) < 0 ||
	    api_check_host(making->plane, in->host, problem) < 0)
		return -1;
	if (in->image && (take_image(making, problem) < 0 ||
			  instance_in_add_root(in, api_image_size(making->image), problem) < 0))
		return -1;
	making->host = in->host;
	if (make_doc(making, problem) < 0)
		return -1;
	return put_volumes(making, problem);
}

static int add(struct plane *plane, const struct route_request *request, struct instance_in *in,
	       struct problem *problem)
{
	struct api_change change = {KIND, in->name, 201, "added", "was added"};
	struct making making = {.plane = plane, .in = in};
	int ret = make(&making, in, problem);

	if (ret == 0)
		api_commit(plane, request, &making.batch, &change);
	doc_drop(&making.batch);
	json_decref(making.image);
	json_decref(making.doc);
	return ret;
}

static int add_of(struct plane *plane, const struct route_request *request, const json_t *body,
		  struct problem *problem)
{
	struct instance_in in = {0};

	if (instance_in_take(body, &in, problem) < 0)
		return -1;
	return add(plane, request, &in, problem);
}

void api_instances_add(void *context, const struct route_request *request)
{
	api_add(context, request, add_of);
}
