/* SPDX-License-Identifier: Apache-2.0 */
/*
 * karuta-keeper holds what the controller of a host must not lose, starts it again when it dies and
 * in the place of another when it is replaced: wire/keep.h. It is what `karuta-controller serve`
 * becomes, started by nobody else; it listens to its one controller and does nothing of its own
 * accord.
 *
 *	karuta-keeper --program FD --end N [--pass FD]... [--socket FD --controller PID] --
 *ARGUMENTS
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
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/base.h"
#include "charge.h"
#include "os/clock.h"
#include "os/fd.h"

#define PAUSE_MS 50 /* while something is waited for that has a deadline */

struct keeper {
	struct charge charge;
	struct records records;
	int signals;
	struct signalfd_siginfo late[2]; /* signals for one that is being started again */
	size_t late_count;
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

static void take_signals(struct keeper *keeper)
{
	const struct charge *charge = &keeper->charge;
	struct signalfd_siginfo signal;

	while (read(keeper->signals, &signal, sizeof(signal)) == sizeof(signal)) {
		if (signal.ssi_signo == SIGCHLD && charge->restarts)
			charge_sweep(charge, &keeper->records);
		else if (signal.ssi_signo == SIGCHLD)
			continue;
		else if (charge->served || !charge->ready)
			pass_on(charge, &signal);
		else if (keeper->late_count < ARRAY_LEN(keeper->late))
			keeper->late[keeper->late_count++] = signal;
	}
}

static void is_ready(struct keeper *keeper)
{
	charge_is_ready(&keeper->charge);
	for (size_t i = 0; i < keeper->late_count; i++)
		pass_on(&keeper->charge, &keeper->late[i]);
	keeper->late_count = 0;
}

/* ---- requests ---- */

static void answer(struct keeper *keeper, const struct keep_head *head, const char *bytes,
		   const int *fds, size_t fd_count)
{
	struct iovec iov[] = {
		{.iov_base = (void *)(uintptr_t)head, .iov_len = sizeof(*head)},
		{.iov_base = (void *)(uintptr_t)bytes, .iov_len = head->length},
	};

	/* One that has died does not take it. */
	(void)os_send(keeper->charge.socket, iov, head->length ? 2 : 1, fds, fd_count, 0);
}

static void list(struct keeper *keeper)
{
	struct keep_head end = {.magic = KEEP_MAGIC,
				.verb = KEEP_END,
				/* One that asks before it is READY is the other program. */
				.code = keeper->charge.old_program >= 0
						? KEEP_REPLACED
						: (int32_t)keeper->charge.outcome,
				.restarts = keeper->charge.restarts};

	for (size_t i = 0; i < keeper->records.count; i++) {
		const struct record *record = keeper->records.all[i];

		answer(keeper, &record->head, record->bytes, record->fds, record->fd_count);
	}
	answer(keeper, &end, NULL, NULL, 0);
	keeper->charge.outcome = KEEP_NOT_REPLACED;
}

/* One that is not our child ends unseen. */
static void tell_exit(struct keeper *keeper, pid_t pid)
{
	struct keep_head exited = {.magic = KEEP_MAGIC, .verb = KEEP_EXITED};
	siginfo_t info = {0};

	if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG) == 0 && info.si_pid) {
		exited.code = info.si_code;
		exited.status = info.si_status;
	}
	answer(keeper, &exited, NULL, NULL, 0);
}

/* The arguments of a keeper that goes on where this one is. */
struct words {
	char *all[64];
	char numbers[CHARGE_PASSED_MAX + 4][16];
	size_t count, number_count;
};

static void add(struct words *words, char *word)
{
	if (words->count + 1 < ARRAY_LEN(words->all))
		words->all[words->count++] = word;
}

static void add_number(struct words *words, char *option, int number)
{
	char *text = words->numbers[words->number_count++];

	snprintf(text, sizeof(words->numbers[0]), "%d", number);
	add(words, option);
	add(words, text);
}

/* Records it gets from the controller again. What is given to it here is not close-on-exec. */
static void renew(struct charge *charge, int program)
{
	struct words words = {0};

	add(&words, "karuta-keeper");
	add_number(&words, "--program", charge->program);
	add_number(&words, "--end", charge->end);
	for (size_t i = 0; i < charge->passed_count; i++)
		add_number(&words, "--pass", charge->passed[i]);
	add_number(&words, "--socket", charge->socket);
	add_number(&words, "--controller", charge->pid);
	add(&words, "--");
	for (size_t i = 0; charge->arguments[i]; i++)
		add(&words, charge->arguments[i]);
	fcntl(charge->program, F_SETFD, 0);
	fcntl(charge->socket, F_SETFD, 0);
	syscall(SYS_execveat, program, "", words.all, environ, AT_EMPTY_PATH);
	fprintf(stderr, "karuta-keeper: goes on as it was: %s\n", strerror(errno));
	fcntl(charge->program, F_SETFD, FD_CLOEXEC);
	fcntl(charge->socket, F_SETFD, FD_CLOEXEC);
	close(program);
}

static void close_all(const int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
}

/* Takes the descriptors over. */
static void carry_out(struct keeper *keeper, const struct keep_head *head, const int *fds,
		      size_t fd_count)
{
	struct charge *charge = &keeper->charge;
	bool takes_program = head->verb == KEEP_REPLACE || head->verb == KEEP_RENEW;
	int ret = 0;

	if (head->verb == KEEP_PUT)
		ret = records_put(&keeper->records, head, keeper->message.bytes, fds, fd_count);
	else if (!takes_program || fd_count != 1)
		close_all(fds, fd_count);
	if (ret < 0)
		fprintf(stderr, "karuta-keeper: a record is not kept: %s\n", strerror(-ret));
	if (head->verb == KEEP_DROP)
		records_drop(&keeper->records, head->key);
	else if (head->verb == KEEP_READY)
		is_ready(keeper);
	else if (head->verb == KEEP_LIST)
		list(keeper);
	else if (head->verb == KEEP_WAIT)
		tell_exit(keeper, head->pids[0]);
	else if (head->verb == KEEP_REPLACE && fd_count == 1)
		charge_replace(charge, fds[0]);
	else if (head->verb == KEEP_RENEW && fd_count == 1)
		renew(charge, fds[0]);
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

	if (got <= 0)
		return got == -EMSGSIZE;
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

	/* What it said last counts. */
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
		if (fds[0].revents)
			take_signals(keeper);
		if (fds[1].revents && !serve_one(keeper))
			os_close(&charge->socket);
		if (fds[2].revents)
			code = take_death(keeper);
		else
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
	int socket, controller;
};

static bool read_options(struct charge *charge, struct start *start, int argc, char **argv)
{
	static const struct option options[] = {
		{"program", required_argument, NULL, 'p'},
		{"end", required_argument, NULL, 'e'},
		{"pass", required_argument, NULL, 'f'},
		{"socket", required_argument, NULL, 's'},
		{"controller", required_argument, NULL, 'c'},
		{0},
	};
	int option, number;

	while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		if (option == '?' || !read_number(optarg, &number))
			return false;
		if (option == 'p')
			charge->program = number;
		else if (option == 'e')
			charge->end = number;
		else if (option == 's')
			start->socket = number;
		else if (option == 'c')
			start->controller = number;
		else if (charge->passed_count < CHARGE_PASSED_MAX)
			charge->passed[charge->passed_count++] = number;
	}
	charge->arguments = argv + optind;
	return optind < argc && charge->program >= 0 && charge->end >= 0;
}

/* Nobody looks into it, and nobody is to be cheated out of an orphan. */
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
	fcntl(keeper->charge.program, F_SETFD, FD_CLOEXEC);
	return keeper->signals < 0 ? -errno : 0;
}

int main(int argc, char **argv)
{
	static struct keeper keeper = {
		.charge = {.program = -1, .old_program = -1, .end = -1, .socket = -1, .pidfd = -1}};
	struct start start = {-1, 0};
	int ret, code;

	if (!read_options(&keeper.charge, &start, argc, argv))
		return usage();
	ret = set_up(&keeper);
	if (ret == 0 && start.socket >= 0)
		ret = charge_adopt(&keeper.charge, start.socket, start.controller);
	else if (ret == 0)
		charge_start(&keeper.charge);
	if (ret < 0) {
		fprintf(stderr, "karuta-keeper: %s\n", strerror(-ret));
		return 1;
	}
	code = until_end(&keeper);
	records_free(&keeper.records);
	return code;
}
