/* SPDX-License-Identifier: Apache-2.0 */
/* Targets of requests, paths against patterns, and bodies, as the plane's clients send them. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http_query.h"
#include "json_in.h"
#include "name.h"
#include "route.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* json_in_body() is not called: it needs a server's exchange. */
const char *http_header(const struct http_exchange *exchange, const char *name)
{
	(void)exchange;
	(void)name;
	return NULL;
}

static void must(bool holds)
{
	if (!holds)
		abort();
}

/* What is taken is what the contract says that it is. */
static void check_target(const struct http_exchange *exchange)
{
	const char *path = exchange->path;

	must(path[0] == '/' && !strstr(path, "//") && !strstr(path, "/../") &&
	     !strstr(path, "/./"));
	must(http_text_is_printable(path, strlen(path)));
	must(exchange->query_count <= HTTP_QUERY_MAX);
	for (size_t i = 0; i < exchange->query_count; i++) {
		const struct http_query *at = &exchange->query[i];

		must(at->name[0] && http_query_find(exchange, at->name) == at->value);
		must(http_text_is_printable(at->name, strlen(at->name)));
		must(http_text_is_printable(at->value, strlen(at->value)));
	}
}

static void check_routes(const char *path)
{
	static const char *const patterns[] = {"/", "/v1/{a}", "/v1/{a}/b/{c}",
					       "/{a}/{b}/{c}/{d}/{e}"};

	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
		struct route_match match;

		if (!route_matches(patterns[i], path, &match))
			continue;
		for (unsigned j = 0; j < match.count; j++)
			must(name_is_good(match.names[j]));
	}
}

static void check_body(const char *text, size_t length)
{
	static const char *const known[] = {"name", "spec", NULL};
	struct problem problem = {0};
	json_t *parsed = json_in_parse(text, length, &problem), *made;
	const char *name = NULL;

	if (parsed && json_in_members(parsed, "", known, &problem) == 0 &&
	    json_in_name(parsed, "", "name", true, &name, &problem) == 0)
		must(name_is_good(name));
	must(parsed || problem.status >= 400);
	json_decref(parsed);
	if (problem.status) {
		made = problem_json(&problem);
		must(made != NULL);
		json_decref(made);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_exchange exchange = {0};
	char *text = malloc(size + 1);

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	check_routes(text);
	check_body(text, size);
	if (!http_target_parse(text, &exchange)) {
		check_target(&exchange);
		check_routes(exchange.path);
	}
	free(text);
	return 0;
}
