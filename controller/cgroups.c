/* SPDX-License-Identifier: Apache-2.0 */
#include "cgroups.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "cgroup_tree.h"
#include "cores.h"
#include "os/cgroup.h"
#include "os/fd.h"

#define TREE   "karuta"
#define SHARED "shared"
#define WHOLE  "whole"

#define HYPERVISOR "hypervisor" /* of an instance */

#define SAME_NAMES 64u /* instances that differ in their sockets only */

/* Threads: of the hypervisor's besides vCPUs, and of a card, whose ring may have some of the
 * kernel's. Two processes of either may be there at once, while one takes the other's place. */
#define HYPERVISOR_THREADS 16u
#define CARD_THREADS	   256u

#define HYPERVISOR_MEMORY (64 * MIB)
#define VCPU_MEMORY	  (4 * MIB)
#define PER_VCPU_WEIGHT	  100u
#define WEIGHT_MAX	  10000u

/* While the tree is looked at or changed. */
struct tree {
	int root, tree, shared, whole;
	unsigned controllers; /* that instances have */
};

#define TREE_NONE ((struct tree){-1, -1, -1, -1, 0})

static bool has_cores(const struct cgroups *cgroups)
{
	return !cpus_is_empty(&cgroups->cores);
}

static void close_tree(struct tree *tree)
{
	os_close(&tree->root);
	os_close(&tree->tree);
	os_close(&tree->shared);
	os_close(&tree->whole);
}

static int set(int cgroup, const char *file, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	return os_cgroup_write(cgroup, file, text);
}

/* ---- the tree ---- */

/* Makes what is missing of it and locks it. `why`: what is in the way. */
static int open_tree(struct tree *tree, const struct cgroups_host *host, const char **why)
{
	tree->root = host->cgroups ? open(host->cgroups, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
				   : os_cgroup_root();
	*why = "cgroup v2 is not mounted";
	if (tree->root < 0)
		return -ENODEV;
	*why = "this host's cgroup v2 has no controllers";
	if (!cgroup_available(tree->root))
		return -ENODEV;
	*why = "cgroup v2 may not be changed here";
	tree->controllers = cgroup_enable(tree->root);
	tree->tree = tree->controllers ? cgroup_get(tree->root, TREE) : -EACCES;
	if (tree->tree < 0 || os_cgroup_lock(tree->tree) < 0)
		return -EACCES;
	tree->controllers = cgroup_enable(tree->tree);
	tree->shared = cgroup_get(tree->tree, SHARED);
	tree->whole = cgroup_get(tree->tree, WHOLE);
	if (tree->shared < 0 || tree->whole < 0)
		return -EACCES;
	tree->controllers &= cgroup_enable(tree->shared) & cgroup_enable(tree->whole);
	return tree->controllers ? 0 : -EACCES;
}

/* Those that no instance has for itself. */
static int read_rest(const struct tree *tree, const char *processors, struct cpus *rest,
		     struct cpus *taken)
{
	CLEANUP_CLOSE int folder = open(processors, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char text[CPUS_TEXT_SIZE];
	int ret = folder < 0 ? -errno : os_read_text(folder, "possible", text, sizeof(text));

	*rest = (struct cpus){0};
	if (ret == 0)
		ret = cpus_parse(rest, text);
	cgroup_tree_taken(tree->whole, taken);
	cpus_take_away(rest, taken);
	return ret;
}

static int set_cpus(int cgroup, const char *file, const struct cpus *cpus)
{
	char text[CPUS_TEXT_SIZE];

	cpus_format(cpus, text);
	return os_cgroup_write(cgroup, file, text[0] ? text : "\n");
}

/* Instances that share go on where nobody has cores for himself. */
static int share_the_rest(const struct tree *tree, const char *processors)
{
	struct cpus rest, taken;
	int ret = read_rest(tree, processors, &rest, &taken);

	if (ret == 0)
		ret = set_cpus(tree->shared, "cpuset.cpus", &rest);
	/* For those that have them, the whole host keeps off: Linux 6.7 and newer. */
	(void)set_cpus(tree->tree, "cpuset.cpus.exclusive", &taken);
	(void)set_cpus(tree->whole, "cpuset.cpus.exclusive", &taken);
	return ret;
}

/* Nothing else of the host runs there either, if the kernel can do that for a cgroup that is not
 * below its root. */
static void keep_all_off(const struct cgroups *cgroups)
{
	if (set_cpus(cgroups->instance, "cpuset.cpus.exclusive", &cgroups->cores) == 0)
		(void)os_cgroup_write(cgroups->instance, "cpuset.cpus.partition", "root");
}

/* What is not an instance's for sure is nobody's to give. */
static void add_out_of_reach(const struct tree *tree, const struct cores *cores, struct cpus *taken)
{
	char text[CPUS_TEXT_SIZE];
	struct cpus reach, out = cores->online;

	if (os_read_text(tree->tree, "cpuset.cpus.effective", text, sizeof(text)) < 0 ||
	    cpus_parse(&reach, text) < 0)
		reach = (struct cpus){0};
	cpus_take_away(&out, &reach);
	cpus_add_all(taken, &out);
}

static int choose_cores(struct cgroups *cgroups, const struct tree *tree, unsigned wanted,
			struct error *error)
{
	struct cpus taken;
	struct cores cores;
	int ret;

	if (!(tree->controllers & 1u << CGROUP_CPUSET))
		return error_set(error, ENOTSUP,
				 "cores: whole ones need cgroup v2 with cpusets; this host has "
				 "none that may be changed");
	ret = cores_read(&cores, cgroups->host.processors, error);
	if (ret < 0)
		return ret;
	cgroup_tree_taken(tree->whole, &taken);
	add_out_of_reach(tree, &cores, &taken);
	return cores_choose(&cores, &taken, wanted, &cgroups->cores, error);
}

/* ---- an instance ---- */

static int make_instance(struct cgroups *cgroups, int group, const char *name)
{
	int ret = -EEXIST;

	for (unsigned i = 1; ret == -EEXIST && i <= SAME_NAMES; i++) {
		snprintf(cgroups->name, sizeof(cgroups->name),
			 i > 1 ? "instance-%s.%u" : "instance-%s", name, i);
		ret = os_cgroup_make(group, cgroups->name);
	}
	if (ret < 0)
		return ret;
	cgroups->instance = ret;
	return os_cgroup_try_lock(cgroups->instance);
}

static int limit_instance(const struct cgroups *cgroups, unsigned cpus)
{
	int ret = 0;

	if (cgroups->available & 1u << CGROUP_CPU)
		ret = set(cgroups->instance, "cpu.weight",
			  min_u64((uint64_t)cpus * PER_VCPU_WEIGHT, WEIGHT_MAX));
	if (ret == 0 && has_cores(cgroups))
		ret = set_cpus(cgroups->instance, "cpuset.cpus", &cgroups->cores);
	if (ret == 0 && cgroup_enable(cgroups->instance) != cgroups->available)
		ret = -EIO;
	return ret;
}

static void name_limits(struct cgroups *cgroups)
{
	size_t used = 0;

	for (unsigned i = 0; i < CGROUP_CONTROLLERS; i++) {
		if (cgroups->available & 1u << i)
			used += (size_t)snprintf(cgroups->limits + used,
						 sizeof(cgroups->limits) - used, "%s%s",
						 used ? " " : "", cgroup_controllers[i]);
	}
}

static int begin(struct cgroups *cgroups, const struct tree *tree, const struct instance *instance,
		 struct error *error)
{
	int ret = 0;

	cgroup_tree_clean(tree->shared);
	cgroup_tree_clean(tree->whole);
	cgroups->available = tree->controllers;
	if (instance->cores)
		ret = choose_cores(cgroups, tree, instance->cores, error);
	if (ret < 0)
		return ret;
	ret = make_instance(cgroups, instance->cores ? tree->whole : tree->shared, instance->name);
	if (ret == 0)
		ret = limit_instance(cgroups, instance->cpus);
	if (ret == 0 && (cgroups->available & 1u << CGROUP_CPUSET)) {
		int rest = share_the_rest(tree, cgroups->host.processors);

		/* Where that cannot be told, nobody has whole cores. */
		ret = has_cores(cgroups) ? rest : 0;
	}
	if (ret == 0 && has_cores(cgroups))
		keep_all_off(cgroups);
	name_limits(cgroups);
	return ret < 0 ? error_set(error, -ret, "cgroup %s: %s", cgroups->name, strerror(-ret)) : 0;
}

int cgroups_begin(struct cgroups *cgroups, const struct instance *instance,
		  const struct cgroups_host *host, struct error *error)
{
	struct tree tree = TREE_NONE;
	const char *why;
	int ret;

	*cgroups = CGROUPS_NONE;
	cgroups->host = *host;
	if (open_tree(&tree, host, &why) == 0) {
		ret = begin(cgroups, &tree, instance, error);
	} else {
		snprintf(cgroups->limits, sizeof(cgroups->limits), "none: %s", why);
		ret = instance->cores
			      ? error_set(error, ENOTSUP, "cores: whole ones need cpusets: %s", why)
			      : 0;
	}
	close_tree(&tree);
	if (ret < 0)
		cgroups_end(cgroups);
	return ret;
}

void cgroups_end(struct cgroups *cgroups)
{
	bool whole = has_cores(cgroups);
	struct tree tree = TREE_NONE;
	const char *why;

	if (cgroups->instance >= 0 && open_tree(&tree, &cgroups->host, &why) == 0) {
		cgroup_tree_remove(whole ? tree.whole : tree.shared, cgroups->instance,
				   cgroups->name);
		if (whole)
			(void)share_the_rest(&tree, cgroups->host.processors);
	}
	close_tree(&tree);
	os_close(&cgroups->instance);
	*cgroups = CGROUPS_NONE;
}

/* ---- its programs ---- */

struct limits {
	uint64_t memory, threads;
};

static int limit_program(const struct cgroups *cgroups, int program, const struct limits *limits)
{
	int ret = 0;

	if (cgroups->available & 1u << CGROUP_PIDS)
		ret = set(program, "pids.max", limits->threads);
	if (ret < 0 || !(cgroups->available & 1u << CGROUP_MEMORY))
		return ret;
	ret = set(program, "memory.max", limits->memory);
	if (ret < 0)
		return ret;
	/* What a guest has in its memory is not for the host's disk. A kernel without swap has no
	 * such file. */
	ret = set(program, "memory.swap.max", 0);
	return ret == -ENOENT ? 0 : ret;
}

static int place(const struct cgroups *cgroups, const char *name, const struct limits *limits,
		 pid_t core_group, struct os_spawn_place *place, struct error *error)
{
	CLEANUP_CLOSE int program = -1;
	int ret;

	*place = (struct os_spawn_place){.cgroup = -1};
	if (cgroups->instance < 0)
		return 0;
	program = cgroup_get(cgroups->instance, name);
	ret = program < 0 ? program : limit_program(cgroups, program, limits);
	if (ret < 0)
		return error_set(error, -ret, "cgroup %s/%s: %s", cgroups->name, name,
				 strerror(-ret));
	place->cgroup = os_steal_fd(&program);
	place->any_cpu = has_cores(cgroups);
	place->core_group = place->any_cpu ? core_group : 0;
	return 0;
}

int cgroups_place_hypervisor(const struct cgroups *cgroups, const struct instance *instance,
			     pid_t of, struct os_spawn_place *at, struct error *error)
{
	/* Page tables, KVM's and the processor's own, grow with the guest. */
	struct limits limits = {.memory = instance->memory + instance->memory / 64 +
					  HYPERVISOR_MEMORY + instance->cpus * VCPU_MEMORY,
				.threads = 2 * (instance->cpus + HYPERVISOR_THREADS)};

	return place(cgroups, HYPERVISOR, &limits, of ? of : OS_SPAWN_ALONE, at, error);
}

int cgroups_place_card(const struct cgroups *cgroups, unsigned slot, uint64_t memory, pid_t of,
		       struct os_spawn_place *at, struct error *error)
{
	struct limits limits = {.memory = CGROUPS_CARD_MEMORY + memory, .threads = CARD_THREADS};
	char name[16];

	snprintf(name, sizeof(name), "card-%u", slot);
	return place(cgroups, name, &limits, of, at, error);
}

bool cgroups_hypervisor_ran_out(const struct cgroups *cgroups)
{
	CLEANUP_CLOSE int program =
		cgroups->instance < 0 ? -1 : os_cgroup_open(cgroups->instance, HYPERVISOR);
	char text[256];
	const char *kills;

	if (program < 0 || os_read_text(program, "memory.events", text, sizeof(text)) < 0)
		return false;
	kills = strstr(text, "oom_kill ");
	return kills && atoi(kills + strlen("oom_kill ")) > 0;
}

void cgroups_end_card(const struct cgroups *cgroups, unsigned slot)
{
	char name[16];

	snprintf(name, sizeof(name), "card-%u", slot);
	if (cgroups->instance >= 0)
		(void)os_cgroup_remove(cgroups->instance, name);
}
