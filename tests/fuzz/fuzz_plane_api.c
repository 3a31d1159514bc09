/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plane's handlers, with what a client sends and with what the store has. The first byte says
 * which: below 128 a request of the list, the rest is its body; else an item of the store, the rest
 * is its value, and all requests of the list come then. Each has exactly one answer. What is kept
 * is in memory, and begins anew each time.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

/* A handler that reads a body is a line here. */
static const struct {
	enum http_method method;
	const char *path;
} requests[] = {
	{HTTP_POST, "/v1/hosts"}, {HTTP_POST, "/v1/tokens"},  {HTTP_POST, "/v1/hosts/h1/release"},
	{HTTP_GET, "/v1/hosts"},  {HTTP_GET, "/v1/hosts/h1"}, {HTTP_GET, "/v1/hosts/h1/evidence"},
	{HTTP_GET, "/v1/tokens"}, {HTTP_GET, "/v1/events"},   {HTTP_DELETE, "/v1/hosts/h1"},
};

static char token_key[64]; /* of who asks */
/* What is read back is a line here. */
static const char *const stored[] = {"hosts/h1", "events/00000000000000000001", token_key,
				     "requests/a"};

/* For requests to it. */
static const char host[] =
	"{\"metadata\":{\"name\":\"h1\",\"uid\":\"01\",\"labels\":{}},\"spec\":{\"address\":"
	"\"127.0.0.1\",\"port\":4747},\"status\":{\"enrolled\":true}}";

static void must(bool holds)
{
	if (!holds)
		abort();
}

/* ---- a store ---- */

#define ITEMS_MAX 32u

struct item {
	char *key, *value;
	uint64_t created, revision;
};

static struct item items[ITEMS_MAX]; /* by their keys */
static size_t item_count;

static size_t find(const char *key, bool *found)
{
	size_t at = 0;

	while (at < item_count && strcmp(items[at].key, key) < 0)
		at++;
	*found = at < item_count && !strcmp(items[at].key, key);
	return at;
}

static int give(const struct item *item, store_item_fn fn, void *context)
{
	const struct store_item given = {.key = item->key,
					 .value = item->value,
					 .length = strlen(item->value),
					 .created = item->created,
					 .revision = item->revision};

	return fn(context, &given);
}

static int get(struct store *store, const char *key, store_item_fn fn, void *context,
	       struct error *error)
{
	bool found;
	size_t at = find(key, &found);

	(void)store;
	(void)error;
	return found ? give(&items[at], fn, context) : -ENOENT;
}

static int list(struct store *store, const char *prefix, const char *after, size_t limit,
		store_item_fn fn, void *context, struct error *error)
{
	int ret = 0;

	(void)store;
	(void)error;
	for (size_t i = 0; ret == 0 && limit && i < item_count; i++) {
		if (strncmp(items[i].key, prefix, strlen(prefix)) != 0 ||
		    (after && strcmp(items[i].key, after) <= 0))
			continue;
		ret = give(&items[i], fn, context);
		limit--;
	}
	return ret;
}

static void drop_item(size_t at)
{
	free(items[at].key);
	free(items[at].value);
	memmove(&items[at], &items[at + 1], (item_count - at - 1) * sizeof(items[0]));
	item_count--;
}

static void put(const char *key, const char *value, uint64_t revision)
{
	bool found;
	size_t at = find(key, &found);

	if (!found) {
		memmove(&items[at + 1], &items[at], (item_count - at) * sizeof(items[0]));
		items[at] = (struct item){.key = strdup(key), .created = revision};
		item_count++;
	}
	free(items[at].value);
	items[at].value = strdup(value);
	items[at].revision = revision;
	must(items[at].key && items[at].value);
}

static int commit(struct store *store, const struct store_change *changes, size_t count,
		  uint64_t *revision, struct error *error)
{
	bool found;

	for (size_t i = 0; i < count; i++) {
		size_t at = find(changes[i].key, &found);

		if (changes[i].expected != STORE_ANY &&
		    changes[i].expected != (found ? items[at].revision : 0))
			return error_set(error, ESTALE, "%s", changes[i].key);
	}
	if (item_count + count > ITEMS_MAX)
		return error_set(error, ENOSPC, "full");
	store->revision++;
	for (size_t i = 0; i < count; i++) {
		size_t at = find(changes[i].key, &found);

		if (changes[i].value)
			put(changes[i].key, changes[i].value, store->revision);
		else if (found)
			drop_item(at);
	}
	if (revision)
		*revision = store->revision;
	return 0;
}

static void close_store(struct store *store)
{
	(void)store;
	while (item_count)
		drop_item(0);
}

static const struct store_calls calls = {
	.get = get, .list = list, .commit = commit, .close = close_store};

/* ---- an exchange ---- */

static struct {
	struct http_exchange exchange;
	unsigned answers;
	bool held;
} now;
static char bearer[AUTH_TOKEN_SIZE + 8];

static void answered(unsigned status)
{
	must(now.answers++ == 0 && status >= 200 && status < 600);
}

const char *http_header(const struct http_exchange *exchange, const char *name)
{
	(void)exchange;
	if (!strcmp(name, "Authorization"))
		return bearer;
	return strcmp(name, "Content-Type") == 0 ? "application/json" : NULL;
}

int http_set_header(struct http_exchange *exchange, const char *name, const char *value)
{
	(void)exchange;
	must(name[0] && value[0]);
	return 0;
}

void http_set_who(struct http_exchange *exchange, const char *name)
{
	(void)exchange;
	(void)name;
}

void http_answer_json(struct http_exchange *exchange, unsigned status, json_t *body)
{
	char *text = json_dumps(body, JSON_COMPACT);

	(void)exchange;
	/* What is answered can be written. */
	must(text);
	free(text);
	json_decref(body);
	answered(status);
}

void http_answer_text(struct http_exchange *exchange, unsigned status, const char *type,
		      const char *text, size_t length)
{
	(void)exchange;
	must(type[0] && strlen(text) == length);
	answered(status);
}

void http_answer_problem(struct http_exchange *exchange, const struct problem *problem)
{
	must(problem->status >= 400);
	http_answer_json(exchange, problem->status, problem_json(problem));
}

void http_hold(struct http_exchange *exchange, void (*gone)(void *context), void *context)
{
	(void)exchange;
	(void)gone;
	(void)context;
	must(!now.answers && !now.held);
	now.held = true;
}

/* Nobody asks for one. */
struct http_stream *http_stream_begin(struct http_exchange *exchange, void (*gone)(void *context),
				      void *context)
{
	(void)exchange;
	(void)gone;
	(void)context;
	abort();
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

/* ---- a plane ---- */

static struct store store = {.calls = &calls};
static struct plane plane;
static char *token_value;
static struct ca *ca;

static void close_plane(void)
{
	enrolments_end(&plane.enrolments);
	hosts_close(plane.hosts);
	plane.hosts = NULL;
	must(!now.held || now.answers == 1);
	store_close(&store);
}

/* False: the store has what no plane starts with, and that was told. */
static bool open_plane(void)
{
	struct error error = {0};
	struct hosts_setup setup = {.loop = plane.loop,
				    .store = &store,
				    .events = &plane.events,
				    .releases = &plane.releases,
				    .tls = plane.identity.tls,
				    .ca = ca,
				    .certificate_seconds = CA_SECONDS,
				    .policy = {.allow_unattested = true, .silence = 1000}};

	plane.store = &store;
	plane.enrolments.plane = &plane;
	plane.certificate_seconds = CA_SECONDS;
	if (events_open(&plane.events, &store, &error) == 0 &&
	    hosts_open(&setup, &plane.hosts, &error) == 0)
		return true;
	must(error.text[0]);
	return false;
}

static void begin(void)
{
	struct error error = {0};
	char token[AUTH_TOKEN_SIZE], id[AUTH_ID_SIZE];

	must(os_loop_create(&plane.loop) == 0 && ca_make("plane", 1000000, &ca, &error) == 0);
	plane.identity.ca = ca;
	/* Nobody is called: the loop is not turned. */
	plane.identity.tls = SSL_CTX_new(TLS_client_method());
	must(plane.identity.tls != NULL);
	must(auth_create_token(&store, "ann", AUTH_ADMIN, 1000000, 0, token, id, &error) == 0);
	snprintf(bearer, sizeof(bearer), "Bearer %s", token);
	snprintf(token_key, sizeof(token_key), "tokens/%s", id);
	must(item_count == 1);
	token_value = strdup(items[0].value);
	close_store(&store);
}

static void request(size_t index, const char *body)
{
	const struct route_table table = {.routes = plane_routes,
					  .count = plane_route_count,
					  .store = &store,
					  .context = &plane};

	must(!now.held || now.answers == 1);
	now.answers = 0;
	now.held = false;
	now.exchange = (struct http_exchange){.method = requests[index].method,
					      .path = requests[index].path,
					      .body = body,
					      .body_length = strlen(body)};
	route_serve(&table, &now.exchange, 1000001);
	must(now.held || now.answers == 1);
}

static void all_requests(void)
{
	for (size_t i = 0; i < COUNT(requests); i++) {
		request(i, "{\"reason\":\"x\"}");
		/* Who waits for a host is told when that is asked no more. */
		if (now.held) {
			hosts_close(plane.hosts);
			plane.hosts = NULL;
			must(now.answers == 1);
			if (!open_plane())
				return;
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	if (!ca)
		begin();
	if (!text || !size || size > STORE_VALUE_MAX) {
		free(text);
		return 0;
	}
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	now.held = false;
	put(token_key, token_value, ++store.revision);
	put(stored[0], host, ++store.revision);
	if (data[0] & 0x80)
		put(stored[data[0] % COUNT(stored)], text, ++store.revision);
	if (open_plane() && data[0] & 0x80)
		all_requests();
	else if (plane.hosts)
		request(data[0] % COUNT(requests), text);
	close_plane();
	free(text);
	return 0;
}
