/* SPDX-License-Identifier: Apache-2.0 */
/* The card's own commands: DMA by message. A bad one is answered; it is no reason to end. */
#include <errno.h>
#include <string.h>

#include "client.h"

/* Each gets a body with its head in it, builds the reply's data behind `access`, and returns its
 * length or -errno. */
static int serve_read(struct vfu_client *client, const struct vfu_message *message,
		      struct vfio_user_dma_access access, uint8_t *data)
{
	int ret;

	if (message->length != sizeof(access))
		return -EINVAL;
	if (access.count > VFU_CLIENT_DATA)
		return -E2BIG;
	memset(data, 0, access.count);
	ret = access.count
		      ? client->ops->dma_read(client->context, access.address, data, access.count)
		      : 0;
	return ret < 0 ? ret : (int)access.count;
}

static int serve_write(struct vfu_client *client, const struct vfu_message *message,
		       struct vfio_user_dma_access access)
{
	const uint8_t *data = message->body + sizeof(access);
	int ret;

	if (access.count > message->length - sizeof(access))
		return -E2BIG;
	if (access.count < message->length - sizeof(access))
		return -EINVAL;
	ret = access.count
		      ? client->ops->dma_write(client->context, access.address, data, access.count)
		      : 0;
	return ret < 0 ? ret : 0;
}

/* Length of the reply's body, or -errno. */
static int execute(struct vfu_client *client, const struct vfu_message *message)
{
	uint8_t *body = vfu_writer_body(&client->out);
	struct vfio_user_dma_access access;
	uint16_t command = message->header.command;
	int ret;

	if (!client->ops || (command != VFIO_USER_DMA_READ && command != VFIO_USER_DMA_WRITE))
		return -ENOSYS;
	if (message->length < sizeof(access) || message->fd_count || message->refused_fds)
		return -EINVAL;
	memcpy(&access, message->body, sizeof(access));
	memcpy(body, &access, sizeof(access));
	ret = command == VFIO_USER_DMA_READ
		      ? serve_read(client, message, access, body + sizeof(access))
		      : serve_write(client, message, access);
	return ret < 0 ? ret : ret + (int)sizeof(access);
}

int vfu_client_serve(struct vfu_client *client, const struct vfu_message *message,
		     uint64_t deadline)
{
	struct vfio_user_header header = {.id = message->header.id,
					  .command = message->header.command,
					  .flags = VFIO_USER_TYPE_REPLY};
	int ret = execute(client, message);

	if (message->header.flags & VFIO_USER_NO_REPLY)
		return 0;
	if (ret < 0) {
		header.flags |= VFIO_USER_ERROR;
		header.error = ret >= -(int)VFIO_USER_MAX_ERROR ? (uint32_t)-ret : EIO;
		ret = 0;
	}
	vfu_writer_finish(&client->out, header, (uint32_t)ret);
	return vfu_client_flush(client, deadline);
}
