/* SPDX-License-Identifier: Apache-2.0 */
/* What all instances of a host have in common in the tree of cgroups.h. Who calls holds its lock.
 */
#ifndef KARUTA_CONTROLLER_CGROUP_TREE_H
#define KARUTA_CONTROLLER_CGROUP_TREE_H

#include <stdbool.h>
#include <stddef.h>

#include "cpus.h"

enum cgroup_controller {
	CGROUP_CPU,
	CGROUP_CPUSET,
	CGROUP_MEMORY,
	CGROUP_PIDS,
	CGROUP_CONTROLLERS,
};

extern const char *const cgroup_controllers[CGROUP_CONTROLLERS];

/* What can be set in `cgroup`: a mask of 1 << enum cgroup_controller. */
unsigned cgroup_available(int cgroup);
/* What can be set in the ones below it from now on. */
unsigned cgroup_enable(int cgroup);
/* Made unless it is there; opened. */
int cgroup_get(int parent, const char *name);

/* Below `group`: removes instances that nobody uses. */
void cgroup_tree_clean(int group);
/* One instance and all below it. */
void cgroup_tree_remove(int group, int instance, const char *name);
/* The processors of all instances in `whole`. */
void cgroup_tree_taken(int whole, struct cpus *taken);

#endif
