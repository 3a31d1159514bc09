/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "launch.h"
#include "mark.h"
#include "os/fd.h"

/* User and group ids nobody else has: 64 for each instance, by the controller's pid (at most 2^22:
 * PID_MAX_LIMIT), the first is the hypervisor's. The last is below 2^31. */
#define UID_BASE	 0x70000000u
#define UID_INSTANCES	 0x3fffffu
#define UID_PER_INSTANCE 64u

/* The folder of the controller's own executable. */
static int own_folder(char *folder, size_t size)
{
	ssize_t length = readlink("/proc/self/exe", folder, size - 1);
	char *slash;

	if (length < 0)
		return -errno;
	folder[length] = '\0';
	slash = strrchr(folder, '/');
	if (!slash)
		return -ENOENT;
	*slash = '\0';
	return 0;
}

static int open_beside(const char *program)
{
	static const char *const places[] = {"", "../libexec/karuta/"};
	char folder[PATH_MAX], path[PATH_MAX + 64];
	int ret = own_folder(folder, sizeof(folder));

	for (size_t i = 0; ret == 0 && i < ARRAY_LEN(places); i++) {
		int fd;

		snprintf(path, sizeof(path), "%s/%s%s", folder, places[i], program);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd >= 0 || errno != ENOENT)
			return fd >= 0 ? fd : -errno;
	}
	return ret < 0 ? ret : -ENOENT;
}

static int check_program(int file)
{
	struct stat status;

	if (fstat(file, &status) < 0)
		return -errno;
	return S_ISREG(status.st_mode) && status.st_mode & 0111 ? 0 : -EACCES;
}

static int refuse_measuring(const char *program, int file, struct error *error)
{
	if (!mark_is_measuring(file))
		return 0;
	return error_set(error, EPERM,
			 "program %s: refused: a measuring build, which does not encrypt", program);
}

int launch_find(const char *program, struct error *error)
{
	CLEANUP_CLOSE int file = open_beside(program);
	int ret = file < 0 ? file : check_program(file);

	if (ret < 0)
		return error_set(error, -ret,
				 "program %s: %s; it belongs beside karuta-controller or in "
				 "../libexec/karuta",
				 program, strerror(-ret));
	ret = refuse_measuring(program, file, error);
	return ret < 0 ? ret : os_steal_fd(&file);
}

int launch_find_path(const char *path, struct error *error)
{
	CLEANUP_CLOSE int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int ret = file < 0 ? -errno : check_program(file);

	if (ret < 0)
		return error_set(error, -ret, "program %s: %s", path, strerror(-ret));
	ret = refuse_measuring(path, file, error);
	return ret < 0 ? ret : os_steal_fd(&file);
}

int launch_begin(struct launch *launch, const char *program, int file, struct error *error)
{
	*launch = (struct launch){.program = program,
				  .file = fcntl(file, F_DUPFD_CLOEXEC, STDERR_FILENO + 1)};
	if (launch->file < 0)
		return error_set(error, errno, "program %s: %s", program, strerror(errno));
	launch_option(launch, program, NULL);
	return 0;
}

int launch_open(struct launch *launch, const char *program, struct error *error)
{
	CLEANUP_CLOSE int file = launch_find(program, error);

	*launch = (struct launch){.program = program, .file = -1};
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

void launch_user(struct launch *launch, unsigned index)
{
	uint32_t instance = (uint32_t)getpid() & UID_INSTANCES;

	if (geteuid() == 0)
		launch_option(launch, "--user", "%u",
			      UID_BASE + instance * UID_PER_INSTANCE + index % UID_PER_INSTANCE);
}

int launch_run(struct launch *launch, pid_t *pid, int *pidfd, struct error *error)
{
	int ret = launch->failed;

	if (ret == 0)
		ret = os_spawn(launch->file, launch->arguments, launch->fds, launch->fd_count, true,
			       pid, pidfd);
	if (ret < 0)
		return error_set(error, -ret, "start %s: %s", launch->program, strerror(-ret));
	return 0;
}

void launch_free(struct launch *launch)
{
	os_close(&launch->file);
	for (size_t i = 0; i < launch->argument_count; i++)
		free(launch->arguments[i]);
	launch->argument_count = 0;
}
