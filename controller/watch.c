/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "keep.h"
#include "os/clock.h"
#include "os/fd.h"
#include "watch.h"

#define ORPHAN_DEADLINE (10 * NS_PER_S) /* one that was killed is gone */

/* Of one that was adopted, its parent knows: the keeper, unless that has died meanwhile. */
static bool wait_for(const struct watch *watch, int flags, int *code, int *status)
{
	siginfo_t info = {0};

	*code = *status = 0;
	if (waitid(P_PIDFD, (id_t)watch->pidfd, &info, WEXITED | flags) == 0) {
		*code = info.si_code;
		*status = info.si_status;
		return info.si_pid != 0;
	}
	if (errno != ECHILD ||
	    os_wait(watch->pidfd, POLLIN, flags & WNOHANG ? 0 : os_now() + ORPHAN_DEADLINE) <= 0)
		return false;
	keep_wait(watch->pid, code, status);
	return true;
}

static void reap(struct watch *watch, int flags)
{
	int code, status;

	if (!wait_for(watch, flags, &code, &status))
		return;
	watch->exited = true;
	watch->exit_code = code == CLD_EXITED ? status : -1;
	watch->signal = code == CLD_EXITED ? 0 : status;
	os_loop_remove(watch->loop, watch->pidfd);
	os_close(&watch->pidfd);
	/* What it said last counts more than what was last seen. */
	watch_look(watch);
	if (!code && watch->view.state == STATUS_ENDED)
		watch->exit_code = 0;
}

static void on_exit_event(void *context, int fd, uint32_t events)
{
	(void)fd;
	(void)events;
	reap(context, WNOHANG);
}

static int watch_exit(struct watch *watch)
{
	return os_loop_add(watch->loop, watch->pidfd, EPOLLIN, on_exit_event, watch);
}

static int run(struct watch *watch, int status_fd, struct launch *launch, struct error *error)
{
	int ret = area_create(&watch->words, "karuta-words", AREA_WORDS_SIZE, true, error);

	if (ret < 0)
		return ret;
	launch_give_option(launch, "--status-fd", status_fd);
	launch_give_words(launch, watch->words.fd);
	ret = launch_run(launch, &watch->pid, &watch->pidfd, error);
	if (ret == 0) {
		ret = watch_exit(watch);
		if (ret < 0)
			error_set(error, -ret, "watch %s: %s", launch->program, strerror(-ret));
	}
	return ret;
}

int watch_start(struct watch *watch, struct launch *launch, enum status_role role,
		struct os_loop *loop, struct error *error)
{
	int ret;

	*watch = WATCH_NONE;
	watch->loop = loop;
	watch->role = role;
	ret = area_create(&watch->status, "karuta-status", STATUS_PAGE_SIZE, true, error);
	if (ret == 0)
		ret = run(watch, watch->status.fd, launch, error);
	/* The page's descriptor stays: it is for the next process as well. */
	if (ret < 0)
		watch_free(watch);
	return ret;
}

static int set_field(const struct watch *watch, size_t offset, uint32_t value)
{
	return os_pwrite_all(watch->status.fd, &value, sizeof(value), offset);
}

/* What the last process was is not what the next one is. Of a page that is not one nothing stays.
 */
static int forget_state(struct watch *watch)
{
	static const struct status_page empty;

	watch->view.state = STATUS_STARTING;
	if (watch->broken)
		return os_pwrite_all(watch->status.fd, &empty, sizeof(empty), 0);
	return set_field(watch, offsetof(struct status_page, state), STATUS_STARTING);
}

int watch_restart(struct watch *watch, struct launch *launch, struct error *error)
{
	int ret = forget_state(watch);

	if (ret < 0)
		return error_set(error, -ret, "status page: %s", strerror(-ret));
	area_free(&watch->words);
	watch->pid = 0;
	watch->exited = watch->broken = watch->spoke = false;
	watch->exit_code = watch->signal = 0;
	return run(watch, watch->status.fd, launch, error);
}

int watch_start_beside(struct watch *watch, struct watch *now, struct launch *launch,
		       struct error *error)
{
	int ret = set_field(now, offsetof(struct status_page, standing_by), 0);

	*watch = WATCH_NONE;
	watch->loop = now->loop;
	watch->role = now->role;
	if (ret < 0)
		return error_set(error, -ret, "status page: %s", strerror(-ret));
	now->view.standing_by = false;
	ret = run(watch, now->status.fd, launch, error);
	if (ret < 0)
		watch_free(watch);
	return ret;
}

static int watch_exit_again(struct watch *watch)
{
	if (watch->pidfd < 0)
		return 0;
	os_loop_remove(watch->loop, watch->pidfd);
	return watch_exit(watch);
}

int watch_swap(struct watch *watch, struct watch *beside, struct error *error)
{
	struct area status = watch->status;
	struct watch other = *watch;
	int ret;

	*watch = *beside;
	watch->status = status;
	watch->view = other.view;
	*beside = other;
	beside->status = AREA_NONE;
	ret = watch_exit_again(watch);
	if (ret == 0)
		ret = watch_exit_again(beside);
	return ret < 0 ? error_set(error, -ret, "watch another process: %s", strerror(-ret)) : 0;
}

void watch_record(struct watch *watch, const char *name, struct record *record)
{
	record_enter(record, name);
	record_pid(record, "pid", &watch->pid);
	record_fd(record, "process", &watch->pidfd);
	record_fd(record, "status", &watch->status.fd);
	record_fd(record, "words", &watch->words.fd);
	record_bool(record, "spoke", &watch->spoke);
	record_int(record, "examined", &watch->examined);
	record_bool(record, "exited", &watch->exited);
	record_int(record, "exit", &watch->exit_code);
	record_int(record, "signal", &watch->signal);
	record_leave(record);
}

int watch_adopt(struct watch *watch, enum status_role role, struct os_loop *loop)
{
	int ret = 0;

	watch->loop = loop;
	watch->role = role;
	/* First its end, so that it can be ended in any case. */
	if (watch_runs(watch))
		ret = watch->pidfd >= 0 ? watch_exit(watch) : -EPROTO;
	if (ret < 0)
		watch->exited = true;
	if (ret == 0 && watch->status.fd >= 0)
		ret = area_adopt(&watch->status, STATUS_PAGE_SIZE, true);
	if (ret == 0 && watch->words.fd >= 0)
		ret = area_adopt(&watch->words, AREA_WORDS_SIZE, true);
	watch_look(watch);
	return ret;
}

void watch_look(struct watch *watch)
{
	int ret;

	if (!watch->status.view)
		return;
	ret = status_read(watch->status.view, watch->role, &watch->view);
	watch->broken = ret < 0 && ret != -EAGAIN;
}

bool watch_runs(const struct watch *watch)
{
	return watch->pid && !watch->exited;
}

void watch_stop(struct watch *watch)
{
	if (watch_runs(watch))
		syscall(SYS_pidfd_send_signal, watch->pidfd, SIGTERM, NULL, 0);
}

void watch_kill(struct watch *watch)
{
	if (watch_runs(watch))
		syscall(SYS_pidfd_send_signal, watch->pidfd, SIGKILL, NULL, 0);
}

bool watch_words(const struct watch *watch, char *text, size_t size)
{
	return area_words(&watch->words, text, size);
}

static void how_it_died(const struct watch *watch, char *text, size_t size)
{
	if (watch->broken)
		snprintf(text, size, "its status page is not one");
	else if (watch->spoke)
		snprintf(text, size, "it spoke where nobody is to");
	else if (!watch->exited)
		snprintf(text, size, "it still runs");
	else if (watch->signal == SIGSYS)
		snprintf(text, size,
			 "killed by SIGSYS: it made a system call that is not on its list");
	else if (!watch->signal && watch->exit_code < 0)
		snprintf(text, size, "it has ended; how is not known");
	else if (watch->signal)
		snprintf(text, size, "killed by signal %d (%s)", watch->signal,
			 strsignal(watch->signal));
	else
		snprintf(text, size, "ended with exit code %d", watch->exit_code);
}

void watch_why(const struct watch *watch, char *text, size_t size)
{
	if (watch->view.state == STATUS_FAILED && watch->view.text[0]) {
		snprintf(text, size, "%s", watch->view.text);
		return;
	}
	if (watch->signal || !watch_words(watch, text, size))
		how_it_died(watch, text, size);
}

void watch_free(struct watch *watch)
{
	if (watch_runs(watch)) {
		watch_kill(watch);
		reap(watch, 0);
	}
	if (watch->pidfd >= 0)
		os_loop_remove(watch->loop, watch->pidfd);
	os_close(&watch->pidfd);
	area_free(&watch->status);
	area_free(&watch->words);
	*watch = WATCH_NONE;
}
