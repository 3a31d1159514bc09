/* SPDX-License-Identifier: Apache-2.0 */
/* Pages of a resource: what they hold, where they go on, and what they leave out. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base.h"
#include "list.h"
#include "plane_folder.h"

static struct store *store;
static struct error error;
static json_t *page;

static int set_up(void **state)
{
	int ret = plane_folder_make(state);

	if (ret == 0)
		ret = store_sqlite_open(plane_folder, &store, &error);
	return ret;
}

static int tear_down(void **state)
{
	json_decref(page);
	page = NULL;
	store_close(store);
	return plane_folder_remove(state);
}

static void put(const char *key, const char *value)
{
	struct store_change change = {.key = key, .value = value, .expected = STORE_ANY};

	assert_int_equal(store_commit(store, &change, 1, NULL, &error), 0);
}

/* So many instances, i0000 and so on; each third is stopped. */
static void put_many(unsigned count)
{
	static char keys[STORE_CHANGES_MAX][32];
	static char values[STORE_CHANGES_MAX][64];
	static struct store_change changes[STORE_CHANGES_MAX];
	unsigned done = 0;

	while (done < count) {
		unsigned now = (unsigned)min_u64(count - done, STORE_CHANGES_MAX);

		for (unsigned i = 0; i < now; i++, done++) {
			snprintf(keys[i], sizeof(keys[i]), "instances/i%04u", done);
			snprintf(values[i], sizeof(values[i]), "{\"status\":{\"state\":\"%s\"}}",
				 done % 3 ? "running" : "stopped");
			changes[i] = (struct store_change){.key = keys[i], .value = values[i]};
		}
		assert_int_equal(store_commit(store, changes, now, NULL, &error), 0);
	}
}

static size_t ask(struct list_query query)
{
	json_decref(page);
	page = NULL;
	query.prefix = "instances/";
	if (list_page(store, &query, &page, &error) < 0)
		fail_msg("%s", error.text);
	return json_array_size(json_object_get(page, "items"));
}

static const char *next(void)
{
	return json_string_value(json_object_get(page, "next"));
}

static void expect_one(const char *path, const char *value, const char *name)
{
	struct list_query query = {.filters = {{path, value}}, .filter_count = 1};
	const json_t *items;

	assert_int_equal(ask(query), name ? 1 : 0);
	items = json_object_get(page, "items");
	if (name)
		assert_string_equal(
			json_string_value(json_object_get(json_array_get(items, 0), "is")), name);
	assert_null(next());
}

static void filters_look_at_members_and_labels(void **state)
{
	(void)state;
	put("instances/a", "{\"is\":\"a\",\"wanted\":\"running\",\"status\":{\"state\":\"failed\"},"
			   "\"metadata\":{\"labels\":{\"role\":\"db\",\"x.org/tier\":\"1\"}}}");
	put("instances/b", "{\"is\":\"b\",\"wanted\":\"stopped\",\"status\":{\"cpus\":2},"
			   "\"metadata\":{\"labels\":{\"role\":\"web\"}},\"spare\":true}");
	put("volumes/c", "{\"is\":\"c\",\"wanted\":\"running\"}");
	expect_one("wanted", "running", "a");
	expect_one("status.state", "failed", "a");
	expect_one("status.cpus", "2", "b");
	expect_one("status.cpus", "2.0", NULL);
	expect_one("spare", "true", "b");
	expect_one("labels.role", "web", "b");
	expect_one("labels.x.org/tier", "1", "a");
	expect_one("labels.", "", NULL);
	expect_one("status", "failed", NULL);
	expect_one("status.state.deeper", "failed", NULL);
	expect_one("none", "", NULL);
	expect_one(".", "", NULL);
	{
		struct list_query both = {
			.filters = {{"wanted", "running"}, {"labels.role", "web"}},
			.filter_count = 2};

		assert_int_equal(ask(both), 0);
	}
}

static void an_item_has_its_revision_and_not_what_is_hidden(void **state)
{
	struct list_query query = {.hide = "wrapped"};
	const json_t *item;

	(void)state;
	put("instances/a", "{}");
	put("instances/a", "{\"wrapped\":\"secret\",\"revision\":9}");
	assert_int_equal(ask(query), 1);
	item = json_array_get(json_object_get(page, "items"), 0);
	assert_int_equal(json_integer_value(json_object_get(item, "revision")), 2);
	assert_int_equal(json_object_size(item), 1);
}

static void pages_follow_each_other_without_a_gap(void **state)
{
	struct list_query query = {0};
	char after[64];
	unsigned seen = 100;

	(void)state;
	put_many(350);
	assert_int_equal(ask(query), LIST_LIMIT);
	while (next()) {
		snprintf(after, sizeof(after), "%s", next());
		query.after = after;
		query.limit = 125;
		seen += (unsigned)ask(query);
	}
	assert_int_equal(seen, 350);
	/* One that ends with the last item has no next. */
	query = (struct list_query){.limit = 350};
	assert_int_equal(ask(query), 350);
	assert_null(next());
	query.after = "i0349";
	assert_int_equal(ask(query), 0);
	assert_null(next());
}

static void a_page_looks_at_so_many_items_at_most(void **state)
{
	struct list_query query = {.filters = {{"status.state", "none"}}, .filter_count = 1};

	(void)state;
	put_many(LIST_SCAN + 500);
	assert_int_equal(ask(query), 0);
	assert_string_equal(next(), "i0999");
	query.after = "i0999";
	assert_int_equal(ask(query), 0);
	assert_null(next());
	query = (struct list_query){
		.filters = {{"status.state", "stopped"}}, .filter_count = 1, .limit = 10};
	assert_int_equal(ask(query), 10);
	/* What is behind the last one may be one: the next page tells. */
	assert_string_equal(next(), "i0027");
}

static void expect_no_query(struct list_query query, int code)
{
	json_t *none = NULL;

	query.prefix = query.prefix ? query.prefix : "instances/";
	assert_int_equal(list_page(store, &query, &none, &error), -code);
	assert_null(none);
}

static void what_is_no_query_is_refused(void **state)
{
	char longest[LIST_PATH_MAX + 2];

	(void)state;
	memset(longest, 'a', sizeof(longest));
	longest[LIST_PATH_MAX + 1] = '\0';
	expect_no_query((struct list_query){.limit = LIST_LIMIT_MAX + 1}, EINVAL);
	expect_no_query((struct list_query){.after = longest}, EINVAL);
	expect_no_query((struct list_query){.after = "a\n"}, EINVAL);
	expect_no_query((struct list_query){.filter_count = LIST_FILTERS + 1}, E2BIG);
	expect_no_query((struct list_query){.filters = {{"", "x"}}, .filter_count = 1}, EINVAL);
	expect_no_query((struct list_query){.filters = {{longest, "x"}}, .filter_count = 1},
			EINVAL);
}

static void a_value_that_is_no_object_is_named(void **state)
{
	static const char *const values[] = {
		"", "[]", "{", "{}x", "{\"a\":1,\"a\":2}", "\"a\"", "{\"a\":\"\xff\"}"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		put("instances/broken", values[i]);
		expect_no_query((struct list_query){0}, EBADMSG);
		assert_non_null(strstr(error.text, "instances/broken: not a JSON object"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(filters_look_at_members_and_labels),
		TEST(an_item_has_its_revision_and_not_what_is_hidden),
		TEST(pages_follow_each_other_without_a_gap),
		TEST(a_page_looks_at_so_many_items_at_most),
		TEST(what_is_no_query_is_refused),
		TEST(a_value_that_is_no_object_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
