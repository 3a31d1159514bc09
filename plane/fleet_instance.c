/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "fleet_private.h"

#define ROOM_MS	 50u  /* until a host is asked again whether it takes one more */
#define IMAGE_MS 250u /* until it is asked again whether an image is there */

/* ---- what is known ---- */

struct volumes {
	const struct entry *instance;
	bool attach, detach;
};

static void look_at_volume(void *context, struct entry *volume)
{
	struct volumes *volumes = context;
	bool wanted = fleet_is_wanted_by(volume, volumes->instance->uid);
	bool bound = fleet_is_bound_to(volume, volumes->instance->uid);

	volumes->attach |= wanted && !bound;
	volumes->detach |= bound && !wanted;
}

static struct instance_view view_of(const struct entry *entry)
{
	struct trust_verdict verdict = fleet_verdict(entry);
	struct volumes volumes = {.instance = entry};

	fleet_each_volume(entry->fleet, entry->uid, look_at_volume, &volumes);
	return (struct instance_view){.sight = entry->sight,
				      .reachable = verdict.reachable,
				      .usable = verdict.usable,
				      .keys = verdict.keys,
				      .lost = fleet_is_lost(entry),
				      .in_flight = (enum instance_step)entry->step,
				      .attach_volumes = volumes.attach,
				      .detach_volumes = volumes.detach};
}

static bool store_record(struct entry *entry, const struct instance_record *record)
{
	struct doc_batch batch = DOC_BATCH_NONE;

	fleet_put(&batch, entry, fleet_with_instance(entry, record));
	return fleet_commit(entry->fleet, &batch, entry);
}

/* True: there is nothing to store, and the next step can be thought about. */
static bool take_sight(struct entry *entry, uint64_t now)
{
	struct instance_record record = entry->instance_record;

	fleet_see(entry);
	if (!instance_saw(&record, &entry->instance_want, &entry->sight, now, fleet_random()))
		return true;
	store_record(entry, &record);
	return false;
}

/* ---- steps ---- */

static void launch_volume(void *context, struct entry *volume)
{
	struct doc_batch *batch = context;
	struct volume_record record = volume->volume_record;

	volume_launched(&record);
	fleet_put(batch, volume, fleet_with_volume(volume, &record));
}

static bool brings_up(enum instance_step step)
{
	return step == INSTANCE_LAUNCH || step == INSTANCE_START;
}

/* The volumes that it comes up with are its own until it is down again: in the same commit. */
static bool store_begun(struct entry *entry, const struct instance_record *record,
			enum instance_step step)
{
	struct doc_batch batch = DOC_BATCH_NONE;

	fleet_put(&batch, entry, fleet_with_instance(entry, record));
	if (brings_up(step))
		fleet_each_volume(entry->fleet, entry->uid, launch_volume, &batch);
	return fleet_commit(entry->fleet, &batch, entry);
}

/* A plug can be pulled whatever else is under way. */
static unsigned room_for(enum instance_step step)
{
	if (step == INSTANCE_KILL)
		return 0;
	return step == INSTANCE_STOP ? FLEET_GUEST_ROOM : FLEET_ROOM;
}

static void begin(struct entry *entry, enum instance_step step, uint64_t now)
{
	struct instance_record record = entry->instance_record;
	uint8_t id[ATTEMPT_ID_SIZE];

	if (!fleet_may_send(entry, room_for(step))) {
		fleet_due(entry, now + ROOM_MS);
		return;
	}
	instance_begin(&record, &entry->instance_want, step, now);
	if (!store_begun(entry, &record, step))
		return;
	instance_id(&record, entry->uid, id);
	fleet_send_instance(entry, step, id);
}

/* Its kernel is a file of an image. */
static bool has_image(struct entry *entry, uint64_t now)
{
	const char *uid = doc_text(entry->doc, "spec.image_uid");
	struct error error = {0};

	if (!uid[0] ||
	    images_ensure(entry->fleet->setup.images, entry->host->name, uid, &error) == 0)
		return true;
	snprintf(entry->refusal, sizeof(entry->refusal), "%s", error.text);
	fleet_due(entry, now + IMAGE_MS);
	return false;
}

static void remove_it(struct entry *entry)
{
	struct fleet *fleet = entry->fleet;
	struct doc_batch batch = DOC_BATCH_NONE;
	char object[DOC_NAME_MAX + 16];

	snprintf(object, sizeof(object), "instances/%s", entry->name);
	doc_put(&batch, fleet_kinds[FLEET_INSTANCE], entry->name, NULL, doc_revision(entry->doc));
	events_add(fleet->setup.events, &batch, (int64_t)(fleet_now(fleet) / 1000), "terminated",
		   object, NULL, "instance %s is no more", entry->name);
	fleet_commit(fleet, &batch, entry);
}

/* Last: the entry may not be there any more afterwards. */
static void carry_out(struct entry *entry, struct instance_decision decision, uint64_t now)
{
	if (brings_up(decision.step) && !has_image(entry, now))
		fleet_show_state(entry, entry->refusal, now);
	else if (instance_step_is_request(decision.step))
		begin(entry, decision.step, now);
	else if (decision.step == INSTANCE_PLACE)
		fleet_place_instance(entry, now);
	else if (decision.step == INSTANCE_REMOVE)
		remove_it(entry);
	else
		fleet_show_state(entry, decision.why, now);
}

void fleet_turn_instance(struct entry *entry, uint64_t now)
{
	struct instance_decision decision;
	struct instance_view view;

	if (!take_sight(entry, now))
		return;
	view = view_of(entry);
	decision = instance_next(&entry->instance_record, &entry->instance_want, &view, now);
	entry->decision = decision.step;
	if (decision.step == INSTANCE_WAIT)
		fleet_due(entry, decision.until);
	if (decision.step == INSTANCE_LOOK && entry->host)
		entry->host->look = true;
	carry_out(entry, decision, now);
}

void fleet_instance_answered(struct entry *entry, unsigned step, uint32_t number,
			     enum attempt_outcome outcome, const json_t *result)
{
	struct instance_record record = entry->instance_record;
	uint64_t now = fleet_now(entry->fleet);

	(void)step;
	(void)result;
	if (entry->host)
		entry->host->look = true;
	if (instance_answered(&record, number, outcome, now, fleet_random()))
		store_record(entry, &record);
}
