/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which host an instance is to run on: pure. Of the hosts that may take it and have what it needs
 * the one that is used least (spread), the same for the same input: what is equal is decided by
 * name.
 */
#ifndef KARUTA_PLANE_PLACE_H
#define KARUTA_PLANE_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PLACE_LABELS 16u

struct place_label {
	const char *name, *value;
};

struct place_host {
	const char *name;
	bool usable; /* trusted, or unattested and that is allowed; reachable; not drained */
	const char *why_not;	      /* if it is not: "quarantined", "unreachable" */
	uint64_t memory, memory_used; /* bytes */
	unsigned cpus;		      /* all hardware threads */
	unsigned cpus_used;	      /* promised to instances that share what is not given away */
	unsigned cores, cores_used;   /* whole cores, given away: one always stays */
	unsigned overcommit;	      /* so often shared ones may be promised; 1: none */
	unsigned instances, instances_most;
	struct place_label labels[PLACE_LABELS];
	size_t label_count;
};

struct place_want {
	const char *host; /* this one and no other; NULL: any */
	uint64_t memory;
	unsigned cpus;
	bool whole_cores;			 /* as many as have that many hardware threads */
	unsigned slots;				 /* cards, of the 31 that an instance has */
	struct place_label labels[PLACE_LABELS]; /* that the host must have */
	size_t label_count;
};

/* Index of the host, or -1: nothing fits, and `why` says for each kind of reason how many hosts
 * have it ("3 hosts: 2 lack memory (1.5 GiB wanted, at most 1.0 GiB free), 1 is quarantined"). */
int place_choose(const struct place_host *hosts, size_t count, const struct place_want *want,
		 char *why, size_t why_size);

#endif
