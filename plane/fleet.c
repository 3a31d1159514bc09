/* SPDX-License-Identifier: Apache-2.0 */
#include "fleet_private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/rand.h>

#include "base/base.h"
#include "list.h"
#include "os/clock.h"

#define TURN_MS	 5u    /* clients are to have their turn as well */
#define RETRY_MS 1000u /* what could not be stored */
#define PAUSE_MS 1000u /* at most, between two turns */

const char *const fleet_kinds[] = {
	[FLEET_INSTANCE] = "instances", [FLEET_VOLUME] = "volumes", [FLEET_SNAPSHOT] = "snapshots"};

/* ---- tables ---- */

static unsigned bucket_of_name(const char *name)
{
	uint32_t hash = 2166136261u; /* FNV-1a */

	for (; *name; name++)
		hash = (hash ^ (uint8_t)*name) * 16777619u;
	return hash % FLEET_BUCKETS;
}

/* Random bytes already. */
static unsigned bucket_of_uid(const uint8_t uid[ATTEMPT_UID_SIZE])
{
	return (unsigned)(uid[0] << 8 | uid[1]) % FLEET_BUCKETS;
}

struct entry *fleet_find(const struct fleet *fleet, enum fleet_kind kind, const char *name)
{
	struct entry *entry = fleet->names[kind][bucket_of_name(name)];

	while (entry && strcmp(entry->name, name) != 0)
		entry = entry->next_name;
	return entry;
}

struct entry *fleet_find_uid(const struct fleet *fleet, enum fleet_kind kind,
			     const uint8_t uid[ATTEMPT_UID_SIZE])
{
	struct entry *entry = fleet->uids[kind][bucket_of_uid(uid)];

	while (entry && memcmp(entry->uid, uid, ATTEMPT_UID_SIZE) != 0)
		entry = entry->next_uid;
	return entry;
}

static void link_entry(struct fleet *fleet, struct entry *entry)
{
	struct entry **name = &fleet->names[entry->kind][bucket_of_name(entry->name)];
	struct entry **uid = &fleet->uids[entry->kind][bucket_of_uid(entry->uid)];

	entry->next_name = *name;
	*name = entry;
	entry->next_uid = *uid;
	*uid = entry;
	entry->next = fleet->entries;
	fleet->entries = entry;
	fleet->counts[entry->kind]++;
}

static void unlink_entry(struct fleet *fleet, struct entry *entry)
{
	struct entry **at = &fleet->names[entry->kind][bucket_of_name(entry->name)];

	while (*at != entry)
		at = &(*at)->next_name;
	*at = entry->next_name;
	at = &fleet->uids[entry->kind][bucket_of_uid(entry->uid)];
	while (*at != entry)
		at = &(*at)->next_uid;
	*at = entry->next_uid;
	at = &fleet->entries;
	while (*at != entry)
		at = &(*at)->next;
	*at = entry->next;
	fleet->counts[entry->kind]--;
}

size_t fleet_total(const struct fleet *fleet, const char *kind)
{
	for (enum fleet_kind at = 0; at < ARRAY_LEN(fleet->counts); at++) {
		if (!strcmp(fleet_kinds[at], kind))
			return fleet->counts[at];
	}
	return 0;
}

bool fleet_is_on(const struct fleet *fleet, const char *name)
{
	const struct fleet_host *host = fleet->hosts;

	while (host && strcmp(host->name, name) != 0)
		host = host->next;
	return host && host->entries;
}

/* ---- who holds what ---- */

static void let_go(struct fleet *fleet, struct holding *holding)
{
	struct holding **at = &fleet->holdings[bucket_of_uid(holding->holder)];

	if (!holding->linked)
		return;
	while (*at != holding)
		at = &(*at)->next;
	*at = holding->next;
	holding->linked = false;
}

static void hold(struct fleet *fleet, struct entry *volume, struct holding *holding,
		 const uint8_t holder[ATTEMPT_UID_SIZE])
{
	struct holding **at = &fleet->holdings[bucket_of_uid(holder)];

	memcpy(holding->holder, holder, ATTEMPT_UID_SIZE);
	holding->volume = volume;
	holding->linked = true;
	holding->next = *at;
	*at = holding;
}

static bool is_bound(const struct entry *volume)
{
	return volume->volume_record.state >= VOLUME_ATTACHING &&
	       volume->volume_record.state <= VOLUME_DETACHING;
}

bool fleet_is_wanted_by(const struct entry *volume, const uint8_t instance[ATTEMPT_UID_SIZE])
{
	return volume->volume_want.held &&
	       !memcmp(volume->volume_want.holder, instance, ATTEMPT_UID_SIZE);
}

bool fleet_is_bound_to(const struct entry *volume, const uint8_t instance[ATTEMPT_UID_SIZE])
{
	return is_bound(volume) &&
	       !memcmp(volume->volume_record.holder, instance, ATTEMPT_UID_SIZE);
}

void fleet_each_volume(const struct fleet *fleet, const uint8_t instance[ATTEMPT_UID_SIZE],
		       void (*fn)(void *context, struct entry *volume), void *context)
{
	const struct holding *holding = fleet->holdings[bucket_of_uid(instance)];

	for (; holding; holding = holding->next) {
		struct entry *volume = holding->volume;
		bool twice = holding == &volume->bound && fleet_is_wanted_by(volume, instance);

		if (!twice && !memcmp(holding->holder, instance, ATTEMPT_UID_SIZE))
			fn(context, volume);
	}
}

static void link_holders(struct fleet *fleet, struct entry *volume)
{
	if (volume->volume_want.held)
		hold(fleet, volume, &volume->wanted, volume->volume_want.holder);
	if (is_bound(volume))
		hold(fleet, volume, &volume->bound, volume->volume_record.holder);
}

/* ---- who is due ---- */

static void put_now(struct fleet *fleet, struct entry *entry)
{
	if (entry->at_now)
		return;
	entry->next_now = NULL;
	entry->at_now = fleet->now_end;
	*fleet->now_end = entry;
	fleet->now_end = &entry->next_now;
}

static void take_now(struct fleet *fleet, struct entry *entry)
{
	if (!entry->at_now)
		return;
	*entry->at_now = entry->next_now;
	if (entry->next_now)
		entry->next_now->at_now = entry->at_now;
	else
		fleet->now_end = entry->at_now;
	entry->at_now = NULL;
}

/* What is due now is most of it, and not to be looked for among all. */
void fleet_due(struct entry *entry, uint64_t at)
{
	if (!at) {
		put_now(entry->fleet, entry);
		return;
	}
	entry->due = min_u64(entry->due, at);
	entry->fleet->soonest = min_u64(entry->fleet->soonest, at);
}

static void touch_volume(void *context, struct entry *volume)
{
	(void)context;
	fleet_due(volume, 0);
}

static void touch_holder(struct fleet *fleet, const struct holding *holding)
{
	struct entry *instance =
		holding->linked ? fleet_find_uid(fleet, FLEET_INSTANCE, holding->holder) : NULL;

	if (instance)
		fleet_due(instance, 0);
}

void fleet_touch(struct entry *entry)
{
	fleet_due(entry, 0);
	if (entry->kind == FLEET_INSTANCE) {
		fleet_each_volume(entry->fleet, entry->uid, touch_volume, NULL);
	} else {
		touch_holder(entry->fleet, &entry->wanted);
		touch_holder(entry->fleet, &entry->bound);
	}
}

/* ---- documents ---- */

static void free_entry(struct fleet *fleet, struct entry *entry)
{
	let_go(fleet, &entry->wanted);
	let_go(fleet, &entry->bound);
	fleet_put_on(entry, NULL);
	take_now(fleet, entry);
	unlink_entry(fleet, entry);
	if (fleet->cursor == entry)
		fleet->cursor = entry->next;
	json_decref(entry->doc);
	json_decref(entry->cards);
	free(entry->trace);
	free(entry);
}

static int decode_instance(struct entry *entry, struct error *error)
{
	int ret = instance_want_read(entry->doc, &entry->instance_want, error);

	if (ret == 0)
		ret = instance_record_read(entry->doc, &entry->instance_record, error);
	return ret;
}

static int decode_volume(struct entry *entry, struct error *error)
{
	int ret = volume_want_read(entry->doc, &entry->volume_want, error);

	if (ret == 0)
		ret = volume_record_read(entry->doc, &entry->volume_record, error);
	return ret;
}

/* Written by a plane that was here before. */
static void resume(struct entry *entry, uint64_t now)
{
	if (!strcmp(doc_text(entry->doc, "writer"), entry->fleet->writer))
		return;
	if (entry->kind == FLEET_INSTANCE)
		instance_resume(&entry->instance_record, now);
	else
		volume_resume(&entry->volume_record, now);
}

static void decode(struct fleet *fleet, struct entry *entry)
{
	const char *host = doc_text(entry->doc, "status.host");
	struct error error = {0};
	int ret;

	let_go(fleet, &entry->wanted);
	let_go(fleet, &entry->bound);
	ret = entry->kind == FLEET_INSTANCE ? decode_instance(entry, &error)
					    : decode_volume(entry, &error);
	entry->broken = ret < 0;
	if (entry->broken) {
		fprintf(stderr, "karuta-plane: %s/%s\n", fleet_kinds[entry->kind], error.text);
		return;
	}
	resume(entry, fleet_now(fleet));
	if (!host[0] || !entry->host || strcmp(entry->host->name, host) != 0) {
		fleet_put_on(entry, host[0] ? fleet_host(fleet, host) : NULL);
		entry->sight = (struct instance_sight){0};
	}
	if (entry->kind != FLEET_INSTANCE)
		link_holders(fleet, entry);
	/* They are there decoded, and are a third of the memory of a document. */
	json_object_del(entry->doc, "want");
	json_object_del(entry->doc, "record");
	json_object_del(entry->doc, "writer");
}

static struct entry *make_entry(struct fleet *fleet, enum fleet_kind kind, const json_t *doc)
{
	struct entry *entry = calloc(1, sizeof(*entry));
	struct error error = {0};

	if (!entry)
		return NULL;
	entry->fleet = fleet;
	entry->kind = kind;
	entry->due = FLEET_NEVER;
	snprintf(entry->name, sizeof(entry->name), "%s", doc_name(doc));
	snprintf(entry->uid_text, sizeof(entry->uid_text), "%s", doc_uid(doc));
	if (record_uid(doc, entry->uid, &error) < 0) {
		fprintf(stderr, "karuta-plane: %s/%s\n", fleet_kinds[kind], error.text);
		free(entry);
		return NULL;
	}
	link_entry(fleet, entry);
	return entry;
}

static void take_doc(struct fleet *fleet, enum fleet_kind kind, json_t *doc)
{
	struct entry *entry = fleet_find(fleet, kind, doc_name(doc));

	/* Another of this name: what is under way for the first finds it gone by its uid. */
	if (entry && strcmp(entry->uid_text, doc_uid(doc)) != 0) {
		free_entry(fleet, entry);
		entry = NULL;
	}
	if (!entry)
		entry = make_entry(fleet, kind, doc);
	if (!entry) {
		json_decref(doc);
		return;
	}
	if (!fleet->opening)
		fleet_touch(entry);
	json_decref(entry->doc);
	entry->doc = doc;
	decode(fleet, entry);
	if (fleet->opening)
		fleet_due(entry, 0);
	else
		fleet_touch(entry);
}

void fleet_tell(struct fleet *fleet, const struct store_item *item)
{
	for (enum fleet_kind kind = FLEET_INSTANCE; kind < FLEET_KINDS; kind++) {
		size_t length = strlen(fleet_kinds[kind]);
		struct entry *entry;
		json_t *doc;

		if (strncmp(item->key, fleet_kinds[kind], length) != 0 || item->key[length] != '/')
			continue;
		if (item->value && list_item_json(item, &doc, NULL) == 0) {
			take_doc(fleet, kind, doc);
			return;
		}
		entry = fleet_find(fleet, kind, item->key + length + 1);
		if (!entry)
			return;
		/* Who has just stored it goes on with it. */
		entry->broken |= item->value != NULL;
		if (item->value)
			return;
		fleet_touch(entry);
		free_entry(fleet, entry);
		return;
	}
}

static json_t *with(const struct entry *entry)
{
	json_t *doc = json_deep_copy(entry->doc);

	if (doc)
		doc_set(doc, "writer", json_string(entry->fleet->writer));
	return doc;
}

json_t *fleet_with_instance(const struct entry *entry, const struct instance_record *record)
{
	json_t *doc = with(entry);

	if (doc && instance_want_write(doc, &entry->instance_want) == 0 &&
	    instance_record_write(doc, record) == 0)
		return doc;
	json_decref(doc);
	return NULL;
}

json_t *fleet_with_volume(const struct entry *entry, const struct volume_record *record)
{
	json_t *doc = with(entry);

	if (doc && volume_want_write(doc, &entry->volume_want) == 0 &&
	    volume_record_write(doc, record) == 0)
		return doc;
	json_decref(doc);
	return NULL;
}

void fleet_put(struct doc_batch *batch, const struct entry *entry, json_t *doc)
{
	if (doc)
		doc_put(batch, fleet_kinds[entry->kind], entry->name, doc,
			doc_revision(entry->doc));
	else
		batch->failed = batch->failed ? batch->failed : -ENOMEM;
	json_decref(doc);
}

bool fleet_commit(struct fleet *fleet, struct doc_batch *batch, const struct entry *entry)
{
	struct error error = {0};
	uint64_t revision;

	if (doc_commit(batch, fleet->setup.store, &revision, &error) == 0)
		return true;
	fprintf(stderr, "karuta-plane: %s/%s: %s\n", fleet_kinds[entry->kind], entry->name,
		error.text);
	fleet_due((struct entry *)(uintptr_t)entry, fleet_now(fleet) + RETRY_MS);
	return false;
}

/* ---- its life ---- */

uint64_t fleet_now(const struct fleet *fleet)
{
	return (uint64_t)((int64_t)(os_now() / NS_PER_MS) + fleet->offset);
}

uint64_t fleet_random(void)
{
	uint64_t random = 0;

	/* Without chance all pauses are as long as they may be: no harm. */
	if (RAND_bytes((unsigned char *)&random, sizeof(random)) != 1)
		return 0;
	return random;
}

struct filling {
	struct fleet *fleet;
	enum fleet_kind kind;
	struct error *error;
};

/* One that was left out would be taken for one that is gone, and so for down. */
static int fill(void *context, const struct store_item *item)
{
	const struct filling *filling = context;

	fleet_tell(filling->fleet, item);
	if (fleet_find(filling->fleet, filling->kind, strchr(item->key, '/') + 1))
		return 0;
	return error_set(filling->error, EBADMSG,
			 "%s: not what was written; restore the plane's database from a backup",
			 item->key);
}

static int read_all(struct fleet *fleet, struct error *error)
{
	int ret = 0;

	fleet->opening = true;
	for (enum fleet_kind kind = FLEET_INSTANCE; ret == 0 && kind < FLEET_KINDS; kind++) {
		struct filling filling = {fleet, kind, error};
		char prefix[16];

		snprintf(prefix, sizeof(prefix), "%s/", fleet_kinds[kind]);
		ret = store_list(fleet->setup.store, prefix, NULL, SIZE_MAX, fill, &filling, error);
	}
	fleet->opening = false;
	return ret;
}

int fleet_open(const struct fleet_setup *setup, struct fleet **fleet, struct error *error)
{
	struct fleet *made = calloc(1, sizeof(*made));
	uint8_t life[ATTEMPT_UID_SIZE];
	struct timespec now;
	int ret;

	if (!made)
		return error_set(error, ENOMEM, "out of memory");
	made->setup = *setup;
	made->soonest = FLEET_NEVER;
	made->now_end = &made->now;
	clock_gettime(CLOCK_REALTIME, &now);
	made->offset = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 -
		       (int64_t)(os_now() / NS_PER_MS);
	ret = RAND_bytes(life, sizeof(life)) == 1 ? 0 : error_set(error, EIO, "no randomness");
	record_uid_text(life, made->writer);
	if (ret == 0)
		ret = read_all(made, error);
	if (ret < 0) {
		fleet_close(made);
		return ret;
	}
	*fleet = made;
	return 0;
}

void fleet_close(struct fleet *fleet)
{
	if (!fleet)
		return;
	while (fleet->entries)
		free_entry(fleet, fleet->entries);
	fleet_hosts_free(fleet);
	free(fleet);
}

static void turn_entry(struct entry *entry, uint64_t now)
{
	entry->due = FLEET_NEVER;
	if (entry->broken)
		return;
	if (entry->kind == FLEET_INSTANCE)
		fleet_turn_instance(entry, now);
	else
		fleet_turn_volume(entry, now);
}

static void turn_first(struct fleet *fleet, uint64_t now)
{
	struct entry *entry = fleet->now;

	take_now(fleet, entry);
	turn_entry(entry, now);
}

/* One pass over all, which may take several turns. A turn of an entry may free any, its own too. */
static void turn_next(struct fleet *fleet, uint64_t now)
{
	struct entry *entry = fleet->cursor;

	if (!entry) {
		fleet->soonest = FLEET_NEVER;
		fleet->cursor = fleet->entries;
		return;
	}
	fleet->cursor = entry->next;
	if (entry->due <= now)
		turn_entry(entry, now);
	else
		fleet->soonest = min_u64(fleet->soonest, entry->due);
}

int fleet_turn(struct fleet *fleet)
{
	uint64_t begun = fleet_now(fleet), now = begun, pause;

	fleet_hosts_turn(fleet, now);
	while (fleet->now || fleet->cursor || fleet->soonest <= now) {
		if (fleet->now)
			turn_first(fleet, now);
		if (fleet->cursor || fleet->soonest <= now)
			turn_next(fleet, now);
		now = fleet_now(fleet);
		if (now - begun >= TURN_MS)
			return 0;
	}
	/* Some of them are to be looked at now. */
	pause = fleet_hosts_turn(fleet, now);
	return (int)min_u64(pause, min_u64(PAUSE_MS, fleet->soonest - now));
}
