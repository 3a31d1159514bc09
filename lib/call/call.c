/* SPDX-License-Identifier: Apache-2.0 */
#include "call.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/base.h"
#include "base/name.h"
#include "caller.h"
#include "os/clock.h"
#include "os/fd.h"

/* Together some seconds: longer than a controller is away that its keeper starts again. */
#define TRIES_MAX    7u
#define PAUSE	     (50 * NS_PER_MS)
#define PAUSE_MAX    NS_PER_S
#define PAUSE_DOUBLE 4u /* so often; then it is PAUSE_MAX */
#define MOMENT	     (10 * NS_PER_MS)

/* ---- the queue ---- */

static void put_first(struct question **list, struct question *question)
{
	question->next = *list;
	*list = question;
}

static void put_last(struct question **list, struct question *question)
{
	while (*list)
		list = &(*list)->next;
	question->next = NULL;
	*list = question;
}

static struct question *take_first(struct question **list)
{
	struct question *question = *list;

	*list = question->next;
	return question;
}

static unsigned count(const struct question *list)
{
	unsigned number = 0;

	for (; list; list = list->next)
		number++;
	return number;
}

static void free_all(struct question **list)
{
	while (*list)
		question_free(take_first(list));
}

void caller_finish(struct caller *caller, struct question *question)
{
	question_forget_keys(question);
	put_last(&caller->finished, question);
}

static bool may_help(const struct caller *caller, const struct question *question)
{
	if (question->tries >= TRIES_MAX)
		return false;
	return question->error.code == ECONNRESET ||
	       (question->error.code == ECONNREFUSED && caller->known);
}

void caller_lost(struct caller *caller, struct question *question)
{
	uint64_t pause = question->tries < PAUSE_DOUBLE ? PAUSE << question->tries : PAUSE_MAX;

	question->tries++;
	if (!may_help(caller, question)) {
		caller->known = false;
		caller_finish(caller, question);
		return;
	}
	question->not_before = os_now() + pause;
	put_first(&caller->waiting, question);
}

/* ---- lines ---- */

static struct line *find_line(const struct caller *caller, enum line_state state)
{
	for (size_t i = 0; i < CALL_AT_ONCE; i++) {
		if (caller->lines[i].state == state)
			return (struct line *)(uintptr_t)&caller->lines[i];
	}
	return NULL;
}

static bool is_coming(const struct caller *caller)
{
	return find_line(caller, LINE_CONNECTING) || find_line(caller, LINE_HANDSHAKE);
}

/* When one more connection may begin; UINT64_MAX: not before another is there. A handshake costs
 * both ends milliseconds of signatures, most answers less than that: so those that are there are
 * given a moment to become free, and hosts that all come back at once are met once each. */
static uint64_t next_line(const struct caller *caller)
{
	if (is_coming(caller) || !find_line(caller, LINE_NONE))
		return UINT64_MAX;
	return caller->came ? caller->came + MOMENT : 0;
}

static struct line *find_free(struct caller *caller)
{
	struct line *idle = find_line(caller, LINE_IDLE);

	if (idle || next_line(caller) > os_now())
		return idle;
	return find_line(caller, LINE_NONE);
}

/* The first whose pause is over. */
static struct question *take_due(struct caller *caller)
{
	struct question **at = &caller->waiting;
	uint64_t now = os_now();

	while (*at && (*at)->not_before > now)
		at = &(*at)->next;
	return *at ? take_first(at) : NULL;
}

/* What fails at once waits for its pause, or has finished: this ends. */
static void begin_waiting(struct caller *caller)
{
	struct line *line;

	while ((line = find_free(caller))) {
		struct question *question = take_due(caller);

		if (!question)
			return;
		line_begin(line, question);
	}
}

static void end_late(struct caller *caller)
{
	struct question **at = &caller->waiting;
	uint64_t now = os_now();

	for (size_t i = 0; i < CALL_AT_ONCE; i++)
		line_look(&caller->lines[i], now);
	while (*at) {
		struct question *question = *at;

		if (question->deadline > now) {
			at = &question->next;
			continue;
		}
		take_first(at);
		if (!question->error.code)
			error_set(&question->error, ETIMEDOUT, "%s: its turn did not come in time",
				  caller->where);
		caller_finish(caller, question);
	}
}

/* ---- coming and going ---- */

static void tell(struct question *question)
{
	bool answered = question->frame;

	question->done(question->context, answered ? &question->answer : NULL,
		       answered ? NULL : &question->error);
	question_free(question);
}

/* Nothing finishes by what `done` does: new ones wait until the wake is heard. */
static void settle(struct caller *caller)
{
	if (caller->busy > 1 || caller->closed)
		return;
	begin_waiting(caller);
	while (!caller->closed && caller->finished)
		tell(take_first(&caller->finished));
}

void caller_enter(struct caller *caller)
{
	caller->busy++;
}

static void leave(struct caller *caller)
{
	if (--caller->busy == 0 && caller->closed)
		free(caller);
}

void caller_leave(struct caller *caller)
{
	settle(caller);
	leave(caller);
}

static void hear_wake(void *context, int fd, uint32_t events)
{
	struct caller *caller = context;

	(void)events;
	os_eventfd_drain(fd);
	caller_enter(caller);
	caller_leave(caller);
}

static uint64_t next_deadline(const struct caller *caller)
{
	uint64_t next = UINT64_MAX, begin = find_line(caller, LINE_IDLE) ? 0 : next_line(caller);

	for (size_t i = 0; i < CALL_AT_ONCE; i++) {
		const struct line *line = &caller->lines[i];

		if (line->state != LINE_NONE)
			next = min_u64(next, line->deadline);
		if (line->question)
			next = min_u64(next, line->question->deadline);
	}
	for (const struct question *at = caller->waiting; at; at = at->next)
		next = min_u64(next, min_u64(at->deadline,
					     at->not_before > begin ? at->not_before : begin));
	return next;
}

static int milliseconds_to(uint64_t deadline)
{
	uint64_t now = os_now(), most = CALL_TURN_MS * NS_PER_MS;
	uint64_t left = deadline > now ? min_u64(deadline - now, most) : 0;

	return (int)((left + NS_PER_MS - 1) / NS_PER_MS);
}

int caller_turn(struct caller *caller)
{
	int wait = 0;

	caller_enter(caller);
	end_late(caller);
	settle(caller);
	if (!caller->closed)
		wait = milliseconds_to(next_deadline(caller));
	leave(caller);
	return wait;
}

/* ---- for the owner ---- */

int caller_ask(struct caller *caller, const struct control_request *request, unsigned seconds,
	       call_done_fn done, void *context, struct error *error)
{
	struct question *question;
	int ret;

	if (count(caller->waiting) >= CALL_WAITING_MAX)
		return error_set(error, EBUSY, "%s: too many requests wait for it", caller->where);
	ret = question_make(request, &question, error);
	if (ret < 0)
		return ret;
	question->done = done;
	question->context = context;
	question->deadline = os_now() + seconds * NS_PER_S;
	put_last(&caller->waiting, question);
	os_eventfd_signal(caller->wake);
	return 0;
}

static int take_address(struct caller *caller, const struct caller_setup *setup,
			struct error *error)
{
	struct sockaddr_in *four = (struct sockaddr_in *)&caller->address;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)&caller->address;

	if (inet_pton(AF_INET, setup->address, &four->sin_addr) == 1) {
		four->sin_family = AF_INET;
		four->sin_port = htons(setup->port);
		caller->address_length = sizeof(*four);
	} else if (inet_pton(AF_INET6, setup->address, &six->sin6_addr) == 1) {
		six->sin6_family = AF_INET6;
		six->sin6_port = htons(setup->port);
		caller->address_length = sizeof(*six);
	} else {
		return error_set(error, EINVAL, "%s: no address in numbers", setup->address);
	}
	if (setup->name && !name_is_valid(setup->name, TLS_NAME_MAX))
		return error_set(error, EINVAL, "%s: no name of a host", setup->address);
	snprintf(caller->name, sizeof(caller->name), "%s", setup->name ? setup->name : "");
	snprintf(caller->where, sizeof(caller->where), "%s%s%s port %u%s", caller->name,
		 setup->name ? " (" : "", setup->address, setup->port, setup->name ? ")" : "");
	return 0;
}

int caller_open(const struct caller_setup *setup, struct caller **caller, struct error *error)
{
	struct caller *made = calloc(1, sizeof(*made));
	int ret;

	if (!made)
		return error_set(error, ENOMEM, "out of memory");
	*made = (struct caller){.wake = -1, .tls = setup->tls, .loop = setup->loop};
	SSL_CTX_up_ref(made->tls);
	for (size_t i = 0; i < CALL_AT_ONCE; i++)
		made->lines[i] = (struct line){.caller = made, .fd = -1};
	ret = take_address(made, setup, error);
	if (ret == 0) {
		ret = made->wake = os_eventfd();
		if (ret >= 0)
			ret = os_loop_add(made->loop, made->wake, EPOLLIN, hear_wake, made);
		if (ret < 0)
			error_set(error, -ret, "%s: %s", made->where, strerror(-ret));
	}
	if (ret == 0)
		*caller = made;
	else
		caller_close(made);
	return ret;
}

void caller_close(struct caller *caller)
{
	if (!caller)
		return;
	for (size_t i = 0; i < CALL_AT_ONCE; i++) {
		if (caller->lines[i].question)
			put_first(&caller->waiting, caller->lines[i].question);
		line_close(&caller->lines[i]);
	}
	free_all(&caller->waiting);
	free_all(&caller->finished);
	if (caller->wake >= 0)
		os_loop_remove(caller->loop, caller->wake);
	os_close(&caller->wake);
	SSL_CTX_free(caller->tls);
	caller->closed = true;
	if (!caller->busy)
		free(caller);
}
