/* SPDX-License-Identifier: Apache-2.0 */
/* Base address registers as the host keeps them (PCI 3.0, 6.2.5.1). */
#include <errno.h>
#include <string.h>

#include "base/base.h"
#include "pci.h"

#define BARS_END (PCI_BAR0 + 4 * PCI_BARS)

#define TYPE_IO		   0x1u
#define TYPE_WIDTH	   0x6u
#define TYPE_64BIT	   0x4u
#define SMALLEST	   UINT64_C(16)
#define LARGEST_IN_32_BITS (UINT64_C(1) << 31)
#define LARGEST		   (UINT64_C(1) << 46)

static int init_one(struct pci_bar *bar, uint64_t size, uint32_t type)
{
	bool is_64bit = (type & TYPE_WIDTH) == TYPE_64BIT;

	if (type & TYPE_IO || (!is_64bit && type & TYPE_WIDTH))
		return -EINVAL; /* I/O space, or a width that does not exist any more */
	if (!is_power_of_two(size) || size < SMALLEST ||
	    size > (is_64bit ? LARGEST : LARGEST_IN_32_BITS))
		return -EINVAL;
	*bar = (struct pci_bar){.size = size, .type = type & 0xf, .is_64bit = is_64bit};
	return 0;
}

int pci_bars_init(struct pci_bar bars[PCI_BARS], const uint64_t sizes[PCI_BARS],
		  const uint32_t types[PCI_BARS])
{
	memset(bars, 0, PCI_BARS * sizeof(*bars));
	for (unsigned i = 0; i < PCI_BARS; i++) {
		if (!sizes[i])
			continue;
		if (init_one(&bars[i], sizes[i], types[i]) < 0)
			return -EINVAL;
		if (!bars[i].is_64bit)
			continue;
		if (i + 1 == PCI_BARS || sizes[i + 1])
			return -EINVAL; /* no room for its upper half */
		bars[++i].is_upper = true;
	}
	return 0;
}

static void image_make(const struct pci_bar bars[PCI_BARS], uint32_t image[PCI_BARS])
{
	for (unsigned i = 0; i < PCI_BARS; i++) {
		if (bars[i].is_upper)
			image[i] = (uint32_t)(bars[i - 1].address >> 32);
		else
			image[i] = (uint32_t)bars[i].address | bars[i].type;
	}
}

static bool in_registers(uint32_t offset, uint32_t length)
{
	return offset >= PCI_BAR0 && offset < BARS_END && length <= BARS_END - offset;
}

void pci_bars_read(const struct pci_bar bars[PCI_BARS], uint32_t offset, void *to, uint32_t length)
{
	uint32_t image[PCI_BARS];

	memset(to, 0, length);
	if (!in_registers(offset, length))
		return;
	image_make(bars, image);
	memcpy(to, (const uint8_t *)image + (offset - PCI_BAR0), length);
}

bool pci_bars_write(struct pci_bar bars[PCI_BARS], uint32_t offset, const void *from,
		    uint32_t length)
{
	uint32_t image[PCI_BARS];
	bool changed = false;

	if (!in_registers(offset, length))
		return false;
	image_make(bars, image);
	memcpy((uint8_t *)image + (offset - PCI_BAR0), from, length);
	for (unsigned i = 0; i < PCI_BARS; i++) {
		uint64_t address = image[i];

		if (!bars[i].size)
			continue;
		if (bars[i].is_64bit)
			address |= (uint64_t)image[i + 1] << 32;
		address = align_down(address, bars[i].size);
		changed |= address != bars[i].address;
		bars[i].address = address;
	}
	return changed;
}

int pci_bars_find(const struct pci_bar bars[PCI_BARS], uint64_t address, uint32_t length,
		  uint64_t *offset)
{
	for (unsigned i = 0; i < PCI_BARS; i++) {
		const struct pci_bar *bar = &bars[i];

		/* Address 0 is a BAR that nobody has placed yet. */
		if (!bar->size || !bar->address || address < bar->address)
			continue;
		if (!range_within(address - bar->address, length, bar->size))
			continue;
		*offset = address - bar->address;
		return (int)i;
	}
	return -ENOENT;
}
