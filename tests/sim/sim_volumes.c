/* SPDX-License-Identifier: Apache-2.0 */
/* What planes do about volumes. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "sim.h"

bool is_wanted_by(const struct sim *sim, const struct disk *disk, unsigned instance)
{
	return disk->want.held && !memcmp(disk->want.holder, sim->uids[instance], ATTEMPT_UID_SIZE);
}

bool is_bound_to(const struct sim *sim, const struct disk *disk, unsigned instance)
{
	return disk->record.state >= VOLUME_ATTACHING && disk->record.state <= VOLUME_DETACHING &&
	       !memcmp(disk->record.holder, sim->uids[instance], ATTEMPT_UID_SIZE);
}

/* Who has it or, if nobody, who is to have it. */
static unsigned holder_of(const struct sim *sim, const struct disk *disk)
{
	for (unsigned i = 0; i < VOLUME_USERS; i++) {
		if (is_bound_to(sim, disk, i))
			return i;
	}
	for (unsigned i = 0; i < VOLUME_USERS; i++) {
		if (is_wanted_by(sim, disk, i))
			return i;
	}
	return 0;
}

static enum verb verb_of(enum volume_step step)
{
	switch (step) {
	case VOLUME_CREATE:
		return CREATE;
	case VOLUME_ATTACH:
		return ATTACH;
	case VOLUME_DETACH:
		return DETACH;
	case VOLUME_RESIZE:
		return RESIZE;
	default:
		return DELETE;
	}
}

/* What must be true whenever something is sent. */
static void check_step(struct sim *sim, unsigned index, const struct disk *disk,
		       enum volume_step step)
{
	struct world *world = &sim->world;

	if ((step == VOLUME_CREATE || step == VOLUME_ATTACH) && sim->quarantined[VOLUME_HOST])
		world_fail(world, "the key of volume %u goes to a host in quarantine", index);
	if (step == VOLUME_ATTACH && !disk->want.held)
		world_fail(world, "volume %u is nobody's and is attached", index);
	if (step == VOLUME_DELETE && !disk->want.gone)
		world_fail(world, "volume %u is deleted and still wanted", index);
	if (++sim->disk_work[index] > WORK_A_MINUTE)
		world_fail(world, "more than %u requests a minute for volume %u", WORK_A_MINUTE,
			   index);
}

static void send_step(struct sim *sim, struct plane *plane, unsigned index, enum volume_step step)
{
	struct disk changed = plane->disks[index];
	struct message message = {.plane = plane->life,
				  .host = VOLUME_HOST,
				  .instance = holder_of(sim, &changed),
				  .volume = index,
				  .verb = verb_of(step)};

	volume_begin(&changed.record, &changed.want, step, clock_of(sim, plane));
	if (!commit_disk(sim, plane, index, &changed) || !volume_step_is_request(step))
		return;
	check_step(sim, index, &changed, step);
	message.number = changed.record.attempt.number;
	volume_id(&changed.record, sim->disk_uids[index], message.id);
	world_send(&sim->world, &message);
	sim->counts.requests++;
	sim->counts.attaches += step == VOLUME_ATTACH;
	plane->disk_flights[index] = (struct flight){.step = step,
						     .number = message.number,
						     .deadline = clock_of(sim, plane) + DEADLINE};
	dies(sim, plane);
}

static struct volume_view view_of(struct sim *sim, struct plane *plane, unsigned index)
{
	const struct disk *disk = &plane->disks[index];
	unsigned holder = holder_of(sim, disk);
	const struct instance_sight *sight = &plane->sights[holder];
	struct trust_verdict verdict = judge(sim, plane, VOLUME_HOST);

	return (struct volume_view){.lives = sight->state == INSTANCE_RUNS,
				    .down = instance_is_down(&plane->items[holder].record, sight),
				    .card = sight->state == INSTANCE_UNSEEN	 ? VOLUME_UNSEEN
					    : plane->cards[holder] & 1u << index ? VOLUME_CARD
										 : VOLUME_NO_CARD,
				    .asked = sight->asked,
				    .reachable = verdict.reachable,
				    .usable = verdict.usable,
				    .keys = verdict.keys,
				    .in_flight = plane->disk_flights[index].step};
}

static bool settle(struct sim *sim, struct plane *plane, unsigned index,
		   const struct volume_view *view)
{
	struct disk changed = plane->disks[index];
	struct flight *flight = &plane->disk_flights[index];
	uint64_t now = clock_of(sim, plane);

	if (flight->step && now >= flight->deadline) {
		flight->step = 0;
		if (volume_answered(&changed.record, flight->number, ATTEMPT_UNANSWERED, now,
				    random_next(&sim->random)))
			return commit_disk(sim, plane, index, &changed);
	}
	if (volume_saw(&changed.record, view))
		return commit_disk(sim, plane, index, &changed);
	return true;
}

void turn_disk(struct sim *sim, struct plane *plane, unsigned index)
{
	struct disk *disk = &plane->disks[index];
	struct volume_decision decision;
	struct volume_view view;

	if (sim->world.calm || random_chance(&sim->random, 50))
		read_disk(sim, plane, index);
	view = view_of(sim, plane, index);
	if (disk->removed || !settle(sim, plane, index, &view))
		return;
	view = view_of(sim, plane, index);
	decision = volume_next(&disk->record, &disk->want, &view, clock_of(sim, plane));
	if (decision.step == VOLUME_LOOK) {
		plane->hosts[VOLUME_HOST].look = true;
	} else if (decision.step == VOLUME_REMOVE) {
		struct disk changed = *disk;

		changed.removed = true;
		commit_disk(sim, plane, index, &changed);
	} else if (decision.step != VOLUME_NOTHING && decision.step != VOLUME_WAIT) {
		send_step(sim, plane, index, decision.step);
	}
}

void take_disk_answer(struct sim *sim, struct plane *plane, const struct message *answer)
{
	unsigned index = answer->volume;
	struct disk changed;

	read_disk(sim, plane, index);
	changed = plane->disks[index];
	if (plane->disk_flights[index].number == answer->number)
		plane->disk_flights[index].step = 0;
	if (volume_answered(&changed.record, answer->number,
			    answer->code ? ATTEMPT_REFUSED : ATTEMPT_DONE, clock_of(sim, plane),
			    random_next(&sim->random)))
		commit_disk(sim, plane, index, &changed);
}

/* ---- people ---- */

static void want_attached(struct sim *sim, struct disk *disk)
{
	unsigned instance = (unsigned)random_below(&sim->random, VOLUME_USERS);
	struct item *item = &sim->store[instance];
	struct volume_holder holder = {.gone = item->want.wanted == INSTANCE_GONE || item->removed,
				       .same_host = true,
				       .key = true};

	memcpy(holder.uid, sim->uids[instance], ATTEMPT_UID_SIZE);
	for (unsigned i = 0; i < VOLUMES; i++) {
		if (is_wanted_by(sim, &sim->disk_store[i], instance) ||
		    is_bound_to(sim, &sim->disk_store[i], instance))
			holder.slots |= 1u << sim->disk_store[i].want.slot;
	}
	if (disk->want.held || volume_may_attach(&disk->record, &disk->want, &holder))
		return;
	disk->want.held = true;
	disk->want.slot = is_bound_to(sim, disk, instance)
				  ? disk->record.slot
				  : (uint8_t)volume_choose_slot(holder.slots);
	memcpy(disk->want.holder, holder.uid, ATTEMPT_UID_SIZE);
	item->want.generation++;
	item->revision++;
}

static void want_detached(struct sim *sim, struct disk *disk)
{
	for (unsigned i = 0; i < VOLUME_USERS; i++) {
		if (!is_wanted_by(sim, disk, i))
			continue;
		sim->store[i].want.generation++;
		sim->store[i].revision++;
	}
	disk->want.held = false;
}

void want_of_disk(struct sim *sim)
{
	unsigned index = (unsigned)random_below(&sim->random, VOLUMES);
	struct disk *disk = &sim->disk_store[index];

	if (disk->removed || disk->want.gone)
		return;
	switch (random_below(&sim->random, 40)) {
	case 0:
		disk->want.gone = !volume_may_delete(&disk->record, &disk->want);
		break;
	case 1:
	case 2:
		disk->want.size += 4096;
		break;
	case 3:
	case 4:
	case 5:
	case 6:
	case 7:
	case 8:
	case 9:
	case 10:
	case 11:
	case 12:
	case 13:
	case 14:
	case 15:
		want_detached(sim, disk);
		break;
	default:
		want_attached(sim, disk);
		break;
	}
	disk->want.generation++;
	disk->revision++;
	if (sim->world.trace)
		printf("%llu wanted v%u: held %u by i%u, gone %u\n",
		       (unsigned long long)sim->world.now, index, disk->want.held,
		       holder_of(sim, disk), disk->want.gone);
}

/* ---- what has to be true in the end ---- */

static void check_held(struct sim *sim, unsigned index)
{
	const struct disk *disk = &sim->disk_store[index];
	unsigned holder = holder_of(sim, disk);
	const struct unit *unit = &sim->world.hosts[VOLUME_HOST].units[holder];

	if (!is_bound_to(sim, disk, holder))
		world_fail(&sim->world, "volume %u is not bound to instance %u", index, holder);
	else if (unit->state == RUNNING && !(unit->cards & 1u << index))
		world_fail(&sim->world, "instance %u runs without volume %u", holder, index);
}

void check_disks(struct sim *sim)
{
	for (unsigned i = 0; i < VOLUMES; i++) {
		const struct disk *disk = &sim->disk_store[i];
		uint32_t cards = 0;

		for (unsigned j = 0; j < INSTANCES; j++)
			cards |= sim->world.hosts[VOLUME_HOST].units[j].cards;
		if (disk->want.gone != disk->removed)
			world_fail(&sim->world, "volume %u is to be gone and is not", i);
		else if (disk->want.held)
			check_held(sim, i);
		else if (cards & 1u << i)
			world_fail(&sim->world, "volume %u is nobody's and is attached", i);
		else if (!disk->removed && disk->record.state != VOLUME_AVAILABLE &&
			 !(disk->record.state == VOLUME_DETACHING && disk->record.in_specification))
			world_fail(&sim->world, "volume %u is %s", i,
				   volume_state_name((enum volume_state)disk->record.state));
		if (!disk->removed && disk->record.size != disk->want.size &&
		    disk->record.state == VOLUME_AVAILABLE)
			world_fail(&sim->world, "volume %u has not grown", i);
	}
}
