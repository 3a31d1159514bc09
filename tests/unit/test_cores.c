/* SPDX-License-Identifier: Apache-2.0 */
/* Which cores a host has, from what it shows of them, and who gets which. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base.h"
#include "cores.h"

/* ---- lists ---- */

static void lists_are_read_and_written(void **state)
{
	static const char *const same[] = {"", "0", "3", "0-1", "0,2", "0-3,8,10-11", "1023"};
	char text[CPUS_TEXT_SIZE];
	struct cpus cpus;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(same); i++) {
		assert_int_equal(cpus_parse(&cpus, same[i]), 0);
		cpus_format(&cpus, text);
		assert_string_equal(text, same[i]);
	}
	assert_int_equal(cpus_parse(&cpus, "5,1-2,2-3"), 0);
	cpus_format(&cpus, text);
	assert_string_equal(text, "1-3,5");
}

static void the_longest_list_has_room(void **state)
{
	char text[CPUS_TEXT_SIZE];
	struct cpus cpus = {0}, again;

	(void)state;
	for (unsigned cpu = 0; cpu < CPUS_MAX; cpu += 2)
		cpus_add(&cpus, cpu);
	cpus_format(&cpus, text);
	assert_int_equal(cpus_parse(&again, text), 0);
	assert_memory_equal(&again, &cpus, sizeof(cpus));
}

static void what_is_no_list_is_refused(void **state)
{
	static const char *const bad[] = {
		",",	"0,",	  ",0", "0,,1", "-1",  "1-",	"3-1",
		"1024", "0-1024", "a",	"0 1",	"0x1", "1-2-3", "99999999999999999999",
		"0\n1"};
	struct cpus cpus;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(cpus_parse(&cpus, bad[i]), -EINVAL);
		assert_true(cpus_is_empty(&cpus));
	}
}

/* ---- hosts ---- */

struct host {
	const char *online;
	struct {
		const char *file, *text;
	} files[16];
};

static char folder[] = "/tmp/karuta-cores-XXXXXX";

static void write_file(const char *file, const char *text)
{
	char path[128];
	FILE *stream;

	for (const char *at = file; (at = strchr(at, '/')); at++) {
		snprintf(path, sizeof(path), "%s/%.*s", folder, (int)(at - file), file);
		mkdir(path, 0700);
	}
	snprintf(path, sizeof(path), "%s/%s", folder, file);
	stream = fopen(path, "w");
	assert_non_null(stream);
	fprintf(stream, "%s\n", text);
	fclose(stream);
}

static int read_host(const struct host *host, struct cores *cores, struct error *error)
{
	char command[64];
	int ret;

	strcpy(folder + strlen(folder) - 6, "XXXXXX");
	assert_non_null(mkdtemp(folder));
	if (host->online)
		write_file("online", host->online);
	for (size_t i = 0; i < ARRAY_LEN(host->files) && host->files[i].file; i++)
		write_file(host->files[i].file, host->files[i].text);
	ret = cores_read(cores, folder, error);
	snprintf(command, sizeof(command), "rm -r %s", folder);
	assert_int_equal(system(command), 0);
	return ret;
}

/* What `wanted` cores are, when `taken` is: "2-3", or the text of the refusal. */
static const char *choose(const struct cores *cores, const char *taken, unsigned wanted)
{
	static char text[CPUS_TEXT_SIZE];
	struct cpus not, chosen;
	static struct error error;

	assert_int_equal(cpus_parse(&not, taken), 0);
	if (cores_choose(cores, &not, wanted, &chosen, &error) < 0) {
		assert_int_equal(error.code, EBUSY);
		return error.text;
	}
	cpus_format(&chosen, text);
	return text;
}

/* Two cores of two threads each, numbered as Linux does it as a rule. */
static const struct host two_cores = {"0-3",
				      {{"cpu0/topology/core_cpus_list", "0,2"},
				       {"cpu1/topology/core_cpus_list", "1,3"},
				       {"cpu2/topology/core_cpus_list", "0,2"},
				       {"cpu3/topology/core_cpus_list", "1,3"}}};

static void siblings_go_together(void **state)
{
	struct cores cores;
	struct error error;

	(void)state;
	assert_int_equal(read_host(&two_cores, &cores, &error), 0);
	assert_string_equal(choose(&cores, "", 1), "1,3");
	assert_string_equal(choose(&cores, "0", 1),
			    "1 whole core is wanted, 0 of 2 are free: one always stays for "
			    "everybody else; ask for fewer, or end another instance that has some");
	assert_string_equal(choose(&cores, "", 2),
			    "2 whole cores are wanted, 1 of 2 is free: one always stays for "
			    "everybody else; ask for fewer, or end another instance that has some");
}

static void older_kernels_have_another_name(void **state)
{
	static const struct host host = {"0-3",
					 {{"cpu0/topology/thread_siblings_list", "0-1"},
					  {"cpu1/topology/thread_siblings_list", "0-1"},
					  {"cpu2/topology/thread_siblings_list", "2-3"},
					  {"cpu3/topology/thread_siblings_list", "2-3"}}};
	struct cores cores;
	struct error error;

	(void)state;
	assert_int_equal(read_host(&host, &cores, &error), 0);
	assert_string_equal(choose(&cores, "", 1), "2-3");
}

static void without_topology_each_processor_is_a_core(void **state)
{
	static const struct host host = {"0-7", {{0}}};
	struct cores cores;
	struct error error;

	(void)state;
	assert_int_equal(read_host(&host, &cores, &error), 0);
	assert_string_equal(choose(&cores, "", 1), "7");
	assert_string_equal(choose(&cores, "7", 2), "5-6");
	assert_string_equal(choose(&cores, "", 7), "1-7");
	assert_string_equal(choose(&cores, "0-3,7", 2), "5-6");
}

/* Eight cores in two packages. */
static void make_packages(struct cores *cores)
{
	*cores = (struct cores){0};
	for (unsigned cpu = 0; cpu < 16; cpu++) {
		cpus_add(&cores->online, cpu);
		cores->core[cpu] = (uint16_t)(cpu & ~1u);
		cores->package[cpu] = cpu >= 8;
	}
	for (unsigned cpu = 16; cpu < CPUS_MAX; cpu++)
		cores->core[cpu] = (uint16_t)cpu;
}

static void stays_in_one_package_if_it_can(void **state)
{
	struct cores cores;

	(void)state;
	make_packages(&cores);
	assert_string_equal(choose(&cores, "", 2), "12-15");
	/* There are fewer free ones in the first: those that need many find them in the second. */
	assert_string_equal(choose(&cores, "4-7", 2), "0-3");
	assert_string_equal(choose(&cores, "6-7", 4), "8-15");
	assert_string_equal(choose(&cores, "12-15", 3), "2-7");
	/* More than one has. */
	assert_string_equal(choose(&cores, "", 6), "4-15");
	assert_string_equal(choose(&cores, "8-9", 5), "0-7,14-15");
}

static void hostile_numbers_make_cores_larger_never_shared(void **state)
{
	static const struct host host = {
		"0-5",
		{{"cpu0/topology/core_cpus_list", "0-1"},
		 {"cpu1/topology/core_cpus_list", "1"},	       /* does not know of its sibling */
		 {"cpu2/topology/core_cpus_list", "2,9,1023"}, /* not online */
		 {"cpu3/topology/core_cpus_list", "3-"},
		 {"cpu4/topology/core_cpus_list", "5"}, /* not itself */
		 {"cpu5/topology/core_cpus_list", ""},
		 {"cpu2/topology/physical_package_id", "-1"},
		 {"cpu3/topology/physical_package_id", "a package"}}};
	struct cores cores;
	struct error error;

	(void)state;
	assert_int_equal(read_host(&host, &cores, &error), 0);
	assert_string_equal(choose(&cores, "0-3", 1),
			    "1 whole core is wanted, 0 of 4 are free: one always stays for "
			    "everybody else; ask for fewer, or end another instance that has some");
	assert_string_equal(choose(&cores, "3-4", 1), "2");
	assert_string_equal(choose(&cores, "2-3", 1), "4-5");
}

static void a_host_without_processors_is_refused(void **state)
{
	static const struct host hosts[] = {{0}, {"", {{0}}}, {"x", {{0}}}, {"0-4000", {{0}}}};
	struct cores cores;
	struct error error;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++)
		assert_true(read_host(&hosts[i], &cores, &error) < 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists_are_read_and_written),
		cmocka_unit_test(the_longest_list_has_room),
		cmocka_unit_test(what_is_no_list_is_refused),
		cmocka_unit_test(siblings_go_together),
		cmocka_unit_test(older_kernels_have_another_name),
		cmocka_unit_test(without_topology_each_processor_is_a_core),
		cmocka_unit_test(stays_in_one_package_if_it_can),
		cmocka_unit_test(hostile_numbers_make_cores_larger_never_shared),
		cmocka_unit_test(a_host_without_processors_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
