/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base.h"
#include "child.h"
#include "interrupt.h"
#include "os/fd.h"
#include "os/replace.h"
#include "service.h"

#define PATH_SIZE 320
#define TAIL_SIZE 4096
#define WAIT_US	  20000

extern char **environ;

bool service_systemd_runs(void)
{
	/* sd_booted(3) */
	return access("/run/systemd/system", F_OK) == 0;
}

static void log_path(const struct service *service, char path[PATH_SIZE])
{
	snprintf(path, PATH_SIZE, "%s/%s.log", service->logs, service->name);
}

const char *service_where(const struct service *service, char *text, size_t size)
{
	if (service->systemd)
		snprintf(text, size, "journalctl -u %s, and its options in %s", service->name,
			 service->options);
	else
		snprintf(text, size, "%s/%s.log", service->logs, service->name);
	return text;
}

/* ---- systemd ---- */

/* Its lines are words between blanks: none of ours has one. */
static int write_options(const struct service *service, struct error *error)
{
	const char *name = strrchr(service->options, '/') + 1;
	char text[2048] = "OPTIONS=", folder[PATH_SIZE];
	size_t at = strlen(text);
	CLEANUP_CLOSE int at_folder = -1;
	int result;

	if (!access(service->options, F_OK))
		return 0;
	for (size_t i = 1; service->argv[i] && at < sizeof(text); i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s", i > 1 ? " " : "",
				       service->argv[i]);
	if (at + 1 >= sizeof(text))
		return error_set(error, E2BIG, "%s: too many options", service->name);
	text[at++] = '\n';
	snprintf(folder, sizeof(folder), "%.*s", (int)(name - service->options), service->options);
	at_folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	result = at_folder < 0 ? -errno : os_replace(&os_file_calls, at_folder, name, text, at);
	return result ? error_set(error, -result, "%s: %s", service->options, strerror(-result))
		      : 0;
}

static int systemctl(const char *const *argv, struct error *error)
{
	const struct child child = {.argv = argv, .log = -1};

	return child_run(&child, error);
}

static int start_unit(const struct service *service, struct error *error)
{
	const char *const reload[] = {"systemctl", "daemon-reload", NULL};
	const char *const enable[] = {"systemctl", "enable", service->name, NULL};
	const char *const restart[] = {"systemctl", "restart", service->name, NULL};
	int result = write_options(service, error);

	if (!result)
		result = systemctl(reload, error);
	if (!result)
		result = systemctl(enable, error);
	return result ? result : systemctl(restart, error);
}

static int check_unit(const struct service *service, struct error *error)
{
	const char *const failed[] = {"systemctl", "is-failed", "--quiet", service->name, NULL};
	struct error not_failed;

	if (systemctl(failed, &not_failed))
		return 0;
	return error_set(error, ECHILD, "%s has ended; see journalctl -u %s", service->name,
			 service->name);
}

/* ---- processes ---- */

static int spawn(const struct service *service, const char *const *argv, int input, pid_t *pid,
		 struct error *error)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	char log[PATH_SIZE];
	sigset_t all, none;
	int code;

	log_path(service, log);
	sigfillset(&all);
	sigemptyset(&none);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF |
						      POSIX_SPAWN_SETSIGMASK);
	code = input < 0 ? posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
			 : posix_spawn_file_actions_adddup2(&actions, input, 0);
	if (!code)
		code = posix_spawn_file_actions_addopen(&actions, 1, log,
							O_WRONLY | O_CREAT | O_APPEND, 0640);
	if (!code)
		code = posix_spawn_file_actions_adddup2(&actions, 1, 2);
	/* Not the connection to the plane, which a library has opened; and no folder is held. */
	if (!code)
		code = posix_spawn_file_actions_addclosefrom_np(&actions, 3);
	if (!code)
		code = posix_spawn_file_actions_addchdir_np(&actions, "/");
	if (!code)
		code = posix_spawn(pid, argv[0], &actions, &attributes, (char *const *)argv,
				   environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return code ? error_set(error, code, "%s: %s", argv[0], strerror(code)) : 0;
}

/* The last line that it has written. */
static void last_words(const struct service *service, char *text, size_t size)
{
	char path[PATH_SIZE], tail[TAIL_SIZE + 1];
	CLEANUP_CLOSE int file = -1;
	ssize_t length = 0;
	char *line;

	log_path(service, path);
	file = open(path, O_RDONLY | O_CLOEXEC);
	if (file >= 0) {
		off_t end = lseek(file, 0, SEEK_END);

		length = pread(file, tail, TAIL_SIZE, end > TAIL_SIZE ? end - TAIL_SIZE : 0);
	}
	tail[length > 0 ? length : 0] = '\0';
	while (length > 0 && tail[length - 1] == '\n')
		tail[--length] = '\0';
	line = strrchr(tail, '\n');
	snprintf(text, size, "%s", line ? line + 1 : tail);
}

static int note_process(const struct service *service, struct error *error)
{
	CLEANUP_CLOSE int folder = open(service->run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char name[64], text[32];
	int result;

	snprintf(name, sizeof(name), "%s.pid", service->name);
	snprintf(text, sizeof(text), "%d\n", (int)service->pid);
	result = folder < 0 ? -errno : os_replace(&os_file_calls, folder, name, text, strlen(text));
	return result ? error_set(error, -result, "%s/%s: %s", service->run, name,
				  strerror(-result))
		      : 0;
}

int service_start(struct service *service, struct error *error)
{
	int result;

	if (service->systemd)
		return start_unit(service, error);
	result = spawn(service, service->argv, -1, &service->pid, error);
	return result ? result : note_process(service, error);
}

int service_check(struct service *service, struct error *error)
{
	char words[160], where[PATH_SIZE];
	int status;

	if (service->systemd)
		return check_unit(service, error);
	if (!service->pid || waitpid(service->pid, &status, WNOHANG) != service->pid)
		return 0;
	service->pid = 0;
	if (WIFSIGNALED(status))
		return error_set(error, ECHILD, "%s was killed by signal %d (%s); see %s",
				 service->name, WTERMSIG(status), strsignal(WTERMSIG(status)),
				 service_where(service, where, sizeof(where)));
	last_words(service, words, sizeof(words));
	return error_set(error, ECHILD, "%s has ended: %s", service->name, words);
}

/* ---- once ---- */

static int wait_for_it(pid_t pid, int *status)
{
	while (waitpid(pid, status, WNOHANG) == 0) {
		if (interrupt_pending()) {
			kill(pid, SIGTERM);
			waitpid(pid, status, 0);
			return -EINTR;
		}
		usleep(WAIT_US);
	}
	return 0;
}

int service_run_once(const struct service *service, const char *const *argv, const char *input,
		     struct error *error)
{
	char words[160];
	int ends[2], status = 0, result;
	pid_t pid = 0;

	if (pipe2(ends, O_CLOEXEC))
		return error_set(error, errno, "%s", strerror(errno));
	/* A pipe holds more than a token: nobody has to read yet. */
	result = os_write_all(ends[1], input, strlen(input))
			 ? error_set(error, EIO, "a pipe cannot be written")
			 : spawn(service, argv, ends[0], &pid, error);
	close(ends[0]);
	close(ends[1]);
	if (result)
		return result;
	if (wait_for_it(pid, &status))
		return error_set(error, EINTR, "interrupted");
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return 0;
	last_words(service, words, sizeof(words));
	return error_set(error, ECHILD, "%s", words);
}
