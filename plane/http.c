/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server: its socket, the library, and their place in the loop. Two epoll descriptors stand in
 * it, the library's and one of those clients whom the library does not look at.
 */
#include <errno.h>
#include <gnutls/abstract.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/base.h"
#include "http_private.h"
#include "os/fd.h"

#define BACKLOG	       1024
#define OTHER_FILES    256u	   /* that the program has open beside connections */
#define POOL	       (64u << 10) /* of a connection: more than HTTP_HEAD_MAX, for us to refuse it */
#define TURNS	       16 /* of the library, one after the other, before others have theirs */
#define CLOSING_ROUNDS 64
#define PRIORITY       "NORMAL:-VERS-ALL:+VERS-TLS1.3:%SERVER_PRECEDENCE"

/* ---- the socket ---- */

/* "host:port", "[host]:port": numbers. */
static int split_address(const char *address, char host[64], char port[8])
{
	const char *colon = strrchr(address, ':'), *begin = address;
	size_t length = colon ? (size_t)(colon - address) : 0;

	if (length >= 2 && *begin == '[' && begin[length - 1] == ']') {
		begin++;
		length -= 2;
	}
	if (length == 0 || length >= 64 || strlen(colon + 1) >= 8)
		return -EINVAL;
	memcpy(host, begin, length);
	host[length] = '\0';
	strcpy(port, colon + 1);
	return 0;
}

static int bind_socket(const struct addrinfo *to, unsigned *port)
{
	CLEANUP_CLOSE int fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_in6 bound; /* the port stands where it does in IPv4's */
	socklen_t length = sizeof(bound);
	int on = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    bind(fd, to->ai_addr, to->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0 ||
	    getsockname(fd, (struct sockaddr *)&bound, &length) < 0)
		return -errno;
	*port = ntohs(bound.sin6_port);
	return os_steal_fd(&fd);
}

static int listen_at(const char *address, unsigned *port, struct error *error)
{
	struct addrinfo wanted = {.ai_socktype = SOCK_STREAM,
				  .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE};
	struct addrinfo *found = NULL;
	char host[64], number[8];
	int ret;

	if (split_address(address, host, number) < 0 ||
	    getaddrinfo(host, number, &wanted, &found) != 0)
		return error_set(error, EINVAL,
				 "%s: not an address with a port, such as 127.0.0.1:4750", address);
	ret = bind_socket(found, port);
	freeaddrinfo(found);
	if (ret < 0)
		return error_set(error, -ret, "%s: %s", address, strerror(-ret));
	return ret;
}

/* ---- in the loop ---- */

static void run_library(struct http *http)
{
	MHD_UNSIGNED_LONG_LONG wait;

	for (int i = 0; i < TURNS; i++) {
		MHD_run(http->daemon);
		if (MHD_get_timeout(http->daemon, &wait) != MHD_YES || wait)
			return;
	}
}

static void on_library(void *context, int fd, uint32_t events)
{
	(void)fd;
	(void)events;
	run_library(context);
}

/* A client has gone while it was held, or its stream had nothing to say. */
static void on_watch(void *context, int fd, uint32_t events)
{
	struct epoll_event event;

	(void)events;
	(void)context;
	/* One at a time: what one is told may end another. */
	if (epoll_wait(fd, &event, 1, 0) == 1) {
		struct http_connection *connection = event.data.ptr;

		if (connection->request)
			http_gone(connection->request);
	}
}

static int sooner(int a, int b)
{
	return a < 0 || (b >= 0 && b < a) ? b : a;
}

int http_turn(struct http *http)
{
	MHD_UNSIGNED_LONG_LONG wait;
	int least = sooner(http_connection_turn(http), http_stream_turn(http));

	run_library(http);
	if (MHD_get_timeout(http->daemon, &wait) == MHD_YES)
		least = sooner(least, (int)min_u64(wait, 1000));
	return least;
}

/* ---- open and close ---- */

/* The library wants one, but sessions get theirs in http_tls.c. */
static int no_certificate(gnutls_session_t session, const gnutls_datum_t *names, int name_count,
			  const gnutls_pk_algorithm_t *algorithms, int algorithm_count,
			  gnutls_pcert_st **chain, unsigned *chain_length, gnutls_privkey_t *key)
{
	(void)session;
	(void)names;
	(void)name_count;
	(void)algorithms;
	(void)algorithm_count;
	(void)chain;
	(void)chain_length;
	(void)key;
	return -1;
}

/* The library closes `fd`, if it starts. */
static int start_library(struct http *http, int fd, struct error *error)
{
	const union MHD_DaemonInfo *info;

	http->daemon = MHD_start_daemon(
		MHD_USE_TLS | MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
		http_request_take, http, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_HTTPS_PRIORITIES,
		PRIORITY, MHD_OPTION_HTTPS_CERT_CALLBACK, no_certificate,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)POOL, MHD_OPTION_CONNECTION_LIMIT,
		http->limit + HTTP_SPARE, MHD_OPTION_CONNECTION_TIMEOUT, HTTP_IDLE_SECONDS,
		MHD_OPTION_NOTIFY_CONNECTION, http_connection_notify, http,
		MHD_OPTION_URI_LOG_CALLBACK, http_request_line, http, MHD_OPTION_NOTIFY_COMPLETED,
		http_request_done, http, MHD_OPTION_END);
	info = http->daemon ? MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
	if (!info)
		return error_set(error, ENOMEM, "the HTTP library does not start");
	http->library_epoll = info->epoll_fd;
	return 0;
}

static int start(struct http *http, struct error *error)
{
	CLEANUP_CLOSE int fd = listen_at(http->setup.address, &http->port, error);
	int ret;

	if (fd < 0)
		return fd;
	ret = start_library(http, fd, error);
	if (http->daemon)
		os_steal_fd(&fd);
	if (ret < 0)
		return ret;
	http->watch_epoll = epoll_create1(EPOLL_CLOEXEC);
	ret = http->watch_epoll < 0 ? -errno : 0;
	if (ret == 0)
		ret = os_loop_add(http->loop, http->library_epoll, EPOLLIN, on_library, http);
	if (ret == 0)
		ret = os_loop_add(http->loop, http->watch_epoll, EPOLLIN, on_watch, http);
	return ret < 0 ? error_set(error, -ret, "the HTTP server: %s", strerror(-ret)) : 0;
}

/* As many as the program may have open files for. */
static unsigned connection_limit(void)
{
	struct rlimit files;
	uint64_t most;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return HTTP_OF_AN_ADDRESS;
	most = files.rlim_cur > OTHER_FILES + HTTP_SPARE ? files.rlim_cur - OTHER_FILES - HTTP_SPARE
							 : 16;
	return (unsigned)min_u64(most, HTTP_CONNECTIONS);
}

int http_open(const struct http_setup *setup, struct os_loop *loop, struct http **http,
	      struct error *error)
{
	struct http *made = calloc(1, sizeof(*made));
	int ret;

	if (!made)
		return error_set(error, ENOMEM, "out of memory");
	made->setup = *setup;
	made->setup.certificate = made->setup.key = made->setup.authority = NULL;
	made->loop = loop;
	made->library_epoll = made->watch_epoll = -1;
	made->limit = connection_limit();
	made->authority = setup->authority ? strdup(setup->authority) : NULL;
	if (setup->authority && !made->authority)
		ret = error_set(error, ENOMEM, "out of memory");
	else
		ret = http_identity_make(setup->certificate, setup->key, setup->authority,
					 &made->identity, error);
	if (ret == 0)
		ret = start(made, error);
	made->setup.address = NULL;
	if (ret == 0)
		*http = made;
	else
		http_close(made);
	return ret;
}

static void send_off(struct http_request *request, const struct problem *why)
{
	void (*gone)(void *context) = request->gone;

	request->gone = NULL;
	if (request->state == REQUEST_HELD)
		http_answer_problem(&request->exchange, why);
	else if (request->stream)
		http_stream_end(request->stream);
	if (gone)
		gone(request->gone_context);
}

/* Who waits has his answer, streams their end, answers that are under way a moment. The library
 * does not end with a connection that is suspended. */
static void wind_down(struct http *http)
{
	struct problem why;

	problem_set(&why, 503, "closing", NULL, "try again in a moment", "the plane ends");
	for (unsigned phase = PHASE_WAITING; phase <= PHASE_ENDING; phase++) {
		struct http_connection *at = http->phases[phase].first;

		for (; at; at = at->next) {
			if (at->request)
				send_off(at->request, &why);
		}
	}
	for (int i = 0; i < CLOSING_ROUNDS; i++)
		run_library(http);
}

void http_close(struct http *http)
{
	if (!http)
		return;
	http->closing = true;
	if (http->daemon) {
		wind_down(http);
		os_loop_remove(http->loop, http->library_epoll);
		os_loop_remove(http->loop, http->watch_epoll);
		MHD_stop_daemon(http->daemon);
	}
	os_close(&http->watch_epoll);
	if (http->identity)
		http_identity_drop(http->identity);
	free(http->authority);
	free(http);
}

/* ---- others ---- */

unsigned http_port(const struct http *http)
{
	return http->port;
}

int http_renew(struct http *http, const char *certificate, const char *key, struct error *error)
{
	struct http_identity *made;
	int ret = http_identity_make(certificate, key, http->authority, &made, error);

	if (ret < 0)
		return ret;
	http_identity_drop(http->identity);
	http->identity = made;
	return 0;
}

void http_numbers(const struct http *http, struct http_numbers *numbers)
{
	*numbers = http->numbers;
	numbers->connections = http->count;
}
