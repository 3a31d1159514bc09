/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the request line to the exchange that is handed out:
 *
 *	1 http_request_line	the request line is there: taken apart
 *	2 begin			so are the headers: checked. A refusal waits until the body is in,
 *since an answer that is sent before may be lost with the connection
 *	3 take_body		again and again
 *	4 hand_out		the request is whole
 *	5 http_request_done	the answer is through, or the connection has ended
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/base.h"
#include "http_private.h"
#include "http_query.h"
#include "os/clock.h"

/* ---- refusals ---- */

/* What is filled in is the answer; nothing else of the request counts any more. */
static struct problem *refuse(struct http_request *request)
{
	request->last = true;
	return &request->refusal;
}

static void refuse_body(struct http_request *request)
{
	problem_set(refuse(request), 413, "body-too-large", NULL, NULL,
		    "the body of a request has at most %u bytes", HTTP_BODY_MAX);
}

/* ---- 1: the line ---- */

void *http_request_line(void *context, const char *target, struct MHD_Connection *library)
{
	struct http *http = context;
	struct http_connection *connection = http_connection_of(library);
	struct http_request *request = connection ? calloc(1, sizeof(*request)) : NULL;
	const char *why;

	if (!request)
		return NULL;
	request->connection = connection;
	request->begun = os_now();
	request->exchange.number = ++http->number;
	request->exchange.path = request->exchange.body = "";
	memcpy(request->exchange.address, connection->address, sizeof(connection->address));
	connection->request = request;
	http_connection_enter(connection, PHASE_RECEIVING);
	request->target = strdup(target);
	if (!request->target)
		return request;
	why = http_target_parse(request->target, &request->exchange);
	if (why) {
		request->exchange.path = "";
		problem_set(refuse(request), 400, "bad-target", NULL, NULL,
			    "the target of the request is refused: %s", why);
	}
	return request;
}

/* ---- 2: the head ---- */

static bool find_method(struct http_request *request, const char *name)
{
	static const struct {
		const char *name;
		enum http_method method;
	} methods[] = {
		{"GET", HTTP_GET}, {"HEAD", HTTP_GET},	  {"POST", HTTP_POST},
		{"PUT", HTTP_PUT}, {"PATCH", HTTP_PATCH}, {"DELETE", HTTP_DELETE},
	};

	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		if (strcmp(methods[i].name, name) != 0)
			continue;
		request->exchange.method = methods[i].method;
		request->head_only = i == 1;
		snprintf(request->method, sizeof(request->method), "%s", name);
		return true;
	}
	return false;
}

struct head {
	size_t bytes;
	unsigned count, hosts, lengths, encodings, authorizations;
	bool unclean;
};

static enum MHD_Result look_at(void *context, enum MHD_ValueKind kind, const char *name,
			       size_t name_length, const char *value, size_t value_length)
{
	struct head *head = context;

	(void)kind;
	head->bytes += name_length + value_length + sizeof(": \r\n") - 1;
	head->count++;
	head->hosts += strcasecmp(name, "Host") == 0;
	head->lengths += strcasecmp(name, "Content-Length") == 0;
	head->encodings += strcasecmp(name, "Transfer-Encoding") == 0;
	head->authorizations += strcasecmp(name, "Authorization") == 0;
	for (size_t i = 0; i < value_length; i++) {
		unsigned char c = (unsigned char)value[i];

		head->unclean |= (c < ' ' && c != '\t') || c == 0x7f;
	}
	return MHD_YES;
}

/* What two servers could understand differently is refused (RFC 9112, 3.2, 6.3, 11.2). */
static void check_head(struct http_request *request, const struct head *head, const char *version)
{
	if (head->unclean)
		problem_set(refuse(request), 400, "bad-header", NULL, NULL,
			    "a header has control characters in it");
	else if (head->hosts > 1 || (head->hosts == 0 && strcmp(version, "HTTP/1.1") == 0))
		problem_set(refuse(request), 400, "bad-header", NULL, NULL,
			    "there is to be one header Host");
	else if (head->lengths > 1 || head->encodings > 1 || (head->lengths && head->encodings))
		problem_set(refuse(request), 400, "bad-header", NULL, NULL,
			    "the length of the body is said more than once");
	else if (head->authorizations > 1)
		problem_set(refuse(request), 400, "bad-header", NULL, NULL,
			    "there is more than one header Authorization");
}

static uint64_t body_length(struct http_request *request)
{
	const char *length = http_header(&request->exchange, "Content-Length");

	return length ? strtoull(length, NULL, 10) : 0;
}

/* RFC 9110, 10.1.1. */
static bool expects_continue(struct http_request *request)
{
	const char *expect = http_header(&request->exchange, "Expect");

	if (expect && strcasecmp(expect, "100-continue") != 0)
		problem_set(refuse(request), 417, "bad-expectation", NULL, NULL,
			    "nothing is known to expect but 100-continue");
	return expect && strcasecmp(expect, "100-continue") == 0;
}

static void check(struct http_request *request, const char *target, const char *method,
		  const char *version)
{
	struct head head = {.bytes = strlen(target) + strlen(method) + strlen(version) + 4};

	MHD_get_connection_values_n(request->connection->library, MHD_HEADER_KIND, look_at, &head);
	check_head(request, &head, version);
	if (!find_method(request, method))
		problem_set(refuse(request), 501, "method-unknown", NULL, NULL,
			    "methods are GET, HEAD, POST, PUT, PATCH, DELETE");
	if (head.bytes > HTTP_HEAD_MAX || head.count > HTTP_HEADERS_MAX)
		problem_set(refuse(request), 431, "head-too-large", NULL, NULL,
			    "a request line and its headers have at most %u bytes, in %u headers",
			    HTTP_HEAD_MAX, HTTP_HEADERS_MAX);
	if (body_length(request) > HTTP_BODY_MAX)
		refuse_body(request);
}

/* A certificate counts as long as it is good, not as long as its connection. */
static void check_certificate(struct http_request *request)
{
	struct http_connection *connection = request->connection;

	if (!connection->certificate_read)
		http_certificate_read(connection);
	request->exchange.certificate = connection->certificate;
	if (connection->certificate.shown && connection->certificate_end <= time(NULL))
		problem_set(refuse(request), 401, "certificate-ended", connection->certificate.name,
			    "connect with a new one, or without one and with a token",
			    "the certificate of this connection has ended");
}

static enum MHD_Result answer_refusal(struct http_request *request)
{
	request->connection->http->numbers.refused++;
	http_answer_problem(&request->exchange, &request->refusal);
	return http_answer_queue(request);
}

static enum MHD_Result begin(struct http_request *request, const char *url, const char *method,
			     const char *version)
{
	bool waits;

	request->state = REQUEST_RECEIVING;
	if (!request->target)
		return MHD_NO;
	check_certificate(request);
	check(request, url, method, version);
	waits = expects_continue(request);
	if (request->last && (waits || body_length(request) > HTTP_SWALLOW_MAX))
		return answer_refusal(request);
	return MHD_YES;
}

/* ---- 3: the body ---- */

static void free_body(struct http_request *request)
{
	struct http_connection *connection = request->connection;

	connection->origin->body_bytes -= request->body_room;
	connection->http->body_bytes -= request->body_room;
	request->body_room = 0;
	if (request->body)
		explicit_bzero(request->body, request->exchange.body_length);
	free(request->body);
	request->body = NULL;
	request->exchange.body = "";
	request->exchange.body_length = 0;
}

/* Room for `length` bytes and a 0. What it had is wiped: keys come this way. */
static bool grow_body(struct http_request *request, size_t length)
{
	struct http_connection *connection = request->connection;
	struct http *http = connection->http;
	size_t room = request->body_room ? request->body_room : 1024, more;
	char *bytes;

	while (room < length + 1)
		room = min_u64(room * 2, HTTP_BODY_MAX + 1);
	more = room - request->body_room;
	if (more == 0)
		return true;
	if (http->body_bytes + more > HTTP_BODIES_MAX ||
	    connection->origin->body_bytes + more > HTTP_BODIES_OF_AN_ADDRESS)
		return false;
	bytes = malloc(room);
	if (!bytes)
		return false;
	if (request->body) {
		memcpy(bytes, request->body, request->exchange.body_length);
		explicit_bzero(request->body, request->exchange.body_length);
		free(request->body);
	}
	http->body_bytes += more;
	connection->origin->body_bytes += more;
	request->body = bytes;
	request->body_room = room;
	return true;
}

static enum MHD_Result take_body(struct http_request *request, const char *data, size_t length)
{
	struct http_exchange *exchange = &request->exchange;

	if (!request->last && length > HTTP_BODY_MAX - exchange->body_length)
		refuse_body(request);
	else if (!request->last && !grow_body(request, exchange->body_length + length))
		problem_set(refuse(request), 503, "busy", NULL, "try again in a moment",
			    "too much is being sent at once");
	if (request->last) {
		free_body(request);
		request->swallowed += length;
		return request->swallowed > HTTP_SWALLOW_MAX ? MHD_NO : MHD_YES;
	}
	memcpy(request->body + exchange->body_length, data, length);
	exchange->body_length += length;
	request->body[exchange->body_length] = '\0';
	exchange->body = request->body;
	return MHD_YES;
}

/* ---- 4: the exchange ---- */

static enum MHD_Result hand_out(struct http_request *request)
{
	struct http *http = request->connection->http;

	if (request->last)
		return answer_refusal(request);
	request->state = REQUEST_SERVED;
	http->numbers.requests++;
	http->setup.serve(http->setup.context, &request->exchange);
	if (request->state == REQUEST_HELD) {
		http_suspend(request);
		return MHD_YES;
	}
	if (request->state == REQUEST_SERVED) {
		problem_set(&request->refusal, 500, "internal", NULL, NULL, "nobody has answered");
		http_answer_problem(&request->exchange, &request->refusal);
	}
	return http_answer_queue(request);
}

enum MHD_Result http_request_take(void *context, struct MHD_Connection *library, const char *url,
				  const char *method, const char *version, const char *data,
				  size_t *length, void **mine)
{
	struct http_request *request = *mine;
	size_t given = *length;

	(void)context;
	(void)library;
	if (!request)
		return MHD_NO;
	switch (request->state) {
	case REQUEST_NEW:
		return begin(request, url, method, version);
	case REQUEST_RECEIVING:
		*length = 0;
		return given ? take_body(request, data, given) : hand_out(request);
	case REQUEST_ANSWERED:
		return http_answer_queue(request);
	default:
		return MHD_NO;
	}
}

/* ---- 5: the end ---- */

void http_request_done(void *context, struct MHD_Connection *library, void **mine,
		       enum MHD_RequestTerminationCode why)
{
	struct http_request *request = *mine;
	struct http_connection *connection;

	(void)context;
	(void)library;
	(void)why;
	if (!request)
		return;
	*mine = NULL;
	connection = request->connection;
	connection->request = NULL;
	http_gone(request);
	http_log(request);
	http_stream_free(request->stream);
	free_body(request);
	http_answer_drop(request);
	free(request->target);
	free(request);
	http_connection_enter(connection, PHASE_IDLE);
}

const char *http_header(const struct http_exchange *exchange, const char *name)
{
	const struct http_request *request = (const struct http_request *)exchange;

	return MHD_lookup_connection_value(request->connection->library, MHD_HEADER_KIND, name);
}
