/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "base/base.h"
#include "fd.h"
#include "loop.h"

#define BATCH 32

struct source {
	struct source *next;
	os_loop_fn fn; /* NULL: removed, freed once no event can name it any more */
	void *context;
	int fd;
};

struct os_loop {
	int epoll;
	struct source *sources;
	struct source *removed;
};

int os_loop_create(struct os_loop **loop)
{
	struct os_loop *made = calloc(1, sizeof(*made));

	if (!made)
		return -ENOMEM;
	made->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (made->epoll < 0) {
		free(made);
		return -errno;
	}
	*loop = made;
	return 0;
}

static void free_list(struct source **list)
{
	while (*list) {
		struct source *source = *list;

		*list = source->next;
		free(source);
	}
}

void os_loop_destroy(struct os_loop *loop)
{
	if (!loop)
		return;
	free_list(&loop->sources);
	free_list(&loop->removed);
	os_close(&loop->epoll);
	free(loop);
}

static struct source **find(struct os_loop *loop, int fd)
{
	struct source **at = &loop->sources;

	while (*at && (*at)->fd != fd)
		at = &(*at)->next;
	return at;
}

int os_loop_add(struct os_loop *loop, int fd, uint32_t events, os_loop_fn fn, void *context)
{
	struct source *source;
	struct epoll_event event = {.events = events};
	int ret;

	if (*find(loop, fd))
		return -EEXIST;
	source = calloc(1, sizeof(*source));
	if (!source)
		return -ENOMEM;
	*source = (struct source){.next = loop->sources, .fn = fn, .context = context, .fd = fd};
	event.data.ptr = source;
	if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
		ret = -errno;
		free(source);
		return ret;
	}
	loop->sources = source;
	return 0;
}

int os_loop_change(struct os_loop *loop, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events};

	event.data.ptr = *find(loop, fd);
	if (!event.data.ptr)
		return -ENOENT;
	return epoll_ctl(loop->epoll, EPOLL_CTL_MOD, fd, &event) < 0 ? -errno : 0;
}

void os_loop_remove(struct os_loop *loop, int fd)
{
	struct source **at = find(loop, fd);
	struct source *source = *at;

	if (!source)
		return;
	epoll_ctl(loop->epoll, EPOLL_CTL_DEL, fd, NULL);
	*at = source->next;
	source->fn = NULL;
	source->next = loop->removed;
	loop->removed = source;
}

int os_loop_once(struct os_loop *loop, int timeout_ms)
{
	struct epoll_event events[BATCH];
	int ready, calls = 0;

	ready = epoll_wait(loop->epoll, events, BATCH, timeout_ms);
	if (ready < 0)
		return errno == EINTR ? 0 : -errno;
	for (int i = 0; i < ready; i++) {
		struct source *source = events[i].data.ptr;

		if (source->fn) {
			source->fn(source->context, source->fd, events[i].events);
			calls++;
		}
	}
	free_list(&loop->removed);
	return calls;
}
