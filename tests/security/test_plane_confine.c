/* SPDX-License-Identifier: Apache-2.0 */
/* What somebody could still do who has taken over the plane, seen from inside. Each test forks a
 * child, which gives away what the plane gives away, and looks around. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "confine.h"

/* In a child: the line that found it otherwise is its end. */
#define MUST(condition)                                                                            \
	do {                                                                                       \
		if (!(condition))                                                                  \
			_exit(__LINE__ % 255 + 1);                                                 \
	} while (0)

static char folder[] = "/tmp/karuta-plane-XXXXXX", file[64];

static int outcome(void (*look)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		look();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static void give_away(void)
{
	struct error error = {0};

	if (confine(folder, &error) == 0)
		return;
	fprintf(stderr, "%s\n", error.text);
	_exit(254);
}

/* ---- files ---- */

static void use_files(void)
{
	char other[80];
	int fd;

	give_away();
	snprintf(other, sizeof(other), "%s/other", folder);
	fd = open(file, O_RDWR | O_CREAT, 0600);
	MUST(fd >= 0 && write(fd, "x", 1) == 1 && ftruncate(fd, 0) == 0 && fsync(fd) == 0);
	MUST(rename(file, other) == 0 && unlink(other) == 0);
	MUST(open("/etc/passwd", O_RDONLY) < 0 && errno == EACCES);
	MUST(open("/proc/self/status", O_RDONLY) < 0 && errno == EACCES);
	MUST(open("/tmp", O_RDONLY | O_DIRECTORY) < 0 && errno == EACCES);
	MUST(open("/tmp/karuta-plane-other", O_WRONLY | O_CREAT, 0600) < 0 && errno == EACCES);
	MUST(open("/dev/urandom", O_WRONLY) < 0 && errno == EACCES);
	MUST(open("/dev/urandom", O_RDONLY) >= 0);
	MUST(mkdir("/tmp/karuta-plane-other", 0700) < 0 && errno == EACCES);
	MUST(unlink("/etc/passwd") < 0 && errno == EACCES);
}

static void it_has_the_files_of_its_folder_only(void **state)
{
	(void)state;
	assert_int_equal(outcome(use_files), 0);
}

/* ---- privileges ---- */

static void look_at_privileges(void)
{
	char text[4096] = "";
	int status = open("/proc/self/status", O_RDONLY);

	MUST(status >= 0);
	give_away();
	MUST(pread(status, text, sizeof(text) - 1, 0) > 0);
	MUST(strstr(text, "NoNewPrivs:\t1\n") && strstr(text, "Seccomp:\t2\n"));
	MUST(strstr(text, "CapPrm:\t0000000000000000\n"));
	MUST(strstr(text, "CapEff:\t0000000000000000\n"));
	MUST(strstr(text, "CapAmb:\t0000000000000000\n"));
	MUST(geteuid() != 0 || strstr(text, "CapBnd:\t0000000000000000\n"));
}

static void it_has_no_privilege(void **state)
{
	(void)state;
	assert_int_equal(outcome(look_at_privileges), 0);
}

static void look_at_user(void)
{
	struct error error = {0};

	MUST(confine_memory(&error) == 0 && confine_user(folder, &error) == 0);
	MUST(getuid() == 4242 && geteuid() == 4242 && getgid() == 4243 && getgroups(0, NULL) == 0);
	MUST(setresuid(0, 0, 0) < 0 && prctl(PR_GET_DUMPABLE) == 0);
	use_files();
}

static void started_by_root_it_becomes_who_has_its_folder(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(chown(folder, 4242, 4243), 0);
	assert_int_equal(outcome(look_at_user), 0);
	assert_int_equal(chown(folder, 0, 0), 0);
}

/* ---- calls ---- */

static void call_somebody(void)
{
	struct sockaddr_in nobody = {.sin_family = AF_INET,
				     .sin_port = htons(1),
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd;

	give_away();
	fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	MUST(fd >= 0 || errno == EAFNOSUPPORT);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	MUST(fd >= 0);
	MUST(connect(fd, (struct sockaddr *)&nobody, sizeof(nobody)) < 0 && errno == ECONNREFUSED);
}

static void execute(void)
{
	char *const words[] = {(char *)"true", NULL};

	give_away();
	execve("/bin/true", words, NULL);
}

static void begin_a_process(void)
{
	give_away();
	if (fork() == 0)
		_exit(0);
}

static void listen_somewhere(void)
{
	struct sockaddr_in any = {.sin_family = AF_INET};
	int fd;

	give_away();
	fd = socket(AF_INET, SOCK_STREAM, 0);
	bind(fd, (struct sockaddr *)&any, sizeof(any));
}

static void speak_udp(void)
{
	give_away();
	socket(AF_INET, SOCK_DGRAM, 0);
}

static void speak_to_the_host(void)
{
	give_away();
	socket(AF_UNIX, SOCK_STREAM, 0);
}

static void run_what_it_has_written(void)
{
	give_away();
	mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void trace(void)
{
	give_away();
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static void it_may_call_hosts(void **state)
{
	(void)state;
	assert_int_equal(outcome(call_somebody), 0);
}

static void what_is_not_listed_ends_it(void **state)
{
	static void (*const all[])(void) = {execute,   begin_a_process,	  listen_somewhere,
					    speak_udp, speak_to_the_host, run_what_it_has_written,
					    trace};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (outcome(all[i]) != -SIGSYS)
			fail_msg("call %zu is allowed", i);
	}
}

static int begin(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(file, sizeof(file), "%s/file", folder);
	return 0;
}

static int end(void **state)
{
	(void)state;
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_has_the_files_of_its_folder_only),
		cmocka_unit_test(it_has_no_privilege),
		cmocka_unit_test(started_by_root_it_becomes_who_has_its_folder),
		cmocka_unit_test(it_may_call_hosts),
		cmocka_unit_test(what_is_not_listed_ends_it),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
