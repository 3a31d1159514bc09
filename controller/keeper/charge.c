/* SPDX-License-Identifier: Apache-2.0 */
#include "charge.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/spawn.h"

#define SERVED_LONG NS_PER_S	    /* one that has done so has not failed */
#define READY_TIME  (10 * NS_PER_S) /* for a program that is to take another's place */
#define SEND_TIME_S 5 /* a controller that does not listen holds nobody up for longer */

static const uint64_t pauses[] = {0, 10 * NS_PER_MS, 100 * NS_PER_MS, NS_PER_S};

static __attribute__((format(printf, 1, 2))) void note(const char *format, ...)
{
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fprintf(stderr, "karuta-keeper: %s\n", text);
}

/* ---- the beginning ---- */

static void take_socket(struct charge *charge, int socket)
{
	struct timeval patience = {.tv_sec = SEND_TIME_S};

	setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	charge->socket = socket;
}

static int spawn(struct charge *charge)
{
	struct os_spawn_fd fds[CHARGE_PASSED_MAX + 5] = {{0, 0}, {1, 1}, {2, 2}};
	CLEANUP_CLOSE int theirs = -1;
	size_t count = 3;
	int pair[2], ret = os_packet_pair(pair);

	if (ret < 0)
		return ret;
	take_socket(charge, pair[0]);
	theirs = pair[1];
	/* The one before has read them. */
	for (size_t i = 0; i < charge->passed_count; i++)
		lseek(charge->passed[i], 0, SEEK_SET);
	for (size_t i = 0; i < charge->passed_count; i++)
		fds[count++] = (struct os_spawn_fd){charge->passed[i], charge->passed[i]};
	fds[count++] = (struct os_spawn_fd){theirs, charge->end};
	fds[count++] = (struct os_spawn_fd){charge->self, charge->end + 1};
	return os_spawn(charge->program, charge->arguments, fds, count, false, NULL, &charge->pid,
			&charge->pidfd);
}

static void later(struct charge *charge)
{
	charge->start_at = os_now() + pauses[min_u64(charge->failures++, ARRAY_LEN(pauses) - 1)];
}

static void go_back(struct charge *charge)
{
	note("the new controller is of no use; the old one goes on");
	os_close(&charge->program);
	charge->program = os_steal_fd(&charge->old_program);
	charge->went_back = true;
	charge->failures = 0;
}

int charge_start(struct charge *charge)
{
	int ret = spawn(charge);

	charge->started = os_now();
	charge->ready_by = charge->old_program >= 0 ? charge->started + READY_TIME : 0;
	if (ret == 0)
		return 0;
	note("the controller cannot be started: %s", strerror(-ret));
	os_close(&charge->socket);
	charge->pid = 0;
	if (charge->old_program >= 0)
		go_back(charge);
	later(charge);
	return ret;
}

int charge_adopt(struct charge *charge, int socket, pid_t pid)
{
	charge->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (charge->pidfd < 0 && errno != ESRCH)
		return -errno;
	fcntl(socket, F_SETFD, FD_CLOEXEC);
	take_socket(charge, socket);
	charge->pid = charge->pidfd < 0 ? 0 : pid;
	charge->started = os_now();
	charge->ready = charge->served = charge->orphans = true;
	return 0;
}

/* ---- the end ---- */

static void tell_death(int code, int status)
{
	if (code == CLD_EXITED)
		note("the controller has ended with exit code %d; it is started again", status);
	else if (code)
		note("the controller was killed by signal %d (%s); it is started again", status,
		     strsignal(status));
	else
		note("the controller has ended; it is started again");
}

/* What the next one is to be, and when. */
static void prepare_next(struct charge *charge, const siginfo_t *death)
{
	if (charge->replaced) {
		charge->replaced = false;
		charge->start_at = 0;
		return;
	}
	tell_death(death->si_code, death->si_status);
	if (charge->old_program >= 0)
		go_back(charge);
	else if (charge->served && os_now() - charge->started >= SERVED_LONG)
		charge->failures = 0;
	later(charge);
}

int charge_died(struct charge *charge)
{
	siginfo_t info = {0};

	/* How one has ended that is not our child is not known. */
	waitid(P_PIDFD, (id_t)charge->pidfd, &info, WEXITED);
	os_close(&charge->pidfd);
	os_close(&charge->socket);
	charge->pid = 0;
	charge->orphans = true;
	if (!charge->ready)
		return info.si_code == CLD_EXITED ? info.si_status : 1;
	if (charge->ending)
		return 0;
	prepare_next(charge, &info);
	charge->served = false;
	return -1;
}

void charge_end_process(const struct charge *charge)
{
	if (charge->pid)
		syscall(SYS_pidfd_send_signal, charge->pidfd, SIGKILL, NULL, 0);
}

void charge_replace(struct charge *charge, int program)
{
	os_close(&charge->old_program);
	charge->old_program = charge->program;
	charge->program = program;
	charge->replaced = true;
	charge_end_process(charge);
}

/* What has become of the last replacement, this one has asked, and written down, before. */
void charge_is_ready(struct charge *charge)
{
	charge->ready = charge->served = true;
	charge->went_back = false;
	charge->ready_by = 0;
	os_close(&charge->old_program);
}

void charge_turn(struct charge *charge, uint64_t now)
{
	if (!charge->pid && now >= charge->start_at)
		charge_start(charge);
	if (charge->ready_by && now >= charge->ready_by)
		charge_end_process(charge);
}

/* ---- what is left behind ---- */

/* The fourth field of proc_pid_stat(5), behind a name that may have anything in it. */
static pid_t parent_of(const char *process)
{
	char path[64], text[512];
	const char *name_end;
	CLEANUP_CLOSE int folder = -1;
	int parent = 0;

	snprintf(path, sizeof(path), "/proc/%.20s", process);
	folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0 || os_read_text(folder, "stat", text, sizeof(text)) < 0)
		return 0;
	name_end = strrchr(text, ')');
	if (!name_end || sscanf(name_end, ") %*c %d", &parent) != 1)
		return 0;
	return parent;
}

static void sweep_one(pid_t pid)
{
	siginfo_t info = {0};

	kill(pid, SIGKILL);
	waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG);
}

void charge_sweep(const struct charge *charge, const struct records *records)
{
	DIR *processes = opendir("/proc");
	const struct dirent *entry;

	while (processes && (entry = readdir(processes))) {
		pid_t pid = (pid_t)atoi(entry->d_name);

		if (pid > 0 && pid != charge->pid && parent_of(entry->d_name) == getpid() &&
		    !records_name(records, pid))
			sweep_one(pid);
	}
	if (processes)
		closedir(processes);
}
