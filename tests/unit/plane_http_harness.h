/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plane's HTTPS server in a process of its own, with a few paths for tests, and clients for it:
 * curl(1), openssl-s_client(1) and plain sockets.
 *
 *	/echo	{"method", "path", "body", "query": {...}, "header": X-Test, "name", "unit"}
 *	/hold	waits until /release, which lets all go; /stream: until /say, /flood, /hush
 *	/later	the server's clock is 20 seconds on (where os_now() is wrapped)
 *	/counts	{"held", "gone", "streams", "connections", "refused"}
 */
#ifndef KARUTA_TESTS_PLANE_HTTP_HARNESS_H
#define KARUTA_TESTS_PLANE_HTTP_HARNESS_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/base.h"
#include "http.h"
#include "os/clock.h"
#include "os/fd.h"
#include "problem.h"

#define WAITERS 64

static char folder[] = "/tmp/plane-http-XXXXXX";
static pid_t server;
static unsigned port;

/* ---- the server's side ---- */

struct waiter {
	struct http_exchange *exchange;
	struct http_stream *stream;
};

static struct waiter waiters[WAITERS];
static unsigned gone_count, stop;
static struct http *http;
static uint64_t later;

static void on_gone(void *context)
{
	*(struct waiter *)context = (struct waiter){0};
	gone_count++;
}

static struct waiter *free_waiter(void)
{
	for (unsigned i = 0; i < WAITERS; i++) {
		if (!waiters[i].exchange && !waiters[i].stream)
			return &waiters[i];
	}
	return NULL;
}

static void serve_echo(struct http_exchange *exchange)
{
	static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};
	const char *header = http_header(exchange, "X-Test");
	json_t *query = json_object();

	for (size_t i = 0; i < exchange->query_count; i++)
		json_object_set_new(query, exchange->query[i].name,
				    json_string(exchange->query[i].value));
	http_set_header(exchange, "ETag", "\"7\"");
	http_answer_json(
		exchange, 200,
		json_pack("{s:s, s:s, s:s%, s:i, s:o, s:s, s:s, s:s, s:s, s:s}", "method",
			  methods[exchange->method], "path", exchange->path, "body", exchange->body,
			  exchange->body_length > 100 ? (size_t)100 : exchange->body_length,
			  "length", (int)exchange->body_length, "query", query, "header",
			  header ? header : "", "name", exchange->certificate.name, "unit",
			  exchange->certificate.unit, "serial", exchange->certificate.serial,
			  "address", exchange->address));
}

static void serve_wait(struct http_exchange *exchange, bool stream)
{
	struct waiter *waiter = free_waiter();

	if (stream) {
		waiter->stream = http_stream_begin(exchange, on_gone, waiter);
		http_stream_send(waiter->stream, "hello", 1, "one\ntwo");
	} else {
		waiter->exchange = exchange;
		http_hold(exchange, on_gone, waiter);
	}
}

static void release(struct waiter *waiter, const char *how)
{
	if (waiter->exchange && strcmp(how, "/release") == 0) {
		http_answer_json(waiter->exchange, 200, json_pack("{s:b}", "released", 1));
		waiter->exchange = NULL;
	} else if (waiter->stream && strcmp(how, "/say") == 0) {
		http_stream_send(waiter->stream, NULL, 42, "said");
	} else if (waiter->stream && strcmp(how, "/flood") == 0) {
		static char much[200 << 10];

		memset(much, 'x', sizeof(much) - 1);
		http_stream_send(waiter->stream, "much", 0, much);
	} else if (waiter->stream && strcmp(how, "/hush") == 0) {
		http_stream_end(waiter->stream);
		waiter->stream = NULL;
	}
}

static void serve_counts(struct http_exchange *exchange)
{
	struct http_numbers numbers;
	int held = 0, streams = 0;

	http_numbers(http, &numbers);
	for (unsigned i = 0; i < WAITERS; i++) {
		held += waiters[i].exchange != NULL;
		streams += waiters[i].stream != NULL;
	}
	http_answer_json(exchange, 200,
			 json_pack("{s:i, s:i, s:i, s:I, s:I}", "held", held, "streams", streams,
				   "gone", (int)gone_count, "connections",
				   (json_int_t)numbers.connections, "refused",
				   (json_int_t)numbers.refused));
}

static void serve(void *context, struct http_exchange *exchange)
{
	struct problem problem;
	const char *path = exchange->path;

	(void)context;
	http_set_who(exchange, "someone");
	if (strcmp(path, "/ok") == 0)
		http_answer_text(exchange, 200, "text/plain", "ok\n", 3);
	else if (strncmp(path, "/echo", 5) == 0)
		serve_echo(exchange);
	else if (strcmp(path, "/hold") == 0 || strcmp(path, "/stream") == 0)
		serve_wait(exchange, path[1] == 's');
	else if (strcmp(path, "/counts") == 0)
		serve_counts(exchange);
	else if (strcmp(path, "/later") == 0)
		later += 20 * NS_PER_S;
	else if (strcmp(path, "/stop") == 0)
		stop = 1;
	if (strcmp(path, "/release") == 0 || strcmp(path, "/say") == 0 ||
	    strcmp(path, "/flood") == 0 || strcmp(path, "/hush") == 0 ||
	    strcmp(path, "/later") == 0 || stop) {
		for (unsigned i = 0; i < WAITERS; i++)
			release(&waiters[i], path);
		http_answer_text(exchange, 204, NULL, "", 0);
	} else if (strcmp(path, "/nowhere") == 0) {
		problem_set(&problem, 404, "not-found", "nowhere", "go elsewhere",
			    "it is not there");
		http_answer_problem(exchange, &problem);
	}
}

static char *read_whole(const char *name)
{
	char path[128], *text = calloc(1, 16384);
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "r");
	if (file) {
		size_t got = fread(text, 1, 16383, file);

		text[got] = '\0';
		fclose(file);
	}
	return text;
}

static void renew(int signal)
{
	(void)signal;
	stop = 2;
}

static int run_server(int tell)
{
	CLEANUP_FREE char *certificate = read_whole("plane.pem");
	CLEANUP_FREE char *key = read_whole("plane.key");
	CLEANUP_FREE char *authority = read_whole("ca.pem");
	struct http_setup setup = {.address = "127.0.0.1:0",
				   .certificate = certificate,
				   .key = key,
				   .authority = authority,
				   .serve = serve};
	struct os_loop *loop;
	struct error error = {0};
	int wait = 0;

	signal(SIGUSR1, renew);
	if (os_loop_create(&loop) < 0 || http_open(&setup, loop, &http, &error) < 0) {
		fprintf(stderr, "server: %s\n", error.text);
		return 1;
	}
	port = http_port(http);
	if (write(tell, &port, sizeof(port)) != sizeof(port))
		return 1;
	while (stop != 1) {
		if (stop == 2) {
			CLEANUP_FREE char *other = read_whole("plane2.pem");
			CLEANUP_FREE char *other_key = read_whole("plane2.key");

			stop = http_renew(http, other, other_key, &error) < 0;
		}
		os_loop_once(loop, wait);
		wait = http_turn(http);
	}
	http_close(http);
	os_loop_destroy(loop);
	for (unsigned i = 0; i < WAITERS; i++)
		if (waiters[i].exchange || waiters[i].stream)
			return 2;
	return 0;
}

/* ---- the tests' side ---- */

__attribute__((format(printf, 3, 4))) static int run(char *output, size_t size, const char *format,
						     ...)
{
	char command[4096];
	va_list arguments;
	size_t got = 0, more;
	FILE *pipe;

	va_start(arguments, format);
	vsnprintf(command, sizeof(command), format, arguments);
	va_end(arguments);
	pipe = popen(command, "r");
	assert_non_null(pipe);
	while (got + 1 < size && (more = fread(output + got, 1, size - 1 - got, pipe)) > 0)
		got += more;
	output[got] = '\0';
	return pclose(pipe);
}

/* curl's arguments; output: body, then the status on a line of its own. */
#define CURL "cd %s && timeout 20 curl -s --cacert ca.pem -w '\\n%%{http_code}' "
#define URL  "https://127.0.0.1:%u"

static void start_server(void)
{
	int pair[2];

	assert_int_equal(os_pipe(pair), 0);
	server = fork();
	assert_true(server >= 0);
	if (server == 0) {
		char log[128];
		int fd;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		snprintf(log, sizeof(log), "%s/log", folder);
		fd = open(log, O_CREAT | O_TRUNC | O_WRONLY | O_APPEND, 0600);
		dup2(fd, STDERR_FILENO);
		close(fd);
		exit(run_server(pair[1]));
	}
	close(pair[1]);
	assert_int_equal(read(pair[0], &port, sizeof(port)), sizeof(port));
	close(pair[0]);
}

/* Ends by itself, with nothing left over (and no leak, under ASan). */
static void stop_server(void)
{
	char text[256];
	int status;

	run(text, sizeof(text), CURL URL "/stop", folder, port);
	assert_int_equal(waitpid(server, &status, 0), server);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static int make_folder(void **state)
{
	char text[256];

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	if (!mkdtemp(folder))
		return -1;
	return run(text, sizeof(text),
		   "cd %s && sh %s plane:host plane2:host ann:operator stranger:nobody && "
		   "mkdir other && cd other && sh %s mallory:admin",
		   folder, KARUTA_CERTIFICATES, KARUTA_CERTIFICATES);
}

static int remove_folder(void **state)
{
	char text[256];

	(void)state;
	return run(text, sizeof(text), "rm -rf %s", folder);
}

/* A TCP connection that says nothing, from 127.0.0.`from`. */
static inline int connect_plain(unsigned from)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons((uint16_t)port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in mine = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(0x7f000000 + from)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && (bind(fd, (struct sockaddr *)&mine, sizeof(mine)) < 0 ||
			connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0))
		os_close(&fd);
	return fd;
}

/* What the server says to these bytes over TLS until it ends the connection. They are given to a
 * shell's printf. */
static inline void say(char *answer, size_t size, const char *bytes)
{
	run(answer, size,
	    "cd %s && printf '%s' | timeout 10 openssl s_client -quiet -CAfile ca.pem "
	    "-connect 127.0.0.1:%u 2>/dev/null",
	    folder, bytes, port);
}

static inline long count(const char *what)
{
	char text[512];
	json_t *counts;
	long value;

	run(text, sizeof(text), CURL URL "/counts", folder, port);
	counts = json_loads(text, JSON_DISABLE_EOF_CHECK, NULL);
	value = (long)json_integer_value(json_object_get(counts, what));
	json_decref(counts);
	return value;
}

static inline void wait_for(const char *what, long value)
{
	for (int i = 0; i < 100 && count(what) != value; i++)
		usleep(20000);
	assert_int_equal(count(what), value);
}

#endif
