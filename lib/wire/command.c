/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/cursor.h"
#include "command.h"

static bool slot_is_valid(uint32_t slot)
{
	return slot >= 1 && slot <= COMMAND_MAX_SLOT;
}

/* The same rules for what is sent and what is received. */
static bool is_valid(const struct command *command)
{
	if (!command->id)
		return false;
	switch (command->verb) {
	case COMMAND_CONFIGURE:
		return command->cpus >= 1 && command->cpus <= COMMAND_MAX_CPUS && command->memory;
	case COMMAND_ATTACH:
	case COMMAND_RELINK:
		return slot_is_valid(command->slot);
	case COMMAND_DETACH:
		return slot_is_valid(command->slot) && !(command->flags & ~COMMAND_DETACH_FORCE);
	case COMMAND_RESIZE:
		return command->size;
	case COMMAND_START:
	case COMMAND_PAUSE:
	case COMMAND_RESUME:
	case COMMAND_SHUTDOWN:
	case COMMAND_RESET:
	case COMMAND_KILL:
	case COMMAND_FREEZE:
	case COMMAND_THAW:
	case COMMAND_MEET:
	case COMMAND_HAND_OVER:
	case COMMAND_SYNC:
		return true;
	}
	return false;
}

static void encode_body(const struct command *command, struct writer *body)
{
	size_t length;

	switch (command->verb) {
	case COMMAND_CONFIGURE:
		length = strnlen(command->line, sizeof(command->line));
		writer_u64(body, command->memory);
		writer_u32(body, command->cpus);
		writer_u32(body, (uint32_t)length);
		writer_put(body, command->line, length);
		break;
	case COMMAND_DETACH:
		writer_u32(body, command->slot);
		writer_u32(body, command->flags);
		break;
	case COMMAND_ATTACH:
	case COMMAND_RELINK:
		writer_u32(body, command->slot);
		break;
	case COMMAND_RESIZE:
		writer_u64(body, command->size);
		break;
	default:
		break;
	}
}

int command_encode(const struct command *command, void *buffer, size_t size)
{
	uint8_t bytes[COMMAND_MAX_SIZE];
	struct writer body, header;
	size_t length;

	if (!is_valid(command) || command->line[COMMAND_LINE_MAX])
		return -EINVAL;
	body = writer_make(bytes + COMMAND_HEADER_SIZE, sizeof(bytes) - COMMAND_HEADER_SIZE);
	encode_body(command, &body);
	length = sizeof(bytes) - COMMAND_HEADER_SIZE - body.left;
	header = writer_make(bytes, COMMAND_HEADER_SIZE);
	writer_u32(&header, COMMAND_MAGIC);
	writer_u16(&header, (uint16_t)command->verb);
	writer_u16(&header, (uint16_t)length);
	writer_u32(&header, command->id);
	writer_u32(&header, 0);
	if (length + COMMAND_HEADER_SIZE > size)
		return -ENOSPC;
	memcpy(buffer, bytes, length + COMMAND_HEADER_SIZE);
	return (int)(length + COMMAND_HEADER_SIZE);
}

static void decode_body(struct command *command, struct cursor *body)
{
	uint32_t length;

	switch (command->verb) {
	case COMMAND_CONFIGURE:
		command->memory = cursor_u64(body);
		command->cpus = cursor_u32(body);
		length = cursor_u32(body);
		if (length > COMMAND_LINE_MAX)
			body->failed = true;
		else
			cursor_copy(body, command->line, length);
		break;
	case COMMAND_DETACH:
		command->slot = cursor_u32(body);
		command->flags = cursor_u32(body);
		break;
	case COMMAND_ATTACH:
	case COMMAND_RELINK:
		command->slot = cursor_u32(body);
		break;
	case COMMAND_RESIZE:
		command->size = cursor_u64(body);
		break;
	default:
		break;
	}
}

int command_decode(struct command *command, const void *buffer, size_t length)
{
	struct cursor header = cursor_make(buffer, length);
	uint32_t magic = cursor_u32(&header);
	uint16_t verb = cursor_u16(&header);
	uint16_t body_length = cursor_u16(&header);
	uint32_t id = cursor_u32(&header);
	uint32_t zero = cursor_u32(&header);
	struct cursor body;

	if (header.failed)
		return 0;
	if (magic != COMMAND_MAGIC || zero || body_length > COMMAND_MAX_SIZE - COMMAND_HEADER_SIZE)
		return -EPROTO;
	if (body_length > header.left)
		return 0;
	memset(command, 0, sizeof(*command));
	command->verb = (enum command_verb)verb;
	command->id = id;
	body = cursor_make(header.at, body_length);
	decode_body(command, &body);
	if (body.failed || body.left || !is_valid(command))
		return -EPROTO;
	return (int)(COMMAND_HEADER_SIZE + body_length);
}
