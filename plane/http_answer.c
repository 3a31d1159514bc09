/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An answer is made when the exchange ends, and given to the library when that calls for it: at
 * once, if the exchange was answered while it was handed out, else when the library goes on with
 * the connection.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/base.h"
#include "http_private.h"
#include "os/fd.h"

/* ---- headers ---- */

static bool is_clean(const char *text, bool name)
{
	for (; *text; text++) {
		if (*text < ' ' || *text > '~' || (name && (*text == ':' || *text == ' ')))
			return false;
	}
	return true;
}

int http_set_header(struct http_exchange *exchange, const char *name, const char *value)
{
	struct http_request *request = request_of(exchange);
	struct http_answer_header made;

	if (!*name || !is_clean(name, true) || !is_clean(value, false))
		return -EINVAL;
	if (request->header_count == HTTP_ANSWER_HEADERS || strlen(name) > HTTP_HEADER_MAX ||
	    strlen(value) > HTTP_HEADER_MAX)
		return -E2BIG;
	made = (struct http_answer_header){strdup(name), strdup(value)};
	if (!made.name || !made.value) {
		free(made.name);
		free(made.value);
		return -ENOMEM;
	}
	request->headers[request->header_count++] = made;
	return 0;
}

void http_answer_drop(struct http_request *request)
{
	for (size_t i = 0; i < request->header_count; i++) {
		free(request->headers[i].name);
		free(request->headers[i].value);
	}
	request->header_count = 0;
	if (request->response)
		MHD_destroy_response(request->response);
	request->response = NULL;
}

/* ---- waiting ---- */

void http_suspend(struct http_request *request)
{
	struct http_connection *connection = request->connection;
	struct epoll_event event = {.events = EPOLLRDHUP, .data.ptr = connection};

	MHD_suspend_connection(connection->library);
	request->suspended = true;
	/* Without it, a client that goes is noticed when it is written to. */
	epoll_ctl(connection->http->watch_epoll, EPOLL_CTL_ADD, connection->fd, &event);
	http_connection_enter(connection, PHASE_WAITING);
}

void http_resume(struct http_request *request)
{
	struct http_connection *connection = request->connection;

	if (!request->suspended)
		return;
	request->suspended = false;
	epoll_ctl(connection->http->watch_epoll, EPOLL_CTL_DEL, connection->fd, NULL);
	MHD_resume_connection(connection->library);
}

void http_hold(struct http_exchange *exchange, void (*gone)(void *context), void *context)
{
	struct http_request *request = request_of(exchange);

	request->state = REQUEST_HELD;
	request->gone = gone;
	request->gone_context = context;
}

void http_gone(struct http_request *request)
{
	void (*gone)(void *context) = request->gone;

	request->gone = NULL;
	if (request->state == REQUEST_HELD)
		request->state = REQUEST_GONE;
	if (request->stream)
		request->stream->broken = true;
	if (gone)
		gone(request->gone_context);
	http_resume(request);
}

/* ---- answers ---- */

void http_answer_with(struct http_request *request, unsigned status, struct MHD_Response *response)
{
	bool held = request->state == REQUEST_HELD;

	request->state = response ? REQUEST_ANSWERED : REQUEST_GONE;
	request->status = status;
	request->response = response;
	request->gone = NULL;
	if (held)
		http_resume(request);
}

static bool add_headers(struct http_request *request, struct MHD_Response *response)
{
	bool done =
		MHD_add_response_header(response, "Cache-Control", "no-store") == MHD_YES &&
		MHD_add_response_header(response, "X-Content-Type-Options", "nosniff") == MHD_YES;

	for (size_t i = 0; i < request->header_count; i++)
		done = done && MHD_add_response_header(response, request->headers[i].name,
						       request->headers[i].value) == MHD_YES;
	if (request->last || request->connection->http->closing)
		done = done && MHD_add_response_header(response, "Connection", "close") == MHD_YES;
	return done;
}

enum MHD_Result http_answer_queue(struct http_request *request)
{
	struct http_connection *connection = request->connection;
	struct http *http = connection->http;
	enum MHD_Result done = MHD_NO;

	if (request->state != REQUEST_ANSWERED)
		return MHD_NO;
	request->state = REQUEST_QUEUED;
	if (add_headers(request, request->response))
		done = MHD_queue_response(connection->library, request->status, request->response);
	http_answer_drop(request);
	if (request->status / 100 < ARRAY_LEN(http->numbers.by_status))
		http->numbers.by_status[request->status / 100]++;
	http_connection_enter(connection, request->stream ? PHASE_WAITING : PHASE_ANSWERING);
	return done;
}

static struct MHD_Response *make(const char *type, char *text, size_t length,
				 enum MHD_ResponseMemoryMode mode)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(length, text, mode);

	if (response && type &&
	    MHD_add_response_header(response, "Content-Type", type) != MHD_YES) {
		MHD_destroy_response(response);
		return NULL;
	}
	if (!response && mode == MHD_RESPMEM_MUST_FREE)
		free(text);
	return response;
}

static void answer_as(struct http_request *request, unsigned status, const char *type, json_t *body)
{
	static char nothing[] = "{\"type\": \"about:blank\", \"title\": \"Service Unavailable\", "
				"\"status\": 503, \"detail\": \"the plane is out of memory\", "
				"\"code\": \"busy\"}";
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;

	json_decref(body);
	if (text)
		http_answer_with(request, status,
				 make(type, text, strlen(text), MHD_RESPMEM_MUST_FREE));
	else
		http_answer_with(request, 503,
				 make("application/problem+json", nothing, strlen(nothing),
				      MHD_RESPMEM_PERSISTENT));
}

void http_answer_json(struct http_exchange *exchange, unsigned status, json_t *body)
{
	answer_as(request_of(exchange), status, "application/json", body);
}

void http_answer_problem(struct http_exchange *exchange, const struct problem *problem)
{
	answer_as(request_of(exchange), problem->status, "application/problem+json",
		  problem_json(problem));
}

void http_answer_text(struct http_exchange *exchange, unsigned status, const char *type,
		      const char *text, size_t length)
{
	http_answer_with(request_of(exchange), status,
			 make(type, (char *)(uintptr_t)text, length, MHD_RESPMEM_MUST_COPY));
}

void http_set_who(struct http_exchange *exchange, const char *name)
{
	struct http_request *request = request_of(exchange);

	snprintf(request->who, sizeof(request->who), "%s", name);
}
