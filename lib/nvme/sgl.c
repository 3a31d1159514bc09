/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scatter gather lists (Base 4.1.2). A list ends with the data, whatever follows; what leads to no
 * data, in a circle or for ever, ends after so many descriptors.
 */
#include <string.h>

#include "base/base.h"
#include "nvme_private.h"

#define DESCRIPTORS 4096u

struct walk {
	struct nvme *nvme;
	struct nvme_segments *segments;
	uint64_t left; /* bytes */
	bool to_guest;
	unsigned descriptors; /* looked at */
};

static bool leads_on(const struct nvme_sgl *entry)
{
	return entry->type == NVME_SGL_SEGMENT || entry->type == NVME_SGL_LAST_SEGMENT;
}

static uint16_t take_memory(struct walk *walk, const struct nvme_sgl *entry, bool bucket)
{
	struct nvme_segment segment = {
		.address = bucket ? 0 : entry->address,
		.length = (uint32_t)min_u64(entry->length, walk->left),
		.bucket = bucket,
	};

	if (!segment.length)
		return NVME_OK;
	if (range_wraps(segment.address, segment.length))
		return nvme_bad_pointer(walk->nvme, segment.address);
	if (!nvme_add_segment(walk->segments, &segment))
		return NVME_SGL_COUNT_INVALID;
	walk->left -= segment.length;
	return NVME_OK;
}

/* One that does not lead on. As a source, a bit bucket is of no bytes. */
static uint16_t take_entry(struct walk *walk, const struct nvme_sgl *entry)
{
	if (++walk->descriptors > DESCRIPTORS)
		return NVME_SGL_COUNT_INVALID;
	if (entry->type == NVME_SGL_DATA)
		return take_memory(walk, entry, false);
	if (entry->type != NVME_SGL_BIT_BUCKET)
		return NVME_SGL_TYPE_INVALID;
	return walk->to_guest ? take_memory(walk, entry, true) : NVME_OK;
}

/* At the end of a segment that is not the last one, and only there, another one follows. */
static uint16_t check_place(const struct nvme_sgl *segment, const struct nvme_sgl *entry,
			    bool at_end)
{
	if (leads_on(entry) && !at_end)
		return NVME_SGL_COUNT_INVALID;
	if (at_end && leads_on(entry) != (segment->type == NVME_SGL_SEGMENT))
		return NVME_SGL_SEGMENT_INVALID;
	return NVME_OK;
}

/* `count` descriptors in nvme->list_page, of `segment`. */
static uint16_t take_entries(struct walk *walk, const struct nvme_sgl *segment, uint64_t count,
			     bool to_end, struct nvme_sgl *next)
{
	const uint8_t *from = (const uint8_t *)walk->nvme->list_page;
	struct nvme_sgl entry;
	uint16_t status = NVME_OK;

	for (uint64_t i = 0; status == NVME_OK && i < count && walk->left; i++) {
		memcpy(&entry, from + i * sizeof(entry), sizeof(entry));
		status = check_place(segment, &entry, to_end && i + 1 == count);
		if (status != NVME_OK)
			return status;
		if (leads_on(&entry))
			*next = entry;
		else
			status = take_entry(walk, &entry);
	}
	return status;
}

/* *next: where it goes on, if it does. */
static uint16_t take_segment(struct walk *walk, const struct nvme_sgl *segment,
			     struct nvme_sgl *next)
{
	struct nvme *nvme = walk->nvme;
	uint16_t status = NVME_OK;
	uint64_t part;

	if (++walk->descriptors > DESCRIPTORS)
		return NVME_SGL_COUNT_INVALID;
	if (segment->address % 8 || !segment->length || segment->length % sizeof(*segment) ||
	    range_wraps(segment->address, segment->length))
		return NVME_SGL_SEGMENT_INVALID;
	for (uint64_t at = 0; status == NVME_OK && at < segment->length && walk->left; at += part) {
		part = min_u64(segment->length - at, sizeof(nvme->list_page));
		if (nvme_guest_read(nvme, segment->address + at, nvme->list_page, part) < 0)
			return nvme_bad_pointer(nvme, segment->address + at);
		status = take_entries(walk, segment, part / sizeof(*segment),
				      at + part == segment->length, next);
	}
	return status;
}

uint16_t nvme_walk_sgl(struct nvme *nvme, const struct nvme_command *command, uint64_t length,
		       bool to_guest, struct nvme_segments *segments)
{
	struct walk walk = {
		.nvme = nvme, .segments = segments, .left = length, .to_guest = to_guest};
	struct nvme_sgl entry, next;
	uint16_t status = NVME_OK;

	segments->count = 0;
	memcpy(&entry, (const uint8_t *)command + offsetof(struct nvme_command, prp1),
	       sizeof(entry));
	if (!leads_on(&entry))
		status = take_entry(&walk, &entry);
	while (status == NVME_OK && walk.left && leads_on(&entry)) {
		next = (struct nvme_sgl){0};
		status = take_segment(&walk, &entry, &next);
		entry = next;
	}
	return status == NVME_OK && walk.left ? NVME_SGL_LENGTH_INVALID : status;
}
