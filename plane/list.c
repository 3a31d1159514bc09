/* SPDX-License-Identifier: Apache-2.0 */
#include "list.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"

#define LABELS "labels."

/* ---- filters ---- */

static bool is_value(const json_t *json, const char *value)
{
	char text[32];

	if (json_is_string(json))
		return !strcmp(json_string_value(json), value);
	if (json_is_boolean(json))
		return !strcmp(json_is_true(json) ? "true" : "false", value);
	if (!json_is_integer(json))
		return false;
	snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT, json_integer_value(json));
	return !strcmp(text, value);
}

/* NULL: it leads nowhere, or is too long to lead anywhere. */
static const json_t *follow(const json_t *item, const char *path)
{
	char member[LIST_PATH_MAX + 1];

	if (!strncmp(path, LABELS, strlen(LABELS)))
		return json_object_get(json_object_get(json_object_get(item, "metadata"), "labels"),
				       path + strlen(LABELS));
	while (item && *path) {
		size_t length = strcspn(path, ".");

		if (length >= sizeof(member))
			return NULL;
		memcpy(member, path, length);
		member[length] = '\0';
		item = json_object_get(item, member);
		path += length + (path[length] == '.');
	}
	return item;
}

bool list_matches(const json_t *item, const struct list_filter *filters, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!is_value(follow(item, filters[i].path), filters[i].value))
			return false;
	}
	return true;
}

/* ---- items ---- */

int list_item_json(const struct store_item *item, json_t **json, struct error *error)
{
	json_error_t where;
	json_t *made = json_loadb(item->value, item->length, JSON_REJECT_DUPLICATES, &where);

	if (!made && json_error_code(&where) == json_error_out_of_memory)
		return error_set(error, ENOMEM, "store: %s: out of memory", item->key);
	if (!json_is_object(made)) {
		json_decref(made);
		return error_set(error, EBADMSG,
				 "store: %s: not a JSON object; the database is damaged: restore "
				 "it from a backup",
				 item->key);
	}
	if (json_object_set_new(made, "revision", json_integer((json_int_t)item->revision)) < 0) {
		json_decref(made);
		return error_set(error, ENOMEM, "store: %s: out of memory", item->key);
	}
	*json = made;
	return 0;
}

struct page {
	const struct list_query *query;
	json_t *items;
	unsigned limit, seen;
	char last[STORE_KEY_MAX + 1]; /* that was looked at */
	bool more;
	struct error *error;
};

static int add(void *context, const struct store_item *item)
{
	struct page *page = context;
	const struct list_query *query = page->query;
	json_t *json;
	int ret;

	page->more = json_array_size(page->items) == page->limit || page->seen == LIST_SCAN;
	if (page->more)
		return 1;
	page->seen++;
	snprintf(page->last, sizeof(page->last), "%s", item->key);
	ret = list_item_json(item, &json, page->error);
	if (ret < 0)
		return ret;
	if (!list_matches(json, query->filters, query->filter_count)) {
		json_decref(json);
		return 0;
	}
	if (query->hide)
		json_object_del(json, query->hide);
	return json_array_append_new(page->items, json) < 0
		       ? error_set(page->error, ENOMEM, "store: out of memory")
		       : 0;
}

static int check(const struct list_query *query, struct error *error)
{
	if (query->limit > LIST_LIMIT_MAX)
		return error_set(error, EINVAL, "limit: must be 1 to %u", LIST_LIMIT_MAX);
	if (query->filter_count > LIST_FILTERS)
		return error_set(error, E2BIG, "more than %u filters", LIST_FILTERS);
	for (size_t i = 0; i < query->filter_count; i++) {
		if (!query->filters[i].path[0] ||
		    strnlen(query->filters[i].path, LIST_PATH_MAX + 1) > LIST_PATH_MAX)
			return error_set(error, EINVAL,
					 "a filter's name must have 1 to %u characters",
					 LIST_PATH_MAX);
	}
	return 0;
}

static int fill(struct store *store, struct page *page)
{
	const struct list_query *query = page->query;
	char after[STORE_KEY_MAX + 1];
	bool begun = query->after && query->after[0];
	int ret;

	if (begun && (size_t)snprintf(after, sizeof(after), "%s%s", query->prefix, query->after) >=
			     sizeof(after))
		return error_set(page->error, EINVAL, "after: too long for a name");
	ret = store_list(store, query->prefix, begun ? after : NULL, LIST_SCAN + 1, add, page,
			 page->error);
	return ret < 0 ? ret : 0;
}

int list_page(struct store *store, const struct list_query *query, json_t **page,
	      struct error *error)
{
	struct page made = {.query = query,
			    .limit = query->limit ? query->limit : LIST_LIMIT,
			    .items = json_array(),
			    .error = error};
	json_t *answer = NULL;
	int ret = check(query, error);

	if (ret == 0)
		ret = made.items ? fill(store, &made) : -ENOMEM;
	if (ret == 0)
		answer = made.more ? json_pack("{s:O, s:s}", "items", made.items, "next",
					       made.last + strlen(query->prefix))
				   : json_pack("{s:O}", "items", made.items);
	json_decref(made.items);
	if (ret == -ENOMEM || (ret == 0 && !answer))
		return error_set(error, ENOMEM, "store: out of memory");
	*page = answer;
	return ret;
}
