/* SPDX-License-Identifier: Apache-2.0 */
/* Get Log Page (Base 5.16). */
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "nvme_private.h"

#define LOG_SIZE 4096u /* none is longer */

struct log_page {
	uint32_t size;
	void (*fill)(struct nvme *nvme, uint8_t *page);
	int event; /* reading it lets this type of event happen again; -1: none */
};

static void add_entry(struct nvme *nvme, struct nvme_error_entry *entry)
{
	struct nvme_state *state = nvme->state;

	entry->count = state->counters.errors + 1;
	entry->version = 1;
	state->errors[entry->count % NVME_ERROR_ENTRIES] = *entry;
	nvme_publish64(&state->counters.errors, entry->count);
}

/* Parameter Error Location, where the status alone says which byte of the command is at fault. */
static uint16_t location(const struct nvme_slot *slot, uint16_t status)
{
	if (slot->location != NVME_NO_LOCATION)
		return slot->location;
	switch (status) {
	case NVME_INVALID_OPCODE:
		return offsetof(struct nvme_command, opcode);
	case NVME_INVALID_NAMESPACE:
		return offsetof(struct nvme_command, nsid);
	case NVME_SGL_TYPE_INVALID:
	case NVME_SGL_LENGTH_INVALID:
	case NVME_SGL_SEGMENT_INVALID:
	case NVME_SGL_COUNT_INVALID:
		return offsetof(struct nvme_command, prp1);
	case NVME_INVALID_LOG_PAGE:
		return offsetof(struct nvme_command, cdw10);
	case NVME_INVALID_QUEUE_SIZE:
		return offsetof(struct nvme_command, cdw10) + 2;
	case NVME_INVALID_VECTOR:
	case NVME_CQ_INVALID:
		return offsetof(struct nvme_command, cdw11) + 2;
	default:
		return NVME_NO_LOCATION;
	}
}

void nvme_log_error(struct nvme *nvme, const struct nvme_slot *slot, uint16_t status)
{
	const struct nvme_command *command = &slot->command;
	struct nvme_error_entry entry = {
		.sq_id = slot->queue,
		.cid = command->cid,
		.status = (uint16_t)(status << 1),
		.location = location(slot, status),
		.nsid = command->nsid,
		.opcode = command->opcode,
	};

	if (!nvme_is_admin(slot))
		entry.lba = command->cdw10 | (uint64_t)command->cdw11 << 32;
	add_entry(nvme, &entry);
}

void nvme_log_queue_error(struct nvme *nvme, uint16_t queue)
{
	struct nvme_error_entry entry = {
		.sq_id = queue, .cid = 0xffff, .location = NVME_NO_LOCATION};

	add_entry(nvme, &entry);
}

/* The newest first. */
static void fill_errors(struct nvme *nvme, uint8_t *page)
{
	const struct nvme_state *state = nvme->state;
	uint64_t count = min_u64(state->counters.errors, NVME_ERROR_ENTRIES);

	for (uint64_t i = 0; i < count; i++)
		memcpy(page + i * sizeof(state->errors[0]),
		       &state->errors[(state->counters.errors - i) % NVME_ERROR_ENTRIES],
		       sizeof(state->errors[0]));
}

static uint64_t data_units(uint64_t sectors)
{
	return sectors / 1000 + !!(sectors % 1000);
}

static void fill_smart(struct nvme *nvme, uint8_t *page)
{
	const struct nvme_counters *counters = &nvme->state->counters;
	uint64_t now = nvme->ops->now_ms(nvme->context);
	struct nvme_smart smart = {
		.critical_warning = nvme_critical_warning(nvme),
		.temperature = NVME_TEMPERATURE,
		.spare = 100,
		.spare_threshold = 10,
		.units_read = {data_units(counters->sectors_read)},
		.units_written = {data_units(counters->sectors_written)},
		.commands_read = {counters->reads},
		.commands_written = {counters->writes},
		.busy_minutes = {counters->busy_ms / 60000},
		.power_cycles = {1},
		.media_errors = {counters->media_errors},
		.error_entries = {counters->errors},
	};

	if (now > counters->power_on_ms)
		smart.power_on_hours[0] = (now - counters->power_on_ms) / 3600000;
	memcpy(page, &smart, sizeof(smart));
}

static void fill_firmware(struct nvme *nvme, uint8_t *page)
{
	page[0] = 1; /* slot 1 is active */
	memcpy(page + 8, nvme->setup->firmware, sizeof(nvme->setup->firmware));
}

static void fill_changed_namespaces(struct nvme *nvme, uint8_t *page)
{
	page[0] = nvme->state->namespace_changed != 0;
}

static void put_u32(uint8_t *page, unsigned index, uint32_t value)
{
	memcpy(page + index * sizeof(value), &value, sizeof(value));
}

static void fill_command_effects(struct nvme *nvme, uint8_t *page)
{
	(void)nvme;
	for (unsigned opcode = 0; opcode < 256; opcode++) {
		put_u32(page, opcode, nvme_admin_effects((uint8_t)opcode));
		put_u32(page, 256 + opcode, nvme_io_effects((uint8_t)opcode));
	}
}

static void fill_feature_effects(struct nvme *nvme, uint8_t *page)
{
	bool changeable, namespace_scope;

	(void)nvme;
	for (unsigned id = 0; id < 256; id++)
		if (nvme_has_feature((uint8_t)id, &changeable, &namespace_scope))
			put_u32(page, id,
				NVME_EFFECT_SUPPORTED | (namespace_scope ? NVME_SCOPE_NAMESPACE
									 : NVME_SCOPE_CONTROLLER));
}

static void fill_supported(struct nvme *nvme, uint8_t *page);

static const struct log_page log_pages[] = {
	[NVME_LOG_SUPPORTED] = {1024, fill_supported, -1},
	[NVME_LOG_ERRORS] = {sizeof(struct nvme_error_entry) * NVME_ERROR_ENTRIES, fill_errors,
			     NVME_ASYNC_ERROR},
	[NVME_LOG_SMART] = {sizeof(struct nvme_smart), fill_smart, NVME_ASYNC_SMART},
	[NVME_LOG_FIRMWARE] = {512, fill_firmware, -1},
	[NVME_LOG_CHANGED_NAMESPACES] = {4096, fill_changed_namespaces, NVME_ASYNC_NOTICE},
	[NVME_LOG_COMMAND_EFFECTS] = {4096, fill_command_effects, -1},
	[NVME_LOG_FEATURE_EFFECTS] = {1024, fill_feature_effects, -1},
};

static void fill_supported(struct nvme *nvme, uint8_t *page)
{
	(void)nvme;
	for (unsigned id = 0; id < ARRAY_LEN(log_pages); id++)
		put_u32(page, id, log_pages[id].fill ? NVME_EFFECT_SUPPORTED : 0);
}

/* NUMD is 0's based in double words and may ask for more than there is: zeros after. */
static uint16_t send_part(struct nvme *nvme, const struct nvme_command *command,
			  const struct log_page *log)
{
	uint64_t count = (command->cdw10 >> 16 | (uint64_t)(command->cdw11 & 0xffff) << 16) + 1;
	uint64_t offset = command->cdw12 | (uint64_t)command->cdw13 << 32;
	uint64_t length = count * 4;
	CLEANUP_FREE uint8_t *bytes = NULL;
	uint8_t page[LOG_SIZE] = {0};

	if (length > NVME_MAX_TRANSFER || offset % 4 || offset > log->size)
		return NVME_INVALID_FIELD;
	bytes = calloc(1, length);
	if (!bytes)
		return NVME_INTERNAL_ERROR;
	log->fill(nvme, page);
	memcpy(bytes, page + offset, min_u64(length, log->size - offset));
	return nvme_send(nvme, command, bytes, length);
}

uint16_t nvme_get_log_page(struct nvme *nvme, struct nvme_slot *slot)
{
	const struct nvme_command *command = &slot->command;
	uint32_t id = command->cdw10 & 0xff;
	bool retain = command->cdw10 >> 15 & 1, by_index = command->cdw14 >> 23 & 1;
	uint16_t status;

	if (id >= ARRAY_LEN(log_pages) || !log_pages[id].fill)
		return NVME_INVALID_LOG_PAGE;
	if (by_index)
		return NVME_INVALID_FIELD;
	if (command->nsid > 1 && command->nsid != NVME_NSID_ALL)
		return NVME_INVALID_NAMESPACE;
	if (command->nsid == 1 && id != NVME_LOG_SMART)
		return NVME_INVALID_FIELD;
	status = send_part(nvme, command, &log_pages[id]);
	if (status != NVME_OK || retain || log_pages[id].event < 0)
		return status;
	if (id == NVME_LOG_CHANGED_NAMESPACES)
		nvme->state->namespace_changed = 0;
	nvme_clear_event(nvme, (unsigned)log_pages[id].event);
	return NVME_OK;
}
