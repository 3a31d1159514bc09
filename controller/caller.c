/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "os/fd.h"
#include "verbs.h"

static void on_event(void *context, int fd, uint32_t events)
{
	(void)fd;
	(void)events;
	caller_turn(context, os_now());
}

void caller_begin(struct caller *caller, struct verbs *verbs, int fd, const struct ucred *peer)
{
	*caller = (struct caller){.verbs = verbs,
				  .state = CALLER_READING,
				  .fd = fd,
				  .descriptor = -1,
				  .deadline = os_now() + VERBS_TALK_SECONDS * NS_PER_S,
				  .request = malloc(VERBS_REQUEST_MAX + 1)};
	snprintf(caller->who, sizeof(caller->who), "uid %u pid %d", peer->uid, peer->pid);
	if (!caller->request || os_loop_add(verbs->loop, fd, EPOLLIN, on_event, caller) < 0)
		caller_end(caller);
}

void caller_end(struct caller *caller)
{
	os_loop_remove(caller->verbs->loop, caller->fd);
	os_close(&caller->fd);
	os_close(&caller->descriptor);
	free(caller->request);
	free(caller->answer);
	*caller = (struct caller){.state = CALLER_NONE, .fd = -1, .descriptor = -1};
}

void caller_answer(struct caller *caller, json_t *answer)
{
	char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;

	json_decref(answer);
	if (text && asprintf(&caller->answer, "%s\n", text) < 0)
		caller->answer = NULL;
	free(text);
	os_close(&caller->descriptor);
	caller->ticket = 0;
	caller->waits_end = false;
	if (!caller->answer) {
		caller_end(caller);
		return;
	}
	caller->answer_length = strlen(caller->answer);
	caller->state = CALLER_WRITING;
	caller->deadline = os_now() + VERBS_TALK_SECONDS * NS_PER_S;
	os_loop_change(caller->verbs->loop, caller->fd, EPOLLOUT);
}

void caller_say(struct caller *caller, int code, const char *format, ...)
{
	char text[STATUS_TEXT_SIZE * 2];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	caller_answer(caller, json_pack("{s:i,s:s}", "code", code, "text", text));
}

/* A request is complete with its newline; what follows it is not looked at. */
static bool is_complete(struct caller *caller)
{
	char *end = memchr(caller->request, '\n', caller->request_length);

	if (!end)
		return false;
	*end = '\0';
	caller->request_length = (size_t)(end - caller->request);
	return true;
}

/* Returns bytes, 0 at the end, -EAGAIN, -errno. */
static ssize_t receive(struct caller *caller)
{
	size_t count = 0;
	int fd = -1;
	ssize_t got = os_receive(caller->fd, caller->request + caller->request_length,
				 VERBS_REQUEST_MAX - caller->request_length, &fd, 1, &count,
				 MSG_DONTWAIT);

	if (got < 0 || !count)
		return got;
	if (caller->descriptor >= 0) {
		os_close(&fd);
		return -EMSGSIZE;
	}
	caller->descriptor = fd;
	return got;
}

/* It is not even read. */
static void refuse(struct caller *caller, const char *text)
{
	account_refuse(caller->verbs->account, caller->who, "",
		       caller->verbs->machine->instance->name, EMSGSIZE, text);
	caller_say(caller, EMSGSIZE, "%s", text);
}

static void turn_reading(struct caller *caller)
{
	ssize_t got = receive(caller);

	if (got == -EAGAIN || got == -EINTR)
		return;
	if (got == -EMSGSIZE) {
		refuse(caller, "at most one descriptor comes with a request");
		return;
	}
	if (got <= 0) {
		caller_end(caller);
		return;
	}
	caller->request_length += (size_t)got;
	if (is_complete(caller)) {
		caller->state = CALLER_WAITING;
		os_loop_change(caller->verbs->loop, caller->fd, 0);
		request_carry_out(caller);
	} else if (caller->request_length == VERBS_REQUEST_MAX) {
		refuse(caller, "a request is one line of at most 64 KiB");
	}
}

static void follow(struct caller *caller)
{
	caller->state = CALLER_FOLLOWING;
	console_begin(&caller->console, caller->verbs->machine->console.view, caller->fd);
	os_loop_change(caller->verbs->loop, caller->fd, 0);
}

static void turn_writing(struct caller *caller)
{
	ssize_t sent =
		send(caller->fd, caller->answer + caller->answer_done,
		     caller->answer_length - caller->answer_done, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (sent < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (sent < 0) {
		caller_end(caller);
		return;
	}
	caller->answer_done += (size_t)sent;
	if (caller->answer_done < caller->answer_length)
		return;
	if (caller->follows)
		follow(caller);
	else
		caller_end(caller);
}

/* Has it hung up? What it asked for goes on; nobody hears of the outcome. One that only says no
 * more waits for its answer all the same. */
static bool has_gone(const struct caller *caller)
{
	struct pollfd wait = {.fd = caller->fd};

	return poll(&wait, 1, 0) > 0;
}

void caller_turn(struct caller *caller, uint64_t now)
{
	if (caller->state == CALLER_READING)
		turn_reading(caller);
	if (caller->state == CALLER_WRITING)
		turn_writing(caller);
	if (caller->state == CALLER_FOLLOWING)
		console_turn(&caller->console);
	if ((caller->state == CALLER_FOLLOWING && caller->console.out < 0) ||
	    ((caller->state == CALLER_FOLLOWING || caller->state == CALLER_WAITING) &&
	     has_gone(caller)))
		caller_end(caller);
	if ((caller->state == CALLER_READING || caller->state == CALLER_WRITING) &&
	    now >= caller->deadline)
		caller_end(caller);
}
