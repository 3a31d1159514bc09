/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/base.h"
#include "base/name.h"
#include "confine.h"
#include "console.h"
#include "instance.h"
#include "machine.h"
#include "os/fd.h"
#include "host.h"
#include "run.h"
#include "account.h"
#include "alarms.h"
#include "verbs.h"

#define FINISH_CONSOLE_MS 2000

struct run {
	const char *file;
	const char *name;    /* NULL: as in the file */
	const char *socket;  /* NULL: by the name */
	const char *console; /* path or "-" */
	const char *state;   /* NULL: the usual place */
	const char *tpm;     /* NULL: none */
	const char *audit;   /* folder; NULL: by the name */

	struct instance instance;
	struct os_loop *loop;
	int signals;
	int last_signal; /* that ended it by force */
	bool asked;	 /* the power button was pressed for a signal */
	int out;
	struct machine machine;
	struct console shown;
	struct verbs verbs;
	struct account account;
	struct alarms alarms;
};

static void usage(FILE *to)
{
	fputs("usage: karuta-controller run INSTANCE.json [--name NAME] [--socket PATH] "
	      "[--console FILE|-]\n"
	      "       [--state FOLDER] [--tpm TCTI] [--audit FOLDER]\n"
	      "\n"
	      "Launches the instance that the file describes (karuta-instance(5)) and stays until "
	      "it ends.\n"
	      "\n"
	      "  --name NAME     call it NAME instead of what the file says\n"
	      "  --socket PATH   take commands here instead of NAME.sock in /run/karuta\n"
	      "  --console FILE  write what the guest's console shows to FILE; - is standard "
	      "output (default)\n"
	      "  --state FOLDER  keep what the host has run and measured here instead of "
	      "/var/lib/karuta/host\n"
	      "  --tpm TCTI      extend the event log into this TPM, device:/dev/tpmrm0 for "
	      "instance\n"
	      "  --audit FOLDER  keep the log of all commands here instead of "
	      "instance/NAME in\n"
	      "                  /var/lib/karuta/audit\n"
	      "\n"
	      "Exit code: 0 the guest powered off, 1 failed, crashed or was killed, 2 wrong "
	      "usage or\nspecification, 128 + N killed for signal N.\n",
	      to);
}

/* 0, or an exit code + 1. */
static int read_options(struct run *run, int argc, char **argv)
{
	static const struct option options[] = {
		{"name", required_argument, NULL, 'n'},	   {"socket", required_argument, NULL, 's'},
		{"console", required_argument, NULL, 'c'}, {"state", required_argument, NULL, 'S'},
		{"tpm", required_argument, NULL, 't'},	   {"audit", required_argument, NULL, 'a'},
		{"help", no_argument, NULL, 'h'},	   {0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (option) {
		case 'n':
			run->name = optarg;
			break;
		case 's':
			run->socket = optarg;
			break;
		case 'c':
			run->console = optarg;
			break;
		case 'S':
			run->state = optarg;
			break;
		case 't':
			run->tpm = optarg;
			break;
		case 'a':
			run->audit = optarg;
			break;
		case 'h':
			usage(stdout);
			return 1 + 0;
		default:
			usage(stderr);
			return 1 + 2;
		}
	}
	if (argc - optind != 1) {
		usage(stderr);
		return 1 + 2;
	}
	run->file = argv[optind];
	return 0;
}

static int take_name(struct run *run, struct error *error)
{
	if (run->name) {
		if (!name_is_valid(run->name, INSTANCE_NAME_MAX))
			return error_set(error, EINVAL,
					 "--name %s: must be up to %u letters, digits, '-', '_', "
					 "'.', and begin with a letter or a digit",
					 run->name, INSTANCE_NAME_MAX);
		snprintf(run->instance.name, sizeof(run->instance.name), "%s", run->name);
	}
	if (!run->instance.name[0])
		return error_set(error, EINVAL, "%s: name: missing; write it there or use --name",
				 run->file);
	return 0;
}

/*
 * Keys are descriptors that we were born with. They are taken before anything of ours is open, so
 * that a number which was not given cannot mean one of our own.
 */
static int take_keys(struct run *run, struct error *error)
{
	for (size_t i = 0; i < run->instance.card_count; i++) {
		const struct card_value *key = card_spec_value(&run->instance.cards[i], CARD_KEY);

		if (!key)
			continue;
		if (fcntl((int)key->number, F_SETFD, FD_CLOEXEC) < 0)
			return error_set(error, EBADF,
					 "%s: cards[%zu].key_fd: descriptor %d is not open; start "
					 "with %d<KEYFILE or a pipe",
					 run->file, i, (int)key->number, (int)key->number);
	}
	return 0;
}

static int take_signals(struct run *run, struct error *error)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	signal(SIGPIPE, SIG_IGN);
	/* A log or a volume's file that may not grow gives an error, not the end. */
	signal(SIGXFSZ, SIG_IGN);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return error_set(error, errno, "block signals: %s", strerror(errno));
	run->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (run->signals < 0)
		return error_set(error, errno, "signalfd: %s", strerror(errno));
	return 0;
}

/* Whoever sends one could send SIGKILL as well: it is obeyed also when it cannot be written. */
static void write_signal(struct run *run, const struct signalfd_siginfo *info)
{
	struct error error = {0};
	char who[32];

	snprintf(who, sizeof(who), "uid %u pid %u", info->ssi_uid, info->ssi_pid);
	if (account_accept(&run->account, ACCOUNT_AT_END, who, strsignal((int)info->ssi_signo),
			   run->instance.name, &error) < 0)
		machine_note(&run->machine, "%s", error.text);
}

/* The first presses the power button, the second pulls the plug. */
static void on_signal(void *context, int fd, uint32_t events)
{
	struct run *run = context;
	struct machine *machine = &run->machine;
	struct signalfd_siginfo info;

	(void)events;
	if (read(fd, &info, sizeof(info)) != sizeof(info))
		return;
	write_signal(run, &info);
	if (!run->asked && machine->state == MACHINE_RUNNING &&
	    orders_push(machine, (struct order){.verb = COMMAND_SHUTDOWN}) == 0) {
		machine_note(machine, "power button pressed; once more to kill");
	} else {
		run->last_signal = (int)info.ssi_signo;
		machine_kill(machine);
	}
	run->asked = true;
}

/* The launch is the first command. */
static int open_account(struct run *run, struct error *error)
{
	char what[INSTANCE_NAME_MAX + 16], path[4096], who[32];
	int ret = 0;

	snprintf(what, sizeof(what), "instance/%s", run->instance.name);
	snprintf(who, sizeof(who), "uid %u pid %d", getuid(), getpid());
	if (!run->audit)
		ret = audit_path(what, path, sizeof(path), error);
	if (ret == 0)
		ret = audit_open(&run->account.audit, run->audit ? run->audit : path, &AUDIT_LIMITS,
				 error);
	if (ret == 0)
		ret = account_accept(&run->account, ACCOUNT_AT_END, who, "run", run->instance.name,
				     error);
	return ret;
}

static int start(struct run *run, struct error *error)
{
	int ret;

	/* 1. What is to be run, and its keys. */
	ret = confine_memory(error);
	if (ret == 0)
		ret = instance_load(&run->instance, run->file, error);
	if (ret == 0)
		ret = take_name(run, error);
	if (ret == 0)
		ret = take_keys(run, error);
	if (ret < 0)
		return ret;
	/* 2. Whether this is the host that it is to be run on. */
	ret = host_must_be_released(run->state, run->tpm, error);
	if (ret < 0)
		return ret;
	/* 3. Where its console and its notes go. */
	run->out = console_open(run->console, error);
	if (run->out < 0)
		return run->out;
	/* 4. The loop, signals, the command socket: nobody else may run under this name. */
	ret = os_loop_create(&run->loop);
	if (ret < 0)
		return error_set(error, -ret, "event loop: %s", strerror(-ret));
	ret = take_signals(run, error);
	if (ret == 0)
		ret = os_loop_add(run->loop, run->signals, EPOLLIN, on_signal, run);
	if (ret == 0)
		ret = verbs_open(&run->verbs, &run->machine, &run->account, run->loop,
				 run->instance.name, run->socket, error);
	/* 5. The audit log. */
	if (ret == 0)
		ret = open_account(run, error);
	if (ret == 0)
		alarms_open(&run->alarms, &run->account.audit);
	/* 6. Nothing is opened any more that others could speak to. */
	if (ret == 0)
		ret = confine(run->tpm, error);
	/* 7. The programs. */
	if (ret == 0)
		ret = machine_launch(&run->machine, &run->instance, launch_users_of_process(),
				     run->loop, verbs_answer, &run->verbs, error);
	run->machine.alarms = &run->alarms;
	if (ret == 0)
		console_begin(&run->shown, run->machine.console.view, run->out);
	return ret;
}

static int turn(struct run *run)
{
	int pause = machine_turn(&run->machine);

	console_turn(&run->shown);
	if (alarms_turn(&run->alarms, os_now()))
		pause = (int)min_u64((uint64_t)pause, ALARMS_PAUSE_MS);
	if (run->shown.out >= 0)
		pause = (int)min_u64((uint64_t)pause, (uint64_t)run->shown.pause_ms);
	return (int)min_u64((uint64_t)pause, (uint64_t)verbs_turn(&run->verbs));
}

static int until_end(struct run *run)
{
	while (run->machine.state != MACHINE_ENDED) {
		int pause = turn(run);

		if (run->machine.state != MACHINE_ENDED)
			os_loop_once(run->loop, pause);
	}
	console_finish(&run->shown, FINISH_CONSOLE_MS);
	if (run->shown.lost)
		machine_note(&run->machine, "console: %llu bytes came too fast and were lost",
			     (unsigned long long)run->shown.lost);
	verbs_end(&run->verbs, run->machine.exit_code, run->machine.outcome);
	if (run->last_signal && run->machine.exit_code)
		return 128 + run->last_signal;
	return run->machine.exit_code;
}

static void finish(struct run *run)
{
	verbs_close(&run->verbs);
	alarms_close(&run->alarms);
	audit_close(&run->account.audit);
	if (run->machine.instance)
		machine_free(&run->machine);
	os_loop_destroy(run->loop);
	os_close(&run->signals);
	os_close(&run->out);
	instance_free(&run->instance);
}

int run_main(int argc, char **argv)
{
	struct run run = {.console = "-",
			  .signals = -1,
			  .out = -1,
			  .verbs = VERBS_NONE,
			  .account = ACCOUNT_NONE,
			  .alarms = ALARMS_NONE};
	struct error error = {0};
	int code = read_options(&run, argc, argv);

	if (code)
		return code - 1;
	if (start(&run, &error) < 0) {
		fprintf(stderr, "karuta-controller: %s\n", error.text);
		account_outcome(&run.account, ACCOUNT_AT_END, error.code, error.text);
		code = error.code == EINVAL && !run.loop ? 2 : 1;
	} else {
		code = until_end(&run);
	}
	finish(&run);
	return code;
}
