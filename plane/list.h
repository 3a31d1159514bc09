/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A page of the items of a kind, as an answer shows them:
 *
 *	{"items": [{"metadata": {...}, ..., "revision": 12}], "next": "web17"}
 *
 * "next" is there if there may be more: it is what `after` is to be for the next page. A page with
 * filters may have fewer items than `limit`, or none, and a "next" all the same: at most LIST_SCAN
 * items are looked at in one call, so that none takes long.
 */
#ifndef KARUTA_PLANE_LIST_H
#define KARUTA_PLANE_LIST_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "store.h"

#define LIST_LIMIT     100u
#define LIST_LIMIT_MAX 1000u
#define LIST_SCAN      1000u
#define LIST_FILTERS   16u
#define LIST_PATH_MAX  255u

/*
 * An item passes if what `path` leads to is `value`: a text, or a whole number, true or false as
 * JSON writes them. "wanted", "status.state"; what is behind "labels." is the name of a label as
 * a whole ("labels.example.org/role" of "metadata"). What is not there is no value.
 */
struct list_filter {
	const char *path, *value;
};

struct list_query {
	const char *prefix; /* "instances/" */
	const char *after;  /* a name, without the prefix; NULL or "": from the first */
	unsigned limit;	    /* 0: LIST_LIMIT */
	struct list_filter filters[LIST_FILTERS];
	size_t filter_count;
	const char *hide; /* a member that is left out; NULL: none */
};

/* *page is the caller's. -EINVAL, -E2BIG: of the query; -EBADMSG: an item is not what was written,
 * the error names it. */
int list_page(struct store *store, const struct list_query *query, json_t **page,
	      struct error *error);
/* All of them pass. For those who watch. */
bool list_matches(const json_t *item, const struct list_filter *filters, size_t count);
/* The object that an item's value is, with its revision. *json is the caller's. -EBADMSG, -ENOMEM.
 */
int list_item_json(const struct store_item *item, json_t **json, struct error *error);

#endif
