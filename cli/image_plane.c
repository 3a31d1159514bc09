/* SPDX-License-Identifier: Apache-2.0 */
/* karuta image list, show, delete --pushed: the images of the plane. */
#include <stdio.h>

#include "base/base.h"
#include "image_plane.h"
#include "item.h"
#include "table.h"

static const char *size_of(char text[ITEM_TEXT], const json_t *item)
{
	return item_size(text, item_member(item, "spec", "root"), NULL, "size");
}

int image_list_pushed(struct api *api, const struct invocation *call, struct error *error)
{
	static const char *const titles[] = {"NAME", "STATE", "SIZE", "AGE"};
	struct table table = {.titles = titles, .columns = ARRAY_LEN(titles), .state = 2};
	json_t *list, *item;
	size_t i;
	int result = api_list(api, "images", &list, error);

	if (result || item_print_json(call, list))
		return json_decref(list), result;
	json_array_foreach(json_object_get(list, "items"), i, item)
	{
		char size[ITEM_TEXT], age[ITEM_TEXT];
		const char *const row[] = {item_name(item), item_text(item, "status", "state"),
					   size_of(size, item),
					   item_age(age, item, "metadata", "created")};

		table_add(&table, row);
	}
	json_decref(list);
	return table_print(&table, stdout);
}

int image_show_pushed(struct api *api, const struct invocation *call, struct error *error)
{
	struct table table = {.columns = 2};
	char text[ITEM_TEXT];
	json_t *item = NULL;
	int result = item_show(api, call, "images", &item, error);

	if (result || !item)
		return result;
	table_pair(&table, "name", item_name(item));
	table_pair(&table, "state", item_text(item, "status", "state"));
	table_pair(&table, "why", item_text(item, "status", "text"));
	table_pair(&table, "size", size_of(text, item));
	table_pair(&table, "command line", item_text(item, "spec", "command_line"));
	table_pair(&table, "labels", item_labels(text, item));
	table_pair(&table, "age", item_age(text, item, "metadata", "created"));
	json_decref(item);
	return table_print(&table, stdout);
}

int image_delete_pushed(struct api *api, const struct invocation *call, struct error *error)
{
	static const struct item_deletion deletion = {"images", NULL, "image", "deleted"};

	return item_delete(api, call, &deletion, error);
}
