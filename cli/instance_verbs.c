/* SPDX-License-Identifier: Apache-2.0 */
/* karuta instance list, show, stop, start, reboot, terminate; and the table of all its verbs. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "base/size.h"
#include "instance.h"
#include "item.h"
#include "table.h"
#include "wait.h"

#define GRACE_MAX 3600u

static const char *number_of(char text[ITEM_TEXT], const json_t *item, const char *part,
			     const char *name)
{
	snprintf(text, ITEM_TEXT, "%llu", (unsigned long long)item_number(item, part, name));
	return text;
}

static const char *volumes_of(char text[ITEM_TEXT], const json_t *item)
{
	const json_t *volumes = item_member(item, NULL, "volumes");
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
	table_pair(&table, "image", item_text(item, "spec", "image"));
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
	json_t *item = NULL;
	int result = item_show(api, call, "instances", &item, error);

	if (!result && item)
		result = print_instance(item);
	json_decref(item);
	return result;
}

/* Says what is wanted and, if so, waits until it is so. Takes `body` over. */
static int want(struct api *api, const struct invocation *call, json_t *body, struct error *error)
{
	const char *wanted = item_text(body, NULL, "wanted");
	bool runs = !strcmp(wanted, "running"), waits = wait_is_wanted(call);
	char path[API_PATH_MAX];
	json_t *item = NULL;
	int result = api_path(path, "instances", call->operands[0], NULL, error);

	if (!result)
		result = api_ask(api, "PATCH", path, body, &item, error);
	if (!result && waits) {
		const struct wait wait = {.kind = "instance",
					  .name = call->operands[0],
					  .path = path,
					  .goal = wanted,
					  .dead_ends = {runs ? "stopped" : NULL},
					  .before = item};

		result = wait_for(api, &wait, error);
	}
	if (!result && waits && runs)
		result = instance_report(api, path, call, error);
	else if (!result && !item_print_json(call, item))
		printf("instance %s %s %s\n", call->operands[0], waits ? "is" : "is to be", wanted);
	json_decref(body);
	json_decref(item);
	return result;
}

static int instance_stop(struct api *api, const struct invocation *call, struct error *error)
{
	const char *grace = options_value(call, "grace");
	bool kills = options_value(call, "kill");
	uint64_t seconds = 0;
	json_t *body;

	if (grace && (!kills || size_parse(grace, &seconds) || seconds > GRACE_MAX)) {
		error_set(error, EINVAL, "--grace %.60s: wanted are seconds, with --kill", grace);
		return CLI_USAGE;
	}
	body = json_pack("{s:s}", "wanted", "stopped");
	if (kills)
		json_object_set_new(body, "kill", json_true());
	if (grace)
		json_object_set_new(body, "grace", json_integer((json_int_t)seconds));
	return want(api, call, body, error);
}

static int instance_start(struct api *api, const struct invocation *call, struct error *error)
{
	return want(api, call, json_pack("{s:s}", "wanted", "running"), error);
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
	bool waits = wait_is_wanted(call);
	const struct item_deletion deletion = {
		"instances", options_value(call, "volumes") ? "?volumes=true" : NULL,
		waits ? NULL : "instance", "terminated"};
	int result = item_delete(api, call, &deletion, error);

	if (result || !waits)
		return result;
	result = api_path(path, "instances", call->operands[0], NULL, error);
	result = result ? result : wait_for(api, &wait, error);
	if (!result && !options_value(call, "json"))
		printf("instance %s is gone\n", call->operands[0]);
	return result;
}

static const struct option_spec run_options[] = {
	{"image", "NAME", "of the plane: its kernel, and a root volume made from it"},
	{"memory", "SIZE", "such as 1G"},
	{"cpus", "N", "how many processors (1)"},
	{"whole-cores", "N", "so many cores of the host for itself"},
	{"root", "SIZE", "of the root volume, if it shall be larger than the image"},
	{"volume", "NAME[:SLOT|:SIZE]", "one that there is, or a new one; may be repeated"},
	{"kernel", "FILE", "on the host, instead of an image"},
	{"initrd", "FILE", "on the host"},
	{"command-line", "TEXT", "of the kernel"},
	{"host", "NAME", "this host and no other"},
	{"host-label", "NAME=VALUE", "a host that has it; may be repeated"},
	{"label", "NAME=VALUE", "of the instance; may be repeated"},
	{"restart", "POLICY", "always, on-failure or never: what follows its end"},
};

static const struct option_spec stop_options[] = {
	{"kill", NULL, "pulls the plug if it does not listen to the power button"},
	{"grace", "SECONDS", "until then (60)"},
};

static const struct option_spec terminate_options[] = {
	{"volumes", NULL, "deletes the volumes that were made with it, too"},
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
	 .waits = true,
	 .notes = "--memory, and --image or --kernel, have to be there.",
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
	 .options = stop_options,
	 .option_count = ARRAY_LEN(stop_options),
	 .waits = true,
	 .ask = instance_stop},
	{.noun = "instance",
	 .name = "start",
	 .operands = "NAME",
	 .operand_count = 1,
	 .summary = "Starts an instance that was stopped.",
	 .waits = true,
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
	 .summary = "Ends an instance for good. Its volumes stay, unless it is told otherwise.",
	 .options = terminate_options,
	 .option_count = ARRAY_LEN(terminate_options),
	 .waits = true,
	 .ask = instance_terminate},
	{0},
};
