/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api.h"
#include "base/base.h"
#include "trust/digest.h"

#define KIND	    "hosts"
#define PORT	    4747u
#define REASON_MOST 200u

/* ---- what there is ---- */

static void show(struct plane *plane, json_t *doc)
{
	const char *why = enrolments_why(&plane->enrolments, doc_name(doc));

	hosts_show(plane->hosts, doc);
	if (why) {
		doc_set(doc, "status.text", doc_string(why));
	} else if (!strcmp(doc_text(doc, "status.state"), "enrolling")) {
		doc_set(doc, "status.state", json_string("not-enrolled"));
		doc_set(doc, "status.text",
			json_string("its token has ended with the plane that "
				    "made it; remove it, and add it again"));
	}
}

void api_hosts_list(void *context, const struct route_request *request)
{
	api_list(context, request, KIND, show);
}

void api_hosts_one(void *context, const struct route_request *request)
{
	json_t *doc = api_find(context, request, KIND);

	if (!doc)
		return;
	show(context, doc);
	api_show(request, 200, doc);
}

/* ---- a new one ---- */

struct wanted {
	const char *name, *address;
	json_t *labels;
	char host[INET6_ADDRSTRLEN];
	uint64_t port;
};

/* "192.0.2.1", "192.0.2.1:4747", "::1", "[::1]:4747": numbers, so that the fleet does not depend on
 * names that something in it may serve. */
static int take_address(struct wanted *wanted, struct problem *problem)
{
	const char *text = wanted->address, *end = text[0] == '[' ? strchr(text, ']') : NULL;
	const char *first = strchr(text, ':'), *colon = end ? strchr(end, ':') : first;
	bool alone = !end && first && strchr(first + 1, ':');
	size_t length = alone || !colon ? strlen(text) : (size_t)(colon - text);
	uint8_t bytes[sizeof(struct in6_addr)];
	char *rest = NULL;

	if (end) {
		text++;
		length = (size_t)(end - text);
	}
	wanted->port = PORT;
	if (!alone && colon)
		wanted->port = strtoull(colon + 1, &rest, 10);
	if (length < sizeof(wanted->host)) {
		memcpy(wanted->host, text, length);
		wanted->host[length] = '\0';
	}
	if (length < sizeof(wanted->host) && wanted->port && wanted->port <= UINT16_MAX &&
	    (!rest || (rest > colon + 1 && !*rest)) &&
	    (inet_pton(AF_INET, wanted->host, bytes) == 1 ||
	     inet_pton(AF_INET6, wanted->host, bytes) == 1))
		return 0;
	return problem_set(problem, 422, "invalid", NULL,
			   "give numbers: 192.0.2.1, [2001:db8::1]:4747", "address: %s: is none",
			   wanted->address);
}

static int take_wanted(struct wanted *wanted, const json_t *body, struct problem *problem)
{
	static const char *const known[] = {"name", "address", "labels", NULL};
	int ret = json_in_members(body, "", known, problem);

	if (ret == 0)
		ret = api_take_name(body, "", "name", true, &wanted->name, problem);
	if (ret == 0)
		ret = json_in_text(body, "", "address", true, 64, &wanted->address, problem);
	if (ret == 0)
		ret = take_address(wanted, problem);
	return ret == 0 ? api_take_labels(body, "labels", &wanted->labels, problem) : ret;
}

static int store_new(struct plane *plane, const struct route_request *request,
		     const struct wanted *wanted, json_t **made, struct error *error)
{
	json_t *doc = doc_make(
		wanted->name, wanted->labels,
		json_pack("{s:s,s:I}", "address", wanted->host, "port", (json_int_t)wanted->port),
		time(NULL));
	struct doc_batch batch = DOC_BATCH_NONE;
	char object[DOC_NAME_MAX + sizeof(KIND) + 1];
	uint64_t revision;
	int ret;

	snprintf(object, sizeof(object), KIND "/%s", wanted->name);
	doc_set(doc, "status.state", json_string("enrolling"));
	doc_put(&batch, KIND, wanted->name, doc, 0);
	events_add(&plane->events, &batch, time(NULL), "added", object, request->caller->name,
		   "host %s at %s was added", wanted->name, wanted->host);
	api_once_keep(&batch, request, KIND, wanted->name);
	ret = doc_commit(&batch, plane->store, &revision, error);
	json_decref(doc);
	if (ret == -ESTALE)
		ret = error_set(error, EEXIST, "there is a host %s already", wanted->name);
	return ret < 0 ? ret : doc_read(plane->store, KIND, wanted->name, made, error);
}

/* Before it is stored. */
static int have_room(const struct plane *plane, struct error *error)
{
	if (plane->enrolments.count >= ENROLMENTS_MOST)
		return error_set(error, EBUSY, "%u hosts are being enrolled already",
				 ENROLMENTS_MOST);
	if (hosts_are_all(plane->hosts))
		return error_set(error, EBUSY, "there are %u hosts already", HOSTS_MOST);
	return 0;
}

/* A machine that is added under the name of another would be told to run what may still run there:
 * it is not known to be the same one. */
static int is_another(const struct plane *plane, const char *name, struct error *error)
{
	json_t *doc = NULL;
	bool known = doc_read(plane->store, KIND, name, &doc, NULL) == 0;

	json_decref(doc);
	if (known || !fleet_is_on(plane->fleet, name))
		return 0;
	return error_set(error, ENOTUNIQ,
			 "instances or volumes of a host %s that was removed are still known",
			 name);
}

static void add(struct plane *plane, const struct route_request *request,
		const struct wanted *wanted)
{
	char token[ENROL_TOKEN_SIZE];
	struct error error = {0};
	json_t *doc = NULL;
	int ret = have_room(plane, &error);

	if (ret == 0)
		ret = is_another(plane, wanted->name, &error);
	if (ret == 0)
		ret = store_new(plane, request, wanted, &doc, &error);
	if (ret == 0)
		ret = hosts_changed(plane->hosts, wanted->name, &error);
	if (ret == 0)
		ret = enrolments_begin(&plane->enrolments, doc, token, &error);
	if (ret < 0) {
		json_decref(doc);
		api_fail(request, ret, &error, NULL);
		return;
	}
	json_object_set_new(doc, "token", json_string(token));
	OPENSSL_cleanse(token, sizeof(token));
	api_show(request, 201, doc);
}

static int add_of(struct plane *plane, const struct route_request *request, const json_t *body,
		  struct problem *problem)
{
	struct wanted wanted = {0};

	if (take_wanted(&wanted, body, problem) < 0)
		return -1;
	add(plane, request, &wanted);
	return 0;
}

void api_hosts_add(void *context, const struct route_request *request)
{
	api_add(context, request, add_of);
}

/* What runs there runs on: nobody asks it any more. */
void api_hosts_remove(void *context, const struct route_request *request)
{
	struct plane *plane = context;
	const char *name = request->match->names[0];
	json_t *doc = api_find(plane, request, KIND);
	struct doc_batch batch = DOC_BATCH_NONE;
	char object[NAME_MOST + sizeof(KIND) + 1];
	struct error error = {0};
	uint64_t revision;
	int ret;

	if (!doc)
		return;
	snprintf(object, sizeof(object), KIND "/%s", name);
	doc_put(&batch, KIND, name, NULL, doc_revision(doc));
	events_add(&plane->events, &batch, time(NULL), "removed", object, request->caller->name,
		   "host %s was removed", name);
	json_decref(doc);
	ret = doc_commit(&batch, plane->store, &revision, &error);
	if (ret < 0) {
		api_fail(request, ret, &error, object);
		return;
	}
	enrolments_drop(&plane->enrolments, name);
	hosts_changed(plane->hosts, name, &error);
	http_answer_text(request->exchange, 204, "text/plain", "", 0);
}

/* ---- what a host says ---- */

/* The host's own word is in its log; here it is put aside that it was in quarantine. */
static int store_release(struct plane *plane, const char *host, const char *who,
			 struct error *error)
{
	struct doc_batch batch = DOC_BATCH_NONE;
	char object[NAME_MOST + sizeof(KIND) + 1];
	uint64_t revision;
	json_t *doc = NULL;
	int ret = doc_read(plane->store, KIND, host, &doc, error);

	if (ret < 0)
		return ret;
	snprintf(object, sizeof(object), KIND "/%s", host);
	doc_set(doc, "status.quarantined", json_false());
	doc_put(&batch, KIND, host, doc, doc_revision(doc));
	events_add(&plane->events, &batch, time(NULL), "released", object, who,
		   "host %s was released from its quarantine", host);
	ret = doc_commit(&batch, plane->store, &revision, error);
	json_decref(doc);
	return ret < 0 ? ret : hosts_changed(plane->hosts, host, error);
}

static void on_release(void *context, const struct control_answer *answer,
		       const struct error *error)
{
	struct api_asked *asked = context;
	struct error why = {0};
	/* It may be the plane alone that has it in quarantine: it will be again if it shows the
	 * same. */
	bool had_none = answer && answer->code == ENOENT;
	json_t *result = had_none ? json_object() : api_asked_result(asked, answer, error),
	       *doc = NULL;
	int ret = result ? store_release(asked->plane, asked->host, asked->who, &why) : 0;

	if (result && ret == 0)
		ret = doc_read(asked->plane->store, KIND, asked->host, &doc, &why);
	if (result && !asked->gone) {
		if (ret < 0) {
			api_fail(&asked->request, ret, &why, NULL);
		} else {
			show(asked->plane, doc);
			api_show(&asked->request, 200, doc);
		}
		doc = NULL;
	}
	json_decref(doc);
	json_decref(result);
	free(asked);
}

void api_hosts_evidence(void *context, const struct route_request *request)
{
	struct control_request question = {.verb = control_verb_find("evidence", 8)};
	uint8_t nonce[32];
	char digits[2 * sizeof(nonce) + 1];

	RAND_bytes(nonce, sizeof(nonce));
	trust_hex(nonce, sizeof(nonce), digits);
	question.values[0] =
		(struct control_value){.given = true, .text = digits, .length = strlen(digits)};
	api_ask(context, request, request->match->names[0], &question, api_asked_show);
}

void api_hosts_release(void *context, const struct route_request *request)
{
	static const char *const known[] = {"reason", NULL};
	struct control_request question = {.verb = control_verb_find("release", 7)};
	struct problem problem = {0};
	const char *reason = NULL;
	json_t *body, *doc = api_find(context, request, KIND);

	if (!doc)
		return;
	json_decref(doc);
	body = json_in_body(request->exchange, &problem);
	if (!body || json_in_members(body, "", known, &problem) < 0 ||
	    json_in_text(body, "", "reason", true, REASON_MOST, &reason, &problem) < 0) {
		http_answer_problem(request->exchange, &problem);
	} else {
		question.values[0] = (struct control_value){
			.given = true, .text = reason, .length = strlen(reason)};
		api_ask(context, request, request->match->names[0], &question, on_release);
	}
	json_decref(body);
}
