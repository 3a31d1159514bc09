/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/base.h"
#include "fleet_private.h"

#define ROOM_MS	 50u
#define IMAGE_MS 250u
#define COPY_MS	 1000u /* until it is looked again whether a copy was made */

struct entry *fleet_holder(const struct entry *volume)
{
	const struct fleet *fleet = volume->fleet;

	if (volume->bound.linked)
		return fleet_find_uid(fleet, FLEET_INSTANCE, volume->volume_record.holder);
	if (volume->wanted.linked)
		return fleet_find_uid(fleet, FLEET_INSTANCE, volume->volume_want.holder);
	return NULL;
}

/* One whose document is gone was down before: it had no volumes any more. */
static struct volume_view view_of(const struct entry *entry)
{
	struct trust_verdict verdict = fleet_verdict(entry);
	struct volume_view view = {.reachable = verdict.reachable,
				   .usable = verdict.usable,
				   .keys = verdict.keys,
				   .lost = fleet_is_lost(entry),
				   .in_flight = entry->step != 0};
	struct entry *holder = fleet_holder(entry);

	if (!holder) {
		view.down = true;
		view.card = VOLUME_NO_CARD;
		return view;
	}
	/* Of one that cannot be read nothing is known, that it is down least of all. */
	if (holder->broken)
		return view;
	fleet_see(holder);
	view.lives = holder->sight.state == INSTANCE_RUNS;
	view.down = instance_is_down(&holder->instance_record, &holder->sight);
	view.asked = holder->sight.asked;
	view.card = fleet_sees_card(holder, entry);
	return view;
}

struct entry *fleet_source(const struct entry *volume)
{
	const char *text = doc_text(volume->doc, "spec.source");
	uint8_t uid[ATTEMPT_UID_SIZE];
	struct entry *source;

	if (!record_uid_parse(text, uid))
		return NULL;
	source = fleet_find_uid(volume->fleet, FLEET_VOLUME, uid);
	return source ? source : fleet_find_uid(volume->fleet, FLEET_SNAPSHOT, uid);
}

bool fleet_is_in_use(const struct entry *volume)
{
	const struct entry *holder = volume->bound.linked ? fleet_holder(volume) : NULL;

	return holder && holder->sight.state == INSTANCE_RUNS &&
	       fleet_sees_card(holder, volume) != VOLUME_NO_CARD;
}

static bool store_record(struct entry *entry, const struct volume_record *record)
{
	struct doc_batch batch = DOC_BATCH_NONE;

	fleet_put(&batch, entry, fleet_with_volume(entry, record));
	return fleet_commit(entry->fleet, &batch, entry);
}

/* ---- steps ---- */

/* What it begins as has to be there: an image on its host, or a volume that nobody writes. But what
 * was asked for before is asked again in any case: its host alone knows what has come of that. */
static bool has_source(struct entry *entry, uint64_t now)
{
	const char *image = doc_text(entry->doc, "spec.image_uid");
	struct error error = {0};

	if (entry->volume_record.attempt.doing == VOLUME_CREATE)
		return true;
	if (doc_text(entry->doc, "spec.source")[0] && !fleet_source(entry)) {
		snprintf(entry->refusal, sizeof(entry->refusal),
			 "what it was to be a copy of is no more; delete it");
		return false;
	}
	if (!image[0] ||
	    images_ensure(entry->fleet->setup.images, entry->host->name, image, &error) == 0)
		return true;
	snprintf(entry->refusal, sizeof(entry->refusal), "%s", error.text);
	fleet_due(entry, now + IMAGE_MS);
	return false;
}

static void begin(struct entry *entry, enum volume_step step, uint64_t now)
{
	struct volume_record record = entry->volume_record;
	uint8_t id[ATTEMPT_ID_SIZE];

	unsigned room = step == VOLUME_DETACH ? FLEET_GUEST_ROOM : FLEET_ROOM;

	if (volume_step_is_request(step) && !fleet_may_send(entry, room)) {
		fleet_due(entry, now + ROOM_MS);
		return;
	}
	volume_begin(&record, &entry->volume_want, step, now);
	if (!store_record(entry, &record) || !volume_step_is_request(step))
		return;
	volume_id(&record, entry->uid, id);
	if (step == VOLUME_ATTACH)
		fleet_trace_step(entry, "sent to the host", "plane");
	fleet_send_volume(entry, step, id);
}

/* Its key first: what is left of the volume then says nothing to anybody. */
static void remove_it(struct entry *entry)
{
	struct fleet *fleet = entry->fleet;
	const char *key = doc_text(entry->doc, "spec.key");
	struct doc_batch batch = DOC_BATCH_NONE;
	char object[DOC_NAME_MAX + 16], time[DOC_TIME_SIZE];
	int64_t now = (int64_t)(fleet_now(fleet) / 1000);
	struct error error = {0};
	int ret = 0;

	doc_time(now, time);
	if (key[0])
		ret = keys_delete(fleet->setup.keys, key, STORE_ANY, time, &error);
	if (ret < 0 && ret != -ENOENT) {
		fprintf(stderr, "karuta-plane: volume %s: %s\n", entry->name, error.text);
		fleet_due(entry, fleet_now(fleet) + 1000);
		return;
	}
	snprintf(object, sizeof(object), "%s/%s", fleet_kinds[entry->kind], entry->name);
	doc_put(&batch, fleet_kinds[entry->kind], entry->name, NULL, doc_revision(entry->doc));
	if (key[0] && ret == 0)
		doc_put(&batch, "keys", key, NULL, STORE_ANY);
	events_add(fleet->setup.events, &batch, now, "deleted", object, NULL,
		   "%s %s and its key are no more",
		   entry->kind == FLEET_VOLUME ? "volume" : "snapshot", entry->name);
	fleet_commit(fleet, &batch, entry);
}

/* Whoever has asked for a copy may delete what it is of the moment that is answered. */
static const struct entry *copy_under_way(const struct entry *source)
{
	for (const struct entry *entry = source->fleet->entries; entry; entry = entry->next) {
		if (entry->kind != FLEET_INSTANCE && !entry->broken && !entry->volume_want.gone &&
		    entry->volume_record.state == VOLUME_CREATING &&
		    !strcmp(doc_text(entry->doc, "spec.source"), source->uid_text))
			return entry;
	}
	return NULL;
}

static bool is_copied(struct entry *entry, uint64_t now)
{
	const struct entry *copy = copy_under_way(entry);

	if (!copy)
		return false;
	snprintf(entry->refusal, sizeof(entry->refusal), "%s is to be a copy of it first",
		 copy->name);
	fleet_due(entry, now + COPY_MS);
	return true;
}

/* Last: the entry may not be there any more afterwards. */
static void carry_out(struct entry *entry, struct volume_decision decision, uint64_t now)
{
	if (decision.step == VOLUME_REMOVE)
		remove_it(entry);
	else if ((decision.step == VOLUME_CREATE && !has_source(entry, now)) ||
		 (decision.step == VOLUME_DELETE && is_copied(entry, now)))
		fleet_show_state(entry, entry->refusal, now);
	else if (decision.step == VOLUME_NOTHING || decision.step == VOLUME_WAIT ||
		 decision.step == VOLUME_LOOK)
		fleet_show_state(entry, decision.why, now);
	else
		begin(entry, decision.step, now);
}

/* Nothing of it is anywhere yet: it needs a host first, but not to be removed. */
static bool has_host(struct entry *entry, uint64_t now)
{
	if (entry->host || entry->volume_record.state != VOLUME_CREATING || entry->volume_want.gone)
		return true;
	if (!fleet_place_volume(entry))
		fleet_show_state(entry, "", now);
	return false;
}

void fleet_turn_volume(struct entry *entry, uint64_t now)
{
	struct volume_record record = entry->volume_record;
	struct volume_decision decision;
	struct volume_view view;
	struct entry *holder;

	if (!has_host(entry, now))
		return;
	view = view_of(entry);
	if (volume_saw(&record, &view)) {
		store_record(entry, &record);
		return;
	}
	decision = volume_next(&entry->volume_record, &entry->volume_want, &view, now);
	holder = fleet_holder(entry);
	if (decision.step == VOLUME_WAIT)
		fleet_due(entry, decision.until);
	if (decision.step == VOLUME_LOOK && holder && holder->host)
		holder->host->look = true;
	carry_out(entry, decision, now);
}

void fleet_volume_answered(struct entry *entry, unsigned step, uint32_t number,
			   enum attempt_outcome outcome, const json_t *result)
{
	struct volume_record record = entry->volume_record;
	struct entry *holder = fleet_holder(entry);
	uint64_t copied = doc_number(entry->doc, "spec.source_size");

	if (holder && holder->host)
		holder->host->look = true;
	if (step == VOLUME_ATTACH && outcome == ATTEMPT_DONE) {
		fleet_trace_host(entry, result);
		fleet_trace_step(entry, "the host has answered", "plane");
		fleet_trace_end(entry);
	}
	if (!volume_answered(&record, number, outcome, fleet_now(entry->fleet), fleet_random()))
		return;
	/* A copy is as large as what it is of; it grows to what is wanted then. */
	if (step == VOLUME_CREATE && copied)
		record.size = min_u64(record.size, copied);
	store_record(entry, &record);
}
