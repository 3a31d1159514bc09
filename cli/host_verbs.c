/* SPDX-License-Identifier: Apache-2.0 */
/* karuta host ... */
#include <stdio.h>
#include <string.h>

#include "api.h"
#include "base/base.h"
#include "cli.h"
#include "item.h"
#include "table.h"

#define UPDATE_SECONDS 660u /* longer than the plane waits */

static int host_add(struct api *api, const struct invocation *call, struct error *error)
{
	json_t *body =
		json_pack("{s:s, s:s}", "name", call->operands[0], "address", call->operands[1]);
	json_t *host = NULL;
	int result = item_take_labels(call, "label", "labels", body, error);

	if (!result)
		result = api_ask(api, "POST", "/v1/hosts", body, &host, error);
	if (!result && !item_print_json(call, host)) {
		fprintf(stderr,
			"host %s: there, within ten minutes, run\n"
			"        karuta-controller enrol --token -\n"
			"        karuta-controller serve\n"
			"the first of which reads this token, which is not shown again:\n",
			call->operands[0]);
		puts(item_text(host, NULL, "token"));
	}
	json_decref(body);
	json_decref(host);
	return result;
}

/* "3 of 8" */
static const char *part_of(char text[ITEM_TEXT], const json_t *host, const char *part,
			   const char *whole)
{
	snprintf(text, ITEM_TEXT, "%llu of %llu",
		 (unsigned long long)item_number(host, "status", part),
		 (unsigned long long)item_number(host, "status", whole));
	return text;
}

static const char *memory_of(char text[ITEM_TEXT], const json_t *host)
{
	char promised[ITEM_TEXT], all[ITEM_TEXT];

	snprintf(text, ITEM_TEXT, "%.40s of %.40s",
		 item_size(promised, host, "status", "memory_promised"),
		 item_size(all, host, "status", "memory"));
	return text;
}

static const char *instances_of(char text[ITEM_TEXT], const json_t *host)
{
	snprintf(text, ITEM_TEXT, "%llu",
		 (unsigned long long)item_number(host, "status", "instances"));
	return text;
}

static const char *heard_of(char text[ITEM_TEXT], const json_t *host)
{
	if (!item_member(host, "status", "heard_ms_ago"))
		return strcpy(text, "-");
	return item_span(text, (long long)(item_number(host, "status", "heard_ms_ago") / 1000));
}

static int host_list(struct api *api, const struct invocation *call, struct error *error)
{
	static const char *const titles[] = {"NAME",   "ADDRESS",   "STATE", "CPUS",
					     "MEMORY", "INSTANCES", "HEARD"};
	struct table table = {.titles = titles, .columns = ARRAY_LEN(titles), .state = 3};
	json_t *list, *host;
	size_t i;
	int result = api_list(api, "hosts", &list, error);

	if (result || item_print_json(call, list))
		return json_decref(list), result;
	json_array_foreach(json_object_get(list, "items"), i, host)
	{
		char cpus[ITEM_TEXT], memory[ITEM_TEXT], instances[ITEM_TEXT], heard[ITEM_TEXT];
		const char *const row[] = {item_name(host),
					   item_text(host, "spec", "address"),
					   item_text(host, "status", "state"),
					   part_of(cpus, host, "cpus_promised", "cpus"),
					   memory_of(memory, host),
					   instances_of(instances, host),
					   heard_of(heard, host)};

		table_add(&table, row);
	}
	json_decref(list);
	return table_print(&table, stdout);
}

static int show_evidence(struct api *api, const struct invocation *call, struct error *error)
{
	static const char *const parts[] = {"attestation", "evidence", "quote", "log"};
	char path[API_PATH_MAX], line[TABLE_CELL];
	json_t *evidence = NULL;
	int result = api_path(path, "hosts", call->operands[0], "evidence", error);

	if (!result)
		result = api_ask(api, "GET", path, NULL, &evidence, error);
	if (result || item_print_json(call, evidence))
		return json_decref(evidence), result;
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		const char *text = json_string_value(json_object_get(evidence, parts[i]));

		if (!text)
			continue;
		printf("%s:\n", parts[i]);
		for (size_t length; *text; text += length + (text[length] == '\n')) {
			CLEANUP_FREE char *copy = NULL;

			for (length = 0; text[length] && text[length] != '\n';)
				length++;
			copy = strndup(text, length);
			printf("  %s\n", copy ? item_plain(line, sizeof(line), copy) : "");
		}
	}
	json_decref(evidence);
	return 0;
}

static const char *release_of(char text[ITEM_TEXT], const json_t *host)
{
	if (!item_member(host, "status", "release"))
		return strcpy(text, "-");
	snprintf(text, ITEM_TEXT, "%llu, %s",
		 (unsigned long long)item_number(host, "status", "release"),
		 item_text(host, "status", "signer"));
	return text;
}

static int print_host(const json_t *host)
{
	struct table table = {.columns = 2};
	char text[ITEM_TEXT];

	table_pair(&table, "name", item_name(host));
	table_pair(&table, "address", item_text(host, "spec", "address"));
	table_pair(&table, "state", item_text(host, "status", "state"));
	table_pair(&table, "why", item_text(host, "status", "text"));
	table_pair(&table, "release", release_of(text, host));
	table_pair(&table, "attestation", item_text(host, "status", "attestation"));
	table_pair(&table, "cpus", part_of(text, host, "cpus_promised", "cpus"));
	table_pair(&table, "memory", memory_of(text, host));
	table_pair(&table, "instances", instances_of(text, host));
	table_pair(&table, "labels", item_labels(text, host));
	table_pair(&table, "heard", heard_of(text, host));
	table_pair(&table, "age", item_age(text, host, "metadata", "created"));
	return table_print(&table, stdout);
}

static int host_show(struct api *api, const struct invocation *call, struct error *error)
{
	json_t *host = NULL;
	int result;

	if (options_value(call, "evidence"))
		return show_evidence(api, call, error);
	result = item_show(api, call, "hosts", &host, error);
	if (!result && host)
		result = print_host(host);
	json_decref(host);
	return result;
}

static int host_release(struct api *api, const struct invocation *call, struct error *error)
{
	json_t *body = json_pack("{s:s}", "reason", call->operands[1]), *host = NULL;
	char path[API_PATH_MAX];
	int result = api_path(path, "hosts", call->operands[0], "release", error);

	if (!result)
		result = api_ask(api, "POST", path, body, &host, error);
	if (!result && !item_print_json(call, host))
		printf("host %s is released\n", call->operands[0]);
	json_decref(body);
	json_decref(host);
	return result;
}

static int host_update(struct api *api, const struct invocation *call, struct error *error)
{
	bool alone = options_value(call, "controller");
	json_t *body = alone ? json_pack("{s:s}", "part", "controller") : json_object(),
	       *done = NULL;
	char path[API_PATH_MAX];
	int result = api_path(path, "hosts", call->operands[0], "update", error);

	if (!result)
		result = api_ask_within(api, "POST", path, body, UPDATE_SECONDS, &done, error);
	if (!result && !item_print_json(call, done))
		printf("host %s runs %s\n", call->operands[0],
		       alone ? "a new controller" : "the release that is installed there");
	json_decref(body);
	json_decref(done);
	return result;
}

static int host_remove(struct api *api, const struct invocation *call, struct error *error)
{
	static const struct item_deletion deletion = {"hosts", NULL, "host", "forgotten"};

	return item_delete(api, call, &deletion, error);
}

static const struct option_spec add_options[] = {
	{"label", "NAME=VALUE", "may be repeated; where instances go can depend on it"},
};

static const struct option_spec update_options[] = {
	{"controller", NULL, "that alone, also if it is the same program"},
};

static const struct option_spec show_options[] = {
	{"evidence", NULL, "what the host shows of itself, asked now"},
};

const struct verb host_verbs[] = {
	{.noun = "host",
	 .name = "add",
	 .operands = "NAME ADDRESS",
	 .operand_count = 2,
	 .summary = "Makes a host known and prints the token that it is enrolled with.",
	 .options = add_options,
	 .option_count = ARRAY_LEN(add_options),
	 .notes = "ADDRESS is in numbers, with a port behind it or not: 192.0.2.1:4747.",
	 .ask = host_add},
	{.noun = "host",
	 .name = "list",
	 .operands = "",
	 .summary = "Shows all hosts.",
	 .ask = host_list},
	{.noun = "host",
	 .name = "show",
	 .operands = "NAME",
	 .operand_count = 1,
	 .summary = "Shows a host.",
	 .options = show_options,
	 .option_count = ARRAY_LEN(show_options),
	 .ask = host_show},
	{.noun = "host",
	 .name = "release",
	 .operands = "NAME REASON",
	 .operand_count = 2,
	 .summary = "Takes a host out of quarantine: the reason is kept.",
	 .ask = host_release},
	{.noun = "host",
	 .name = "update",
	 .operands = "NAME",
	 .operand_count = 1,
	 .summary = "Moves a host to the release that is installed on it, while its guests run.",
	 .options = update_options,
	 .option_count = ARRAY_LEN(update_options),
	 .ask = host_update},
	{.noun = "host",
	 .name = "remove",
	 .operands = "NAME",
	 .operand_count = 1,
	 .summary = "Forgets a host: it is not asked any more, and what runs there runs on.",
	 .ask = host_remove},
	{0},
};
