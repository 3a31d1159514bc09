/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTPS for the plane, over libmicrohttpd (TLS 1.3 by GnuTLS). An exchange is a request and its one
 * answer. It is handed out when the request is whole and within the limits below; whoever gets it
 * answers it exactly once: at once, later (the client waits), or as a stream of server-sent events
 * that has an end when somebody ends it. All calls are from the thread that owns the loop.
 *
 * Clients are taken for hostile: connections (all, and of an address), headers, bodies and times
 * are bounded, and none can hold up another. What goes wrong before an exchange is there is
 * answered here, as problem details too (RFC 9457).
 */
#ifndef KARUTA_PLANE_HTTP_H
#define KARUTA_PLANE_HTTP_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "os/loop.h"

#define HTTP_BODY_MAX	    (1u << 20)
#define HTTP_HEAD_MAX	    (16u << 10) /* request line and headers */
#define HTTP_CONNECTIONS    4096u
#define HTTP_OF_AN_ADDRESS  512u
#define HTTP_IDLE_SECONDS   30u		 /* between bytes, and between requests */
#define HTTP_STREAM_BACKLOG (256u << 10) /* of a stream whose client does not read: it is ended */
#define HTTP_QUERY_MAX	    16u
#define HTTP_SERIAL_SIZE    41u /* of a certificate: small hexadecimal digits, terminated */

enum http_method { HTTP_GET, HTTP_POST, HTTP_PUT, HTTP_PATCH, HTTP_DELETE };

/* Of a certificate that the client has shown and the plane's authority has signed. */
struct http_certificate {
	bool shown;
	char name[64]; /* CN */
	char unit[64]; /* OU */
	char serial[HTTP_SERIAL_SIZE];
};

struct http_query {
	const char *name, *value; /* decoded; printable UTF-8 */
};

struct http_exchange {
	enum http_method method; /* HEAD is a GET whose body is not sent */
	const char *path;	 /* begins with '/', without the query, decoded; no "//", no ".." */
	struct http_query query[HTTP_QUERY_MAX];
	size_t query_count;
	const char *body; /* terminated; "" */
	size_t body_length;
	struct http_certificate certificate;
	char address[64]; /* of the client */
	uint64_t number;  /* for the log; grows */
};

/* Of the request; NULL: it has none. Terminated. */
const char *http_header(const struct http_exchange *exchange, const char *name);
const char *http_query_find(const struct http_exchange *exchange, const char *name);

/* Who asks, for the log; cut to 63 bytes. */
void http_set_who(struct http_exchange *exchange, const char *name);

/* ---- answers: each ends the exchange, whose memory is gone then ---- */

/* A header of the answer, before it; -EINVAL, -E2BIG. "ETag", "Location", "Retry-After", ... */
int http_set_header(struct http_exchange *exchange, const char *name, const char *value);
/* Takes `body` over; NULL: out of memory, which is answered as such. */
void http_answer_json(struct http_exchange *exchange, unsigned status, json_t *body);
void http_answer_text(struct http_exchange *exchange, unsigned status, const char *type,
		      const char *text, size_t length);
/* problem.h makes it. */
struct problem;
void http_answer_problem(struct http_exchange *exchange, const struct problem *problem);

/* The client waits; the answer comes later, from the same thread. `gone` is called instead if the
 * client has gone meanwhile; the exchange is not there any more then. */
void http_hold(struct http_exchange *exchange, void (*gone)(void *context), void *context);

struct http_stream;

/* text/event-stream. `gone`: the client has gone or does not read; the stream is not there any
 * more then. NULL: out of memory, and it is answered. */
struct http_stream *http_stream_begin(struct http_exchange *exchange, void (*gone)(void *context),
				      void *context);
/* `id`: 0, or what the client may begin behind next time (Last-Event-ID). Copies. Never waits. */
void http_stream_send(struct http_stream *stream, const char *event, uint64_t id, const char *data);
void http_stream_end(struct http_stream *stream);

/* ---- the server ---- */

struct http_setup {
	const char *address;			   /* "127.0.0.1:4750", "[::]:4750" */
	const char *certificate, *key, *authority; /* PEM; key: wiped by the caller */
	void (*serve)(void *context, struct http_exchange *exchange);
	void *context;
};

struct http;

int http_open(const struct http_setup *setup, struct os_loop *loop, struct http **http,
	      struct error *error);
/* What has no event of its own. Returns after how many ms it is to be called at the latest. */
int http_turn(struct http *http);
/* Streams end, clients that wait are told that the plane ends (503), and `gone` is called for both.
 * NULL is allowed. */
void http_close(struct http *http);
/* The port that it has, if it was given 0. */
unsigned http_port(const struct http *http);
/* A certificate that takes the place of the one that ends; connections that are there keep theirs.
 */
int http_renew(struct http *http, const char *certificate, const char *key, struct error *error);

struct http_numbers {
	uint64_t connections, requests,
		refused;       /* now; since the start; before they were handed out */
	uint64_t by_status[6]; /* 1xx .. 5xx at 1 .. 5 */
};
void http_numbers(const struct http *http, struct http_numbers *numbers);

#endif
