/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "base/base.h"
#include "bus.h"
#include "machine.h"

/* The host bridge: it is there because software expects function 0:0.0 to exist. */
#define BRIDGE_IDENTITY (0x00ff0000u | KARUTA_PCI_VENDOR)
#define BRIDGE_CLASS	0x06000000u

void bus_init(struct bus *bus, struct machine *machine, uint64_t window64, uint64_t window64_end)
{
	*bus = (struct bus){.machine = machine, .window64 = window64, .window64_end = window64_end};
	pthread_mutex_init(&bus->windows_lock, NULL);
	for (unsigned i = 0; i < BUS_SLOTS; i++)
		slot_init(&bus->slots[i], machine, i);
}

void bus_reset(struct bus *bus)
{
	for (unsigned i = 1; i < BUS_SLOTS; i++)
		slot_reset(&bus->slots[i]);
}

void bus_interrupt(struct bus *bus)
{
	for (unsigned i = 1; i < BUS_SLOTS; i++)
		slot_interrupt(&bus->slots[i]);
}

bool bus_allows(const struct bus *bus, uint64_t address, uint64_t size)
{
	if (address >= BUS_WINDOW32 && address < BUS_WINDOW32_END)
		return size <= BUS_WINDOW32_END - address;
	return address >= bus->window64 && address < bus->window64_end &&
	       size <= bus->window64_end - address;
}

void bus_set_windows(struct bus *bus, unsigned slot, const struct pci_bar *bars)
{
	struct pci_bar *windows = bus->windows[slot];

	pthread_mutex_lock(&bus->windows_lock);
	memset(windows, 0, sizeof(bus->windows[slot]));
	for (unsigned i = 0; bars && i < PCI_BARS; i++)
		if (bus_allows(bus, bars[i].address, bars[i].size))
			windows[i] = bars[i];
	pthread_mutex_unlock(&bus->windows_lock);
}

/* The slot that decodes this address, and what of it; NULL: nobody. */
static struct slot *find(struct bus *bus, uint64_t address, uint32_t length, unsigned *bar,
			 uint64_t *offset)
{
	int found = -ENOENT;
	unsigned i;

	pthread_mutex_lock(&bus->windows_lock);
	for (i = 1; i < BUS_SLOTS; i++) {
		found = pci_bars_find(bus->windows[i], address, length, offset);
		if (found >= 0)
			break;
	}
	pthread_mutex_unlock(&bus->windows_lock);
	if (found < 0)
		return NULL;
	*bar = (unsigned)found;
	return &bus->slots[i];
}

static void bridge_read(uint32_t offset, void *to, uint32_t length)
{
	static const uint32_t header[] = {BRIDGE_IDENTITY, 0, BRIDGE_CLASS};

	memset(to, 0, length);
	if (range_within(offset, length, sizeof(header)))
		memcpy(to, (const uint8_t *)header + offset, length);
}

/* An ECAM address: function number in bits 12 and up, register below. NULL: no such function. */
static struct slot *config_of(struct bus *bus, uint64_t address, uint32_t length, uint32_t *offset)
{
	uint32_t function = (uint32_t)((address - BUS_ECAM) / PCI_ECAM_SIZE);

	*offset = (uint32_t)(address % PCI_ECAM_SIZE);
	if (function % 8 || length > PCI_ECAM_SIZE - *offset)
		return NULL;
	return &bus->slots[function / 8];
}

static bool is_config(uint64_t address)
{
	return address >= BUS_ECAM && address - BUS_ECAM < BUS_ECAM_SIZE;
}

static bool config_read(struct bus *bus, uint64_t address, void *to, uint32_t length)
{
	uint32_t offset;
	struct slot *slot = config_of(bus, address, length, &offset);

	status_count(bus->machine->status, STATUS_HV_CONFIG, 1);
	if (slot && slot != bus->slots)
		return slot_config_read(slot, offset, to, length);
	if (slot)
		bridge_read(offset, to, length);
	else
		memset(to, 0xff, length);
	return true;
}

static bool config_write(struct bus *bus, uint64_t address, const void *from, uint32_t length)
{
	uint32_t offset;
	struct slot *slot = config_of(bus, address, length, &offset);

	status_count(bus->machine->status, STATUS_HV_CONFIG, 1);
	return !slot || slot == bus->slots || slot_config_write(slot, offset, from, length);
}

bool bus_read(struct bus *bus, uint64_t address, void *to, uint32_t length)
{
	uint64_t offset;
	unsigned bar;
	struct slot *slot;

	if (is_config(address))
		return config_read(bus, address, to, length);
	slot = find(bus, address, length, &bar, &offset);
	if (slot)
		return slot_read(slot, bar, offset, to, length);
	status_count(bus->machine->status, STATUS_HV_GUEST_ERRORS, 1);
	memset(to, 0xff, length);
	return true;
}

bool bus_write(struct bus *bus, uint64_t address, const void *from, uint32_t length)
{
	uint64_t offset;
	unsigned bar;
	struct slot *slot;

	if (is_config(address))
		return config_write(bus, address, from, length);
	slot = find(bus, address, length, &bar, &offset);
	if (slot)
		return slot_write(slot, bar, offset, from, length);
	status_count(bus->machine->status, STATUS_HV_GUEST_ERRORS, 1);
	return true;
}
