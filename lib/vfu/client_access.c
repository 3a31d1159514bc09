/* SPDX-License-Identifier: Apache-2.0 */
/* Windows, region access, interrupts and reset. */
#include <errno.h>
#include <string.h>

#include "base/base.h"
#include "client.h"
#include "os/clock.h"

int vfu_client_dma_map(struct vfu_client *client, uint64_t address, uint64_t size, int fd,
		       uint64_t offset, bool writable)
{
	struct vfio_user_dma_map map = {.argsz = sizeof(map),
					.flags = VFIO_USER_MAP_READ,
					.offset = offset,
					.address = address,
					.size = size};
	struct vfu_call call = {.command = VFIO_USER_DMA_MAP,
				.head = &map,
				.head_length = sizeof(map),
				.fds = &fd,
				.fd_count = fd >= 0 ? 1 : 0};

	if (call.fd_count > client->card_fds)
		return -ENOTSUP;
	if (writable)
		map.flags |= VFIO_USER_MAP_WRITE;
	return vfu_client_ask(client, &call, NULL, 0);
}

int vfu_client_dma_unmap(struct vfu_client *client, uint64_t address, uint64_t size)
{
	struct vfio_user_dma_unmap unmap = {
		.argsz = sizeof(unmap), .address = address, .size = size};
	struct vfu_call call = {
		.command = VFIO_USER_DMA_UNMAP, .head = &unmap, .head_length = sizeof(unmap)};
	int ret = vfu_client_ask(client, &call, &unmap, sizeof(unmap));

	if (!ret && (unmap.address != address || unmap.size != size))
		ret = vfu_client_break(client, -EPROTO);
	return ret;
}

/* A card that takes little at a time, and long for it, has one deadline for all of it. */
static int go_on(struct vfu_client *client, uint64_t begun)
{
	return os_now() - begun < client->deadline_ns ? 0 : vfu_client_break(client, -ETIMEDOUT);
}

/* The reply to a region access repeats what was asked for. */
static bool is_same_access(const struct vfu_message *reply,
			   const struct vfio_user_region_access *access)
{
	return reply->length >= sizeof(*access) && !reply->fd_count &&
	       !memcmp(reply->body, access, sizeof(*access));
}

static int read_some(struct vfu_client *client, struct vfio_user_region_access access, void *to)
{
	struct vfu_call call = {
		.command = VFIO_USER_REGION_READ, .head = &access, .head_length = sizeof(access)};
	struct vfu_message reply;
	int ret;

	vfu_client_lock(client);
	ret = vfu_client_call(client, &call, &reply);
	if (!ret &&
	    (!is_same_access(&reply, &access) || reply.length - sizeof(access) != access.count))
		ret = vfu_client_break(client, -EPROTO);
	if (!ret)
		memcpy(to, reply.body + sizeof(access), access.count);
	return vfu_client_unlock(client, ret);
}

int vfu_client_read(struct vfu_client *client, unsigned region, uint64_t offset, void *to,
		    uint32_t length)
{
	uint64_t begun = os_now();
	int ret = 0;

	for (uint32_t done = 0; !ret && done < length;) {
		struct vfio_user_region_access access = {
			.offset = offset + done,
			.region = region,
			.count = (uint32_t)min_u64(length - done, client->card_transfer)};

		ret = read_some(client, access, (uint8_t *)to + done);
		done += access.count;
		if (!ret && done < length)
			ret = go_on(client, begun);
	}
	return ret;
}

static int write_some(struct vfu_client *client, struct vfio_user_region_access access,
		      const void *from, bool posted)
{
	struct vfu_call call = {.command = VFIO_USER_REGION_WRITE,
				.head = &access,
				.head_length = sizeof(access),
				.data = from,
				.data_length = access.count};
	struct vfu_message reply;
	int ret;

	vfu_client_lock(client);
	if (posted)
		return vfu_client_unlock(client, vfu_client_send_posted(client, &call));
	ret = vfu_client_call(client, &call, &reply);
	if (!ret && (!is_same_access(&reply, &access) || reply.length != sizeof(access)))
		ret = vfu_client_break(client, -EPROTO);
	return vfu_client_unlock(client, ret);
}

static int write_all(struct vfu_client *client, unsigned region, uint64_t offset, const void *from,
		     uint32_t length, bool posted)
{
	uint64_t begun = os_now();
	int ret = 0;

	for (uint32_t done = 0; !ret && done < length;) {
		struct vfio_user_region_access access = {
			.offset = offset + done,
			.region = region,
			.count = (uint32_t)min_u64(length - done, client->card_transfer)};

		ret = write_some(client, access, (const uint8_t *)from + done, posted);
		done += access.count;
		if (!ret && done < length)
			ret = go_on(client, begun);
	}
	return ret;
}

int vfu_client_write(struct vfu_client *client, unsigned region, uint64_t offset, const void *from,
		     uint32_t length)
{
	return write_all(client, region, offset, from, length, false);
}

int vfu_client_post(struct vfu_client *client, unsigned region, uint64_t offset, const void *from,
		    uint32_t length)
{
	return write_all(client, region, offset, from, length, true);
}

static int set_irqs(struct vfu_client *client, struct vfio_user_set_irqs set, const int *fds)
{
	struct vfu_call call = {.command = VFIO_USER_SET_IRQS,
				.head = &set,
				.head_length = sizeof(set),
				.fds = fds,
				.fd_count = fds ? set.count : 0};

	set.argsz = sizeof(set);
	return vfu_client_ask(client, &call, NULL, 0);
}

int vfu_client_bind_irqs(struct vfu_client *client, unsigned index, uint32_t start, const int *fds,
			 uint32_t count)
{
	uint64_t begun = os_now();
	int ret = 0;

	if (!client->card_fds)
		return -ENOTSUP;
	for (uint32_t done = 0; !ret && done < count;) {
		struct vfio_user_set_irqs set = {
			.flags = VFIO_USER_SET_FD | VFIO_USER_SET_TRIGGER,
			.index = index,
			.start = start + done,
			.count = (uint32_t)min_u64(count - done, client->card_fds)};

		ret = set_irqs(client, set, fds + done);
		done += set.count;
		if (!ret && done < count)
			ret = go_on(client, begun);
	}
	return ret;
}

int vfu_client_disable_irqs(struct vfu_client *client, unsigned index)
{
	struct vfio_user_set_irqs set = {.flags = VFIO_USER_SET_NONE | VFIO_USER_SET_TRIGGER,
					 .index = index};

	return set_irqs(client, set, NULL);
}

int vfu_client_reset(struct vfu_client *client)
{
	struct vfu_call call = {.command = VFIO_USER_RESET};

	return vfu_client_ask(client, &call, NULL, 0);
}
