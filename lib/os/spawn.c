/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base.h"
#include "fd.h"
#include "spawn.h"

/* Everything that the child needs, gathered before the fork: after it, only async-signal-safe
 * calls. */
struct child {
	int program, report;
	char *const *argv;
	const struct os_spawn_fd *fds;
	size_t fd_count;
	int *parked; /* fd_count descriptors moved out of the way of the target numbers */
	pid_t parent;
	bool die_with_parent;
};

static void default_signals(void)
{
	struct sigaction action = {.sa_handler = SIG_DFL};
	sigset_t none;

	for (int signal = 1; signal < NSIG; signal++)
		sigaction(signal, &action, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Numbers below this are targets; everything of ours moves above. */
static int lowest_free(const struct child *child)
{
	int lowest = 3;

	for (size_t i = 0; i < child->fd_count; i++) {
		if (child->fds[i].to >= lowest)
			lowest = child->fds[i].to + 1;
	}
	return lowest;
}

static int arrange_fds(struct child *child)
{
	int lowest = lowest_free(child);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	child->program = fcntl(child->program, F_DUPFD_CLOEXEC, lowest);
	child->report = fcntl(child->report, F_DUPFD_CLOEXEC, lowest);
	if (null < 0 || child->program < 0 || child->report < 0)
		return -errno;
	for (size_t i = 0; i < child->fd_count; i++) {
		child->parked[i] = fcntl(child->fds[i].from, F_DUPFD_CLOEXEC, lowest);
		if (child->parked[i] < 0)
			return -errno;
	}
	for (int fd = 0; fd < 3; fd++) {
		if (dup2(null, fd) < 0)
			return -errno;
	}
	/* Close-on-exec for all, so that the report pipe lives until the exec; dup2() clears it on
	 * the targets. */
	if (close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
		return -errno;
	for (size_t i = 0; i < child->fd_count; i++) {
		if (dup2(child->parked[i], child->fds[i].to) < 0)
			return -errno;
	}
	return 0;
}

static _Noreturn void run_child(struct child *child)
{
	char *const environment[] = {NULL};
	int ret;

	default_signals();
	setsid();
	if (child->die_with_parent) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != child->parent)
			_exit(127);
	}
	ret = arrange_fds(child);
	if (ret == 0) {
		syscall(SYS_execveat, child->program, "", child->argv, environment, AT_EMPTY_PATH);
		ret = -errno;
	}
	if (write(child->report, &ret, sizeof(ret)) < 0)
		_exit(126);
	_exit(127);
}

int os_spawn(int program, char *const argv[], const struct os_spawn_fd *fds, size_t fd_count,
	     bool die_with_parent, pid_t *pid, int *pidfd)
{
	CLEANUP_FREE int *parked = calloc(fd_count + 1, sizeof(*parked));
	CLEANUP_CLOSE int report_read = -1;
	CLEANUP_CLOSE int report_write = -1;
	struct child child = {.program = program,
			      .argv = argv,
			      .fds = fds,
			      .fd_count = fd_count,
			      .parked = parked,
			      .parent = getpid(),
			      .die_with_parent = die_with_parent};
	int pair[2], error = 0, ret;
	pid_t made;

	if (!parked)
		return -ENOMEM;
	ret = os_pipe(pair);
	if (ret < 0)
		return ret;
	report_read = pair[0];
	report_write = pair[1];
	child.report = report_write;
	made = fork();
	if (made < 0)
		return -errno;
	if (made == 0)
		run_child(&child);
	os_close(&report_write);
	if (os_read_full(report_read, &error, sizeof(error)) != 0) {
		waitpid(made, NULL, 0);
		return error ? error : -EIO;
	}
	*pidfd = (int)syscall(SYS_pidfd_open, made, 0);
	if (*pidfd < 0) {
		ret = -errno;
		kill(made, SIGKILL);
		waitpid(made, NULL, 0);
		return ret;
	}
	fcntl(*pidfd, F_SETFD, FD_CLOEXEC);
	*pid = made;
	return 0;
}
