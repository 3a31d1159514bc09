/* SPDX-License-Identifier: Apache-2.0 */
#include "doc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/rand.h>

#include "base/base.h"
#include "list.h"

#define PART_MAX 64u /* of a path */

bool doc_name_is_good(const char *name)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
	size_t length = strlen(name);

	return length && length <= DOC_NAME_MAX && name[0] >= 'a' && name[0] <= 'z' &&
	       name[length - 1] != '-' && strspn(name, good) == length;
}

/* ---- reading ---- */

struct reading {
	json_t *doc;
	int ret;
	struct error *error;
};

static int take(void *context, const struct store_item *item)
{
	struct reading *reading = context;

	return list_item_json(item, &reading->doc, reading->error);
}

int doc_read(struct store *store, const char *kind, const char *name, json_t **doc,
	     struct error *error)
{
	struct reading reading = {.error = error};
	char key[STORE_KEY_MAX + 1];
	int ret;

	snprintf(key, sizeof(key), "%s/%s", kind, name);
	ret = store_get(store, key, take, &reading, error);
	if (ret < 0) {
		json_decref(reading.doc);
		return ret;
	}
	*doc = reading.doc;
	return 0;
}

struct walk {
	doc_fn fn;
	void *context;
	struct error *error;
};

static int visit(void *context, const struct store_item *item)
{
	struct walk *walk = context;
	json_t *doc;
	int ret = list_item_json(item, &doc, walk->error);

	if (ret < 0)
		return ret;
	ret = walk->fn(walk->context, doc, walk->error);
	json_decref(doc);
	return ret;
}

int doc_each(struct store *store, const char *kind, doc_fn fn, void *context, struct error *error)
{
	struct walk walk = {fn, context, error};
	char prefix[STORE_KEY_MAX + 1];

	snprintf(prefix, sizeof(prefix), "%s/", kind);
	return store_list(store, prefix, NULL, SIZE_MAX, visit, &walk, error);
}

/* ---- writing ---- */

static const char *keep(struct doc_batch *batch, char *text)
{
	if (!text) {
		batch->failed = batch->failed ? batch->failed : -ENOMEM;
		return NULL;
	}
	batch->texts[batch->text_count++] = text;
	return text;
}

static char *format(const json_t *doc)
{
	json_t *stored = json_copy((json_t *)(uintptr_t)doc);
	char *text;

	json_object_del(stored, "revision");
	text = json_dumps(stored, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(stored);
	return text;
}

/* NULL: there is no room. */
static struct store_change *add(struct doc_batch *batch, const char *kind, const char *name,
				uint64_t expected)
{
	struct store_change *change = &batch->changes[batch->count];
	char *key = NULL;

	if (batch->count == DOC_CHANGES_MAX) {
		batch->failed = batch->failed ? batch->failed : -E2BIG;
		return NULL;
	}
	*change = (struct store_change){.expected = expected};
	change->key = keep(batch, asprintf(&key, "%s/%s", kind, name) < 0 ? NULL : key);
	batch->count++;
	return change;
}

void doc_put(struct doc_batch *batch, const char *kind, const char *name, const json_t *doc,
	     uint64_t expected)
{
	struct store_change *change = add(batch, kind, name, expected);

	if (change && doc)
		change->value = keep(batch, format(doc));
}

void doc_put_sealed(struct doc_batch *batch, const char *kind, const char *name, char *value,
		    uint64_t expected)
{
	struct store_change *change = add(batch, kind, name, expected);

	if (!change) {
		free(value);
		return;
	}
	change->value = keep(batch, value);
	change->sealed = true;
}

void doc_drop(struct doc_batch *batch)
{
	for (size_t i = 0; i < batch->text_count; i++)
		free(batch->texts[i]);
	*batch = DOC_BATCH_NONE;
}

int doc_commit(struct doc_batch *batch, struct store *store, uint64_t *revision,
	       struct error *error)
{
	int ret = batch->failed;

	if (ret < 0)
		error_set(error, -ret, "%s", strerror(-ret));
	else
		ret = store_commit(store, batch->changes, batch->count, revision, error);
	doc_drop(batch);
	return ret;
}

/* ---- what is in one ---- */

json_t *doc_string(const char *text)
{
	char copy[PROBLEM_TEXT_MAX];
	json_t *string;

	snprintf(copy, sizeof(copy), "%s", text);
	string = json_string(copy);
	if (string)
		return string;
	for (size_t i = 0; copy[i]; i++)
		copy[i] = copy[i] & 0x80 ? '?' : copy[i];
	return json_string(copy);
}

void doc_time(int64_t seconds, char text[DOC_TIME_SIZE])
{
	time_t at = (time_t)seconds;
	struct tm parts = {0};

	gmtime_r(&at, &parts);
	strftime(text, DOC_TIME_SIZE, "%Y-%m-%dT%H:%M:%SZ", &parts);
}

static bool make_uid(char text[DOC_UID_SIZE])
{
	uint8_t bytes[(DOC_UID_SIZE - 1) / 2];

	if (RAND_bytes(bytes, sizeof(bytes)) != 1)
		return false;
	for (size_t i = 0; i < sizeof(bytes); i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	return true;
}

json_t *doc_make(const char *name, const json_t *labels, json_t *spec, int64_t now)
{
	char uid[DOC_UID_SIZE], created[DOC_TIME_SIZE];

	doc_time(now, created);
	if (!make_uid(uid)) {
		json_decref(spec);
		return NULL;
	}
	return json_pack("{s:{s:s,s:s,s:s,s:o},s:o,s:{}}", "metadata", "name", name, "uid", uid,
			 "created", created, "labels",
			 labels ? json_deep_copy(labels) : json_object(), "spec", spec, "status");
}

uint64_t doc_revision(const json_t *doc)
{
	return (uint64_t)json_integer_value(json_object_get(doc, "revision"));
}

const char *doc_name(const json_t *doc)
{
	return doc_text(doc, "metadata.name");
}

const char *doc_uid(const json_t *doc)
{
	return doc_text(doc, "metadata.uid");
}

/* The part of a path before its next dot; NULL: there is none, or it is too long. */
static const char *next_part(const char *path, char part[PART_MAX])
{
	size_t length = strcspn(path, ".");

	if (!length || length >= PART_MAX)
		return NULL;
	memcpy(part, path, length);
	part[length] = '\0';
	return path + length + (path[length] == '.');
}

json_t *doc_member(const json_t *doc, const char *path)
{
	char part[PART_MAX];
	json_t *at = (json_t *)(uintptr_t)doc;

	while (at && *path) {
		path = next_part(path, part);
		if (!path)
			return NULL;
		at = json_object_get(at, part);
	}
	return at;
}

const char *doc_text(const json_t *doc, const char *path)
{
	const char *text = json_string_value(doc_member(doc, path));

	return text ? text : "";
}

uint64_t doc_number(const json_t *doc, const char *path)
{
	json_int_t number = json_integer_value(doc_member(doc, path));

	return number < 0 ? 0 : (uint64_t)number;
}

int doc_set(json_t *doc, const char *path, json_t *value)
{
	char part[PART_MAX];

	for (;;) {
		json_t *inner;

		path = next_part(path, part);
		if (!path || !value) {
			json_decref(value);
			return value ? -EINVAL : -ENOMEM;
		}
		if (!*path)
			return json_object_set_new(doc, part, value) ? -ENOMEM : 0;
		inner = json_object_get(doc, part);
		if (!json_is_object(inner)) {
			inner = json_object();
			if (json_object_set_new(doc, part, inner)) {
				json_decref(value);
				return -ENOMEM;
			}
		}
		doc = inner;
	}
}
