/* SPDX-License-Identifier: Apache-2.0 */
#include "keep.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/base.h"
#include "os/clock.h"
#include "os/fd.h"

#define PATIENCE_S 5	    /* with a keeper that does not listen */
#define KILL_TIME  NS_PER_S /* one that was killed is gone */

/* One controller has one keeper. */
static int keeper = -1;
static int process = -1; /* pidfd of the keeper */
static bool used;
static struct os_loop *watched; /* NULL: not watched */
static bool lost;

int keep_open(int socket, pid_t pid)
{
	struct timeval patience = {.tv_sec = PATIENCE_S};

	process = (int)syscall(SYS_pidfd_open, pid, 0);
	if (process < 0) {
		int ret = -errno;

		os_close(&socket);
		return ret;
	}
	keeper = socket;
	used = true;
	setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return 0;
}

int keep_open_inherited(int socket)
{
	struct ucred peer = {0};
	socklen_t length = sizeof(peer);

	if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
		return -errno;
	return keep_open(socket, peer.pid);
}

bool keep_is_used(void)
{
	return used;
}

/* There must not be two who take this controller's end for theirs to see to. */
static void end_keeper(void)
{
	siginfo_t info;

	if (process < 0)
		return;
	syscall(SYS_pidfd_send_signal, process, SIGKILL, NULL, 0);
	os_wait(process, POLLIN, os_now() + KILL_TIME);
	waitid(P_PIDFD, (id_t)process, &info, WEXITED | WNOHANG);
	os_close(&process);
}

static void lose(const char *why)
{
	fprintf(stderr, "karuta-controller: the keeper is gone: %s\n", why);
	if (watched)
		os_loop_remove(watched, keeper);
	watched = NULL;
	os_close(&keeper);
	end_keeper();
	lost = true;
}

/* It does not speak unless it was asked. */
static void on_end(void *context, int fd, uint32_t events)
{
	(void)context;
	(void)fd;
	(void)events;
	lose("it has ended");
}

int keep_watch(struct os_loop *loop)
{
	int ret = keeper < 0 ? 0 : os_loop_add(loop, keeper, EPOLLRDHUP, on_end, NULL);

	if (ret == 0 && keeper >= 0)
		watched = loop;
	return ret;
}

bool keep_is_open(void)
{
	return keeper >= 0;
}

bool keep_lost(void)
{
	bool was = lost;

	lost = false;
	return was;
}

static int say(const struct keep_head *head, const char *bytes, const int *fds, size_t fd_count)
{
	struct iovec iov[] = {
		{.iov_base = (void *)(uintptr_t)head, .iov_len = sizeof(*head)},
		{.iov_base = (void *)(uintptr_t)bytes, .iov_len = head->length},
	};
	ssize_t sent;

	if (keeper < 0)
		return -ENOTCONN;
	sent = os_send(keeper, iov, head->length ? 2 : 1, fds, fd_count, 0);
	if (sent >= 0)
		return 0;
	lose(strerror((int)-sent));
	return (int)sent;
}

static int say_verb(enum keep_verb verb, const int *fds, size_t fd_count)
{
	struct keep_head head = {.magic = KEEP_MAGIC, .verb = verb};

	return say(&head, NULL, fds, fd_count);
}

/* ---- answers ---- */

struct message {
	struct keep_head head;
	char bytes[KEEP_BYTES_MAX];
};

static int hear(struct message *message, int fds[KEEP_FDS_MAX], size_t *fd_count)
{
	ssize_t got = os_receive(keeper, message, sizeof(*message), fds, KEEP_FDS_MAX, fd_count, 0);

	if (got < 0)
		return (int)got;
	if (got == 0)
		return -EPIPE;
	if (got >= (ssize_t)sizeof(message->head) && message->head.magic == KEEP_MAGIC &&
	    message->head.length == (size_t)got - sizeof(message->head))
		return 0;
	for (size_t i = 0; i < *fd_count; i++)
		close(fds[i]);
	return -EPROTO;
}

static void pass(const struct message *message, int *fds, size_t fd_count,
		 void (*each)(void *context, struct keep_record *record), void *context)
{
	struct keep_record record = {.key = message->head.key,
				     .bytes = message->bytes,
				     .length = message->head.length,
				     .fds = fds,
				     .fd_count = fd_count};

	memcpy(record.pids, message->head.pids, sizeof(record.pids));
	each(context, &record);
	for (size_t i = 0; i < fd_count; i++)
		os_close(&fds[i]);
}

static int list(struct message *message, void (*each)(void *context, struct keep_record *record),
		void *context)
{
	int fds[KEEP_FDS_MAX];
	size_t fd_count;
	int ret = say_verb(KEEP_LIST, NULL, 0);

	while (ret == 0) {
		ret = hear(message, fds, &fd_count);
		if (ret == 0 && message->head.verb == KEEP_END)
			return 0;
		if (ret == 0)
			pass(message, fds, fd_count, each, context);
	}
	return ret;
}

int keep_list(void (*each)(void *context, struct keep_record *record), void *context,
	      enum keep_outcome *outcome, struct error *error)
{
	CLEANUP_FREE struct message *message = malloc(sizeof(*message));
	int ret = message ? list(message, each, context) : -ENOMEM;

	if (ret < 0)
		return error_set(error, -ret, "what the keeper holds: %s", strerror(-ret));
	*outcome = (enum keep_outcome)message->head.code;
	return 0;
}

bool keep_wait(pid_t pid, int *code, int *status)
{
	struct keep_head head = {.magic = KEEP_MAGIC, .verb = KEEP_WAIT, .pids = {pid}};
	CLEANUP_FREE struct message *message = malloc(sizeof(*message));
	int fds[KEEP_FDS_MAX];
	size_t fd_count;

	if (!message || say(&head, NULL, NULL, 0) < 0)
		return false;
	/* A late answer is not to be taken for the next one's. */
	if (hear(message, fds, &fd_count) < 0 || message->head.verb != KEEP_EXITED ||
	    message->head.pids[0] != pid) {
		lose("it does not answer");
		return false;
	}
	*code = message->head.code;
	*status = message->head.status;
	return *code != 0;
}

/* ---- requests ---- */

int keep_put(const struct keep_record *record)
{
	struct keep_head head = {.magic = KEEP_MAGIC, .verb = KEEP_PUT, .key = record->key};

	if (keeper < 0)
		return -ENOTCONN;
	if (record->length > KEEP_BYTES_MAX) {
		fprintf(stderr, "karuta-controller: too long to be kept: %zu bytes\n",
			record->length);
		return -E2BIG;
	}
	head.length = (uint32_t)record->length;
	memcpy(head.pids, record->pids, sizeof(head.pids));
	return say(&head, record->bytes, record->fds, record->fd_count);
}

void keep_drop(uint64_t key)
{
	struct keep_head head = {.magic = KEEP_MAGIC, .verb = KEEP_DROP, .key = key};

	if (keeper >= 0)
		say(&head, NULL, NULL, 0);
}

void keep_ready(void)
{
	if (keeper >= 0)
		say_verb(KEEP_READY, NULL, 0);
}

void keep_ending(void)
{
	if (keeper >= 0)
		say_verb(KEEP_ENDING, NULL, 0);
}

int keep_replace(int program)
{
	return say_verb(KEEP_REPLACE, &program, 1);
}

/* Which program it is then is told by the number of its file. */
int keep_renew(int program)
{
	CLEANUP_FREE struct message *message = malloc(sizeof(*message));
	struct stat status;
	int fds[KEEP_FDS_MAX], ret;
	size_t fd_count;

	if (!message || fstat(program, &status) < 0)
		return message ? -errno : -ENOMEM;
	ret = say_verb(KEEP_RENEW, &program, 1);
	if (ret == 0)
		ret = say_verb(KEEP_WHO, NULL, 0);
	if (ret < 0)
		return ret;
	if (hear(message, fds, &fd_count) < 0 || message->head.verb != KEEP_END) {
		lose("it has not got ready as another program");
		return -EPIPE;
	}
	return message->head.status == (int32_t)status.st_ino ? 0 : -ENOEXEC;
}
