/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "api.h"
#include "base/base.h"

#define KIND	  "tokens"
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

static void make(struct plane *plane, const struct route_request *request, const char *name,
		 enum auth_role role, uint64_t days)
{
	char token[AUTH_TOKEN_SIZE], id[AUTH_ID_SIZE], object[API_OBJECT_SIZE];
	int64_t now = time(NULL);
	struct doc_batch batch = DOC_BATCH_NONE;
	struct error error = {0};
	uint64_t revision;
	int ret = auth_create_token(plane->store, name, role, now,
				    days ? now + (int64_t)days * DAY : 0, token, id, &error);

	if (ret < 0) {
		api_fail(request, ret, &error, NULL);
		return;
	}
	/* After it: one that nobody was told of does no harm. */
	api_once_keep(&batch, request, KIND, id);
	snprintf(object, sizeof(object), KIND "/%s", id);
	events_add(&plane->events, &batch, now, "added", object, request->caller->name,
		   "a token was made for %s, who is %s", name, auth_role_name(role));
	if (doc_commit(&batch, plane->store, &revision, &error) < 0)
		fprintf(stderr, "karuta-plane: token %s: %s\n", id, error.text);
	http_answer_json(request->exchange, 201,
			 json_pack("{s:s,s:s,s:s,s:s}", "id", id, "name", name, "role",
				   auth_role_name(role), "token", token));
	OPENSSL_cleanse(token, sizeof(token));
}

void api_tokens_make(void *context, const struct route_request *request)
{
	static const char *const known[] = {"name", "role", "days", NULL};
	const char *name = NULL, *role = NULL;
	struct problem problem = {0};
	enum auth_role found = AUTH_NOBODY;
	uint64_t days = 0;
	json_t *body;
	int ret;

	if (api_once(context, request))
		return;
	body = json_in_body(request->exchange, &problem);
	ret = body ? json_in_members(body, "", known, &problem) : -1;
	if (ret == 0)
		ret = json_in_name(body, "", "name", true, &name, &problem);
	if (ret == 0)
		ret = json_in_text(body, "", "role", true, 16, &role, &problem);
	if (ret == 0 && !auth_role_find(role, &found))
		ret = problem_set(&problem, 422, "invalid", NULL, NULL,
				  "role: must be reader, operator or admin");
	if (ret == 0)
		ret = json_in_number(body, "", "days", false, 1, DAYS_MOST, &days, &problem);
	if (ret == 0)
		make(context, request, name, found, days);
	else
		http_answer_problem(request->exchange, &problem);
	json_decref(body);
}

void api_tokens_remove(void *context, const struct route_request *request)
{
	api_forget(context, request, KIND);
}
