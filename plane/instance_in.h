/* SPDX-License-Identifier: Apache-2.0 */
/* What a new instance is asked for with. The texts are the body's. */
#ifndef KARUTA_PLANE_INSTANCE_IN_H
#define KARUTA_PLANE_INSTANCE_IN_H

#include "instances.h"

/* A volume that there is, or one that is made. */
struct instance_volume_in {
	const char *name;
	uint64_t size; /* bytes; 0: it is there */
	uint64_t slot; /* 0: the first that is free */
	bool root;     /* made from the image */
};

struct instance_in {
	const char *name, *image, *kernel, *initrd, *command_line, *restart, *host;
	uint64_t cpus, cores, memory;
	json_t *labels, *host_labels; /* NULL: none */
	uint64_t root_size;	      /* at least */
	struct instance_volume_in volumes[VOLUME_SLOTS];
	size_t volume_count;
	char root_name[DOC_NAME_MAX + 1];
};

/* `in`: all zeros. -1: refused, `problem` is set. */
int instance_in_take(const json_t *body, struct instance_in *in, struct problem *problem);
/* The volume that is made from its image, which needs so many bytes; 0: it has none. */
int instance_in_add_root(struct instance_in *in, uint64_t size, struct problem *problem);

#endif
