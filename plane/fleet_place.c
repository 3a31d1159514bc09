/* SPDX-License-Identifier: Apache-2.0 */
/* Where instances and volumes go: what is known of the hosts, for core/place.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "fleet_private.h"

#define INSTANCES_MOST 64u /* of a host that has not told */
#define OVERCOMMIT     4u  /* processors that are shared are promised so often */

/* ---- what they have ---- */

struct listing {
	struct fleet *fleet;
	struct place_host *hosts;
	size_t count, room;
	bool failed;
};

static void add_labels(struct place_host *host, const json_t *labels)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)labels, name, value)
	{
		if (host->label_count < PLACE_LABELS && json_is_string(value))
			host->labels[host->label_count++] =
				(struct place_label){name, json_string_value(value)};
	}
}

static bool grow(struct listing *listing)
{
	size_t room = listing->room ? 2 * listing->room : 16;
	struct place_host *more = realloc(listing->hosts, room * sizeof(*more));

	listing->failed |= !more;
	if (!more)
		return false;
	listing->hosts = more;
	listing->room = room;
	return true;
}

static void add_host(void *context, const struct hosts_view *view)
{
	struct listing *listing = context;
	uint64_t most = doc_number(view->report, "instances_most");
	struct place_host *host;

	if (listing->count == listing->room && !grow(listing))
		return;
	host = &listing->hosts[listing->count++];
	*host = (struct place_host){
		.name = view->name,
		.usable = view->verdict.usable && view->report,
		.why_not = view->verdict.usable ? "silent about what it has"
						: trust_name(view->verdict.state),
		.memory = doc_number(view->report, "memory"),
		.cpus = (unsigned)doc_number(view->report, "cpus"),
		.cores = (unsigned)doc_number(view->report, "cores"),
		.overcommit = OVERCOMMIT,
		.instances_most = most ? (unsigned)most : INSTANCES_MOST,
	};
	add_labels(host, view->labels);
}

static struct place_host *find_listed(const struct listing *listing, const char *name)
{
	for (size_t i = 0; i < listing->count; i++) {
		if (!strcmp(listing->hosts[i].name, name))
			return &listing->hosts[i];
	}
	return NULL;
}

static void add_use(struct place_host *host, const struct entry *entry)
{
	unsigned cores = (unsigned)doc_number(entry->doc, "spec.cores");

	if (entry->kind != FLEET_INSTANCE || entry->instance_want.wanted != INSTANCE_RUNNING)
		return;
	host->memory_used += doc_number(entry->doc, "spec.memory");
	if (cores)
		host->cores_used += cores;
	else
		host->cpus_used += (unsigned)doc_number(entry->doc, "spec.cpus");
	host->instances++;
}

/* What was promised there: by what is placed, not by what the host tells, which may be of before.
 */
static void add_uses(struct listing *listing)
{
	for (const struct fleet_host *on = listing->fleet->hosts; on; on = on->next) {
		struct place_host *host = on->entries ? find_listed(listing, on->name) : NULL;

		for (const struct entry *entry = on->entries; host && entry;
		     entry = entry->next_here)
			add_use(host, entry);
	}
}

struct place_host *fleet_hosts(struct fleet *fleet, size_t *count)
{
	struct listing listing = {.fleet = fleet};

	hosts_each(*fleet->setup.hosts, add_host, &listing);
	if (!listing.failed && !listing.hosts)
		listing.hosts = calloc(1, sizeof(*listing.hosts));
	if (listing.failed) {
		free(listing.hosts);
		return NULL;
	}
	add_uses(&listing);
	*count = listing.count;
	return listing.hosts;
}

/* Where no instance with keys may go. */
static void only_with_keys(struct fleet *fleet, struct place_host *hosts, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!hosts[i].usable || hosts_verdict(*fleet->setup.hosts, hosts[i].name).keys)
			continue;
		hosts[i].usable = false;
		hosts[i].why_not = "not trusted with keys";
	}
}

/* Not where it was refused. */
static void only_others(struct place_host *hosts, size_t count, const char *not_there)
{
	for (size_t i = 0; not_there && i < count; i++) {
		if (!hosts[i].usable || strcmp(hosts[i].name, not_there) != 0)
			continue;
		hosts[i].usable = false;
		hosts[i].why_not = "refusing it";
	}
}

/* The host that fits best, or NULL: entry->nowhere says why none does. */
static struct fleet_host *choose(struct entry *entry, const struct place_want *want, bool keys,
				 const char *not_there)
{
	struct fleet *fleet = entry->fleet;
	size_t count = 0;
	CLEANUP_FREE struct place_host *hosts = fleet_hosts(fleet, &count);
	int found;

	if (!hosts) {
		snprintf(entry->nowhere, sizeof(entry->nowhere), "out of memory");
		return NULL;
	}
	if (keys)
		only_with_keys(fleet, hosts, count);
	only_others(hosts, count, not_there);
	found = place_choose(hosts, count, want, entry->nowhere, sizeof(entry->nowhere));
	if (found < 0)
		return NULL;
	entry->nowhere[0] = '\0';
	return fleet_host(fleet, hosts[found].name);
}

/* ---- an instance ---- */

/* Better elsewhere than where it was refused; but what was wrong there may be over, and no other
 * may ever fit. */
static struct fleet_host *choose_better(struct entry *entry, const struct place_want *want)
{
	bool keys = entry->instance_want.keys;
	struct fleet_host *host = NULL;

	if (entry->host)
		host = choose(entry, want, keys, entry->host->name);
	return host ? host : choose(entry, want, keys, NULL);
}

struct need {
	struct place_want want;
	bool scattered; /* its volumes are on more than one host */
};

static void need_volume(void *context, struct entry *volume)
{
	struct need *need = context;
	const char *host = volume->host ? volume->host->name : NULL;

	need->want.slots++;
	need->scattered |= host && need->want.host && strcmp(host, need->want.host) != 0;
	if (host)
		need->want.host = host;
}

static struct need need_of(const struct entry *entry)
{
	const char *host = doc_text(entry->doc, "spec.host");
	struct need need = {.want = {.host = host[0] ? host : NULL,
				     .memory = doc_number(entry->doc, "spec.memory"),
				     .cpus = (unsigned)doc_number(entry->doc, "spec.cpus"),
				     .whole_cores = doc_number(entry->doc, "spec.cores") != 0}};
	const char *name;
	json_t *value;

	json_object_foreach(doc_member(entry->doc, "spec.host_labels"), name, value)
	{
		if (need.want.label_count < PLACE_LABELS && json_is_string(value))
			need.want.labels[need.want.label_count++] =
				(struct place_label){name, json_string_value(value)};
	}
	fleet_each_volume(entry->fleet, entry->uid, need_volume, &need);
	return need;
}

struct settling {
	struct doc_batch *batch;
	const char *host;
};

/* A volume that is nowhere yet goes where its instance goes. */
static void settle_volume(void *context, struct entry *volume)
{
	struct settling *settling = context;
	json_t *doc;

	if (volume->host)
		return;
	volume->nowhere[0] = '\0';
	doc = fleet_with_volume(volume, &volume->volume_record);
	if (doc)
		doc_set(doc, "status.host", json_string(settling->host));
	fleet_put(settling->batch, volume, doc);
}

void fleet_place_instance(struct entry *entry, uint64_t now)
{
	struct fleet *fleet = entry->fleet;
	struct need need = need_of(entry);
	struct instance_record record = entry->instance_record;
	struct doc_batch batch = DOC_BATCH_NONE;
	struct fleet_host *host = NULL;
	struct settling settling;
	char object[DOC_NAME_MAX + 16];
	json_t *doc;

	if (need.scattered)
		snprintf(entry->nowhere, sizeof(entry->nowhere),
			 "its volumes are on different hosts");
	else
		host = choose_better(entry, &need.want);
	instance_placed(&record, host != NULL, now, fleet_random());
	doc = fleet_with_instance(entry, &record);
	if (doc && host)
		doc_set(doc, "status.host", json_string(host->name));
	fleet_put(&batch, entry, doc);
	if (host) {
		settling = (struct settling){&batch, host->name};
		fleet_each_volume(fleet, entry->uid, settle_volume, &settling);
	}
	if (host && host != entry->host) {
		snprintf(object, sizeof(object), "instances/%s", entry->name);
		events_add(fleet->setup.events, &batch, (int64_t)(now / 1000), "placed", object,
			   NULL, "instance %s is on host %s", entry->name, host->name);
	}
	fleet_commit(fleet, &batch, entry);
}

/* ---- a volume ---- */

#define AGAIN_MS 1000u

/* Where it has to be, or "": anywhere. NULL: it waits for its instance. */
static const char *host_of_volume(struct entry *entry)
{
	const char *host = doc_text(entry->doc, "spec.host");
	const struct entry *holder = fleet_holder(entry);

	if (host[0] || !holder)
		return host;
	return holder->host ? holder->host->name : NULL;
}

bool fleet_place_volume(struct entry *entry)
{
	const char *name = host_of_volume(entry);
	struct place_want want = {.host = name && name[0] ? name : NULL};
	struct doc_batch batch = DOC_BATCH_NONE;
	struct fleet_host *host;
	json_t *doc;

	if (!name) {
		snprintf(entry->nowhere, sizeof(entry->nowhere), "it goes where its instance goes");
		return false;
	}
	host = choose(entry, &want, true, NULL);
	if (!host) {
		fleet_due(entry, fleet_now(entry->fleet) + AGAIN_MS);
		return false;
	}
	doc = fleet_with_volume(entry, &entry->volume_record);
	if (doc)
		doc_set(doc, "status.host", json_string(host->name));
	fleet_put(&batch, entry, doc);
	fleet_commit(entry->fleet, &batch, entry);
	return true;
}
