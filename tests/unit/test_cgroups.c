/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree of cgroups, on a folder that looks like one: a new directory has the files that the
 * kernel would put there, and one with files in it can be removed.
 */
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
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base.h"
#include "cgroups.h"
#include "os/fd.h"

/* ---- the kernel's part ---- */

static const char *controllers;	     /* of the host */
static const char *missing = "none"; /* a file that no directory has */

static const char *const files[] = {"cgroup.controllers", "cgroup.subtree_control",
				    "cgroup.events",	  "cpu.weight",
				    "cpuset.cpus",	  "memory.max",
				    "memory.events",	  "memory.swap.max",
				    "pids.max",		  "cpuset.cpus.effective"};

int __real_mkdirat(int parent, const char *name, mode_t mode);
int __wrap_mkdirat(int parent, const char *name, mode_t mode);
ssize_t __real_write(int fd, const void *bytes, size_t length);
ssize_t __wrap_write(int fd, const void *bytes, size_t length);
int __real_unlinkat(int parent, const char *name, int flags);
int __wrap_unlinkat(int parent, const char *name, int flags);

static void put(int folder, const char *file, const char *text)
{
	CLEANUP_CLOSE int fd = openat(folder, file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void fill(int folder)
{
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		if (strcmp(files[i], missing) != 0)
			put(folder, files[i], "");
	}
	put(folder, "cgroup.controllers", controllers);
	put(folder, "cgroup.subtree_control", controllers);
	put(folder, "cgroup.events", "populated 0\nfrozen 0\n");
	put(folder, "cpuset.cpus.effective", "0-3\n");
}

int __wrap_mkdirat(int parent, const char *name, mode_t mode)
{
	CLEANUP_CLOSE int folder = -1;

	if (__real_mkdirat(parent, name, mode) < 0)
		return -1;
	folder = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fill(folder);
	return 0;
}

/* What is written is what is there then; what can be enabled is enabled already. */
ssize_t __wrap_write(int fd, const void *bytes, size_t length)
{
	if (length && *(const char *)bytes == '+')
		return (ssize_t)length;
	if (ftruncate(fd, 0) < 0)
		return -1;
	return __real_write(fd, bytes, length);
}

int __wrap_unlinkat(int parent, const char *name, int flags)
{
	CLEANUP_CLOSE int folder = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (size_t i = 0; folder >= 0 && i < ARRAY_LEN(files); i++)
		__real_unlinkat(folder, files[i], 0);
	return __real_unlinkat(parent, name, flags);
}

/* ---- the host ---- */

static char root[64], processors[64];
static struct cgroups_host host = {root, processors};

static int make_host(void **state)
{
	CLEANUP_CLOSE int folder = -1;

	(void)state;
	controllers = "cpuset cpu io memory pids rdma";
	missing = "none";
	strcpy(root, "/tmp/karuta-cgroups-XXXXXX");
	if (!mkdtemp(root))
		return -1;
	snprintf(processors, sizeof(processors), "%s", root);
	folder = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fill(folder);
	put(folder, "online", "0-3\n");
	put(folder, "possible", "0-3\n");
	return 0;
}

static int remove_host(void **state)
{
	char command[96];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", root);
	return system(command);
}

static const char *read_back(const char *path)
{
	static char text[256];
	char name[256];

	snprintf(name, sizeof(name), "%s/karuta/%s", root, path);
	if (os_read_text(AT_FDCWD, name, text, sizeof(text)) < 0)
		return "not there";
	return text;
}

static bool is_there(const char *path)
{
	char name[256];

	snprintf(name, sizeof(name), "%s/karuta/%s", root, path);
	return access(name, F_OK) == 0;
}

static struct instance instance_of(const char *name, unsigned cores)
{
	struct instance instance = {.memory = 64 * MIB, .cpus = 2, .cores = cores};

	snprintf(instance.name, sizeof(instance.name), "%s", name);
	return instance;
}

static int begin(struct cgroups *cgroups, const char *name, unsigned cores, struct error *error)
{
	struct instance instance = instance_of(name, cores);

	return cgroups_begin(cgroups, &instance, &host, error);
}

/* ---- what happens there ---- */

static void each_program_has_its_limits(void **state)
{
	struct instance instance = instance_of("web", 0);
	struct os_spawn_place place;
	struct cgroups cgroups;
	struct error error;

	(void)state;
	assert_int_equal(cgroups_begin(&cgroups, &instance, &host, &error), 0);
	assert_string_equal(cgroups.limits, "cpu cpuset memory pids");
	assert_string_equal(read_back("shared/instance-web/cpu.weight"), "200");
	assert_string_equal(read_back("shared/cpuset.cpus"), "0-3");

	assert_int_equal(cgroups_place_hypervisor(&cgroups, &instance, 0, &place, &error), 0);
	assert_true(place.cgroup >= 0);
	assert_int_equal(place.core_group, 0);
	assert_false(place.any_cpu);
	os_close(&place.cgroup);
	assert_string_equal(read_back("shared/instance-web/hypervisor/memory.max"), "143654912");
	assert_string_equal(read_back("shared/instance-web/hypervisor/memory.swap.max"), "0");
	assert_string_equal(read_back("shared/instance-web/hypervisor/pids.max"), "36");

	assert_int_equal(cgroups_place_card(&cgroups, 7, MIB, 1, &place, &error), 0);
	os_close(&place.cgroup);
	assert_string_equal(read_back("shared/instance-web/card-7/memory.max"), "269484032");
	/* Another process of it, with another limit. */
	assert_int_equal(cgroups_place_card(&cgroups, 7, 0, 1, &place, &error), 0);
	os_close(&place.cgroup);
	assert_string_equal(read_back("shared/instance-web/card-7/memory.max"), "268435456");
	cgroups_end_card(&cgroups, 7);
	assert_false(is_there("shared/instance-web/card-7"));

	cgroups_end(&cgroups);
	assert_false(is_there("shared/instance-web"));
	assert_true(is_there("shared"));
}

static void who_ran_out_of_memory_is_told(void **state)
{
	struct instance instance = instance_of("web", 0);
	struct os_spawn_place place;
	struct cgroups cgroups;
	struct error error;

	(void)state;
	assert_int_equal(cgroups_begin(&cgroups, &instance, &host, &error), 0);
	assert_false(cgroups_hypervisor_ran_out(&cgroups));
	assert_int_equal(cgroups_place_hypervisor(&cgroups, &instance, 0, &place, &error), 0);
	put(place.cgroup, "memory.events", "low 0\nmax 3\noom 1\noom_kill 0\n");
	assert_false(cgroups_hypervisor_ran_out(&cgroups));
	put(place.cgroup, "memory.events", "low 0\nmax 3\noom 1\noom_kill 1\n");
	assert_true(cgroups_hypervisor_ran_out(&cgroups));
	close(place.cgroup);
	cgroups_end(&cgroups);
	assert_false(cgroups_hypervisor_ran_out(&cgroups));
}

static void names_of_the_kernels_files_are_no_trouble(void **state)
{
	struct cgroups cgroups, other;
	struct error error;

	(void)state;
	assert_int_equal(begin(&cgroups, "cpu.weight", 0, &error), 0);
	assert_true(is_there("shared/instance-cpu.weight/cpu.weight"));
	/* Those that differ in their sockets only. */
	assert_int_equal(begin(&other, "cpu.weight", 0, &error), 0);
	assert_true(is_there("shared/instance-cpu.weight.2"));
	cgroups_end(&other);
	assert_true(is_there("shared/instance-cpu.weight"));
	cgroups_end(&cgroups);
}

static void whole_cores_are_nobody_elses(void **state)
{
	struct cgroups shares, one, two, three;
	struct instance instance = instance_of("one", 1);
	struct os_spawn_place place;
	struct error error;

	(void)state;
	assert_int_equal(begin(&shares, "shares", 0, &error), 0);
	assert_int_equal(begin(&one, "one", 1, &error), 0);
	assert_string_equal(read_back("whole/instance-one/cpuset.cpus"), "3");
	assert_string_equal(read_back("shared/cpuset.cpus"), "0-2");
	assert_int_equal(begin(&two, "two", 2, &error), 0);
	assert_string_equal(read_back("whole/instance-two/cpuset.cpus"), "1-2");
	assert_string_equal(read_back("shared/cpuset.cpus"), "0");
	assert_int_equal(begin(&three, "three", 1, &error), -EBUSY);
	assert_false(is_there("whole/instance-three"));

	assert_int_equal(cgroups_place_hypervisor(&one, &instance, 0, &place, &error), 0);
	assert_int_equal(place.core_group, OS_SPAWN_ALONE);
	assert_true(place.any_cpu);
	os_close(&place.cgroup);
	/* Another that takes its place. */
	assert_int_equal(cgroups_place_hypervisor(&one, &instance, 4711, &place, &error), 0);
	assert_int_equal(place.core_group, 4711);
	os_close(&place.cgroup);
	assert_int_equal(cgroups_place_card(&one, 1, 0, 4711, &place, &error), 0);
	assert_int_equal(place.core_group, 4711);
	os_close(&place.cgroup);

	cgroups_end(&two);
	assert_string_equal(read_back("shared/cpuset.cpus"), "0-2");
	cgroups_end(&one);
	assert_string_equal(read_back("shared/cpuset.cpus"), "0-3");
	cgroups_end(&shares);
}

/* Another controller, which dies. */
static void launch_and_die(const char *name, unsigned cores)
{
	struct os_spawn_place place;
	struct cgroups cgroups;
	struct error error;
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		struct instance instance = instance_of(name, cores);

		if (cgroups_begin(&cgroups, &instance, &host, &error) < 0 ||
		    cgroups_place_hypervisor(&cgroups, &instance, 0, &place, &error) < 0)
			_exit(1);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void what_a_dead_controller_leaves_is_removed(void **state)
{
	struct cgroups cgroups;
	struct error error;

	(void)state;
	launch_and_die("old", 3);
	assert_string_equal(read_back("shared/cpuset.cpus"), "0");
	assert_int_equal(begin(&cgroups, "new", 0, &error), 0);
	assert_false(is_there("whole/instance-old"));
	assert_string_equal(read_back("shared/cpuset.cpus"), "0-3");
	cgroups_end(&cgroups);
}

static void what_still_runs_is_left_alone(void **state)
{
	CLEANUP_CLOSE int folder = -1;
	struct cgroups cgroups, more;
	char path[128];
	struct error error;

	(void)state;
	launch_and_die("old", 3);
	snprintf(path, sizeof(path), "%s/karuta/whole/instance-old", root);
	folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	put(folder, "cgroup.events", "populated 1\nfrozen 0\n");
	assert_int_equal(begin(&cgroups, "new", 0, &error), 0);
	assert_true(is_there("whole/instance-old/hypervisor"));
	assert_string_equal(read_back("shared/cpuset.cpus"), "0");
	assert_int_equal(begin(&more, "more", 1, &error), -EBUSY);
	/* It cannot be told: it may be. */
	put(folder, "cgroup.events", "");
	cgroups_end(&cgroups);
	assert_int_equal(begin(&cgroups, "new", 0, &error), 0);
	assert_true(is_there("whole/instance-old"));
	cgroups_end(&cgroups);
}

/* Launched, with no program in it yet, as another controller's is for a moment. */
static void what_is_in_use_is_left_alone(void **state)
{
	struct cgroups mine, other;
	struct error error;

	(void)state;
	assert_int_equal(begin(&mine, "mine", 1, &error), 0);
	assert_int_equal(begin(&other, "other", 1, &error), 0);
	assert_true(is_there("whole/instance-mine"));
	cgroups_end(&other);
	cgroups_end(&mine);
}

/* As the host is from now on. */
static void change_host(const char *new_controllers, const char *new_missing)
{
	CLEANUP_CLOSE int folder = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	controllers = new_controllers;
	missing = new_missing;
	fill(folder);
}

static void a_host_has_what_it_has(void **state)
{
	struct instance instance = instance_of("web", 0);
	struct os_spawn_place place;
	struct cgroups cgroups;
	struct error error;

	(void)state;
	change_host("pids memoryx cpusets", "none");
	assert_int_equal(cgroups_begin(&cgroups, &instance, &host, &error), 0);
	assert_string_equal(cgroups.limits, "pids");
	assert_int_equal(cgroups_place_hypervisor(&cgroups, &instance, 0, &place, &error), 0);
	os_close(&place.cgroup);
	assert_string_equal(read_back("shared/instance-web/hypervisor/pids.max"), "36");
	assert_string_equal(read_back("shared/instance-web/hypervisor/memory.max"), "");
	cgroups_end(&cgroups);
	assert_int_equal(begin(&cgroups, "web", 1, &error), -ENOTSUP);
}

static void a_kernel_without_swap_has_no_limit_of_it(void **state)
{
	struct instance instance = instance_of("web", 0);
	struct os_spawn_place place;
	struct cgroups cgroups;
	struct error error;

	(void)state;
	change_host("memory", "memory.swap.max");
	assert_int_equal(cgroups_begin(&cgroups, &instance, &host, &error), 0);
	assert_int_equal(cgroups_place_hypervisor(&cgroups, &instance, 0, &place, &error), 0);
	os_close(&place.cgroup);
	cgroups_end(&cgroups);
}

static void a_limit_that_cannot_be_set_is_an_error(void **state)
{
	struct instance instance = instance_of("web", 0);
	struct os_spawn_place place;
	struct cgroups cgroups;
	struct error error;

	(void)state;
	change_host("memory", "memory.max");
	assert_int_equal(cgroups_begin(&cgroups, &instance, &host, &error), 0);
	assert_true(cgroups_place_hypervisor(&cgroups, &instance, 0, &place, &error) < 0);
	assert_string_equal(error.text,
			    "cgroup instance-web/hypervisor: No such file or directory");
	assert_int_equal(place.cgroup, -1);
	cgroups_end(&cgroups);
}

static void a_host_without_cgroups_runs_instances(void **state)
{
	static const struct cgroups_host nowhere = {"/nonexistent", processors};
	struct instance instance = instance_of("web", 0);
	struct os_spawn_place place;
	struct cgroups cgroups;
	struct error error;

	(void)state;
	assert_int_equal(cgroups_begin(&cgroups, &instance, &nowhere, &error), 0);
	assert_string_equal(cgroups.limits, "none: cgroup v2 is not mounted");
	assert_int_equal(cgroups_place_hypervisor(&cgroups, &instance, 0, &place, &error), 0);
	assert_int_equal(place.cgroup, -1);
	assert_int_equal(place.core_group, 0);
	cgroups_end_card(&cgroups, 1);
	cgroups_end(&cgroups);
	change_host("", "none");
	assert_int_equal(begin(&cgroups, "web", 0, &error), 0);
	assert_string_equal(cgroups.limits, "none: this host's cgroup v2 has no controllers");
	cgroups_end(&cgroups);
	assert_int_equal(begin(&cgroups, "web", 1, &error), -ENOTSUP);
	assert_string_equal(error.text, "cores: whole ones need cpusets: this host's cgroup v2 has "
					"no controllers");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_host, remove_host)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(each_program_has_its_limits),
		TEST(who_ran_out_of_memory_is_told),
		TEST(names_of_the_kernels_files_are_no_trouble),
		TEST(whole_cores_are_nobody_elses),
		TEST(what_a_dead_controller_leaves_is_removed),
		TEST(what_still_runs_is_left_alone),
		TEST(what_is_in_use_is_left_alone),
		TEST(a_host_has_what_it_has),
		TEST(a_kernel_without_swap_has_no_limit_of_it),
		TEST(a_limit_that_cannot_be_set_is_an_error),
		TEST(a_host_without_cgroups_runs_instances),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
