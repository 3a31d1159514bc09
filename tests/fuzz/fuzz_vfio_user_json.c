/* SPDX-License-Identifier: Apache-2.0 */
/* VERSION's body. What was understood must come out the same after another round. */
#include <stdlib.h>
#include <string.h>

#include "wire/vfio_user.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vfio_user_capabilities first, second;
	struct vfio_user_version version;
	/* A copy of exactly this size, so that reading past it is seen. */
	uint8_t *exact = malloc(size ? size : 1);
	uint8_t body[256];
	int length;

	if (!exact)
		return 0;
	memcpy(exact, data, size);
	length = vfio_user_version_decode(exact, size, &version, &first);
	free(exact);
	if (length < 0)
		return 0;
	length = vfio_user_version_encode(body, sizeof(body), version, &first);
	if (length < 0 || vfio_user_version_decode(body, (size_t)length, &version, &second) < 0 ||
	    first.max_msg_fds != second.max_msg_fds || first.pgsizes != second.pgsizes ||
	    first.max_dma_maps != second.max_dma_maps ||
	    first.max_data_xfer_size != second.max_data_xfer_size)
		abort();
	return 0;
}
