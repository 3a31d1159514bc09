/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DMA by message, for memory that the client did not map. The client may be waiting for us while we
 * wait for it: its requests are served meanwhile, as far as the device, which is in the middle of
 * something, is not changed by them. The first one that would change it is kept for later, and all
 * that follow it with it, since requests are executed in order.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/base.h"
#include "os/clock.h"
#include "os/fd.h"
#include "server.h"

/* QEMU's answer must fit into its socket's buffer: more than about 200 KiB hangs it. */
#define LARGEST	 (64 * KIB)
#define PATIENCE NS_PER_S

static bool changes_device(const struct vfio_user_header *header)
{
	return header->command == VFIO_USER_REGION_WRITE ||
	       header->command == VFIO_USER_DMA_UNMAP || header->command == VFIO_USER_RESET;
}

static bool is_reply(const struct vfio_user_header *header)
{
	return (header->flags & VFIO_USER_TYPE_MASK) == VFIO_USER_TYPE_REPLY;
}

/* A message that came while we wait for another one. Replies that nobody waits for any more are
 * dropped by vfu_server_serve(). */
static int serve_meanwhile(struct vfu_server *server, struct vfu_message *message)
{
	int ret = 0;

	if (is_reply(&message->header) ||
	    (vfu_backlog_is_empty(&server->backlog) && !changes_device(&message->header)))
		vfu_server_serve(server, message);
	else
		ret = vfu_backlog_put(&server->backlog, message);
	if (!ret)
		vfu_reader_next(&server->in);
	return ret ? -ETIMEDOUT : server->lost ? -EPIPE : 0;
}

/* The next whole message, with everything of ours sent before. */
static int await_message(struct vfu_server *server, uint64_t deadline, struct vfu_message *message)
{
	for (;;) {
		int ret = vfu_writer_flush(&server->out, server->socket);

		if (ret == -EPIPE)
			return ret;
		if (!ret) {
			ret = vfu_reader_step(&server->in, server->socket);
			if (ret < 0)
				return -EPIPE;
		}
		if (ret > 0) {
			*message = vfu_reader_message(&server->in);
			return 0;
		}
		ret = os_wait(server->socket,
			      vfu_writer_is_pending(&server->out) ? POLLOUT : POLLIN, deadline);
		if (ret <= 0)
			return ret ? ret : -ETIMEDOUT;
	}
}

/* On success the reader holds the reply. */
static int await_reply(struct vfu_server *server, const struct vfio_user_header *request,
		       uint64_t deadline, struct vfu_message *message)
{
	for (;;) {
		int ret = await_message(server, deadline, message);

		if (ret)
			return ret;
		if (is_reply(&message->header) && message->header.id == request->id)
			return message->header.command == request->command ? 0 : -EPIPE;
		ret = serve_meanwhile(server, message);
		if (ret)
			return ret;
		if (os_now() >= deadline)
			return -ETIMEDOUT;
	}
}

static int flush_before(struct vfu_server *server, uint64_t deadline)
{
	int ret;

	while ((ret = vfu_writer_flush(&server->out, server->socket)) == -EAGAIN) {
		ret = os_wait(server->socket, POLLOUT, deadline);
		if (ret <= 0)
			return ret ? ret : -ETIMEDOUT;
	}
	return ret;
}

/* Checks the reply to `asked` and copies what was read. The client may answer short: returns how
 * much was done. */
static int64_t take_reply(const struct vfu_message *message, struct vfio_user_dma_access asked,
			  void *to)
{
	struct vfio_user_dma_access done;
	uint32_t error;

	if (vfio_user_reply_check(&message->header, &error))
		return -EPIPE;
	if (error)
		return -EFAULT;
	if (message->length < sizeof(done))
		return -EPIPE;
	memcpy(&done, message->body, sizeof(done));
	if (done.address != asked.address || done.count > asked.count ||
	    message->length - sizeof(done) != (to ? done.count : 0))
		return -EPIPE;
	if (to)
		memcpy(to, message->body + sizeof(done), done.count);
	return done.count ? (int64_t)done.count : -EFAULT;
}

/* One message each way, `to` or `from`; returns how much was done. */
static int64_t transfer_some(struct vfu_server *server, struct vfio_user_dma_access access,
			     void *to, const void *from, uint64_t deadline)
{
	struct vfio_user_header request = {
		.id = server->next_id++, .command = to ? VFIO_USER_DMA_READ : VFIO_USER_DMA_WRITE};
	struct vfu_message reply;
	uint32_t length = sizeof(access);
	int64_t done;
	int ret = flush_before(server, deadline);

	if (ret)
		return ret;
	memcpy(vfu_writer_body(&server->out), &access, sizeof(access));
	if (from) {
		memcpy(vfu_writer_body(&server->out) + sizeof(access), from, access.count);
		length += (uint32_t)access.count;
	}
	vfu_writer_finish(&server->out, request, length);
	ret = await_reply(server, &request, deadline, &reply);
	if (ret)
		return ret;
	done = take_reply(&reply, access, to);
	vfu_reader_next(&server->in);
	return done;
}

static int transfer_all(struct vfu_server *server, uint64_t address, void *to, const void *from,
			uint64_t length)
{
	uint64_t largest = min_u64(LARGEST, server->client_transfer);
	uint64_t deadline = os_now() + PATIENCE;

	while (length) {
		struct vfio_user_dma_access access = {.address = address,
						      .count = min_u64(length, largest)};
		int64_t done =
			access.count ? transfer_some(server, access, to, from, deadline) : -EFAULT;

		if (done < 0)
			return (int)done;
		address += (uint64_t)done;
		length -= (uint64_t)done;
		to = to ? (uint8_t *)to + done : NULL;
		from = from ? (const uint8_t *)from + done : NULL;
	}
	return 0;
}

static int transfer(struct vfu_server *server, uint64_t address, void *to, const void *from,
		    uint64_t length)
{
	int ret;

	if (server->in_callback || server->in_transfer)
		return -EDEADLK;
	if (!vfu_server_has_client(server) || !server->negotiated)
		return -EPIPE;
	if (range_wraps(address, length))
		return -EFAULT;
	server->in_transfer = true;
	ret = transfer_all(server, address, to, from, length);
	server->in_transfer = false;
	/* A client that waits for us itself is not to blame; its late reply will be dropped. */
	if (ret && ret != -EFAULT && (ret != -ETIMEDOUT || vfu_backlog_is_empty(&server->backlog)))
		server->lost = true;
	vfu_server_watch(server);
	return ret;
}

int vfu_server_dma_read(struct vfu_server *server, uint64_t address, void *to, uint64_t length)
{
	return transfer(server, address, to, NULL, length);
}

int vfu_server_dma_write(struct vfu_server *server, uint64_t address, const void *from,
			 uint64_t length)
{
	return transfer(server, address, NULL, from, length);
}
