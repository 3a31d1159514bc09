/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests that arrived at a moment when they could not be served, in order of arrival, with their
 * descriptors. Bounded; allocates nothing after the start.
 */
#ifndef KARUTA_VFU_BACKLOG_H
#define KARUTA_VFU_BACKLOG_H

#include "message.h"

#define VFU_BACKLOG_FDS 16u /* of one message */

struct vfu_backlog {
	uint8_t *bytes;
	size_t capacity, start, end;
	int fds[VFU_BACKLOG_FDS]; /* of the message that was taken */
};

int vfu_backlog_init(struct vfu_backlog *backlog, size_t capacity);
void vfu_backlog_free(struct vfu_backlog *backlog);
bool vfu_backlog_is_empty(const struct vfu_backlog *backlog);
/* Copies the message and takes its descriptors. -ENOSPC: it stays where it is. */
int vfu_backlog_put(struct vfu_backlog *backlog, struct vfu_message *message);
/* The oldest message; good until vfu_backlog_next() or _put(). Only while not empty. */
struct vfu_message vfu_backlog_message(struct vfu_backlog *backlog);
/* Forgets the oldest message and closes what is left of its descriptors, once it was looked at. */
void vfu_backlog_next(struct vfu_backlog *backlog);
void vfu_backlog_clear(struct vfu_backlog *backlog);

#endif
