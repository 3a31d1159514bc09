/* SPDX-License-Identifier: Apache-2.0 */
/*
 * karuta-keeper holds what the controller of a host must not lose, starts it again when it dies and
 * in the place of another when it is replaced: wire/keep.h. It is what `karuta-controller serve`
 * becomes, started by nobody else; it listens to its one controller and does nothing of its own
 * accord.
 *
 *	karuta-keeper --program FD --end N [--pass FD]... [--socket FD --controller PID
 *		[--records FD]] -- ARGUMENTS
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/base.h"
#include "charge.h"
#include "os/clock.h"
#include "os/fd.h"
#include "renew.h"

#define PAUSE_MS 50 /* while something is waited for that has a deadline */

struct keeper {
	struct charge charge;
	struct records records;
	int signals;
	struct signalfd_siginfo told[2]; /* signals that every controller is told of */
	size_t told_count;
	struct {
		struct keep_head head;
		char bytes[KEEP_BYTES_MAX];
	} message;
};

/* ---- signals ---- */

/* Who sent it is passed on: rt_sigqueueinfo(2). */
static void pass_on(const struct charge *charge, const struct signalfd_siginfo *signal)
{
	siginfo_t info = {.si_signo = (int)signal->ssi_signo, .si_code = SI_QUEUE};

	info.si_pid = (pid_t)signal->ssi_pid;
	info.si_uid = signal->ssi_uid;
	if (charge->pid)
		syscall(SYS_pidfd_send_signal, charge->pidfd, signal->ssi_signo, &info, 0);
}

static bool serve_one(struct keeper *keeper);

/* What the controller has said last counts. */
static void sweep(struct keeper *keeper)
{
	while (serve_one(keeper))
		;
	charge_sweep(&keeper->charge, &keeper->records);
}

/* One that is being started is told when it is READY, and so is the next, should this one die
 * before it has done what it was told. */
static void take_signals(struct keeper *keeper)
{
	const struct charge *charge = &keeper->charge;
	struct signalfd_siginfo signal;

	while (read(keeper->signals, &signal, sizeof(signal)) == sizeof(signal)) {
		if (signal.ssi_signo == SIGCHLD && charge->orphans)
			sweep(keeper);
		if (signal.ssi_signo == SIGCHLD)
			continue;
		if (charge->served || !charge->ready)
			pass_on(charge, &signal);
		if (keeper->told_count < ARRAY_LEN(keeper->told))
			keeper->told[keeper->told_count++] = signal;
	}
}

static void is_ready(struct keeper *keeper)
{
	bool first = !keeper->charge.ready;

	charge_is_ready(&keeper->charge);
	for (size_t i = 0; !first && i < keeper->told_count; i++)
		pass_on(&keeper->charge, &keeper->told[i]);
}

/* ---- requests ---- */

/* One that does not take it would go on without what it has to know. */
static int answer(struct keeper *keeper, const struct keep_head *head, const char *bytes,
		  const int *fds, size_t fd_count)
{
	struct iovec iov[] = {
		{.iov_base = (void *)(uintptr_t)head, .iov_len = sizeof(*head)},
		{.iov_base = (void *)(uintptr_t)bytes, .iov_len = head->length},
	};
	ssize_t sent = os_send(keeper->charge.socket, iov, head->length ? 2 : 1, fds, fd_count, 0);

	if (sent < 0)
		charge_end_process(&keeper->charge);
	return sent < 0 ? (int)sent : 0;
}

static enum keep_outcome outcome_of(const struct charge *charge)
{
	if (charge->old_program >= 0)
		return KEEP_REPLACED;
	return charge->went_back ? KEEP_WENT_BACK : KEEP_NOT_REPLACED;
}

static int tell_end(struct keeper *keeper)
{
	struct keep_head end = {.magic = KEEP_MAGIC,
				.verb = KEEP_END,
				.code = (int32_t)outcome_of(&keeper->charge)};
	struct stat status;

	if (fstat(keeper->charge.self, &status) == 0)
		end.status = (int32_t)status.st_ino;
	return answer(keeper, &end, NULL, NULL, 0);
}

static void list(struct keeper *keeper)
{
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < keeper->records.count; i++) {
		const struct record *record = keeper->records.all[i];

		ret = answer(keeper, &record->head, record->bytes, record->fds, record->fd_count);
	}
	if (ret == 0)
		tell_end(keeper);
}

/* One that is not our child ends unseen. */
static void tell_exit(struct keeper *keeper, pid_t pid)
{
	struct keep_head exited = {.magic = KEEP_MAGIC, .verb = KEEP_EXITED, .pids = {pid}};
	siginfo_t info = {0};

	if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG) == 0 && info.si_pid) {
		exited.code = info.si_code;
		exited.status = info.si_status;
	}
	answer(keeper, &exited, NULL, NULL, 0);
}

static void close_all(const int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
}

/* What cannot be kept leaves nothing old in its place. */
static void put(struct keeper *keeper, const struct keep_head *head, const int *fds,
		size_t fd_count)
{
	int ret = records_put(&keeper->records, head, keeper->message.bytes, fds, fd_count);

	if (ret == 0)
		return;
	fprintf(stderr, "karuta-keeper: a record is not kept: %s\n", strerror(-ret));
	records_drop(&keeper->records, head->key);
}

static void change_program(struct keeper *keeper, const struct keep_head *head, int program)
{
	int ret;

	if (head->verb == KEEP_REPLACE) {
		charge_replace(&keeper->charge, program);
		return;
	}
	ret = renew(&keeper->charge, &keeper->records, program);
	fprintf(stderr, "karuta-keeper: goes on as it was: %s\n", strerror(-ret));
}

/* Takes the descriptors over. */
static void carry_out(struct keeper *keeper, const struct keep_head *head, const int *fds,
		      size_t fd_count)
{
	if (head->verb == KEEP_PUT) {
		put(keeper, head, fds, fd_count);
		return;
	}
	if ((head->verb == KEEP_REPLACE || head->verb == KEEP_RENEW) && fd_count == 1) {
		change_program(keeper, head, fds[0]);
		return;
	}
	close_all(fds, fd_count);
	if (head->verb == KEEP_DROP)
		records_drop(&keeper->records, head->key);
	else if (head->verb == KEEP_READY)
		is_ready(keeper);
	else if (head->verb == KEEP_ENDING)
		keeper->charge.ending = true;
	else if (head->verb == KEEP_LIST)
		list(keeper);
	else if (head->verb == KEEP_WHO)
		tell_end(keeper);
	else if (head->verb == KEEP_WAIT)
		tell_exit(keeper, head->pids[0]);
}

static bool is_right(const struct keep_head *head, ssize_t got)
{
	return got >= (ssize_t)sizeof(*head) && head->magic == KEEP_MAGIC &&
	       head->length == (size_t)got - sizeof(*head);
}

/* One request. False: there is none, or will be none any more. */
static bool serve_one(struct keeper *keeper)
{
	int fds[KEEP_FDS_MAX];
	size_t fd_count = 0;
	ssize_t got = os_receive(keeper->charge.socket, &keeper->message, sizeof(keeper->message),
				 fds, ARRAY_LEN(fds), &fd_count, MSG_DONTWAIT);

	/* The controller has died with an answer unread: what it has sent before is still there. */
	if (got <= 0)
		return got == -EMSGSIZE || got == -ECONNRESET;
	if (is_right(&keeper->message.head, got))
		carry_out(keeper, &keeper->message.head, fds, fd_count);
	else
		close_all(fds, fd_count);
	return true;
}

/* ---- the loop ---- */

/* -1, or what to end with. */
static int take_death(struct keeper *keeper)
{
	int code;

	while (serve_one(keeper))
		;
	code = charge_died(&keeper->charge);
	charge_sweep(&keeper->charge, &keeper->records);
	return code;
}

static int until_end(struct keeper *keeper)
{
	struct charge *charge = &keeper->charge;
	int code = -1;

	while (code < 0) {
		struct pollfd fds[] = {
			{keeper->signals, POLLIN, 0},
			{charge->socket, POLLIN, 0},
			{charge->pidfd, POLLIN, 0},
		};

		poll(fds, ARRAY_LEN(fds), charge->pid && !charge->ready_by ? -1 : PAUSE_MS);
		if (fds[2].revents)
			code = take_death(keeper);
		else if (fds[1].revents && !serve_one(keeper))
			os_close(&charge->socket);
		if (code < 0 && fds[0].revents)
			take_signals(keeper);
		if (code < 0)
			charge_turn(charge, os_now());
	}
	return code;
}

/* ---- the start ---- */

static int usage(void)
{
	fputs("karuta-keeper is started by `karuta-controller serve`, and by nobody else\n",
	      stderr);
	return 2;
}

static bool read_number(const char *text, int *number)
{
	char *end;
	long value = strtol(text, &end, 10);

	*number = (int)value;
	return end != text && !*end && value >= 0 && value <= INT_MAX;
}

struct start {
	int socket, controller, records;
};

static void take_option(struct charge *charge, struct start *start, int option, int number)
{
	if (option == 'p')
		charge->program = number;
	else if (option == 'e')
		charge->end = number;
	else if (option == 's')
		start->socket = number;
	else if (option == 'c')
		start->controller = number;
	else if (option == 'r')
		start->records = number;
	else if (charge->passed_count < CHARGE_PASSED_MAX)
		charge->passed[charge->passed_count++] = number;
}

static bool read_options(struct charge *charge, struct start *start, int argc, char **argv)
{
	static const struct option options[] = {
		{"program", required_argument, NULL, 'p'},
		{"end", required_argument, NULL, 'e'},
		{"pass", required_argument, NULL, 'f'},
		{"socket", required_argument, NULL, 's'},
		{"controller", required_argument, NULL, 'c'},
		{"records", required_argument, NULL, 'r'},
		{0},
	};
	int option, number;

	while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		if (option == '?' || !read_number(optarg, &number))
			return false;
		take_option(charge, start, option, number);
	}
	charge->arguments = argv + optind;
	return optind < argc && charge->program >= 0 && charge->end >= 0;
}

/* Nobody looks into it, and no orphan goes to anybody else. */
static int set_up(struct keeper *keeper)
{
	struct rlimit none = {0}, files;
	sigset_t set;

	if (prctl(PR_SET_DUMPABLE, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0 || getrlimit(RLIMIT_NOFILE, &files) < 0)
		return -errno;
	files.rlim_cur = files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &files) < 0)
		return -errno;
	prctl(PR_SET_NAME, "karuta-keeper");
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	keeper->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	keeper->charge.self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	fcntl(keeper->charge.program, F_SETFD, FD_CLOEXEC);
	return keeper->signals < 0 || keeper->charge.self < 0 ? -errno : 0;
}

static int begin(struct keeper *keeper, const struct start *start)
{
	int ret = set_up(keeper);

	if (ret == 0 && start->records >= 0)
		ret = renew_read(&keeper->records, start->records);
	if (ret < 0)
		return ret;
	if (start->socket < 0)
		return charge_start(&keeper->charge);
	ret = charge_adopt(&keeper->charge, start->socket, start->controller);
	if (ret < 0 || keeper->charge.pid)
		return ret;
	while (serve_one(keeper))
		;
	os_close(&keeper->charge.socket);
	return 0;
}

int main(int argc, char **argv)
{
	static struct keeper keeper = {
		.charge = {.program = -1, .old_program = -1, .end = -1, .socket = -1, .pidfd = -1}};
	struct start start = {-1, 0, -1};
	int ret, code;

	if (!read_options(&keeper.charge, &start, argc, argv))
		return usage();
	ret = begin(&keeper, &start);
	if (ret < 0) {
		fprintf(stderr, "karuta-keeper: %s\n", strerror(-ret));
		return 1;
	}
	code = until_end(&keeper);
	records_free(&keeper.records);
	return code;
}
