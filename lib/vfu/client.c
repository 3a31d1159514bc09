/* SPDX-License-Identifier: Apache-2.0 */
/* The link: one exchange at a time, each with a deadline, and its death. */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/base.h"
#include "client.h"
#include "os/clock.h"
#include "os/fd.h"

#define POLL_BATCH 16 /* commands of the card's in one vfu_client_poll() */

int vfu_client_create(struct vfu_client **client, int fd, const struct vfu_client_ops *ops,
		      void *context, unsigned deadline_ms)
{
	struct vfu_client *made = calloc(1, sizeof(*made));
	int ret;

	if (!made)
		return -ENOMEM;
	*made = (struct vfu_client){.fd = -1,
				    .ops = ops,
				    .context = context,
				    .deadline_ns = deadline_ms * NS_PER_MS,
				    .card_fds = 1,
				    .card_transfer = VFU_CLIENT_DATA};
	ret = -pthread_mutex_init(&made->lock, NULL);
	if (!ret)
		ret = vfu_reader_init(&made->in, VFU_CLIENT_MESSAGE, VFU_MESSAGE_FDS);
	if (!ret)
		ret = vfu_writer_init(&made->out, VFU_CLIENT_MESSAGE);
	if (ret) {
		vfu_client_destroy(made);
		return ret;
	}
	made->fd = fd;
	*client = made;
	return 0;
}

void vfu_client_destroy(struct vfu_client *client)
{
	if (!client)
		return;
	os_close(&client->fd);
	vfu_reader_free(&client->in);
	vfu_writer_free(&client->out);
	pthread_mutex_destroy(&client->lock);
	free(client);
}

int vfu_client_fd(const struct vfu_client *client)
{
	return client->fd;
}

bool vfu_client_is_dead(const struct vfu_client *client)
{
	return atomic_load(&client->dead);
}

int vfu_client_break(struct vfu_client *client, int ret)
{
	atomic_store(&client->dead, true);
	return ret;
}

void vfu_client_lock(struct vfu_client *client)
{
	pthread_mutex_lock(&client->lock);
}

int vfu_client_unlock(struct vfu_client *client, int ret)
{
	if (client->holds_reply || vfu_client_is_dead(client))
		vfu_reader_next(&client->in);
	client->holds_reply = false;
	pthread_mutex_unlock(&client->lock);
	return ret;
}

int vfu_client_flush(struct vfu_client *client, uint64_t deadline)
{
	int ret;

	while ((ret = vfu_writer_flush(&client->out, client->fd)) == -EAGAIN) {
		ret = os_wait(client->fd, POLLOUT, deadline);
		if (ret <= 0)
			return vfu_client_break(client, ret ? ret : -ETIMEDOUT);
	}
	return ret ? vfu_client_break(client, ret) : 0;
}

static int send_call(struct vfu_client *client, const struct vfu_call *call, uint32_t flags,
		     uint64_t deadline)
{
	struct vfio_user_header header = {.id = ++client->next_id,
					  .command = (uint16_t)call->command,
					  .flags = VFIO_USER_TYPE_COMMAND | flags};
	uint8_t *body = vfu_writer_body(&client->out);

	if (vfu_client_is_dead(client))
		return -EPIPE;
	if (call->head_length)
		memcpy(body, call->head, call->head_length);
	if (call->data_length)
		memcpy(body + call->head_length, call->data, call->data_length);
	for (size_t i = 0; i < call->fd_count; i++)
		client->out.fds[i] = call->fds[i];
	client->out.fd_count = call->fd_count;
	vfu_writer_finish(&client->out, header, call->head_length + call->data_length);
	return vfu_client_flush(client, deadline);
}

int vfu_client_receive(struct vfu_client *client, uint64_t deadline, struct vfu_message *message)
{
	int ret;

	while ((ret = vfu_reader_step(&client->in, client->fd)) == 0) {
		ret = os_wait(client->fd, POLLIN, deadline);
		if (ret <= 0)
			return vfu_client_break(client, ret ? ret : -ETIMEDOUT);
	}
	if (ret < 0)
		return vfu_client_break(client, ret == -EBADMSG ? -EPROTO : ret);
	*message = vfu_reader_message(&client->in);
	return message->refused_fds ? vfu_client_break(client, -EPROTO) : 0;
}

bool vfu_client_is_command(const struct vfu_message *message)
{
	return (message->header.flags & VFIO_USER_TYPE_MASK) == VFIO_USER_TYPE_COMMAND;
}

static int check_reply(struct vfu_client *client, const struct vfu_call *call,
		       const struct vfu_message *reply)
{
	uint32_t error;

	if (reply->header.id != client->next_id || reply->header.command != call->command ||
	    vfio_user_reply_check(&reply->header, &error) || (error && reply->fd_count))
		return vfu_client_break(client, -EPROTO);
	return -(int)error;
}

int vfu_client_call(struct vfu_client *client, const struct vfu_call *call,
		    struct vfu_message *reply)
{
	uint64_t deadline = os_now() + client->deadline_ns;
	int ret = send_call(client, call, 0, deadline);

	while (!ret) {
		ret = vfu_client_receive(client, deadline, reply);
		if (ret)
			return ret;
		client->holds_reply = !vfu_client_is_command(reply);
		if (client->holds_reply) {
			ret = vfu_client_take_behind(client, reply);
			if (ret <= 0)
				return ret ?: check_reply(client, call, reply);
			client->holds_reply = false;
			ret = 0;
		} else {
			ret = vfu_client_serve(client, reply, deadline);
		}
		vfu_reader_next(&client->in);
		/* A card that never stops asking does not answer either. */
		if (!ret && os_now() >= deadline)
			ret = vfu_client_break(client, -ETIMEDOUT);
	}
	return ret;
}

int vfu_client_send_posted(struct vfu_client *client, const struct vfu_call *call)
{
	return send_call(client, call, VFIO_USER_NO_REPLY, os_now() + client->deadline_ns);
}

int vfu_client_send(struct vfu_client *client, const struct vfu_call *call)
{
	return send_call(client, call, 0, os_now() + client->deadline_ns);
}

int vfu_client_ask(struct vfu_client *client, const struct vfu_call *call, void *body,
		   uint32_t length)
{
	struct vfu_message reply;
	int ret;

	vfu_client_lock(client);
	ret = vfu_client_call(client, call, &reply);
	if (!ret && (reply.length != length || reply.fd_count))
		ret = vfu_client_break(client, -EPROTO);
	if (!ret && length)
		memcpy(body, reply.body, length);
	return vfu_client_unlock(client, ret);
}

static int poll_some(struct vfu_client *client)
{
	uint64_t deadline = os_now() + client->deadline_ns;
	struct vfu_message message;
	int ret = 0;

	for (int i = 0; !ret && i < POLL_BATCH; i++) {
		ret = vfu_reader_step(&client->in, client->fd);
		if (ret < 0)
			return vfu_client_break(client, ret == -EBADMSG ? -EPROTO : ret);
		if (!ret)
			return 0;
		message = vfu_reader_message(&client->in);
		if (vfu_client_is_command(&message))
			ret = vfu_client_serve(client, &message, deadline);
		else if (vfu_client_take_behind(client, &message) <= 0)
			/* A reply, and nothing was asked. */
			return vfu_client_break(client, -EPROTO);
		else
			ret = 0;
		vfu_reader_next(&client->in);
	}
	return ret;
}

int vfu_client_poll(struct vfu_client *client)
{
	int ret;

	if (pthread_mutex_trylock(&client->lock))
		return 0;
	ret = vfu_client_is_dead(client) ? -EPIPE : poll_some(client);
	return vfu_client_unlock(client, ret);
}
