/* SPDX-License-Identifier: Apache-2.0 */
/* karuta volume ...: the volumes of the plane, which have names; files are `karuta file`'s. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "base/size.h"
#include "item.h"
#include "table.h"
#include "wait.h"

static int wrong(struct error *error, const char *option, const char *text, const char *wanted)
{
	error_set(error, EINVAL, "%s %.60s: wanted is %s", option, text ? text : "is missing",
		  wanted);
	return CLI_USAGE;
}

/* Sends what is wanted, and waits until `goal` (NULL: does not wait). */
static int change(struct api *api, const struct invocation *call, const char *method,
		  const char *path, json_t *body, const char *goal, struct error *error)
{
	json_t *item = NULL;
	char show[API_PATH_MAX];
	int result = api_path(show, "volumes", call->operands[0], NULL, error);

	if (!result)
		result = api_ask(api, method, path, body, &item, error);
	if (!result && goal && !options_value(call, "no-wait")) {
		bool is_new = !strcmp(path, "/v1/volumes");
		const struct wait wait = {.kind = "volume",
					  .name = call->operands[0],
					  .path = show,
					  .goal = goal,
					  .before = is_new ? NULL : item};

		result = wait_for(api, &wait, error);
	}
	if (!result)
		item_print_json(call, item);
	json_decref(item);
	return result;
}

static int volume_create_named(struct api *api, const struct invocation *call, struct error *error)
{
	const char *size = options_value(call, "size"), *host = options_value(call, "host");
	uint64_t bytes;
	json_t *body;
	int result;

	if (!size || size_parse(size, &bytes) || !bytes)
		return wrong(error, "--size", size, "a size, such as 10G");
	body = json_pack("{s:s, s:I, s:s*}", "name", call->operands[0], "size", (json_int_t)bytes,
			 "host", host);
	result = item_take_labels(call, body, error);
	if (!result)
		result = change(api, call, "POST", "/v1/volumes", body, "available", error);
	json_decref(body);
	return result;
}

/* ---- attach ---- */

static int print_trace(struct api *api, const struct invocation *call, struct error *error)
{
	static const char *const titles[] = {"STEP", "PART", "AT", "MS"};
	struct table table = {.titles = titles, .columns = ARRAY_LEN(titles)};
	char path[API_PATH_MAX], ms[ITEM_TEXT];
	double guest = 0, total = 0;
	json_t *trace = NULL, *step;
	size_t i;
	int result = api_path(path, "volumes", call->operands[0], "trace", error);

	if (!result)
		result = api_ask(api, "GET", path, NULL, &trace, error);
	if (result || item_print_json(call, trace))
		return json_decref(trace), result;
	json_array_foreach(json_object_get(trace, "steps"), i, step)
	{
		double took = json_number_value(json_object_get(step, "ms"));
		const char *const row[] = {item_text(step, NULL, "step"),
					   item_text(step, NULL, "part"),
					   item_text(step, NULL, "at"), ms};

		snprintf(ms, sizeof(ms), "%8.3f", took);
		total += took;
		guest += strcmp(row[1], "guest") ? 0 : took;
		table_add(&table, row);
	}
	json_decref(trace);
	result = table_print(&table, stdout);
	printf("%.3f ms in all, of which %.3f ms are the guest's\n", total, guest);
	return result;
}

static int volume_attach(struct api *api, const struct invocation *call, struct error *error)
{
	const char *slot = options_value(call, "slot");
	bool trace = options_value(call, "trace");
	char path[API_PATH_MAX];
	uint64_t number = 0;
	json_t *body;
	int result = api_path(path, "volumes", call->operands[0], "attach", error);

	if (result)
		return result;
	if (slot && (size_parse(slot, &number) || !number))
		return wrong(error, "--slot", slot, "a number, 1 or higher");
	if (trace && options_value(call, "no-wait"))
		return wrong(error, "--trace", "and --no-wait", "one of them");
	body = json_pack("{s:s}", "instance", call->operands[1]);
	if (slot)
		json_object_set_new(body, "slot", json_integer((json_int_t)number));
	result = change(api, call, "POST", path, body, "attached", error);
	json_decref(body);
	return result || !trace ? result : print_trace(api, call, error);
}

static int volume_detach(struct api *api, const struct invocation *call, struct error *error)
{
	json_t *body = json_object();
	char path[API_PATH_MAX];
	int result = api_path(path, "volumes", call->operands[0], "detach", error);

	if (options_value(call, "force"))
		json_object_set_new(body, "force", json_true());
	if (!result)
		result = change(api, call, "POST", path, body, "available", error);
	json_decref(body);
	return result;
}

static int volume_resize_named(struct api *api, const struct invocation *call, struct error *error)
{
	char path[API_PATH_MAX];
	uint64_t bytes;
	json_t *body;
	int result = api_path(path, "volumes", call->operands[0], NULL, error);

	if (result)
		return result;
	if (size_parse(call->operands[1], &bytes) || !bytes)
		return wrong(error, "SIZE", call->operands[1], "a size, such as 10G");
	body = json_pack("{s:I}", "size", (json_int_t)bytes);
	result = change(api, call, "PATCH", path, body, NULL, error);
	json_decref(body);
	return result;
}

static int volume_delete(struct api *api, const struct invocation *call, struct error *error)
{
	return item_delete(api, call, "volumes", "volume", error);
}

/* ---- to look at ---- */

static const char *slot_of(char text[ITEM_TEXT], const json_t *item)
{
	uint64_t slot = item_number(item, "status", "slot");

	snprintf(text, ITEM_TEXT, slot ? "%llu" : "-", (unsigned long long)slot);
	return text;
}

static int volume_list(struct api *api, const struct invocation *call, struct error *error)
{
	static const char *const titles[] = {"NAME",	 "STATE", "SIZE", "HOST",
					     "INSTANCE", "SLOT",  "AGE"};
	struct table table = {.titles = titles, .columns = ARRAY_LEN(titles), .state = 2};
	json_t *list, *item;
	size_t i;
	int result = api_list(api, "volumes", &list, error);

	if (result || item_print_json(call, list))
		return json_decref(list), result;
	json_array_foreach(json_object_get(list, "items"), i, item)
	{
		char size[ITEM_TEXT], slot[ITEM_TEXT], age[ITEM_TEXT];
		const char *const row[] = {item_name(item),
					   item_text(item, "status", "state"),
					   item_size(size, item, "spec", "size"),
					   item_text(item, "spec", "host"),
					   item_text(item, "status", "instance"),
					   slot_of(slot, item),
					   item_age(age, item, "metadata", "created")};

		table_add(&table, row);
	}
	json_decref(list);
	return table_print(&table, stdout);
}

static int print_volume(const json_t *item)
{
	struct table table = {.columns = 2};
	char text[ITEM_TEXT];

	table_pair(&table, "name", item_name(item));
	table_pair(&table, "state", item_text(item, "status", "state"));
	table_pair(&table, "why", item_text(item, "status", "text"));
	table_pair(&table, "size", item_size(text, item, "spec", "size"));
	table_pair(&table, "host", item_text(item, "spec", "host"));
	table_pair(&table, "instance", item_text(item, "status", "instance"));
	table_pair(&table, "slot", slot_of(text, item));
	table_pair(&table, "labels", item_labels(text, item));
	table_pair(&table, "age", item_age(text, item, "metadata", "created"));
	return table_print(&table, stdout);
}

static int volume_show(struct api *api, const struct invocation *call, struct error *error)
{
	char path[API_PATH_MAX];
	json_t *item = NULL;
	int result = api_path(path, "volumes", call->operands[0], NULL, error);

	if (!result)
		result = api_ask(api, "GET", path, NULL, &item, error);
	if (!result && !item_print_json(call, item))
		result = print_volume(item);
	json_decref(item);
	return result;
}

static const struct option_spec create_options[] = {
	{"size", "SIZE", "such as 10G"},
	{"host", "NAME", "on this host and no other"},
	{"label", "NAME=VALUE", "may be repeated"},
	{"no-wait", NULL, "does not wait until it is there"},
};

static const struct option_spec attach_options[] = {
	{"slot", "N", "which slot of the instance; the first that is free if not given"},
	{"trace", NULL, "prints what took how long"},
	{"no-wait", NULL, "does not wait until it is attached"},
};

static const struct option_spec detach_options[] = {
	{"force", NULL, "without the guest's consent"},
	{"no-wait", NULL, "does not wait until it is detached"},
};

const struct verb plane_volume_verbs[] = {
	{.noun = "volume",
	 .name = "create",
	 .operands = "NAME",
	 .operand_count = 1,
	 .summary = "Makes an encrypted volume: the plane keeps its key.",
	 .options = create_options,
	 .option_count = ARRAY_LEN(create_options),
	 .ask = volume_create_named},
	{.noun = "volume",
	 .name = "attach",
	 .operands = "NAME INSTANCE",
	 .operand_count = 2,
	 .summary = "Attaches a volume to an instance that runs or not.",
	 .options = attach_options,
	 .option_count = ARRAY_LEN(attach_options),
	 .ask = volume_attach},
	{.noun = "volume",
	 .name = "detach",
	 .operands = "NAME",
	 .operand_count = 1,
	 .summary = "Takes a volume from its instance.",
	 .options = detach_options,
	 .option_count = ARRAY_LEN(detach_options),
	 .ask = volume_detach},
	{.noun = "volume",
	 .name = "resize",
	 .operands = "NAME SIZE",
	 .operand_count = 2,
	 .summary = "Makes a volume larger, never smaller.",
	 .ask = volume_resize_named},
	{.noun = "volume",
	 .name = "delete",
	 .operands = "NAME",
	 .operand_count = 1,
	 .summary = "Deletes a volume that no instance has, and its key.",
	 .ask = volume_delete},
	{.noun = "volume",
	 .name = "list",
	 .operands = "",
	 .summary = "Shows all volumes.",
	 .ask = volume_list},
	{.noun = "volume",
	 .name = "show",
	 .operands = "NAME",
	 .operand_count = 1,
	 .summary = "Shows a volume.",
	 .ask = volume_show},
	{0},
};
