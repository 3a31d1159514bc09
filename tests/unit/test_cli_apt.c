/* SPDX-License-Identifier: Apache-2.0 */
/* From this machine's apt sources to those of an image. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "apt_sources.h"

/* What `suite` gets, without "[signed-by=...] ", whose presence depends on this machine; "" if
 * nothing. The caller's to free. */
static char *translate(const char *lines, const char *deb822, const char *suite)
{
	struct apt_sources list = {0};
	struct error error = {0};
	char *text = NULL, *at, *end;

	assert_int_equal(apt_sources_parse_lines(&list, lines), 0);
	assert_int_equal(apt_sources_parse_deb822(&list, deb822), 0);
	if (apt_sources_for_suite(&list, suite, &text, &error)) {
		assert_int_equal(error.code, ENOENT);
		text = strdup("");
	}
	apt_sources_free(&list);
	while ((at = strchr(text, '[')) && (end = strchr(at, ']')))
		memmove(at, end + 2, strlen(end + 2) + 1);
	return text;
}

static void expect(const char *lines, const char *deb822, const char *suite, const char *wanted)
{
	char *text = translate(lines, deb822, suite);

	assert_string_equal(text, wanted);
	free(text);
}

static void lines_are_read(void **state)
{
	(void)state;
	expect("# a comment\n"
	       "deb http://mirror/debian bookworm main contrib # and more\n"
	       "deb-src http://mirror/debian bookworm main\n"
	       "\tdeb [ arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg ] "
	       "http://mirror/debian bookworm-updates main\n"
	       "deb http://mirror/security bookworm-security main",
	       "", "bookworm",
	       "deb http://mirror/debian bookworm main\n"
	       "deb http://mirror/debian bookworm-updates main\n"
	       "deb http://mirror/security bookworm-security main\n");
}

static void stanzas_are_read(void **state)
{
	(void)state;
	expect("",
	       "# a comment\nTypes: deb deb-src\n# another\nURIs: http://mirror/debian\n"
	       "Suites: bookworm\n bookworm-updates\nComponents: main\n"
	       "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
	       " \n\n"
	       "types: deb\nuris: http://a/security http://b/security\nsuites: bookworm-security\n"
	       "components: main",
	       "bookworm",
	       "deb http://mirror/debian bookworm main\n"
	       "deb http://mirror/debian bookworm-updates main\n"
	       "deb http://a/security bookworm-security main\n"
	       "deb http://b/security bookworm-security main\n");
}

static void another_release_keeps_the_mirror(void **state)
{
	(void)state;
	expect("deb http://m/debian bookworm main non-free-firmware\n"
	       "deb http://m/security bookworm-security main\n",
	       "", "trixie",
	       "deb http://m/debian trixie main\ndeb http://m/security trixie-security main\n");
	expect("deb http://m/debian stable main\n", "", "bookworm",
	       "deb http://m/debian bookworm main\n");
}

static void third_parties_do_not_count(void **state)
{
	(void)state;
	expect("deb [signed-by=/etc/apt/keyrings/docker.gpg] http://d/linux/debian bookworm "
	       "stable\n"
	       "deb [signed-by=/etc/apt/keyrings/x.gpg] http://x/debian bookworm main\n"
	       "deb http://y/debian bookworm-pgdg main\n"
	       "deb http://z/debian nodistro main\n"
	       "deb http://b/debian bookworm-backports main\n"
	       "deb http://c/linux bookworm stable\n",
	       "", "bookworm", "");
}

static void stanzas_that_are_off_do_not_count(void **state)
{
	(void)state;
	expect("",
	       "Types: deb\nURIs: http://m/debian\nSuites: bookworm\nComponents: main\nEnabled: "
	       "no\n"
	       "\nTypes: deb-src\nURIs: http://m/debian\nSuites: bookworm\nComponents: main\n"
	       "\nTypes: deb\nURIs: http://m/debian\nSuites: ./\n",
	       "bookworm", "");
}

static void two_releases_give_each_archive_once(void **state)
{
	(void)state;
	expect("deb http://m/debian bookworm main\ndeb http://m/debian trixie main\n", "", "trixie",
	       "deb http://m/debian trixie main\n");
}

/* Security alone holds no release. */
static void an_archive_of_the_release_itself_is_needed(void **state)
{
	(void)state;
	expect("deb http://m/security bookworm-security main\n", "", "bookworm", "");
}

static void key_rings_are_kept(void **state)
{
	struct apt_sources list = {0};
	struct error error;
	char *text;

	(void)state;
	apt_sources_parse_lines(&list,
				"deb [signed-by=/k/debian-archive-x.gpg] http://m bookworm main");
	assert_int_equal(apt_sources_for_suite(&list, "trixie", &text, &error), 0);
	assert_string_equal(text, "deb [signed-by=/k/debian-archive-x.gpg] http://m trixie main\n");
	free(text);
	apt_sources_free(&list);
}

static void a_key_in_the_stanza_is_no_path(void **state)
{
	struct apt_sources list = {0};

	(void)state;
	apt_sources_parse_deb822(&list,
				 "Types: deb\nURIs: http://m\nSuites: bookworm\n"
				 "Components: main\nSigned-By:\n -----BEGIN PGP\n .\n abc\n");
	assert_int_equal(list.count, 1);
	assert_null(list.at[0].signed_by);
	apt_sources_free(&list);
}

static void broken_lines_are_left_out(void **state)
{
	struct apt_sources list = {0};

	(void)state;
	apt_sources_parse_lines(&list,
				"deb\ndeb [\ndeb [ a=b http://m bookworm main\ndeb http://m\n"
				"deb http://m bookworm\n  \n#\ndebx http://m bookworm main\n");
	apt_sources_parse_deb822(&list, ":\n: x\nTypes\n x\nTypes: deb\n\n\n  \n");
	assert_int_equal(list.count, 0);
	apt_sources_free(&list);
}

static void the_list_has_an_end(void **state)
{
	struct apt_sources list = {0};

	(void)state;
	for (int i = 0; i < APT_MAX_SOURCES + 5; i++)
		assert_int_equal(apt_sources_parse_lines(&list, "deb http://m bookworm main\n"), 0);
	assert_int_equal(list.count, APT_MAX_SOURCES);
	apt_sources_free(&list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_read),
		cmocka_unit_test(stanzas_are_read),
		cmocka_unit_test(another_release_keeps_the_mirror),
		cmocka_unit_test(third_parties_do_not_count),
		cmocka_unit_test(stanzas_that_are_off_do_not_count),
		cmocka_unit_test(two_releases_give_each_archive_once),
		cmocka_unit_test(an_archive_of_the_release_itself_is_needed),
		cmocka_unit_test(key_rings_are_kept),
		cmocka_unit_test(a_key_in_the_stanza_is_no_path),
		cmocka_unit_test(broken_lines_are_left_out),
		cmocka_unit_test(the_list_has_an_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
