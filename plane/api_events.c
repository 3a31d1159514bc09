/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "base/base.h"
#include "list.h"

#define KIND	    "events"
#define NUMBER_SIZE 24u
#define AT_ONCE	    200u /* of the past, to somebody who begins to watch */

/* Somebody who watches. */
struct watcher {
	struct watchers *all;
	struct watcher *next;
	struct http_stream *stream;
	unsigned old; /* that it was told when it began */
};

static void remove_watcher(struct watcher *watcher)
{
	struct watcher **at = &watcher->all->first;

	while (*at != watcher)
		at = &(*at)->next;
	*at = watcher->next;
	free(watcher);
}

static void on_gone(void *context)
{
	remove_watcher(context);
}

void watchers_tell(struct watchers *watchers, const struct store_item *item)
{
	struct watcher *next;

	if (strncmp(item->key, KIND "/", strlen(KIND "/")) != 0 || !item->value)
		return;
	for (struct watcher *watcher = watchers->first; watcher; watcher = next) {
		next = watcher->next;
		http_stream_send(watcher->stream, "event",
				 strtoull(item->key + strlen(KIND "/"), NULL, 10), item->value);
	}
}

void watchers_end(struct watchers *watchers)
{
	while (watchers->first) {
		http_stream_end(watchers->first->stream);
		remove_watcher(watchers->first);
	}
}

static int send_old(void *context, const struct store_item *item)
{
	struct watcher *watcher = context;

	watcher->old++;
	http_stream_send(watcher->stream, "event", strtoull(item->key + strlen(KIND "/"), NULL, 10),
			 item->value);
	return 0;
}

/* What is more than a stream holds is told to who comes again, with the last that it has seen
 * (Last-Event-ID): clients of server-sent events do that by themselves. */
static void send_past(struct plane *plane, struct watcher *watcher, const char *after)
{
	char key[sizeof(KIND) + NUMBER_SIZE + 1];
	struct error error = {0};

	snprintf(key, sizeof(key), KIND "/%s", after);
	if (store_list(plane->store, KIND "/", key, AT_ONCE, send_old, watcher, &error) == 0 &&
	    watcher->old < AT_ONCE)
		return;
	http_stream_end(watcher->stream);
	remove_watcher(watcher);
}

/* Where a watcher, or a page, begins: behind this number. */
static int take_since(const struct http_exchange *exchange, char after[NUMBER_SIZE],
		      struct problem *problem)
{
	const char *since = http_query_find(exchange, "since");
	char *end;
	unsigned long long number;

	if (!since)
		since = http_query_find(exchange, "after");
	if (!since)
		since = http_header(exchange, "Last-Event-ID");
	if (!since) {
		after[0] = '\0';
		return 0;
	}
	errno = 0;
	number = strtoull(since, &end, 10);
	if (*end || since[0] < '0' || since[0] > '9' || errno)
		return problem_set(problem, 400, "bad-query", NULL, NULL,
				   "since: must be the number of an event");
	snprintf(after, NUMBER_SIZE, "%020llu", number);
	return 1;
}

static void follow(struct plane *plane, const struct route_request *request, const char *after)
{
	struct watcher *watcher = calloc(1, sizeof(*watcher));

	if (!watcher) {
		api_fail(request, -ENOMEM, NULL, NULL);
		return;
	}
	watcher->all = &plane->watchers;
	watcher->next = plane->watchers.first;
	plane->watchers.first = watcher;
	watcher->stream = http_stream_begin(request->exchange, on_gone, watcher);
	if (!watcher->stream) {
		remove_watcher(watcher);
		return;
	}
	if (after[0])
		send_past(plane, watcher, after);
}

static void page(struct plane *plane, const struct route_request *request, const char *after)
{
	struct list_query query = {.prefix = KIND "/", .after = after};
	const char *limit = http_query_find(request->exchange, "limit");
	struct problem problem = {0};
	struct error error = {0};
	json_t *found;
	int ret;

	if (api_take_limit(limit, &query.limit, &problem) < 0) {
		http_answer_problem(request->exchange, &problem);
		return;
	}
	ret = list_page(plane->store, &query, &found, &error);
	if (ret < 0)
		api_fail(request, ret, &error, KIND);
	else
		http_answer_json(request->exchange, 200, found);
}

void api_events(void *context, const struct route_request *request)
{
	const char *accept = http_header(request->exchange, "Accept");
	struct problem problem = {0};
	char after[NUMBER_SIZE];

	if (take_since(request->exchange, after, &problem) < 0)
		http_answer_problem(request->exchange, &problem);
	else if (accept && strstr(accept, "text/event-stream"))
		follow(context, request, after);
	else
		page(context, request, after);
}
