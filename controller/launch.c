/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"
#include "keep.h"
#include "launch.h"
#include "os/fd.h"
#include "programs.h"

/* User and group ids nobody else has: by the controller's pid (at most 2^22: PID_MAX_LIMIT), the
 * first is the hypervisor's. The last is below 2^31. */
#define UID_BASE      0x70000000u
#define UID_INSTANCES 0x3fffffu

int launch_begin(struct launch *launch, const char *program, int file, struct error *error)
{
	*launch = (struct launch){.program = program,
				  .file = fcntl(file, F_DUPFD_CLOEXEC, STDERR_FILENO + 1),
				  .place = {.cgroup = -1}};
	if (launch->file < 0)
		return error_set(error, errno, "program %s: %s", program, strerror(errno));
	launch_option(launch, program, NULL);
	return 0;
}

int launch_open(struct launch *launch, const char *program, enum manifest_role role,
		struct error *error)
{
	CLEANUP_CLOSE int file = programs_open(program, role, error);

	*launch = (struct launch){.program = program, .file = -1, .place = {.cgroup = -1}};
	return file < 0 ? file : launch_begin(launch, program, file, error);
}

static void add_argument(struct launch *launch, char *argument)
{
	if (argument && launch->argument_count < LAUNCH_ARGUMENTS) {
		launch->arguments[launch->argument_count++] = argument;
		return;
	}
	launch->failed = argument ? -E2BIG : -ENOMEM;
	free(argument);
}

void launch_option(struct launch *launch, const char *option, const char *format, ...)
{
	char *argument;
	va_list args;

	add_argument(launch, strdup(option));
	if (!format)
		return;
	va_start(args, format);
	if (vasprintf(&argument, format, args) < 0)
		argument = NULL;
	va_end(args);
	add_argument(launch, argument);
}

static int give(struct launch *launch, int from, int to)
{
	if (from < 0 || launch->fd_count == LAUNCH_DESCRIPTORS) {
		launch->failed = from < 0 ? -EBADF : -EMFILE;
		return -1;
	}
	launch->fds[launch->fd_count++] = (struct os_spawn_fd){.from = from, .to = to};
	return to;
}

int launch_give(struct launch *launch, int fd)
{
	return give(launch, fd, 3 + (int)launch->fd_count);
}

void launch_give_option(struct launch *launch, const char *option, int fd)
{
	launch_option(launch, option, "%d", launch_give(launch, fd));
}

void launch_give_words(struct launch *launch, int fd)
{
	give(launch, fd, STDERR_FILENO);
}

uint32_t launch_users_of_process(void)
{
	return UID_BASE + ((uint32_t)getpid() & UID_INSTANCES) * LAUNCH_USERS_PER_INSTANCE;
}

void launch_user(struct launch *launch, uint32_t users, unsigned index)
{
	if (geteuid() == 0)
		launch_option(launch, "--user", "%u", users + index % LAUNCH_USERS_PER_INSTANCE);
}

int launch_run(struct launch *launch, pid_t *pid, int *pidfd, struct error *error)
{
	int ret = launch->failed;

	if (ret == 0)
		ret = os_spawn(launch->file, launch->arguments, launch->fds, launch->fd_count,
			       !keep_is_used(), &launch->place, pid, pidfd);
	if (ret < 0)
		return error_set(error, -ret, "start %s: %s", launch->program, strerror(-ret));
	return 0;
}

void launch_free(struct launch *launch)
{
	os_close(&launch->file);
	os_close(&launch->place.cgroup);
	for (size_t i = 0; i < launch->argument_count; i++)
		free(launch->arguments[i]);
	launch->argument_count = 0;
}
