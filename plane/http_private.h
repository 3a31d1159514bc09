/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of http.h. A connection is in one phase at a time; each phase but two has a longest time,
 * so that a list of a phase, oldest first, is also the order in which time is up. Connections are
 * ended from outside by shutdown(2): the library notices, and gives them back.
 */
#ifndef KARUTA_PLANE_HTTP_PRIVATE_H
#define KARUTA_PLANE_HTTP_PRIVATE_H

#include <gnutls/gnutls.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <time.h>

#include "http.h"
#include "problem.h"

#define HTTP_FRESH_SECONDS   15u /* until the first request line, the handshake included */
#define HTTP_REQUEST_SECONDS 60u /* from a request line to the end of its body */
#define HTTP_ANSWER_SECONDS  60u /* for a client to take an answer */
#define HTTP_BEAT_SECONDS    15u /* a stream that has nothing to say says so */
#define HTTP_HEADERS_MAX     64u
#define HTTP_ANSWER_HEADERS  8u
#define HTTP_HEADER_MAX	     1024u /* of an answer */
#define HTTP_SWALLOW_MAX                                                                           \
	(16u * HTTP_BODY_MAX) /* of a body that is refused, for its answer to arrive */
#define HTTP_BODIES_MAX		  (64u << 20) /* of all that are being received and served */
#define HTTP_BODIES_OF_AN_ADDRESS (HTTP_BODIES_MAX / 4)
#define HTTP_ORIGIN_BUCKETS	  256u
#define HTTP_SPARE		  128u /* connections that were ended and are not back yet */

enum http_phase {
	PHASE_FRESH,	 /* no request line yet */
	PHASE_IDLE,	 /* its last answer is through */
	PHASE_RECEIVING, /* a request line was there */
	PHASE_ANSWERING,
	PHASE_WAITING, /* held, or a stream */
	PHASE_ENDING,  /* was shut down */
	PHASE_COUNT,
};

/* Clients of one address: of one IPv4 address, of one /64 of IPv6. */
struct http_origin {
	struct http_origin *next;
	uint8_t bytes[16];
	unsigned connections;
	size_t body_bytes;
};

/* A certificate of ours, for as long as connections have it. */
struct http_identity {
	gnutls_certificate_credentials_t credentials;
	unsigned users;
};

struct http_connection {
	struct http_connection *next, *previous; /* of its phase */
	struct http *http;
	struct MHD_Connection *library;
	enum http_phase phase;
	uint64_t since; /* os_now() */
	int fd;
	struct http_origin *origin;
	struct http_identity *identity;
	bool certificate_read;
	struct http_certificate certificate;
	time_t certificate_end;
	char address[64];
	struct http_request *request;
};

struct http_list {
	struct http_connection *first, *last;
};

struct http_stream {
	struct http_request *request;
	char *bytes;
	size_t length, room, sent;
	bool ended, broken;
	uint64_t spoken; /* os_now() of the last bytes */
	struct http_stream *next, *previous;
};

enum http_state {
	REQUEST_NEW, /* its line is there */
	REQUEST_RECEIVING,
	REQUEST_SERVED, /* handed out */
	REQUEST_HELD,
	REQUEST_ANSWERED, /* the library has not got the answer yet */
	REQUEST_QUEUED,
	REQUEST_GONE, /* its client */
};

struct http_answer_header {
	char *name, *value;
};

struct http_request {
	struct http_exchange exchange; /* the first: see request_of() */
	struct http_connection *connection;
	enum http_state state;
	bool suspended, head_only, last; /* last: the connection ends with it */
	char *target;			 /* what path and query point into */
	char *body;
	size_t body_room, swallowed;
	struct problem refusal; /* status 0: none */
	char who[64];
	char method[16];
	uint64_t begun;
	struct http_answer_header headers[HTTP_ANSWER_HEADERS];
	size_t header_count;
	struct MHD_Response *response;
	unsigned status;
	void (*gone)(void *context);
	void *gone_context;
	struct http_stream *stream;
};

struct http {
	struct http_setup setup;
	char *authority;
	struct os_loop *loop;
	struct MHD_Daemon *daemon;
	struct http_identity *identity;
	int library_epoll; /* the library's */
	int watch_epoll;   /* of ours: connections that the library does not look at */
	unsigned port, limit, count;
	struct http_list phases[PHASE_COUNT];
	struct http_stream *streams;
	struct http_origin *origins[HTTP_ORIGIN_BUCKETS];
	size_t body_bytes;
	bool closing;
	uint64_t number;
	struct http_numbers numbers;
};

static inline struct http_request *request_of(struct http_exchange *exchange)
{
	return (struct http_request *)exchange;
}

/* http_connection.c */
void http_connection_notify(void *context, struct MHD_Connection *library, void **mine,
			    enum MHD_ConnectionNotificationCode code);
struct http_connection *http_connection_of(struct MHD_Connection *library);
void http_connection_enter(struct http_connection *connection, enum http_phase phase);
/* Ends connections whose time is up; after how many ms it has to look again, -1: no need. */
int http_connection_turn(struct http *http);

/* http_request.c: the library's three. */
void *http_request_line(void *context, const char *target, struct MHD_Connection *library);
enum MHD_Result http_request_take(void *context, struct MHD_Connection *library, const char *url,
				  const char *method, const char *version, const char *data,
				  size_t *length, void **mine);
void http_request_done(void *context, struct MHD_Connection *library, void **mine,
		       enum MHD_RequestTerminationCode why);

/* http_answer.c */
/* Takes over `response`; NULL: the client is told by the connection's end. */
void http_answer_with(struct http_request *request, unsigned status, struct MHD_Response *response);
enum MHD_Result http_answer_queue(struct http_request *request);
void http_answer_drop(struct http_request *request);
/* Held, and streams: the library lets the connection alone, we look whether the client goes. */
void http_suspend(struct http_request *request);
void http_resume(struct http_request *request);
/* Its client has gone: who holds it is told, the library ends it. */
void http_gone(struct http_request *request);

/* http_stream.c */
void http_stream_free(struct http_stream *stream);
/* As http_connection_turn(). */
int http_stream_turn(struct http *http);

/* http_tls.c */
int http_identity_make(const char *certificate, const char *key, const char *authority,
		       struct http_identity **identity, struct error *error);
void http_identity_drop(struct http_identity *identity);
/* Gives the session our certificate, and asks for the client's. */
int http_identity_use(struct http_identity *identity, gnutls_session_t session, bool ask);
/* What the handshake has verified. */
void http_certificate_read(struct http_connection *connection);

/* http_log.c: one line on stderr. */
void http_log(const struct http_request *request);

#endif
