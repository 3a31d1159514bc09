/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server's life and its loop. A message is read, checked, handled and answered before the next
 * one is read; while an answer waits for room in the socket nothing is read at all, so that a
 * client that does not read its answers holds up nobody but itself, at a cost of one message.
 */
#include <errno.h>
#include <sys/epoll.h>

#include "base/base.h"
#include "os/fd.h"
#include "server.h"

#define BATCH 64 /* messages in a row, before other sources of the loop have their turn */

static void lose_client(struct vfu_server *server)
{
	os_loop_remove(server->loop, server->socket);
	os_close(&server->socket);
	server->lost = false;
	server->negotiated = false;
	vfu_reader_next(&server->in);
	vfu_writer_drop(&server->out);
	vfu_backlog_clear(&server->backlog);
	vfu_server_unmap_all(server);
	vfu_server_unbind_all(server);
	server->in_callback = true;
	server->ops->reset(server->context, VFU_RESET_LOST);
	server->in_callback = false;
	vfu_server_resume_listening(server);
}

static const struct command {
	vfu_server_handler handler;
	uint32_t least, most; /* length of the body */
} commands[] = {
	[VFIO_USER_VERSION] = {vfu_server_version, 4, UINT32_MAX},
	[VFIO_USER_DMA_MAP] = {vfu_server_dma_map, 32, 32},
	[VFIO_USER_DMA_UNMAP] = {vfu_server_dma_unmap, 24, 24},
	[VFIO_USER_GET_INFO] = {vfu_server_get_info, 16, UINT32_MAX},
	[VFIO_USER_GET_REGION_INFO] = {vfu_server_get_region_info, 32, UINT32_MAX},
	[VFIO_USER_GET_REGION_IO_FDS] = {vfu_server_get_io_fds, 16, UINT32_MAX},
	[VFIO_USER_GET_IRQ_INFO] = {vfu_server_get_irq_info, 16, UINT32_MAX},
	[VFIO_USER_SET_IRQS] = {vfu_server_set_irqs, 20, UINT32_MAX},
	[VFIO_USER_REGION_READ] = {vfu_server_region_read, 16, 16},
	[VFIO_USER_REGION_WRITE] = {vfu_server_region_write, 16, UINT32_MAX},
	[VFIO_USER_RESET] = {vfu_server_reset, 0, 0},
	[VFIO_USER_DEVICE_FEATURE] = {vfu_server_device_feature, 8, UINT32_MAX},
};

static int execute(struct vfu_server *server, struct vfu_message *message, uint32_t *reply)
{
	const struct vfio_user_header *header = &message->header;
	const struct command *command;

	if ((header->flags & VFIO_USER_TYPE_MASK) != VFIO_USER_TYPE_COMMAND || message->refused_fds)
		return -EINVAL;
	if (!server->negotiated && header->command != VFIO_USER_VERSION)
		return -EINVAL;
	if (header->command >= ARRAY_LEN(commands) || !commands[header->command].handler)
		return -EINVAL;
	command = &commands[header->command];
	if (message->length < command->least || message->length > command->most)
		return -EINVAL;
	return command->handler(server, message, reply);
}

static void answer(struct vfu_server *server, const struct vfio_user_header *request, int result,
		   uint32_t length)
{
	struct vfio_user_header header = {
		.id = request->id, .command = request->command, .flags = VFIO_USER_TYPE_REPLY};

	if (result < 0) {
		header.flags |= VFIO_USER_ERROR;
		header.error = result >= -(int)VFIO_USER_MAX_ERROR ? (uint32_t)-result : EIO;
		length = 0;
		server->out.fd_count = 0;
	}
	vfu_writer_finish(&server->out, header, length);
	if (vfu_writer_flush(&server->out, server->socket) == -EPIPE)
		server->lost = true;
}

void vfu_server_serve(struct vfu_server *server, struct vfu_message *message)
{
	uint32_t reply = 0;
	int result;

	server->counters.messages++;
	if ((message->header.flags & VFIO_USER_TYPE_MASK) == VFIO_USER_TYPE_REPLY) {
		server->counters.protocol_errors++;
		server->lost |= !server->negotiated;
		return;
	}
	result = execute(server, message, &reply);
	if (result < 0)
		server->counters.protocol_errors++;
	if (message->header.flags & VFIO_USER_NO_REPLY)
		vfu_writer_drop(&server->out);
	else
		answer(server, &message->header, result, reply);
	if (!server->negotiated)
		server->lost = true;
}

/* The header came with a size that cannot be right: the last thing that this client is told. */
static void refuse_framing(struct vfu_server *server)
{
	struct vfio_user_header header = vfu_reader_message(&server->in).header;

	server->counters.protocol_errors++;
	if (!(header.flags & (VFIO_USER_NO_REPLY | VFIO_USER_TYPE_MASK)))
		answer(server, &header, -EINVAL, 0);
	server->lost = true;
}

/* Serves the next message: false when there is none yet, or no more. */
static bool serve_next(struct vfu_server *server)
{
	struct vfu_message message;
	int ret;

	if (!vfu_backlog_is_empty(&server->backlog)) {
		message = vfu_backlog_message(&server->backlog);
		vfu_server_serve(server, &message);
		vfu_backlog_next(&server->backlog);
		return true;
	}
	ret = vfu_reader_step(&server->in, server->socket);
	if (ret == -EBADMSG)
		refuse_framing(server);
	else if (ret < 0)
		server->lost = true;
	if (ret <= 0)
		return false;
	message = vfu_reader_message(&server->in);
	vfu_server_serve(server, &message);
	vfu_reader_next(&server->in);
	return true;
}

static void run(struct vfu_server *server)
{
	int served;

	for (served = 0; served < BATCH && !server->lost; served++) {
		int ret = vfu_writer_flush(&server->out, server->socket);

		if (ret == -EPIPE)
			server->lost = true;
		if (ret || !serve_next(server))
			break;
	}
	/* The reader may hold a message that found no room behind those that were just served:
	 * epoll does not know of it. */
	if (served == BATCH)
		os_eventfd_signal(server->kick);
	if (server->lost)
		lose_client(server);
	else
		vfu_server_watch(server);
}

void vfu_server_watch(struct vfu_server *server)
{
	bool pending = vfu_writer_is_pending(&server->out);

	os_loop_change(server->loop, server->socket, pending ? EPOLLOUT : EPOLLIN);
	if (server->lost || (!pending && !vfu_backlog_is_empty(&server->backlog)))
		os_eventfd_signal(server->kick);
}

static void on_socket(void *context, int fd, uint32_t events)
{
	(void)fd;
	(void)events;
	run(context);
}

static void on_kick(void *context, int fd, uint32_t events)
{
	struct vfu_server *server = context;

	(void)events;
	os_eventfd_drain(fd);
	if (server->socket >= 0)
		run(server);
}

int vfu_server_adopt(struct vfu_server *server, int fd)
{
	int ret = server->socket >= 0 ? -EBUSY : 0;

	if (!ret)
		ret = os_loop_add(server->loop, fd, EPOLLIN, on_socket, server);
	if (ret) {
		os_close(&fd);
		return ret;
	}
	server->socket = fd;
	server->counters.clients++;
	return 0;
}

static int init(struct vfu_server *server)
{
	/* Whatever a client sends fits in: the longest write that the protocol has. */
	int ret = vfu_reader_init(&server->in, VFIO_USER_MAX_MESSAGE, VFU_SERVER_FDS);

	server->in.refuse_sockets = true;
	if (!ret)
		ret = vfu_writer_init(&server->out, VFIO_USER_MAX_MESSAGE);
	if (!ret)
		ret = vfu_backlog_init(&server->backlog, VFIO_USER_MAX_MESSAGE + 64 * KIB);
	if (!ret)
		ret = mem_create(&server->memory, VFU_SERVER_WINDOWS);
	if (!ret)
		ret = vfu_server_irqs_init(server);
	if (ret)
		return ret;
	server->kick = os_eventfd();
	if (server->kick < 0)
		return server->kick;
	return os_loop_add(server->loop, server->kick, EPOLLIN, on_kick, server);
}

int vfu_server_create(struct vfu_server **server, const struct vfu_device *device,
		      const struct vfu_device_ops *ops, void *context, struct os_loop *loop)
{
	struct vfu_server *made = calloc(1, sizeof(*made));
	int ret;

	if (!made)
		return -ENOMEM;
	*made = (struct vfu_server){.device = device,
				    .ops = ops,
				    .context = context,
				    .loop = loop,
				    .listening = -1,
				    .socket = -1,
				    .kick = -1};
	ret = init(made);
	if (ret) {
		vfu_server_destroy(made);
		return ret;
	}
	*server = made;
	return 0;
}

static void close_source(struct vfu_server *server, int *fd)
{
	if (*fd >= 0)
		os_loop_remove(server->loop, *fd);
	os_close(fd);
}

void vfu_server_destroy(struct vfu_server *server)
{
	if (!server)
		return;
	close_source(server, &server->socket);
	close_source(server, &server->listening);
	close_source(server, &server->kick);
	if (server->memory)
		vfu_server_unmap_all(server);
	mem_destroy(server->memory);
	if (server->irq_fds)
		vfu_server_unbind_all(server);
	free(server->irq_fds);
	vfu_backlog_free(&server->backlog);
	vfu_writer_free(&server->out);
	vfu_reader_free(&server->in);
	free(server);
}

bool vfu_server_has_client(const struct vfu_server *server)
{
	return server->socket >= 0 && !server->lost;
}

struct vfu_server_counters vfu_server_counters(const struct vfu_server *server)
{
	return server->counters;
}

const struct mem_map *vfu_server_memory(const struct vfu_server *server)
{
	return server->memory;
}
