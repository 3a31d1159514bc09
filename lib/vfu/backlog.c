/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "backlog.h"
#include "base/base.h"
#include "os/fd.h"

/* Before each message's body in the buffer. */
struct record {
	struct vfio_user_header header;
	uint32_t length;
	uint32_t fd_count;
	uint32_t refused_fds;
	int fds[VFU_BACKLOG_FDS];
};

int vfu_backlog_init(struct vfu_backlog *backlog, size_t capacity)
{
	*backlog = (struct vfu_backlog){.capacity = capacity};
	backlog->bytes = malloc(capacity);
	return backlog->bytes ? 0 : -ENOMEM;
}

void vfu_backlog_free(struct vfu_backlog *backlog)
{
	if (backlog->bytes)
		vfu_backlog_clear(backlog);
	free(backlog->bytes);
	backlog->bytes = NULL;
}

bool vfu_backlog_is_empty(const struct vfu_backlog *backlog)
{
	return backlog->start == backlog->end;
}

static struct record first_record(const struct vfu_backlog *backlog)
{
	struct record record;

	memcpy(&record, backlog->bytes + backlog->start, sizeof(record));
	return record;
}

/* Moves what is there to the front of the buffer. */
static void compact(struct vfu_backlog *backlog)
{
	memmove(backlog->bytes, backlog->bytes + backlog->start, backlog->end - backlog->start);
	backlog->end -= backlog->start;
	backlog->start = 0;
}

int vfu_backlog_put(struct vfu_backlog *backlog, struct vfu_message *message)
{
	struct record record = {.header = message->header,
				.length = message->length,
				.fd_count = (uint32_t)message->fd_count,
				.refused_fds = message->refused_fds};
	size_t needed = sizeof(record) + message->length;

	if (message->fd_count > VFU_BACKLOG_FDS ||
	    needed > backlog->capacity - (backlog->end - backlog->start))
		return -ENOSPC;
	if (needed > backlog->capacity - backlog->end)
		compact(backlog);
	for (size_t i = 0; i < message->fd_count; i++)
		record.fds[i] = os_steal_fd(&message->fds[i]);
	memcpy(backlog->bytes + backlog->end, &record, sizeof(record));
	memcpy(backlog->bytes + backlog->end + sizeof(record), message->body, message->length);
	backlog->end += needed;
	return 0;
}

struct vfu_message vfu_backlog_message(struct vfu_backlog *backlog)
{
	struct record record = first_record(backlog);

	memcpy(backlog->fds, record.fds, sizeof(record.fds));
	return (struct vfu_message){
		.header = record.header,
		.body = backlog->bytes + backlog->start + sizeof(record),
		.length = record.length,
		.fds = backlog->fds,
		.fd_count = record.fd_count,
		.refused_fds = record.refused_fds,
	};
}

void vfu_backlog_next(struct vfu_backlog *backlog)
{
	struct record record = first_record(backlog);

	for (size_t i = 0; i < record.fd_count; i++)
		os_close(&backlog->fds[i]);
	backlog->start += sizeof(record) + record.length;
	if (vfu_backlog_is_empty(backlog))
		backlog->start = backlog->end = 0;
}

void vfu_backlog_clear(struct vfu_backlog *backlog)
{
	while (!vfu_backlog_is_empty(backlog)) {
		vfu_backlog_message(backlog);
		vfu_backlog_next(backlog);
	}
}
