/* SPDX-License-Identifier: Apache-2.0 */
#include "cgroup_tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "os/cgroup.h"
#include "os/fd.h"

const char *const cgroup_controllers[CGROUP_CONTROLLERS] = {
	[CGROUP_CPU] = "cpu",
	[CGROUP_CPUSET] = "cpuset",
	[CGROUP_MEMORY] = "memory",
	[CGROUP_PIDS] = "pids",
};

static bool has_word(const char *text, const char *word)
{
	size_t length = strlen(word);

	for (const char *at = text; (at = strstr(at, word)); at += length) {
		if ((at == text || at[-1] == ' ') && (!at[length] || at[length] == ' '))
			return true;
	}
	return false;
}

static unsigned controllers_in(int cgroup, const char *file)
{
	char text[512];
	unsigned found = 0;

	if (os_read_text(cgroup, file, text, sizeof(text)) < 0)
		return 0;
	for (unsigned i = 0; i < CGROUP_CONTROLLERS; i++)
		found |= (unsigned)has_word(text, cgroup_controllers[i]) << i;
	return found;
}

unsigned cgroup_available(int cgroup)
{
	return controllers_in(cgroup, "cgroup.controllers");
}

/* One by one: a host may have some of them and not others. */
unsigned cgroup_enable(int cgroup)
{
	unsigned available = cgroup_available(cgroup);

	for (unsigned i = 0; i < CGROUP_CONTROLLERS; i++) {
		char text[16];

		snprintf(text, sizeof(text), "+%s", cgroup_controllers[i]);
		if (available & 1u << i)
			(void)os_cgroup_write(cgroup, "cgroup.subtree_control", text);
	}
	return controllers_in(cgroup, "cgroup.subtree_control");
}

int cgroup_get(int parent, const char *name)
{
	int fd = os_cgroup_make(parent, name);

	return fd == -EEXIST ? os_cgroup_open(parent, name) : fd;
}

/* ---- what is below ---- */

/* Calls `each` with every directory below `parent`. */
static void for_each(int parent, void (*each)(int parent, const char *name, void *context),
		     void *context)
{
	int fd = openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	if (!directory) {
		os_close(&fd);
		return;
	}
	while ((entry = readdir(directory))) {
		if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
			each(parent, entry->d_name, context);
	}
	closedir(directory);
}

static void remove_program(int instance, const char *name, void *context)
{
	(void)context;
	(void)os_cgroup_remove(instance, name);
}

void cgroup_tree_remove(int group, int instance, const char *name)
{
	/* Its cores are everybody's at once, not only when the kernel comes to it. */
	(void)os_cgroup_write(instance, "cpuset.cpus.partition", "member");
	for_each(instance, remove_program, NULL);
	(void)os_cgroup_remove(group, name);
}

/* Something runs in it or below it; also if that cannot be told. */
static bool is_populated(int cgroup)
{
	char text[256];

	return os_read_text(cgroup, "cgroup.events", text, sizeof(text)) < 0 ||
	       !strstr(text, "populated 0");
}

static void clean_instance(int group, const char *name, void *context)
{
	CLEANUP_CLOSE int instance = os_cgroup_open(group, name);

	(void)context;
	if (instance >= 0 && !is_populated(instance) && os_cgroup_try_lock(instance) == 0)
		cgroup_tree_remove(group, instance, name);
}

void cgroup_tree_clean(int group)
{
	for_each(group, clean_instance, NULL);
}

static void add_taken(int whole, const char *name, void *context)
{
	CLEANUP_CLOSE int instance = os_cgroup_open(whole, name);
	char text[CPUS_TEXT_SIZE];
	struct cpus cpus;

	if (instance >= 0 && os_read_text(instance, "cpuset.cpus", text, sizeof(text)) == 0 &&
	    cpus_parse(&cpus, text) == 0)
		cpus_add_all(context, &cpus);
}

void cgroup_tree_taken(int whole, struct cpus *taken)
{
	*taken = (struct cpus){0};
	for_each(whole, add_taken, taken);
}
