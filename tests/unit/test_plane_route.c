/* SPDX-License-Identifier: Apache-2.0 */
/* Who may do what at the plane; the store and the exchange are small ones of this test's own. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/base.h"
#include "route.h"

#define NOW 1000000

/* ---- a store of four items ---- */

static struct item {
	char key[STORE_KEY_MAX + 1], value[512];
} items[4];
static unsigned reads;
static int broken;

int store_get(struct store *store, const char *key, store_item_fn fn, void *context,
	      struct error *error)
{
	(void)store;
	(void)error;
	reads++;
	if (broken)
		return broken;
	for (size_t i = 0; i < ARRAY_LEN(items); i++) {
		if (strcmp(items[i].key, key) == 0)
			return fn(context, &(struct store_item){.key = key,
								.value = items[i].value,
								.length = strlen(items[i].value)});
	}
	return -ENOENT;
}

int store_commit(struct store *store, const struct store_change *changes, size_t count,
		 uint64_t *revision, struct error *error)
{
	(void)store;
	(void)error;
	assert_int_equal(count, 1);
	assert_int_equal(changes->expected, 0);
	for (size_t i = 0; i < ARRAY_LEN(items); i++) {
		if (items[i].key[0])
			continue;
		snprintf(items[i].key, sizeof(items[i].key), "%s", changes->key);
		snprintf(items[i].value, sizeof(items[i].value), "%s", changes->value);
		*revision = i + 1;
		return 0;
	}
	return -ENOSPC;
}

/* ---- an exchange ---- */

static const char *authorization;
static char headers[512], who[64];
static struct problem answered;

const char *http_header(const struct http_exchange *exchange, const char *name)
{
	(void)exchange;
	return strcmp(name, "Authorization") == 0 ? authorization : NULL;
}

int http_set_header(struct http_exchange *exchange, const char *name, const char *value)
{
	(void)exchange;
	snprintf(headers, sizeof(headers), "%s: %s", name, value);
	return 0;
}

void http_set_who(struct http_exchange *exchange, const char *name)
{
	(void)exchange;
	snprintf(who, sizeof(who), "%s", name);
}

void http_answer_problem(struct http_exchange *exchange, const struct problem *problem)
{
	(void)exchange;
	answered = *problem;
}

/* ---- routes ---- */

static char handled[256];

static void handle(const char *line, const struct route_request *request)
{
	snprintf(handled, sizeof(handled), "%s %s %s", line, request->caller->name,
		 request->match->count ? request->match->names[request->match->count - 1] : "");
}

static void list(void *context, const struct route_request *request)
{
	(void)context;
	handle("list", request);
}

static void show(void *context, const struct route_request *request)
{
	(void)context;
	handle("show", request);
}

static void change(void *context, const struct route_request *request)
{
	(void)context;
	handle("change", request);
}

static void make_token(void *context, const struct route_request *request)
{
	(void)context;
	handle("token", request);
}

static void health(void *context, const struct route_request *request)
{
	(void)context;
	handle("health", request);
}

static const struct route routes[] = {
	{HTTP_GET, "/healthz", AUTH_NOBODY, health},
	{HTTP_GET, "/v1/instances", AUTH_READER, list},
	{HTTP_GET, "/v1/instances/{name}", AUTH_READER, show},
	{HTTP_PATCH, "/v1/instances/{name}", AUTH_OPERATOR, change},
	{HTTP_POST, "/v1/hosts/{host}/slots/{slot}", AUTH_OPERATOR, change},
	{HTTP_POST, "/v1/tokens", AUTH_ADMIN, make_token},
};
static const struct route_table table = {.routes = routes, .count = ARRAY_LEN(routes)};
static struct http_exchange exchange;

/* The status, or 0: `handled`. */
static unsigned ask(enum http_method method, const char *path, const char *token)
{
	char shown[128];

	snprintf(shown, sizeof(shown), "Bearer %s", token ? token : "");
	authorization = token ? shown : NULL;
	exchange.method = method;
	exchange.path = path;
	handled[0] = headers[0] = who[0] = '\0';
	answered = (struct problem){0};
	route_serve(&table, &exchange, NOW);
	assert_true((answered.status != 0) != (handled[0] != '\0'));
	return answered.status;
}

static void made(const char *name, enum auth_role role, int64_t expires,
		 char token[AUTH_TOKEN_SIZE])
{
	char id[AUTH_ID_SIZE];

	assert_int_equal(auth_create_token(NULL, name, role, NOW - 10, expires, token, id, NULL),
			 0);
}

/* What the plane has written down of a certificate. */
static void issued(size_t at, const char *serial, const char *value)
{
	snprintf(items[at].key, sizeof(items[at].key), "certificates/%s", serial);
	snprintf(items[at].value, sizeof(items[at].value), "%s", value);
}

static int nothing_before(void **state)
{
	(void)state;
	memset(items, 0, sizeof(items));
	memset(&exchange, 0, sizeof(exchange));
	broken = 0;
	reads = 0;
	return 0;
}

/* ---- tests ---- */

static void patterns_match_whole_paths_of_names(void **state)
{
	struct route_match match;

	(void)state;
	assert_true(route_matches("/v1/a", "/v1/a", &match));
	assert_true(route_matches("/v1/{a}/b/{c}", "/v1/x/b/y-1", &match));
	assert_int_equal(match.count, 2);
	assert_string_equal(match.names[0], "x");
	assert_string_equal(match.names[1], "y-1");
	assert_false(route_matches("/v1/a", "/v1/a/", &match));
	assert_false(route_matches("/v1/a", "/v1/ab", &match));
	assert_false(route_matches("/v1/a/b", "/v1/a", &match));
	assert_false(route_matches("/v1/{a}", "/v1/", &match));
	assert_false(route_matches("/v1/{a}", "/v1/-x", &match));
	assert_false(route_matches("/v1/{a}", "/v1/a b", &match));
	assert_false(route_matches("/v1/{a}",
				   "/v1/"
				   "0123456789012345678901234567890123456789012345678901"
				   "234567890123",
				   &match));
}

static void what_is_not_there_is_404_and_another_method_405(void **state)
{
	(void)state;
	assert_int_equal(ask(HTTP_GET, "/v1/nothing", NULL), 404);
	assert_string_equal(answered.object, "/v1/nothing");
	assert_int_equal(ask(HTTP_DELETE, "/v1/instances/web", NULL), 405);
	assert_string_equal(headers, "Allow: GET, HEAD, PATCH");
	assert_int_equal(ask(HTTP_GET, "/healthz", "karuta_bad"), 0);
	assert_int_equal(reads, 0);
}

static void a_token_tells_name_and_role(void **state)
{
	char reader[AUTH_TOKEN_SIZE], operator[AUTH_TOKEN_SIZE], admin[AUTH_TOKEN_SIZE];

	(void)state;
	made("rei", AUTH_READER, 0, reader);
	made("ope", AUTH_OPERATOR, NOW + 1, operator);
	made("ada", AUTH_ADMIN, 0, admin);
	assert_int_equal(ask(HTTP_GET, "/v1/instances", reader), 0);
	assert_string_equal(handled, "list rei ");
	assert_string_equal(who, "rei");
	assert_int_equal(ask(HTTP_PATCH, "/v1/instances/web", reader), 403);
	assert_string_equal(answered.detail, "rei has the role reader, and this needs operator");
	assert_string_equal(who, "rei");
	assert_int_equal(ask(HTTP_PATCH, "/v1/instances/web", operator), 0);
	assert_string_equal(handled, "change ope web");
	assert_int_equal(ask(HTTP_POST, "/v1/hosts/h1/slots/s2", operator), 0);
	assert_string_equal(handled, "change ope s2");
	assert_int_equal(ask(HTTP_POST, "/v1/tokens", operator), 403);
	assert_int_equal(ask(HTTP_POST, "/v1/tokens", admin), 0);
	assert_int_equal(reads, 6);
}

static void nothing_or_a_bad_token_is_401(void **state)
{
	char ends[AUTH_TOKEN_SIZE], good[AUTH_TOKEN_SIZE], other[AUTH_TOKEN_SIZE];

	(void)state;
	made("ann", AUTH_ADMIN, NOW, ends);
	made("bob", AUTH_ADMIN, 0, good);
	assert_int_equal(ask(HTTP_GET, "/v1/instances", NULL), 401);
	assert_string_equal(headers, "WWW-Authenticate: Bearer realm=\"karuta\"");
	assert_int_equal(ask(HTTP_GET, "/v1/instances", ends), 401);
	assert_string_equal(answered.detail, "the token has expired");
	assert_int_equal(ask(HTTP_GET, "/v1/instances", ""), 401);
	assert_int_equal(ask(HTTP_GET, "/v1/instances", "karuta_short"), 401);
	strcpy(other, good);
	other[20] = other[20] == 'A' ? 'B' : 'A';
	assert_int_equal(ask(HTTP_GET, "/v1/instances", other), 401);
	assert_string_equal(who, "");
	assert_int_equal(ask(HTTP_GET, "/v1/instances", good), 0);
	items[1].key[0] = 'x';
	assert_int_equal(ask(HTTP_GET, "/v1/instances", good), 401);
	authorization = "Basic YTpi";
	route_serve(&table, &exchange, NOW);
	assert_int_equal(answered.status, 401);
}

/* The id is the beginning of the digest: it alone is not enough. */
static void another_digest_with_the_same_id_is_refused(void **state)
{
	char token[AUTH_TOKEN_SIZE], *last;

	(void)state;
	made("ann", AUTH_ADMIN, 0, token);
	last = strstr(items[0].value, "\",\"created");
	assert_non_null(last);
	last[-1] = last[-1] == '0' ? '1' : '0';
	assert_int_equal(ask(HTTP_GET, "/v1/instances", token), 401);
}

static void the_store_does_not_have_the_token(void **state)
{
	char token[AUTH_TOKEN_SIZE];

	(void)state;
	made("ann", AUTH_ADMIN, 0, token);
	assert_int_equal(strlen(token), 50);
	assert_int_equal(strspn(token + 7, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
					   "0123456789-_"),
			 43);
	assert_int_equal(strlen(items[0].key), strlen("tokens/") + 24);
	assert_null(strstr(items[0].value, token + 7));
}

static void a_damaged_token_or_store_lets_nobody_in(void **state)
{
	char token[AUTH_TOKEN_SIZE];

	(void)state;
	made("ann", AUTH_ADMIN, 0, token);
	broken = -EIO;
	assert_int_equal(ask(HTTP_GET, "/v1/instances", token), 503);
	broken = 0;
	strstr(items[0].value, "admin")[0] = 'A';
	assert_int_equal(ask(HTTP_GET, "/v1/instances", token), 500);
	items[0].value[5] = '\0';
	assert_int_equal(ask(HTTP_GET, "/v1/instances", token), 500);
}

static void a_certificate_tells_name_and_role_unless_there_is_a_token(void **state)
{
	(void)state;
	issued(0, "5a", "{\"name\": \"ann\", \"role\": \"operator\"}");
	exchange.certificate = (struct http_certificate){true, "ann", "plane-operator", "5a"};
	assert_int_equal(ask(HTTP_PATCH, "/v1/instances/web", NULL), 0);
	assert_string_equal(handled, "change ann web");
	assert_int_equal(ask(HTTP_POST, "/v1/tokens", NULL), 403);
	assert_int_equal(ask(HTTP_GET, "/v1/instances", "karuta_bad"), 401);
	exchange.certificate = (struct http_certificate){true, "h1", "host", "5b"};
	assert_int_equal(ask(HTTP_GET, "/v1/instances", NULL), 403);
	exchange.certificate = (struct http_certificate){true, "plane", "admin", "5c"};
	assert_int_equal(ask(HTTP_GET, "/v1/instances", NULL), 403);
	exchange.certificate = (struct http_certificate){true, "", "plane-admin", "5a"};
	assert_int_equal(ask(HTTP_GET, "/v1/instances", NULL), 401);
}

static void a_certificate_counts_as_long_as_it_is_written_down(void **state)
{
	(void)state;
	exchange.certificate = (struct http_certificate){true, "ann", "plane-reader", "5a"};
	assert_int_equal(ask(HTTP_GET, "/v1/instances", NULL), 401);
	assert_non_null(strstr(answered.detail, "taken back"));
	issued(0, "5a", "{\"name\": \"ann\", \"role\": \"reader\"}");
	assert_int_equal(ask(HTTP_GET, "/v1/instances", NULL), 0);
	/* Another's number, more than it was made for, and what is no document. */
	issued(0, "5a", "{\"name\": \"bob\", \"role\": \"reader\"}");
	assert_int_equal(ask(HTTP_GET, "/v1/instances", NULL), 401);
	issued(0, "5a", "{\"name\": \"ann\", \"role\": \"admin\"}");
	assert_int_equal(ask(HTTP_GET, "/v1/instances", NULL), 401);
	issued(0, "5a", "null");
	assert_int_equal(ask(HTTP_GET, "/v1/instances", NULL), 401);
	broken = -EIO;
	assert_int_equal(ask(HTTP_GET, "/v1/instances", NULL), 503);
}

static void tokens_without_name_role_or_time_are_not_made(void **state)
{
	char token[AUTH_TOKEN_SIZE], id[AUTH_ID_SIZE];

	(void)state;
	assert_int_equal(auth_create_token(NULL, "a\"b", AUTH_ADMIN, NOW, 0, token, id, NULL),
			 -EINVAL);
	assert_int_equal(auth_create_token(NULL, "a", AUTH_NOBODY, NOW, 0, token, id, NULL),
			 -EINVAL);
	assert_int_equal(auth_create_token(NULL, "a", AUTH_ADMIN, NOW, NOW, token, id, NULL),
			 -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(patterns_match_whole_paths_of_names),
		cmocka_unit_test_setup(what_is_not_there_is_404_and_another_method_405,
				       nothing_before),
		cmocka_unit_test_setup(a_token_tells_name_and_role, nothing_before),
		cmocka_unit_test_setup(nothing_or_a_bad_token_is_401, nothing_before),
		cmocka_unit_test_setup(another_digest_with_the_same_id_is_refused, nothing_before),
		cmocka_unit_test_setup(the_store_does_not_have_the_token, nothing_before),
		cmocka_unit_test_setup(a_damaged_token_or_store_lets_nobody_in, nothing_before),
		cmocka_unit_test_setup(a_certificate_tells_name_and_role_unless_there_is_a_token,
				       nothing_before),
		cmocka_unit_test_setup(a_certificate_counts_as_long_as_it_is_written_down,
				       nothing_before),
		cmocka_unit_test_setup(tokens_without_name_role_or_time_are_not_made,
				       nothing_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
