/* SPDX-License-Identifier: Apache-2.0 */
/* What hosts tell as it is, and do without the plane's keeping anything of it. */
#include <string.h>

#include "api.h"

#define INSTANCES      "instances"
#define PART_MOST      16u
#define UPDATE_SECONDS 600u /* 64 instances, one part after the other */

/* Into a value of a question; what is not there is 0. */
static int take_number(const struct http_exchange *exchange, const char *name,
		       struct control_value *value, struct problem *problem)
{
	const char *text = http_query_find(exchange, name);
	size_t digits = text ? strspn(text, "0123456789") : 0;

	if (text && (!digits || digits > 18 || text[digits]))
		return problem_set(problem, 400, "bad-query", NULL, NULL,
				   "%s: must be a number of at most 18 digits", name);
	value->given = true;
	value->number = text ? strtoull(text, NULL, 10) : 0;
	return 0;
}

void api_hosts_audit(void *context, const struct route_request *request)
{
	struct control_request question = {.verb = control_verb_find("audit", 5)};
	struct problem problem = {0};

	if (take_number(request->exchange, "since", &question.values[0], &problem) < 0)
		http_answer_problem(request->exchange, &problem);
	else
		api_ask(context, request, request->match->names[0], &question, api_asked_show);
}

void api_hosts_instances(void *context, const struct route_request *request)
{
	struct control_request question = {.verb = control_verb_find("list", 4)};

	question.values[0] = (struct control_value){.given = true, .number = 1}; /* counters */
	api_ask(context, request, request->match->names[0], &question, api_asked_show);
}

void api_hosts_update(void *context, const struct route_request *request)
{
	static const char *const known[] = {"part", NULL};
	struct control_request question = {.verb = control_verb_find("update-host", 11)};
	struct problem problem = {0};
	const char *part = NULL;
	json_t *body = json_in_body(request->exchange, &problem);

	if (!body || json_in_members(body, "", known, &problem) < 0 ||
	    json_in_text(body, "", "part", false, PART_MOST, &part, &problem) < 0) {
		http_answer_problem(request->exchange, &problem);
	} else {
		if (part)
			question.values[0] = (struct control_value){
				.given = true, .text = part, .length = strlen(part)};
		api_ask_within(context, request, request->match->names[0], &question,
			       UPDATE_SECONDS, api_asked_show);
	}
	json_decref(body);
}

static int ask_console(struct plane *plane, const struct route_request *request, const json_t *doc,
		       struct problem *problem)
{
	struct control_request question = {.verb = control_verb_find("console", 7)};
	const char *host = doc_text(doc, "status.host");
	char name[RECORDS_NAME_MAX];

	if (take_number(request->exchange, "from", &question.values[0], problem) < 0)
		return -1;
	if (!*host)
		return api_conflict(problem, INSTANCES, doc_name(doc),
				    "the instance is on no host yet");
	instance_host_name(doc_name(doc), doc_uid(doc), name);
	question.values[1] =
		(struct control_value){.given = true, .text = name, .length = strlen(name)};
	api_ask(plane, request, host, &question, api_asked_show);
	return 0;
}

void api_instances_console(void *context, const struct route_request *request)
{
	json_t *doc = api_find(context, request, INSTANCES);
	struct problem problem = {0};

	if (doc && ask_console(context, request, doc, &problem) < 0)
		http_answer_problem(request->exchange, &problem);
	json_decref(doc);
}
