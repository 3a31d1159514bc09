/* SPDX-License-Identifier: Apache-2.0 */
/* karuta top: what each instance and card reads and writes, from what hosts count. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api_private.h"
#include "base/base.h"
#include "base/size.h"
#include "interrupt.h"
#include "item.h"
#include "os/clock.h"
#include "size.h"
#include "table.h"

#define INTERVAL_MAX 3600u
#define RATES	     4u

static const char *const counters[RATES] = {"read_bytes", "write_bytes", "reads", "writes"};

struct top {
	struct api *api;
	const struct invocation *call;
	json_t *instances;    /* of the plane, for their names */
	json_t *before, *now; /* "host/instance/slot": counters */
	uint64_t then, at;    /* os_now() of them */
	json_t *rows;	      /* of --json */
	struct table table;
};

/* ---- names ---- */

/* Hosts know an instance by its name with a part of its identifier behind a '.'. */
static void name_of(char name[ITEM_TEXT], const json_t *instance)
{
	char *dot;

	snprintf(name, ITEM_TEXT, "%s", item_text(instance, NULL, "name"));
	dot = strrchr(name, '.');
	if (dot && dot != name)
		*dot = '\0';
}

/* What the plane has in that slot; else what the host calls the card. */
static const char *volume_of(const struct top *top, const char *name, const json_t *card)
{
	uint64_t slot = item_number(card, NULL, "slot");
	json_t *instance, *volume;
	size_t i, k;

	json_array_foreach(json_object_get(top->instances, "items"), i, instance)
	{
		if (strcmp(item_name(instance), name) != 0)
			continue;
		json_array_foreach(json_object_get(instance, "volumes"), k, volume)
		{
			if (item_number(volume, NULL, "slot") == slot)
				return item_text(volume, NULL, "volume");
		}
	}
	return item_text(card, NULL, "name");
}

/* ---- rates ---- */

/* -1: there was nothing to compare with; a card that was started again counts from 0. */
static double rate_of(const struct top *top, const char *key, const char *counter)
{
	const json_t *old = json_object_get(json_object_get(top->before, key), counter);
	const json_t *new = json_object_get(json_object_get(top->now, key), counter);
	json_int_t more = json_integer_value(new) - json_integer_value(old);

	if (!old || !new || top->at <= top->then)
		return -1;
	return more < 0 ? 0 : (double)more * (double)NS_PER_S / (double)(top->at - top->then);
}

static void format_rate(char text[ITEM_TEXT], double rate, bool is_bytes)
{
	char size[SIZE_TEXT];

	if (rate < 0)
		strcpy(text, "-");
	else if (is_bytes)
		snprintf(text, ITEM_TEXT, "%s", size_format(size, (uint64_t)rate));
	else
		snprintf(text, ITEM_TEXT, "%.0f", rate);
}

static void add_row(struct top *top, const char *host, const char *name, const json_t *instance,
		    const json_t *card)
{
	const char *volume = card ? volume_of(top, name, card) : "-";
	uint64_t slot = item_number(card, NULL, "slot");
	char key[3 * ITEM_TEXT], number[ITEM_TEXT] = "-", texts[RATES][ITEM_TEXT];
	const char *const row[] = {host,     name,     item_text(instance, NULL, "state"),
				   number,   volume,   texts[0],
				   texts[1], texts[2], texts[3]};
	json_t *rates = json_object();

	snprintf(key, sizeof(key), "%s/%s/%llu", host, item_text(instance, NULL, "name"),
		 (unsigned long long)slot);
	if (card)
		snprintf(number, sizeof(number), "%llu", (unsigned long long)slot);
	json_object_set(top->now, key, json_object_get(card, "counters"));
	for (size_t i = 0; i < RATES; i++) {
		double rate = rate_of(top, key, counters[i]);

		format_rate(texts[i], rate, i < 2);
		if (rate >= 0)
			json_object_set_new(rates, counters[i], json_real(rate));
	}
	table_add(&top->table, row);
	json_array_append_new(top->rows,
			      json_pack("{s:s, s:s, s:s, s:I, s:s, s:o}", "host", host, "instance",
					name, "state", row[2], "slot", (json_int_t)slot, "volume",
					volume, "per_second", rates));
}

/* ---- a round ---- */

static void add_instances(struct top *top, const char *host, const json_t *answer)
{
	json_t *instance, *card;
	size_t i, k;

	json_array_foreach(json_object_get(answer, "instances"), i, instance)
	{
		const json_t *cards = json_object_get(instance, "cards");
		char name[ITEM_TEXT];

		name_of(name, instance);
		if (!json_array_size(cards))
			add_row(top, host, name, instance, NULL);
		json_array_foreach(cards, k, card) add_row(top, host, name, instance, card);
	}
}

/* A host that does not answer is left out: `karuta host list` says why. */
static int ask_host(struct top *top, const json_t *host, struct error *error)
{
	const char *state = item_text(host, "status", "state");
	char path[API_PATH_MAX];
	const struct api_request request = {.method = "GET", .path = path};
	struct api_answer answer = {0};
	int result;

	if (strcmp(state, "trusted") != 0 && strcmp(state, "unattested") != 0 &&
	    strcmp(state, "quarantined") != 0)
		return 0;
	result = api_path(path, "hosts", item_name(host), "instances", error);
	if (!result)
		result = api_try(top->api, &request, &answer, error);
	if (!result && answer.status == 200)
		add_instances(top, item_name(host), answer.body);
	else if (!result && (answer.status == 401 || answer.status == 403))
		return api_tell(&answer);
	json_decref(answer.body);
	return result;
}

static int ask_all(struct top *top, struct error *error)
{
	json_t *hosts = NULL, *host;
	size_t i;
	int result = api_list(top->api, "hosts", &hosts, error);

	if (!result)
		result = api_list(top->api, "instances", &top->instances, error);
	top->at = os_now();
	json_array_foreach(json_object_get(hosts, "items"), i, host)
	{
		if (!result)
			result = ask_host(top, host, error);
	}
	json_decref(hosts);
	return result;
}

static int print(struct top *top)
{
	if (!options_value(top->call, "json")) {
		if (isatty(STDOUT_FILENO) == 1)
			fputs("\033[H\033[2J", stdout);
		return table_print(&top->table, stdout);
	}
	table_free(&top->table);
	json_dumpf(top->rows, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
	putchar('\n');
	return 0;
}

/* The first one has nothing to compare with and is not shown. */
static int one_round(struct top *top, bool is_first, struct error *error)
{
	static const char *const titles[] = {"HOST",   "INSTANCE", "STATE",   "SLOT",	 "VOLUME",
					     "READ/S", "WRITE/S",  "READS/S", "WRITES/S"};
	int result;

	top->table = (struct table){.titles = titles, .columns = ARRAY_LEN(titles), .state = 3};
	top->now = json_object();
	top->rows = json_array();
	result = ask_all(top, error);
	if (!result && !is_first)
		result = print(top);
	else
		table_free(&top->table);
	json_decref(top->before);
	json_decref(top->rows);
	json_decref(top->instances);
	top->instances = NULL;
	top->before = top->now;
	top->then = top->at;
	return result || !fflush(stdout) ? result : error_set(error, errno, "%s", strerror(errno));
}

static int take_number(const struct invocation *call, const char *option, uint64_t *number,
		       struct error *error)
{
	const char *text = options_value(call, option);

	if (!text || (!size_parse(text, number) && *number && *number <= INTERVAL_MAX))
		return 0;
	error_set(error, EINVAL, "--%s %.60s: wanted is a number, 1 to %u", option, text,
		  INTERVAL_MAX);
	return CLI_USAGE;
}

static int top_run(struct api *api, const struct invocation *call, struct error *error)
{
	struct top top = {.api = api, .call = call};
	uint64_t interval = 2, rounds = isatty(STDOUT_FILENO) == 1 ? 0 : 1;
	int result = take_number(call, "interval", &interval, error);

	if (!result)
		result = take_number(call, "rounds", &rounds, error);
	for (uint64_t i = 0; !result && !interrupt_pending() && (!rounds || i <= rounds); i++) {
		if (i)
			api_pause((unsigned)interval * 1000);
		if (!interrupt_pending())
			result = one_round(&top, !i, error);
	}
	json_decref(top.before);
	return result == -EINTR ? 0 : result;
}

static const struct option_spec options[] = {
	{"interval", "SECONDS", "between two looks (2)"},
	{"rounds", "N", "how often; without end on a terminal, else once"},
};

const struct verb top_verbs[] = {
	{.name = "top",
	 .operands = "",
	 .summary = "Shows what instances read and write, as it happens.",
	 .options = options,
	 .option_count = ARRAY_LEN(options),
	 .ask = top_run},
	{0},
};
