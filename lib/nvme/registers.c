/* SPDX-License-Identifier: Apache-2.0 */
/* Controller properties in BAR 0 (Base 3.1.3, PCIe Transport 3.1.2). */
#include <string.h>

#include "base/base.h"
#include "nvme_private.h"

#define TIMEOUT_HALF_SECONDS 60u /* CAP.TO: the longest that enable or disable may take */

static uint64_t capabilities(void)
{
	return (NVME_QUEUE_DEPTH - 1) | NVME_CAP_CQR | NVME_CAP_TO(TIMEOUT_HALF_SECONDS) |
	       NVME_CAP_CSS_NVM | NVME_CAP_CSS_IOCSS | NVME_CAP_CRWMS;
}

static uint32_t read_register(const struct nvme *nvme, uint32_t offset)
{
	const struct nvme_state *state = nvme->state;

	switch (offset) {
	case NVME_REG_CAP:
		return (uint32_t)capabilities();
	case NVME_REG_CAP + 4:
		return (uint32_t)(capabilities() >> 32);
	case NVME_REG_VS:
		return NVME_VERSION;
	case NVME_REG_INTMS:
	case NVME_REG_INTMC:
		return state->intms;
	case NVME_REG_CC:
		return state->cc;
	case NVME_REG_CSTS:
		return state->csts;
	case NVME_REG_AQA:
		return state->aqa;
	case NVME_REG_ASQ:
		return (uint32_t)state->asq;
	case NVME_REG_ASQ + 4:
		return (uint32_t)(state->asq >> 32);
	case NVME_REG_ACQ:
		return (uint32_t)state->acq;
	case NVME_REG_ACQ + 4:
		return (uint32_t)(state->acq >> 32);
	case NVME_REG_CRTO:
		return TIMEOUT_HALF_SECONDS;
	default:
		return 0;
	}
}

void nvme_register_read(struct nvme *nvme, uint32_t offset, void *to, uint32_t length)
{
	uint8_t *bytes = to;

	for (uint32_t done = 0; done < length;) {
		uint32_t at = offset + done;
		uint32_t value = read_register(nvme, at & ~3u);
		uint32_t count = (uint32_t)min_u64(4 - at % 4, length - done);

		memcpy(bytes + done, (const uint8_t *)&value + at % 4, count);
		done += count;
	}
}

/*
 * Base 3.1.3.5. Only noted here: nvme_process() carries it out, since what is under way has to end
 * first.
 */
static void write_cc(struct nvme *nvme, uint32_t value)
{
	struct nvme_state *state = nvme->state;
	uint32_t old = state->cc;

	value &= NVME_CC_WRITABLE;
	if (old & NVME_CC_EN && !(value & NVME_CC_EN))
		nvme_publish(&state->resetting, 1);
	nvme_publish(&state->cc, value);
	if (value & NVME_CC_SHN && !(state->csts & NVME_CSTS_SHST) && !state->resetting)
		nvme_publish(&state->csts, state->csts | NVME_CSTS_SHST_OCCURRING);
}

static void set_half(uint64_t *where, uint32_t offset, uint32_t value)
{
	unsigned shift = offset % 8 ? 32 : 0;

	*where = ((*where & ~(UINT64_C(0xffffffff) << shift)) | (uint64_t)value << shift) &
		 ~(uint64_t)(NVME_PAGE - 1);
}

static void write_register(struct nvme *nvme, uint32_t offset, uint32_t value)
{
	struct nvme_state *state = nvme->state;

	switch (offset) {
	case NVME_REG_INTMS:
		state->intms |= value;
		break;
	case NVME_REG_INTMC:
		state->intms &= ~value;
		break;
	case NVME_REG_CC:
		write_cc(nvme, value);
		break;
	case NVME_REG_AQA:
		state->aqa = value & 0x0fff0fff;
		break;
	case NVME_REG_ASQ:
	case NVME_REG_ASQ + 4:
		set_half(&state->asq, offset, value);
		break;
	case NVME_REG_ACQ:
	case NVME_REG_ACQ + 4:
		set_half(&state->acq, offset - NVME_REG_ACQ, value);
		break;
	case NVME_REG_NSSR: /* CAP.NSSRS is 0: reserved */
		break;
	default:
		nvme_tell(nvme, NVME_EVENT_READ_ONLY_REGISTER, offset);
	}
}

void nvme_register_write(struct nvme *nvme, uint32_t offset, const void *from, uint32_t length)
{
	const uint8_t *bytes = from;
	uint32_t value;

	/* PCIe Transport 3.1.1: aligned double words; anything else may do anything, ours nothing.
	 */
	if (offset % 4 || length % 4)
		return;
	for (uint32_t done = 0; done < length; done += 4) {
		memcpy(&value, bytes + done, sizeof(value));
		if (offset + done >= NVME_REG_DOORBELLS)
			nvme_write_doorbell(nvme, offset + done, value);
		else
			write_register(nvme, offset + done, value);
	}
}
