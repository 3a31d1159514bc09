/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asynchronous events (Base 5.2) and Abort (Base 5.1). An event waits for a request, and after it
 * was told, further ones of its type are masked until its log page has been read. An event may be
 * told twice when a process dies in between.
 */
#include <string.h>

#include "base/base.h"
#include "nvme_private.h"

static const uint8_t log_of_type[NVME_ASYNC_TYPES] = {
	[NVME_ASYNC_ERROR] = NVME_LOG_ERRORS,
	[NVME_ASYNC_SMART] = NVME_LOG_SMART,
	[NVME_ASYNC_NOTICE] = NVME_LOG_CHANGED_NAMESPACES,
};

void nvme_raise_event(struct nvme *nvme, unsigned type, unsigned information)
{
	struct nvme_state *state = nvme->state;

	if (state->event_masked[type] || state->event_waiting[type])
		return;
	state->event_waiting[type] =
		NVME_ASYNC_RESULT(type, information, (uint32_t)log_of_type[type]) + 1;
}

void nvme_clear_event(struct nvme *nvme, unsigned type)
{
	nvme->state->event_waiting[type] = 0;
	nvme->state->event_masked[type] = 0;
}

/* The request no longer counts; its slot. */
static uint32_t take_request(struct nvme *nvme, unsigned which)
{
	uint32_t index = nvme->event_slots[which];

	nvme->event_requests--;
	memmove(&nvme->event_slots[which], &nvme->event_slots[which + 1],
		(nvme->event_requests - which) * sizeof(nvme->event_slots[0]));
	return index;
}

void nvme_deliver_events(struct nvme *nvme)
{
	struct nvme_state *state = nvme->state;

	for (unsigned type = 0; type < NVME_ASYNC_TYPES; type++) {
		uint32_t index;

		if (!state->event_waiting[type] || state->event_masked[type])
			continue;
		if (!nvme->event_requests || !nvme_running(nvme) || !nvme_cq_has_room(nvme, 0))
			return;
		index = take_request(nvme, 0);
		state->slots[index].result = state->event_waiting[type] - 1;
		nvme_finish(nvme, index, NVME_OK);
		nvme_publish(&state->event_masked[type], 1);
		nvme_publish(&state->event_waiting[type], 0);
	}
}

/* Waits without a place in the completion queue: else a small queue would be full of promises. */
uint16_t nvme_event_request(struct nvme *nvme, struct nvme_slot *slot)
{
	uint32_t index = (uint32_t)(slot - nvme->state->slots);

	if (nvme->event_requests == NVME_EVENT_REQUESTS)
		return NVME_EVENT_LIMIT_EXCEEDED;
	nvme->event_slots[nvme->event_requests++] = index;
	nvme_unreserve(nvme, index);
	return NVME_PENDING;
}

/* What is with the back end ends by itself; of the rest only event requests wait for long. */
uint16_t nvme_abort(struct nvme *nvme, struct nvme_slot *slot)
{
	uint16_t queue = (uint16_t)slot->command.cdw10;
	uint16_t cid = (uint16_t)(slot->command.cdw10 >> 16);

	slot->result = 1; /* not aborted */
	for (unsigned i = 0; queue == 0 && i < nvme->event_requests; i++) {
		if (nvme->state->slots[nvme->event_slots[i]].command.cid != cid)
			continue;
		nvme_finish(nvme, take_request(nvme, i), NVME_ABORT_REQUESTED);
		slot->result = 0;
		break;
	}
	return NVME_OK;
}

uint8_t nvme_critical_warning(const struct nvme *nvme)
{
	const struct nvme_features *features = &nvme->state->features;

	if (NVME_TEMPERATURE >= features->over_temperature ||
	    NVME_TEMPERATURE <= features->under_temperature)
		return NVME_SMART_TEMPERATURE;
	return 0;
}

void nvme_check_temperature(struct nvme *nvme)
{
	if (nvme_critical_warning(nvme) & nvme->state->features.events & 0xff)
		nvme_raise_event(nvme, NVME_ASYNC_SMART, NVME_ASYNC_TEMPERATURE);
}
