/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instances and volumes, made what they are wanted to be: what the store has of them is kept
 * decoded in memory, the hosts that they are on are asked what they have, and one step after the
 * other (core/instance.h, core/volume.h) is stored, sent, and its answer stored again.
 *
 * Handlers never wait for any of it: they change "want" of a document (records.h) and commit that;
 * the fleet hears of each commit. One thread owns it.
 */
#ifndef KARUTA_PLANE_FLEET_H
#define KARUTA_PLANE_FLEET_H

#include "core/place.h"
#include "events.h"
#include "hosts.h"
#include "images.h"
#include "keys.h"
#include "records.h"

#define FLEET_LIST_MS 1000u /* a host that has something of ours is asked what, that often */
#define FLEET_LOOK_MS 250u  /* and that soon when somebody waits for it */

struct fleet;

struct fleet_setup {
	struct store *store;
	struct events *events;
	struct hosts **hosts; /* replaced when the plane's certificate is */
	struct keys *keys;
	struct images *images;
};

/* What the store has. Documents of a plane before this one are gone on with. */
int fleet_open(const struct fleet_setup *setup, struct fleet **fleet, struct error *error);
/* NULL is allowed. */
void fleet_close(struct fleet *fleet);
/* Does what is due. Returns after how many ms it is to be called at the latest. */
int fleet_turn(struct fleet *fleet);
/* Of what a commit has changed: of the store's watcher. */
void fleet_tell(struct fleet *fleet, const struct store_item *item);

/* ms since 1970, which do not go back in one life of the plane: the clock of all records. */
uint64_t fleet_now(const struct fleet *fleet);

/* ---- for handlers ---- */

/* A volume of an instance: wanted there (`slot` is the one wanted), or still bound to it. */
struct fleet_volume {
	const char *name, *uid;
	uint8_t slot;
	bool wanted, bound;
	const char *state; /* as people are shown it */
};

/* In no order; at most 2 * VOLUME_SLOTS. There until the next call of the fleet or the store. */
size_t fleet_volumes_of(const struct fleet *fleet, const uint8_t instance[ATTEMPT_UID_SIZE],
			struct fleet_volume list[2 * VOLUME_SLOTS]);
/* How many documents of a kind there are: "instances", "volumes", "snapshots". */
size_t fleet_total(const struct fleet *fleet, const char *kind);
/* Something is on the host of that name, or may be. */
bool fleet_is_on(const struct fleet *fleet, const char *host);
/* How the hosts stand, for place_choose(): the caller's, free(). NULL: out of memory. */
struct place_host *fleet_hosts(struct fleet *fleet, size_t *count);
/* How many there are in each state of "instances", "volumes" or "snapshots". */
#define FLEET_STATES 16u
struct fleet_count {
	const char *state; /* there until the next call of the fleet or the store */
	size_t count;
};
size_t fleet_count(const struct fleet *fleet, const char *kind,
		   struct fleet_count list[FLEET_STATES]);
/* Into a document that is shown: of an instance, its "volumes". */
void fleet_show_instance(const struct fleet *fleet, json_t *doc);
/* {"steps": [...]} of the volume's last attach; NULL: there was none in this life of the plane. */
json_t *fleet_trace(const struct fleet *fleet, const char *volume);
/* A handler has just been asked for an attach: its trace begins. */
void fleet_trace_begin(struct fleet *fleet, const char *volume);

#endif
