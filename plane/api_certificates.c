/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients' certificates: "certificates/<serial>" in the store, and one that is not there counts no
 * more (auth.h), so to delete one is to take it back.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "api.h"
#include "base/base.h"
#include "ca.h"

#define KIND	     AUTH_CERTIFICATES
#define DAYS_DEFAULT 90u
#define DAYS_MOST    ((uint64_t)(CA_SECONDS_MAX / CA_DAY))

/* Those that have expired, some at a time. */
struct ended {
	int64_t now;
	struct doc_batch batch;
};

struct wanted {
	const char *name, *role, *request;
	uint64_t days;
};

static int take_wanted(struct wanted *wanted, const json_t *body, struct problem *problem)
{
	static const char *const known[] = {"name", "role", "days", "request", NULL};
	enum auth_role role;

	wanted->days = DAYS_DEFAULT;
	if (json_in_members(body, "", known, problem) < 0 ||
	    json_in_name(body, "", "name", true, &wanted->name, problem) < 0 ||
	    json_in_text(body, "", "role", true, 16, &wanted->role, problem) < 0 ||
	    json_in_number(body, "", "days", false, 1, DAYS_MOST, &wanted->days, problem) < 0 ||
	    json_in_lines(body, "", "request", true, CA_REQUEST_MAX, &wanted->request, problem) < 0)
		return -1;
	if (strchr(wanted->name, '@'))
		return problem_set(problem, 422, "invalid", NULL, NULL,
				   "name: a certificate's has no '@' in it");
	if (!auth_role_find(wanted->role, &role))
		return problem_set(problem, 422, "invalid", NULL, NULL,
				   "role: must be reader, operator or admin");
	return 0;
}

static json_t *document(const struct wanted *wanted, const struct ca_issued *issued, int64_t now)
{
	return json_pack("{s:s,s:s,s:s,s:I,s:I,s:s}", "id", issued->serial, "name", wanted->name,
			 "role", wanted->role, "created", (json_int_t)now, "expires",
			 (json_int_t)issued->not_after, "certificate", issued->certificate);
}

/* Stored before anybody has it. */
static int keep(struct plane *plane, const struct route_request *request,
		const struct wanted *wanted, const struct ca_issued *issued,
		struct problem *problem)
{
	struct doc_batch batch = DOC_BATCH_NONE;
	char object[API_OBJECT_SIZE];
	struct error error = {0};
	uint64_t revision;
	int64_t now = time(NULL);
	json_t *doc = document(wanted, issued, now);
	int ret;

	snprintf(object, sizeof(object), KIND "/%s", issued->serial);
	if (!doc)
		return api_problem(problem, -ENOMEM, NULL, object);
	doc_put(&batch, KIND, issued->serial, doc, 0);
	api_once_keep(&batch, request, KIND, issued->serial);
	events_add(&plane->events, &batch, now, "added", object, request->caller->name,
		   "a certificate was made for %s, who is %s", wanted->name, wanted->role);
	ret = doc_commit(&batch, plane->store, &revision, &error);
	if (ret == 0)
		http_answer_json(request->exchange, 201, doc);
	else
		json_decref(doc);
	return ret == 0 ? 0 : api_problem(problem, ret, &error, object);
}

static int make(struct plane *plane, const struct route_request *request,
		const struct wanted *wanted, struct problem *problem)
{
	struct ca_want want = {.kind = CA_CLIENT,
			       .name = wanted->name,
			       .role = wanted->role,
			       .now = time(NULL),
			       .seconds = (int64_t)wanted->days * CA_DAY};
	struct ca_issued issued = {0};
	struct error error = {0};
	int ret = ca_issue(plane->identity.ca, &want, wanted->request, strlen(wanted->request),
			   &issued, &error);

	ret = ret < 0 ? api_problem(problem, ret, &error, NULL)
		      : keep(plane, request, wanted, &issued, problem);
	ca_issued_free(&issued);
	return ret;
}

static int take_ended(void *context, const json_t *doc, struct error *error)
{
	struct ended *ended = context;

	(void)error;
	if (json_integer_value(json_object_get(doc, "expires")) <= ended->now)
		doc_put(&ended->batch, KIND, doc_text(doc, "id"), NULL, doc_revision(doc));
	return ended->batch.count == DOC_CHANGES_MAX;
}

int api_certificates_trim(struct store *store, int64_t now, struct error *error)
{
	struct ended ended;
	uint64_t revision;
	int ret;

	do {
		ended = (struct ended){.now = now};
		ret = doc_each(store, KIND, take_ended, &ended, error);
		if (ret < 0 || !ended.batch.count) {
			doc_drop(&ended.batch);
			return ret < 0 ? ret : 0;
		}
		ret = doc_commit(&ended.batch, store, &revision, error);
	} while (ret == 0);
	return ret;
}

void api_certificates_list(void *context, const struct route_request *request)
{
	api_list(context, request, KIND, NULL);
}

static int add_of(struct plane *plane, const struct route_request *request, const json_t *body,
		  struct problem *problem)
{
	struct wanted wanted = {0};

	if (take_wanted(&wanted, body, problem) < 0)
		return -1;
	return make(plane, request, &wanted, problem);
}

void api_certificates_make(void *context, const struct route_request *request)
{
	api_add(context, request, add_of);
}

void api_certificates_remove(void *context, const struct route_request *request)
{
	api_forget(context, request, KIND);
}
