/* SPDX-License-Identifier: Apache-2.0 */
#include "store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

bool store_key_is_valid(const char *key, size_t length)
{
	if (!length || length > STORE_KEY_MAX)
		return false;
	for (size_t i = 0; i < length; i++) {
		if (key[i] < '!' || key[i] > '~')
			return false;
	}
	return true;
}

static int check_key(const char *what, const char *key, struct error *error)
{
	size_t length = strnlen(key, STORE_KEY_MAX + 1);

	if (store_key_is_valid(key, length))
		return 0;
	return error_set(error, EINVAL, "store: a %s must be 1 to %u printable characters", what,
			 STORE_KEY_MAX);
}

int store_get(struct store *store, const char *key, store_item_fn fn, void *context,
	      struct error *error)
{
	int ret = check_key("key", key, error);

	if (ret < 0)
		return ret;
	store->reading++;
	ret = store->calls->get(store, key, fn, context, error);
	store->reading--;
	return ret;
}

int store_list(struct store *store, const char *prefix, const char *after, size_t limit,
	       store_item_fn fn, void *context, struct error *error)
{
	/* An empty prefix: all that there is. */
	int ret = prefix[0] ? check_key("prefix", prefix, error) : 0;

	if (ret == 0 && after)
		ret = check_key("key", after, error);
	if (ret < 0 || !limit)
		return ret;
	store->reading++;
	ret = store->calls->list(store, prefix, after, limit, fn, context, error);
	store->reading--;
	return ret;
}

/* ---- changes ---- */

static int compare_keys(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int check_twice(const struct store_change *changes, size_t count, struct error *error)
{
	CLEANUP_FREE const char **keys = calloc(count, sizeof(*keys));

	if (!keys)
		return error_set(error, ENOMEM, "store: out of memory");
	for (size_t i = 0; i < count; i++)
		keys[i] = changes[i].key;
	qsort(keys, count, sizeof(*keys), compare_keys);
	for (size_t i = 1; i < count; i++) {
		if (!strcmp(keys[i - 1], keys[i]))
			return error_set(error, EINVAL, "store: %s: twice in one commit", keys[i]);
	}
	return 0;
}

static int check_change(const struct store_change *change, struct error *error)
{
	int ret = check_key("key", change->key, error);

	if (ret == 0 && change->value &&
	    strnlen(change->value, STORE_VALUE_MAX + 1) > STORE_VALUE_MAX)
		return error_set(error, E2BIG, "store: %s: longer than %u bytes", change->key,
				 STORE_VALUE_MAX);
	return ret;
}

static int check_idle(const struct store *store, struct error *error)
{
	return store->reading ? error_set(error, EBUSY, "store: changed while it is read") : 0;
}

int store_commit(struct store *store, const struct store_change *changes, size_t count,
		 uint64_t *revision, struct error *error)
{
	int ret = check_idle(store, error);

	if (ret == 0 && (!count || count > STORE_CHANGES_MAX))
		ret = error_set(error, count ? E2BIG : EINVAL,
				"store: a commit has 1 to %u changes", STORE_CHANGES_MAX);
	for (size_t i = 0; ret == 0 && i < count; i++)
		ret = check_change(&changes[i], error);
	if (ret == 0)
		ret = check_twice(changes, count, error);
	return ret < 0 ? ret : store->calls->commit(store, changes, count, revision, error);
}

int store_scrub(struct store *store, struct error *error)
{
	int ret = check_idle(store, error);

	return ret < 0 ? ret : store->calls->scrub(store, error);
}

void store_close(struct store *store)
{
	if (store)
		store->calls->close(store);
}

void store_tell(struct store *store, const struct store_item *item)
{
	if (store->watcher)
		store->watcher(store->watcher_context, item);
}
