/* SPDX-License-Identifier: Apache-2.0 */
/* Get and Set Features (Base 5.15, 5.27). Nothing is saved over a reset. */
#include <string.h>

#include "base/base.h"
#include "nvme_private.h"

#define WARNING_TEMPERATURE 343u /* as in Identify */

enum select { SELECT_CURRENT, SELECT_DEFAULT, SELECT_SAVED, SELECT_CAPABILITIES };

struct feature {
	/* From `features`: the current ones, or the defaults. A status. */
	uint16_t (*get)(struct nvme *nvme, struct nvme_slot *slot,
			const struct nvme_features *features);
	uint16_t (*set)(struct nvme *nvme, struct nvme_slot *slot); /* NULL: not changeable */
	bool namespace_scope;
};

void nvme_default_features(struct nvme_features *features)
{
	struct nvme_features defaults = {
		.write_cache = 1,
		.over_temperature = WARNING_TEMPERATURE,
		/* Base 5.27.1.11: kept over all resets but those of the power. */
		.timestamp_offset = features->timestamp_offset,
		.timestamp_set = features->timestamp_set,
	};

	*features = defaults;
}

static uint16_t get_arbitration(struct nvme *nvme, struct nvme_slot *slot,
				const struct nvme_features *features)
{
	(void)nvme;
	slot->result = features->arbitration;
	return NVME_OK;
}

static uint16_t set_arbitration(struct nvme *nvme, struct nvme_slot *slot)
{
	nvme->state->features.arbitration = slot->command.cdw11;
	return NVME_OK;
}

/* There is one power state. */
static uint16_t get_zero(struct nvme *nvme, struct nvme_slot *slot,
			 const struct nvme_features *features)
{
	(void)nvme;
	(void)features;
	slot->result = 0;
	return NVME_OK;
}

static uint16_t set_power(struct nvme *nvme, struct nvme_slot *slot)
{
	(void)nvme;
	return slot->command.cdw11 & 0x1f ? NVME_INVALID_FIELD : NVME_OK;
}

/* Base 5.27.1.3: which sensor (0: the composite one, 0xf: all) and which of its two limits. */
static uint16_t *threshold(struct nvme_features *features, uint32_t cdw11, bool all)
{
	uint32_t sensor = cdw11 >> 16 & 0xf, limit = cdw11 >> 20 & 3;

	if ((sensor && !(all && sensor == 0xf)) || limit > 1)
		return NULL;
	return limit ? &features->under_temperature : &features->over_temperature;
}

static uint16_t get_temperature(struct nvme *nvme, struct nvme_slot *slot,
				const struct nvme_features *features)
{
	struct nvme_features copy = *features;
	const uint16_t *value = threshold(&copy, slot->command.cdw11, false);

	(void)nvme;
	if (!value)
		return NVME_INVALID_FIELD;
	slot->result = *value;
	return NVME_OK;
}

static uint16_t set_temperature(struct nvme *nvme, struct nvme_slot *slot)
{
	uint32_t cdw11 = slot->command.cdw11;
	uint16_t *value = threshold(&nvme->state->features, cdw11, true);

	if (!value)
		return NVME_INVALID_FIELD;
	*value = (uint16_t)cdw11;
	nvme_check_temperature(nvme);
	return NVME_OK;
}

static uint16_t get_error_recovery(struct nvme *nvme, struct nvme_slot *slot,
				   const struct nvme_features *features)
{
	(void)nvme;
	slot->result = features->error_recovery;
	return NVME_OK;
}

/* NVM Command Set 4.1.3.2. Deallocated blocks are no errors here: NSFEAT says so. */
static uint16_t set_error_recovery(struct nvme *nvme, struct nvme_slot *slot)
{
	if (slot->command.cdw11 >> 16 & 1)
		return NVME_INVALID_FIELD;
	nvme->state->features.error_recovery = slot->command.cdw11 & 0xffff;
	return NVME_OK;
}

static uint16_t get_write_cache(struct nvme *nvme, struct nvme_slot *slot,
				const struct nvme_features *features)
{
	(void)nvme;
	slot->result = features->write_cache;
	return NVME_OK;
}

static uint16_t set_write_cache(struct nvme *nvme, struct nvme_slot *slot)
{
	nvme->state->features.write_cache = slot->command.cdw11 & 1;
	return NVME_OK;
}

static uint16_t get_queues(struct nvme *nvme, struct nvme_slot *slot,
			   const struct nvme_features *features)
{
	(void)nvme;
	(void)features;
	slot->result = (NVME_IO_QUEUES - 1) << 16 | (NVME_IO_QUEUES - 1);
	return NVME_OK;
}

/* Base 5.27.1.5: before any I/O queue was made; the answer need not be what was asked for. */
static uint16_t set_queues(struct nvme *nvme, struct nvme_slot *slot)
{
	uint32_t cdw11 = slot->command.cdw11;

	for (unsigned i = 1; i < NVME_QUEUES; i++)
		if (nvme->state->sq[i].state != NVME_QUEUE_ABSENT ||
		    nvme->state->cq[i].state != NVME_QUEUE_ABSENT)
			return NVME_COMMAND_SEQUENCE_ERROR;
	if ((cdw11 & 0xffff) == 0xffff || cdw11 >> 16 == 0xffff)
		return NVME_INVALID_FIELD;
	return get_queues(nvme, slot, &nvme->state->features);
}

/* What they do: complete.c. */
static uint16_t get_coalescing(struct nvme *nvme, struct nvme_slot *slot,
			       const struct nvme_features *features)
{
	(void)nvme;
	slot->result = features->coalescing;
	return NVME_OK;
}

static uint16_t set_coalescing(struct nvme *nvme, struct nvme_slot *slot)
{
	nvme->state->features.coalescing = slot->command.cdw11 & 0xffff;
	/* What waits does so by the old values. */
	nvme->interrupts |= nvme->delayed;
	return NVME_OK;
}

static uint16_t get_vector(struct nvme *nvme, struct nvme_slot *slot,
			   const struct nvme_features *features)
{
	uint32_t vector = slot->command.cdw11 & 0xffff;

	(void)nvme;
	if (vector >= NVME_VECTORS)
		return NVME_INVALID_FIELD;
	slot->result = vector | (features->no_coalescing >> vector & 1) << 16;
	return NVME_OK;
}

static uint16_t set_vector(struct nvme *nvme, struct nvme_slot *slot)
{
	uint32_t cdw11 = slot->command.cdw11, vector = cdw11 & 0xffff;
	uint32_t *bits = &nvme->state->features.no_coalescing;

	if (vector >= NVME_VECTORS)
		return NVME_INVALID_FIELD;
	*bits = (*bits & ~(1u << vector)) | (cdw11 >> 16 & 1) << vector;
	return NVME_OK;
}

static uint16_t get_atomicity(struct nvme *nvme, struct nvme_slot *slot,
			      const struct nvme_features *features)
{
	(void)nvme;
	slot->result = features->atomicity;
	return NVME_OK;
}

static uint16_t set_atomicity(struct nvme *nvme, struct nvme_slot *slot)
{
	nvme->state->features.atomicity = slot->command.cdw11 & 1;
	return NVME_OK;
}

static uint16_t get_events(struct nvme *nvme, struct nvme_slot *slot,
			   const struct nvme_features *features)
{
	(void)nvme;
	slot->result = features->events;
	return NVME_OK;
}

static uint16_t set_events(struct nvme *nvme, struct nvme_slot *slot)
{
	nvme->state->features.events = slot->command.cdw11 & (0xff | NVME_OAES_NAMESPACE);
	nvme_check_temperature(nvme);
	return NVME_OK;
}

/* Base 5.27.1.11: milliseconds since 1970 in 48 bits, then where they come from. */
static uint16_t get_timestamp(struct nvme *nvme, struct nvme_slot *slot,
			      const struct nvme_features *features)
{
	uint64_t now = nvme->ops->now_ms(nvme->context) + (uint64_t)features->timestamp_offset;
	uint64_t value = now & 0xffffffffffff;

	value |= (uint64_t)features->timestamp_set << 49;
	return nvme_send(nvme, &slot->command, &value, sizeof(value));
}

static uint16_t set_timestamp(struct nvme *nvme, struct nvme_slot *slot)
{
	struct nvme_features *features = &nvme->state->features;
	uint16_t status;
	uint64_t value;

	status = nvme_receive(nvme, &slot->command, &value, sizeof(value));
	if (status != NVME_OK)
		return status;
	features->timestamp_offset =
		(int64_t)((value & 0xffffffffffff) - nvme->ops->now_ms(nvme->context));
	features->timestamp_set = 1;
	return NVME_OK;
}

/* Base 5.27.1, feature 16h. What a host can cope with; nothing here makes use of it. */
static uint16_t get_host_behaviour(struct nvme *nvme, struct nvme_slot *slot,
				   const struct nvme_features *features)
{
	uint8_t data[NVME_HOST_BEHAVIOUR_SIZE] = {0};

	memcpy(data, features->host_behaviour, NVME_HOST_BEHAVIOURS);
	return nvme_send(nvme, &slot->command, data, sizeof(data));
}

static uint16_t set_host_behaviour(struct nvme *nvme, struct nvme_slot *slot)
{
	uint8_t data[NVME_HOST_BEHAVIOUR_SIZE];
	uint16_t status = nvme_receive(nvme, &slot->command, data, sizeof(data));

	for (unsigned i = 0; status == NVME_OK && i < NVME_HOST_BEHAVIOURS; i++)
		if (data[i] > 1)
			status = NVME_INVALID_FIELD;
	if (status == NVME_OK)
		memcpy(nvme->state->features.host_behaviour, data, NVME_HOST_BEHAVIOURS);
	return status;
}

static size_t host_id_size(const struct nvme_slot *slot)
{
	return slot->command.cdw11 & NVME_HOST_ID_EXTENDED ? 16 : 8;
}

/* Base 5.27.1, feature 81h. */
static uint16_t get_host_id(struct nvme *nvme, struct nvme_slot *slot,
			    const struct nvme_features *features)
{
	return nvme_send(nvme, &slot->command, features->host_id, host_id_size(slot));
}

/* Given once between two resets; the same once more is no change. */
static uint16_t set_host_id(struct nvme *nvme, struct nvme_slot *slot)
{
	static const uint8_t none[16];
	uint8_t *current = nvme->state->features.host_id, id[16] = {0};
	uint16_t status = nvme_receive(nvme, &slot->command, id, host_id_size(slot));

	if (status != NVME_OK)
		return status;
	if (memcmp(current, none, sizeof(none)) != 0 && memcmp(current, id, sizeof(id)) != 0)
		return NVME_COMMAND_SEQUENCE_ERROR;
	memcpy(current, id, sizeof(id));
	return NVME_OK;
}

/* Base 5.27.1.21: the one combination that Identify lists. */
static uint16_t set_command_set(struct nvme *nvme, struct nvme_slot *slot)
{
	(void)nvme;
	return slot->command.cdw11 & 0x1ff ? NVME_COMMAND_SET_REJECTED : NVME_OK;
}

static const struct feature features_table[] = {
	[NVME_FEATURE_ARBITRATION] = {get_arbitration, set_arbitration, false},
	[NVME_FEATURE_POWER] = {get_zero, set_power, false},
	[NVME_FEATURE_TEMPERATURE] = {get_temperature, set_temperature, false},
	[NVME_FEATURE_ERROR_RECOVERY] = {get_error_recovery, set_error_recovery, true},
	[NVME_FEATURE_WRITE_CACHE] = {get_write_cache, set_write_cache, false},
	[NVME_FEATURE_QUEUES] = {get_queues, set_queues, false},
	[NVME_FEATURE_COALESCING] = {get_coalescing, set_coalescing, false},
	[NVME_FEATURE_VECTOR] = {get_vector, set_vector, false},
	[NVME_FEATURE_ATOMICITY] = {get_atomicity, set_atomicity, false},
	[NVME_FEATURE_EVENTS] = {get_events, set_events, false},
	[NVME_FEATURE_TIMESTAMP] = {get_timestamp, set_timestamp, false},
	[NVME_FEATURE_HOST_BEHAVIOUR] = {get_host_behaviour, set_host_behaviour, false},
	[NVME_FEATURE_COMMAND_SET] = {get_zero, set_command_set, false},
	[NVME_FEATURE_HOST_ID] = {get_host_id, set_host_id, false},
};

static const struct feature *find(uint32_t id)
{
	if (id >= ARRAY_LEN(features_table) || !features_table[id].get)
		return NULL;
	return &features_table[id];
}

bool nvme_has_feature(uint8_t id, bool *changeable, bool *namespace_scope)
{
	const struct feature *feature = find(id);

	if (!feature)
		return false;
	*changeable = feature->set != NULL;
	*namespace_scope = feature->namespace_scope;
	return true;
}

static bool namespace_fits(const struct feature *feature, uint32_t nsid)
{
	return !feature->namespace_scope || nsid == 1 || nsid == NVME_NSID_ALL;
}

uint16_t nvme_get_features(struct nvme *nvme, struct nvme_slot *slot)
{
	const struct feature *feature = find(slot->command.cdw10 & 0xff);
	uint32_t select = slot->command.cdw10 >> 8 & 7;
	struct nvme_features defaults = {0};

	if (!feature)
		return NVME_AT(slot, cdw10, NVME_INVALID_FIELD);
	if (select > SELECT_CAPABILITIES)
		return nvme_at(slot, offsetof(struct nvme_command, cdw10) + 1, NVME_INVALID_FIELD);
	if (!namespace_fits(feature, slot->command.nsid))
		return NVME_INVALID_NAMESPACE;
	if (select == SELECT_CAPABILITIES) {
		/* Base figure 192: bit 0 saveable, bit 1 a namespace's own, bit 2 changeable. */
		slot->result = (feature->set ? 4u : 0) | (feature->namespace_scope ? 2u : 0);
		return NVME_OK;
	}
	if (select == SELECT_CURRENT)
		return feature->get(nvme, slot, &nvme->state->features);
	nvme_default_features(&defaults);
	return feature->get(nvme, slot, &defaults);
}

uint16_t nvme_set_features(struct nvme *nvme, struct nvme_slot *slot)
{
	const struct feature *feature = find(slot->command.cdw10 & 0xff);
	uint32_t nsid = slot->command.nsid;

	if (!feature || !feature->set)
		return NVME_AT(slot, cdw10, NVME_INVALID_FIELD);
	if (slot->command.cdw10 >> 31)
		return NVME_NOT_SAVEABLE;
	if (!namespace_fits(feature, nsid))
		return NVME_INVALID_NAMESPACE;
	if (!feature->namespace_scope && nsid && nsid != NVME_NSID_ALL)
		return nsid == 1 ? NVME_NOT_NAMESPACE_SPECIFIC : NVME_INVALID_NAMESPACE;
	return feature->set(nvme, slot);
}
