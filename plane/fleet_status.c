/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/base.h"
#include "fleet_private.h"

/* ---- in what state ---- */

static const char *state_down(const struct entry *entry)
{
	if (entry->instance_want.wanted == INSTANCE_STOPPED)
		return "stopped";
	return entry->decision == INSTANCE_NOTHING && entry->sight.state == INSTANCE_ENDED &&
			       entry->instance_record.starts >= entry->instance_want.starts
		       ? "ended"
		       : "starting";
}

/* NULL: nothing is known that would change it. */
static const char *instance_state(const struct entry *entry)
{
	const struct instance_want *want = &entry->instance_want;
	struct trust_verdict verdict = fleet_verdict(entry);

	if (want->wanted == INSTANCE_GONE)
		return "terminating";
	if (!entry->instance_record.placed)
		return want->wanted == INSTANCE_RUNNING ? "placing" : "stopped";
	/* Not heard of since the plane was started is not the same as silent. */
	if (!verdict.reachable)
		return verdict.why ? "unknown" : NULL;
	switch (entry->sight.state) {
	case INSTANCE_UNSEEN:
		return NULL;
	case INSTANCE_RUNS:
		if (want->wanted == INSTANCE_STOPPED)
			return "stopping";
		return entry->step == INSTANCE_LAUNCH || entry->step == INSTANCE_START ? "starting"
										       : "running";
	case INSTANCE_RESTARTS:
		return "restarting";
	case INSTANCE_FAILED:
		return want->wanted == INSTANCE_STOPPED ? "stopping" : "failed";
	case INSTANCE_KEYLESS:
		return want->wanted == INSTANCE_STOPPED ? "stopping" : "starting";
	default:
		return state_down(entry);
	}
}

/* Attached, and to stay; the holder is in *holder then. */
static bool stays(const struct entry *volume, const struct entry **holder)
{
	*holder = fleet_holder(volume);
	return volume->volume_record.state == VOLUME_ATTACHED && *holder &&
	       fleet_is_wanted_by(volume, (*holder)->uid);
}

/* NULL: it had failed, and that is neither seen now nor seen to be over. */
static const char *volume_state(const struct entry *volume)
{
	const char *state = volume_state_name((enum volume_state)volume->volume_record.state);
	const struct entry *holder;

	if (!stays(volume, &holder))
		return state;
	if (holder->sight.state == INSTANCE_UNSEEN)
		return strcmp(doc_text(volume->doc, "status.state"), "failed") != 0 ? state : NULL;
	return holder->sight.state == INSTANCE_RUNS &&
			       fleet_sees_card(holder, volume) == VOLUME_FAILED_CARD
		       ? "failed"
		       : state;
}

static const char *state_of(const struct entry *entry)
{
	if (entry->kind == FLEET_INSTANCE)
		return instance_state(entry);
	if (entry->volume_want.gone && entry->volume_record.state == VOLUME_AVAILABLE)
		return "deleting";
	if (entry->kind == FLEET_SNAPSHOT && entry->volume_record.state == VOLUME_AVAILABLE)
		return "ready";
	return volume_state(entry);
}

/* What its host has told: of the last step, or of how it ended. */
static const char *told_of(const struct entry *entry)
{
	bool ended =
		entry->kind == FLEET_INSTANCE && entry->decision == INSTANCE_NOTHING &&
		(entry->sight.state == INSTANCE_FAILED || entry->sight.state == INSTANCE_RESTARTS ||
		 entry->sight.state == INSTANCE_ENDED);

	return !entry->refusal[0] && ended ? entry->told : entry->refusal;
}

static void reason_of(const struct entry *entry, const char *why, char text[FLEET_REASON_MAX])
{
	const char *told = told_of(entry);

	if (entry->nowhere[0] && told[0])
		snprintf(text, FLEET_REASON_MAX, "%.140s; elsewhere: %.100s", told, entry->nowhere);
	else if (entry->nowhere[0])
		snprintf(text, FLEET_REASON_MAX, "%.255s", entry->nowhere);
	else if (why == entry->refusal || !why[0] || !told[0])
		snprintf(text, FLEET_REASON_MAX, "%.255s", why[0] ? why : told);
	else
		snprintf(text, FLEET_REASON_MAX, "%.100s: %.150s", why, told);
}

/* ---- stored ---- */

/* Words of a host, perhaps cut within a character: what is compared later is what a document can
 * have, or it would be stored again and again. */
static void as_stored(char text[FLEET_REASON_MAX])
{
	json_t *string = doc_string(text);
	const char *stored = json_string_value(string);

	snprintf(text, FLEET_REASON_MAX, "%s", stored ? stored : "");
	json_decref(string);
}

static void set_holder(const struct entry *volume, json_t *doc)
{
	const struct entry *holder = fleet_holder(volume);
	json_t *status = json_object_get(doc, "status");

	if (!holder || !volume->bound.linked) {
		json_object_del(status, "instance");
		json_object_del(status, "slot");
		return;
	}
	doc_set(doc, "status.instance", json_string(holder->name));
	doc_set(doc, "status.slot", json_integer(volume->volume_record.slot));
}

static json_t *with_status(const struct entry *entry, const char *state, const char *text)
{
	json_t *doc = entry->kind == FLEET_INSTANCE
			      ? fleet_with_instance(entry, &entry->instance_record)
			      : fleet_with_volume(entry, &entry->volume_record);
	char since[DOC_TIME_SIZE];

	if (!doc)
		return NULL;
	doc_time((int64_t)(fleet_now(entry->fleet) / 1000), since);
	if (strcmp(doc_text(doc, "status.state"), state) != 0)
		doc_set(doc, "status.since", json_string(since));
	doc_set(doc, "status.state", json_string(state));
	doc_set(doc, "status.text", doc_string(text));
	if (entry->kind != FLEET_INSTANCE) {
		doc_set(doc, "status.size", json_integer((json_int_t)entry->volume_record.size));
		set_holder(entry, doc);
	} else {
		doc_set(doc, "status.restarts", json_integer((json_int_t)entry->restarts));
	}
	return doc;
}

static bool is_shown(const struct entry *entry, const char *state, const char *text)
{
	const struct entry *holder = entry->bound.linked ? fleet_holder(entry) : NULL;

	return !strcmp(doc_text(entry->doc, "status.state"), state) &&
	       !strcmp(doc_text(entry->doc, "status.text"), text) &&
	       (entry->kind == FLEET_INSTANCE
			? doc_number(entry->doc, "status.restarts") == entry->restarts
			: doc_number(entry->doc, "status.size") == entry->volume_record.size &&
				  !strcmp(doc_text(entry->doc, "status.instance"),
					  holder ? holder->name : ""));
}

void fleet_show_state(struct entry *entry, const char *why, uint64_t now)
{
	struct fleet *fleet = entry->fleet;
	static const char *const nouns[] = {"instance", "volume", "snapshot"};
	const char *state = state_of(entry), *noun = nouns[entry->kind];
	struct doc_batch batch = DOC_BATCH_NONE;
	char text[FLEET_REASON_MAX], object[DOC_NAME_MAX + 16];

	reason_of(entry, why ? why : "", text);
	as_stored(text);
	if (!state || is_shown(entry, state, text))
		return;
	fleet_put(&batch, entry, with_status(entry, state, text));
	if (strcmp(doc_text(entry->doc, "status.state"), state) != 0) {
		snprintf(object, sizeof(object), "%s/%s", fleet_kinds[entry->kind], entry->name);
		events_add(fleet->setup.events, &batch, (int64_t)(now / 1000), state, object, NULL,
			   "%s %s is %s%s%s", noun, entry->name, state, text[0] ? ": " : "", text);
	}
	fleet_commit(fleet, &batch, entry);
}

/* ---- for handlers ---- */

struct gathering {
	const uint8_t *instance;
	struct fleet_volume *list;
	size_t count;
};

static void gather(void *context, struct entry *volume)
{
	struct gathering *gathering = context;
	const char *state = state_of(volume);
	bool wanted = fleet_is_wanted_by(volume, gathering->instance);

	if (gathering->count == (size_t)2 * VOLUME_SLOTS)
		return;
	gathering->list[gathering->count++] = (struct fleet_volume){
		.name = volume->name,
		.uid = volume->uid_text,
		.slot = wanted ? volume->volume_want.slot : volume->volume_record.slot,
		.wanted = wanted,
		.bound = fleet_is_bound_to(volume, gathering->instance),
		.state = state ? state : doc_text(volume->doc, "status.state")};
}

size_t fleet_volumes_of(const struct fleet *fleet, const uint8_t instance[ATTEMPT_UID_SIZE],
			struct fleet_volume list[2 * VOLUME_SLOTS])
{
	struct gathering gathering = {.instance = instance, .list = list};

	fleet_each_volume(fleet, instance, gather, &gathering);
	return gathering.count;
}

void fleet_show_instance(const struct fleet *fleet, json_t *doc)
{
	struct fleet_volume list[2 * VOLUME_SLOTS];
	const struct entry *entry = fleet_find(fleet, FLEET_INSTANCE, doc_name(doc));
	size_t count = entry ? fleet_volumes_of(fleet, entry->uid, list) : 0;
	json_t *volumes = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(volumes,
				      json_pack("{s:s,s:i,s:s}", "volume", list[i].name, "slot",
						(int)list[i].slot, "state", list[i].state));
	json_object_set_new(doc, "volumes", volumes);
}

static void count_one(struct fleet_count list[FLEET_STATES], size_t *used, const char *state)
{
	size_t i = 0;

	while (i < *used && strcmp(list[i].state, state) != 0)
		i++;
	if (i == FLEET_STATES)
		return;
	if (i == *used)
		list[(*used)++] = (struct fleet_count){.state = state};
	list[i].count++;
}

size_t fleet_count(const struct fleet *fleet, const char *kind,
		   struct fleet_count list[FLEET_STATES])
{
	size_t used = 0;

	for (const struct entry *entry = fleet->entries; entry; entry = entry->next) {
		if (!strcmp(fleet_kinds[entry->kind], kind))
			count_one(list, &used, doc_text(entry->doc, "status.state"));
	}
	return used;
}

/* ---- how an attach went ---- */

static uint64_t wall_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void add_step(struct entry *volume, const char *text, const char *part, uint64_t at)
{
	struct fleet_trace *trace = volume->trace;
	struct fleet_step *step;

	if (!trace || trace->count == FLEET_TRACE_MOST)
		return;
	step = &trace->steps[trace->count++];
	step->at = at;
	snprintf(step->text, sizeof(step->text), "%s", text);
	snprintf(step->part, sizeof(step->part), "%s", part);
}

void fleet_trace_step(struct entry *volume, const char *text, const char *part)
{
	if (volume->trace && !volume->trace->over)
		add_step(volume, text, part, wall_us());
}

/* Its clock may be another: its steps count from when it was asked. */
void fleet_trace_host(struct entry *volume, const json_t *result)
{
	const struct fleet_trace *trace = volume->trace;
	uint64_t sent = trace && trace->count ? trace->steps[trace->count - 1].at : 0;
	json_t *step;
	size_t i;

	if (!trace || trace->over)
		return;
	json_array_foreach(json_object_get(result, "steps"), i, step)
	{
		add_step(volume, doc_text(step, "step"), doc_text(step, "part"),
			 sent + doc_number(step, "us"));
	}
}

void fleet_trace_end(struct entry *volume)
{
	if (volume->trace)
		volume->trace->over = true;
}

void fleet_trace_begin(struct fleet *fleet, const char *name)
{
	struct entry *volume = fleet_find(fleet, FLEET_VOLUME, name);

	if (!volume)
		return;
	free(volume->trace);
	volume->trace = calloc(1, sizeof(*volume->trace));
	fleet_trace_step(volume, "asked for", "plane");
}

static json_t *step_json(const struct fleet_step *step, uint64_t before)
{
	char time[DOC_TIME_SIZE], text[DOC_TIME_SIZE + 8];

	doc_time((int64_t)(step->at / 1000000), time);
	snprintf(text, sizeof(text), "%.19s.%06uZ", time, (unsigned)(step->at % 1000000));
	return json_pack("{s:o,s:s,s:f,s:o}", "step", doc_string(step->text), "at", text, "ms",
			 step->at > before ? (double)(step->at - before) / 1000 : 0.0, "part",
			 doc_string(step->part));
}

json_t *fleet_trace(const struct fleet *fleet, const char *name)
{
	const struct entry *volume = fleet_find(fleet, FLEET_VOLUME, name);
	const struct fleet_trace *trace = volume ? volume->trace : NULL;
	json_t *steps;

	if (!trace)
		return NULL;
	steps = json_array();
	for (size_t i = 0; i < trace->count; i++)
		json_array_append_new(steps,
				      step_json(&trace->steps[i], trace->steps[i ? i - 1 : 0].at));
	return json_pack("{s:o}", "steps", steps);
}
