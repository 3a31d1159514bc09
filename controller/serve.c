/* SPDX-License-Identifier: Apache-2.0 */
/* karuta-controller serve: the instances of a fleet, for callers over the network. */
#include "serve.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "adopt.h"
#include "anchor.h"
#include "base/base.h"
#include "confine.h"
#include "fleet.h"
#include "host.h"
#include "keep.h"
#include "keeper_start.h"
#include "listen.h"
#include "os/fd.h"
#include "programs.h"
#include "remember.h"
#include "server.h"

#define DEFAULT_FILES "/srv/karuta"

#define KEEPER_PAUSE (2 * NS_PER_S) /* between two keepers */

struct serve {
	const char *address, *audit;
	const char *given_files;
	const char *state, *tpm;
	struct tls_files tls_files;

	struct renewal renewal;
	char *files;
	struct os_loop *loop;
	int signals;
	unsigned asked; /* so many signals */
	int keeper_fd;	/* -1: this process is to become the keeper */
	struct keeper_start keeper;
	struct adopted adopted;
	bool keeper_gone;
	uint64_t keeper_at;   /* when another one may be started, or was started last */
	struct anchor anchor; /* of the fleet's audit log */
	struct fleet fleet;
	struct server server;
};

static int usage(FILE *to)
{
	fputs("usage: karuta-controller serve [OPTIONS]\n"
	      "\n"
	      "Runs the instances of this host for callers over the network; see `call`.\n"
	      "\n"
	      "  --listen ADDRESS:PORT  the one socket (default :4747)\n"
	      "  --ca FILE              who signs certificates (/etc/karuta/ca.pem)\n"
	      "  --cert FILE            this host's own (/etc/karuta/host.pem)\n"
	      "  --key FILE             its key (/etc/karuta/host.key)\n"
	      "  --crl FILE             which certificates are revoked (none)\n"
	      "  --files FOLDER         the folder that callers may name files in (/srv/karuta)\n"
	      "  --audit FOLDER         where the log of all commands is\n"
	      "                         (/var/lib/karuta/audit/host)\n"
	      "  --state FOLDER         what the host has run and measured (/var/lib/karuta/host)\n"
	      "  --tpm TCTI             extend the event log into this TPM\n"
	      "\n"
	      "A FILE but that of --crl can be fd:N, an open descriptor. Exit code: 0 it was told "
	      "to\nend, 1 it failed, 2 wrong usage.\n",
	      to);
	return to == stdout ? 0 : 2;
}

/* 0, or an exit code + 1. */
static int read_options(struct serve *serve, int argc, char **argv)
{
	static const struct option options[] = {
		{"listen", required_argument, NULL, 'l'},
		{"ca", required_argument, NULL, 'c'},
		{"cert", required_argument, NULL, 'e'},
		{"key", required_argument, NULL, 'k'},
		{"crl", required_argument, NULL, 'r'},
		{"files", required_argument, NULL, 'f'},
		{"audit", required_argument, NULL, 'a'},
		{"state", required_argument, NULL, 's'},
		{"tpm", required_argument, NULL, 't'},
		/* The keeper's own. */
		{"keeper-fd", required_argument, NULL, 'K'},
		{"programs", required_argument, NULL, 'P'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (option) {
		case 'l':
			serve->address = optarg;
			break;
		case 'c':
			serve->tls_files.authority = optarg;
			break;
		case 'e':
			serve->tls_files.certificate = optarg;
			break;
		case 'k':
			serve->tls_files.key = optarg;
			break;
		case 'r':
			serve->server.revoked.file = optarg;
			break;
		case 'f':
			serve->given_files = optarg;
			break;
		case 's':
			serve->state = optarg;
			break;
		case 't':
			serve->tpm = optarg;
			break;
		case 'a':
			serve->audit = optarg;
			break;
		case 'K':
			serve->keeper_fd = atoi(optarg);
			break;
		case 'P':
			programs_use_folder(optarg);
			break;
		default:
			return 1 + usage(option == 'h' ? stdout : stderr);
		}
	}
	return optind < argc ? 1 + usage(stderr) : 0;
}

/* For all instances. */
static int raise_descriptors(struct error *error)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return error_set(error, errno, "limits: %s", strerror(errno));
	files.rlim_cur = files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &files) < 0)
		return error_set(error, errno, "limits: %s", strerror(errno));
	return 0;
}

static int find_files(struct serve *serve, struct error *error)
{
	serve->files = realpath(serve->given_files, NULL);
	if (!serve->files)
		return error_set(error, errno, "--files %s: %s", serve->given_files,
				 strerror(errno));
	if (!serve->files[1])
		return error_set(error, EINVAL, "--files /: callers would have all of the host");
	serve->fleet.files = serve->files;
	return 0;
}

static void on_signal(void *context, int fd, uint32_t events)
{
	struct serve *serve = context;
	struct signalfd_siginfo info;
	struct audit_record record = {.object = "host", .text = "accepted"};
	struct error error = {0};
	char who[32];

	(void)events;
	if (read(fd, &info, sizeof(info)) != sizeof(info))
		return;
	snprintf(who, sizeof(who), "uid %u pid %u", info.ssi_uid, info.ssi_pid);
	record.caller = who;
	record.verb = strsignal((int)info.ssi_signo);
	/* Whoever sends one could send SIGKILL as well. */
	if (audit_write(&serve->fleet.audit, &record, &error) < 0)
		fprintf(stderr, "karuta-controller: %s\n", error.text);
	fleet_stop(&serve->fleet, serve->asked++ > 0);
}

static int take_signals(struct serve *serve, struct error *error)
{
	sigset_t set;
	int ret;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	signal(SIGPIPE, SIG_IGN);
	/* A log that may not grow is one that cannot be written. */
	signal(SIGXFSZ, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	serve->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	ret = serve->signals < 0
		      ? -errno
		      : os_loop_add(serve->loop, serve->signals, EPOLLIN, on_signal, serve);
	return ret < 0 ? error_set(error, -ret, "signals: %s", strerror(-ret)) : 0;
}

/* What callers may name, they can have written by a guest. */
static int keep_apart(const struct serve *serve, const char *path, struct error *error)
{
	CLEANUP_FREE char *audit = realpath(path, NULL);
	size_t length = strlen(serve->files);

	if (!audit)
		return error_set(error, errno, "%s: %s", path, strerror(errno));
	if (!strncmp(audit, serve->files, length) && (audit[length] == '/' || !audit[length]))
		return error_set(error, EINVAL,
				 "audit log %s: must not be in %s, whose files callers may name",
				 path, serve->files);
	return 0;
}

static int open_audit(struct serve *serve, struct error *error)
{
	struct audit_record record = {.verb = "serve",
				      .object = "host",
				      .text = serve->fleet.standstill.is_on ? "in quarantine"
					      : adopt_is_first(&serve->adopted)
						      ? "accepted"
						      : "goes on with all that runs"};
	char who[32];
	int ret = audit_open(&serve->fleet.audit, serve->audit, &AUDIT_LIMITS, error);

	snprintf(who, sizeof(who), "uid %u pid %d", getuid(), getpid());
	record.caller = who;
	if (ret == 0)
		ret = keep_apart(serve, serve->audit, error);
	if (ret == 0)
		ret = anchor_open(&serve->anchor, serve->tpm, &serve->fleet.audit, serve->audit,
				  !adopt_is_first(&serve->adopted), error);
	if (ret == 0)
		alarms_open(&serve->fleet.alarms, &serve->fleet.audit);
	return ret == 0 ? audit_write(&serve->fleet.audit, &record, error) : ret;
}

/* Made anew at each start. */
static int make_wrapping(struct serve *serve, struct error *error)
{
	int ret = wrap_pair_make(&serve->fleet.wrapping, error);

	if (ret == 0)
		fleet_attest_wrapping(&serve->fleet);
	return ret;
}

/* Certificates first, before anything of ours is open: a descriptor that was not given cannot be
 * one of our own. */
static int become_keeper(struct serve *serve, int argc, char **argv, struct error *error)
{
	char found[4096];
	int ret = confine_memory(error);

	programs_use_state(serve->state);
	programs_use_tpm(serve->tpm);
	if (ret == 0 && !serve->audit)
		ret = audit_path(AUDIT_OF_HOST, found, sizeof(found), error);
	if (ret < 0)
		return ret;
	return keeper_become(argc, argv, &serve->tls_files, serve->audit ? serve->audit : found,
			     error);
}

/* ---- as the keeper's ---- */

/* What there is of the controller before. Nothing comes earlier that can: until all of it is here,
 * it is lost with the keeper. */
static int take_over(struct serve *serve, char **argv, struct error *error)
{
	int ret = confine_memory(error);

	/* Else it has that of a number. */
	prctl(PR_SET_NAME, "karuta-controller");
	if (ret == 0)
		ret = raise_descriptors(error);
	if (ret == 0)
		ret = keeper_remember_start(&serve->keeper, serve->keeper_fd, argv,
					    &serve->tls_files, error);
	if (ret < 0)
		return ret;
	ret = keep_open_inherited(serve->keeper_fd);
	if (ret < 0)
		return error_set(error, -ret, "the keeper: %s", strerror(-ret));
	return adopt_read(&serve->adopted, error);
}

static int open_tls(struct serve *serve, struct error *error)
{
	int ret = wrap_use_locked_memory(error);

	if (ret < 0)
		return ret;
	return renewal_open(&serve->renewal, &serve->tls_files, error);
}

static int open_fleet(struct serve *serve, struct error *error)
{
	int ret = open_audit(serve, error);

	if (ret == 0)
		ret = fleet_open(&serve->fleet, &serve->adopted, error);
	if (ret == 0)
		ret = server_open(&serve->server, &serve->fleet, serve->loop, serve->address,
				  adopt_socket(&serve->adopted), error);
	serve->fleet.socket = serve->server.socket;
	if (ret == 0)
		remember_all(&serve->fleet);
	return ret;
}

/* What runs goes on, whatever is found. */
static int look_at_host(struct serve *serve, struct error *error)
{
	int ret;

	if (!adopt_is_first(&serve->adopted)) {
		host_look_again(serve->state, serve->tpm);
		return 0;
	}
	ret = host_look_first(serve->state, serve->tpm, error);
	if (ret <= 0)
		return ret;
	standstill_begin(&serve->fleet.standstill, error);
	*error = (struct error){0};
	return 0;
}

static int start(struct serve *serve, char **argv, struct error *error)
{
	int ret = take_over(serve, argv, error);

	if (ret == 0)
		ret = open_tls(serve, error);
	if (ret == 0)
		ret = look_at_host(serve, error);
	if (ret == 0)
		ret = make_wrapping(serve, error);
	if (ret == 0)
		ret = os_loop_create(&serve->loop);
	serve->fleet.loop = serve->loop;
	if (ret == 0)
		ret = keep_watch(serve->loop);
	if (ret == 0)
		ret = find_files(serve, error);
	if (ret == 0)
		ret = take_signals(serve, error);
	if (ret == 0)
		ret = open_fleet(serve, error);
	if (ret == 0)
		ret = confine(serve->tpm, error);
	if (ret == 0 && !adopt_is_first(&serve->adopted))
		standstill_go_on(&serve->fleet);
	if (ret == 0 && !adopt_is_first(&serve->adopted))
		fprintf(stderr, "karuta-controller: %u instances go on\n", serve->fleet.adopted);
	adopt_free(&serve->adopted);
	return ret < 0 && !error->code ? error_set(error, -ret, "%s", strerror(-ret)) : ret;
}

static void replace_keeper(struct serve *serve)
{
	uint64_t now = os_now();
	struct error error = {0};
	int socket, ret;
	pid_t pid;

	if (keep_lost()) {
		host_update_keeper_lost(&serve->fleet);
		serve->keeper_at = max_u64(now, serve->keeper_at + KEEPER_PAUSE);
		serve->keeper_gone = true;
	}
	if (!serve->keeper_gone || now < serve->keeper_at)
		return;
	serve->keeper_at = now;
	ret = keeper_again(&serve->keeper, &socket, &pid, &error);
	if (ret == 0)
		ret = keep_open(socket, pid);
	if (ret < 0) {
		fprintf(stderr, "karuta-controller: no keeper: %s\n", error.text);
		serve->keeper_at = now + KEEPER_PAUSE;
		return;
	}
	serve->keeper_gone = false;
	keep_watch(serve->loop);
	remember_all(&serve->fleet);
	fprintf(stderr, "karuta-controller: there is another keeper\n");
}

static void until_end(struct serve *serve)
{
	keep_ready();
	if (!serve->fleet.standstill.is_on)
		fleet_resume(&serve->fleet);
	while (!serve->fleet.ending || !fleet_is_empty(&serve->fleet)) {
		int pause;

		replace_keeper(serve);
		pause = fleet_turn(&serve->fleet);
		pause = (int)min_u64((uint64_t)pause, (uint64_t)standstill_turn(&serve->fleet));
		pause = (int)min_u64((uint64_t)pause, (uint64_t)server_turn(&serve->server));
		pause = (int)min_u64((uint64_t)pause,
				     (uint64_t)anchor_turn(&serve->anchor, os_now()));
		os_loop_once(serve->loop, pause);
	}
}

static void finish(struct serve *serve)
{
	server_close(&serve->server);
	anchor_close(&serve->anchor);
	fleet_free(&serve->fleet);
	wrap_pair_free(serve->fleet.wrapping);
	renewal_close(&serve->renewal);
	os_loop_destroy(serve->loop);
	os_close(&serve->signals);
	free(serve->files);
	free(serve);
}

static struct serve *make_serve(void)
{
	struct serve *serve = calloc(1, sizeof(*serve));

	if (!serve)
		return NULL;
	serve->address = LISTEN_DEFAULT;
	serve->given_files = DEFAULT_FILES;
	serve->tls_files = (struct tls_files){.authority = "/etc/karuta/ca.pem",
					      .certificate = "/etc/karuta/host.pem",
					      .key = "/etc/karuta/host.key"};
	serve->signals = serve->keeper_fd = -1;
	serve->server.socket = -1;
	serve->fleet.audit = AUDIT_NONE;
	serve->fleet.book = BOOK_NONE;
	serve->fleet.alarms = ALARMS_NONE;
	serve->fleet.renewal = &serve->renewal;
	serve->fleet.answered = server_answered;
	serve->fleet.context = &serve->server;
	return serve;
}

int serve_main(int argc, char **argv)
{
	struct serve *serve = make_serve();
	struct error error = {0};
	int code;

	if (!serve)
		return 1;
	code = read_options(serve, argc, argv);
	if (code) {
		free(serve);
		return code - 1;
	}
	if (serve->keeper_fd < 0)
		code = become_keeper(serve, argc, argv, &error);
	if (code < 0 || start(serve, argv, &error) < 0) {
		fprintf(stderr, "karuta-controller: %s\n", error.text);
		/* What runs is the next one's. */
		if (serve->fleet.adopted)
			_exit(1);
		code = 1;
	} else {
		until_end(serve);
		keep_ending();
	}
	finish(serve);
	return code;
}
