/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: sizes, options, names of images, names of kernels. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/base.h"
#include "boot_files.h"
#include "cli.h"
#include "home.h"
#include "base/size.h"
#include "size.h"

static void sizes_are_read(void **state)
{
	uint64_t size;

	(void)state;
	assert_int_equal(size_parse("0", &size), 0);
	assert_int_equal(size, 0);
	assert_int_equal(size_parse("512", &size), 0);
	assert_int_equal(size, 512);
	assert_int_equal(size_parse("64K", &size), 0);
	assert_int_equal(size, 64 * KIB);
	assert_int_equal(size_parse("16T", &size), 0);
	assert_int_equal(size, 16384 * GIB);
	assert_int_equal(size_parse("8388607T", &size), 0);
}

static void bad_sizes_are_refused(void **state)
{
	static const char *const bad[] = {"",	"G",	"-1",  "+1", " 1",
					  "1 ", "1.5G", "1GB", "1g", "0x10"};
	uint64_t size;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(size_parse(bad[i], &size), -EINVAL);
	assert_int_equal(size_parse("8388608T", &size), -ERANGE);
	assert_int_equal(size_parse("18446744073709551616", &size), -ERANGE);
	assert_int_equal(size_parse("99999999999999999999999", &size), -ERANGE);
}

static void sizes_are_written(void **state)
{
	char text[SIZE_TEXT];

	(void)state;
	assert_string_equal(size_format(text, 0), "0 bytes");
	assert_string_equal(size_format(text, 1023), "1023 bytes");
	assert_string_equal(size_format(text, 4 * GIB), "4 GiB");
	assert_string_equal(size_format(text, 1536 * MIB), "1.5 GiB");
	assert_string_equal(size_format(text, UINT64_MAX), "16777216.0 TiB");
}

static const struct option_spec options[] = {
	{"size", "SIZE", ""}, {"include", "PACKAGES", ""}, {"json", NULL, ""}};
static const struct verb verb = {.noun = "image",
				 .name = "build",
				 .operands = "NAME",
				 .operand_count = 1,
				 .options = options,
				 .option_count = ARRAY_LEN(options)};

static void options_are_taken_in_any_order(void **state)
{
	char *const line[] = {"--include", "a,b", "web", "--json", "--include=c", "--size=", NULL};
	struct invocation call;
	struct error error;
	size_t at = 0;

	(void)state;
	assert_int_equal(options_parse(&call, &verb, line, &error), 0);
	assert_string_equal(call.operands[0], "web");
	assert_string_equal(options_value(&call, "include"), "c");
	assert_string_equal(options_next(&call, "include", &at), "a,b");
	assert_string_equal(options_next(&call, "include", &at), "c");
	assert_null(options_next(&call, "include", &at));
	assert_non_null(options_value(&call, "json"));
	assert_string_equal(options_value(&call, "size"), "");
	assert_false(call.help);
}

static void what_follows_two_dashes_is_no_option(void **state)
{
	char *const line[] = {"--", "--json", NULL};
	struct invocation call;
	struct error error;

	(void)state;
	assert_int_equal(options_parse(&call, &verb, line, &error), 0);
	assert_string_equal(call.operands[0], "--json");
	assert_null(options_value(&call, "json"));
}

static void help_needs_nothing_else(void **state)
{
	char *const line[] = {"--help", NULL};
	struct invocation call;
	struct error error;

	(void)state;
	assert_int_equal(options_parse(&call, &verb, line, &error), 0);
	assert_true(call.help);
}

static void wrong_command_lines_are_named(void **state)
{
	static char *const lines[][4] = {{"web", "--sizes", "1", NULL},
					 {"web", "--size", NULL},
					 {"web", "--json=1", NULL},
					 {"web", "two", NULL},
					 {NULL},
					 {"web", "-x", NULL},
					 {"web", "--siz", "1", NULL},
					 {"web", "--si=", "1", NULL}};
	static const char *const words[] = {"option --sizes", "after --size", "belongs to --json",
					    "too many: two",  "wanted: NAME", "option -x",
					    "option --siz;",  "option --si="};
	struct invocation call;
	struct error error;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		assert_int_equal(options_parse(&call, &verb, lines[i], &error), CLI_USAGE);
		assert_non_null(strstr(error.text, words[i]));
	}
}

static void too_many_values_are_refused(void **state)
{
	char *line[CLI_MAX_VALUES + 3];
	struct invocation call;
	struct error error;

	(void)state;
	for (size_t i = 0; i < CLI_MAX_VALUES + 1; i++)
		line[i] = "--json";
	line[CLI_MAX_VALUES + 1] = "web";
	line[CLI_MAX_VALUES + 2] = NULL;
	assert_int_equal(options_parse(&call, &verb, line, &error), CLI_USAGE);
}

static void image_names_stay_in_their_folder(void **state)
{
	static const char *const bad[] = {"",	  ".",	"..",  ".new-x", "a/b",
					  "/etc", "-x", "a b", "a\nb"};

	(void)state;
	assert_true(home_name_is_good("web"));
	assert_true(home_name_is_good("Web_1.2-b"));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(home_name_is_good(bad[i]));
	assert_false(home_name_is_good(
		"0123456789012345678901234567890123456789012345678901234567890123"));
}

static void the_newest_kernel_and_its_initrd_are_chosen(void **state)
{
	static const char *const lines[] = {
		"/14/100644/0/0/initrd.img-6.1.0-9-cloud-amd64/83/",
		"/15/100644/0/0/vmlinuz-6.1.0-9-cloud-amd64/83/",
		"/16/100644/0/0/vmlinuz-6.1.0-10-cloud-amd64/83/",
		"/17/100644/0/0/vmlinuz-0-rescue-0123/83/",
		"/18/120777/0/0/vmlinuz-7.0-link/83/",
		"/19/040755/0/0/vmlinuz-7.0-folder/83/",
		"/20/100644/0/0/initrd.img-6.1.0-10-cloud-amd64/83/",
		"/21/100644/0/0/initrd.img-6.1.0-10-cloud-amd64.old/83/"};
	struct boot_names names = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		boot_names_take(&names, lines[i]);
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		boot_names_take_initrd(&names, lines[i]);
	assert_string_equal(names.kernel, "vmlinuz-6.1.0-10-cloud-amd64");
	assert_string_equal(names.initrd, "initrd.img-6.1.0-10-cloud-amd64");
}

/* Such a name would become words of a request to debugfs. */
static void kernels_with_hostile_names_are_not_taken(void **state)
{
	static const char *const lines[] = {"/14/100644/0/0/vmlinuz-1 /etc/shadow/83/",
					    "/14/100644/0/0/vmlinuz-1\"x/83/",
					    "/14/100644/0/0/vmlinuz-1;x/83/",
					    "/14/100644/0/0/vmlinuz-1",
					    "/14/100644/0/0//",
					    "/14/100644/0/0/",
					    "14/100644/0/0/vmlinuz-1/83/",
					    "",
					    "vmlinuz-1"};
	struct boot_names names = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		boot_names_take(&names, lines[i]);
	assert_string_equal(names.kernel, "");
}

/* A sparse file of terabytes would be written out in full. */
static void kernels_of_impossible_sizes_are_not_taken(void **state)
{
	static const char *const lines[] = {
		"/14/100644/0/0/vmlinuz-1/1073741825/", "/14/100644/0/0/vmlinuz-2/17592186044416/",
		"/14/100644/0/0/vmlinuz-3/99999999999999999999/", "/14/100644/0/0/vmlinuz-4/-1/",
		"/14/100644/0/0/vmlinuz-5//"};
	struct boot_names names = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		boot_names_take(&names, lines[i]);
	assert_string_equal(names.kernel, "");
	boot_names_take(&names, "/14/100644/0/0/vmlinuz-6/1073741824/");
	assert_string_equal(names.kernel, "vmlinuz-6");
}

static void a_kernel_name_that_is_too_long_is_not_taken(void **state)
{
	struct boot_names names = {0};
	char line[400] = "/14/100644/0/0/vmlinuz-";

	(void)state;
	memset(line + strlen(line), '1', 300);
	strcat(line, "/83/");
	boot_names_take(&names, line);
	assert_string_equal(names.kernel, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_are_read),
		cmocka_unit_test(bad_sizes_are_refused),
		cmocka_unit_test(sizes_are_written),
		cmocka_unit_test(options_are_taken_in_any_order),
		cmocka_unit_test(what_follows_two_dashes_is_no_option),
		cmocka_unit_test(help_needs_nothing_else),
		cmocka_unit_test(wrong_command_lines_are_named),
		cmocka_unit_test(too_many_values_are_refused),
		cmocka_unit_test(image_names_stay_in_their_folder),
		cmocka_unit_test(the_newest_kernel_and_its_initrd_are_chosen),
		cmocka_unit_test(kernels_with_hostile_names_are_not_taken),
		cmocka_unit_test(kernels_of_impossible_sizes_are_not_taken),
		cmocka_unit_test(a_kernel_name_that_is_too_long_is_not_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
