/* SPDX-License-Identifier: Apache-2.0 */
/* Admin commands: the table of those there are, and what no guest may try. */
#include "base/base.h"
#include "nvme_private.h"

struct admin_command {
	uint16_t (*carry_out)(struct nvme *nvme, struct nvme_slot *slot);
	uint32_t effects; /* Base 5.16.1.6 */
};

#define CONTROLLER (NVME_EFFECT_SUPPORTED | NVME_SCOPE_CONTROLLER)

static const struct admin_command admin_commands[] = {
	[NVME_ADMIN_DELETE_SQ] = {nvme_delete_sq, CONTROLLER},
	[NVME_ADMIN_CREATE_SQ] = {nvme_create_sq, CONTROLLER},
	[NVME_ADMIN_GET_LOG_PAGE] = {nvme_get_log_page, CONTROLLER},
	[NVME_ADMIN_DELETE_CQ] = {nvme_delete_cq, CONTROLLER},
	[NVME_ADMIN_CREATE_CQ] = {nvme_create_cq, CONTROLLER},
	[NVME_ADMIN_IDENTIFY] = {nvme_identify, CONTROLLER},
	[NVME_ADMIN_ABORT] = {nvme_abort, CONTROLLER},
	[NVME_ADMIN_SET_FEATURES] = {nvme_set_features, CONTROLLER},
	[NVME_ADMIN_GET_FEATURES] = {nvme_get_features, CONTROLLER},
	[NVME_ADMIN_ASYNC_EVENT] = {nvme_event_request, CONTROLLER},
	[NVME_ADMIN_DOORBELL_BUFFERS] = {nvme_configure_doorbells, CONTROLLER},
};

/* Not for a guest of somebody else's hardware: refused, and told. */
static const uint8_t forbidden[] = {
	NVME_ADMIN_NAMESPACE_MANAGEMENT,
	NVME_ADMIN_FIRMWARE_COMMIT,
	NVME_ADMIN_FIRMWARE_DOWNLOAD,
	NVME_ADMIN_NAMESPACE_ATTACHMENT,
	NVME_ADMIN_DIRECTIVE_SEND,
	NVME_ADMIN_DIRECTIVE_RECEIVE,
	NVME_ADMIN_VIRTUALIZATION,
	NVME_ADMIN_MI_SEND,
	NVME_ADMIN_MI_RECEIVE,
	NVME_ADMIN_CAPACITY,
	NVME_ADMIN_LOCKDOWN,
	NVME_ADMIN_FORMAT,
	NVME_ADMIN_SECURITY_SEND,
	NVME_ADMIN_SECURITY_RECEIVE,
	NVME_ADMIN_SANITIZE,
};

static bool is_forbidden(uint8_t opcode)
{
	for (size_t i = 0; i < ARRAY_LEN(forbidden); i++)
		if (forbidden[i] == opcode)
			return true;
	return opcode >= NVME_ADMIN_VENDOR;
}

uint32_t nvme_admin_effects(uint8_t opcode)
{
	return opcode < ARRAY_LEN(admin_commands) ? admin_commands[opcode].effects : 0;
}

uint16_t nvme_admin(struct nvme *nvme, uint32_t index)
{
	struct nvme_slot *slot = &nvme->state->slots[index];
	uint8_t opcode = slot->command.opcode;

	if (!nvme_admin_effects(opcode)) {
		if (is_forbidden(opcode))
			nvme_tell(nvme, NVME_EVENT_FORBIDDEN_COMMAND, opcode);
		return NVME_INVALID_OPCODE;
	}
	/* Neither fused commands nor SGLs (Base 3.3.3.1, figure 86). */
	if (slot->command.flags & (NVME_FLAGS_FUSE | NVME_FLAGS_PSDT))
		return NVME_AT(slot, flags, NVME_INVALID_FIELD);
	return admin_commands[opcode].carry_out(nvme, slot);
}
