/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the programs of an instance may use of the host, by cgroup v2 (cgroups(7)), and on which
 * processors they run. Every controller of a host shares one tree:
 *
 *	karuta                      for its owner only; locked while it is changed
 *	  shared                    on the cores that no instance has for itself
 *	    instance-NAME           cpu.weight: 100 for each vCPU; locked as long as it is in use
 *	      hypervisor            memory.max, pids.max
 *	      card-1 ... card-31    the same, by slot
 *	  whole                     instances that have whole cores
 *	    instance-NAME           the same, and cpuset.cpus: its cores, of which the whole host
 *	                            keeps off where the kernel can do that
 *
 * Programs are born in theirs. What a controller that died has left there is removed by the next
 * one that launches, once no program is in it.
 *
 * A host without a writable cgroup v2 has no such limits: instances run, and their status says so.
 * One that wants whole cores is refused there.
 */
#ifndef KARUTA_CONTROLLER_CGROUPS_H
#define KARUTA_CONTROLLER_CGROUPS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "cgroup_tree.h"
#include "cpus.h"
#include "instance.h"
#include "os/spawn.h"

#define CGROUPS_ALL ((1u << CGROUP_CONTROLLERS) - 1)

/* A card's memory, besides what is kept in it of its store. */
#define CGROUPS_CARD_MEMORY (UINT64_C(256) << 20)

/* Where the host shows these things; tests have their own. */
struct cgroups_host {
	const char *cgroups; /* NULL: where cgroup v2 is mounted */
	const char *processors;
};

#define CGROUPS_HOST ((struct cgroups_host){.processors = "/sys/devices/system/cpu"})

struct cgroups {
	struct cgroups_host host;
	int instance;	    /* its directory, locked; -1: there are no limits */
	struct cpus cores;  /* whole ones of its own; empty: it shares */
	unsigned available; /* what can be limited, 1 << enum cgroup_controller */
	char name[INSTANCE_NAME_MAX + 16];
	char limits[160]; /* for who looks: "cpu cpuset memory pids", "none: ..." */
};

#define CGROUPS_NONE ((struct cgroups){.instance = -1})

int cgroups_begin(struct cgroups *cgroups, const struct instance *instance,
		  const struct cgroups_host *host, struct error *error);
/* Where the next program is to run; place->cgroup is the caller's to close. `of`: a process of the
 * instance's, which it may share a core with; 0: it is the first. */
int cgroups_place_hypervisor(const struct cgroups *cgroups, const struct instance *instance,
			     pid_t of, struct os_spawn_place *place, struct error *error);
/* `memory`: what it needs besides. */
int cgroups_place_card(const struct cgroups *cgroups, unsigned slot, uint64_t memory, pid_t of,
		       struct os_spawn_place *place, struct error *error);
/* The kernel has ended the hypervisor, or one that was to take its place, for want of memory: its
 * own limit's or the host's. */
bool cgroups_hypervisor_ran_out(const struct cgroups *cgroups);
/* Nothing runs in them any more. */
void cgroups_end_card(const struct cgroups *cgroups, unsigned slot);
void cgroups_end(struct cgroups *cgroups);

#endif
