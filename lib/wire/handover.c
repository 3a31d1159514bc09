/* SPDX-License-Identifier: Apache-2.0 */
#include "handover.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "command.h"
#include "status.h"

#define ITEM_HEADER  8u
#define GIB	     (UINT64_C(1) << 30)
#define ADDRESS_BITS 52 /* no x86 processor has more */

/* The oldest version whose programs may go on from what is written here. */
#define OLDEST(version) ((uint16_t)((version) > 1 ? (version)-1 : 1))

struct handover_writer handover_begin(uint8_t *buffer, enum handover_kind kind, unsigned number,
				      uint16_t version)
{
	struct handover_writer writer = {.items = writer_make(buffer, HANDOVER_RECORD_MAX),
					 .start = buffer};

	writer_u32(&writer.items, HANDOVER_MAGIC);
	writer_u16(&writer.items, version);
	writer_u16(&writer.items, OLDEST(version));
	writer_u16(&writer.items, (uint16_t)kind);
	writer_u16(&writer.items, (uint16_t)number);
	writer_u32(&writer.items, 0);
	return writer;
}

void handover_put(struct handover_writer *writer, uint32_t tag, const void *bytes, size_t length)
{
	writer_u32(&writer->items, tag);
	writer_u32(&writer->items, (uint32_t)length);
	writer_put(&writer->items, bytes, length);
}

ssize_t handover_finish(struct handover_writer *writer)
{
	size_t length = HANDOVER_RECORD_MAX - writer->items.left;
	uint32_t items = (uint32_t)(length - HANDOVER_HEADER_SIZE);

	if (writer->items.failed)
		return -ENOSPC;
	memcpy(writer->start + HANDOVER_HEADER_SIZE - sizeof(items), &items, sizeof(items));
	return (ssize_t)length;
}

/* One item off the front; NULL: there is no whole one. */
static const uint8_t *next_item(struct cursor *items, uint32_t *tag, size_t *length)
{
	*tag = cursor_u32(items);
	*length = cursor_u32(items);
	return cursor_take(items, *length);
}

static bool items_are_sane(const uint8_t *bytes, size_t length)
{
	struct cursor items = cursor_make(bytes, length);
	uint32_t tag, last = 0;
	size_t size;

	while (items.left) {
		if (!next_item(&items, &tag, &size) || tag <= last)
			return false;
		last = tag;
	}
	return true;
}

static bool fits(uint16_t theirs, uint16_t oldest, uint16_t ours)
{
	return oldest <= ours && theirs + 1 >= ours && theirs <= ours + 1;
}

int handover_open(struct handover_record *record, const uint8_t *bytes, size_t length,
		  uint16_t version)
{
	struct cursor header = cursor_make(bytes, length);
	uint32_t magic = cursor_u32(&header);
	uint16_t theirs = cursor_u16(&header);
	uint16_t oldest = cursor_u16(&header);
	uint16_t kind = cursor_u16(&header);
	uint16_t number = cursor_u16(&header);
	uint32_t items = cursor_u32(&header);

	if (header.failed || magic != HANDOVER_MAGIC)
		return -EPROTO;
	if (!fits(theirs, oldest, version))
		return -ENOTSUP;
	if (!kind || kind >= HANDOVER_KINDS || items != header.left ||
	    !items_are_sane(header.at, items))
		return -EPROTO;
	*record = (struct handover_record){
		.kind = kind, .number = number, .items = header.at, .length = items};
	return 0;
}

const uint8_t *handover_find(const struct handover_record *record, uint32_t tag, size_t *length)
{
	struct cursor items = cursor_make(record->items, record->length);
	const uint8_t *bytes;
	uint32_t found;

	while (items.left) {
		bytes = next_item(&items, &found, length);
		if (found == tag)
			return bytes;
	}
	*length = 0;
	return NULL;
}

int handover_take(const struct handover_record *record, uint32_t tag, void *to, size_t length)
{
	size_t there;
	const uint8_t *bytes = handover_find(record, tag, &there);

	if (!bytes)
		return -ENOENT;
	if (there != length)
		return -EPROTO;
	memcpy(to, bytes, length);
	return 0;
}

int handover_take_setup(const struct handover_record *record, struct handover_setup *setup)
{
	if (record->kind != HANDOVER_MEET ||
	    handover_take(record, HANDOVER_SETUP, setup, sizeof(*setup)) < 0)
		return -EPROTO;
	if (!setup->cpus || setup->cpus > COMMAND_MAX_CPUS || setup->window64 < 4 * GIB ||
	    setup->window64_end < setup->window64 ||
	    setup->window64_end > UINT64_C(1) << ADDRESS_BITS)
		return -EPROTO;
	return 0;
}

int handover_take_machine(const struct handover_record *record, struct handover_machine *machine)
{
	if (record->kind != HANDOVER_MACHINE ||
	    handover_take(record, HANDOVER_STATE, machine, sizeof(*machine)) < 0)
		return -EPROTO;
	return machine->command && !(machine->flags & ~HANDOVER_PAUSED) ? 0 : -EPROTO;
}

static bool has_card(uint32_t state)
{
	return state == STATUS_SLOT_PRESENT || state == STATUS_SLOT_EJECTING;
}

int handover_take_slot(const struct handover_record *record, struct handover_slot *slot)
{
	size_t length = 0;

	if (record->kind != HANDOVER_SLOT || !record->number || record->number > COMMAND_MAX_SLOT ||
	    handover_take(record, HANDOVER_STATE, slot, sizeof(*slot)) < 0)
		return -EPROTO;
	if (slot->flags & ~HANDOVER_SLOT_FLAGS || slot->vectors > HANDOVER_MSIX_MOST ||
	    slot->next_id > UINT16_MAX)
		return -EPROTO;
	if (!has_card(slot->state))
		return (slot->state == STATUS_SLOT_EMPTY || slot->state == STATUS_SLOT_FAILED) &&
				       !slot->vectors
			       ? 0
			       : -EPROTO;
	handover_find(record, HANDOVER_TABLE, &length);
	return length == (size_t)slot->vectors * HANDOVER_MSIX_ENTRY ? 0 : -EPROTO;
}
