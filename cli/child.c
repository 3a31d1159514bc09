/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "base/base.h"
#include "child.h"
#include "interrupt.h"
#include "os/clock.h"
#include "os/fd.h"

#define LINE_MAX_BYTES 1024
#define TAIL_LINES     12
#define GRACE_NS       (10 * NS_PER_S)

extern char **environ;

/* The last lines, for a failure's message. */
struct tail {
	char lines[TAIL_LINES][LINE_MAX_BYTES];
	size_t count;
};

struct reader {
	const struct child *child;
	char line[LINE_MAX_BYTES];
	size_t used;
	struct tail tail;
};

static const struct {
	const char *program, *package;
} packages[] = {
	{"mmdebstrap", "mmdebstrap"},
	{"mke2fs", "e2fsprogs"},
	{"debugfs", "e2fsprogs"},
	{"qemu-img", "qemu-utils"},
};

static int explain_start(const char *program, int code, struct error *error)
{
	const char *package = program;

	for (size_t i = 0; i < ARRAY_LEN(packages); i++) {
		if (!strcmp(packages[i].program, program))
			package = packages[i].package;
	}
	if (code == ENOENT)
		return error_set(error, ENOENT, "%s is not installed; apt-get install %s", program,
				 package);
	return error_set(error, code, "%s cannot be started: %s", program, strerror(code));
}

/* In the child: /dev/null for input, the pipe for output and error, the descriptors to keep. */
static int add_actions(posix_spawn_file_actions_t *actions, const struct child *child, int output)
{
	int code = posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0);

	code = code ? code : posix_spawn_file_actions_adddup2(actions, output, 1);
	code = code ? code : posix_spawn_file_actions_adddup2(actions, output, 2);
	for (size_t i = 0; i < ARRAY_LEN(child->keep) && !code; i++) {
		if (child->keep[i] > 2)
			code = posix_spawn_file_actions_adddup2(actions, child->keep[i],
								child->keep[i]);
	}
	if (child->folder && !code)
		code = posix_spawn_file_actions_addchdir_np(actions, child->folder);
	return code;
}

static int set_attributes(posix_spawnattr_t *attributes)
{
	sigset_t all, none;

	sigfillset(&all);
	sigemptyset(&none);
	posix_spawnattr_setsigdefault(attributes, &all);
	posix_spawnattr_setsigmask(attributes, &none);
	posix_spawnattr_setpgroup(attributes, 0);
	return posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF |
							    POSIX_SPAWN_SETSIGMASK);
}

static int start(const struct child *child, int output, pid_t *pid, struct error *error)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int code;

	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	code = add_actions(&actions, child, output);
	code = code ? code : set_attributes(&attributes);
	if (!code)
		code = posix_spawnp(pid, child->argv[0], &actions, &attributes,
				    (char *const *)child->argv, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return code ? explain_start(child->argv[0], code, error) : 0;
}

static void end_line(struct reader *reader)
{
	struct tail *tail = &reader->tail;

	if (!reader->used)
		return;
	reader->line[reader->used] = 0;
	memcpy(tail->lines[tail->count++ % TAIL_LINES], reader->line, reader->used + 1);
	if (reader->child->line)
		reader->child->line(reader->child->context, reader->line);
	reader->used = 0;
}

/* A program that draws a progress bar ends its lines with a carriage return. Other control
 * characters must not reach the terminal. */
static void take(struct reader *reader, const char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (bytes[i] == '\n' || bytes[i] == '\r')
			end_line(reader);
		else if (reader->used < LINE_MAX_BYTES - 1)
			reader->line[reader->used++] =
				(unsigned char)bytes[i] < ' ' || bytes[i] == 127 ? ' ' : bytes[i];
	}
}

/* False at the end of the program's output. */
static bool read_some(struct reader *reader, int pipe)
{
	char bytes[4096];
	ssize_t length = read(pipe, bytes, sizeof(bytes));

	if (length < 0 && (errno == EINTR || errno == EAGAIN))
		return true;
	if (length <= 0)
		return false;
	if (reader->child->log >= 0)
		(void)os_write_all(reader->child->log, bytes, (size_t)length);
	take(reader, bytes, (size_t)length);
	return true;
}

/* Asks the whole group to end; after the grace period it has no choice. */
static void stop_group(pid_t pid, uint64_t *asked)
{
	if (!*asked) {
		*asked = os_now();
		kill(-pid, SIGTERM);
	} else if (os_now() - *asked > GRACE_NS) {
		kill(-pid, SIGKILL);
	}
}

static int wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -1;
	}
	return status;
}

/* Its output's end, which can be later than its own when it leaves somebody behind. */
static int follow(struct reader *reader, pid_t pid, int pipe)
{
	struct pollfd waiting = {.fd = pipe, .events = POLLIN};
	uint64_t asked = 0;
	bool open = true;

	while (open) {
		if (interrupt_pending() && !reader->child->stubborn)
			stop_group(pid, &asked);
		if (poll(&waiting, 1, 200) > 0)
			open = read_some(reader, pipe);
		if (reader->child->tick)
			reader->child->tick(reader->child->context);
	}
	end_line(reader);
	return wait_for(pid);
}

static int explain_end(const struct reader *reader, int status, struct error *error)
{
	const struct tail *tail = &reader->tail;
	size_t first = tail->count > TAIL_LINES ? tail->count - TAIL_LINES : 0;

	if (interrupt_pending() && !reader->child->stubborn)
		return error_set(error, EINTR, "interrupted; nothing was left behind");
	if (status == 0)
		return 0;
	for (size_t i = first; i < tail->count; i++)
		fprintf(stderr, "  | %s\n", tail->lines[i % TAIL_LINES]);
	if (WIFSIGNALED(status))
		return error_set(error, ECHILD, "%s was ended by signal %d", reader->child->argv[0],
				 WTERMSIG(status));
	return error_set(error, ECHILD, "%s failed with exit status %d", reader->child->argv[0],
			 WEXITSTATUS(status));
}

int child_run(const struct child *child, struct error *error)
{
	CLEANUP_FREE struct reader *reader = calloc(1, sizeof(*reader));
	int pipe[2], result;
	pid_t pid;

	if (!reader)
		return error_set(error, ENOMEM, "out of memory");
	reader->child = child;
	result = os_pipe(pipe);
	if (result)
		return error_set(error, -result, "pipe: %s", strerror(-result));
	result = start(child, pipe[1], &pid, error);
	os_close(&pipe[1]);
	if (!result)
		result = explain_end(reader, follow(reader, pid, pipe[0]), error);
	os_close(&pipe[0]);
	return result;
}
