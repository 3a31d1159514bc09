/* SPDX-License-Identifier: Apache-2.0 */
/* Writes that nobody waits for, and what becomes of them when the card dies. */
#include <errno.h>
#include <string.h>

#include "base/base.h"
#include "client.h"
#include "os/clock.h"

static struct vfu_behind *oldest(struct vfu_client *client)
{
	return &client->behind[client->behind_first % VFU_CLIENT_BEHIND];
}

static void forget_oldest(struct vfu_client *client)
{
	client->behind_first++;
	client->behind_count--;
}

int vfu_client_take_behind(struct vfu_client *client, const struct vfu_message *reply)
{
	const struct vfu_behind *behind = oldest(client);
	uint32_t error;

	if (!client->behind_count || reply->header.id != behind->id)
		return 0;
	if (reply->header.command != VFIO_USER_REGION_WRITE ||
	    vfio_user_reply_check(&reply->header, &error) || reply->fd_count)
		return vfu_client_break(client, -EPROTO);
	/* A refusal is an answer: as on any bus, nobody hears of it. */
	if (!error && (reply->length != sizeof(behind->access) ||
		       memcmp(reply->body, &behind->access, sizeof(behind->access))))
		return vfu_client_break(client, -EPROTO);
	forget_oldest(client);
	return 1;
}

/* What has come, without waiting for more than is needed to have no more than `most`, and no half
 * of a message. */
static int await_answers(struct vfu_client *client, uint32_t most, uint64_t deadline)
{
	struct vfu_message message;
	int ret = 0;

	while (!ret && (client->behind_count > most || (!most && client->in.have))) {
		ret = vfu_client_receive(client, deadline, &message);
		if (ret)
			return ret;
		if (vfu_client_is_command(&message))
			ret = vfu_client_serve(client, &message, deadline);
		else if (vfu_client_take_behind(client, &message) <= 0)
			ret = vfu_client_break(client, -EPROTO);
		vfu_reader_next(&client->in);
		/* A card that never stops asking does not answer either. */
		if (!ret && os_now() >= deadline)
			ret = vfu_client_break(client, -ETIMEDOUT);
	}
	return ret;
}

static int send_behind(struct vfu_client *client, const struct vfu_behind *write)
{
	struct vfu_call call = {.command = VFIO_USER_REGION_WRITE,
				.head = &write->access,
				.head_length = sizeof(write->access),
				.data = write->data,
				.data_length = write->access.count};
	struct vfu_behind *last;
	int ret = vfu_client_is_dead(client) ? -EPIPE : 0;

	if (!ret)
		ret = await_answers(client, VFU_CLIENT_BEHIND - 1, os_now() + client->deadline_ns);
	if (!ret)
		ret = vfu_client_send(client, &call);
	if (ret)
		return ret;
	last = &client->behind[(client->behind_first + client->behind_count++) % VFU_CLIENT_BEHIND];
	*last = *write;
	last->id = client->next_id;
	return 0;
}

int vfu_client_write_behind(struct vfu_client *client, unsigned region, uint64_t offset,
			    const void *from, uint32_t length)
{
	struct vfu_behind write = {.access = {.offset = offset, .region = region, .count = length}};

	if (length > sizeof(write.data) || length > client->card_transfer)
		return -EINVAL;
	memcpy(write.data, from, length);
	vfu_client_lock(client);
	return vfu_client_unlock(client, send_behind(client, &write));
}

/* A socket gives what was sent before its other end was closed. It may not be yet. */
static void take_last_answers(struct vfu_client *client, uint64_t deadline)
{
	struct vfu_message message;

	while (os_now() < deadline && vfu_reader_step(&client->in, client->fd) > 0) {
		message = vfu_reader_message(&client->in);
		if (!vfu_client_is_command(&message) &&
		    vfu_client_take_behind(client, &message) < 0)
			break;
		vfu_reader_next(&client->in);
	}
}

int vfu_client_settle(struct vfu_client *client, struct vfu_client_link *link)
{
	int ret;

	vfu_client_lock(client);
	ret = vfu_client_is_dead(client) ? -EPIPE
					 : await_answers(client, 0, os_now() + client->deadline_ns);
	*link = (struct vfu_client_link){.next_id = client->next_id,
					 .card_fds = (uint32_t)client->card_fds,
					 .card_transfer = client->card_transfer};
	return vfu_client_unlock(client, ret);
}

int vfu_client_continue(struct vfu_client *client, const struct vfu_client_link *link)
{
	if (link->card_fds > VFU_MESSAGE_FDS || link->card_transfer < VFU_CLIENT_BEHIND_DATA ||
	    link->card_transfer > VFU_CLIENT_DATA)
		return -EPROTO;
	client->next_id = (uint16_t)link->next_id;
	client->card_fds = link->card_fds;
	client->card_transfer = link->card_transfer;
	return 0;
}

int vfu_client_hand_over(struct vfu_client *from, struct vfu_client *to)
{
	uint64_t deadline = os_now() + to->deadline_ns;
	int ret = 0;

	vfu_client_lock(from);
	take_last_answers(from, deadline);
	while (!ret && from->behind_count) {
		const struct vfu_behind *write = oldest(from);

		ret = vfu_client_write(to, write->access.region, write->access.offset, write->data,
				       write->access.count);
		if (ret && vfu_client_is_dead(to))
			break;
		forget_oldest(from);
		/* One that answers each in time, but all of them slowly. */
		ret = from->behind_count && os_now() >= deadline ? vfu_client_break(to, -ETIMEDOUT)
								 : 0;
	}
	return vfu_client_unlock(from, ret);
}
