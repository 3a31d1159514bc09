/* SPDX-License-Identifier: Apache-2.0 */
/* What is stored: changes are all or nothing, and only to what was read last. */
#include <string.h>

#include "sim.h"

uint64_t clock_of(const struct sim *sim, const struct plane *plane)
{
	return sim->world.now + (uint64_t)plane->offset;
}

static void drop_flight(struct flight *flight, const struct attempt *attempt)
{
	if (flight->step && (!attempt->doing || attempt->number != flight->number))
		flight->step = 0;
}

/* What somebody else has written is another clock's, and nothing that was seen before counts. */
void read_item(struct sim *sim, struct plane *plane, unsigned index)
{
	struct item *item = &plane->items[index];
	const struct item *stored = &sim->store[index];

	if (item->revision == stored->revision)
		return;
	*item = *stored;
	if (item->writer == plane->life)
		return;
	instance_resume(&item->record, clock_of(sim, plane));
	drop_flight(&plane->flights[index], &item->record.attempt);
}

void read_disk(struct sim *sim, struct plane *plane, unsigned index)
{
	struct disk *disk = &plane->disks[index];
	const struct disk *stored = &sim->disk_store[index];

	if (disk->revision == stored->revision)
		return;
	*disk = *stored;
	if (disk->writer == plane->life)
		return;
	volume_resume(&disk->record, clock_of(sim, plane));
	drop_flight(&plane->disk_flights[index], &disk->record.attempt);
}

bool dies(struct sim *sim, struct plane *plane)
{
	if (!plane->lives)
		return true;
	if (plane->dies_in && --plane->dies_in == 0) {
		plane->lives = false;
		sim->counts.kills++;
	}
	return !plane->lives;
}

static bool has_all(const struct sim *sim, const struct plane *plane, unsigned index,
		    const struct disk *disks)
{
	bool all = plane->items[index].revision == sim->store[index].revision;

	for (unsigned i = 0; disks && i < VOLUMES; i++)
		all &= disks[i].revision == sim->disk_store[i].revision;
	return all;
}

static void put_disk(struct sim *sim, struct plane *plane, unsigned index, struct disk *disk)
{
	disk->revision++;
	disk->writer = plane->life;
	sim->disk_store[index] = *disk;
	plane->disks[index] = *disk;
}

bool commit(struct sim *sim, struct plane *plane, unsigned index, struct item *item,
	    struct disk *disks)
{
	if (dies(sim, plane))
		return false;
	if (!has_all(sim, plane, index, disks)) {
		sim->counts.conflicts++;
		read_item(sim, plane, index);
		for (unsigned i = 0; i < VOLUMES; i++)
			read_disk(sim, plane, i);
		return false;
	}
	item->revision++;
	item->writer = plane->life;
	sim->store[index] = *item;
	plane->items[index] = *item;
	for (unsigned i = 0; disks && i < VOLUMES; i++) {
		if (memcmp(&disks[i], &plane->disks[i], sizeof(disks[i])) != 0)
			put_disk(sim, plane, i, &disks[i]);
	}
	return !dies(sim, plane);
}

bool commit_disk(struct sim *sim, struct plane *plane, unsigned index, struct disk *disk)
{
	if (dies(sim, plane))
		return false;
	if (plane->disks[index].revision != sim->disk_store[index].revision) {
		sim->counts.conflicts++;
		read_disk(sim, plane, index);
		return false;
	}
	put_disk(sim, plane, index, disk);
	return !dies(sim, plane);
}
