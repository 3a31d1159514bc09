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

/* Something that is sent, and what it leads to. */
struct change {
	const char *method, *path;
	json_t *body;
	const char *goal; /* the state that can be waited for; NULL: none can */
	const char *done; /* "volume data is DONE", or "is being DONE" */
};

static int make_change(struct api *api, const struct invocation *call, const struct change *change,
		       struct error *error)
{
	bool waits = change->goal && (wait_is_wanted(call) || options_value(call, "trace"));
	bool is_new = !strcmp(change->path, "/v1/volumes");
	json_t *item = NULL;
	char show[API_PATH_MAX];
	int result = api_path(show, "volumes", call->operands[0], NULL, error);

	if (!result)
		result = api_ask(api, change->method, change->path, change->body, &item, error);
	if (!result && waits) {
		const struct wait wait = {.kind = "volume",
					  .name = call->operands[0],
					  .path = show,
					  .goal = change->goal,
					  .before = is_new ? NULL : item};

		result = wait_for(api, &wait, error);
	}
	if (!result && !options_value(call, "trace") && !item_print_json(call, item))
		printf("volume %s is %s%s\n", call->operands[0], waits ? "" : "being ",
		       change->done);
	json_decref(item);
	return result;
}

/* What a volume can be made from: its option, what the plane calls it, and where its size is. */
static const struct origin {
	const char *option, *member, *kinds;
	const char *part, *inside; /* {"spec": {"root": {"size"}}} */
} origins[] = {
	{"image", "image", "images", "spec", "root"},
	{"snapshot", "snapshot", "snapshots", "status", NULL},
	{"clone", "volume", "volumes", "spec", NULL},
};

/* NULL: from nothing. */
static int find_origin(const struct invocation *call, const struct origin **origin,
		       struct error *error)
{
	*origin = NULL;
	for (size_t i = 0; i < ARRAY_LEN(origins); i++) {
		if (!options_value(call, origins[i].option))
			continue;
		if (*origin)
			return wrong(error, "--image, --snapshot, --clone", "", "one of them");
		*origin = &origins[i];
	}
	return 0;
}

/* Who does not say how large means as large as that. */
static int ask_size(struct api *api, const char *name, const struct origin *origin, uint64_t *bytes,
		    struct error *error)
{
	json_t *item = NULL;
	char path[API_PATH_MAX];
	int result = api_path(path, origin->kinds, name, NULL, error);

	if (!result)
		result = api_ask(api, "GET", path, NULL, &item, error);
	if (!result)
		*bytes = origin->inside
				 ? item_number(item_member(item, origin->part, origin->inside),
					       NULL, "size")
				 : item_number(item, origin->part, "size");
	json_decref(item);
	if (!result && !*bytes)
		result = error_set(error, EAGAIN, "%s %.80s: its size is not known yet: --size",
				   origin->member, name);
	return result;
}

/* How large, and from what. */
static int take_origin(struct api *api, const struct invocation *call, json_t *body,
		       struct error *error)
{
	const char *size = options_value(call, "size");
	const struct origin *origin;
	uint64_t bytes = 0;
	int result = find_origin(call, &origin, error);

	if (result)
		return result;
	if ((!size && !origin) || (size && (size_parse(size, &bytes) || !bytes)))
		return wrong(error, "--size", size, "a size, such as 10G");
	if (origin)
		json_object_set_new(body, origin->member,
				    json_string(options_value(call, origin->option)));
	if (!size)
		result = ask_size(api, options_value(call, origin->option), origin, &bytes, error);
	if (!result)
		json_object_set_new(body, "size", json_integer((json_int_t)bytes));
	return result;
}

static int volume_create_named(struct api *api, const struct invocation *call, struct error *error)
{
	json_t *body = json_pack("{s:s, s:s*}", "name", call->operands[0], "host",
				 options_value(call, "host"));
	const struct change change = {"POST", "/v1/volumes", body, "available", "created"};
	int result = take_origin(api, call, body, error);

	if (!result)
		result = item_take_labels(call, "label", "labels", body, error);
	if (!result)
		result = make_change(api, call, &change, error);
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

static int take_slot(const struct invocation *call, json_t *body, struct error *error)
{
	const char *slot = options_value(call, "slot");
	uint64_t number;

	if (!slot)
		return 0;
	if (size_parse(slot, &number) || !number)
		return wrong(error, "--slot", slot, "a number, 1 or higher");
	json_object_set_new(body, "slot", json_integer((json_int_t)number));
	return 0;
}

static int volume_attach(struct api *api, const struct invocation *call, struct error *error)
{
	bool trace = options_value(call, "trace");
	char path[API_PATH_MAX];
	json_t *body = json_pack("{s:s}", "instance", call->operands[1]);
	const struct change change = {"POST", path, body, "attached", "attached"};
	int result = api_path(path, "volumes", call->operands[0], "attach", error);

	if (!result)
		result = take_slot(call, body, error);
	if (!result && trace && options_value(call, "no-wait"))
		result = wrong(error, "--trace", "and --no-wait", "one of them");
	if (!result)
		result = make_change(api, call, &change, error);
	json_decref(body);
	return result || !trace ? result : print_trace(api, call, error);
}

static int volume_detach(struct api *api, const struct invocation *call, struct error *error)
{
	json_t *body = json_object();
	char path[API_PATH_MAX];
	const struct change change = {"POST", path, body, "available", "detached"};
	int result = api_path(path, "volumes", call->operands[0], "detach", error);

	if (options_value(call, "force"))
		json_object_set_new(body, "force", json_true());
	if (!result)
		result = make_change(api, call, &change, error);
	json_decref(body);
	return result;
}

static int volume_resize_named(struct api *api, const struct invocation *call, struct error *error)
{
	char path[API_PATH_MAX];
	json_t *body = json_object();
	const struct change change = {"PATCH", path, body, NULL, "resized"};
	uint64_t bytes;
	int result = api_path(path, "volumes", call->operands[0], NULL, error);

	if (!result && (size_parse(call->operands[1], &bytes) || !bytes))
		result = wrong(error, "SIZE", call->operands[1], "a size, such as 10G");
	if (!result) {
		json_object_set_new(body, "size", json_integer((json_int_t)bytes));
		result = make_change(api, call, &change, error);
	}
	json_decref(body);
	return result;
}

static int volume_delete(struct api *api, const struct invocation *call, struct error *error)
{
	const struct item_deletion deletion = {
		"volumes", options_value(call, "now") ? "?now=true" : NULL, "volume", "deleted"};

	return item_delete(api, call, &deletion, error);
}

static int volume_restore(struct api *api, const struct invocation *call, struct error *error)
{
	json_t *body = json_object(), *item = NULL;
	char path[API_PATH_MAX];
	int result = api_path(path, "volumes", call->operands[0], "restore", error);

	if (!result)
		result = api_ask(api, "POST", path, body, &item, error);
	if (!result && !item_print_json(call, item))
		printf("volume %s is restored\n", call->operands[0]);
	json_decref(body);
	json_decref(item);
	return result;
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
					   item_text(item, "status", "host"),
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
	table_pair(&table, "host", item_text(item, "status", "host"));
	table_pair(&table, "instance", item_text(item, "status", "instance"));
	table_pair(&table, "slot", slot_of(text, item));
	table_pair(&table, "labels", item_labels(text, item));
	table_pair(&table, "age", item_age(text, item, "metadata", "created"));
	return table_print(&table, stdout);
}

static int volume_show(struct api *api, const struct invocation *call, struct error *error)
{
	json_t *item = NULL;
	int result = item_show(api, call, "volumes", &item, error);

	if (!result && item)
		result = print_volume(item);
	json_decref(item);
	return result;
}

static const struct option_spec create_options[] = {
	{"size", "SIZE", "such as 10G; at least that of what it is made from"},
	{"image", "NAME", "holds what this image of the plane does"},
	{"snapshot", "NAME", "holds what this snapshot does"},
	{"clone", "NAME", "holds what this volume does"},
	{"host", "NAME", "on this host and no other"},
	{"label", "NAME=VALUE", "may be repeated"},
};

static const struct option_spec attach_options[] = {
	{"slot", "N", "which slot of the instance; the first that is free if not given"},
	{"trace", NULL, "waits, and prints what took how long"},
};

static const struct option_spec detach_options[] = {
	{"force", NULL, "without the guest's consent"},
};

static const struct option_spec delete_options[] = {
	{"now", NULL, "for good: it cannot be restored"},
};

const struct verb plane_volume_verbs[] = {
	{.noun = "volume",
	 .name = "create",
	 .operands = "NAME",
	 .operand_count = 1,
	 .summary = "Makes an encrypted volume: the plane keeps its key.",
	 .options = create_options,
	 .option_count = ARRAY_LEN(create_options),
	 .waits = true,
	 .ask = volume_create_named},
	{.noun = "volume",
	 .name = "attach",
	 .operands = "NAME INSTANCE",
	 .operand_count = 2,
	 .summary = "Attaches a volume to an instance that runs or not.",
	 .options = attach_options,
	 .option_count = ARRAY_LEN(attach_options),
	 .waits = true,
	 .ask = volume_attach},
	{.noun = "volume",
	 .name = "detach",
	 .operands = "NAME",
	 .operand_count = 1,
	 .summary = "Takes a volume from its instance.",
	 .options = detach_options,
	 .option_count = ARRAY_LEN(detach_options),
	 .waits = true,
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
	 .summary = "Deletes a volume that no instance has; for a day it can be restored.",
	 .options = delete_options,
	 .option_count = ARRAY_LEN(delete_options),
	 .ask = volume_delete},
	{.noun = "volume",
	 .name = "restore",
	 .operands = "NAME",
	 .operand_count = 1,
	 .summary = "Takes back that a volume is to be deleted.",
	 .ask = volume_restore},
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
