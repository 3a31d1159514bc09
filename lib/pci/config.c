/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A function's configuration space: a type 0 header and the capability list
 *
 *	0x40 power management -> 0x50 PCI Express -> 0x90 MSI-X (if there are vectors)
 *
 * Every byte has a mask of the bits that software may change; nothing else is ever changed by a
 * write.
 */
#include <errno.h>
#include <string.h>

#include "base/base.h"
#include "pci.h"

#define PM_OFFSET      0x40u
#define EXPRESS_OFFSET 0x50u
#define MSIX_OFFSET    0x90u

/* PCI Bus Power Management 1.2, 3.2 */
#define PM_VERSION	 0x0003u
#define PM_CONTROL	 4u
#define PM_STATE	 0x03u /* 0 = D0, 3 = D3hot; D1 and D2 are not supported */
#define PM_NO_SOFT_RESET 0x08u

/* PCIe 5.0, 7.5.3 */
#define EXPRESS_VERSION_2	0x0002u /* endpoint */
#define EXPRESS_DEVICE_CAP	0x04u
#define EXPRESS_DEVICE_CONTROL	0x08u
#define EXPRESS_LINK_CAP	0x0cu
#define EXPRESS_LINK_CONTROL	0x10u
#define EXPRESS_LINK_STATUS	0x12u
#define EXPRESS_DEVICE_CAP_2	0x24u
#define EXPRESS_DEVICE_CONTROL2 0x28u
#define EXPRESS_LINK_CAP_2	0x2cu
#define EXPRESS_LINK_CONTROL_2	0x30u
#define EXPRESS_FLR		0x8000u /* of device control: reads as 0 */

#define MSIX_CONTROL	    2u
#define MSIX_TABLE	    4u
#define MSIX_PENDING	    8u
#define STATUS_CAPABILITIES 0x0010u

static void put(uint8_t *bytes, uint32_t offset, unsigned width, uint32_t value)
{
	memcpy(bytes + offset, &value, width);
}

static void set(struct pci_config *config, uint32_t offset, unsigned width, uint32_t value,
		uint32_t writable)
{
	put(config->bytes, offset, width, value);
	put(config->writable, offset, width, writable);
}

static bool msix_is_sane(const struct pci_identity *identity)
{
	uint32_t table = identity->msix_table_offset, pending = identity->msix_pending_offset;
	uint64_t table_size = pci_msix_table_size(identity);
	uint64_t pending_size = pci_msix_pending_size(identity);
	uint64_t bar;

	if (!identity->msix_vectors)
		return true;
	if (identity->msix_vectors > PCI_MSIX_MAX || identity->msix_bar >= PCI_BARS)
		return false;
	bar = identity->bars[identity->msix_bar].size;
	return table % 8 == 0 && pending % 8 == 0 && range_within(table, table_size, bar) &&
	       range_within(pending, pending_size, bar) &&
	       !ranges_overlap(table, table_size, pending, pending_size);
}

static bool bar_is_sane(const struct pci_identity *identity, unsigned index)
{
	const struct pci_bar_spec *bar = &identity->bars[index];

	if (!bar->size)
		return true;
	if (!is_power_of_two(bar->size) || bar->size < 4096)
		return false;
	if (!bar->is_64bit)
		return bar->size <= 2 * GIB;
	return index + 1 < PCI_BARS && !identity->bars[index + 1].size;
}

static bool identity_is_sane(const struct pci_identity *identity)
{
	for (unsigned i = 0; i < PCI_BARS; i++) {
		if (!bar_is_sane(identity, i))
			return false;
	}
	return identity->class_code < 1u << 24 && msix_is_sane(identity);
}

/* PCI 3.0, 6.2.5.1: the bits below the size read as zeros, so that software finds the size. */
static void set_bars(struct pci_config *config, const struct pci_identity *identity)
{
	for (unsigned i = 0; i < PCI_BARS; i++) {
		const struct pci_bar_spec *bar = &identity->bars[i];
		uint32_t offset = PCI_BAR0 + 4 * i;
		uint64_t mask = ~(bar->size - 1);
		uint32_t type = (bar->is_64bit ? 4u : 0u) | (bar->prefetchable ? 8u : 0u);

		if (!bar->size)
			continue;
		set(config, offset, 4, type, (uint32_t)mask);
		if (bar->is_64bit)
			set(config, offset + 4, 4, 0, (uint32_t)(mask >> 32));
	}
}

static void set_header(struct pci_config *config, const struct pci_identity *identity)
{
	set(config, PCI_VENDOR_ID, 2, identity->vendor, 0);
	set(config, PCI_DEVICE_ID, 2, identity->device, 0);
	/* Memory, bus master, parity response, SERR#, interrupt disable; there is no I/O space. */
	set(config, PCI_COMMAND, 2, 0, 0x0546);
	set(config, PCI_STATUS, 2, STATUS_CAPABILITIES, 0);
	set(config, PCI_REVISION, 1, identity->revision, 0);
	set(config, PCI_CLASS_CODE, 3, identity->class_code, 0);
	set(config, 0x0c, 1, 0, 0xff); /* cache line size: PCIe 5.0, 7.5.1.1.7: no effect */
	set_bars(config, identity);
	set(config, PCI_SUBSYSTEM_VENDOR, 2, identity->subsystem_vendor, 0);
	set(config, PCI_SUBSYSTEM_ID, 2, identity->subsystem, 0);
	set(config, PCI_CAPABILITIES, 1, PM_OFFSET, 0);
	set(config, PCI_INTERRUPT_LINE, 1, 0, 0xff);
}

static void set_pm(struct pci_config *config)
{
	config->pm_capability = PM_OFFSET;
	set(config, PM_OFFSET, 2, PCI_CAP_PM | EXPRESS_OFFSET << 8, 0);
	set(config, PM_OFFSET + 2, 2, PM_VERSION, 0);
	set(config, PM_OFFSET + PM_CONTROL, 2, PM_NO_SOFT_RESET, PM_STATE);
}

/* A link of four lanes at 8 GT/s that is up; nobody trains it. */
static void set_express(struct pci_config *config, uint8_t next)
{
	const uint32_t base = EXPRESS_OFFSET;

	config->express_capability = EXPRESS_OFFSET;
	set(config, base, 2, PCI_CAP_EXPRESS | (uint32_t)next << 8, 0);
	set(config, base + 2, 2, EXPRESS_VERSION_2, 0);
	/* Function level reset, role-based error reporting, extended tags. */
	set(config, base + EXPRESS_DEVICE_CAP, 4, 1u << 28 | 1u << 15 | 1u << 5, 0);
	/* After reset: 512 byte reads, no snoop, relaxed ordering (7.5.3.4). */
	set(config, base + EXPRESS_DEVICE_CONTROL, 2, 0x2810, 0x79ff);
	set(config, base + EXPRESS_LINK_CAP, 4, 1u << 22 | 4u << 4 | 3u, 0);
	set(config, base + EXPRESS_LINK_CONTROL, 2, 0, 0x00c8);
	set(config, base + EXPRESS_LINK_STATUS, 2, 4u << 4 | 3u, 0);
	set(config, base + EXPRESS_DEVICE_CAP_2, 4, 1u << 4, 0);
	set(config, base + EXPRESS_DEVICE_CONTROL2, 2, 0, 1u << 4);
	set(config, base + EXPRESS_LINK_CAP_2, 4, 0x0e, 0);
	set(config, base + EXPRESS_LINK_CONTROL_2, 2, 3, 0x000f);
}

/* PCI 3.0, 6.8.2 */
static void set_msix(struct pci_config *config, const struct pci_identity *identity)
{
	const uint32_t base = MSIX_OFFSET;

	config->msix_capability = MSIX_OFFSET;
	set(config, base, 2, PCI_CAP_MSIX, 0);
	set(config, base + MSIX_CONTROL, 2, identity->msix_vectors - 1u,
	    PCI_MSIX_CONTROL_ENABLE | PCI_MSIX_CONTROL_MASK);
	set(config, base + MSIX_TABLE, 4, identity->msix_table_offset | identity->msix_bar, 0);
	set(config, base + MSIX_PENDING, 4, identity->msix_pending_offset | identity->msix_bar, 0);
}

int pci_config_init(struct pci_config *config, const struct pci_identity *identity)
{
	if (!identity_is_sane(identity))
		return -EINVAL;
	pci_config_reset(config, identity);
	return 0;
}

void pci_config_reset(struct pci_config *config, const struct pci_identity *identity)
{
	memset(config, 0, sizeof(*config));
	set_header(config, identity);
	set_pm(config);
	set_express(config, identity->msix_vectors ? MSIX_OFFSET : 0);
	if (identity->msix_vectors)
		set_msix(config, identity);
}

/* How many of `length` bytes from `offset` exist. */
static uint32_t length_within(uint32_t offset, uint32_t length)
{
	if (offset >= PCI_CONFIG_SIZE)
		return 0;
	return length < PCI_CONFIG_SIZE - offset ? length : PCI_CONFIG_SIZE - offset;
}

void pci_config_read(const struct pci_config *config, uint32_t offset, void *to, uint32_t length)
{
	uint32_t exists = length_within(offset, length);

	if (exists)
		memcpy(to, config->bytes + offset, exists);
	memset((uint8_t *)to + exists, 0, length - exists);
}

/* Registers that tell what the function is. */
static bool is_identity(uint32_t offset)
{
	return offset < PCI_COMMAND || (offset >= PCI_REVISION && offset < 0x0c) ||
	       (offset >= PCI_SUBSYSTEM_VENDOR && offset < PCI_ROM_BAR);
}

static bool power_state_is_supported(uint8_t control)
{
	return (control & PM_STATE) == 0 || (control & PM_STATE) == PM_STATE;
}

static unsigned write_byte(struct pci_config *config, uint32_t offset, uint8_t value)
{
	uint8_t old = config->bytes[offset];
	uint8_t mask = config->writable[offset];
	uint8_t new = (uint8_t)((old & ~mask) | (value & mask));
	uint8_t changed = old ^ new;

	/* PCI Bus Power Management 1.2, 3.2.4: a state that is not supported is not taken. */
	if (offset == PM_OFFSET + PM_CONTROL && !power_state_is_supported(new))
		return 0;
	config->bytes[offset] = new;
	if (offset == PCI_COMMAND && changed & (PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER))
		return PCI_EFFECT_COMMAND;
	if (config->msix_capability && offset == config->msix_capability + MSIX_CONTROL + 1 &&
	    changed)
		return PCI_EFFECT_MSIX;
	if (offset == config->express_capability + EXPRESS_DEVICE_CONTROL + 1 &&
	    value & EXPRESS_FLR >> 8)
		return PCI_EFFECT_RESET;
	if (is_identity(offset) && value != old)
		return PCI_EFFECT_REFUSED;
	return 0;
}

unsigned pci_config_write(struct pci_config *config, uint32_t offset, const void *from,
			  uint32_t length)
{
	uint32_t exists = length_within(offset, length);
	const uint8_t *bytes = from;
	unsigned effects = 0;

	for (uint32_t i = 0; i < exists; i++)
		effects |= write_byte(config, offset + i, bytes[i]);
	return effects;
}

int pci_config_check(const struct pci_config *config, const struct pci_identity *identity)
{
	struct pci_config is = *config;
	struct pci_config must;

	if (pci_config_init(&must, identity))
		return -EPROTO;
	if (!power_state_is_supported(is.bytes[PM_OFFSET + PM_CONTROL]))
		return -EPROTO;
	for (uint32_t i = 0; i < PCI_CONFIG_SIZE; i++)
		is.bytes[i] = (uint8_t)((is.bytes[i] & ~must.writable[i]) |
					(must.bytes[i] & must.writable[i]));
	return memcmp(&is, &must, sizeof(is)) ? -EPROTO : 0;
}

bool pci_config_is_master(const struct pci_config *config)
{
	return config->bytes[PCI_COMMAND] & PCI_COMMAND_MASTER;
}

uint32_t pci_msix_table_size(const struct pci_identity *identity)
{
	return identity->msix_vectors * PCI_MSIX_ENTRY;
}

uint32_t pci_msix_pending_size(const struct pci_identity *identity)
{
	return (identity->msix_vectors + 63u) / 64 * 8;
}
