/* SPDX-License-Identifier: Apache-2.0 */
/* What the card is: version, device, regions, doorbells. */
#include <errno.h>
#include <string.h>

#include "base/base.h"
#include "client.h"
#include "os/fd.h"

/* What a PCI function has: BARs, ROM and configuration space; INTx, MSI and MSI-X. The upper bounds
 * are QEMU's. */
#define MIN_REGIONS 8u
#define MAX_REGIONS 100u
#define MIN_IRQS    3u
#define MAX_IRQS    50u
#define MAX_VECTORS 2048u

static int take_version(struct vfu_client *client, const struct vfu_message *reply,
			struct error *error)
{
	struct vfio_user_capabilities card;
	struct vfio_user_version version;

	if (vfio_user_version_decode(reply->body, reply->length, &version, &card) ||
	    version.minor > 0 || reply->fd_count)
		return error_set(error, EPROTO, "the card's answer to VERSION is malformed");
	/* A configuration register must fit into a message. */
	if (card.max_data_xfer_size < 8)
		return error_set(error, EPROTO, "the card takes no data messages");
	client->card_fds = min_u64(card.max_msg_fds, VFU_MESSAGE_FDS);
	client->card_transfer = (uint32_t)min_u64(card.max_data_xfer_size, VFU_CLIENT_DATA);
	return 0;
}

/* Minor version 0: nothing newer is used. */
int vfu_client_negotiate(struct vfu_client *client, struct error *error)
{
	struct vfio_user_capabilities ours;
	struct vfu_call call = {.command = VFIO_USER_VERSION};
	struct vfu_message reply;
	uint8_t body[256];
	int ret;

	vfio_user_capabilities_default(&ours);
	ours.max_msg_fds = VFU_MESSAGE_FDS;
	ours.max_data_xfer_size = VFU_CLIENT_DATA;
	ret = vfio_user_version_encode(body, sizeof(body), (struct vfio_user_version){0}, &ours);
	if (ret < 0)
		return error_set(error, -ret, "VERSION: %s", strerror(-ret));
	call.head = body;
	call.head_length = (uint32_t)ret;
	vfu_client_lock(client);
	ret = vfu_client_call(client, &call, &reply);
	if (ret) {
		error_set(error, -ret, "the card does not answer VERSION: %s", strerror(-ret));
	} else {
		ret = take_version(client, &reply, error);
		if (ret)
			vfu_client_break(client, ret);
	}
	return vfu_client_unlock(client, ret);
}

int vfu_client_info(struct vfu_client *client, struct vfu_info *info)
{
	struct vfio_user_info wire = {.argsz = sizeof(wire)};
	struct vfu_call call = {
		.command = VFIO_USER_GET_INFO, .head = &wire, .head_length = sizeof(wire)};
	int ret = vfu_client_ask(client, &call, &wire, sizeof(wire));

	if (ret)
		return ret;
	if (!(wire.flags & VFIO_USER_DEVICE_PCI) || wire.regions < MIN_REGIONS ||
	    wire.regions > MAX_REGIONS || wire.irqs < MIN_IRQS || wire.irqs > MAX_IRQS)
		return vfu_client_break(client, -EPROTO);
	*info = (struct vfu_info){.can_reset = wire.flags & VFIO_USER_DEVICE_RESET,
				  .regions = wire.regions,
				  .irqs = wire.irqs};
	return 0;
}

static void use_areas(struct vfu_region_info *info, const struct vfio_user_area *areas, int count)
{
	for (int i = 0; i < count; i++) {
		info->areas[i].offset = areas[i].offset;
		info->areas[i].size = areas[i].size;
	}
	info->area_count = count > 0 ? (size_t)count : 0;
}

/* Without the capability all of a mappable region can be mapped, if pages allow. */
static bool maps_whole(const struct vfio_user_region_info *wire)
{
	return wire->size && !((wire->size | wire->offset) & 4095) &&
	       !range_wraps(wire->offset, wire->size);
}

static int take_region(const struct vfu_message *reply, unsigned index,
		       struct vfu_region_info *info)
{
	struct vfio_user_area areas[VFU_CLIENT_AREAS];
	struct vfio_user_region_info wire;
	bool mmap;
	int count;

	if (vfio_user_region_info_decode(reply->body, reply->length, &wire, areas, ARRAY_LEN(areas),
					 &count))
		return -EPROTO;
	mmap = wire.flags & VFIO_USER_REGION_CAN_MMAP;
	if (wire.index != index || reply->fd_count > (mmap ? 1 : 0))
		return -EPROTO;
	*info = (struct vfu_region_info){
		.size = wire.size,
		.readable = wire.flags & VFIO_USER_REGION_CAN_READ,
		.writable = wire.flags & VFIO_USER_REGION_CAN_WRITE,
		.fd = -1,
		.map_offset = wire.offset,
	};
	if (!reply->fd_count)
		return 0;
	info->fd = os_steal_fd(&reply->fds[0]);
	if (count < 0 && maps_whole(&wire)) {
		areas[0] = (struct vfio_user_area){.size = wire.size};
		count = 1;
	}
	use_areas(info, areas, count);
	info->mappable = info->area_count;
	return 0;
}

/* One step instead of two: there is room for as many areas as we would take. */
int vfu_client_region(struct vfu_client *client, unsigned index, struct vfu_region_info *info)
{
	struct vfio_user_region_info wire = {
		.argsz = (uint32_t)vfio_user_region_info_size(VFU_CLIENT_AREAS), .index = index};
	struct vfu_call call = {
		.command = VFIO_USER_GET_REGION_INFO, .head = &wire, .head_length = sizeof(wire)};
	struct vfu_message reply;
	int ret;

	vfu_client_lock(client);
	ret = vfu_client_call(client, &call, &reply);
	if (!ret) {
		ret = take_region(&reply, index, info);
		if (ret)
			vfu_client_break(client, ret);
	}
	return vfu_client_unlock(client, ret);
}

int vfu_client_irq(struct vfu_client *client, unsigned index, uint32_t *count)
{
	struct vfio_user_irq_info wire = {.argsz = sizeof(wire), .index = index};
	struct vfu_call call = {
		.command = VFIO_USER_GET_IRQ_INFO, .head = &wire, .head_length = sizeof(wire)};
	int ret = vfu_client_ask(client, &call, &wire, sizeof(wire));

	if (ret)
		return ret;
	if (wire.index != index || wire.count > MAX_VECTORS)
		return vfu_client_break(client, -EPROTO);
	*count = wire.count;
	return 0;
}

static bool is_usable(const struct vfio_user_io_fd *entry)
{
	return entry->type == VFIO_USER_IO_EVENTFD && !(entry->flags & ~VFIO_USER_IO_DATAMATCH) &&
	       entry->size <= 8 && (!entry->size || is_power_of_two(entry->size));
}

/* Entries may share a descriptor; the first that is used gets to own it. */
static int take_io_fds(struct vfu_message *reply, struct vfu_client_io_fd *io_fds)
{
	struct vfio_user_io_fd entries[VFU_CLIENT_IO_FDS];
	int owned[VFU_MESSAGE_FDS];
	int found = vfio_user_io_fds_decode(reply->body, reply->length, reply->fd_count, entries,
					    ARRAY_LEN(entries));
	int count = 0;

	for (size_t i = 0; i < reply->fd_count; i++)
		owned[i] = -1;
	for (int i = 0; i < found; i++) {
		const struct vfio_user_io_fd *entry = &entries[i];
		bool first = owned[entry->fd_index] < 0;

		if (!is_usable(entry))
			continue;
		if (first)
			owned[entry->fd_index] = os_steal_fd(&reply->fds[entry->fd_index]);
		io_fds[count++] = (struct vfu_client_io_fd){
			.offset = entry->offset,
			.size = (uint32_t)entry->size,
			.fd = owned[entry->fd_index],
			.owned = first,
			.match = entry->flags & VFIO_USER_IO_DATAMATCH,
			.match_value = entry->match_value,
		};
	}
	return found < 0 ? -EPROTO : count;
}

int vfu_client_io_fds(struct vfu_client *client, unsigned region,
		      struct vfu_client_io_fd io_fds[VFU_CLIENT_IO_FDS])
{
	struct vfio_user_io_fds wire = {.argsz = sizeof(wire) +
						 VFU_CLIENT_IO_FDS * sizeof(struct vfio_user_io_fd),
					.index = region};
	struct vfu_call call = {
		.command = VFIO_USER_GET_REGION_IO_FDS, .head = &wire, .head_length = sizeof(wire)};
	struct vfu_message reply;
	int ret;

	vfu_client_lock(client);
	ret = vfu_client_call(client, &call, &reply);
	if (!ret) {
		ret = take_io_fds(&reply, io_fds);
		if (ret < 0)
			vfu_client_break(client, ret);
	} else if (!vfu_client_is_dead(client)) {
		ret = 0; /* refused: it offers none */
	}
	return vfu_client_unlock(client, ret);
}
