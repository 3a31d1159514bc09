/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a fleet may have become, by what its clients were answered: of each instance and volume a
 * set of states, any of which can be explained by some order of the requests for it. A request has
 * its effect at one moment between begin and its answer, or none if it was refused; one without an
 * answer may have had it until it is forgotten, or not at all.
 *
 * Knows nothing of how a plane does it. One caller at a time.
 */
#ifndef KARUTA_TESTS_FLEET_MODEL_H
#define KARUTA_TESTS_FLEET_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#define MODEL_INSTANCES 6u
#define MODEL_VOLUMES	8u
#define MODEL_OBJECTS	(MODEL_INSTANCES + MODEL_VOLUMES) /* the instances are first */
#define MODEL_PENDING	12u				  /* requests for one object at once */
#define MODEL_SETTLES	UINT64_C(4000) /* ms until no request that was cut off has an effect */

/* Of an instance: absent, running, stopped (what is wanted of it). Of a volume: absent, free, or
 * MODEL_HELD + the instance that it is attached to. */
enum model_state { MODEL_ABSENT, MODEL_RUNNING, MODEL_STOPPED, MODEL_FREE = 1, MODEL_HELD = 2 };
#define MODEL_STATES (MODEL_HELD + MODEL_INSTANCES)

enum model_act {
	MODEL_CREATE,
	MODEL_START,
	MODEL_STOP,
	MODEL_REBOOT,
	MODEL_ATTACH, /* to `other` */
	MODEL_DETACH,
	MODEL_DELETE,	/* terminate, of an instance */
	MODEL_TERMINATE /* of `other`, seen by a volume */
};

enum model_result { MODEL_DONE, MODEL_REFUSED, MODEL_NOT_FOUND, MODEL_UNKNOWN };

struct model_object {
	struct model_pending {
		enum model_act act;
		unsigned other;
		bool used;
		uint64_t ends; /* ms; 0: it waits for its answer */
	} pending[MODEL_PENDING];
	/* Bit n of configurations[state]: see fleet_model.c. */
	uint64_t configurations[MODEL_STATES][(1u << MODEL_PENDING) / 64];
	uint64_t absent; /* ms, when it may have been absent last */
};

struct model {
	struct model_object objects[MODEL_OBJECTS];
	char failure[256]; /* "": none */
};

/* A request under way. */
struct model_request {
	enum model_act act;
	unsigned object, other; /* of an attach, or a volume that an instance is created with */
	bool with_other;
	uint64_t begun;
	int8_t places[MODEL_OBJECTS]; /* in pending; -1: none */
};

void model_open(struct model *model);
/* False: too many are under way, nothing was done. `request` has what it is; places are set. */
bool model_begin(struct model *model, struct model_request *request, uint64_t now);
void model_end(struct model *model, const struct model_request *request, enum model_result result,
	       uint64_t now);
/* What was cut off longer than MODEL_SETTLES ago is forgotten. */
void model_forget(struct model *model, uint64_t now);
bool model_allows(const struct model *model, unsigned object, unsigned state);
/* How many states it may be in. */
unsigned model_choices(const struct model *model, unsigned object);

#endif
