/* SPDX-License-Identifier: Apache-2.0 */
#include "instances.h"

#include <errno.h>
#include <stdio.h>

int instances_read(json_t *doc, struct instance *instance, struct problem *problem)
{
	struct error error = {0};
	int ret;

	*instance = (struct instance){.doc = doc};
	ret = instance_want_read(doc, &instance->want, &error);
	if (ret == 0)
		ret = record_uid(doc, instance->uid, &error);
	return ret < 0 ? api_problem(problem, ret, &error, NULL) : 0;
}

int instances_find(struct plane *plane, const char *name, struct instance *instance,
		   struct problem *problem)
{
	json_t *doc = api_named(plane, INSTANCES_KIND, name, problem);

	*instance = (struct instance){0};
	return doc ? instances_read(doc, instance, problem) : -1;
}

void instances_free(struct instance *instance)
{
	json_decref(instance->doc);
}

int instances_put(struct doc_batch *batch, struct instance *instance, struct problem *problem)
{
	if (instance_want_write(instance->doc, &instance->want) < 0)
		return api_problem(problem, -ENOMEM, NULL, NULL);
	doc_put(batch, INSTANCES_KIND, doc_name(instance->doc), instance->doc,
		doc_revision(instance->doc));
	return 0;
}

int instances_put_volumes(struct doc_batch *batch, struct instance *instance, bool some,
			  struct problem *problem)
{
	instance->want.generation++;
	instance->want.keys = some;
	return instances_put(batch, instance, problem);
}

size_t instances_volumes(struct plane *plane, const struct instance *instance,
			 struct instance_volume list[2 * VOLUME_SLOTS])
{
	struct fleet_volume found[2 * VOLUME_SLOTS];
	size_t count = fleet_volumes_of(plane->fleet, instance->uid, found);

	for (size_t i = 0; i < count; i++) {
		snprintf(list[i].name, sizeof(list[i].name), "%s", found[i].name);
		list[i].slot = found[i].slot;
		list[i].wanted = found[i].wanted;
	}
	return count;
}
