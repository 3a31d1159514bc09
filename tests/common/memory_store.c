/* SPDX-License-Identifier: Apache-2.0 */
#include "memory_store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void must(bool holds)
{
	if (!holds)
		abort();
}

/* ---- items ---- */

struct item {
	char *key, *value;
	uint64_t created, revision;
};

static struct item items[MEMORY_STORE_ITEMS]; /* by their keys */
static size_t item_count;

static size_t find(const char *key, bool *found)
{
	size_t at = 0;

	while (at < item_count && strcmp(items[at].key, key) < 0)
		at++;
	*found = at < item_count && !strcmp(items[at].key, key);
	return at;
}

static int give(const struct item *item, store_item_fn fn, void *context)
{
	const struct store_item given = {.key = item->key,
					 .value = item->value,
					 .length = strlen(item->value),
					 .created = item->created,
					 .revision = item->revision};

	return fn(context, &given);
}

static int get(struct store *store, const char *key, store_item_fn fn, void *context,
	       struct error *error)
{
	bool found;
	size_t at = find(key, &found);

	(void)store;
	(void)error;
	return found ? give(&items[at], fn, context) : -ENOENT;
}

static int list(struct store *store, const char *prefix, const char *after, size_t limit,
		store_item_fn fn, void *context, struct error *error)
{
	int ret = 0;

	(void)store;
	(void)error;
	for (size_t i = 0; ret == 0 && limit && i < item_count; i++) {
		if (strncmp(items[i].key, prefix, strlen(prefix)) != 0 ||
		    (after && strcmp(items[i].key, after) <= 0))
			continue;
		ret = give(&items[i], fn, context);
		limit--;
	}
	return ret;
}

static void drop_item(size_t at)
{
	free(items[at].key);
	free(items[at].value);
	memmove(&items[at], &items[at + 1], (item_count - at - 1) * sizeof(items[0]));
	item_count--;
}

static void put(const char *key, const char *value, uint64_t revision)
{
	bool found;
	size_t at = find(key, &found);

	if (!found) {
		memmove(&items[at + 1], &items[at], (item_count - at) * sizeof(items[0]));
		items[at] = (struct item){.key = strdup(key), .created = revision};
		item_count++;
	}
	free(items[at].value);
	items[at].value = strdup(value);
	items[at].revision = revision;
	must(items[at].key && items[at].value);
}

static int tell_item(void *context, const struct store_item *item)
{
	store_tell(context, item);
	return 0;
}

static int scrub(struct store *store, struct error *error)
{
	(void)store;
	(void)error;
	return 0;
}

static int commit(struct store *store, const struct store_change *changes, size_t count,
		  uint64_t *revision, struct error *error)
{
	bool found;

	for (size_t i = 0; i < count; i++) {
		size_t at = find(changes[i].key, &found);

		if (changes[i].expected != STORE_ANY &&
		    changes[i].expected != (found ? items[at].revision : 0))
			return error_set(error, ESTALE, "%s", changes[i].key);
	}
	if (item_count + count > MEMORY_STORE_ITEMS)
		return error_set(error, ENOSPC, "full");
	store->revision++;
	for (size_t i = 0; i < count; i++) {
		size_t at = find(changes[i].key, &found);

		if (changes[i].value)
			put(changes[i].key, changes[i].value, store->revision);
		else if (found)
			drop_item(at);
	}
	for (size_t i = 0; i < count; i++) {
		size_t at = find(changes[i].key, &found);
		const struct store_item gone = {.key = changes[i].key, .revision = store->revision};

		if (found)
			give(&items[at], tell_item, store);
		else
			store_tell(store, &gone);
	}
	if (revision)
		*revision = store->revision;
	return 0;
}

static void close_store(struct store *store)
{
	(void)store;
	while (item_count)
		drop_item(0);
}

const struct store_calls memory_store_calls = {
	.get = get, .list = list, .commit = commit, .scrub = scrub, .close = close_store};

void memory_store_put(struct store *store, const char *key, const char *value)
{
	put(key, value, ++store->revision);
}

const char *memory_store_find(const char *key)
{
	bool found;
	size_t at = find(key, &found);

	return found ? items[at].value : NULL;
}

/* ---- key-encryption keys ---- */

static const char *current(const struct kek *kek)
{
	(void)kek;
	return MEMORY_KEK;
}

static ssize_t wrap(struct kek *kek, const uint8_t *plain, size_t length,
		    uint8_t wrapped[KEK_WRAPPED_MAX], struct error *error)
{
	(void)kek;
	(void)plain;
	(void)error;
	memset(wrapped, 0, length + 8);
	return (ssize_t)length + 8;
}

static ssize_t unwrap(struct kek *kek, const char *id, const uint8_t *wrapped, size_t length,
		      uint8_t plain[KEK_PLAIN_MAX], struct error *error)
{
	(void)kek;
	if (strcmp(id, MEMORY_KEK) != 0)
		return error_set(error, ENOKEY, "there is no %s", id);
	if (length != KEK_WRAPPED_MAX || wrapped[0])
		return error_set(error, EKEYREJECTED, "it was not wrapped here");
	memset(plain, 0, KEK_PLAIN_MAX);
	return KEK_PLAIN_MAX;
}

static int do_nothing(struct kek *kek, struct error *error)
{
	(void)kek;
	(void)error;
	return 0;
}

const struct kek_calls memory_kek_calls = {.current = current,
					   .wrap = wrap,
					   .unwrap = unwrap,
					   .rotate = do_nothing,
					   .retire = do_nothing};
