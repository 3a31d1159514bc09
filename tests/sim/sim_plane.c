/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Planes are killed between any two steps, come back with what was stored, and sometimes do not
 * know that they have a successor. People change what they want meanwhile. Then there is no plane
 * for an hour, in which what runs goes on. Then all is calm, and it has to become as it is wanted.
 *
 *	sim_plane [SEED [COUNT]]   one seed is shown as it goes
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "sim.h"

#define SEEDS	       120u
#define CHAOS_MS       (15 * 60000u)
#define ABSENCE_MS     (60 * 60000u)
#define SETTLE_MS      (2 * DELAY_MOST) /* what is still on its way has arrived */
#define CALM_MS	       (20 * 60000u)
#define EVIDENCE_LASTS 120000u
#define SILENCE	       20000u

/* ---- a plane's turn ---- */

static void ask_host(struct sim *sim, struct plane *plane, unsigned host)
{
	struct seen_host *seen = &plane->hosts[host];
	uint64_t now = clock_of(sim, plane);

	if (now - seen->asked < (seen->look ? TICK : 2000u))
		return;
	seen->asked = now;
	seen->look = false;
	world_send(
		&sim->world,
		&(struct message){.plane = plane->life, .host = host, .verb = LIST, .asked = now});
}

static void turn_plane(struct sim *sim, struct plane *plane)
{
	for (unsigned i = 0; i < HOSTS && plane->lives; i++)
		ask_host(sim, plane, i);
	for (unsigned i = 0; i < INSTANCES && plane->lives; i++)
		turn_instance(sim, plane, i);
	for (unsigned i = 0; i < VOLUMES && plane->lives; i++)
		turn_disk(sim, plane, i);
}

/* ---- answers ---- */

static enum instance_seen seen_as(enum unit_state state)
{
	static const enum instance_seen seen[] = {
		[ABSENT] = INSTANCE_ABSENT,	  [STARTING] = INSTANCE_RUNS,
		[RUNNING] = INSTANCE_RUNS,	  [ENDED] = INSTANCE_ENDED,
		[RESTARTING] = INSTANCE_RESTARTS, [KEYLESS] = INSTANCE_KEYLESS,
		[FAILED] = INSTANCE_FAILED,
	};

	return seen[state];
}

static void take_list(struct sim *sim, struct plane *plane, const struct message *answer)
{
	struct seen_host *seen = &plane->hosts[answer->host];

	seen->evidence.heard = clock_of(sim, plane);
	seen->evidence.quarantine_told = answer->quarantined;
	if (sim->world.hosts[answer->host].tpm) {
		seen->evidence.given = true;
		seen->evidence.taken = answer->asked;
		seen->evidence.log = seen->evidence.quote = seen->evidence.policy = TRUST_MATCHES;
	}
	for (unsigned i = 0; i < INSTANCES; i++) {
		struct instance_sight *sight = &plane->sights[i];

		if (plane->items[i].host != answer->host || answer->asked < sight->asked)
			continue;
		*sight = (struct instance_sight){.state = seen_as(answer->seen[i]),
						 .asked = answer->asked};
		plane->cards[i] = answer->seen_cards[i];
	}
}

static void answered(void *context, const struct message *answer)
{
	struct sim *sim = context;

	for (unsigned i = 0; i < PLANES; i++) {
		struct plane *plane = &sim->planes[i];

		if (!plane->lives || plane->life != answer->plane)
			continue;
		if (answer->verb == LIST)
			take_list(sim, plane, answer);
		else if (answer->verb >= ATTACH)
			take_disk_answer(sim, plane, answer);
		else
			take_answer(sim, plane, answer);
	}
}

/* ---- people, and the end of planes ---- */

static void free_disks(struct sim *sim, unsigned index)
{
	for (unsigned i = 0; i < VOLUMES; i++) {
		struct disk *disk = &sim->disk_store[i];

		if (!is_wanted_by(sim, disk, index))
			continue;
		disk->want.held = false;
		disk->want.generation++;
		disk->revision++;
	}
}

static void want_something(struct sim *sim)
{
	unsigned index = (unsigned)random_below(&sim->random, INSTANCES);
	struct item *item = &sim->store[index];
	struct instance_want *want = &item->want;

	if (item->removed || want->wanted == INSTANCE_GONE)
		return;
	switch (random_below(&sim->random, 30)) {
	case 0:
		want->wanted = INSTANCE_GONE;
		free_disks(sim, index);
		break;
	case 1:
		want->generation++;
		break;
	case 2:
	case 3:
		want->reboots++;
		break;
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
		want->wanted = INSTANCE_STOPPED;
		break;
	default:
		want->wanted = INSTANCE_RUNNING;
		want->starts++;
		for (unsigned i = 0; i < HOSTS; i++)
			sim->world.hosts[i].units[index].powered_off = false;
		break;
	}
	item->revision++;
	if (sim->world.trace)
		printf("%llu wanted i%u: %u, start %llu, generation %llu\n",
		       (unsigned long long)sim->world.now, index, want->wanted,
		       (unsigned long long)want->starts, (unsigned long long)want->generation);
}

static void start_plane(struct sim *sim, struct plane *plane)
{
	*plane = (struct plane){.lives = true, .life = ++sim->lives};
	plane->offset = (int64_t)random_below(&sim->random, 600000) - 570000;
	if (!sim->world.calm)
		plane->dies_in =
			1 + (unsigned)random_below(&sim->random, plane->life % 2 ? 60 : 600);
	for (unsigned i = 0; i < INSTANCES; i++) {
		/* Whatever is stored has another revision. */
		plane->items[i].revision = UINT64_MAX;
		read_item(sim, plane, i);
	}
	for (unsigned i = 0; i < VOLUMES; i++) {
		plane->disks[i].revision = UINT64_MAX;
		read_disk(sim, plane, i);
	}
}

static void manage_planes(struct sim *sim)
{
	unsigned chance = sim->planes[0].lives || sim->planes[1].lives ? 2 : 20;

	for (unsigned i = 0; i < PLANES; i++) {
		if (!sim->planes[i].lives && random_chance(&sim->random, chance))
			start_plane(sim, &sim->planes[i]);
	}
}

/* An end of quarantine is a person's decision. */
static void release_hosts(struct sim *sim)
{
	for (unsigned i = 0; i < HOSTS; i++) {
		if (sim->world.hosts[i].quarantined)
			continue;
		sim->quarantined[i] = false;
		for (unsigned j = 0; j < PLANES; j++)
			sim->planes[j].hosts[i].evidence.quarantine_told = false;
	}
}

static void calm_down(struct sim *sim)
{
	struct world *world = &sim->world;

	world->calm = true;
	for (unsigned i = 0; i < HOSTS; i++) {
		world->hosts[i].quarantined = false;
		world->hosts[i].cut_until = 0;
	}
	for (unsigned i = 0; i < PLANES; i++)
		sim->planes[i].lives = false;
	start_plane(sim, &sim->planes[0]);
}

/* ---- what has to be true in the end ---- */

static void check_running(struct sim *sim, unsigned index)
{
	const struct item *item = &sim->store[index];
	const struct unit *unit = &sim->world.hosts[item->host].units[index];

	if (!item->record.placed)
		world_fail(&sim->world, "instance %u is to run and has no host", index);
	else if (unit->state != RUNNING && !(unit->state == ENDED && unit->powered_off))
		world_fail(&sim->world, "instance %u is to run and is %s", index,
			   unit_name(unit->state));
	else if (unit->state == RUNNING && item->record.reboots != item->want.reboots)
		world_fail(&sim->world, "instance %u was not rebooted", index);
}

static void check_end(struct sim *sim)
{
	for (unsigned i = 0; i < INSTANCES; i++) {
		const struct item *item = &sim->store[i];

		if (item->want.wanted == INSTANCE_RUNNING)
			check_running(sim, i);
		if (item->want.wanted == INSTANCE_GONE && !item->removed)
			world_fail(&sim->world, "instance %u is to be gone and is not", i);
		for (unsigned j = 0; j < HOSTS; j++) {
			const struct unit *unit = &sim->world.hosts[j].units[i];
			bool mine = item->record.placed && item->host == j;

			if (unit->state != ABSENT && (!mine || item->removed))
				world_fail(&sim->world, "host %u has instance %u left", j, i);
			if (unit->state != ABSENT && unit->state != ENDED &&
			    item->want.wanted == INSTANCE_STOPPED)
				world_fail(&sim->world, "instance %u is to be stopped and is %s", i,
					   unit_name(unit->state));
		}
	}
}

static void open_sim(struct sim *sim, uint64_t seed, bool trace)
{
	*sim = (struct sim){.random.state = ~seed};
	world_open(&sim->world, seed);
	sim->world.answered = answered;
	sim->world.context = sim;
	sim->world.trace = trace;
	sim->policy = (struct trust_policy){
		.allow_unattested = seed % 2, .evidence_lasts = EVIDENCE_LASTS, .silence = SILENCE};
	for (unsigned i = 0; i < INSTANCES; i++) {
		sim->store[i].want = (struct instance_want){.wanted = INSTANCE_RUNNING,
							    .generation = 1,
							    .starts = 1,
							    .keys = i % 2,
							    .kill = i % 3,
							    .grace = 10000};
		for (size_t j = 0; j < ATTEMPT_UID_SIZE; j++)
			sim->uids[i][j] = (uint8_t)random_next(&sim->random);
	}
	for (unsigned i = 0; i < VOLUMES; i++) {
		sim->disk_store[i].want = (struct volume_want){.generation = 1, .size = GIB};
		for (size_t j = 0; j < ATTEMPT_UID_SIZE; j++)
			sim->disk_uids[i][j] = (uint8_t)random_next(&sim->random);
	}
}

static void turn_sim(struct sim *sim)
{
	struct world *world = &sim->world;

	world->now += TICK;
	if (world->now / 60000 != sim->minute)
		memset(sim->work, 0, sizeof(sim->work));
	if (world->now / 60000 != sim->minute)
		memset(sim->disk_work, 0, sizeof(sim->disk_work));
	sim->minute = world->now / 60000;
	if (!world->calm) {
		world_disturb(world);
		manage_planes(sim);
		if (random_chance(&sim->random, 3))
			want_something(sim);
		if (random_chance(&sim->random, 2))
			want_of_disk(sim);
	}
	if (world->calm || random_chance(&sim->random, 1))
		release_hosts(sim);
	world_turn(world);
	for (unsigned i = 0; i < PLANES; i++)
		turn_plane(sim, &sim->planes[i]);
}

/* ---- no plane at all ---- */

static void go_on(struct sim *sim, uint64_t ms, bool disturbed)
{
	for (uint64_t end = sim->world.now + ms; sim->world.now < end;) {
		sim->world.now += TICK;
		if (disturbed)
			world_disturb(&sim->world);
		world_turn(&sim->world);
	}
}

/* What runs runs on; nobody has done anything to it. */
static void check_goes_on(struct sim *sim, const struct host before[HOSTS])
{
	for (unsigned i = 0; i < HOSTS; i++) {
		for (unsigned j = 0; j < INSTANCES; j++) {
			const struct unit *was = &before[i].units[j];
			const struct unit *unit = &sim->world.hosts[i].units[j];

			if (was->state == RUNNING &&
			    (unit->state != RUNNING || unit->cards != was->cards ||
			     unit->resets != was->resets))
				world_fail(&sim->world, "instance %u did not run on: it is %s", j,
					   unit_name(unit->state));
		}
	}
}

/* An hour: hosts forget meanwhile what they were asked (REMEMBERED_MS). In every other one they
 * break as before. */
static void be_absent(struct sim *sim, bool disturbed)
{
	static struct host before[HOSTS];

	for (unsigned i = 0; i < PLANES; i++)
		sim->planes[i].lives = false;
	go_on(sim, SETTLE_MS, disturbed);
	memcpy(before, sim->world.hosts, sizeof(before));
	go_on(sim, ABSENCE_MS, disturbed);
	if (!disturbed)
		check_goes_on(sim, before);
}

static bool run(struct sim *sim, uint64_t seed, bool trace)
{
	struct counts counts = sim->counts;
	uint64_t end;

	open_sim(sim, seed, trace);
	sim->counts = counts;
	end = sim->world.now + CHAOS_MS;
	while (sim->world.now < end && !sim->world.failure[0])
		turn_sim(sim);
	if (!sim->world.failure[0])
		be_absent(sim, seed % 2);
	calm_down(sim);
	end = sim->world.now + CALM_MS;
	while (sim->world.now < end && !sim->world.failure[0])
		turn_sim(sim);
	check_end(sim);
	check_disks(sim);
	if (sim->world.failure[0])
		printf("seed %llu: %s\n", (unsigned long long)seed, sim->world.failure);
	return !sim->world.failure[0];
}

int main(int count, char **arguments)
{
	static struct sim sim;
	uint64_t first = count > 1 ? strtoull(arguments[1], NULL, 10) : 1;
	uint64_t seeds = count > 2 ? strtoull(arguments[2], NULL, 10) : count > 1 ? 1 : SEEDS;
	bool good = true;

	for (uint64_t seed = first; seed < first + seeds && good; seed++)
		good = run(&sim, seed, seeds == 1);
	printf("%lu requests, %lu of them again; %lu kills, %lu conflicts, %lu moves, %lu "
	       "attaches\n",
	       sim.counts.requests, sim.counts.repeats, sim.counts.kills, sim.counts.conflicts,
	       sim.counts.moves, sim.counts.attaches);
	return good ? 0 : 1;
}
