/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base.h"
#include "fd.h"
#include "spawn.h"

/* Newer than the headers of Debian 12; the kernel says EINVAL if it does not know it. */
#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67
#endif

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
	const struct os_spawn_place *place; /* NULL: as the parent */
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

/* All of it is what the kernel can do: where it cannot, there is nothing to be done about it. */
static void take_place(const struct os_spawn_place *place)
{
	cpu_set_t all;

	prctl(PR_SET_MEMORY_MERGE, 0, 0, 0, 0);
	if (!place)
		return;
	memset(&all, 0xff, sizeof(all));
	if (place->any_cpu)
		sched_setaffinity(0, sizeof(all), &all);
	if (place->core_group == OS_SPAWN_ALONE)
		prctl(PR_SCHED_CORE, PR_SCHED_CORE_CREATE, 0, PR_SCHED_CORE_SCOPE_THREAD, 0);
	else if (place->core_group)
		prctl(PR_SCHED_CORE, PR_SCHED_CORE_SHARE_FROM, place->core_group,
		      PR_SCHED_CORE_SCOPE_THREAD, 0);
}

static _Noreturn void run_child(struct child *child)
{
	char *const environment[] = {NULL};
	int ret;

	default_signals();
	setsid();
	take_place(child->place);
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

/* Born there, not moved: moving stops the host's other forks for a while, and what was allocated
 * before would be counted elsewhere. */
static pid_t fork_into(int cgroup)
{
	struct clone_args args = {
		.flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (unsigned)cgroup};

	return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

int os_spawn(int program, char *const argv[], const struct os_spawn_fd *fds, size_t fd_count,
	     bool die_with_parent, const struct os_spawn_place *place, pid_t *pid, int *pidfd)
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
			      .die_with_parent = die_with_parent,
			      .place = place};
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
	made = place && place->cgroup >= 0 ? fork_into(place->cgroup) : fork();
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
