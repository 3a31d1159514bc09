/* SPDX-License-Identifier: Apache-2.0 */
/* What the device is, and access to its regions. */
#include <errno.h>
#include <string.h>

#include "base/base.h"
#include "server.h"

int vfu_server_get_info(struct vfu_server *server, struct vfu_message *message, uint32_t *reply)
{
	struct vfio_user_info info;

	memcpy(&info, message->body, sizeof(info));
	if (info.argsz < sizeof(info))
		return -EINVAL;
	info = (struct vfio_user_info){.argsz = sizeof(info),
				       .flags = VFIO_USER_DEVICE_RESET | VFIO_USER_DEVICE_PCI,
				       .regions = VFU_REGIONS,
				       .irqs = VFU_IRQS};
	memcpy(vfu_writer_body(&server->out), &info, sizeof(info));
	*reply = sizeof(info);
	return 0;
}

static bool is_mappable(const struct vfu_server *server, const struct vfu_region *region)
{
	return region->size && region->map_fd >= 0 && region->area_count && server->client_fds;
}

static uint32_t region_flags(const struct vfu_region *region)
{
	uint32_t flags = 0;

	if (region->size && region->readable)
		flags |= VFIO_USER_REGION_CAN_READ;
	if (region->size && region->writable)
		flags |= VFIO_USER_REGION_CAN_WRITE;
	return flags;
}

/* The areas go behind the info and the region's file goes along. */
static void add_areas(struct vfu_server *server, const struct vfu_region *region,
		      struct vfio_user_region_info *info)
{
	struct vfio_user_area areas[VFU_MAX_AREAS];

	for (size_t i = 0; i < region->area_count; i++)
		areas[i] = (struct vfio_user_area){.offset = region->areas[i].offset,
						   .size = region->areas[i].size};
	info->flags |= VFIO_USER_REGION_CAPS;
	info->cap_offset = sizeof(*info);
	vfio_user_sparse_mmap_encode(vfu_writer_body(&server->out) + sizeof(*info), areas,
				     region->area_count);
	server->out.fds[0] = region->map_fd;
	server->out.fd_count = 1;
}

/* Two steps: a client whose argsz is too small for the areas learns the right one and asks again.
 */
int vfu_server_get_region_info(struct vfu_server *server, struct vfu_message *message,
			       uint32_t *reply)
{
	const struct vfu_region *region;
	struct vfio_user_region_info info;
	uint32_t room;

	memcpy(&info, message->body, sizeof(info));
	if (info.argsz < sizeof(info) || info.index >= VFU_REGIONS)
		return -EINVAL;
	room = info.argsz;
	region = &server->device->regions[info.index];
	info = (struct vfio_user_region_info){.argsz = sizeof(info),
					      .flags = region_flags(region),
					      .index = info.index,
					      .size = region->size};
	*reply = sizeof(info);
	if (is_mappable(server, region)) {
		info.argsz = (uint32_t)vfio_user_region_info_size(region->area_count);
		info.flags |= VFIO_USER_REGION_CAN_MMAP;
		info.offset = region->map_offset;
		if (room >= info.argsz) {
			add_areas(server, region, &info);
			*reply = info.argsz;
		}
	}
	memcpy(vfu_writer_body(&server->out), &info, sizeof(info));
	return 0;
}

/* The descriptor's place in the message, added if it is new; -1: the client cannot take more. */
static int fd_index(struct vfu_server *server, int fd)
{
	struct vfu_writer *out = &server->out;

	for (size_t i = 0; i < out->fd_count; i++)
		if (out->fds[i] == fd)
			return (int)i;
	if (out->fd_count >= server->client_fds)
		return -1;
	out->fds[out->fd_count] = fd;
	return (int)out->fd_count++;
}

static struct vfio_user_io_fd io_fd_entry(const struct vfu_io_fd *io_fd, int index)
{
	return (struct vfio_user_io_fd){
		.offset = io_fd->offset,
		.size = io_fd->size,
		.fd_index = (uint32_t)index,
		.type = VFIO_USER_IO_EVENTFD,
		.flags = io_fd->match ? VFIO_USER_IO_DATAMATCH : 0,
		.match_value = io_fd->match_value,
	};
}

/* As many entries as the client can take descriptors for: what is left out is rung by a region
 * write, as ever. */
static uint32_t put_io_fds(struct vfu_server *server, uint32_t region)
{
	const struct vfu_device *device = server->device;
	uint8_t *at = vfu_writer_body(&server->out) + sizeof(struct vfio_user_io_fds);
	uint32_t count = 0;

	for (size_t i = 0; i < device->io_fd_count && count < VFU_MESSAGE_FDS; i++) {
		struct vfio_user_io_fd entry;
		int index;

		if (device->io_fds[i].region != region)
			continue;
		index = fd_index(server, device->io_fds[i].fd);
		if (index < 0)
			break;
		entry = io_fd_entry(&device->io_fds[i], index);
		memcpy(at + count++ * sizeof(entry), &entry, sizeof(entry));
	}
	return count;
}

int vfu_server_get_io_fds(struct vfu_server *server, struct vfu_message *message, uint32_t *reply)
{
	struct vfio_user_io_fds head;
	uint32_t count, size;

	memcpy(&head, message->body, sizeof(head));
	if (head.argsz < sizeof(head) || head.flags || head.count || head.index >= VFU_REGIONS ||
	    !region_flags(&server->device->regions[head.index]))
		return -EINVAL;
	count = put_io_fds(server, head.index);
	size = (uint32_t)(sizeof(head) + count * sizeof(struct vfio_user_io_fd));
	if (head.argsz < size) {
		server->out.fd_count = 0;
		count = 0;
	}
	head = (struct vfio_user_io_fds){.argsz = size, .index = head.index, .count = count};
	memcpy(vfu_writer_body(&server->out), &head, sizeof(head));
	*reply = (uint32_t)(sizeof(head) + count * sizeof(struct vfio_user_io_fd));
	return 0;
}

static int check_access(const struct vfu_server *server,
			const struct vfio_user_region_access *access, bool write)
{
	const struct vfu_region *region;

	if (access->region >= VFU_REGIONS || access->count > VFIO_USER_MAX_DATA)
		return -EINVAL;
	region = &server->device->regions[access->region];
	if (!(write ? region->writable : region->readable) ||
	    !range_within(access->offset, access->count, region->size))
		return -EINVAL;
	return 0;
}

int vfu_server_region_read(struct vfu_server *server, struct vfu_message *message, uint32_t *reply)
{
	uint8_t *body = vfu_writer_body(&server->out);
	struct vfio_user_region_access access;
	int ret;

	memcpy(&access, message->body, sizeof(access));
	ret = check_access(server, &access, false);
	if (ret)
		return ret;
	memcpy(body, &access, sizeof(access));
	/* Bytes that the device leaves alone must not be what was sent to somebody else. */
	memset(body + sizeof(access), 0, access.count);
	*reply = (uint32_t)sizeof(access) + access.count;
	if (!access.count)
		return 0;
	server->in_callback = true;
	ret = server->ops->read(server->context, access.region, access.offset,
				body + sizeof(access), access.count);
	server->in_callback = false;
	return ret < 0 ? ret : 0;
}

int vfu_server_region_write(struct vfu_server *server, struct vfu_message *message, uint32_t *reply)
{
	struct vfio_user_region_access access;
	int ret;

	memcpy(&access, message->body, sizeof(access));
	ret = check_access(server, &access, true);
	if (!ret && access.count != message->length - sizeof(access))
		ret = -EINVAL;
	if (ret)
		return ret;
	memcpy(vfu_writer_body(&server->out), &access, sizeof(access));
	*reply = sizeof(access);
	if (!access.count)
		return 0;
	server->in_callback = true;
	ret = server->ops->write(server->context, access.region, access.offset,
				 message->body + sizeof(access), access.count);
	server->in_callback = false;
	return ret < 0 ? ret : 0;
}

int vfu_server_reset(struct vfu_server *server, struct vfu_message *message, uint32_t *reply)
{
	(void)message;
	(void)reply;
	server->in_callback = true;
	server->ops->reset(server->context, VFU_RESET_DEVICE);
	server->in_callback = false;
	return 0;
}

/* No feature is offered, and migration is one: Linux answers the same to an unknown one. */
int vfu_server_device_feature(struct vfu_server *server, struct vfu_message *message,
			      uint32_t *reply)
{
	(void)server;
	(void)message;
	(void)reply;
	return -ENOTTY;
}
