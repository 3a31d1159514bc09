/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The controller as a whole, with stand-ins for the programs that it launches: this very program,
 * copied beside the controller under their names.
 */
#ifndef KARUTA_TEST_CONTROLLER_HARNESS_H
#define KARUTA_TEST_CONTROLLER_HARNESS_H

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
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base.h"
#include "fake_programs.h"
#include "os/clock.h"
#include "os/fd.h"

#define SECONDS 30 /* more than enough for anything that is waited for here */

static char folder[64] = "/tmp/karuta-test-XXXXXX";
static char programs[600]; /* where the build has put them */

/* Runs a shell command in the folder; its output, both kinds, goes to `output`. */
__attribute__((format(printf, 1, 2))) static inline int sh(const char *format, ...);
static char output[32768];

static inline int sh(const char *format, ...)
{
	CLEANUP_FREE char *command = NULL;
	CLEANUP_FREE char *wrapped = NULL;
	va_list args;
	FILE *pipe;
	size_t got;
	int status;

	va_start(args, format);
	assert_true(vasprintf(&command, format, args) > 0);
	va_end(args);
	assert_true(asprintf(&wrapped, "cd %s && {\n%s\n} 2>&1", folder, command) > 0);
	pipe = popen(wrapped, "r");
	assert_non_null(pipe);
	got = fread(output, 1, sizeof(output) - 1, pipe);
	output[got] = '\0';
	status = pclose(pipe);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* A client verb on the instance under test. */
#define VERB(verb, ...) sh("./karuta-controller " verb " --socket s", ##__VA_ARGS__)

static inline bool says(const char *text)
{
	return strstr(output, text) != NULL;
}

static const char *tpm; /* for the controller; NULL: none */

/* Starts `run` in the background on a kernel of that kind. */
static inline pid_t run(const char *kernel, const char *cards)
{
	pid_t pid;

	assert_int_equal(sh("echo %s >kernel; cat >i.json <<'END'\n"
			    "{\"name\": \"test\", \"memory\": \"64M\", \"kernel\": \"kernel\", "
			    "\"command_line\": \"a b\", \"cards\": [%s]}\nEND\n",
			    kernel, cards),
			 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (chdir(folder) < 0 || !freopen("console", "w", stdout) ||
		    !freopen("notes", "w", stderr))
			_exit(90);
		if (dup2(open("key", O_RDONLY | O_CLOEXEC), 50) < 0)
			_exit(91);
		if (dup2(open("key", O_RDONLY | O_CLOEXEC), 52) < 0)
			_exit(91);
		execl("./karuta-controller", "karuta-controller", "run", "i.json", "--socket", "s",
		      "--audit", "audit", "--state", "state", tpm ? "--tpm" : NULL, tpm, NULL);
		_exit(92);
	}
	return pid;
}

static inline int wait_end(pid_t pid)
{
	int status;

	for (unsigned i = 0; i < SECONDS * 100; i++) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
		usleep(10000);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	fail_msg("the controller did not end");
	return -1;
}

static inline void wait_running(void)
{
	for (unsigned i = 0; i < SECONDS * 50; i++) {
		if (sh("./karuta-controller status test --socket s") == 0 && says(": running"))
			return;
		usleep(20000);
	}
	sh("cat notes");
	fail_msg("not running: %s", output);
}

static inline pid_t run_until_running(const char *kernel, const char *cards)
{
	pid_t pid = run(kernel, cards);

	wait_running();
	return pid;
}

static inline void kill_instance(pid_t pid)
{
	VERB("kill test");
	assert_int_equal(wait_end(pid), 1);
}

static inline unsigned count_fds(pid_t pid)
{
	char path[64];
	unsigned count = 0;
	DIR *directory;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	directory = opendir(path);
	assert_non_null(directory);
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

/* Signs what is in `where` now, with the key that the controller of this build trusts. */
__attribute__((unused)) static inline int sign(const char *where, unsigned release)
{
	return sh("cd %s && %s/karuta-manifest make --development --release %u --key "
		  "%s/development.key --output karuta.manifest $(for i in karuta-*; do case $i in "
		  "*controller | *keeper) echo controller:$i;; *hypervisor) echo hypervisor:$i;; "
		  "*fill) echo tool:$i;; *) echo card:$i;; esac; done)",
		  where, programs, release, programs);
}

/* The controller closes a caller's connection a little after the caller has gone: the count that
 * stays. */
static inline unsigned settled_fds(pid_t pid)
{
	unsigned count = count_fds(pid), same = 0;

	for (unsigned i = 0; i < 100 && same < 4; i++) {
		unsigned now;

		usleep(50000);
		now = count_fds(pid);
		same = now == count ? same + 1 : 0;
		count = now;
	}
	return count;
}

/* This program under the names of those that the controller launches. */
static inline int make_folder(void **state)
{
	char self[512];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);

	(void)state;
	if (length < 0 || !mkdtemp(folder))
		return -1;
	self[length] = '\0';
	snprintf(programs, sizeof(programs), "%.*s/../../bin", (int)(strrchr(self, '/') - self),
		 self);
	if (sh("cp %s/karuta-controller %s/karuta-keeper %s/karuta-fill . && "
	       "cp %s karuta-hypervisor && cp %s karuta-card-null && "
	       "cp %s karuta-card-volume && cp karuta-card-null karuta-card-local && mkdir sub "
	       "&& mkfifo fifo && "
	       "printf 'open sesame' >key && for i in good fail sleepy late mortal clingy torn "
	       "stiff frail mute sneaky garbled chatty bossy naughty; do "
	       "echo $i | tr a-z A-Z >$i.vol; truncate -s 1M $i.vol; done",
	       programs, programs, programs, self, self, self))
		return -1;
	return sign(".", 1);
}

static inline int remove_folder(void **state)
{
	(void)state;
	return sh("rm -rf %s", folder);
}

static inline bool is_called(const char *path, const char *name)
{
	const char *slash = strrchr(path, '/');

	return !strncmp(slash ? slash + 1 : path, name, strlen(name));
}

/* In the file "ran": whatever was executed here. */
static inline void leave_a_mark(const char *name)
{
	int file = open("ran", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	if (file < 0 || dprintf(file, "%s\n", name) < 0)
		_exit(89);
	close(file);
}

/* Is this a copy of the program, launched by the controller? Then it does not return. */
static inline void be_what_is_launched(int argc, char **argv)
{
	if (is_called(argv[0], "karuta-"))
		leave_a_mark(argv[0]);
	if (is_called(argv[0], "karuta-hypervisor"))
		fake_hypervisor(argc, argv);
	if (is_called(argv[0], "karuta-card-"))
		fake_card(argc, argv);
	if (access("/dev/kvm", R_OK | W_OK) == 0)
		return;
	puts("the controller hands /dev/kvm on, and there is none");
	exit(77);
}

#endif
