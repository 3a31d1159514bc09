/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "base/base.h"
#include "server.h"

/* QEMU leaves when the reply is longer than its request (214 bytes) or names a higher minor version
 * than it proposed. */
int vfu_server_version(struct vfu_server *server, struct vfu_message *message, uint32_t *reply)
{
	struct vfio_user_capabilities theirs, ours;
	struct vfio_user_version version;
	int length;

	if (server->negotiated || message->fd_count ||
	    vfio_user_version_decode(message->body, message->length, &version, &theirs))
		return -EINVAL;
	version.minor = version.minor < VFIO_USER_MINOR ? version.minor : VFIO_USER_MINOR;
	vfio_user_capabilities_default(&ours);
	ours.max_msg_fds = VFU_SERVER_FDS;
	ours.max_dma_maps = VFU_SERVER_WINDOWS;
	length = vfio_user_version_encode(vfu_writer_body(&server->out), 128, version, &ours);
	if (length < 0)
		return length;
	server->client_fds = min_u64(theirs.max_msg_fds, VFU_MESSAGE_FDS);
	server->client_transfer = theirs.max_data_xfer_size;
	server->negotiated = true;
	*reply = (uint32_t)length;
	return 0;
}
