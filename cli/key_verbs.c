/* SPDX-License-Identifier: Apache-2.0 */
/* karuta key ...: which keys there are, never what they are. */
#include <stdio.h>

#include "api.h"
#include "base/base.h"
#include "item.h"
#include "table.h"

static int key_list(struct api *api, const struct invocation *call, struct error *error)
{
	static const char *const titles[] = {"ID", "VOLUME", "WRAPPED BY", "AGE"};
	struct table table = {.titles = titles, .columns = ARRAY_LEN(titles)};
	json_t *list, *item;
	size_t i;
	int result = api_list(api, "keys", &list, error);

	if (result || item_print_json(call, list))
		return json_decref(list), result;
	json_array_foreach(json_object_get(list, "items"), i, item)
	{
		char age[ITEM_TEXT];
		const char *const row[] = {item_name(item), item_text(item, NULL, "volume"),
					   item_text(item, NULL, "kek"),
					   item_age(age, item, "metadata", "created")};

		table_add(&table, row);
	}
	json_decref(list);
	return table_print(&table, stdout);
}

static int key_rotate(struct api *api, const struct invocation *call, struct error *error)
{
	json_t *body = json_object();
	int result = api_ask(api, "POST", "/v1/keys/rotate", body, NULL, error);

	(void)call;
	if (!result)
		puts("there is a new key-encryption key, and all keys are being wrapped under it");
	json_decref(body);
	return result;
}

static int key_delete(struct api *api, const struct invocation *call, struct error *error)
{
	static const struct item_deletion deletion = {"keys", NULL, "key", "deleted"};

	return item_delete(api, call, &deletion, error);
}

const struct verb key_verbs[] = {
	{.noun = "key",
	 .name = "list",
	 .operands = "",
	 .summary = "Shows which keys of volumes the plane keeps, never what they are.",
	 .ask = key_list},
	{.noun = "key",
	 .name = "rotate",
	 .operands = "",
	 .summary = "Makes a new key-encryption key; no volume is touched.",
	 .ask = key_rotate},
	{.noun = "key",
	 .name = "delete",
	 .operands = "ID",
	 .operand_count = 1,
	 .summary = "Deletes a key: what its volume holds is lost for good.",
	 .ask = key_delete},
	{0},
};
