/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Planes that decide as plane/core does, in the world of world.h.
 */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include "instance.h"
#include "trust.h"
#include "volume.h"
#include "world.h"

#define TICK	      250u
#define PLANES	      2u
#define DEADLINE      30000u
#define VOLUME_HOST   0u
#define VOLUME_USERS  2u  /* the first instances are where the volumes are */
#define WORK_A_MINUTE 60u /* requests for one instance or volume */

/* What is stored of an instance. */
struct item {
	struct instance_want want;
	struct instance_record record;
	unsigned host, writer;
	bool removed;
	uint64_t revision;
};

/* And of a volume. */
struct disk {
	struct volume_want want;
	struct volume_record record;
	unsigned writer;
	bool removed;
	uint64_t revision;
};

struct seen_host {
	struct trust_evidence evidence;
	uint64_t asked;
	bool look;
};

/* A request that a plane waits for. */
struct flight {
	unsigned step; /* 0: none */
	uint32_t number;
	uint64_t deadline;
};

/* A plane's own memory. */
struct plane {
	bool lives;
	unsigned life;	  /* none has that of another */
	int64_t offset;	  /* of its clock */
	unsigned dies_in; /* so many steps; 0: not */
	struct item items[INSTANCES];
	struct disk disks[VOLUMES];
	struct instance_sight sights[INSTANCES];
	uint32_t cards[INSTANCES]; /* seen with them */
	struct flight flights[INSTANCES], disk_flights[VOLUMES];
	struct seen_host hosts[HOSTS];
};

struct sim {
	struct world world;
	struct random random;
	struct trust_policy policy;
	struct item store[INSTANCES];
	struct disk disk_store[VOLUMES];
	bool quarantined[HOSTS]; /* stored too */
	uint8_t uids[INSTANCES][ATTEMPT_UID_SIZE], disk_uids[VOLUMES][ATTEMPT_UID_SIZE];
	struct plane planes[PLANES];
	unsigned lives;
	unsigned work[INSTANCES], disk_work[VOLUMES];
	uint64_t minute;
	struct counts {
		unsigned long requests, kills, conflicts, repeats, moves, attaches;
	} counts;
};

/* sim_store.c */

uint64_t clock_of(const struct sim *sim, const struct plane *plane);
/* Into the plane's memory, if it was changed. */
void read_item(struct sim *sim, struct plane *plane, unsigned index);
void read_disk(struct sim *sim, struct plane *plane, unsigned index);
/* Between any two steps: true if the plane is no more. */
bool dies(struct sim *sim, struct plane *plane);
/* One instance and any of the disks (NULL: none), all or nothing. False: it was not stored, or the
 * plane has died. */
bool commit(struct sim *sim, struct plane *plane, unsigned index, struct item *item,
	    struct disk *disks);
bool commit_disk(struct sim *sim, struct plane *plane, unsigned index, struct disk *disk);

/* sim_instances.c */

struct trust_verdict judge(struct sim *sim, struct plane *plane, unsigned host);
void turn_instance(struct sim *sim, struct plane *plane, unsigned index);
void take_answer(struct sim *sim, struct plane *plane, const struct message *answer);

/* sim_volumes.c */

/* Is wanted by the instance; is bound to it. */
bool is_wanted_by(const struct sim *sim, const struct disk *disk, unsigned instance);
bool is_bound_to(const struct sim *sim, const struct disk *disk, unsigned instance);
void turn_disk(struct sim *sim, struct plane *plane, unsigned index);
void take_disk_answer(struct sim *sim, struct plane *plane, const struct message *answer);
/* People change what they want of it. */
void want_of_disk(struct sim *sim);
void check_disks(struct sim *sim);

#endif
