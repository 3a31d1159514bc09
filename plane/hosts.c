/* SPDX-License-Identifier: Apache-2.0 */
#include "hosts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "host.h"
#include "list.h"
#include "os/clock.h"

#define KIND "hosts"

static struct host **bucket_of(struct hosts *hosts, const char *name)
{
	uint32_t hash = 2166136261u; /* FNV-1a */

	for (; *name; name++)
		hash = (hash ^ (uint8_t)*name) * 16777619u;
	return &hosts->names[hash % HOSTS_BUCKETS];
}

/* The fleet asks for that of each instance and volume, again and again. */
static struct host *find(const struct hosts *hosts, const char *name)
{
	struct host *host = *bucket_of((struct hosts *)(uintptr_t)hosts, name);

	while (host && strcmp(host->name, name) != 0)
		host = host->next_name;
	return host;
}

static int add(struct hosts *hosts, const json_t *doc, struct error *error)
{
	struct host *host, **bucket;

	if (hosts->count == HOSTS_MOST)
		return error_set(error, EBUSY, "there are %u hosts already", HOSTS_MOST);
	host = host_make(hosts, doc, error);
	if (!host)
		return -error->code;
	host->next = hosts->first;
	hosts->first = host;
	bucket = bucket_of(hosts, host->name);
	host->next_name = *bucket;
	*bucket = host;
	hosts->count++;
	return 0;
}

/* NULL is allowed. */
static void drop(struct hosts *hosts, struct host *host)
{
	struct host **at = &hosts->first;

	if (!host)
		return;
	while (*at != host)
		at = &(*at)->next;
	*at = host->next;
	at = bucket_of(hosts, host->name);
	while (*at != host)
		at = &(*at)->next_name;
	*at = host->next_name;
	hosts->count--;
	host_free(host);
}

static int fill(void *context, const json_t *doc, struct error *error)
{
	return add(context, doc, error);
}

int hosts_open(const struct hosts_setup *setup, struct hosts **hosts, struct error *error)
{
	struct hosts *made = calloc(1, sizeof(*made));
	int ret;

	if (!made)
		return error_set(error, ENOMEM, "out of memory");
	made->setup = *setup;
	ret = doc_each(setup->store, KIND, fill, made, error);
	if (ret < 0) {
		hosts_close(made);
		return ret;
	}
	*hosts = made;
	return 0;
}

void hosts_close(struct hosts *hosts)
{
	if (!hosts)
		return;
	while (hosts->first)
		drop(hosts, hosts->first);
	free(hosts);
}

int hosts_turn(struct hosts *hosts)
{
	uint64_t now = os_now() / NS_PER_MS;
	int pause = HOSTS_ASK_MS;

	for (struct host *host = hosts->first, *after; host; host = after) {
		int next;

		after = host->next;
		next = host_turn(host, now);
		pause = next < pause ? next : pause;
	}
	return pause;
}

int hosts_changed(struct hosts *hosts, const char *name, struct error *error)
{
	json_t *doc;
	int ret = doc_read(hosts->setup.store, KIND, name, &doc, error);

	struct host *host = find(hosts, name);

	if (ret < 0 && ret != -ENOENT)
		return ret;
	if (ret < 0 || (host && strcmp(host->uid, doc_uid(doc)) != 0))
		drop(hosts, host);
	if (ret < 0)
		return 0;
	host = find(hosts, name);
	ret = host ? host_again(host, doc, error) : add(hosts, doc, error);
	json_decref(doc);
	return ret;
}

bool hosts_are_all(const struct hosts *hosts)
{
	return hosts->count >= HOSTS_MOST;
}

void hosts_show(struct hosts *hosts, json_t *doc)
{
	static const char *const shown[] = {
		"release",     "signer",	"version",	 "attestation",
		"cpus",	       "cpus_promised", "memory",	 "memory_promised",
		"memory_free", "instances",	"instances_most"};
	const struct host *host = find(hosts, doc_name(doc));
	json_t *status = json_object_get(doc, "status");

	json_object_del(status, "attestation_key");
	for (size_t i = 0; host && i < ARRAY_LEN(shown); i++) {
		json_t *value = json_object_get(host->report, shown[i]);

		if (value)
			json_object_set(status, shown[i], value);
	}
	if (host && host->evidence.heard)
		json_object_set_new(
			status, "heard_ms_ago",
			json_integer((json_int_t)(os_now() / NS_PER_MS - host->evidence.heard)));
}

void hosts_count(const struct hosts *hosts, unsigned counts[HOSTS_STATES])
{
	memset(counts, 0, HOSTS_STATES * sizeof(counts[0]));
	for (const struct host *host = hosts->first; host; host = host->next)
		counts[host->verdict.state]++;
}

bool hosts_has(const struct hosts *hosts, const char *name)
{
	return find(hosts, name);
}

struct trust_verdict hosts_verdict(const struct hosts *hosts, const char *name)
{
	const struct host *host = find(hosts, name);

	if (host)
		return host->verdict;
	return (struct trust_verdict){.state = TRUST_UNREACHABLE,
				      .why = "its host was removed from the fleet"};
}

unsigned hosts_room(const struct hosts *hosts, const char *name)
{
	const struct host *host = find(hosts, name);

	return host && host->caller ? HOST_PENDING - host->pending_count : 0;
}

void hosts_each(const struct hosts *hosts, void (*fn)(void *context, const struct hosts_view *view),
		void *context)
{
	for (const struct host *host = hosts->first; host; host = host->next) {
		const struct hosts_view view = {host->name, host->labels, host->report,
						host->verdict};

		fn(context, &view);
	}
}

int hosts_ask(struct hosts *hosts, const char *name, const struct control_request *request,
	      unsigned seconds, call_done_fn done, void *context, struct error *error)
{
	struct host *host = find(hosts, name);

	if (!host)
		return error_set(error, ENOENT, "there is no host %s", name);
	if (!host->caller)
		return error_set(error, EHOSTDOWN, "host %s is not enrolled yet", name);
	return host_ask(host, request, seconds, done, context, error);
}
