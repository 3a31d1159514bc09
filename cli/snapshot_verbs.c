/* SPDX-License-Identifier: Apache-2.0 */
/* karuta snapshot ... */
#include <stdio.h>

#include "base/base.h"
#include "item.h"
#include "table.h"
#include "wait.h"

static int snapshot_create(struct api *api, const struct invocation *call, struct error *error)
{
	json_t *body =
		json_pack("{s:s, s:s}", "name", call->operands[0], "volume", call->operands[1]);
	json_t *item = NULL;
	char path[API_PATH_MAX];
	bool waits = wait_is_wanted(call);
	int result = api_path(path, "snapshots", call->operands[0], NULL, error);

	if (!result)
		result = item_take_labels(call, "label", "labels", body, error);
	if (!result)
		result = api_ask(api, "POST", "/v1/snapshots", body, &item, error);
	if (!result && waits) {
		const struct wait wait = {.kind = "snapshot",
					  .name = call->operands[0],
					  .path = path,
					  .goal = "ready",
					  .dead_ends = {"deleting"}};

		result = wait_for(api, &wait, error);
	}
	if (!result && !item_print_json(call, item))
		printf("snapshot %s is %s\n", call->operands[0], waits ? "ready" : "being made");
	json_decref(body);
	json_decref(item);
	return result;
}

static int snapshot_list(struct api *api, const struct invocation *call, struct error *error)
{
	static const char *const titles[] = {"NAME", "STATE", "VOLUME", "SIZE", "HOST", "AGE"};
	struct table table = {.titles = titles, .columns = ARRAY_LEN(titles), .state = 2};
	json_t *list, *item;
	size_t i;
	int result = api_list(api, "snapshots", &list, error);

	if (result || item_print_json(call, list))
		return json_decref(list), result;
	json_array_foreach(json_object_get(list, "items"), i, item)
	{
		char size[ITEM_TEXT], age[ITEM_TEXT];
		const char *const row[] = {item_name(item),
					   item_text(item, "status", "state"),
					   item_text(item, "spec", "volume"),
					   item_size(size, item, "status", "size"),
					   item_text(item, "status", "host"),
					   item_age(age, item, "metadata", "created")};

		table_add(&table, row);
	}
	json_decref(list);
	return table_print(&table, stdout);
}

static int snapshot_show(struct api *api, const struct invocation *call, struct error *error)
{
	struct table table = {.columns = 2};
	char text[ITEM_TEXT];
	json_t *item = NULL;
	int result = item_show(api, call, "snapshots", &item, error);

	if (result || !item)
		return result;
	table_pair(&table, "name", item_name(item));
	table_pair(&table, "state", item_text(item, "status", "state"));
	table_pair(&table, "why", item_text(item, "status", "text"));
	table_pair(&table, "volume", item_text(item, "spec", "volume"));
	table_pair(&table, "size", item_size(text, item, "status", "size"));
	table_pair(&table, "host", item_text(item, "status", "host"));
	table_pair(&table, "labels", item_labels(text, item));
	table_pair(&table, "age", item_age(text, item, "metadata", "created"));
	json_decref(item);
	return table_print(&table, stdout);
}

static int snapshot_delete(struct api *api, const struct invocation *call, struct error *error)
{
	static const struct item_deletion deletion = {"snapshots", NULL, "snapshot", "deleted"};

	return item_delete(api, call, &deletion, error);
}

static const struct option_spec create_options[] = {
	{"label", "NAME=VALUE", "may be repeated"},
};

const struct verb snapshot_verbs[] = {
	{.noun = "snapshot",
	 .name = "create",
	 .operands = "NAME VOLUME",
	 .operand_count = 2,
	 .summary = "Keeps what a volume holds at this instant, whether it is in use or not.",
	 .options = create_options,
	 .option_count = ARRAY_LEN(create_options),
	 .waits = true,
	 .ask = snapshot_create},
	{.noun = "snapshot",
	 .name = "list",
	 .operands = "",
	 .summary = "Shows all snapshots.",
	 .ask = snapshot_list},
	{.noun = "snapshot",
	 .name = "show",
	 .operands = "NAME",
	 .operand_count = 1,
	 .summary = "Shows a snapshot.",
	 .ask = snapshot_show},
	{.noun = "snapshot",
	 .name = "delete",
	 .operands = "NAME",
	 .operand_count = 1,
	 .summary = "Deletes a snapshot. Volumes that were made from it stay.",
	 .ask = snapshot_delete},
	{0},
};
