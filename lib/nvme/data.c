/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory: copies, PRPs, and the pieces that the back end works on. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "nvme_private.h"

/* What was copied is not read again from where the guest may change it. */
static void copy_once(void *to, const void *from, uint64_t length)
{
	memcpy(to, from, length);
	atomic_signal_fence(memory_order_seq_cst);
}

int nvme_guest_read(struct nvme *nvme, uint64_t address, void *to, uint64_t length)
{
	uint8_t *bytes = to;
	struct mem_view view;
	int error;

	for (uint64_t done = 0; done < length; done += view.length) {
		error = mem_view(nvme->memory, address + done, length - done, MEM_READ, &view);
		if (error < 0)
			return error;
		if (view.host)
			copy_once(bytes + done, view.host, view.length);
		else
			error = nvme->ops->remote_read(nvme->context, address + done, bytes + done,
						       view.length);
		if (error < 0)
			return error;
	}
	return 0;
}

void nvme_guest_prefetch(const struct nvme *nvme, uint64_t address)
{
	struct mem_view view;

	if (!mem_view(nvme->memory, address, 1, MEM_READ, &view) && view.host)
		__builtin_prefetch(view.host);
}

int nvme_guest_write(struct nvme *nvme, uint64_t address, const void *from, uint64_t length)
{
	const uint8_t *bytes = from;
	struct mem_view view;
	int error;

	for (uint64_t done = 0; done < length; done += view.length) {
		error = mem_view(nvme->memory, address + done, length - done, MEM_WRITE, &view);
		if (error < 0)
			return error;
		if (view.host)
			memcpy(view.host, bytes + done, view.length);
		else
			error = nvme->ops->remote_write(nvme->context, address + done, bytes + done,
							view.length);
		if (error < 0)
			return error;
	}
	return 0;
}

int nvme_guest_complete(struct nvme *nvme, uint64_t address, const struct nvme_completion *entry)
{
	const size_t last = offsetof(struct nvme_completion, cid);
	struct mem_view view;
	uint32_t tail;
	int error;

	error = mem_view(nvme->memory, address, sizeof(*entry), MEM_WRITE, &view);
	if (error < 0)
		return error;
	/* A window that cuts an entry or skews it: no guest does that, order is not promised. */
	if (!view.host || view.length < sizeof(*entry) || (uintptr_t)view.host % sizeof(tail))
		return nvme_guest_write(nvme, address, entry, sizeof(*entry));
	memcpy(view.host, entry, last);
	memcpy(&tail, (const uint8_t *)entry + last, sizeof(tail));
	__atomic_store_n((uint32_t *)(void *)(view.host + last), tail, __ATOMIC_RELEASE);
	return 0;
}

uint16_t nvme_bad_pointer(struct nvme *nvme, uint64_t address)
{
	nvme_tell(nvme, NVME_EVENT_BAD_POINTER, address);
	return NVME_DATA_TRANSFER_ERROR;
}

bool nvme_add_segment(struct nvme_segments *segments, const struct nvme_segment *segment)
{
	struct nvme_segment *last = &segments->list[segments->count];

	if (segments->count && last[-1].bucket == segment->bucket &&
	    (segment->bucket || last[-1].address + last[-1].length == segment->address)) {
		last[-1].length += segment->length;
		return true;
	}
	if (segments->count == NVME_SEGMENTS)
		return false;
	*last = *segment;
	segments->count++;
	return true;
}

static void add_page(struct nvme_segments *segments, uint64_t address, uint64_t length)
{
	struct nvme_segment segment = {.address = address, .length = (uint32_t)length};

	nvme_add_segment(segments, &segment);
}

/*
 * Base 4.1.1: every entry of a list is a page; where more than one page is left at the last entry
 * of a list's page, that entry leads to the next page of the list. Each round takes 511 pages or
 * more but the first, so a list that leads to itself ends as well.
 */
static uint16_t walk_list(struct nvme *nvme, uint64_t list, uint64_t left,
			  struct nvme_segments *segments)
{
	while (left) {
		uint64_t room = (NVME_PAGE - list % NVME_PAGE) / sizeof(uint64_t);
		uint64_t need = (left + NVME_PAGE - 1) / NVME_PAGE;
		uint64_t count = min_u64(room, need);
		uint64_t *entries = nvme->list_page;

		if (nvme_guest_read(nvme, list, entries, count * sizeof(uint64_t)) < 0)
			return nvme_bad_pointer(nvme, list);
		for (uint64_t i = 0; i < count; i++)
			if (entries[i] % NVME_PAGE)
				return NVME_INVALID_PRP_OFFSET;
		if (need > room)
			list = entries[--count];
		for (uint64_t i = 0; i < count; i++) {
			uint64_t length = min_u64(left, NVME_PAGE);

			add_page(segments, entries[i], length);
			left -= length;
		}
	}
	return NVME_OK;
}

static uint16_t walk_prps(struct nvme *nvme, const struct nvme_command *command, uint64_t length,
			  struct nvme_segments *segments)
{
	uint64_t first = min_u64(length, NVME_PAGE - command->prp1 % NVME_PAGE);
	uint64_t left = length - first;

	segments->count = 0;
	if (command->prp1 % 4)
		return NVME_INVALID_PRP_OFFSET;
	add_page(segments, command->prp1, first);
	if (!left)
		return NVME_OK;
	if (left > NVME_PAGE) {
		if (command->prp2 % sizeof(uint64_t))
			return NVME_INVALID_PRP_OFFSET;
		return walk_list(nvme, command->prp2, left, segments);
	}
	if (command->prp2 % NVME_PAGE)
		return NVME_INVALID_PRP_OFFSET;
	add_page(segments, command->prp2, left);
	return NVME_OK;
}

uint16_t nvme_walk_data(struct nvme *nvme, const struct nvme_command *command, uint64_t length,
			bool to_guest, struct nvme_segments *segments)
{
	if (command->flags & NVME_FLAGS_PSDT)
		return nvme_walk_sgl(nvme, command, length, to_guest, segments);
	return walk_prps(nvme, command, length, segments);
}

struct nvme_pieces *nvme_take_pieces(struct nvme *nvme)
{
	struct nvme_pieces *pieces = nvme->spare;

	if (!pieces)
		return malloc(sizeof(*pieces));
	nvme->spare = pieces->next;
	nvme->spare_count--;
	return pieces;
}

static void free_bounce(struct nvme *nvme, struct nvme_bounce *bounce)
{
	free(bounce->iov.iov_base);
	free(bounce);
	nvme->bounces--;
}

void nvme_give_back_data(struct nvme *nvme, struct nvme_work *work)
{
	if (work->bounce)
		free_bounce(nvme, work->bounce);
	work->bounce = NULL;
	if (work->pieces && nvme->spare_count < NVME_SPARE_PIECES) {
		work->pieces->next = nvme->spare;
		nvme->spare = work->pieces;
		nvme->spare_count++;
	} else {
		free(work->pieces);
	}
	work->pieces = NULL;
}

/* One more piece for the back end; -ENOBUFS: too many, -ENOMEM. */
static int add_piece(struct nvme *nvme, struct nvme_work *work, const struct mem_view *view)
{
	struct iovec *iov = work->pieces ? work->pieces->iov : work->few;
	size_t count = work->io.iov_count;

	if (count && (uint8_t *)iov[count - 1].iov_base + iov[count - 1].iov_len == view->host) {
		iov[count - 1].iov_len += view->length;
		return 0;
	}
	if (count == NVME_FEW_PIECES && !work->pieces) {
		work->pieces = nvme_take_pieces(nvme);
		if (!work->pieces)
			return -ENOMEM;
		memcpy(work->pieces->iov, work->few, sizeof(work->few));
		iov = work->pieces->iov;
	}
	if (count == NVME_PIECES)
		return -ENOBUFS;
	iov[count] = (struct iovec){.iov_base = view->host, .iov_len = view->length};
	work->io.iov_count++;
	return 0;
}

/* -EREMOTE: some of it is not there for the back end to use. *fault: the first address that is not
 * in order. */
static int map_segment(struct nvme *nvme, struct nvme_work *work,
		       const struct nvme_segment *segment, unsigned access, uint64_t *fault)
{
	struct mem_view view;
	/* The back end works on pieces as PRPs give them; what is finer than that gets a buffer. */
	bool remote = segment->bucket || segment->address % 4 || segment->length % 4;
	int error;

	for (uint64_t done = 0; done < segment->length && !segment->bucket; done += view.length) {
		*fault = segment->address + done;
		error = mem_view(nvme->memory, *fault, segment->length - done, access, &view);
		if (error < 0)
			return error;
		remote = remote || !view.host;
		error = remote ? 0 : add_piece(nvme, work, &view);
		if (error == -ENOBUFS)
			remote = true;
		else if (error < 0)
			return error;
	}
	return remote ? -EREMOTE : 0;
}

static uint16_t fill_bounce(struct nvme *nvme, struct nvme_bounce *bounce)
{
	uint8_t *to = bounce->iov.iov_base;

	for (unsigned i = 0; i < bounce->segments.count; i++) {
		struct nvme_segment *segment = &bounce->segments.list[i];

		if (nvme_guest_read(nvme, segment->address, to, segment->length) < 0)
			return nvme_bad_pointer(nvme, segment->address);
		to += segment->length;
	}
	return NVME_OK;
}

uint16_t nvme_unbounce(struct nvme *nvme, struct nvme_work *work)
{
	struct nvme_bounce *bounce = work->bounce;
	const uint8_t *from;

	if (!bounce)
		return NVME_OK;
	from = bounce->iov.iov_base;
	for (unsigned i = 0; i < bounce->segments.count; i++) {
		struct nvme_segment *segment = &bounce->segments.list[i];

		if (!segment->bucket &&
		    nvme_guest_write(nvme, segment->address, from, segment->length) < 0)
			return nvme_bad_pointer(nvme, segment->address);
		from += segment->length;
	}
	return NVME_OK;
}

static bool same_as_guest(struct nvme *nvme, const struct nvme_segment *segment,
			  const uint8_t *bytes, uint16_t *status)
{
	uint8_t *copy = (uint8_t *)nvme->list_page;

	for (uint64_t done = 0; done < segment->length;) {
		uint64_t length = min_u64(segment->length - done, sizeof(nvme->list_page));

		if (nvme_guest_read(nvme, segment->address + done, copy, length) < 0)
			*status = nvme_bad_pointer(nvme, segment->address + done);
		else if (memcmp(copy, bytes + done, length) != 0)
			*status = NVME_COMPARE_FAILURE;
		if (*status != NVME_OK)
			return false;
		done += length;
	}
	return true;
}

uint16_t nvme_compare_bounce(struct nvme *nvme, const struct nvme_bounce *bounce)
{
	const uint8_t *bytes = bounce->iov.iov_base;
	uint16_t status = NVME_OK;

	for (unsigned i = 0; i < bounce->segments.count; i++) {
		if (!same_as_guest(nvme, &bounce->segments.list[i], bytes, &status))
			break;
		bytes += bounce->segments.list[i].length;
	}
	return status;
}

uint16_t nvme_take_bounce(struct nvme *nvme, struct nvme_work *work,
			  const struct nvme_segments *segments)
{
	struct nvme_bounce *bounce;

	if (nvme->bounces == NVME_BOUNCES)
		return NVME_PENDING;
	bounce = malloc(sizeof(*bounce));
	if (!bounce)
		return NVME_INTERNAL_ERROR;
	bounce->iov.iov_len = work->io.length;
	bounce->iov.iov_base = aligned_alloc(NVME_PAGE, align_up(work->io.length, NVME_PAGE));
	if (!bounce->iov.iov_base) {
		free(bounce);
		return NVME_INTERNAL_ERROR;
	}
	nvme->bounces++;
	bounce->segments.count = segments ? segments->count : 0;
	if (segments)
		memcpy(bounce->segments.list, segments->list,
		       segments->count * sizeof(*segments->list));
	work->bounce = bounce;
	work->io.iov = &bounce->iov;
	work->io.iov_count = 1;
	return NVME_OK;
}

static uint16_t map_bounce(struct nvme *nvme, struct nvme_work *work,
			   const struct nvme_segments *segments, bool to_guest)
{
	uint16_t status = nvme_take_bounce(nvme, work, segments);

	return status != NVME_OK || to_guest ? status : fill_bounce(nvme, work->bounce);
}

uint16_t nvme_map_data(struct nvme *nvme, struct nvme_work *work,
		       const struct nvme_segments *segments, bool to_guest)
{
	unsigned access = to_guest ? MEM_WRITE : MEM_READ;
	bool remote = false;
	uint64_t fault;
	int error;

	work->io.iov_count = 0;
	for (unsigned i = 0; i < segments->count; i++) {
		error = map_segment(nvme, work, &segments->list[i], access, &fault);
		if (error == -ENOMEM)
			return NVME_INTERNAL_ERROR;
		if (error < 0 && error != -EREMOTE)
			return nvme_bad_pointer(nvme, fault);
		remote = remote || error == -EREMOTE;
	}
	work->io.iov = work->pieces ? work->pieces->iov : work->few;
	return remote ? map_bounce(nvme, work, segments, to_guest) : NVME_OK;
}

uint16_t nvme_send(struct nvme *nvme, const struct nvme_command *command, const void *from,
		   uint64_t length)
{
	const uint8_t *bytes = from;
	struct nvme_segments *segments = &nvme->segments;
	uint16_t status;

	status = nvme_walk_data(nvme, command, length, true, segments);
	for (unsigned i = 0; status == NVME_OK && i < segments->count; i++) {
		struct nvme_segment *segment = &segments->list[i];

		if (nvme_guest_write(nvme, segment->address, bytes, segment->length) < 0)
			status = nvme_bad_pointer(nvme, segment->address);
		bytes += segment->length;
	}
	return status;
}

uint16_t nvme_receive(struct nvme *nvme, const struct nvme_command *command, void *to,
		      uint64_t length)
{
	uint8_t *bytes = to;
	struct nvme_segments *segments = &nvme->segments;
	uint16_t status;

	status = nvme_walk_data(nvme, command, length, false, segments);
	for (unsigned i = 0; status == NVME_OK && i < segments->count; i++) {
		struct nvme_segment *segment = &segments->list[i];

		if (nvme_guest_read(nvme, segment->address, bytes, segment->length) < 0)
			status = nvme_bad_pointer(nvme, segment->address);
		bytes += segment->length;
	}
	return status;
}
