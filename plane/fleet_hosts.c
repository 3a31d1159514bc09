/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/rand.h>

#include "base/base.h"
#include "fleet_private.h"

#define ANSWER_SECONDS 10u

struct fleet_host *fleet_host(struct fleet *fleet, const char *name)
{
	struct fleet_host *host = fleet->hosts;

	while (host && strcmp(host->name, name) != 0)
		host = host->next;
	if (host)
		return host;
	host = calloc(1, sizeof(*host));
	if (!host)
		return NULL;
	snprintf(host->name, sizeof(host->name), "%s", name);
	host->next = fleet->hosts;
	fleet->hosts = host;
	return host;
}

void fleet_put_on(struct entry *entry, struct fleet_host *host)
{
	struct entry **at = entry->host ? &entry->host->entries : NULL;

	while (at && *at != entry)
		at = &(*at)->next_here;
	if (at)
		*at = entry->next_here;
	entry->host = host;
	if (!host)
		return;
	entry->next_here = host->entries;
	host->entries = entry;
}

void fleet_hosts_free(struct fleet *fleet)
{
	while (fleet->hosts) {
		struct fleet_host *host = fleet->hosts;

		fleet->hosts = host->next;
		json_decref(host->seen);
		free(host);
	}
}

/* ---- what they have ---- */

static enum instance_seen seen_as(const char *state)
{
	static const struct {
		const char *name;
		enum instance_seen seen;
	} states[] = {
		{"starting", INSTANCE_RUNS}, {"running", INSTANCE_RUNS},
		{"paused", INSTANCE_RUNS},   {"ending", INSTANCE_RUNS},
		{"ended", INSTANCE_ENDED},   {"restarting", INSTANCE_RESTARTS},
		{"failed", INSTANCE_FAILED}, {"waiting for keys", INSTANCE_KEYLESS},
	};

	for (size_t i = 0; i < ARRAY_LEN(states); i++) {
		if (!strcmp(states[i].name, state))
			return states[i].seen;
	}
	return INSTANCE_UNSEEN;
}

void fleet_see(struct entry *instance)
{
	const struct fleet_host *host = instance->host;
	char name[RECORDS_NAME_MAX];
	const json_t *told;

	if (!host || !host->seen || host->seen_asked <= instance->sight.asked)
		return;
	instance_host_name(instance->name, instance->uid_text, name);
	told = json_object_get(host->seen, name);
	instance->sight = (struct instance_sight){.state = told ? seen_as(doc_text(told, "state"))
								: INSTANCE_ABSENT,
						  .asked = host->seen_asked};
	json_decref(instance->cards);
	instance->cards = json_incref(json_object_get(told, "cards"));
	instance->restarts = doc_number(told, "restarts");
	snprintf(instance->told, sizeof(instance->told), "%s", doc_text(told, "text"));
}

enum volume_seen fleet_sees_card(const struct entry *instance, const struct entry *volume)
{
	char name[RECORDS_CARD_MAX + 1];
	const json_t *card;
	size_t i;

	if (instance->sight.state == INSTANCE_UNSEEN)
		return VOLUME_UNSEEN;
	volume_card_name(volume->uid_text, name);
	json_array_foreach(instance->cards, i, card)
	{
		if (strcmp(doc_text(card, "name"), name) != 0)
			continue;
		return strcmp(doc_text(card, "state"), "failed") != 0 ? VOLUME_CARD
								      : VOLUME_FAILED_CARD;
	}
	return VOLUME_NO_CARD;
}

struct trust_verdict fleet_verdict(const struct entry *entry)
{
	struct trust_verdict none = {.state = TRUST_UNREACHABLE, .why = "it has no host"};

	return entry->host ? hosts_verdict(*entry->fleet->setup.hosts, entry->host->name) : none;
}

bool fleet_is_lost(const struct entry *entry)
{
	return entry->host && !hosts_has(*entry->fleet->setup.hosts, entry->host->name);
}

/* ---- asking ---- */

/* A question outlives what it is about. */
struct question {
	struct fleet *fleet;
	char host[DOC_NAME_MAX + 1];
	uint64_t asked;
};

static json_t *by_name(const json_t *list)
{
	json_t *seen = json_object();
	json_t *told;
	size_t i;

	json_array_foreach(list, i, told)
	{
		json_object_set(seen, doc_text(told, "name"), told);
	}
	return seen;
}

static void touch_all(const struct fleet_host *host)
{
	for (struct entry *entry = host->entries; entry; entry = entry->next_here)
		fleet_due(entry, 0);
}

/* Of one that is silent, or may not be used any more, no list tells. */
static void look_at_verdict(struct fleet *fleet, struct fleet_host *host)
{
	struct trust_verdict before = host->verdict;

	host->verdict = hosts_verdict(*fleet->setup.hosts, host->name);
	if (before.state != host->verdict.state || before.reachable != host->verdict.reachable ||
	    before.usable != host->verdict.usable || before.keys != host->verdict.keys)
		touch_all(host);
}

static void on_list(void *context, const struct control_answer *answer, const struct error *error)
{
	struct question *question = context;
	struct fleet *fleet = question->fleet;
	struct fleet_host *host = fleet_host(fleet, question->host);
	json_t *result = NULL, *list;

	(void)error;
	if (answer && !answer->code)
		result = json_loadb(answer->result, answer->result_length, JSON_REJECT_DUPLICATES,
				    NULL);
	list = json_object_get(result, "instances");
	if (host)
		host->asking = false;
	if (host && json_is_array(list) && question->asked > host->seen_asked) {
		json_decref(host->seen);
		host->seen = by_name(list);
		host->seen_asked = question->asked;
		touch_all(host);
	}
	json_decref(result);
	free(question);
}

static void ask(struct fleet *fleet, struct fleet_host *host, uint64_t now)
{
	struct control_request request = {.verb = control_verb_find("list", 4)};
	struct question *question = malloc(sizeof(*question));
	struct error error = {0};

	host->asked = now;
	host->look = false;
	look_at_verdict(fleet, host);
	if (!question || RAND_bytes(request.id, sizeof(request.id)) != 1) {
		free(question);
		return;
	}
	*question = (struct question){.fleet = fleet, .asked = now};
	snprintf(question->host, sizeof(question->host), "%s", host->name);
	host->asking = true;
	if (hosts_ask(*fleet->setup.hosts, host->name, &request, ANSWER_SECONDS, on_list, question,
		      &error) == 0)
		return;
	host->asking = false;
	free(question);
}

uint64_t fleet_hosts_turn(struct fleet *fleet, uint64_t now)
{
	uint64_t next = FLEET_LIST_MS;

	for (struct fleet_host *host = fleet->hosts; host; host = host->next) {
		uint64_t pause = host->look ? FLEET_LOOK_MS : FLEET_LIST_MS;

		if (!host->entries)
			continue;
		if (!host->asking && now - host->asked >= pause)
			ask(fleet, host, now);
		else if (!host->asking)
			next = min_u64(next, pause - (now - host->asked));
	}
	return next;
}
