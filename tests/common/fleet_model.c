/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A configuration of an object is its state and which of its pending requests have had their effect
 * already. All that are possible are kept; an answer rules out those that contradict it.
 */
#include "fleet_model.h"

#include <stdio.h>
#include <string.h>

#define MASKS (1u << MODEL_PENDING)

static bool has(const struct model_object *object, unsigned state, unsigned mask)
{
	return object->configurations[state][mask / 64] & UINT64_C(1) << mask % 64;
}

static void add(struct model_object *object, unsigned state, unsigned mask)
{
	object->configurations[state][mask / 64] |= UINT64_C(1) << mask % 64;
}

static bool is_instance(unsigned object)
{
	return object < MODEL_INSTANCES;
}

/* The state after it; -1: it would have been refused. */
static int apply_instance(enum model_act act, unsigned state)
{
	switch (act) {
	case MODEL_CREATE:
		return state == MODEL_ABSENT ? MODEL_RUNNING : -1;
	case MODEL_START:
		return state == MODEL_ABSENT ? -1 : MODEL_RUNNING;
	case MODEL_STOP:
		return state == MODEL_ABSENT ? -1 : MODEL_STOPPED;
	case MODEL_REBOOT:
		return state == MODEL_RUNNING ? MODEL_RUNNING : -1;
	case MODEL_DELETE:
		return MODEL_ABSENT;
	case MODEL_ATTACH:
		return state == MODEL_ABSENT ? -1 : (int)state;
	default:
		return (int)state;
	}
}

static int apply_volume(const struct model_pending *pending, unsigned state)
{
	unsigned held = MODEL_HELD + pending->other;

	switch (pending->act) {
	case MODEL_CREATE:
		return state == MODEL_ABSENT ? MODEL_FREE : -1;
	case MODEL_ATTACH:
		return state == MODEL_FREE || state == held ? (int)held : -1;
	case MODEL_DETACH:
		return state == MODEL_ABSENT ? MODEL_ABSENT : MODEL_FREE;
	case MODEL_DELETE:
		return state < MODEL_HELD ? MODEL_ABSENT : -1;
	case MODEL_TERMINATE:
		return state == held ? MODEL_FREE : (int)state;
	default:
		return (int)state;
	}
}

static void spread(struct model_object *object, bool instance, unsigned state, unsigned mask)
{
	for (unsigned i = 0; i < MODEL_PENDING; i++) {
		const struct model_pending *pending = &object->pending[i];
		int next;

		if (!pending->used || mask & 1u << i)
			continue;
		next = instance ? apply_instance(pending->act, state)
				: apply_volume(pending, state);
		if (next >= 0)
			add(object, (unsigned)next, mask | 1u << i);
	}
}

/* Masks only grow: one pass in their order finds all. */
static void close_over(struct model_object *object, bool instance)
{
	for (unsigned mask = 0; mask < MASKS; mask++) {
		for (unsigned state = 0; state < MODEL_STATES; state++) {
			if (has(object, state, mask))
				spread(object, instance, state, mask);
		}
	}
}

static void note_absent(struct model_object *object, uint64_t now)
{
	for (unsigned i = 0; i < MASKS / 64; i++) {
		if (object->configurations[MODEL_ABSENT][i])
			object->absent = now;
	}
}

/* Keeps the configurations in which it has (not) had its effect, or all. */
static bool take_out(struct model_object *object, unsigned place, bool with, bool without)
{
	static struct model_object old;
	bool some = false;

	old = *object;
	memset(object->configurations, 0, sizeof(object->configurations));
	object->pending[place] = (struct model_pending){0};
	for (unsigned mask = 0; mask < MASKS; mask++) {
		for (unsigned state = 0; state < MODEL_STATES; state++) {
			if (!has(&old, state, mask) || !(mask & 1u << place ? with : without))
				continue;
			add(object, state, mask & ~(1u << place));
			some = true;
		}
	}
	return some;
}

void model_open(struct model *model)
{
	*model = (struct model){0};
	for (unsigned i = 0; i < MODEL_OBJECTS; i++)
		add(&model->objects[i], MODEL_ABSENT, 0);
}

static bool concerns(const struct model_request *request, unsigned object)
{
	if (object == request->object || (request->with_other && object == request->other))
		return true;
	return request->act == MODEL_DELETE && is_instance(request->object) && !is_instance(object);
}

/* An instance that is created with a volume is a volume that is attached. */
static struct model_pending seen_by(const struct model_request *request, unsigned object)
{
	struct model_pending pending = {.act = request->act, .used = true};

	if (object != request->object)
		pending.act = request->act == MODEL_DELETE ? MODEL_TERMINATE : MODEL_ATTACH;
	if (!is_instance(object))
		pending.other = is_instance(request->object) ? request->object : request->other;
	return pending;
}

static int find_place(const struct model_object *object)
{
	for (int i = 0; i < (int)MODEL_PENDING; i++) {
		if (!object->pending[i].used)
			return i;
	}
	return -1;
}

bool model_begin(struct model *model, struct model_request *request, uint64_t now)
{
	for (unsigned i = 0; i < MODEL_OBJECTS; i++) {
		request->places[i] = -1;
		if (concerns(request, i) && find_place(&model->objects[i]) < 0)
			return false;
	}
	request->begun = now;
	for (unsigned i = 0; i < MODEL_OBJECTS; i++) {
		struct model_object *object = &model->objects[i];

		if (!concerns(request, i))
			continue;
		note_absent(object, now);
		request->places[i] = (int8_t)find_place(object);
		object->pending[request->places[i]] = seen_by(request, i);
		close_over(object, is_instance(i));
		note_absent(object, now);
	}
	return true;
}

static void fail(struct model *model, unsigned object, const char *what)
{
	if (!model->failure[0])
		snprintf(model->failure, sizeof(model->failure), "%s %u: %s",
			 is_instance(object) ? "instance" : "volume",
			 is_instance(object) ? object : object - MODEL_INSTANCES, what);
}

/* Of a refusal: whether something that it is about may have been absent meanwhile. */
static bool may_miss(const struct model *model, const struct model_request *request)
{
	return model->objects[request->object].absent >= request->begun ||
	       (request->with_other && model->objects[request->other].absent >= request->begun);
}

void model_end(struct model *model, const struct model_request *request, enum model_result result,
	       uint64_t now)
{
	for (unsigned i = 0; i < MODEL_OBJECTS; i++) {
		struct model_object *object = &model->objects[i];

		if (request->places[i] < 0)
			continue;
		note_absent(object, now);
		if (result == MODEL_UNKNOWN)
			object->pending[request->places[i]].ends = now + MODEL_SETTLES;
		else if (!take_out(object, (unsigned)request->places[i], result == MODEL_DONE,
				   result != MODEL_DONE))
			fail(model, i, "no order of the requests explains this answer");
		note_absent(object, now);
	}
	if (result == MODEL_NOT_FOUND && !may_miss(model, request))
		fail(model, request->object, "was lost: it was not found");
}

void model_forget(struct model *model, uint64_t now)
{
	for (unsigned i = 0; i < MODEL_OBJECTS; i++) {
		struct model_object *object = &model->objects[i];

		for (unsigned j = 0; j < MODEL_PENDING; j++) {
			if (object->pending[j].ends && object->pending[j].ends <= now)
				take_out(object, j, true, true);
		}
	}
}

bool model_allows(const struct model *model, unsigned object, unsigned state)
{
	for (unsigned mask = 0; mask < MASKS; mask++) {
		if (has(&model->objects[object], state, mask))
			return true;
	}
	return false;
}

unsigned model_choices(const struct model *model, unsigned object)
{
	unsigned count = 0;

	for (unsigned state = 0; state < MODEL_STATES; state++)
		count += model_allows(model, object, state);
	return count;
}
