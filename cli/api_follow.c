/* SPDX-License-Identifier: Apache-2.0 */
/* A stream of events, which goes on behind the last one when its connection was lost. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api_private.h"
#include "cli.h"
#include "events.h"
#include "interrupt.h"

#define PAUSE_MS 1000u

struct stream {
	struct api *api;
	struct api_follow *follow;
	struct events events;
	int result; /* of who takes the events */
	bool lost;  /* has been told */
};

static int take_event(void *context, const struct events *events, const char *text)
{
	struct stream *stream = context;
	json_t *event = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	int result = 0;

	stream->lost = false;
	if (events->has_id)
		stream->follow->since = events->id;
	if (json_is_object(event))
		result = stream->follow->take(stream->follow->context, event);
	json_decref(event);
	return result;
}

/* A refusal is no stream: it is kept whole. */
static size_t take_bytes(char *bytes, size_t size, size_t count, void *context)
{
	struct stream *stream = context;
	long status = 0;

	(void)size;
	curl_easy_getinfo(stream->api->curl, CURLINFO_RESPONSE_CODE, &status);
	if (status != 200)
		return api_body_add(&stream->api->body, bytes, count) ? 0 : count;
	stream->result = events_add(&stream->events, bytes, count);
	return stream->result ? 0 : count;
}

static int set_up(struct stream *stream, struct curl_slist **headers, struct error *error)
{
	CURL *curl = stream->api->curl;
	char path[API_PATH_MAX];
	int result;

	snprintf(path, sizeof(path), "%s?since=%llu", stream->follow->path,
		 (unsigned long long)stream->follow->since);
	result = api_prepare(stream->api, path, headers, error);
	if (result)
		return result;
	if (api_header(headers, "Accept", "text/event-stream") ||
	    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, *headers) ||
	    curl_easy_setopt(curl, CURLOPT_TIMEOUT, 0L) ||
	    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_bytes) ||
	    curl_easy_setopt(curl, CURLOPT_WRITEDATA, stream))
		return error_set(error, ENOMEM, "out of memory");
	return 0;
}

static int tell_refusal(struct stream *stream, struct error *error)
{
	struct api_answer answer;
	int result = api_take_answer(stream->api, &answer, error);

	return result ? result : api_tell(&answer);
}

/* The first connection has to come about; who was there once is waited for. */
static int lost(struct stream *stream, CURLcode code, bool first, struct error *error)
{
	bool away = api_is_lost(code) || code == CURLE_OK || code == CURLE_COULDNT_CONNECT ||
		    code == CURLE_OPERATION_TIMEDOUT;

	if (!away || (first && code == CURLE_COULDNT_CONNECT))
		return api_transport_error(stream->api, code, false, error);
	if (!stream->lost)
		fprintf(stderr, "karuta: the plane has gone; waiting for it\n");
	stream->lost = true;
	api_pause(PAUSE_MS);
	return 0;
}

static int one_connection(struct stream *stream, bool first, struct error *error)
{
	struct curl_slist *headers = NULL;
	long status = 0;
	CURLcode code;
	int result = set_up(stream, &headers, error);

	if (!result) {
		events_reset(&stream->events);
		code = curl_easy_perform(stream->api->curl);
		curl_easy_getinfo(stream->api->curl, CURLINFO_RESPONSE_CODE, &status);
		if (interrupt_pending())
			result = 0;
		else if (stream->result == -EMSGSIZE || stream->result == -ENOMEM)
			result = error_set(error, -stream->result, "an event: %s",
					   strerror(-stream->result));
		else if (stream->result)
			result = stream->result;
		else if (status && status != 200 && !code)
			result = tell_refusal(stream, error);
		else
			result = lost(stream, code, first, error);
	}
	curl_easy_setopt(stream->api->curl, CURLOPT_HTTPHEADER, NULL);
	api_headers_free(headers);
	return result;
}

int api_follow(struct api *api, struct api_follow *follow, struct error *error)
{
	struct stream stream = {.api = api, .follow = follow, .events = {.take = take_event}};
	bool first = true;
	int result = 0;

	stream.events.context = &stream;
	while (!result && !interrupt_pending()) {
		result = one_connection(&stream, first, error);
		first = false;
	}
	events_free(&stream.events);
	return result;
}
