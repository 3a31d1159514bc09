/* SPDX-License-Identifier: Apache-2.0 */
/* Instances as handlers need them, in the manner of volumes.h. */
#ifndef KARUTA_PLANE_INSTANCES_H
#define KARUTA_PLANE_INSTANCES_H

#include "volumes.h"

#define INSTANCES_KIND "instances"
#define INSTANCES_MOST 10000u

struct instance {
	json_t *doc;
	struct instance_want want;
	uint8_t uid[ATTEMPT_UID_SIZE];
};

/* Of a body's member; instances_free() in any case. */
int instances_find(struct plane *plane, const char *name, struct instance *instance,
		   struct problem *problem);
/* Of a document, which is taken over. */
int instances_read(json_t *doc, struct instance *instance, struct problem *problem);
void instances_free(struct instance *instance);
/* `want` has changed. */
int instances_put(struct doc_batch *batch, struct instance *instance, struct problem *problem);
/* So have its volumes; `some`: it has any. */
int instances_put_volumes(struct doc_batch *batch, struct instance *instance, bool some,
			  struct problem *problem);

/* The names of its volumes, those that it has not let go of too. */
struct instance_volume {
	char name[DOC_NAME_MAX + 1];
	uint8_t slot;
	bool wanted;
};
size_t instances_volumes(struct plane *plane, const struct instance *instance,
			 struct instance_volume list[2 * VOLUME_SLOTS]);

#endif
