/* SPDX-License-Identifier: Apache-2.0 */
/* What planes do about instances. */
#include <string.h>

#include "base/base.h"
#include "place.h"
#include "sim.h"

struct trust_verdict judge(struct sim *sim, struct plane *plane, unsigned host)
{
	struct trust_evidence evidence = plane->hosts[host].evidence;
	struct trust_verdict verdict;

	evidence.has_tpm = sim->world.hosts[host].tpm;
	evidence.quarantined = sim->quarantined[host];
	verdict = trust_judge(&evidence, &sim->policy, clock_of(sim, plane));
	if (verdict.quarantine)
		sim->quarantined[host] = true;
	return verdict;
}

static enum verb verb_of(enum instance_step step)
{
	switch (step) {
	case INSTANCE_LAUNCH:
		return LAUNCH;
	case INSTANCE_START:
		return START;
	case INSTANCE_STOP:
		return STOP;
	case INSTANCE_KILL:
		return KILL;
	case INSTANCE_REBOOT:
		return RESET;
	default:
		return FORGET;
	}
}

/* What must be true whenever something is sent. */
static void check_step(struct sim *sim, const struct plane *plane, unsigned index,
		       const struct item *item, enum instance_step step)
{
	struct world *world = &sim->world;
	bool up = step == INSTANCE_LAUNCH || step == INSTANCE_START;

	if (up && item->want.wanted != INSTANCE_RUNNING)
		world_fail(world, "instance %u is to be down and is started", index);
	if (up && item->want.keys &&
	    (!world->hosts[item->host].tpm || sim->quarantined[item->host]))
		world_fail(world, "keys of instance %u go to host %u, which is not trusted", index,
			   item->host);
	if (up && !world->hosts[item->host].tpm && !sim->policy.allow_unattested)
		world_fail(world, "instance %u is started on host %u without leave", index,
			   item->host);
	/* But for what does not run, and would with volumes that are to be another's. */
	if ((step == INSTANCE_STOP || step == INSTANCE_KILL) &&
	    item->want.wanted == INSTANCE_RUNNING && plane->sights[index].state == INSTANCE_RUNS)
		world_fail(world, "instance %u is to run and is stopped", index);
	if (step == INSTANCE_FORGET && item->want.wanted != INSTANCE_GONE)
		world_fail(world, "instance %u is forgotten and still wanted", index);
	if (++sim->work[index] > WORK_A_MINUTE)
		world_fail(world, "more than %u requests a minute for instance %u", WORK_A_MINUTE,
			   index);
}

/* Those that the instance is brought up with, and that they are. */
static uint32_t take_disks(const struct sim *sim, unsigned index, enum instance_step step,
			   struct disk *disks)
{
	uint32_t cards = 0;

	for (unsigned i = 0; i < VOLUMES; i++) {
		if (!is_bound_to(sim, &disks[i], index) ||
		    (step != INSTANCE_LAUNCH && step != INSTANCE_START))
			continue;
		volume_launched(&disks[i].record);
		cards |= 1u << i;
	}
	return step == INSTANCE_LAUNCH ? cards : 0;
}

static void send_step(struct sim *sim, struct plane *plane, unsigned index, enum instance_step step)
{
	struct item changed = plane->items[index];
	struct message message = {.plane = plane->life,
				  .host = changed.host,
				  .instance = index,
				  .verb = verb_of(step),
				  .keys = changed.want.keys};
	uint32_t before = changed.record.attempt.number;
	struct disk disks[VOLUMES];

	memcpy(disks, plane->disks, sizeof(disks));
	instance_begin(&changed.record, &changed.want, step, clock_of(sim, plane));
	message.cards = take_disks(sim, index, step, disks);
	if (!commit(sim, plane, index, &changed, disks))
		return;
	check_step(sim, plane, index, &changed, step);
	message.number = changed.record.attempt.number;
	message.generation = changed.record.attempt.generation;
	instance_id(&changed.record, sim->uids[index], message.id);
	world_send(&sim->world, &message);
	sim->counts.requests++;
	sim->counts.repeats += message.number == before;
	plane->flights[index] = (struct flight){.step = step,
						.number = message.number,
						.deadline = clock_of(sim, plane) + DEADLINE};
	dies(sim, plane);
}

static void place(struct sim *sim, struct plane *plane, unsigned index)
{
	static const char *const names[HOSTS] = {"h0", "h1", "h2", "h3"};
	struct item changed = plane->items[index];
	const struct place_want want = {
		.memory = GIB, .cpus = 1, .host = index < VOLUME_USERS ? names[VOLUME_HOST] : NULL};
	struct place_host hosts[HOSTS];
	char why[256];
	int host;

	for (unsigned i = 0; i < HOSTS; i++) {
		struct trust_verdict verdict = judge(sim, plane, i);

		hosts[i] = (struct place_host){.name = names[i], .memory = 64 * GIB, .cpus = 64};
		hosts[i].usable = verdict.usable && (verdict.keys || !changed.want.keys) &&
				  (want.host || !changed.record.placed || changed.host != i);
		hosts[i].instances_most = INSTANCES;
		for (unsigned j = 0; j < INSTANCES; j++)
			hosts[i].instances +=
				sim->store[j].record.placed && sim->store[j].host == i;
		hosts[i].memory_used = hosts[i].instances * GIB;
	}
	host = place_choose(hosts, HOSTS, &want, why, sizeof(why));
	instance_placed(&changed.record, host >= 0, clock_of(sim, plane),
			random_next(&sim->random));
	sim->counts.moves += changed.record.placed && plane->items[index].record.placed;
	if (host >= 0) {
		changed.host = (unsigned)host;
		plane->sights[index] = (struct instance_sight){0};
	}
	commit(sim, plane, index, &changed, NULL);
}

static void carry_out(struct sim *sim, struct plane *plane, unsigned index,
		      struct instance_decision decision)
{
	struct item changed = plane->items[index];

	if (instance_step_is_request(decision.step)) {
		send_step(sim, plane, index, decision.step);
	} else if (decision.step == INSTANCE_PLACE) {
		place(sim, plane, index);
	} else if (decision.step == INSTANCE_LOOK) {
		plane->hosts[changed.host].look = true;
	} else if (decision.step == INSTANCE_REMOVE) {
		changed.removed = true;
		commit(sim, plane, index, &changed, NULL);
	}
}

static bool settle(struct sim *sim, struct plane *plane, unsigned index)
{
	struct item changed = plane->items[index];
	uint64_t now = clock_of(sim, plane);

	if (plane->flights[index].step && now >= plane->flights[index].deadline) {
		plane->flights[index].step = 0;
		if (instance_answered(&changed.record, plane->flights[index].number,
				      ATTEMPT_UNANSWERED, now, random_next(&sim->random)))
			return commit(sim, plane, index, &changed, NULL);
	}
	if (instance_saw(&changed.record, &changed.want, &plane->sights[index], now,
			 random_next(&sim->random)))
		return commit(sim, plane, index, &changed, NULL);
	return true;
}

void turn_instance(struct sim *sim, struct plane *plane, unsigned index)
{
	const struct item *item = &plane->items[index];
	struct instance_view view;
	struct trust_verdict verdict;

	/* It hears of what others have stored some time later. */
	if (sim->world.calm || random_chance(&sim->random, 50))
		read_item(sim, plane, index);
	if (item->removed || !settle(sim, plane, index))
		return;
	verdict = judge(sim, plane, item->host);
	view = (struct instance_view){.sight = plane->sights[index],
				      .reachable = verdict.reachable,
				      .usable = verdict.usable,
				      .keys = verdict.keys,
				      .in_flight = (enum instance_step)plane->flights[index].step};
	for (unsigned i = 0; i < VOLUMES; i++) {
		bool wanted = is_wanted_by(sim, &plane->disks[i], index);
		bool bound = is_bound_to(sim, &plane->disks[i], index);

		view.attach_volumes |= wanted && !bound;
		view.detach_volumes |= bound && !wanted;
	}
	carry_out(sim, plane, index,
		  instance_next(&item->record, &item->want, &view, clock_of(sim, plane)));
}

void take_answer(struct sim *sim, struct plane *plane, const struct message *answer)
{
	unsigned index = answer->instance;
	struct item changed;

	read_item(sim, plane, index);
	changed = plane->items[index];
	if (plane->flights[index].number == answer->number)
		plane->flights[index].step = 0;
	if (instance_answered(&changed.record, answer->number,
			      answer->code ? ATTEMPT_REFUSED : ATTEMPT_DONE, clock_of(sim, plane),
			      random_next(&sim->random)))
		commit(sim, plane, index, &changed, NULL);
}
