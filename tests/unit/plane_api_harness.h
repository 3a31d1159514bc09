/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handlers of a plane, called as its server would, without one: the routes, store, keys and
 * fleet are real, but the fleet never has its turn, so documents are as handlers and tests leave
 * them. What is answered is in `status` and `answer`.
 */
#ifndef KARUTA_TESTS_PLANE_API_HARNESS_H
#define KARUTA_TESTS_PLANE_API_HARNESS_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "api.h"
#include "base/base.h"
#include "plane_folder.h"

#define DAY_MS (UINT64_C(86400) * 1000)

static struct plane plane;
static struct error error;
static unsigned status;
static json_t *answer; /* NULL: it has none */
static unsigned answers;
static char etag[32];
static const char *once_key, *if_match;
static enum auth_role role;

/* ---- instead of a server ---- */

const char *http_header(const struct http_exchange *exchange, const char *name)
{
	(void)exchange;
	if (!strcmp(name, "Idempotency-Key"))
		return once_key;
	if (!strcmp(name, "If-Match"))
		return if_match;
	return !strcmp(name, "Content-Type") ? "application/json" : NULL;
}

void http_set_who(struct http_exchange *exchange, const char *name)
{
	(void)exchange;
	(void)name;
}

int http_set_header(struct http_exchange *exchange, const char *name, const char *value)
{
	(void)exchange;
	if (!strcmp(name, "ETag"))
		snprintf(etag, sizeof(etag), "%s", value);
	return 0;
}

void http_answer_json(struct http_exchange *exchange, unsigned code, json_t *body)
{
	(void)exchange;
	answers++;
	status = code;
	json_decref(answer);
	answer = body;
}

void http_answer_text(struct http_exchange *exchange, unsigned code, const char *type,
		      const char *text, size_t length)
{
	(void)type;
	(void)text;
	(void)length;
	http_answer_json(exchange, code, NULL);
}

void http_answer_problem(struct http_exchange *exchange, const struct problem *problem)
{
	http_answer_json(exchange, problem->status, problem_json(problem));
}

void http_hold(struct http_exchange *exchange, void (*gone)(void *context), void *context)
{
	(void)exchange;
	(void)gone;
	(void)context;
}

struct http_stream *http_stream_begin(struct http_exchange *exchange, void (*gone)(void *context),
				      void *context)
{
	http_hold(exchange, gone, context);
	return NULL;
}

void http_stream_send(struct http_stream *stream, const char *event, uint64_t id, const char *data)
{
	(void)stream;
	(void)event;
	(void)id;
	(void)data;
}

void http_stream_end(struct http_stream *stream)
{
	(void)stream;
}

void http_numbers(const struct http *http, struct http_numbers *numbers)
{
	(void)http;
	*numbers = (struct http_numbers){0};
}

/* ---- requests ---- */

static void take_query(struct http_exchange *exchange, char *query)
{
	for (char *at = strtok(query, "&"); at; at = strtok(NULL, "&")) {
		char *equals = strchr(at, '=');

		*equals = '\0';
		exchange->query[exchange->query_count++] =
			(struct http_query){.name = at, .value = equals + 1};
	}
}

static void serve(struct http_exchange *exchange)
{
	struct auth_caller caller = {.name = "ann", .role = role};
	struct route_match match;

	for (size_t i = 0; i < plane_route_count; i++) {
		const struct route *route = &plane_routes[i];

		if (route->method != exchange->method ||
		    !route_matches(route->pattern, exchange->path, &match))
			continue;
		if (caller.role < route->least)
			http_answer_json(exchange, 403, NULL);
		else
			route->handler(&plane, &(struct route_request){exchange, &caller, &match});
		return;
	}
	http_answer_json(exchange, 404, NULL);
}

/* `body`: with ' for ". Returns the status; each request has one answer. */
static unsigned ask(enum http_method method, const char *path, const char *body)
{
	static char target[512], text[8192];
	struct http_exchange exchange = {.method = method, .path = target, .body = text};
	char *query;

	snprintf(target, sizeof(target), "%s", path);
	snprintf(text, sizeof(text), "%s", body);
	for (char *at = text; (at = strchr(at, '\'')); at++)
		*at = '"';
	exchange.body_length = strlen(text);
	query = strchr(target, '?');
	if (query) {
		*query = '\0';
		take_query(&exchange, query + 1);
	}
	answers = 0;
	serve(&exchange);
	assert_int_equal(answers, 1);
	return status;
}

#define GET(path)	  ask(HTTP_GET, path, "")
#define POST(path, body)  ask(HTTP_POST, path, body)
#define PATCH(path, body) ask(HTTP_PATCH, path, body)
#define DELETE(path)	  ask(HTTP_DELETE, path, "")

/* That it is refused with this status, and these words. */
static void refused(unsigned was, unsigned expected, const char *words)
{
	const char *detail = doc_text(answer, "detail");

	if (was != expected || !strstr(detail, words))
		fail_msg("%u %s: %s instead of %u %s", was, doc_text(answer, "code"), detail,
			 expected, words);
}

/* ---- what is stored ---- */

static json_t *stored(const char *kind, const char *name)
{
	json_t *doc = NULL;

	if (doc_read(plane.store, kind, name, &doc, &error) < 0)
		return NULL;
	return doc;
}

/* Takes `doc` over. */
static void store(const char *kind, json_t *doc)
{
	struct doc_batch batch = DOC_BATCH_NONE;

	doc_put(&batch, kind, doc_name(doc), doc, STORE_ANY);
	assert_int_equal(doc_commit(&batch, plane.store, NULL, &error), 0);
	json_decref(doc);
}

static uint64_t number(const char *kind, const char *name, const char *path)
{
	json_t *doc = stored(kind, name);
	json_t *member = doc_member(doc, path);
	uint64_t value = json_is_boolean(member) ? json_is_true(member) : doc_number(doc, path);

	assert_non_null(member);
	json_decref(doc);
	return value;
}

/* There until the next call but one. */
static const char *text(const char *kind, const char *name, const char *path)
{
	static char texts[2][256];
	static unsigned turn;
	json_t *doc = stored(kind, name);

	turn = !turn;
	snprintf(texts[turn], sizeof(texts[turn]), "%s", doc_text(doc, path));
	json_decref(doc);
	return texts[turn];
}

static bool is_there(const char *kind, const char *name)
{
	json_t *doc = stored(kind, name);

	json_decref(doc);
	return doc;
}

/* As the fleet would. */
static void set(const char *kind, const char *name, const char *path, json_t *value)
{
	json_t *doc = stored(kind, name);

	assert_non_null(doc);
	assert_int_equal(doc_set(doc, path, value), 0);
	store(kind, doc);
}

static inline void forget(const char *kind, const char *name)
{
	struct doc_batch batch = DOC_BATCH_NONE;

	doc_put(&batch, kind, name, NULL, STORE_ANY);
	assert_int_equal(doc_commit(&batch, plane.store, NULL, &error), 0);
}

/* ---- begin and end ---- */

static void on_change(void *context, const struct store_item *item)
{
	(void)context;
	fleet_tell(plane.fleet, item);
}

static int set_up(void **state)
{
	struct fleet_setup setup = {.events = &plane.events, .hosts = &plane.hosts};
	int ret = plane_folder_make(state);

	plane = (struct plane){0};
	role = AUTH_OPERATOR;
	once_key = if_match = NULL;
	if (ret < 0 || store_sqlite_open(plane_folder, &plane.store, &error) < 0 ||
	    events_open(&plane.events, plane.store, &error) < 0 ||
	    kek_file_open(plane_path("kek"), &plane.kek, &error) < 0 ||
	    keys_open(plane.store, plane.kek, &plane.keys, &error) < 0)
		return -1;
	setup.store = plane.store;
	setup.keys = plane.keys;
	if (fleet_open(&setup, &plane.fleet, &error) < 0)
		return -1;
	plane.store->watcher = on_change;
	return 0;
}

static int tear_down(void **state)
{
	json_decref(answer);
	answer = NULL;
	fleet_close(plane.fleet);
	keys_close(plane.keys);
	plane.kek->calls->close(plane.kek);
	store_close(plane.store);
	return plane_folder_remove(state);
}

#endif
