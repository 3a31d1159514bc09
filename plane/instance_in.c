/* SPDX-License-Identifier: Apache-2.0 */
#include "instance_in.h"

#include <stdio.h>
#include <string.h>

#include "base/base.h"

/* As of karuta-instance(5). */
#define CPUS_MOST    64u
#define CORES_MOST   1024u
#define MEMORY_UNIT  (UINT64_C(2) << 20)
#define MEMORY_LEAST (UINT64_C(4) << 20)
#define MEMORY_MOST  (UINT64_C(1) << 40)
#define LINE_MOST    2047u
#define PATH_MOST    255u
#define ROOT_SUFFIX  "-root"
#define ROOT_SLOT    1u
#define WHERE_SIZE   32u

static int refuse(struct problem *problem, const char *where, const char *why)
{
	return problem_set(problem, 422, "invalid", NULL, NULL, "%s%s", where, why);
}

/* ---- what it boots ---- */

/* Below the host's folder of files, and no way out of it. */
static bool path_is_good(const char *path)
{
	for (const char *part = path; *part;) {
		size_t length = strcspn(part, "/");

		if (!length || (length <= 2 && strspn(part, ".") == length))
			return false;
		part += length;
		if (*part && !*++part)
			return false;
	}
	return *path;
}

static int take_path(const json_t *body, const char *member, const char **path,
		     struct problem *problem)
{
	if (json_in_text(body, "", member, false, PATH_MOST, path, problem) < 0)
		return -1;
	if (!*path || path_is_good(*path))
		return 0;
	return refuse(problem, member,
		      ": is to be a path below the host's --files, without . and ..");
}

static int take_boot(const json_t *body, struct instance_in *in, struct problem *problem)
{
	if (api_take_name(body, "", "image", false, &in->image, problem) < 0 ||
	    take_path(body, "kernel", &in->kernel, problem) < 0 ||
	    take_path(body, "initrd", &in->initrd, problem) < 0 ||
	    json_in_text(body, "", "command_line", false, LINE_MOST, &in->command_line, problem) <
		    0)
		return -1;
	if (in->image && (in->kernel || in->initrd))
		return refuse(problem, "image", ": has its own kernel and initrd");
	if (!in->image && !in->kernel)
		return refuse(problem, "image", ": is missing, and kernel too");
	return 0;
}

/* ---- what it has ---- */

static int take_memory(const json_t *body, struct instance_in *in, struct problem *problem)
{
	if (json_in_number(body, "", "memory", true, MEMORY_LEAST, MEMORY_MOST, &in->memory,
			   problem) < 0)
		return -1;
	if (in->memory % MEMORY_UNIT)
		return refuse(problem, "memory", " is to be a multiple of 2097152 bytes");
	return 0;
}

static int take_restart(const json_t *body, struct instance_in *in, struct problem *problem)
{
	const char *text = NULL;

	if (json_in_text(body, "", "restart", false, 16, &text, problem) < 0)
		return -1;
	if (text && strcmp(text, "always") != 0 && strcmp(text, "on-failure") != 0 &&
	    strcmp(text, "never") != 0)
		return refuse(problem, "restart", ": must be always, on-failure or never");
	in->restart = text;
	return 0;
}

static int take_root(const json_t *body, struct instance_in *in, struct problem *problem)
{
	static const char *const known[] = {"size", NULL};
	json_t *root = NULL;

	if (json_in_part(body, "", "root", false, JSON_OBJECT, &root, problem) < 0)
		return -1;
	if (!root)
		return 0;
	if (!in->image)
		return refuse(problem, "root", ": is made from an image, and there is none");
	if (json_in_members(root, "root", known, problem) < 0)
		return -1;
	return volumes_take_size(root, "root", true, &in->root_size, problem);
}

/* ---- its volumes ---- */

static int take_volume(const json_t *object, const char *where, struct instance_volume_in *volume,
		       struct problem *problem)
{
	static const char *const known[] = {"volume", "name", "size", "slot", NULL};
	const char *there = NULL;

	if (!json_is_object(object))
		return refuse(problem, where, ": is to be an object");
	if (json_in_members(object, where, known, problem) < 0 ||
	    api_take_name(object, where, "volume", false, &there, problem) < 0 ||
	    api_take_name(object, where, "name", !there, &volume->name, problem) < 0 ||
	    json_in_number(object, where, "slot", false, 1, VOLUME_SLOTS, &volume->slot, problem) <
		    0)
		return -1;
	if (there && (volume->name || json_object_get(object, "size")))
		return refuse(problem, where,
			      ": is either a volume that there is, or a name and a size");
	if (!there)
		return volumes_take_size(object, where, true, &volume->size, problem);
	volume->name = there;
	return 0;
}

/* No two are the same, or want the same slot. */
static int check_others(const struct instance_in *in, const struct instance_volume_in *volume,
			const char *where, struct problem *problem)
{
	for (const struct instance_volume_in *other = in->volumes;
	     other < in->volumes + in->volume_count; other++) {
		if (other == volume)
			continue;
		if (!strcmp(other->name, volume->name))
			return refuse(problem, where, ": the volume is there twice");
		if (volume->slot && other->slot == volume->slot)
			return refuse(problem, where, ": the slot is taken");
	}
	return 0;
}

static int take_volumes(const json_t *body, struct instance_in *in, struct problem *problem)
{
	json_t *list = NULL, *object;
	char where[WHERE_SIZE];
	size_t i;

	if (json_in_part(body, "", "volumes", false, JSON_ARRAY, &list, problem) < 0)
		return -1;
	if (json_array_size(list) > VOLUME_SLOTS)
		return refuse(problem, "volumes", ": more than 31 of them");
	json_array_foreach(list, i, object)
	{
		struct instance_volume_in *volume = &in->volumes[in->volume_count++];

		snprintf(where, sizeof(where), "volumes[%zu]", i);
		if (take_volume(object, where, volume, problem) < 0 ||
		    check_others(in, volume, where, problem) < 0)
			return -1;
	}
	return 0;
}

int instance_in_add_root(struct instance_in *in, uint64_t size, struct problem *problem)
{
	struct instance_volume_in *root = &in->volumes[in->volume_count];

	if (!size)
		return in->root_size ? refuse(problem, "root", ": the image has none") : 0;
	if (in->volume_count == VOLUME_SLOTS)
		return refuse(problem, "volumes", ": more than 30 of them, and the root");
	if (in->root_size && in->root_size < size)
		return problem_set(problem, 422, "invalid", NULL, NULL,
				   "root.size: the image %s needs %llu bytes", in->image,
				   (unsigned long long)size);
	if (size > VOLUME_SIZE_MOST)
		return refuse(problem, "image", ": is larger than a volume can be");
	snprintf(in->root_name, sizeof(in->root_name), "%s" ROOT_SUFFIX, in->name);
	*root = (struct instance_volume_in){
		.name = in->root_name,
		.size = max_u64(in->root_size, size),
		.slot = ROOT_SLOT,
		.root = true,
	};
	in->volume_count++;
	return check_others(in, root, "root", problem);
}

/* ---- all of it ---- */

/* There is room in a name for that of its root volume. */
static int take_name(const json_t *body, struct instance_in *in, struct problem *problem)
{
	if (api_take_name(body, "", "name", true, &in->name, problem) < 0)
		return -1;
	if (in->image && strlen(in->name) + strlen(ROOT_SUFFIX) > DOC_NAME_MAX)
		return refuse(problem, "name", ": too long to put " ROOT_SUFFIX " behind it");
	return 0;
}

int instance_in_take(const json_t *body, struct instance_in *in, struct problem *problem)
{
	static const char *const known[] = {"name",    "cpus",	 "memory",	"cores",
					    "image",   "kernel", "initrd",	"command_line",
					    "restart", "host",	 "host_labels", "labels",
					    "volumes", "root",	 NULL};

	in->cpus = 1;
	if (json_in_members(body, "", known, problem) < 0 || take_boot(body, in, problem) < 0 ||
	    take_name(body, in, problem) < 0 ||
	    json_in_number(body, "", "cpus", false, 1, CPUS_MOST, &in->cpus, problem) < 0 ||
	    json_in_number(body, "", "cores", false, 1, CORES_MOST, &in->cores, problem) < 0 ||
	    take_memory(body, in, problem) < 0 || take_restart(body, in, problem) < 0 ||
	    api_take_name(body, "", "host", false, &in->host, problem) < 0 ||
	    api_take_labels(body, "host_labels", &in->host_labels, problem) < 0 ||
	    api_take_labels(body, "labels", &in->labels, problem) < 0 ||
	    take_root(body, in, problem) < 0)
		return -1;
	return take_volumes(body, in, problem);
}
