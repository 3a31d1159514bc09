/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which handler answers a request: a const table, in which each line says method, pattern, and the
 * least role. "{name}" in a pattern stands for one part of a path that is a name (name.h).
 *
 * What no line matches is 404, or 405 with the methods that there are; then who asks is found, 401,
 * and whether they may, 403. A line for AUTH_NOBODY is open: nobody looks what was shown there.
 */
#ifndef KARUTA_PLANE_ROUTE_H
#define KARUTA_PLANE_ROUTE_H

#include "auth.h"
#include "name.h"

#define ROUTE_NAMES 4u

struct route_match {
	char names[ROUTE_NAMES][NAME_MOST + 1]; /* in the pattern's order */
	unsigned count;
};

/* There for the time of the call; the exchange lives until it is answered. */
struct route_request {
	struct http_exchange *exchange;
	const struct auth_caller *caller;
	const struct route_match *match;
};

struct route {
	enum http_method method;
	const char *pattern;
	enum auth_role least;
	void (*handler)(void *context, const struct route_request *request);
};

struct route_table {
	const struct route *routes;
	size_t count;
	struct store *store;
	void *context; /* of the handlers */
};

/* Answers, or hands it to its handler. `now`: seconds since 1970. */
void route_serve(const struct route_table *table, struct http_exchange *exchange, int64_t now);

/* Pure. */
bool route_matches(const char *pattern, const char *path, struct route_match *match);

#endif
