/* SPDX-License-Identifier: Apache-2.0 */
#include "route.h"

#include <string.h>

#include "base/base.h"

static const char *const method_names[] = {
	[HTTP_GET] = "GET, HEAD", [HTTP_POST] = "POST",	    [HTTP_PUT] = "PUT",
	[HTTP_PATCH] = "PATCH",	  [HTTP_DELETE] = "DELETE",
};

/* NULL: there is none, and `allowed` has the methods of those that match otherwise. */
static const struct route *find(const struct route_table *table,
				const struct http_exchange *exchange, struct route_match *match,
				bool allowed[ARRAY_LEN(method_names)])
{
	for (size_t i = 0; i < table->count; i++) {
		const struct route *route = &table->routes[i];

		if (!route_matches(route->pattern, exchange->path, match))
			continue;
		if (route->method == exchange->method)
			return route;
		allowed[route->method] = true;
	}
	return NULL;
}

/* RFC 9110, 15.5.6: 405 comes with Allow. */
static void answer_nothing(struct http_exchange *exchange, const bool *allowed)
{
	char methods[64] = "";
	struct problem problem;

	for (size_t i = 0; i < ARRAY_LEN(method_names); i++) {
		if (!allowed[i])
			continue;
		if (methods[0])
			strcat(methods, ", ");
		strcat(methods, method_names[i]);
	}
	if (methods[0]) {
		http_set_header(exchange, "Allow", methods);
		problem_set(&problem, 405, "method-not-allowed", exchange->path, NULL,
			    "%.200s knows %s only", exchange->path, methods);
	} else {
		problem_set(&problem, 404, "no-such-path", exchange->path,
			    "docs/openapi.yaml lists the paths that there are",
			    "there is no %.200s", exchange->path);
	}
	http_answer_problem(exchange, &problem);
}

/* RFC 9110, 15.5.2: 401 says how to show who one is. */
static void answer_who(struct http_exchange *exchange, const struct problem *problem)
{
	if (problem->status == 401)
		http_set_header(exchange, "WWW-Authenticate", "Bearer realm=\"karuta\"");
	http_answer_problem(exchange, problem);
}

static bool may(const struct route *route, const struct auth_caller *caller,
		struct problem *problem)
{
	if (caller->role >= route->least)
		return true;
	if (!caller->name[0])
		problem_set(problem, 401, "unauthenticated", NULL,
			    "send a token (Authorization: Bearer karuta_...), or connect with a "
			    "certificate",
			    "it was not shown who asks");
	else
		problem_set(problem, 403, "forbidden", NULL, "ask an admin for that role",
			    "%s has the role %s, and this needs %s", caller->name,
			    auth_role_name(caller->role), auth_role_name(route->least));
	return false;
}

void route_serve(const struct route_table *table, struct http_exchange *exchange, int64_t now)
{
	bool allowed[ARRAY_LEN(method_names)] = {false};
	struct auth_caller caller = {.role = AUTH_NOBODY};
	struct route_match match;
	struct problem problem;
	const struct route *route = find(table, exchange, &match, allowed);

	if (!route) {
		answer_nothing(exchange, allowed);
		return;
	}
	if (route->least != AUTH_NOBODY) {
		if (auth_find_caller(table->store, exchange, now, &caller, &problem) < 0) {
			answer_who(exchange, &problem);
			return;
		}
		http_set_who(exchange, caller.name);
		if (!may(route, &caller, &problem)) {
			answer_who(exchange, &problem);
			return;
		}
	}
	route->handler(table->context, &(struct route_request){exchange, &caller, &match});
}
