/* SPDX-License-Identifier: Apache-2.0 */
/* MSI-X as the host keeps it: the table lives here, not in the card (PCI 3.0, 6.8.2). */
#include <errno.h>
#include <string.h>

#include "base/base.h"
#include "pci.h"

#define CAPABILITY_SIZE	    12u
#define STATUS_CAPABILITIES 0x10u
#define MOST_CAPABILITIES   48u /* as many as fit behind the header: a longer list is a ring */
#define ENTRY_MASKED	    1u

static uint16_t get16(const uint8_t *bytes)
{
	uint16_t value;

	memcpy(&value, bytes, sizeof(value));
	return value;
}

static uint32_t get32(const uint8_t *bytes)
{
	uint32_t value;

	memcpy(&value, bytes, sizeof(value));
	return value;
}

int pci_find_capability(const uint8_t config[PCI_CONFIG_SIZE], uint8_t id, uint32_t size)
{
	unsigned at = config[PCI_CAPABILITIES] & 0xfcu;

	if (!(get16(config + PCI_STATUS) & STATUS_CAPABILITIES))
		return -ENOENT;
	for (unsigned seen = 0; at && seen < MOST_CAPABILITIES; seen++) {
		if (at < PCI_FIRST_CAPABILITY)
			return -EINVAL;
		if (config[at] == id)
			return range_within(at, size, PCI_CONFIG_SIZE) ? (int)at : -EINVAL;
		at = config[at + 1] & 0xfcu;
	}
	return at ? -EINVAL : -ENOENT;
}

static uint32_t pending_size(unsigned vectors)
{
	return (vectors + 63) / 64 * 8;
}

static bool in_bar(uint8_t bar, uint32_t offset, uint32_t size, const uint64_t bar_sizes[PCI_BARS])
{
	return bar < PCI_BARS && range_within(offset, size, bar_sizes[bar]);
}

static bool is_sane(const struct pci_msix *msix, const uint64_t bar_sizes[PCI_BARS])
{
	uint32_t table_size = msix->vectors * PCI_MSIX_ENTRY;
	uint32_t pending = pending_size(msix->vectors);

	if (!in_bar(msix->table_bar, msix->table_offset, table_size, bar_sizes) ||
	    !in_bar(msix->pending_bar, msix->pending_offset, pending, bar_sizes))
		return false;
	return msix->table_bar != msix->pending_bar ||
	       !ranges_overlap(msix->table_offset, table_size, msix->pending_offset, pending);
}

int pci_msix_find(struct pci_msix *msix, const uint8_t config[PCI_CONFIG_SIZE],
		  const uint64_t bar_sizes[PCI_BARS])
{
	int at = pci_find_capability(config, PCI_CAP_MSIX, CAPABILITY_SIZE);
	uint32_t table, pending;

	*msix = (struct pci_msix){0};
	if (at == -ENOENT)
		return 0;
	if (at < 0)
		return at;
	table = get32(config + at + 4);
	pending = get32(config + at + 8);
	msix->capability = (uint8_t)at;
	msix->vectors = (uint16_t)((get16(config + at + 2) & (PCI_MSIX_MAX - 1)) + 1);
	msix->table_bar = table & 7;
	msix->table_offset = table & ~7u;
	msix->pending_bar = pending & 7;
	msix->pending_offset = pending & ~7u;
	return is_sane(msix, bar_sizes) ? 0 : -EINVAL;
}

void pci_msix_reset(struct pci_msix *msix)
{
	msix->enabled = false;
	msix->function_masked = false;
	for (unsigned i = 0; i < msix->vectors; i++)
		msix->table[i] = (struct pci_msix_entry){.control = ENTRY_MASKED};
}

static bool in_table(const struct pci_msix *msix, uint32_t offset, uint32_t length)
{
	return range_within(offset, length, msix->vectors * PCI_MSIX_ENTRY);
}

_Static_assert(sizeof(struct pci_msix_entry) == PCI_MSIX_ENTRY, "an entry is as the guest sees it");

void pci_msix_table_read(const struct pci_msix *msix, uint32_t offset, void *to, uint32_t length)
{
	memset(to, 0, length);
	if (in_table(msix, offset, length))
		memcpy(to, (const uint8_t *)msix->table + offset, length);
}

int pci_msix_table_write(struct pci_msix *msix, uint32_t offset, const void *from, uint32_t length)
{
	uint32_t vector = offset / PCI_MSIX_ENTRY, within = offset % PCI_MSIX_ENTRY;

	/* Accesses are aligned to 4 or 8 bytes (6.8.2): none has to touch two entries. */
	if (!length || !in_table(msix, offset, length) || length > PCI_MSIX_ENTRY - within)
		return -1;
	memcpy((uint8_t *)&msix->table[vector] + within, from, length);
	msix->table[vector].control &= ENTRY_MASKED;
	return (int)vector;
}

bool pci_msix_is_live(const struct pci_msix *msix, unsigned vector)
{
	return vector < msix->vectors && msix->enabled && !msix->function_masked &&
	       !(msix->table[vector].control & ENTRY_MASKED);
}
