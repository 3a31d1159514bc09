/* SPDX-License-Identifier: Apache-2.0 */
/* karuta instance list, show, stop, start, reboot, terminate; and the table of all its verbs. */
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "instance.h"
#include "item.h"
#include "table.h"
#include "wait.h"

static const char *number_of(char text[ITEM_TEXT], const json_t *item, const char *part,
			     const char *name)
{
	snprintf(text, ITEM_TEXT, "%llu", (unsigned long long)item_number(item, part, name));
	return text;
}

static const char *volumes_of(char text[ITEM_TEXT], const json_t *item)
{
	const json_t *volumes = item_member(item, "spec", "volumes");
	size_t at = 0;

	strcpy(text, "-");
	for (size_t i = 0; i < json_array_size(volumes) && at < ITEM_TEXT; i++) {
		const json_t *volume = json_array_get(volumes, i);

		at += (size_t)snprintf(text + at, ITEM_TEXT - at, "%s%s", i ? "," : "",
				       item_text(volume, NULL, "volume"));
	}
	return text;
}

static int instance_list(struct api *api, const struct invocation *call, struct error *error)
{
	static const char *const titles[] = {"NAME",   "STATE",	  "HOST", "CPUS",
					     "MEMORY", "VOLUMES", "AGE"};
	struct table table = {.titles = titles, .columns = ARRAY_LEN(titles), .state = 2};
	json_t *list, *item;
	size_t i;
	int result = api_list(api, "instances", &list, error);

	if (result || item_print_json(call, list))
		return json_decref(list), result;
	json_array_foreach(json_object_get(list, "items"), i, item)
	{
		char cpus[ITEM_TEXT], memory[ITEM_TEXT], volumes[ITEM_TEXT], age[ITEM_TEXT];
		const char *const row[] = {item_name(item),
					   item_text(item, "status", "state"),
					   item_text(item, "status", "host"),
					   number_of(cpus, item, "spec", "cpus"),
					   item_size(memory, item, "spec", "memory"),
					   volumes_of(volumes, item),
					   item_age(age, item, "metadata", "created")};

		table_add(&table, row);
	}
	json_decref(list);
	return table_print(&table, stdout);
}

static int print_instance(const json_t *item)
{
	struct table table = {.columns = 2};
	char text[ITEM_TEXT];

	table_pair(&table, "name", item_name(item));
	table_pair(&table, "state", item_text(item, "status", "state"));
	table_pair(&table, "why", item_text(item, "status", "text"));
	table_pair(&table, "wanted", item_text(item, NULL, "wanted"));
	table_pair(&table, "host", item_text(item, "status", "host"));
	table_pair(&table, "cpus", number_of(text, item, "spec", "cpus"));
	table_pair(&table, "memory", item_size(text, item, "spec", "memory"));
	table_pair(&table, "kernel", item_text(item, "spec", "kernel"));
	table_pair(&table, "initrd", item_text(item, "spec", "initrd"));
	table_pair(&table, "command line", item_text(item, "spec", "command_line"));
	table_pair(&table, "volumes", volumes_of(text, item));
	table_pair(&table, "restart", item_text(item, "spec", "restart"));
	table_pair(&table, "restarts", number_of(text, item, "status", "restarts"));
	table_pair(&table, "labels", item_labels(text, item));
	table_pair(&table, "so since", item_age(text, item, "status", "since"));
	table_pair(&table, "age", item_age(text, item, "metadata", "created"));
	return table_print(&table, stdout);
}

static int instance_show(struct api *api, const struct invocation *call, struct error *error)
{
	char path[API_PATH_MAX];
	json_t *item = NULL;
	int result = api_path(path, "instances", call->operands[0], NULL, error);

	if (!result)
		result = api_ask(api, "GET", path, NULL, &item, error);
	if (!result && !item_print_json(call, item))
		result = print_instance(item);
	json_decref(item);
	return result;
}

/* Says what is wanted and waits until it is so. */
static int want(struct api *api, const struct invocation *call, const char *wanted,
		struct error *error)
{
	json_t *body = json_pack("{s:s}", "wanted", wanted), *item = NULL;
	char path[API_PATH_MAX];
	int result = api_path(path, "instances", call->operands[0], NULL, error);

	if (!result)
		result = api_ask(api, "PATCH", path, body, &item, error);
	if (!result && !options_value(call, "no-wait")) {
		const struct wait wait = {.kind = "instance",
					  .name = call->operands[0],
					  .path = path,
					  .goal = wanted,
					  .dead_end = strcmp(wanted, "running") ? NULL : "stopped",
					  .before = item};

		result = wait_for(api, &wait, error);
	}
	if (!result && options_value(call, "no-wait"))
		item_print_json(call, item);
	else if (!result && !strcmp(wanted, "running"))
		result = instance_report(api, path, call, error);
	json_decref(body);
	json_decref(item);
	return result;
}

static int instance_stop(struct api *api, const struct invocation *call, struct error *error)
{
	return want(api, call, "stopped", error);
}

static int instance_start(struct api *api, const struct invocation *call, struct error *error)
{
	return want(api, call, "running", error);
}

static int instance_reboot(struct api *api, const struct invocation *call, struct error *error)
{
	json_t *body = json_object(), *item = NULL;
	char path[API_PATH_MAX];
	int result = api_path(path, "instances", call->operands[0], "reboot", error);

	if (!result)
		result = api_ask(api, "POST", path, body, &item, error);
	if (!result && !item_print_json(call, item))
		printf("instance %s reboots\n", call->operands[0]);
	json_decref(body);
	json_decref(item);
	return result;
}

static int instance_terminate(struct api *api, const struct invocation *call, struct error *error)
{
	char path[API_PATH_MAX];
	const struct wait wait = {.kind = "instance", .name = call->operands[0], .path = path};
	int result = item_delete(api, call, "instances", NULL, error);

	if (result || options_value(call, "no-wait"))
		return result;
	result = api_path(path, "instances", call->operands[0], NULL, error);
	return result ? result : wait_for(api, &wait, error);
}

static const struct option_spec run_options[] = {
	{"cpus", "N", "how many processors"},
	{"memory", "SIZE", "such as 1G"},
	{"kernel", "FILE", "on the host"},
	{"initrd", "FILE", "on the host"},
	{"command-line", "TEXT", "of the kernel"},
	{"volume", "NAME[:SLOT]", "a volume of the plane; may be repeated"},
	{"host", "NAME", "this host and no other"},
	{"label", "NAME=VALUE", "may be repeated"},
	{"restart", "POLICY", "always, on-failure or never: what follows its end"},
	{"no-wait", NULL, "does not wait until it runs"},
};

static const struct option_spec wait_options[] = {
	{"no-wait", NULL, "does not wait until it is so"},
};

static const struct option_spec console_options[] = {
	{"follow", NULL, "goes on with what comes, until the instance ends"},
};

const struct verb instance_verbs[] = {
	{.noun = "instance",
	 .name = "run",
	 .operands = "NAME",
	 .operand_count = 1,
	 .summary = "Starts a new instance: the plane chooses its host.",
	 .options = run_options,
	 .option_count = ARRAY_LEN(run_options),
	 .notes = "--cpus, --memory and --kernel have to be there.",
	 .ask = instance_run},
	{.noun = "instance",
	 .name = "list",
	 .operands = "",
	 .summary = "Shows all instances.",
	 .ask = instance_list},
	{.noun = "instance",
	 .name = "show",
	 .operands = "NAME",
	 .operand_count = 1,
	 .summary = "Shows an instance.",
	 .ask = instance_show},
	{.noun = "instance",
	 .name = "console",
	 .operands = "NAME",
	 .operand_count = 1,
	 .summary = "Prints what an instance has written to its console: byte by byte, as it is.",
	 .options = console_options,
	 .option_count = ARRAY_LEN(console_options),
	 .ask = instance_console},
	{.noun = "instance",
	 .name = "stop",
	 .operands = "NAME",
	 .operand_count = 1,
	 .summary = "Stops an instance. It can be started again.",
	 .options = wait_options,
	 .option_count = ARRAY_LEN(wait_options),
	 .ask = instance_stop},
	{.noun = "instance",
	 .name = "start",
	 .operands = "NAME",
	 .operand_count = 1,
	 .summary = "Starts an instance that was stopped.",
	 .options = wait_options,
	 .option_count = ARRAY_LEN(wait_options),
	 .ask = instance_start},
	{.noun = "instance",
	 .name = "reboot",
	 .operands = "NAME",
	 .operand_count = 1,
	 .summary = "Reboots an instance.",
	 .ask = instance_reboot},
	{.noun = "instance",
	 .name = "terminate",
	 .operands = "NAME",
	 .operand_count = 1,
	 .summary = "Ends an instance for good. Its volumes stay.",
	 .options = wait_options,
	 .option_count = ARRAY_LEN(wait_options),
	 .ask = instance_terminate},
	{0},
};
