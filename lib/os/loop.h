/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An event loop over epoll(7). One thread owns a loop and all that is called from it. A callback
 * may add and remove sources, its own included; a removed source is not called again, even if an
 * event for it was already fetched.
 */
#ifndef KARUTA_OS_LOOP_H
#define KARUTA_OS_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct os_loop;

/* `events`: EPOLLIN | EPOLLOUT | EPOLLHUP | EPOLLERR as epoll gave them. */
typedef void (*os_loop_fn)(void *context, int fd, uint32_t events);

int os_loop_create(struct os_loop **loop);
void os_loop_destroy(struct os_loop *loop);

/* The descriptor stays the caller's, who removes it before closing it. -EEXIST if it is there
 * already. */
int os_loop_add(struct os_loop *loop, int fd, uint32_t events, os_loop_fn fn, void *context);
int os_loop_change(struct os_loop *loop, int fd, uint32_t events);
void os_loop_remove(struct os_loop *loop, int fd);

/* Waits for at most `timeout_ms` (-1: for ever; 0: not at all) and calls what is ready. Returns
 * calls made or -errno. */
int os_loop_once(struct os_loop *loop, int timeout_ms);

#endif
