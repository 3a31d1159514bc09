/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a jailed program can still do, seen from inside. Each test forks a child, which enters the
 * jail, looks around and ends with its finding: 0 = as it must be, else the line that found it
 * otherwise.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/base.h"
#include "jail/jail.h"
#include "os/fd.h"

#define USER 0x70000123u

/*
 * The bare call, and not told to be without return: around those that are, and in the C library's
 * way out, a sanitizer makes calls that are not listed.
 */
static void leave(int code)
{
	syscall(SYS_exit_group, code);
}

/* In a child: ends it when `condition` does not hold. Lines are told modulo 200, never as 0; higher
 * codes are told apart below. */
#define MUST(condition)                                                                            \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			dprintf(2, "line %d: %s (errno %d)\n", __LINE__, #condition, errno);       \
			leave(__LINE__ % 200 + 1);                                                 \
		}                                                                                  \
	} while (0)

static const struct jail_limits limits = {.open_files = 64};

static const struct jail_syscall plain[] = {
	{SCMP_SYS(exit_group), "the end", {{0}}},
	{SCMP_SYS(write), "to standard error only", {{0, UINT32_MAX, 2}}},
	{SCMP_SYS(mmap), "memory that cannot be run", {{2, PROT_EXEC, 0}}},
	{SCMP_SYS(munmap), "memory", {{0}}},
	{SCMP_SYS(getppid), "one of two lines", {{0}}},
	{SCMP_SYS(getppid), "the other", {{0}}},
	{SCMP_SYS(fcntl), "two commands: one", {{1, UINT32_MAX, F_GETFD}}},
	{SCMP_SYS(fcntl), "two commands: two", {{1, UINT32_MAX, F_GETFL}}},
};

static int run(void (*child)(void))
{
	int status = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		child();
		leave(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void expect_fine(void (*child)(void))
{
	int status = run(child);

	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void expect_killed(void (*child)(void))
{
	int status = run(child);

	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

static void need_root(void)
{
	if (geteuid())
		skip();
}

static void isolate(void)
{
	struct error error = {0};

	if (jail_isolate(&error)) {
		dprintf(2, "%s\n", error.text);
		leave(250);
	}
}

static void demote(uid_t user)
{
	struct error error = {0};

	if (jail_demote(user, &limits, &error)) {
		dprintf(2, "%s\n", error.text);
		leave(251);
	}
}

static void filter(void)
{
	struct error error = {0};

	if (jail_filter(plain, ARRAY_LEN(plain), &error)) {
		dprintf(2, "%s\n", error.text);
		leave(252);
	}
}

/* ---- step 1 ---- */

static void look_at_root(void)
{
	struct stat root;

	isolate();
	MUST(stat("/", &root) == 0);
	MUST(S_ISDIR(root.st_mode) && root.st_nlink == 2);
	MUST(open("/proc/self/status", O_RDONLY) < 0 && errno == ENOENT);
	MUST(open("/etc/passwd", O_RDONLY) < 0 && errno == ENOENT);
	MUST(open("/..", O_RDONLY | O_DIRECTORY) >= 0);
	MUST(open("/../etc", O_RDONLY) < 0 && errno == ENOENT);
	MUST(open("/new", O_WRONLY | O_CREAT, 0600) < 0 && errno == EROFS);
	MUST(mkdir("/new", 0700) < 0 && errno == EROFS);
	MUST(syscall(SYS_getdents64, open("/", O_RDONLY | O_DIRECTORY), (char[512]){0}, 512) == 48);
}

static void root_is_empty_and_read_only(void **state)
{
	(void)state;
	need_root();
	expect_fine(look_at_root);
}

static void chroot_out(void)
{
	isolate();
	/* The classic way out of a chroot: there is nothing above to get to. */
	for (unsigned i = 0; i < 64; i++)
		MUST(chdir("..") == 0);
	MUST(chroot(".") == 0);
	MUST(open("etc", O_RDONLY) < 0 && errno == ENOENT);
}

static void no_way_out_of_the_root(void **state)
{
	(void)state;
	need_root();
	expect_fine(chroot_out);
}

static const char *const namespace_names[] = {"mnt", "net", "ipc", "uts", "cgroup"};

static void compare_namespaces(void)
{
	struct stat before[ARRAY_LEN(namespace_names)], after;
	int directory = open("/proc/self/ns", O_RDONLY | O_DIRECTORY);

	MUST(directory >= 0);
	for (size_t i = 0; i < ARRAY_LEN(namespace_names); i++)
		MUST(fstatat(directory, namespace_names[i], &before[i], 0) == 0);
	isolate();
	for (size_t i = 0; i < ARRAY_LEN(namespace_names); i++) {
		MUST(fstatat(directory, namespace_names[i], &after, 0) == 0);
		MUST(after.st_ino != before[i].st_ino);
	}
}

static void namespaces_are_its_own(void **state)
{
	(void)state;
	need_root();
	expect_fine(compare_namespaces);
}

static void parent_sees_no_mount(void **state)
{
	struct stat before, after;

	(void)state;
	need_root();
	assert_int_equal(stat("/proc", &before), 0);
	expect_fine(isolate);
	assert_int_equal(stat("/proc", &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	assert_int_equal(before.st_dev, after.st_dev);
}

/* Without root all goes by way of a user namespace. A kernel that has none makes it an error. */
static void without_root(void)
{
	struct error error = {0};

	MUST(setgroups(0, NULL) == 0 && setgid(65534) == 0 && setuid(65534) == 0);
	prctl(PR_SET_DUMPABLE, 0);
	if (jail_isolate(&error)) {
		MUST(strstr(error.text, "user namespace") &&
		     strstr(error.text, "start it as root"));
		leave(222);
	}
	MUST(prctl(PR_GET_DUMPABLE) == 0);
	demote(0);
	MUST(open("/etc/passwd", O_RDONLY) < 0 && errno == ENOENT);
	MUST(getuid() == 65534);
	MUST(socket(AF_INET, SOCK_RAW, 1) < 0 && errno == EPERM);
	filter();
}

static void without_root_in_a_user_namespace(void **state)
{
	int status;

	(void)state;
	need_root();
	status = run(without_root);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 222)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- step 2 ---- */

/* The value of a line of /proc/self/status, by a descriptor that was opened before. */
static uint64_t status_value(int fd, const char *name, int base)
{
	char text[8192];
	ssize_t length = pread(fd, text, sizeof(text) - 1, 0);
	const char *at;

	MUST(length > 0);
	text[length] = '\0';
	at = strstr(text, name);
	MUST(at);
	return strtoull(at + strlen(name), NULL, base);
}

static void look_at_privileges(void)
{
	static const char *const sets[] = {"CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"};
	int status = open("/proc/self/status", O_RDONLY);

	MUST(status >= 0);
	MUST(setgroups(2, (gid_t[]){5, 6}) == 0);
	isolate();
	demote(USER);
	for (size_t i = 0; i < ARRAY_LEN(sets); i++)
		MUST(status_value(status, sets[i], 16) == 0);
	MUST(status_value(status, "NoNewPrivs:", 10) == 1);
	MUST(status_value(status, "Uid:", 10) == USER);
	MUST(status_value(status, "Gid:", 10) == USER);
	MUST(prctl(PR_GET_DUMPABLE) == 0);
	MUST(getgroups(0, NULL) == 0);
	MUST(setresuid(0, 0, 0) < 0 && errno == EPERM);
	MUST(setresgid(0, 0, 0) < 0 && errno == EPERM);
}

static void privileges_are_gone(void **state)
{
	(void)state;
	need_root();
	expect_fine(look_at_privileges);
}

static void take_own_user(void)
{
	int status = open("/proc/self/status", O_RDONLY);

	isolate();
	demote(0);
	MUST(getuid() == JAIL_USER_BASE + (uid_t)getpid());
	MUST(getgid() == getuid() && getgroups(0, NULL) == 0);
	MUST(status_value(status, "CapEff:", 16) == 0);
	MUST(status_value(status, "CapBnd:", 16) == 0);
	MUST(sethostname("x", 1) < 0 && errno == EPERM);
}

static void root_becomes_somebody_else(void **state)
{
	(void)state;
	need_root();
	expect_fine(take_own_user);
}

static void look_at_limits(void)
{
	struct rlimit limit;

	isolate();
	demote(USER);
	MUST(getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_cur == 0 && limit.rlim_max == 0);
	MUST(getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur == 64 && limit.rlim_max == 64);
	limit.rlim_max = 65;
	MUST(setrlimit(RLIMIT_NOFILE, &limit) < 0 && errno == EPERM);
}

static void limits_cannot_be_raised(void **state)
{
	(void)state;
	need_root();
	expect_fine(look_at_limits);
}

static void look_at_parent_signal(void)
{
	int signal = 0;

	MUST(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
	isolate();
	demote(USER);
	MUST(prctl(PR_GET_PDEATHSIG, &signal) == 0 && signal == SIGKILL);
}

/* The kernel drops the parent-death signal with the user id: a jailed child must still die. */
static void dies_with_its_parent_after_all(void **state)
{
	(void)state;
	need_root();
	expect_fine(look_at_parent_signal);
}

static void demote_as_nobody(void)
{
	struct error error = {0};

	MUST(setgid(65534) == 0 && setuid(65534) == 0);
	MUST(jail_demote(USER, &limits, &error) < 0);
	MUST(strstr(error.text, "sandbox: ") && strstr(error.text, "root"));
}

static void a_refused_step_names_itself(void **state)
{
	(void)state;
	need_root();
	expect_fine(demote_as_nobody);
}

/* ---- step 3 ---- */

static void listed_calls(void)
{
	filter();
	MUST(getppid() > 0);
	MUST(write(2, "", 0) == 0);
	MUST(fcntl(2, F_GETFD) >= 0);
	MUST(fcntl(2, F_GETFL) >= 0);
}

static void listed_calls_work(void **state)
{
	(void)state;
	expect_fine(listed_calls);
}

static void not_listed(void)
{
	filter();
	syscall(SYS_getuid);
}

static void wrong_descriptor(void)
{
	filter();
	syscall(SYS_write, 1, "", 0);
}

/* The mask covers 32 bits: what stands above them in the register is not looked at by the call
 * either. */
static void right_descriptor(void)
{
	filter();
	MUST(syscall(SYS_write, UINT64_C(0x500000002), "", 0) == 0);
}

static void wrong_command(void)
{
	filter();
	syscall(SYS_fcntl, 2, F_SETFL, 0);
}

static void run_memory(void)
{
	filter();
	mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void plain_memory(void)
{
	void *memory;

	filter();
	memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(memory != MAP_FAILED && munmap(memory, 4096) == 0);
}

static void new_program(void)
{
	char *const argv[] = {"true", NULL};

	filter();
	execve("/bin/true", argv, NULL);
}

static void new_file(void)
{
	filter();
	syscall(SYS_openat, AT_FDCWD, "/", O_RDONLY);
}

static void new_socket(void)
{
	filter();
	socket(AF_UNIX, SOCK_STREAM, 0);
}

static void what_is_not_listed_kills(void **state)
{
	(void)state;
	expect_killed(not_listed);
	expect_killed(new_program);
	expect_killed(new_file);
	expect_killed(new_socket);
}

static void arguments_are_conditions(void **state)
{
	(void)state;
	expect_killed(wrong_descriptor);
	expect_fine(right_descriptor);
	expect_killed(wrong_command);
	expect_killed(run_memory);
	expect_fine(plain_memory);
}

#ifdef __x86_64__
/* getpid of the x32 ABI, and of the 32-bit one: the numbers mean other calls there. */
static void x32_call(void)
{
	filter();
	syscall(0x40000000 | SYS_getppid);
}

static void call_of_32_bit(void)
{
	long result = 64; /* getppid there */

	filter();
	__asm__ volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
}

static void other_architectures_kill(void **state)
{
	(void)state;
	expect_killed(x32_call);
	expect_killed(call_of_32_bit);
}
#endif

static void *wait_and_call(void *pipe)
{
	char byte;

	if (read(*(int *)pipe, &byte, 1) == 1)
		syscall(SYS_getuid);
	return NULL;
}

/* A thread that was there before the filter is under it too. It waits in a read, which is not
 * listed: the one that it is in already ends normally. */
static void thread_from_before(void)
{
	pthread_t thread;
	int pair[2];

	MUST(pipe(pair) == 0);
	MUST(pthread_create(&thread, NULL, wait_and_call, &pair[0]) == 0);
	MUST(dup2(pair[1], 2) == 2);
	alarm(10); /* ends what would otherwise go on for ever */
	filter();
	MUST(write(2, "x", 1) == 1);
	for (;;)
		getppid();
}

static void all_threads_are_covered(void **state)
{
	(void)state;
	expect_killed(thread_from_before);
}

static void filter_and_look(void)
{
	int status = open("/proc/self/status", O_RDONLY);
	static const struct jail_syscall reading[] = {
		{SCMP_SYS(pread64), "the status file", {{0}}},
		{SCMP_SYS(exit_group), "the end", {{0}}},
	};
	struct error error;

	MUST(jail_filter(reading, ARRAY_LEN(reading), &error) == 0);
	if (status_value(status, "Seccomp:", 10) != 2 ||
	    status_value(status, "NoNewPrivs:", 10) != 1)
		leave(1);
}

static void filter_shows_in_status(void **state)
{
	(void)state;
	expect_fine(filter_and_look);
}

static void impossible_line(void)
{
	static const struct jail_syscall wrong[] = {
		{SCMP_SYS(read), "no call has a tenth argument", {{9, 1, 1}}}};
	struct error error = {0};

	MUST(jail_filter(wrong, 1, &error) < 0);
	MUST(strstr(error.text, "tenth argument"));
	/* Nothing is in force: anything may still be called. */
	MUST(getuid() == geteuid());
}

static void impossible_list_is_refused(void **state)
{
	(void)state;
	expect_fine(impossible_line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(root_is_empty_and_read_only),
		cmocka_unit_test(no_way_out_of_the_root),
		cmocka_unit_test(namespaces_are_its_own),
		cmocka_unit_test(parent_sees_no_mount),
		cmocka_unit_test(without_root_in_a_user_namespace),
		cmocka_unit_test(privileges_are_gone),
		cmocka_unit_test(root_becomes_somebody_else),
		cmocka_unit_test(limits_cannot_be_raised),
		cmocka_unit_test(dies_with_its_parent_after_all),
		cmocka_unit_test(a_refused_step_names_itself),
		cmocka_unit_test(listed_calls_work),
		cmocka_unit_test(what_is_not_listed_kills),
		cmocka_unit_test(arguments_are_conditions),
#ifdef __x86_64__
		cmocka_unit_test(other_architectures_kill),
#endif
		cmocka_unit_test(all_threads_are_covered),
		cmocka_unit_test(filter_shows_in_status),
		cmocka_unit_test(impossible_list_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
