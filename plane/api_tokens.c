/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "api.h"
#include "base/base.h"

#define KIND	  AUTH_TOKENS
#define DAY	  86400
#define DAYS_MOST 3650u

/* What it is called by: the beginning of what it is checked against. */
static void show(struct plane *plane, json_t *doc)
{
	const char *digest = doc_text(doc, "sha256");

	(void)plane;
	json_object_set_new(doc, "id", json_stringn(digest, strnlen(digest, AUTH_ID_SIZE - 1)));
}

void api_tokens_list(void *context, const struct route_request *request)
{
	api_list(context, request, KIND, show);
}

static void make(struct plane *plane, const struct route_request *request,
		 const struct auth_token *wanted)
{
	char token[AUTH_TOKEN_SIZE], id[AUTH_ID_SIZE], value[AUTH_VALUE_SIZE];
	char object[API_OBJECT_SIZE] = KIND;
	struct doc_batch batch = DOC_BATCH_NONE;
	struct error error = {0};
	int64_t now = time(NULL);
	uint64_t revision;
	int ret = auth_make_token(wanted, now, token, id, value, &error);

	if (ret == 0) {
		json_t *doc = json_loads(value, 0, NULL);

		snprintf(object, sizeof(object), KIND "/%s", id);
		doc_put(&batch, KIND, id, doc, 0);
		batch.failed = doc ? batch.failed : -ENOMEM;
		json_decref(doc);
		api_once_keep(&batch, request, KIND, id);
		events_add(&plane->events, &batch, now, "added", object, request->caller->name,
			   "a token was made for %s, who is %s", wanted->name,
			   auth_role_name(wanted->role));
		ret = doc_commit(&batch, plane->store, &revision, &error);
	}
	if (ret < 0)
		api_fail(request, ret, &error, object);
	else
		http_answer_json(request->exchange, 201,
				 json_pack("{s:s,s:s,s:s,s:s}", "id", id, "name", wanted->name,
					   "role", auth_role_name(wanted->role), "token", token));
	OPENSSL_cleanse(token, sizeof(token));
}

static int add_of(struct plane *plane, const struct route_request *request, const json_t *body,
		  struct problem *problem)
{
	static const char *const known[] = {"name", "role", "days", NULL};
	struct auth_token wanted = {0};
	const char *role = NULL;
	uint64_t days = 0;

	if (json_in_members(body, "", known, problem) < 0 ||
	    json_in_name(body, "", "name", true, &wanted.name, problem) < 0 ||
	    json_in_text(body, "", "role", true, 16, &role, problem) < 0 ||
	    json_in_number(body, "", "days", false, 1, DAYS_MOST, &days, problem) < 0)
		return -1;
	if (!auth_role_find(role, &wanted.role))
		return problem_set(problem, 422, "invalid", NULL, NULL,
				   "role: must be reader, operator or admin");
	if (days)
		wanted.expires = time(NULL) + (int64_t)days * DAY;
	make(plane, request, &wanted);
	return 0;
}

void api_tokens_make(void *context, const struct route_request *request)
{
	api_add(context, request, add_of);
}

void api_tokens_remove(void *context, const struct route_request *request)
{
	api_forget(context, request, KIND);
}
