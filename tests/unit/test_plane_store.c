/* SPDX-License-Identifier: Apache-2.0 */
/* The plane's store: a commit is whole and stays, whatever ends the plane; what is not as it was
 * written is never used. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "base/base.h"
#include "os/fd.h"
#include "plane_folder.h"
#include "store.h"

static struct store *store;
static struct error error;

static void open_it(void)
{
	if (store_sqlite_open(plane_folder, &store, &error) < 0)
		fail_msg("%s", error.text);
}

static int set_up(void **state)
{
	int ret = plane_folder_make(state);

	open_it();
	return ret;
}

static int tear_down(void **state)
{
	store_close(store);
	store = NULL;
	return plane_folder_remove(state);
}

static void open_again(void)
{
	store_close(store);
	store = NULL;
	open_it();
}

static int put(const char *key, const char *value, uint64_t expected)
{
	struct store_change change = {.key = key, .value = value, .expected = expected};

	return store_commit(store, &change, 1, NULL, &error);
}

/* What was seen last. */
static struct {
	char keys[512], value[64];
	uint64_t created, revision;
} seen;

static int see(void *context, const struct store_item *item)
{
	size_t used = strlen(seen.keys);

	(void)context;
	assert_int_equal(strlen(item->value), item->length);
	snprintf(seen.keys + used, sizeof(seen.keys) - used, "%s%s", used ? " " : "", item->key);
	snprintf(seen.value, sizeof(seen.value), "%s", item->value);
	seen.created = item->created;
	seen.revision = item->revision;
	return 0;
}

static int look(const char *key)
{
	memset(&seen, 0, sizeof(seen));
	return store_get(store, key, see, NULL, &error);
}

static void expect(const char *key, const char *value, uint64_t created, uint64_t revision)
{
	assert_int_equal(look(key), 0);
	assert_string_equal(seen.value, value);
	assert_int_equal(seen.created, created);
	assert_int_equal(seen.revision, revision);
}

static void expect_list(const char *prefix, const char *after, size_t limit, const char *keys)
{
	memset(&seen, 0, sizeof(seen));
	assert_int_equal(store_list(store, prefix, after, limit, see, NULL, &error), 0);
	assert_string_equal(seen.keys, keys);
}

/* ---- what it does ---- */

static void what_was_committed_is_there_after_a_start(void **state)
{
	(void)state;
	assert_int_equal(look("instances/web"), -ENOENT);
	assert_int_equal(put("instances/web", "{}", 0), 0);
	assert_int_equal(put("instances/web", "{\"a\":1}", 1), 0);
	assert_int_equal(put("instances/db", "{\"b\":2}", STORE_ANY), 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(store->revision, 3);
		expect("instances/web", "{\"a\":1}", 1, 2);
		expect("instances/db", "{\"b\":2}", 3, 3);
		open_again();
	}
	assert_int_equal(put("instances/web", NULL, 2), 0);
	assert_int_equal(look("instances/web"), -ENOENT);
	assert_int_equal(store->revision, 4);
}

static void a_commit_is_done_as_a_whole_or_not_at_all(void **state)
{
	struct store_change changes[] = {
		{.key = "a", .value = "{}", .expected = 0},
		{.key = "b", .value = "{}", .expected = 7},
		{.key = "c", .value = NULL, .expected = STORE_ANY},
	};
	uint64_t revision = 0;

	(void)state;
	assert_int_equal(put("c", "{}", 0), 0);
	assert_int_equal(store_commit(store, changes, 3, &revision, &error), -ESTALE);
	assert_string_equal(error.text, "b: is not there any more");
	expect_list("", NULL, 10, "c");
	assert_int_equal(store->revision, 1);
	changes[1].expected = 0;
	assert_int_equal(store_commit(store, changes, 3, &revision, &error), 0);
	assert_int_equal(revision, 2);
	expect_list("", NULL, 10, "a b");
	changes[0].expected = 1;
	assert_int_equal(store_commit(store, changes, 1, &revision, &error), -ESTALE);
	assert_string_equal(error.text, "a: was changed meanwhile");
	assert_int_equal(put("a", NULL, 0), -ESTALE);
	assert_string_equal(error.text, "a: is there already");
	expect("a", "{}", 2, 2);
}

static void lists_are_in_order_and_of_their_prefix_alone(void **state)
{
	static const char *const keys[] = {
		"instance",	 "instances/",	 "instances/b", "instances/a",
		"instances/a.b", "instances/~~", "instances0",	"z"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		assert_int_equal(put(keys[i], "{}", 0), 0);
	expect_list("instances/", NULL, 10,
		    "instances/ instances/a instances/a.b instances/b instances/~~");
	expect_list("instances/", "instances/", 2, "instances/a instances/a.b");
	expect_list("instances/", "instances/a", 10, "instances/a.b instances/b instances/~~");
	expect_list("instances/", "instances/b", 10, "instances/~~");
	expect_list("instances/", "instances/aa", 10, "instances/b instances/~~");
	expect_list("instances/", "a", 1, "instances/");
	expect_list("instances/", "z", 10, "");
	expect_list("instances/", NULL, 0, "");
	expect_list("", "instances/~~", SIZE_MAX, "instances0 z");
}

static int end_it(void *context, const struct store_item *item)
{
	(void)item;
	++*(unsigned *)context;
	return 42;
}

static int read_more(void *context, const struct store_item *item)
{
	struct store_change change = {.key = "x", .value = "{}", .expected = STORE_ANY};

	(void)context;
	assert_int_equal(store_commit(store, &change, 1, NULL, &error), -EBUSY);
	assert_int_equal(store_scrub(store, &error), -EBUSY);
	expect_list("", NULL, 10, "a b c");
	expect(item->key, item->value, item->created, item->revision);
	return 0;
}

static void whoever_reads_may_read_more_but_change_nothing(void **state)
{
	unsigned calls = 0;

	(void)state;
	assert_int_equal(put("a", "{\"n\":1}", 0) | put("b", "{\"n\":2}", 0) | put("c", "{}", 0),
			 0);
	assert_int_equal(store_list(store, "", NULL, 10, read_more, NULL, &error), 0);
	assert_int_equal(store_get(store, "b", read_more, NULL, &error), 0);
	assert_int_equal(store_list(store, "", NULL, 10, end_it, &calls, &error), 42);
	assert_int_equal(calls, 1);
	assert_int_equal(put("d", "{}", 0), 0);
}

static void note(void *context, const struct store_item *item)
{
	char *text = context;
	size_t used = strlen(text);

	snprintf(text + used, 256 - used, "%s=%s@%llu/%llu ", item->key,
		 item->value ? item->value : "-", (unsigned long long)item->created,
		 (unsigned long long)item->revision);
}

static void the_watcher_is_told_of_what_has_changed(void **state)
{
	char told[256] = "";
	struct store_change changes[] = {
		{.key = "b", .value = "1", .expected = 0},
		{.key = "none", .value = NULL, .expected = STORE_ANY},
		{.key = "a", .value = NULL, .expected = 1},
	};

	(void)state;
	store->watcher = note;
	store->watcher_context = told;
	assert_int_equal(put("a", "0", 0), 0);
	assert_int_equal(put("a", "9", 0), -ESTALE);
	assert_int_equal(store_commit(store, changes, 3, NULL, &error), 0);
	assert_string_equal(told, "a=0@1/1 b=1@2/2 a=-@1/2 ");
}

static void what_is_no_commit_is_refused(void **state)
{
	static struct store_change many[STORE_CHANGES_MAX + 1];
	char longest[STORE_KEY_MAX + 2];
	CLEANUP_FREE char *big = malloc(STORE_VALUE_MAX + 2);
	struct store_change twice[] = {{.key = "a", .value = "{}"},
				       {.key = "b", .value = "{}"},
				       {.key = "a", .value = "{}"}};

	(void)state;
	memset(longest, 'k', sizeof(longest));
	longest[STORE_KEY_MAX + 1] = '\0';
	assert_int_equal(put(longest, "{}", 0), -EINVAL);
	longest[STORE_KEY_MAX] = '\0';
	assert_int_equal(put(longest, "{}", 0), 0);
	assert_int_equal(look(longest), 0);
	expect_list(longest, NULL, 2, longest);
	assert_int_equal(put("", "{}", 0), -EINVAL);
	assert_int_equal(put("with space", "{}", 0), -EINVAL);
	assert_int_equal(put("tab\t", "{}", 0), -EINVAL);
	assert_int_equal(put("\xc3\xa4", "{}", 0), -EINVAL);
	assert_int_equal(look("\x7f"), -EINVAL);
	assert_int_equal(store_list(store, "\n", NULL, 1, see, NULL, &error), -EINVAL);
	assert_int_equal(store_list(store, "", "\n", 1, see, NULL, &error), -EINVAL);
	assert_non_null(big);
	memset(big, '1', STORE_VALUE_MAX + 1);
	big[STORE_VALUE_MAX + 1] = '\0';
	assert_int_equal(put("big", big, 0), -E2BIG);
	big[STORE_VALUE_MAX] = '\0';
	assert_int_equal(put("big", big, 0), 0);
	assert_int_equal(look("big"), 0);
	assert_int_equal(store_commit(store, twice, 3, NULL, &error), -EINVAL);
	assert_string_equal(error.text, "store: a: twice in one commit");
	assert_int_equal(store_commit(store, twice, 0, NULL, &error), -EINVAL);
	assert_int_equal(store_commit(store, many, ARRAY_LEN(many), NULL, &error), -E2BIG);
}

/* ---- whose it is ---- */

static void one_plane_has_it_and_nobody_else_may_look(void **state)
{
	struct store *other;
	struct stat status;

	(void)state;
	assert_int_equal(put("a", "{}", 0), 0);
	assert_int_equal(store_sqlite_open(plane_folder, &other, &error), -EBUSY);
	assert_non_null(strstr(error.text, "another plane has it"));
	assert_int_equal(stat(plane_path("plane.db"), &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	assert_int_equal(stat(plane_path("plane.db-wal"), &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	store_close(store);
	store = NULL;
	chmod(plane_path("plane.db"), 0640);
	assert_int_equal(store_sqlite_open(plane_folder, &other, &error), -EPERM);
	assert_non_null(strstr(error.text, "chmod 0600"));
	chmod(plane_path("plane.db"), 0600);
	chmod(plane_folder, 0750);
	assert_int_equal(store_sqlite_open(plane_folder, &other, &error), -EPERM);
	chmod(plane_folder, 0700);
	rename(plane_path("plane.db"), plane_path("other.db"));
	assert_int_equal(symlink("other.db", plane_path("plane.db")), 0);
	assert_int_equal(store_sqlite_open(plane_folder, &other, &error), -ELOOP);
	unlink(plane_path("plane.db"));
	assert_int_equal(store_sqlite_open(plane_path("none/deeper"), &other, &error), -ENOENT);
}

/* As a stranger would. */
static void with_sqlite(const char *sql)
{
	sqlite3 *database;

	store_close(store);
	store = NULL;
	assert_int_equal(sqlite3_open(plane_path("plane.db"), &database), SQLITE_OK);
	if (sqlite3_exec(database, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(database));
	sqlite3_close(database);
}

static void expect_refusal(const char *sql, const char *text)
{
	size_t length, again;
	CLEANUP_FREE char *before = NULL, *after = NULL;

	with_sqlite(sql);
	before = plane_read("plane.db", &length);
	if (store_sqlite_open(plane_folder, &store, &error) != -EBADMSG)
		fail_msg("%s: taken", sql);
	assert_non_null(strstr(error.text, text));
	after = plane_read("plane.db", &again);
	assert_non_null(before);
	assert_non_null(after);
	assert_int_equal(length, again);
	assert_memory_equal(before, after, length);
}

static void what_is_not_ours_is_refused_and_left_alone(void **state)
{
	(void)state;
	assert_int_equal(put("a", "{}", 0), 0);
	expect_refusal("PRAGMA user_version = 2", "of a newer karuta");
	expect_refusal("PRAGMA user_version = 0", "not made by any karuta");
	expect_refusal("PRAGMA user_version = 1; PRAGMA application_id = 1",
		       "not a plane's database");
	expect_refusal("PRAGMA application_id = 1801548405; CREATE TABLE more (a)",
		       "other tables than ours");
	expect_refusal("DROP TABLE more; CREATE TRIGGER t AFTER DELETE ON item BEGIN "
		       "DELETE FROM plane; END",
		       "other tables than ours");
	expect_refusal("DROP TRIGGER t; DELETE FROM plane", "has no revision");
	with_sqlite("INSERT INTO plane VALUES (1, 1)");
	open_it();
	expect("a", "{}", 1, 1);
}

static void an_item_that_we_cannot_have_written_is_refused(void **state)
{
	static const char *const changes[] = {
		"UPDATE item SET revision = 2",
		"UPDATE item SET revision = -1",
		"UPDATE item SET revision = 1, created = 0",
		"UPDATE item SET created = 1, key = 'a b'",
		"UPDATE item SET key = 'a', value = CAST(zeroblob(1048577) AS TEXT)",
	};

	(void)state;
	assert_int_equal(put("a", "{}", 0), 0);
	for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
		with_sqlite(changes[i]);
		open_it();
		if (store_list(store, "", NULL, 10, see, NULL, &error) != -EBADMSG)
			fail_msg("%s: taken", changes[i]);
		assert_non_null(strstr(error.text, "not what was written"));
	}
}

/* Each page in turn is damaged: it is found at the start, or where it is read. */
static void damaged_pages_are_found(void **state)
{
	size_t length, found = 0;
	CLEANUP_FREE char *whole = NULL, *broken = NULL;
	char value[1500];

	(void)state;
	memset(value, '1', sizeof(value));
	value[sizeof(value) - 1] = '\0';
	for (unsigned i = 0; i < 20; i++) {
		char key[16];

		snprintf(key, sizeof(key), "k%u", i);
		assert_int_equal(put(key, value, 0), 0);
	}
	store_close(store);
	store = NULL;
	assert_int_equal(truncate(plane_path("plane.db-wal"), 0), 0);
	whole = plane_read("plane.db", &length);
	assert_non_null(whole);
	broken = malloc(length);
	assert_non_null(broken);
	for (size_t page = 0; page < length / 4096; page++) {
		memcpy(broken, whole, length);
		memset(broken + page * 4096 + 1, 0xa5, 64);
		plane_write("plane.db", broken, length);
		if (store_sqlite_open(plane_folder, &store, &error) == -EBADMSG)
			found++;
		else
			fail_msg("page %zu: taken, or %s", page, error.text);
	}
	assert_true(found >= 10);
	plane_write("plane.db", whole, length - 4096);
	assert_int_equal(store_sqlite_open(plane_folder, &store, &error), -EBADMSG);
	plane_write("plane.db", "not a database, but long enough to look at", 42);
	assert_int_equal(store_sqlite_open(plane_folder, &store, &error), -EBADMSG);
}

/* ---- an end at any moment ---- */

#define ROUNDS 40u

/* Three items with the same number in each commit, which is told once it is there. */
static void work_until_killed(int acknowledge, unsigned number)
{
	if (store_sqlite_open(plane_folder, &store, &error) < 0)
		_exit(1);
	for (;; number++) {
		char value[32];
		struct store_change changes[3] = {{.key = "a"}, {.key = "b"}, {.key = "c"}};

		snprintf(value, sizeof(value), "%u", number);
		for (unsigned i = 0; i < 3; i++) {
			changes[i].value = value;
			changes[i].expected = store->revision;
			changes[i].sealed = number % 2;
		}
		if (store_commit(store, changes, 3, NULL, &error) < 0 ||
		    (number % 8 == 0 && store_scrub(store, &error) < 0))
			_exit(1);
		if (write(acknowledge, &number, sizeof(number)) != sizeof(number))
			_exit(1);
	}
}

static unsigned last_number(int acknowledged, unsigned number)
{
	unsigned next;

	while (read(acknowledged, &next, sizeof(next)) == sizeof(next))
		number = next;
	return number;
}

static int same_number(void *context, const struct store_item *item)
{
	unsigned *number = context, found = (unsigned)strtoul(item->value, NULL, 10);

	if (*number && *number != found)
		fail_msg("half a commit: %u and %u", *number, found);
	*number = found;
	return 0;
}

static void what_was_acknowledged_survives_a_kill_and_nothing_is_half(void **state)
{
	unsigned known = 0, random = 1;

	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		int pair[2], status;
		unsigned found = 0;
		pid_t child;

		store_close(store);
		store = NULL;
		assert_int_equal(os_pipe(pair), 0);
		child = fork();
		if (child == 0)
			work_until_killed(pair[1], known + 1);
		close(pair[1]);
		random = random * 1103515245 + 12345;
		/* Half of the rounds end wherever they are, also in the middle of a start. */
		if (round % 2 && read(pair[0], &found, sizeof(found)) == sizeof(found))
			known = found;
		found = 0;
		nanosleep(&(struct timespec){.tv_nsec = (long)(random >> 8) % 40000000}, NULL);
		kill(child, SIGKILL);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status));
		known = last_number(pair[0], known);
		close(pair[0]);
		open_it();
		assert_int_equal(store_list(store, "", NULL, 4, same_number, &found, &error), 0);
		if (found < known || found > known + 1)
			fail_msg("round %u: %u is there, %u was acknowledged", round, found, known);
		assert_int_equal(store->revision, found);
		known = found;
	}
	assert_true(known > ROUNDS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(what_was_committed_is_there_after_a_start),
		TEST(a_commit_is_done_as_a_whole_or_not_at_all),
		TEST(lists_are_in_order_and_of_their_prefix_alone),
		TEST(whoever_reads_may_read_more_but_change_nothing),
		TEST(the_watcher_is_told_of_what_has_changed),
		TEST(what_is_no_commit_is_refused),
		TEST(one_plane_has_it_and_nobody_else_may_look),
		TEST(what_is_not_ours_is_refused_and_left_alone),
		TEST(an_item_that_we_cannot_have_written_is_refused),
		TEST(damaged_pages_are_found),
		TEST(what_was_acknowledged_survives_a_kill_and_nothing_is_half),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
