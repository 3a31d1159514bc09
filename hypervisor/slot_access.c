/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's accesses to a card: configuration space and base address regions. vCPU threads. */
#include <string.h>

#include "base/base.h"
#include "machine.h"
#include "slot.h"
#include "vfu/vfu_client.h"

#define REGION_CONFIG	7u
#define MULTIFUNCTION	0x80u
#define EXPRESS_CONTROL 8u /* from the capability on; its bit 15 starts a function level reset */
#define EXPRESS_RESET	0x80u

/* Can an access be done? With the lock held, which is given away while a card that died is waited
 * for. */
enum presence { PRESENT, ABSENT, INTERRUPTED };

static enum presence await(struct slot *slot)
{
	struct machine *machine = slot->machine;
	bool waited = false;

	while (slot->client ? vfu_client_is_dead(slot->client) : slot->lost != NULL) {
		/* That it is dead is the main thread's business. */
		if (slot->client)
			machine_request(machine, REQUEST_SLOTS);
		if (!atomic_load(&machine->run))
			return INTERRUPTED;
		waited = true;
		pthread_cond_wait(&slot->changed, &slot->lock);
	}
	if (slot->client)
		return PRESENT;
	if (waited)
		status_count(machine->status, STATUS_HV_BUS_TIMEOUTS, 1);
	return ABSENT;
}

/* The access came to nothing: the card died of it, or before. It is begun again. */
static bool has_died(const struct slot *slot)
{
	return vfu_client_is_dead(slot->client);
}

/* ---- configuration space ---- */

static bool is_bar(uint32_t offset)
{
	return offset >= PCI_BAR0 && offset < PCI_BAR0 + 4 * PCI_BARS;
}

static bool is_rom(uint32_t offset)
{
	return offset >= PCI_ROM_BAR && offset < PCI_ROM_BAR + 4;
}

static bool is_msix_control(const struct slot *slot, uint32_t offset)
{
	return slot->msix.vectors && offset >= slot->msix.capability + 2u &&
	       offset < slot->msix.capability + 4u;
}

/* What a function is does not change while it is in the slot: no need to ask it again. */
static bool is_identity(uint32_t offset)
{
	return offset < PCI_COMMAND || (offset >= PCI_REVISION && offset < 0x0c) ||
	       offset == PCI_HEADER_TYPE || offset == PCI_CAPABILITIES ||
	       (offset >= PCI_SUBSYSTEM_VENDOR && offset < PCI_ROM_BAR);
}

static uint8_t msix_control_byte(const struct slot *slot, uint32_t offset)
{
	uint16_t control = (uint16_t)(slot->msix.vectors - 1u);

	if (slot->msix.enabled)
		control |= PCI_MSIX_CONTROL_ENABLE;
	if (slot->msix.function_masked)
		control |= PCI_MSIX_CONTROL_MASK;
	return (uint8_t)(offset == slot->msix.capability + 2u ? control : control >> 8);
}

/* A byte that the host answers for. */
static bool own_byte(const struct slot *slot, uint32_t offset, uint8_t *value)
{
	if (is_bar(offset))
		pci_bars_read(slot->bars, offset, value, 1);
	else if (is_rom(offset) || offset == PCI_INTERRUPT_PIN || offset >= slot->config_size)
		*value = 0; /* no ROM, no INTx, nothing behind the end */
	else if (is_msix_control(slot, offset))
		*value = msix_control_byte(slot, offset);
	else if (is_identity(offset))
		*value = slot->config[offset] &
			 (offset == PCI_HEADER_TYPE ? (uint8_t)~MULTIFUNCTION : 0xffu);
	else
		return false;
	return true;
}

static void config_read(struct slot *slot, uint32_t offset, uint8_t *to, uint32_t length)
{
	uint8_t value;
	uint32_t own = 0, asked = (uint32_t)min_u64(
				  length, slot->config_size - min_u64(offset, slot->config_size));

	memset(to, 0, length);
	for (uint32_t i = 0; i < length; i++)
		own += own_byte(slot, offset + i, &value);
	if (own < length && vfu_client_read(slot->client, REGION_CONFIG, offset, to, asked) < 0) {
		memset(to, 0xff, length);
		return;
	}
	for (uint32_t i = 0; i < length; i++)
		if (own_byte(slot, offset + i, &value))
			to[i] = value;
}

bool slot_config_read(struct slot *slot, uint32_t offset, void *to, uint32_t length)
{
	enum presence presence;

	memset(to, 0xff, length);
	pthread_mutex_lock(&slot->lock);
	while ((presence = await(slot)) == PRESENT) {
		config_read(slot, offset, to, length);
		slot_refresh_doorbells(slot);
		if (!has_died(slot))
			break;
	}
	if (presence == ABSENT)
		memset(to, 0xff, length);
	pthread_mutex_unlock(&slot->lock);
	return presence != INTERRUPTED;
}

void slot_update_windows(struct slot *slot)
{
	const struct bus *bus = &slot->machine->bus;
	uint64_t decode[PCI_BARS] = {0};
	bool on = slot->command & PCI_COMMAND_MEMORY;

	for (unsigned i = 0; on && i < PCI_BARS; i++)
		if (bus_allows(bus, slot->bars[i].address, slot->bars[i].size))
			decode[i] = slot->bars[i].address;
	bus_set_windows(&slot->machine->bus, slot->number, on ? slot->bars : NULL);
	doorbells_update(&slot->doorbells, slot->machine->vm, decode);
}

/* A byte that changes something on the host's side as well. */
static void note_byte(struct slot *slot, uint32_t offset, uint8_t value)
{
	if (offset == PCI_COMMAND) {
		slot->command = value;
		slot_update_windows(slot);
	} else if (slot->msix.vectors && offset == slot->msix.capability + 3u) {
		slot->msix.enabled = value & PCI_MSIX_CONTROL_ENABLE >> 8;
		slot->msix.function_masked = value & PCI_MSIX_CONTROL_MASK >> 8;
		vectors_update(&slot->vectors, &slot->msix, slot->client);
	} else if (slot->express > 0 && offset == (uint32_t)slot->express + EXPRESS_CONTROL + 1 &&
		   value & EXPRESS_RESET) {
		slot_forget(slot);
	}
}

/* Within one register of four bytes. */
static void config_write(struct slot *slot, uint32_t offset, const uint8_t *from, uint32_t length)
{
	if (is_bar(offset)) {
		if (pci_bars_write(slot->bars, offset, from, length))
			slot_update_windows(slot);
		return;
	}
	if (is_rom(offset) || !range_within(offset, length, slot->config_size))
		return;
	vfu_client_write(slot->client, REGION_CONFIG, offset, from, length);
	for (uint32_t i = 0; i < length; i++)
		note_byte(slot, offset + i, from[i]);
}

static void config_write_all(struct slot *slot, uint32_t offset, const uint8_t *from,
			     uint32_t length)
{
	uint32_t step;

	for (; length; offset += step, from += step, length -= step) {
		step = (uint32_t)min_u64(length, 4 - offset % 4);
		config_write(slot, offset, from, step);
	}
}

bool slot_config_write(struct slot *slot, uint32_t offset, const void *from, uint32_t length)
{
	enum presence presence;

	pthread_mutex_lock(&slot->lock);
	while ((presence = await(slot)) == PRESENT) {
		config_write_all(slot, offset, from, length);
		slot_refresh_doorbells(slot);
		/* Of the write, or of what followed from it: each can be done twice. */
		if (!has_died(slot))
			break;
	}
	pthread_mutex_unlock(&slot->lock);
	return presence != INTERRUPTED;
}

/* ---- base address regions ---- */

static bool in_table(const struct pci_msix *msix, unsigned bar, uint64_t offset)
{
	return msix->vectors && bar == msix->table_bar && offset >= msix->table_offset &&
	       offset - msix->table_offset < msix->vectors * PCI_MSIX_ENTRY;
}

static bool in_pending(const struct pci_msix *msix, unsigned bar, uint64_t offset)
{
	return msix->vectors && bar == msix->pending_bar && offset >= msix->pending_offset &&
	       offset - msix->pending_offset < (msix->vectors + 63u) / 64 * 8;
}

/* The BAR may have moved between the look-up and now. */
static bool is_there(const struct slot *slot, unsigned bar, uint64_t offset, uint32_t length)
{
	return slot->command & PCI_COMMAND_MEMORY &&
	       range_within(offset, length, slot->bars[bar].size);
}

static void region_read(struct slot *slot, unsigned bar, uint64_t offset, void *to, uint32_t length)
{
	const struct pci_msix *msix = &slot->msix;

	if (in_table(msix, bar, offset)) {
		pci_msix_table_read(msix, (uint32_t)(offset - msix->table_offset), to, length);
		return;
	}
	if (in_pending(msix, bar, offset)) {
		vectors_read_pending(&slot->vectors, (uint32_t)(offset - msix->pending_offset), to,
				     length);
		return;
	}
	status_count(slot->machine->status, STATUS_HV_MMIO, 1);
	if (vfu_client_read(slot->client, bar, offset, to, length) < 0)
		memset(to, 0xff, length);
}

bool slot_read(struct slot *slot, unsigned bar, uint64_t offset, void *to, uint32_t length)
{
	enum presence presence;

	memset(to, 0xff, length);
	pthread_mutex_lock(&slot->lock);
	while ((presence = await(slot)) == PRESENT && is_there(slot, bar, offset, length)) {
		region_read(slot, bar, offset, to, length);
		slot_refresh_doorbells(slot);
		if (!has_died(slot))
			break;
	}
	if (presence == ABSENT)
		memset(to, 0xff, length);
	pthread_mutex_unlock(&slot->lock);
	return presence != INTERRUPTED;
}

/* False: the card is dead and has not been sent it. */
static bool region_write(struct slot *slot, unsigned bar, uint64_t offset, const void *from,
			 uint32_t length)
{
	struct pci_msix *msix = &slot->msix;
	int vector;

	if (in_pending(msix, bar, offset))
		return true;
	if (!in_table(msix, bar, offset)) {
		status_count(slot->machine->status, STATUS_HV_MMIO, 1);
		return !vfu_client_write_behind(slot->client, bar, offset, from, length) ||
		       !has_died(slot);
	}
	vector = pci_msix_table_write(msix, (uint32_t)(offset - msix->table_offset), from, length);
	if (vector >= 0)
		vectors_update_one(&slot->vectors, msix, (unsigned)vector);
	return true;
}

/* A write that has left is not begun again, even if the card is dead by now: if it was not
 * answered, it is handed over. */
bool slot_write(struct slot *slot, unsigned bar, uint64_t offset, const void *from, uint32_t length)
{
	enum presence presence;

	pthread_mutex_lock(&slot->lock);
	while ((presence = await(slot)) == PRESENT && is_there(slot, bar, offset, length)) {
		if (region_write(slot, bar, offset, from, length))
			break;
	}
	slot_refresh_doorbells(slot);
	pthread_mutex_unlock(&slot->lock);
	return presence != INTERRUPTED;
}
