/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compare and Verify (NVM Command Set 3.2.1, 3.2.5): reads whose data goes no further than a bounce
 * buffer of ours.
 */
#include "nvme_private.h"

uint16_t nvme_prepare_compare(struct nvme *nvme, struct nvme_slot *slot, struct nvme_work *work)
{
	struct nvme_segments *segments = &nvme->segments;
	uint16_t status;

	status = nvme_set_range(nvme, slot, work);
	if (status == NVME_OK)
		status = nvme_walk_data(nvme, &slot->command, work->io.length, false, segments);
	return status == NVME_OK ? nvme_take_bounce(nvme, work, segments) : status;
}

uint16_t nvme_compare(struct nvme *nvme, struct nvme_work *work)
{
	return nvme_compare_bounce(nvme, work->bounce);
}

uint16_t nvme_prepare_verify(struct nvme *nvme, struct nvme_slot *slot, struct nvme_work *work)
{
	uint16_t status = nvme_set_range(nvme, slot, work);

	return status == NVME_OK ? nvme_take_bounce(nvme, work, NULL) : status;
}
