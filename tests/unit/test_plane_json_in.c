/* SPDX-License-Identifier: Apache-2.0 */
/* What clients of the plane send, read strictly: JSON, and the targets of requests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base.h"
#include "http_query.h"
#include "json_in.h"

static struct problem problem;
static const char *type;

const char *http_header(const struct http_exchange *exchange, const char *name)
{
	(void)exchange;
	return strcmp(name, "Content-Type") == 0 ? type : NULL;
}

static unsigned refused(const char *text)
{
	json_t *parsed = json_in_parse(text, strlen(text), &problem);

	json_decref(parsed);
	return parsed ? 0 : problem.status;
}

static void a_body_is_one_object_of_json(void **state)
{
	struct http_exchange exchange = {.body = "{}", .body_length = 2};

	(void)state;
	assert_int_equal(refused("{\"a\": [1, {\"b\": null}]}"), 0);
	assert_int_equal(refused("[1]"), 422);
	assert_int_equal(refused(""), 400);
	assert_int_equal(refused("{\"a\": 1} x"), 400);
	assert_int_equal(refused("{\"a\": 1, \"a\": 2}"), 400);
	assert_int_equal(refused("{\"a\": \"\\u0000\"}"), 400);
	assert_int_equal(refused("{\"a\": \"\xff\"}"), 400);
	type = "text/plain";
	assert_null(json_in_body(&exchange, &problem));
	assert_int_equal(problem.status, 415);
	type = "application/JSON; charset=utf-8";
	json_decref(json_in_body(&exchange, &problem));
	assert_int_equal(refused("{"), 400);
}

static void depth_and_number_of_values_have_a_bound(void **state)
{
	static char many[1 << 17];
	char deep[128] = "{\"a\":";

	(void)state;
	memset(deep + 5, '[', JSON_IN_DEPTH - 1);
	memset(deep + 5 + JSON_IN_DEPTH - 1, ']', JSON_IN_DEPTH - 1);
	strcat(deep, "}");
	assert_int_equal(refused(deep), 0);
	memset(deep + 5, '[', JSON_IN_DEPTH);
	assert_int_equal(refused(deep), 413);
	strcpy(many, "{\"a\":[0");
	for (unsigned i = 0; i < JSON_IN_VALUES; i++)
		strcpy(many + 7 + 2 * i, ",0");
	strcat(many, "]}");
	assert_int_equal(refused(many), 413);
	assert_int_equal(refused("{\"\\\"[[[[[[[[[[[[[[[[[[[\": 1}"), 0);
}

static void members_are_what_they_are_said_to_be(void **state)
{
	static const char *const known[] = {"text", "name", "number", "flag", "part", NULL};
	json_t *object = json_pack("{s:s, s:s, s:i, s:b, s:{}}", "text", "a b", "name", "web-1",
				   "number", 5, "flag", 1, "part");
	const char *text = NULL;
	uint64_t number = 7;
	bool flag = false;
	json_t *part = NULL;

	(void)state;
	assert_int_equal(json_in_members(object, "", known, &problem), 0);
	assert_int_equal(json_in_members(object, "spec", known + 1, &problem), -1);
	assert_string_equal(problem.detail, "spec.text is not known here");
	assert_int_equal(json_in_text(object, "", "text", true, 3, &text, &problem), 0);
	assert_string_equal(text, "a b");
	assert_int_equal(json_in_text(object, "", "text", true, 2, &text, &problem), -1);
	assert_int_equal(json_in_name(object, "", "text", true, &text, &problem), -1);
	assert_int_equal(json_in_name(object, "", "name", true, &text, &problem), 0);
	assert_string_equal(text, "web-1");
	assert_int_equal(json_in_number(object, "", "number", true, 5, 5, &number, &problem), 0);
	assert_int_equal(number, 5);
	assert_int_equal(json_in_number(object, "", "number", true, 6, 9, &number, &problem), -1);
	assert_string_equal(problem.detail, "number is to be a whole number from 6 to 9");
	assert_int_equal(json_in_number(object, "", "text", true, 0, 9, &number, &problem), -1);
	assert_int_equal(json_in_number(object, "", "none", false, 0, 9, &number, &problem), 0);
	assert_int_equal(number, 5);
	assert_int_equal(json_in_number(object, "", "none", true, 0, 9, &number, &problem), -1);
	assert_int_equal(problem.status, 422);
	assert_int_equal(json_in_flag(object, "", "flag", true, &flag, &problem), 0);
	assert_true(flag);
	assert_int_equal(json_in_flag(object, "", "number", true, &flag, &problem), -1);
	assert_int_equal(json_in_part(object, "", "part", true, JSON_OBJECT, &part, &problem), 0);
	assert_non_null(part);
	assert_int_equal(json_in_part(object, "", "part", true, JSON_ARRAY, &part, &problem), -1);
	json_decref(object);
}

static const char *target_of(const char *text, struct http_exchange *exchange)
{
	static char copy[256];

	strcpy(copy, text);
	return http_target_parse(copy, exchange);
}

static void targets_are_taken_apart(void **state)
{
	struct http_exchange exchange = {0};

	(void)state;
	assert_null(target_of("/v1/a%20b/?limit=5&after=%2F&x=a+b&watch", &exchange));
	assert_string_equal(exchange.path, "/v1/a b/");
	assert_int_equal(exchange.query_count, 4);
	assert_string_equal(http_query_find(&exchange, "limit"), "5");
	assert_string_equal(http_query_find(&exchange, "after"), "/");
	assert_string_equal(http_query_find(&exchange, "x"), "a b");
	assert_string_equal(http_query_find(&exchange, "watch"), "");
	assert_null(http_query_find(&exchange, "none"));
	assert_null(target_of("https://plane:4750/a?b=c", &exchange));
	assert_string_equal(exchange.path, "/a");
	assert_null(target_of("/?", &exchange));
	assert_int_equal(exchange.query_count, 0);
}

static void targets_that_can_be_misread_are_refused(void **state)
{
	static const char *const bad[] = {
		"",	   "a",		"*",	    "//",	 "/a//b",    "/./a",
		"/a/..",   "/a/%2e%2E", "/a%2fb",   "/%",	 "/%4",	     "/%g0",
		"/%00",	   "/%0a",	"/%7f",	    "/%ff",	 "/%c0%af",  "/%ed%a0%80",
		"/%c2%80", "/a#b",	"/a b",	    "/\xc3\xa9", "/a?=b",    "/a?b=c&&d=e",
		"/a?b&b",  "/a?b=%0d",	"/a?b=%zz", "https://a", "/a?%00=b", "/%f4%90%80%80",
	};
	struct http_exchange exchange = {0};
	char many[128] = "/?";

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (!target_of(bad[i], &exchange))
			fail_msg("%s is taken", bad[i]);
	}
	for (unsigned i = 0; i < HTTP_QUERY_MAX; i++)
		snprintf(many + strlen(many), 4, "%c&", 'a' + (int)i);
	assert_null(target_of(many, &exchange));
	strcat(many, "z");
	assert_non_null(target_of(many, &exchange));
}

static void a_problem_is_an_object_that_names_things(void **state)
{
	char detail[PROBLEM_TEXT_MAX + 64];
	json_t *made;

	(void)state;
	problem_set(&problem, 404, "not-found", "instances/web", NULL, "no %s", "web");
	made = problem_json(&problem);
	assert_string_equal(json_string_value(json_object_get(made, "title")), "Not Found");
	assert_string_equal(json_string_value(json_object_get(made, "detail")), "no web");
	assert_string_equal(json_string_value(json_object_get(made, "object")), "instances/web");
	assert_null(json_object_get(made, "remedy"));
	json_decref(made);
	/* Cut within a character. */
	for (size_t i = 0; i < sizeof(detail) - 2; i += 2)
		strcpy(detail + i, "\xc3\xa9");
	problem_set(&problem, 400, "x", NULL, "do", "%s", detail);
	made = problem_json(&problem);
	assert_in_range(json_string_length(json_object_get(made, "detail")), PROBLEM_TEXT_MAX - 3,
			PROBLEM_TEXT_MAX);
	json_decref(made);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_body_is_one_object_of_json),
		cmocka_unit_test(depth_and_number_of_values_have_a_bound),
		cmocka_unit_test(members_are_what_they_are_said_to_be),
		cmocka_unit_test(targets_are_taken_apart),
		cmocka_unit_test(targets_that_can_be_misread_are_refused),
		cmocka_unit_test(a_problem_is_an_object_that_names_things),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
