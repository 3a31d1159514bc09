/* SPDX-License-Identifier: Apache-2.0 */
/* Identify (Base 5.17, NVM Command Set 4.1.5). */
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "nvme_private.h"

#define OPTIMAL_UNIT 4096u /* the unit of encryption and of discard */

static bool has_nguid(const struct nvme_setup *setup)
{
	static const uint8_t none[16];

	return memcmp(setup->nguid, none, sizeof(none)) != 0;
}

/* Base 4.5: two controllers with one name are one subsystem to a host, so it is made of the NGUID.
 */
static void name_subsystem(const struct nvme_setup *setup, char *name, size_t size)
{
	const uint8_t *id = setup->nguid;

	if (!has_nguid(setup))
		return;
	snprintf(name, size,
		 "nqn.2014-08.org.nvmexpress:uuid:%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-"
		 "%02x%02x%02x%02x%02x%02x",
		 id[0], id[1], id[2], id[3], id[4], id[5], id[6], id[7], id[8], id[9], id[10],
		 id[11], id[12], id[13], id[14], id[15]);
}

static uint16_t identify_controller(struct nvme *nvme, uint8_t *page)
{
	const struct nvme_setup *setup = nvme->setup;
	struct nvme_identify_controller id = {
		.vid = setup->vendor,
		.ssvid = setup->subsystem_vendor,
		.mdts = NVME_MDTS,
		.ver = NVME_VERSION,
		.rtd3r = 1000000,
		.rtd3e = 1000000, /* microseconds; hosts take it as the limit of a shutdown */
		.oaes = NVME_OAES_NAMESPACE,
		.ctratt = NVME_CTRATT_HOST_ID,
		.cntrltype = 1, /* I/O controller */
		.oacs = NVME_OACS_DOORBELL_BUFFERS,
		.acl = 3,
		.aerl = NVME_EVENT_REQUESTS - 1,
		.frmw = 0x3, /* one slot, read only */
		.lpa = 0x27, /* SMART per namespace, effects, long pages, supported pages */
		.elpe = NVME_ERROR_ENTRIES - 1,
		.wctemp = 343,
		.cctemp = 373,
		.tnvmcap = {nvme->state->size},
		.sqes = NVME_SQES << 4 | NVME_SQES,
		.cqes = NVME_CQES << 4 | NVME_CQES,
		.nn = 1,
		/* compare, dataset management, write zeroes, save/select, timestamp, verify, copy
		 */
		.oncs = 0x1dd,
		.fuses = 0x1, /* compare and write, of one block (ACWU) */
		.ocfs = 0x1,  /* source ranges of format 0 */
		.sgls = NVME_SGLS_BYTES | NVME_SGLS_BIT_BUCKET | NVME_SGLS_LONGER,
		.vwc = 0x7, /* present, flushed for all namespaces too */
	};

	memcpy(id.sn, setup->serial, sizeof(id.sn));
	memcpy(id.mn, setup->model, sizeof(id.mn));
	memcpy(id.fr, setup->firmware, sizeof(id.fr));
	name_subsystem(setup, id.subnqn, sizeof(id.subnqn));
	id.psd[0].mp = 100; /* centiwatts; a value is asked for, hosts only show it */
	memcpy(page, &id, sizeof(id));
	return NVME_OK;
}

static uint16_t identify_namespace(struct nvme *nvme, uint8_t *page)
{
	const struct nvme_setup *setup = nvme->setup;
	uint64_t blocks = nvme->state->size / setup->lba_size;
	uint16_t unit = (uint16_t)(OPTIMAL_UNIT / setup->lba_size - 1);
	struct nvme_identify_namespace id = {
		.nsze = blocks,
		.ncap = blocks,
		.nuse = blocks,
		.nsfeat = 0x10, /* the preferred units below are given */
		.dlfeat = 0x9,	/* deallocated blocks read as zeros; write zeroes may deallocate */
		.nvmcap = {blocks * setup->lba_size},
		.npwg = unit,
		.npwa = unit,
		.npdg = unit,
		.npda = unit,
		.nows = unit,
		.mssrl = (uint16_t)(NVME_MAX_TRANSFER / setup->lba_size),
		.mcl = NVME_MAX_TRANSFER / setup->lba_size,
		.msrc = NVME_COPY_RANGES - 1,
		.lbaf[0].lbads = setup->lba_size == 512 ? 9 : 12,
	};

	memcpy(id.nguid, setup->nguid, sizeof(id.nguid));
	memcpy(page, &id, sizeof(id));
	return NVME_OK;
}

/* Base 5.17.2.3: (type, length, two reserved, value), ended by zeros. */
static uint16_t identify_descriptors(struct nvme *nvme, uint8_t *page)
{
	if (has_nguid(nvme->setup)) {
		page[0] = NVME_NIDT_NGUID;
		page[1] = sizeof(nvme->setup->nguid);
		memcpy(page + 4, nvme->setup->nguid, sizeof(nvme->setup->nguid));
		page += 4 + sizeof(nvme->setup->nguid);
	}
	page[0] = NVME_NIDT_CSI;
	page[1] = 1; /* and the value 0: the NVM command set */
	return NVME_OK;
}

static uint16_t identify_independent(struct nvme *nvme, uint8_t *page)
{
	(void)nvme;
	page[14] = 1; /* NSTAT: ready */
	return NVME_OK;
}

/* NVM Command Set, figure 100. Verify reads no more at once than there may be data. */
static uint16_t identify_nvm_controller(struct nvme *nvme, uint8_t *page)
{
	(void)nvme;
	page[0] = NVME_MDTS; /* VSL */
	return NVME_OK;
}

/* All zeros: no protection information. */
static uint16_t identify_nothing(struct nvme *nvme, uint8_t *page)
{
	(void)nvme;
	(void)page;
	return NVME_OK;
}

/* Base 5.17.2.21: one combination, of the NVM command set alone. */
static uint16_t identify_command_sets(struct nvme *nvme, uint8_t *page)
{
	(void)nvme;
	page[0] = 1;
	return NVME_OK;
}

/* The identifiers above NSID, in order. */
static uint16_t list_namespaces(uint32_t above, uint8_t *page)
{
	if (above >= NVME_NSID_ALL - 1)
		return NVME_INVALID_NAMESPACE;
	page[0] = above < 1;
	return NVME_OK;
}

enum needs { NEEDS_NOTHING, NEEDS_NAMESPACE, NEEDS_COMMAND_SET = 2, NEEDS_CONTROLLER = 4 };

struct structure {
	uint16_t (*fill)(struct nvme *nvme, uint8_t *page);
	unsigned needs;
};

static const struct structure structures[] = {
	[NVME_CNS_NAMESPACE] = {identify_namespace, NEEDS_NAMESPACE},
	[NVME_CNS_CONTROLLER] = {identify_controller, NEEDS_NOTHING},
	[NVME_CNS_DESCRIPTORS] = {identify_descriptors, NEEDS_NAMESPACE},
	[NVME_CNS_CSI_NAMESPACE] = {identify_nothing, NEEDS_NAMESPACE | NEEDS_COMMAND_SET},
	[NVME_CNS_CSI_CONTROLLER] = {identify_nvm_controller, NEEDS_COMMAND_SET},
	[NVME_CNS_INDEPENDENT_NAMESPACE] = {identify_independent, NEEDS_NAMESPACE},
	[NVME_CNS_COMMAND_SETS] = {identify_command_sets, NEEDS_CONTROLLER},
};

static uint16_t fill(struct nvme *nvme, const struct nvme_command *command, uint8_t *page)
{
	uint32_t cns = command->cdw10 & 0xff, controller = command->cdw10 >> 16;
	uint32_t command_set = command->cdw11 >> 24;
	const struct structure *structure = &structures[cns % ARRAY_LEN(structures)];

	if (cns == NVME_CNS_ACTIVE_LIST || (cns == NVME_CNS_CSI_ACTIVE_LIST && !command_set))
		return list_namespaces(command->nsid, page);
	if (cns >= ARRAY_LEN(structures) || !structure->fill)
		return NVME_INVALID_FIELD;
	if (structure->needs & NEEDS_COMMAND_SET && command_set)
		return NVME_INVALID_FIELD;
	if (structure->needs & NEEDS_CONTROLLER && controller && controller != 0xffff)
		return NVME_INVALID_FIELD;
	if (structure->needs & NEEDS_NAMESPACE && command->nsid != 1)
		return NVME_INVALID_NAMESPACE;
	return structure->fill(nvme, page);
}

uint16_t nvme_identify(struct nvme *nvme, struct nvme_slot *slot)
{
	uint8_t page[NVME_PAGE] = {0};
	uint16_t status = fill(nvme, &slot->command, page);

	return status != NVME_OK ? status : nvme_send(nvme, &slot->command, page, sizeof(page));
}
