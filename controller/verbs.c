/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "address.h"
#include "base/base.h"
#include "os/fd.h"
#include "verbs.h"

#define IDLE_PAUSE_MS 1000

/* The file's mode says the same; a descriptor of the socket could have been handed on. */
static bool is_one_of_us(int fd, struct ucred *peer)
{
	socklen_t length = sizeof(*peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, peer, &length) < 0)
		return false;
	return peer->uid == 0 || peer->uid == geteuid();
}

static struct caller *free_caller(struct verbs *verbs)
{
	for (size_t i = 0; i < VERBS_CALLERS; i++) {
		if (verbs->callers[i].state == CALLER_NONE)
			return &verbs->callers[i];
	}
	return NULL;
}

static void refuse(int fd)
{
	static const char text[] = "{\"code\":16,\"text\":\"too many callers at once\"}\n";

	/* A fresh socket has room for this; who does not read it does not care. */
	send(fd, text, sizeof(text) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void on_caller(void *context, int socket, uint32_t events)
{
	struct verbs *verbs = context;
	CLEANUP_CLOSE int fd = accept4(socket, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct caller *caller = free_caller(verbs);
	struct ucred peer;

	(void)events;
	if (fd < 0 || !is_one_of_us(fd, &peer))
		return;
	if (caller)
		caller_begin(caller, verbs, os_steal_fd(&fd), &peer);
	else
		refuse(fd);
}

int verbs_open(struct verbs *verbs, struct machine *machine, struct account *account,
	       struct os_loop *loop, const char *name, const char *given, struct error *error)
{
	int ret;

	*verbs = VERBS_NONE;
	verbs->machine = machine;
	verbs->account = account;
	verbs->loop = loop;
	for (size_t i = 0; i < VERBS_CALLERS; i++)
		verbs->callers[i] = (struct caller){.fd = -1, .descriptor = -1};
	ret = address_find(name, given, &verbs->address, error);
	if (ret < 0)
		return ret;
	verbs->socket = address_listen(&verbs->address, !given, error);
	if (verbs->socket < 0)
		return verbs->socket;
	ret = os_loop_add(loop, verbs->socket, EPOLLIN, on_caller, verbs);
	return ret < 0 ? error_set(error, -ret, "command socket: %s", strerror(-ret)) : 0;
}

int verbs_turn(struct verbs *verbs)
{
	uint64_t now = os_now();
	int pause = IDLE_PAUSE_MS;

	for (size_t i = 0; i < VERBS_CALLERS; i++) {
		struct caller *caller = &verbs->callers[i];

		/* An event calls the others; here it is time that passes. */
		if (caller->state != CALLER_NONE)
			caller_turn(caller, now);
		if (caller->state == CALLER_FOLLOWING)
			pause = (int)min_u64((uint64_t)pause, (uint64_t)caller->console.pause_ms);
	}
	return pause;
}

void verbs_answer(void *context, uint64_t ticket, int code, const char *text)
{
	struct verbs *verbs = context;

	account_outcome(verbs->account, ticket, code, text);
	for (size_t i = 0; i < VERBS_CALLERS; i++) {
		if (verbs->callers[i].state == CALLER_WAITING && verbs->callers[i].ticket == ticket)
			caller_say(&verbs->callers[i], code, "%s", text);
	}
}

static void tell_end(struct caller *caller, int exit_code, const char *outcome)
{
	if (caller->state == CALLER_FOLLOWING)
		console_finish(&caller->console, 0);
	if (caller->state == CALLER_WAITING && caller->waits_end)
		caller_answer(caller, json_pack("{s:i,s:s,s:i}", "code", 0, "text", outcome, "exit",
						exit_code));
	else if (caller->state == CALLER_WAITING)
		caller_say(caller, ESHUTDOWN, "the instance has ended");
	/* A socket has room for an answer; who left it full before loses this one. */
	if (caller->state == CALLER_WRITING)
		caller_turn(caller, os_now());
}

void verbs_end(struct verbs *verbs, int exit_code, const char *outcome)
{
	account_end(verbs->account, outcome);
	for (size_t i = 0; i < VERBS_CALLERS; i++)
		tell_end(&verbs->callers[i], exit_code, outcome);
}

void verbs_close(struct verbs *verbs)
{
	if (verbs->socket < 0)
		return;
	for (size_t i = 0; i < VERBS_CALLERS; i++) {
		if (verbs->callers[i].state != CALLER_NONE)
			caller_end(&verbs->callers[i]);
	}
	os_loop_remove(verbs->loop, verbs->socket);
	unlink(verbs->address.sun_path);
	os_close(&verbs->socket);
}
