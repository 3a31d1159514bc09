/* SPDX-License-Identifier: Apache-2.0 */
#include "keys.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "list.h"

#define BASE64_SIZE(length) (((length) + 2) / 3 * 4 + 1)

struct keys {
	struct store *store;
	struct kek *kek;
	char after[STORE_KEY_MAX + 1]; /* up to where a rewrapping has come; "": it begins */
	struct error failed;	       /* the first that it could not do; 0: none */
};

int keys_open(struct store *store, struct kek *kek, struct keys **keys, struct error *error)
{
	int ret = kek_use_locked_memory(error);
	struct keys *made = ret < 0 ? NULL : calloc(1, sizeof(*made));

	if (ret < 0)
		return ret;
	if (!made)
		return error_set(error, ENOMEM, "keys: out of memory");
	made->store = store;
	made->kek = kek;
	*keys = made;
	return 0;
}

void keys_close(struct keys *keys)
{
	free(keys);
}

static int make_path(const char *id, char path[STORE_KEY_MAX + 1], struct error *error)
{
	if (id[0] &&
	    (size_t)snprintf(path, STORE_KEY_MAX + 1, KEYS_PREFIX "%s", id) <= STORE_KEY_MAX)
		return 0;
	return error_set(error, EINVAL, "key: a name must have 1 to %zu characters",
			 STORE_KEY_MAX - strlen(KEYS_PREFIX));
}

/* ---- items ---- */

struct entry {
	json_t *json;
	bool deleted;
	const char *kek; /* the json's */
	uint8_t wrapped[BASE64_SIZE(KEK_WRAPPED_MAX)];
	size_t length;
};

/* Only what would be written for what it says: there are several texts for the same bytes. */
static bool decode_wrapped(const char *text, struct entry *entry)
{
	unsigned char again[BASE64_SIZE(KEK_WRAPPED_MAX)];
	size_t length = strlen(text), padding = 0;
	int got;

	if (!length || length % 4 || length >= sizeof(again))
		return false;
	got = EVP_DecodeBlock(entry->wrapped, (const unsigned char *)text, (int)length);
	while (padding < 2 && text[length - 1 - padding] == '=')
		padding++;
	if (got < 0 || (size_t)got <= padding)
		return false;
	entry->length = (size_t)got - padding;
	EVP_EncodeBlock(again, entry->wrapped, (int)entry->length);
	return entry->length <= KEK_WRAPPED_MAX && !strcmp((const char *)again, text);
}

static bool fill_entry(struct entry *entry)
{
	const char *wrapped = json_string_value(json_object_get(entry->json, "wrapped"));

	entry->kek = json_string_value(json_object_get(entry->json, "kek"));
	entry->deleted = json_is_string(json_object_get(entry->json, "deleted_at"));
	if (!json_is_object(json_object_get(entry->json, "metadata")))
		return false;
	return entry->deleted ? !wrapped : entry->kek && wrapped && decode_wrapped(wrapped, entry);
}

static void entry_free(struct entry *entry)
{
	json_decref(entry->json);
}

/* entry_free() only if it returns 0. */
static int read_entry(const struct store_item *item, struct entry *entry, struct error *error)
{
	int ret;

	*entry = (struct entry){0};
	ret = list_item_json(item, &entry->json, error);
	if (ret < 0 || fill_entry(entry))
		return ret;
	entry_free(entry);
	return error_set(error, EBADMSG,
			 "%s: not what was written; restore the plane's database from a backup",
			 item->key);
}

/* {"metadata", "kek", "wrapped"}; *value is the caller's. */
static int wrap(struct keys *keys, const json_t *metadata, const uint8_t key[KEYS_KEY_SIZE],
		char **value, struct error *error)
{
	const struct kek_calls *calls = keys->kek->calls;
	uint8_t wrapped[KEK_WRAPPED_MAX];
	char text[BASE64_SIZE(KEK_WRAPPED_MAX)];
	ssize_t length = calls->wrap(keys->kek, key, KEYS_KEY_SIZE, wrapped, error);
	json_t *json;

	if (length < 0)
		return (int)length;
	EVP_EncodeBlock((unsigned char *)text, wrapped, (int)length);
	json = json_pack("{s:o, s:s, s:s}", "metadata", json_deep_copy(metadata), "kek",
			 calls->current(keys->kek), "wrapped", text);
	*value = json ? json_dumps(json, JSON_COMPACT) : NULL;
	json_decref(json);
	return *value ? 0 : error_set(error, ENOMEM, "key: out of memory");
}

/* `key` is secure memory. */
static int unwrap(struct keys *keys, const struct store_item *item, const struct entry *entry,
		  uint8_t key[KEYS_KEY_SIZE], struct error *error)
{
	ssize_t length = keys->kek->calls->unwrap(keys->kek, entry->kek, entry->wrapped,
						  entry->length, key, error);

	if (length == KEYS_KEY_SIZE)
		return 0;
	if (length >= 0)
		return error_set(error, EBADMSG, "%s: has %zd bytes instead of %u", item->key,
				 length, KEYS_KEY_SIZE);
	error_prefix(error, "%s", item->key);
	return (int)length;
}

/* ---- make ---- */

int keys_prepare(struct keys *keys, const json_t *metadata, char **value, struct error *error)
{
	uint8_t *key;
	int ret;

	if (!json_is_object(metadata))
		return error_set(error, EINVAL, "key: metadata must be an object");
	key = OPENSSL_secure_malloc(KEYS_KEY_SIZE);
	if (!key)
		return error_set(error, ENOMEM, "key: out of locked memory");
	ret = RAND_priv_bytes(key, KEYS_KEY_SIZE) == 1
		      ? wrap(keys, metadata, key, value, error)
		      : error_set(error, EIO, "key: no random numbers can be had");
	OPENSSL_secure_clear_free(key, KEYS_KEY_SIZE);
	return ret;
}

int keys_make(struct keys *keys, const char *id, const json_t *metadata, uint64_t *revision,
	      struct error *error)
{
	CLEANUP_FREE char *value = NULL;
	char path[STORE_KEY_MAX + 1];
	struct store_change change = {.key = path, .sealed = true};
	int ret = make_path(id, path, error);

	if (ret == 0)
		ret = keys_prepare(keys, metadata, &value, error);
	if (ret < 0)
		return ret;
	change.value = value;
	ret = store_commit(keys->store, &change, 1, revision, error);
	return ret == -ESTALE
		       ? error_set(error, EEXIST, "key %s: there is, or was, one already", id)
		       : ret;
}

/* ---- get ---- */

struct getting {
	struct keys *keys;
	keys_fn fn;
	void *context;
	struct error *error;
};

static int give(const struct getting *getting, const struct store_item *item,
		const struct entry *entry)
{
	uint8_t *key = OPENSSL_secure_malloc(KEYS_KEY_SIZE);
	int ret;

	if (!key)
		return error_set(getting->error, ENOMEM, "%s: out of locked memory", item->key);
	ret = unwrap(getting->keys, item, entry, key, getting->error);
	if (ret == 0)
		ret = getting->fn(getting->context, key);
	OPENSSL_secure_clear_free(key, KEYS_KEY_SIZE);
	return ret;
}

static int get_item(void *context, const struct store_item *item)
{
	const struct getting *getting = context;
	struct entry entry;
	int ret = read_entry(item, &entry, getting->error);

	if (ret < 0)
		return ret;
	ret = entry.deleted ? error_set(getting->error, EKEYREVOKED, "%s: was deleted", item->key)
			    : give(getting, item, &entry);
	entry_free(&entry);
	return ret;
}

int keys_get(struct keys *keys, const char *id, keys_fn fn, void *context, struct error *error)
{
	struct getting getting = {.keys = keys, .fn = fn, .context = context, .error = error};
	char path[STORE_KEY_MAX + 1];
	int ret = make_path(id, path, error);

	return ret < 0 ? ret : store_get(keys->store, path, get_item, &getting, error);
}

/* ---- copy ---- */

struct copying {
	struct keys *keys;
	const json_t *metadata;
	char **value;
	struct error *error;
};

static int wrap_copy(void *context, const uint8_t key[KEYS_KEY_SIZE])
{
	struct copying *copying = context;

	return wrap(copying->keys, copying->metadata, key, copying->value, copying->error);
}

int keys_copy(struct keys *keys, const char *id, const json_t *metadata, char **value,
	      struct error *error)
{
	struct copying copying = {
		.keys = keys, .metadata = metadata, .value = value, .error = error};

	if (!json_is_object(metadata))
		return error_set(error, EINVAL, "key: metadata must be an object");
	return keys_get(keys, id, wrap_copy, &copying, error);
}

/* ---- delete ---- */

struct deletion {
	const char *now;
	char *value; /* of what it is to be; NULL: it is that already */
	uint64_t revision;
	struct error *error;
};

/* What is damaged can be deleted too, as long as it is an object. */
static int make_tombstone(void *context, const struct store_item *item)
{
	struct deletion *deletion = context;
	json_t *json, *grave;
	int ret = list_item_json(item, &json, deletion->error);

	if (ret < 0)
		return ret;
	deletion->revision = item->revision;
	if (!json_object_get(json, "deleted_at") || json_object_get(json, "wrapped")) {
		grave = json_pack("{s:O?, s:s}", "metadata", json_object_get(json, "metadata"),
				  "deleted_at", deletion->now);
		deletion->value = grave ? json_dumps(grave, JSON_COMPACT) : NULL;
		json_decref(grave);
		if (!deletion->value)
			ret = error_set(deletion->error, ENOMEM, "%s: out of memory", item->key);
	}
	json_decref(json);
	return ret;
}

int keys_delete(struct keys *keys, const char *id, uint64_t expected, const char *now,
		struct error *error)
{
	struct deletion deletion = {.now = now, .error = error};
	char path[STORE_KEY_MAX + 1];
	struct store_change change = {.key = path, .expected = expected, .sealed = true};
	int ret = make_path(id, path, error);

	if (ret == 0)
		ret = store_get(keys->store, path, make_tombstone, &deletion, error);
	if (ret == 0 && deletion.value) {
		change.value = deletion.value;
		if (expected == STORE_ANY)
			change.expected = deletion.revision;
		ret = store_commit(keys->store, &change, 1, NULL, error);
		free(deletion.value);
	}
	/* Also of one that was deleted before: that may have come no further. */
	return ret < 0 ? ret : store_scrub(keys->store, error);
}

/* ---- rotation ---- */

struct batch {
	struct keys *keys;
	const char *current;
	uint8_t *key; /* secure memory */
	struct store_change changes[KEYS_BATCH];
	char *paths[KEYS_BATCH], *values[KEYS_BATCH];
	size_t count, seen;
	struct error *error;
};

static int add_change(struct batch *batch, const struct store_item *item, const struct entry *entry)
{
	size_t at = batch->count;
	int ret = unwrap(batch->keys, item, entry, batch->key, batch->error);

	if (ret == 0)
		ret = wrap(batch->keys, json_object_get(entry->json, "metadata"), batch->key,
			   &batch->values[at], batch->error);
	OPENSSL_cleanse(batch->key, KEYS_KEY_SIZE);
	if (ret < 0)
		return ret;
	batch->count++;
	batch->paths[at] = strdup(item->key);
	if (!batch->paths[at])
		return error_set(batch->error, ENOMEM, "%s: out of memory", item->key);
	batch->changes[at] = (struct store_change){.key = batch->paths[at],
						   .value = batch->values[at],
						   .expected = item->revision,
						   .sealed = true};
	return 0;
}

static int look_at(void *context, const struct store_item *item)
{
	struct batch *batch = context;
	struct keys *keys = batch->keys;
	struct entry entry;
	int ret = read_entry(item, &entry, batch->error);

	batch->seen++;
	snprintf(keys->after, sizeof(keys->after), "%s", item->key);
	if (ret == 0) {
		if (!entry.deleted && strcmp(entry.kek, batch->current) != 0)
			ret = add_change(batch, item, &entry);
		entry_free(&entry);
	}
	/* Of this item; all others go on. */
	if (ret == -EBADMSG || ret == -ENOKEY || ret == -EKEYREJECTED) {
		if (!keys->failed.code)
			keys->failed = *batch->error;
		ret = 0;
	}
	return ret;
}

static int do_batch(struct batch *batch)
{
	struct keys *keys = batch->keys;
	int ret;

	batch->key = OPENSSL_secure_malloc(KEYS_KEY_SIZE);
	if (!batch->key)
		return error_set(batch->error, ENOMEM, "keys: out of locked memory");
	ret = store_list(keys->store, KEYS_PREFIX, keys->after[0] ? keys->after : NULL, KEYS_BATCH,
			 look_at, batch, batch->error);
	OPENSSL_secure_clear_free(batch->key, KEYS_KEY_SIZE);
	if (ret == 0 && batch->count)
		ret = store_commit(keys->store, batch->changes, batch->count, NULL, batch->error);
	for (size_t i = 0; i < batch->count; i++) {
		free(batch->paths[i]);
		free(batch->values[i]);
	}
	return ret;
}

static void begin_again(struct keys *keys)
{
	keys->after[0] = '\0';
	keys->failed.code = 0;
}

/* What was wrapped under the others is gone before they are. */
static int end_rotation(struct keys *keys, struct error *error)
{
	int ret = 0;

	if (keys->failed.code) {
		*error = keys->failed;
		ret = -error->code;
	}
	begin_again(keys);
	if (ret == 0)
		ret = store_scrub(keys->store, error);
	return ret < 0 ? ret : keys->kek->calls->retire(keys->kek, error);
}

int keys_rotate(struct keys *keys, struct error *error)
{
	begin_again(keys);
	return keys->kek->calls->rotate(keys->kek, error);
}

int keys_rewrap(struct keys *keys, struct error *error)
{
	struct error own = {0};
	struct batch batch = {
		.keys = keys, .current = keys->kek->calls->current(keys->kek), .error = &own};
	int ret = do_batch(&batch);

	if (ret == 0 && batch.seen == KEYS_BATCH)
		return 1;
	if (ret == 0)
		ret = end_rotation(keys, &own);
	else
		begin_again(keys);
	if (ret < 0 && error)
		*error = own;
	return ret;
}
