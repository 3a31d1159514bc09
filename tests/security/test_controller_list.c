/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The controller's list of system calls, from inside: a child installs it, as the controller does,
 * and tries. What a program that is started can do then is seen by starting one.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base.h"
#include "confine.h"
#include "syscalls.h"

static char *const nothing[] = {NULL};
static char *const shell[] = {(char *)"sh", (char *)"-c", (char *)"exit 7", NULL};
static struct sockaddr_in lo = {.sin_family = AF_INET, .sin_addr.s_addr = 0x0100007f};
static int before; /* a socket that was there before the list */
static uint8_t page[4096] __attribute__((aligned(4096)));

/* How a child ends that tries this behind the list: its exit code, or -signal. */
static int outcome(const char *tpm, void (*try)(void))
{
	struct error error = {0};
	int status = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		if (confine(tpm, &error) < 0) {
			dprintf(2, "%s\n", error.text);
			syscall(SYS_exit_group, 99);
		}
		try();
		syscall(SYS_exit_group, 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void makes_socket(void)
{
	syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
}

static void makes_packet_pair(void)
{
	int pair[2];

	syscall(SYS_socketpair, AF_TIPC, SOCK_STREAM, 0, pair);
}

static void connects(void)
{
	syscall(SYS_connect, before, &lo, sizeof(lo));
}

static void sends_to_an_address(void)
{
	syscall(SYS_sendto, before, "x", 1, 0, &lo, sizeof(lo));
}

static void binds(void)
{
	syscall(SYS_bind, before, &lo, sizeof(lo));
}

static void executes_a_path(void)
{
	syscall(SYS_execve, "/bin/sh", shell, nothing);
}

static void executes_a_path_by_the_other_call(void)
{
	syscall(SYS_execveat, AT_FDCWD, "/bin/sh", shell, nothing, 0);
}

static void traces(void)
{
	syscall(SYS_ptrace, PTRACE_ATTACH, getppid(), NULL, NULL);
}

static void reads_another_process(void)
{
	char byte;
	struct iovec to = {&byte, 1}, from = {&lo, 1};

	syscall(SYS_process_vm_readv, getppid(), &to, 1, &from, 1, 0);
}

static void takes_a_descriptor_of_another(void)
{
	syscall(SYS_pidfd_getfd, before, 0, 0);
}

static void enters_a_namespace(void)
{
	syscall(SYS_setns, before, 0);
}

static void writes_code(void)
{
	syscall(SYS_mprotect, page, sizeof(page), PROT_READ | PROT_EXEC);
}

static void maps_code_to_write(void)
{
	syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void loads_a_module(void)
{
	syscall(SYS_init_module, page, sizeof(page), "");
}

static bool is_listed(int call)
{
	for (size_t i = 0; i < controller_syscall_count; i++) {
		if (controller_syscalls[i].number == call)
			return true;
	}
	return false;
}

static void what_is_not_listed_ends_it(void **state)
{
	static void (*const tries[])(void) = {
		makes_socket,
		makes_packet_pair,
		connects,
		sends_to_an_address,
		binds,
		executes_a_path,
		executes_a_path_by_the_other_call,
		reads_another_process,
		takes_a_descriptor_of_another,
		enters_a_namespace,
		writes_code,
		maps_code_to_write,
		loads_a_module,
		traces,
	};
	/* A build that looks for its own leaks may trace. */
	size_t count = ARRAY_LEN(tries) - is_listed(SYS_ptrace);

	(void)state;
	for (size_t i = 0; i < count; i++) {
		int got = outcome(NULL, tries[i]);

		if (got != -SIGSYS)
			fail_msg("%zu: %d", i, got);
	}
}

/* What it starts is started from a descriptor, and can do no more. */
static void starts_a_descriptor(void)
{
	int program = open("/bin/sh", O_RDONLY | O_CLOEXEC);

	syscall(SYS_execveat, program, "", shell, nothing, AT_EMPTY_PATH);
}

static void starts_one_that_executes_a_path(void)
{
	static char *const other[] = {(char *)"sh", (char *)"-c", (char *)"exec /bin/true", NULL};
	int program = open("/bin/sh", O_RDONLY | O_CLOEXEC);

	syscall(SYS_execveat, program, "", other, nothing, AT_EMPTY_PATH);
}

static void descriptors_are_executed_and_inherit_the_list(void **state)
{
	(void)state;
	assert_int_equal(outcome(NULL, starts_a_descriptor), 7);
	assert_int_equal(outcome(NULL, starts_one_that_executes_a_path), -SIGSYS);
}

/* By whatever call: there is no way to anywhere. */
static void looks_for_a_network(void)
{
	char text[4096];
	int routes = open("/proc/thread-self/net/route", O_RDONLY | O_CLOEXEC);
	int devices = open("/proc/thread-self/net/dev", O_RDONLY | O_CLOEXEC);
	ssize_t got = read(devices, text, sizeof(text) - 1);
	unsigned lines = 0;

	for (ssize_t i = 0; i < got; i++)
		lines += text[i] == '\n';
	/* Two lines of heading, one of "lo"; a heading and no route. */
	if (lines != 3)
		syscall(SYS_exit_group, 1);
	got = read(routes, text, sizeof(text));
	if (got > 0 && memchr(text, '\n', (size_t)got) != text + got - 1)
		syscall(SYS_exit_group, 2);
}

static void the_network_is_empty(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(outcome(NULL, looks_for_a_network), 0);
	assert_int_equal(outcome("device:/dev/tpmrm0", looks_for_a_network), 0);
}

static void a_simulated_tpm_is_connected_to(void **state)
{
	(void)state;
	assert_int_equal(outcome("swtpm:path=/s", connects), 0);
	assert_int_equal(outcome("device:/dev/tpmrm0", connects), -SIGSYS);
	assert_int_equal(outcome("swtpm:path=/s", executes_a_path), -SIGSYS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_not_listed_ends_it),
		cmocka_unit_test(descriptors_are_executed_and_inherit_the_list),
		cmocka_unit_test(the_network_is_empty),
		cmocka_unit_test(a_simulated_tpm_is_connected_to),
	};

	before = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
