/* SPDX-License-Identifier: Apache-2.0 */
/* The book of instances: each change is whole or absent, whatever the disk does; what is not as it
 * was written is never used. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base.h"
#include "book.h"
#include "mortal_disk.h"
#include "os/fd.h"
#include "policy.h"

static char path[] = "/tmp/karuta-book-XXXXXX";
static int folder = -1;
static char suspect[INSTANCE_NAME_MAX + sizeof(BOOK_SUFFIX)];

static void empty_folder(void)
{
	DIR *listing = fdopendir(openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct dirent *found;

	assert_non_null(listing);
	while ((found = readdir(listing))) {
		if (strcmp(found->d_name, ".") != 0 && strcmp(found->d_name, "..") != 0 &&
		    unlinkat(folder, found->d_name, 0) < 0)
			unlinkat(folder, found->d_name, AT_REMOVEDIR);
	}
	closedir(listing);
}

static int make_folder(void **state)
{
	(void)state;
	if (!mkdtemp(path))
		return -1;
	folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return folder < 0 ? -1 : 0;
}

static int remove_folder(void **state)
{
	(void)state;
	empty_folder();
	close(folder);
	return rmdir(path);
}

static int renew(void **state)
{
	(void)state;
	empty_folder();
	return 0;
}

static struct book_entry make_entry(const char *name, bool wanted, const char *spec)
{
	struct book_entry entry = {
		.wanted = wanted, .spec = (char *)(uintptr_t)spec, .length = strlen(spec)};

	snprintf(entry.name, sizeof(entry.name), "%s", name);
	return entry;
}

static void put_file(const char *name, const void *bytes, size_t length)
{
	CLEANUP_CLOSE int file =
		openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(file >= 0);
	assert_int_equal(os_write_all(file, bytes, length), 0);
}

/* ---- a loss of power ---- */

struct step {
	const char *name, *spec; /* NULL: it is removed */
	bool wanted;
};

#define LONG_TEXT                                                                                  \
	"{\"a\": \"0123456789012345678901234567890123456789012345678901234567890123456789\","      \
	" \"b\": \"0123456789012345678901234567890123456789012345678901234567890123456789\","      \
	" \"c\": \"0123456789012345678901234567890123456789012345678901234567890123456789\","      \
	" \"d\": \"0123456789012345678901234567890123456789012345678901234567890123456789\"}"

static const struct step steps[] = {
	{"web", "{\"name\": \"web\"}", true},
	{"db", LONG_TEXT, true},
	{"web", "{\"name\": \"web\"}", false},
	{"web", LONG_TEXT, true},
	{"db", NULL, false},
	{"db", "{}", false},
	{"web", NULL, false},
};

/* What the book says of the name after so many steps; NULL: nothing. */
static const struct step *said_of(const char *name, size_t done)
{
	while (done--) {
		if (!strcmp(steps[done].name, name))
			return steps[done].spec ? &steps[done] : NULL;
	}
	return NULL;
}

static bool is_so(const struct book_entry *entries, size_t count, const char *name, size_t done)
{
	const struct step *said = said_of(name, done);

	for (size_t i = 0; i < count; i++) {
		if (!strcmp(entries[i].name, name))
			return said && said->wanted == entries[i].wanted &&
			       !strcmp(said->spec, entries[i].spec);
	}
	return !said;
}

/* It opens, and holds what it held after `least` steps, or after one more if `most` says so. */
static void check_folder(size_t least, size_t most, const char *where)
{
	struct book_entry entries[BOOK_ENTRIES];
	struct error error = {0};
	size_t count;
	bool good = false;

	if (book_load(folder, entries, &count, suspect, &error) < 0)
		fail_msg("%s: %s", where, error.text);
	for (size_t done = least; done <= most; done++)
		good |= count <= 2 && is_so(entries, count, "web", done) &&
			is_so(entries, count, "db", done);
	if (!good)
		fail_msg("%s: not what was there before, nor what is to be there", where);
	for (size_t i = 0; i < count; i++)
		book_entry_free(&entries[i]);
}

static int take_step(struct book *book, const struct step *step)
{
	struct book_entry entry =
		make_entry(step->name, step->wanted, step->spec ? step->spec : "");
	struct error error = {0};

	return step->spec ? book_put(book, &entry, &error) : book_remove(book, step->name, &error);
}

static struct book mortal_book(void)
{
	struct book book = BOOK_NONE;

	book.state.folder = MORTAL_FOLDER;
	book.calls = &mortal_calls;
	return book;
}

static unsigned count_calls(void)
{
	struct book book = mortal_book();

	mortal_begin(0, 0, false);
	for (size_t i = 0; i < ARRAY_LEN(steps); i++)
		assert_int_equal(take_step(&book, &steps[i]), 0);
	return mortal_calls_made();
}

static void power_may_be_lost_at_any_moment(void **state)
{
	unsigned calls = count_calls(), ways = 0;

	(void)state;
	for (unsigned plug = 1; plug <= calls + 1; plug++) {
		struct book book = mortal_book();
		size_t done = 0;

		mortal_begin(plug, EIO, false);
		while (done < ARRAY_LEN(steps) && take_step(&book, &steps[done]) == 0)
			done++;
		assert_int_equal(done == ARRAY_LEN(steps), plug == calls + 1);
		for (unsigned way = 0;; way++) {
			char where[64];

			empty_folder();
			if (!mortal_leave(folder, way))
				break;
			snprintf(where, sizeof(where), "call %u, way %u", plug, way);
			check_folder(done, min_u64(done + 1, ARRAY_LEN(steps)), where);
			ways++;
		}
	}
	assert_true(calls > 30 && ways > 5 * calls);
}

/* A disk that is full, or fails once. */
static void a_change_that_fails_changes_nothing(void **state)
{
	unsigned calls = count_calls();

	(void)state;
	for (unsigned call = 1; call <= calls; call++) {
		struct book book = mortal_book();
		size_t done = 0;
		char where[32];

		mortal_begin(call, ENOSPC, true);
		while (take_step(&book, &steps[done]) == 0)
			done++;
		assert_true(done < ARRAY_LEN(steps));
		snprintf(where, sizeof(where), "call %u", call);
		empty_folder();
		mortal_show(folder);
		/* Of the last flush it is not known what it has done. */
		check_folder(done, done + book.unsure, where);
		if (book.unsure) {
			assert_int_equal(take_step(&book, &steps[done]), -EIO);
			continue;
		}
		for (; done < ARRAY_LEN(steps); done++)
			assert_int_equal(take_step(&book, &steps[done]), 0);
		empty_folder();
		mortal_show(folder);
		check_folder(done, done, where);
	}
}

static void a_change_that_does_not_fit_is_told(void **state)
{
	struct book_entry entry = make_entry("web", true, LONG_TEXT);
	struct rlimit limit, small;
	struct book book;
	struct error error = {0};

	(void)state;
	assert_int_equal(book_open(&book, path, &error), 0);
	assert_int_equal(book_put(&book, &entry, &error), 0);
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &limit);
	small = (struct rlimit){.rlim_cur = 100, .rlim_max = limit.rlim_max};
	setrlimit(RLIMIT_FSIZE, &small);
	entry.wanted = false;
	assert_int_equal(book_put(&book, &entry, &error), -EFBIG);
	setrlimit(RLIMIT_FSIZE, &limit);
	assert_string_equal(error.text, "instance web cannot be written down: File too large");
	assert_int_equal(faccessat(folder, "web.instance.new", F_OK, 0), -1);
	book_close(&book);
	put_file("web.instance.new", "half of", 7);
	assert_int_equal(faccessat(folder, "web.instance", F_OK, 0), 0);
	assert_int_equal(book_open(&book, path, &error), 0);
	{
		struct book_entry entries[BOOK_ENTRIES];
		size_t count;

		assert_int_equal(book_load(book.state.folder, entries, &count, suspect, &error), 0);
		assert_int_equal(count, 1);
		assert_true(entries[0].wanted);
		book_entry_free(&entries[0]);
	}
	book_close(&book);
}

/* ---- what is not as it was written ---- */

static void expect_suspect(const char *name)
{
	struct book_entry entries[BOOK_ENTRIES];
	struct error error = {0};
	size_t count;

	if (book_load(folder, entries, &count, suspect, &error) != -EBADMSG)
		fail_msg("%s: taken", name);
	assert_string_equal(suspect, name);
	assert_non_null(strstr(error.text, name));
}

static void any_byte_that_was_changed_is_found(void **state)
{
	struct book_entry entry = make_entry("web", true, "{\"name\": \"web\"}"), again;
	CLEANUP_FREE char *text = NULL;
	ssize_t length = book_entry_encode(&entry, &text);

	(void)state;
	assert_true(length > 0);
	text = realloc(text, (size_t)length + 2);
	text[length] = text[length + 1] = '\0';
	for (ssize_t i = 0; i < length; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			text[i] = (char)(text[i] ^ 1 << bit);
			assert_int_equal(book_entry_decode(&again, "web", text, (size_t)length),
					 -EBADMSG);
			text[i] = (char)(text[i] ^ 1 << bit);
		}
		/* And any end that is missing. */
		assert_int_equal(book_entry_decode(&again, "web", text, (size_t)i), -EBADMSG);
	}
	assert_int_equal(book_entry_decode(&again, "web", text, (size_t)length + 1), -EBADMSG);
	/* Of another instance. */
	assert_int_equal(book_entry_decode(&again, "wec", text, (size_t)length), -EBADMSG);
	assert_int_equal(book_entry_decode(&again, "web", text, (size_t)length), 0);
	assert_string_equal(again.spec, entry.spec);
	book_entry_free(&again);
	for (ssize_t i = 0; i < length; i += 7) {
		text[i] ^= 1;
		put_file("web.instance", text, (size_t)length);
		expect_suspect("web.instance");
		text[i] ^= 1;
	}
}

static void what_cannot_be_ours_is_found(void **state)
{
	static char big[BOOK_FILE_MAX + 1];

	(void)state;
	put_file("web.instance", big, sizeof(big));
	expect_suspect("web.instance");
	unlinkat(folder, "web.instance", 0);
	assert_int_equal(symlinkat("/etc/passwd", folder, "link.instance"), 0);
	expect_suspect("link.instance");
	unlinkat(folder, "link.instance", 0);
	assert_int_equal(mkdirat(folder, "folder.instance", 0700), 0);
	expect_suspect("folder.instance");
	unlinkat(folder, "folder.instance", AT_REMOVEDIR);
	assert_int_equal(mkfifoat(folder, "fifo.instance", 0600), 0);
	expect_suspect("fifo.instance");
	unlinkat(folder, "fifo.instance", 0);
	put_file(".instance", "", 0);
	put_file("other", "", 0);
	check_folder(0, 0, "what is not of the book");
}

static void there_are_64_at_most(void **state)
{
	struct book book;
	struct error error = {0};
	struct book_entry entries[BOOK_ENTRIES];
	size_t count;
	static char spec[INSTANCE_FILE_MAX + 1];

	(void)state;
	memset(spec, ' ', INSTANCE_FILE_MAX);
	assert_int_equal(book_open(&book, path, &error), 0);
	for (unsigned i = 0; i <= BOOK_ENTRIES; i++) {
		char name[INSTANCE_NAME_MAX + 1];
		struct book_entry entry;

		/* As long as any may be. */
		snprintf(name, sizeof(name), "%063u", i);
		entry = make_entry(name, i % 2, spec);
		if (i == BOOK_ENTRIES) {
			assert_int_equal(book_load(folder, entries, &count, suspect, &error), 0);
			assert_int_equal(count, BOOK_ENTRIES);
			for (size_t j = 0; j < count; j++)
				book_entry_free(&entries[j]);
		}
		assert_int_equal(book_put(&book, &entry, &error), 0);
	}
	assert_int_equal(book_load(folder, entries, &count, suspect, &error), -E2BIG);
	book_close(&book);
}

static void one_controller_has_it(void **state)
{
	struct book book, other;
	struct error error = {0};

	(void)state;
	assert_int_equal(book_open(&book, path, &error), 0);
	assert_int_equal(book_open(&other, path, &error), -EBUSY);
	book_close(&book);
	assert_int_equal(book_open(&other, path, &error), 0);
	book_close(&other);
}

/* ---- the policy ---- */

static void policies_differ_in_what_ended_it(void **state)
{
	enum policy policy;

	(void)state;
	assert_true(policy_parse("always", &policy) && policy == POLICY_ALWAYS);
	assert_false(policy_parse("Always", &policy));
	for (unsigned failed = 0; failed < 2; failed++) {
		assert_true(policy_wants(POLICY_ALWAYS, failed));
		assert_false(policy_wants(POLICY_NEVER, failed));
		assert_int_equal(policy_wants(POLICY_ON_FAILURE, failed), failed);
	}
}

static void restarts_wait_longer_and_have_an_end(void **state)
{
	struct restarts restarts = {0};
	uint64_t now = 5 * NS_PER_S, when, begun = now;

	(void)state;
	for (unsigned i = 0; i < POLICY_RESTARTS; i++) {
		assert_true(restarts_add(&restarts, now, &when));
		assert_int_equal(when - now, POLICY_PAUSE << i);
		now = when;
	}
	assert_false(restarts_add(&restarts, now, &when));
	/* One for each that is old. */
	now = begun + POLICY_WINDOW;
	assert_true(restarts_add(&restarts, now, &when));
	assert_false(restarts_add(&restarts, now, &when));
	assert_int_equal(restarts.count, POLICY_RESTARTS + 1);
	now += 2 * POLICY_WINDOW;
	assert_true(restarts_add(&restarts, now, &when));
	assert_int_equal(when - now, POLICY_PAUSE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(power_may_be_lost_at_any_moment, renew),
		cmocka_unit_test_setup(a_change_that_fails_changes_nothing, renew),
		cmocka_unit_test_setup(a_change_that_does_not_fit_is_told, renew),
		cmocka_unit_test_setup(any_byte_that_was_changed_is_found, renew),
		cmocka_unit_test_setup(what_cannot_be_ours_is_found, renew),
		cmocka_unit_test_setup(there_are_64_at_most, renew),
		cmocka_unit_test_setup(one_controller_has_it, renew),
		cmocka_unit_test(policies_differ_in_what_ended_it),
		cmocka_unit_test(restarts_wait_longer_and_have_an_end),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
