/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "api.h"
#include "base/base.h"
#include "list.h"
#include "trust/digest.h"

#define ONCE	     "requests"
#define ONCE_KEY_MAX 64u
#define ONCE_SECONDS 86400
#define ONCE_DIGITS  48u /* of a digest, for a name */

static const char *once_key(const struct route_request *request)
{
	return http_header(request->exchange, "Idempotency-Key");
}

/* Of one caller; a key of any bytes. */
static void once_name(const struct route_request *request, char name[TRUST_DIGEST_DIGITS + 1])
{
	struct trust_digest digest;
	char text[AUTH_NAME_SIZE + ONCE_KEY_MAX + 2];

	snprintf(text, sizeof(text), "%s/%s", request->caller->name, once_key(request));
	trust_digest(text, strlen(text), &digest);
	trust_hex(digest.bytes, ONCE_DIGITS / 2, name);
}

static void once_digest(const struct route_request *request, char digits[TRUST_DIGEST_DIGITS + 1])
{
	const struct http_exchange *exchange = request->exchange;
	struct trust_digest path, digest;

	trust_digest(exchange->path, strlen(exchange->path), &path);
	trust_digest(exchange->body, exchange->body_length, &digest);
	trust_digest_extend(&path, &digest);
	trust_hex(path.bytes, TRUST_DIGEST_SIZE, digits);
}

/* What was made then, as it is now. Without a name it was nothing that could be shown. */
static void show_again(struct plane *plane, const struct route_request *request, const char *kind,
		       const char *name)
{
	char object[API_OBJECT_SIZE];
	struct problem problem = {0};
	json_t *doc = name[0] ? NULL : json_object();

	if (doc || doc_read(plane->store, kind, name, &doc, NULL) == 0) {
		api_complete(plane, kind, doc);
		api_show(request, 200, doc);
		return;
	}
	snprintf(object, sizeof(object), "%s/%s", kind, name);
	problem_set(&problem, 410, "deleted", object, NULL,
		    "it was made by this request, and deleted since");
	http_answer_problem(request->exchange, &problem);
}

static void answer_again(struct plane *plane, const struct route_request *request,
			 const json_t *kept)
{
	char digits[TRUST_DIGEST_DIGITS + 1];
	struct problem problem = {0};

	once_digest(request, digits);
	if (strcmp(digits, doc_text(kept, "digest")) == 0) {
		show_again(plane, request, doc_text(kept, "kind"), doc_text(kept, "name"));
		return;
	}
	problem_set(&problem, 422, "other-request", NULL,
		    "use a new Idempotency-Key for another request",
		    "this Idempotency-Key was that of another request");
	http_answer_problem(request->exchange, &problem);
}

bool api_once(struct plane *plane, const struct route_request *request)
{
	const char *key = once_key(request);
	char name[TRUST_DIGEST_DIGITS + 1];
	struct problem problem = {0};
	json_t *kept = NULL;

	if (!key)
		return false;
	if (!key[0] || strlen(key) > ONCE_KEY_MAX) {
		problem_set(&problem, 400, "bad-request", NULL, NULL,
			    "Idempotency-Key: must have 1 to %u characters", ONCE_KEY_MAX);
		http_answer_problem(request->exchange, &problem);
		return true;
	}
	once_name(request, name);
	if (doc_read(plane->store, ONCE, name, &kept, NULL) < 0)
		return false;
	answer_again(plane, request, kept);
	json_decref(kept);
	return true;
}

void api_once_keep(struct doc_batch *batch, const struct route_request *request, const char *kind,
		   const char *object)
{
	char name[TRUST_DIGEST_DIGITS + 1], digits[TRUST_DIGEST_DIGITS + 1];
	json_t *kept;

	if (!once_key(request) || request->exchange->method != HTTP_POST)
		return;
	once_name(request, name);
	once_digest(request, digits);
	kept = json_pack("{s:s,s:s,s:s,s:I}", "digest", digits, "kind", kind, "name", object, "at",
			 (json_int_t)time(NULL));
	doc_put(batch, ONCE, name, kept, 0);
	json_decref(kept);
}

struct old {
	int64_t before;
	struct doc_batch batch;
};

static int take_old(void *context, const struct store_item *item)
{
	struct old *old = context;
	json_t *kept;
	int ret = list_item_json(item, &kept, NULL);

	if (ret < 0)
		return ret;
	if (json_integer_value(json_object_get(kept, "at")) < old->before)
		doc_put(&old->batch, ONCE, item->key + strlen(ONCE "/"), NULL, item->revision);
	json_decref(kept);
	return old->batch.count == DOC_CHANGES_MAX;
}

int api_once_trim(struct store *store, int64_t now, struct error *error)
{
	struct old old;
	uint64_t revision;
	int ret;

	do {
		old = (struct old){.before = now - ONCE_SECONDS};
		ret = store_list(store, ONCE "/", NULL, SIZE_MAX, take_old, &old, error);
		if (ret < 0 || !old.batch.count) {
			doc_drop(&old.batch);
			return ret;
		}
		ret = doc_commit(&old.batch, store, &revision, error);
	} while (ret == 0);
	return ret;
}
