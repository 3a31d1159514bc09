/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that a host answers. */
#include <errno.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>

#include "api.h"

#define ASK_SECONDS    20u
#define ROOM_OF_OTHERS 2u /* a list and a step of the fleet (fleet.h) */

static void on_gone(void *context)
{
	struct api_asked *asked = context;

	asked->gone = true;
}

json_t *api_asked_result(const struct api_asked *asked, const struct control_answer *answer,
			 const struct error *error)
{
	struct error said = {0};
	json_t *result;

	if (error || answer->code) {
		if (!error)
			error_set(&said, answer->code, "%s: %.*s", asked->host,
				  (int)answer->text_length, answer->text);
		if (!asked->gone)
			api_fail(&asked->request, error ? -error->code : -answer->code,
				 error ? error : &said, NULL);
		return NULL;
	}
	result = answer->result_length ? json_loadb(answer->result, answer->result_length,
						    JSON_REJECT_DUPLICATES, NULL)
				       : json_object();
	if (!result && !asked->gone)
		api_fail(&asked->request, -EPROTO, NULL, NULL);
	return result;
}

void api_asked_show(void *context, const struct control_answer *answer, const struct error *error)
{
	struct api_asked *asked = context;
	json_t *result = api_asked_result(asked, answer, error);

	if (result && !asked->gone)
		http_answer_json(asked->request.exchange, 200, result);
	else
		json_decref(result);
	free(asked);
}

/* Of no room at all, and of a host that there is not, hosts_ask() tells why. */
static bool is_busy(struct plane *plane, const char *host)
{
	unsigned room = hosts_room(plane->hosts, host);

	return room && room <= ROOM_OF_OTHERS;
}

void api_ask_within(struct plane *plane, const struct route_request *request, const char *host,
		    struct control_request *question, unsigned seconds, call_done_fn done)
{
	struct api_asked *asked = calloc(1, sizeof(*asked));
	struct error error = {0};
	int ret = asked && RAND_bytes(question->id, sizeof(question->id)) == 1 ? 0 : -ENOMEM;

	/* Who looks does not keep from a host what has to be done there. */
	if (ret == 0 && is_busy(plane, host))
		ret = error_set(&error, EBUSY, "host %s is asked by others already", host);
	if (ret == 0) {
		asked->plane = plane;
		asked->request = *request;
		snprintf(asked->host, sizeof(asked->host), "%s", host);
		snprintf(asked->who, sizeof(asked->who), "%s", request->caller->name);
		ret = hosts_ask(plane->hosts, asked->host, question, seconds, done, asked, &error);
	}
	if (ret < 0) {
		free(asked);
		api_fail(request, ret, &error, NULL);
		return;
	}
	http_hold(request->exchange, on_gone, asked);
}

void api_ask(struct plane *plane, const struct route_request *request, const char *host,
	     struct control_request *question, call_done_fn done)
{
	api_ask_within(plane, request, host, question, ASK_SECONDS, done);
}
