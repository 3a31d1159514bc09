/* SPDX-License-Identifier: Apache-2.0 */
/* Inserting and removing cards. All on the main thread. */
#include <errno.h>
#include <string.h>

#include "base/base.h"
#include "machine.h"
#include "os/clock.h"
#include "os/fd.h"
#include "slot.h"
#include "vfu/vfu_client.h"

#define REGION_CONFIG  7u
#define HEADER_LAYOUT  0x7fu /* 0: an endpoint (PCI 3.0, 6.2.1) */
#define IRQ_MSIX       2u
#define FEWEST_REGIONS 8u
#define FEWEST_IRQS    3u
/* A card that answers each question in time, but all of them slowly, does not hold us up longer. */
#define ATTACH_NS (4 * NS_PER_S)

static void set_state(struct slot *slot, enum status_slot state)
{
	slot->state = state;
	atomic_store(&slot->machine->status->slots[slot->number], (uint8_t)state);
}

void slot_init(struct slot *slot, struct machine *machine, unsigned number)
{
	*slot = (struct slot){.machine = machine, .number = number};
	pthread_mutex_init(&slot->lock, NULL);
}

static bool is_late(uint64_t begun)
{
	return os_now() - begun >= ATTACH_NS;
}

static int fetch_info(struct slot *slot, struct vfu_client *client)
{
	struct vfu_info info;
	int ret = vfu_client_info(client, &info);

	if (ret < 0)
		return ret;
	slot->can_reset = info.can_reset;
	return info.regions < FEWEST_REGIONS || info.irqs < FEWEST_IRQS ? -EPROTO : 0;
}

static int fetch_config(struct slot *slot, struct vfu_client *client, uint64_t begun)
{
	struct vfu_region_info info;
	int ret = vfu_client_region(client, REGION_CONFIG, &info);

	if (ret < 0)
		return ret;
	os_close(&info.fd);
	if (info.size < PCI_CONFIG_SIZE || !info.readable || !info.writable)
		return -EPROTO;
	slot->config_size = (uint32_t)min_u64(info.size, PCI_ECAM_SIZE);
	if (is_late(begun))
		return -ETIMEDOUT;
	ret = vfu_client_read(client, REGION_CONFIG, 0, slot->config, PCI_CONFIG_SIZE);
	/* A bridge's registers mean something else, and there is nothing behind it. */
	return !ret && slot->config[PCI_HEADER_TYPE] & HEADER_LAYOUT ? -EPROTO : ret;
}

static int fetch_bars(struct slot *slot, struct vfu_client *client, uint64_t begun)
{
	struct vfu_region_info info;
	int ret;

	for (unsigned i = 0; i < PCI_BARS; i++) {
		ret = is_late(begun) ? -ETIMEDOUT : vfu_client_region(client, i, &info);
		if (ret < 0)
			return ret;
		os_close(&info.fd);
		slot->sizes[i] = info.size;
		memcpy(&slot->types[i], slot->config + PCI_BAR0 + 4 * i, 4);
	}
	return pci_bars_init(slot->bars, slot->sizes, slot->types);
}

static int fetch_vectors(struct slot *slot, struct vfu_client *client, struct error *error)
{
	uint32_t count = 0;
	int ret = pci_msix_find(&slot->msix, slot->config, slot->sizes);

	if (ret < 0)
		return error_set(error, -ret, "its MSI-X capability makes no sense");
	if (slot->msix.vectors) {
		ret = vfu_client_irq(client, IRQ_MSIX, &count);
		if (ret < 0 || count < slot->msix.vectors)
			return error_set(error, EPROTO, "it has fewer interrupts than it says");
	}
	return vectors_create(&slot->vectors, &slot->msix, &slot->machine->interrupts, error);
}

static int fetch_doorbells(struct slot *slot, struct vfu_client *client, uint64_t begun)
{
	int ret = 0;

	for (unsigned i = 0; ret >= 0 && i < PCI_BARS; i++) {
		if (!slot->sizes[i])
			continue;
		ret = is_late(begun) ? -ETIMEDOUT
				     : doorbells_fetch(&slot->doorbells, client, i, slot->sizes[i],
						       &slot->msix);
	}
	return ret;
}

static int share_memory(const struct memory *memory, struct vfu_client *client)
{
	int ret = vfu_client_dma_map(client, 0, memory->low, memory->fd, 0, true);

	if (ret < 0 || !memory->high)
		return ret;
	return vfu_client_dma_map(client, MEMORY_HIGH_BASE, memory->high, memory->fd, memory->low,
				  true);
}

/* The outcome of one step of getting to know the card, with the words for it. */
static int step(uint64_t begun, int ret, const char *why, struct error *error)
{
	if (ret == -ETIMEDOUT || (ret >= 0 && is_late(begun)))
		return error_set(error, ETIMEDOUT, "it answers too slowly");
	return ret < 0 ? error_set(error, EPROTO, "%s", why) : 0;
}

/* What it is, in the order in which one thing depends on the other. */
static int get_to_know(struct slot *slot, struct vfu_client *client, struct error *error)
{
	uint64_t begun = os_now();
	int ret = vfu_client_negotiate(client, error);

	if (!ret)
		ret = step(begun, fetch_info(slot, client), "it is no PCI function", error);
	if (!ret)
		ret = step(begun, fetch_config(slot, client, begun),
			   "its configuration space cannot be read", error);
	if (!ret)
		ret = step(begun, fetch_bars(slot, client, begun),
			   "its base address registers make no sense", error);
	if (!ret)
		ret = fetch_vectors(slot, client, error);
	if (!ret)
		ret = step(begun, fetch_doorbells(slot, client, begun),
			   "its doorbells cannot be read", error);
	if (!ret)
		ret = step(begun, share_memory(&slot->machine->memory, client),
			   "it does not take the instance's memory", error);
	if (!ret)
		ret = step(begun, slot->can_reset ? vfu_client_reset(client) : 0,
			   "it cannot be reset", error);
	return ret;
}

static void release(struct slot *slot)
{
	struct vfu_client *client;

	pthread_mutex_lock(&slot->lock);
	client = slot->client;
	slot->client = NULL;
	bus_set_windows(&slot->machine->bus, slot->number, NULL);
	doorbells_destroy(&slot->doorbells, slot->machine->vm);
	vectors_destroy(&slot->vectors, &slot->msix);
	pthread_mutex_unlock(&slot->lock);
	if (client)
		vfu_client_destroy(client);
}

static int insert(struct slot *slot, struct vfu_client *client, struct error *error)
{
	int express, ret = get_to_know(slot, client, error);

	if (ret < 0) {
		error_prefix(error, "slot %u: the card", slot->number);
		release(slot);
		vfu_client_destroy(client);
		return ret;
	}
	express = pci_find_capability(slot->config, PCI_CAP_EXPRESS, 12);
	slot->express = express > 0 ? (uint8_t)express : 0;
	pthread_mutex_lock(&slot->lock);
	slot->client = client;
	slot_forget(slot);
	pthread_mutex_unlock(&slot->lock);
	set_state(slot, STATUS_SLOT_PRESENT);
	if (slot->machine->started) {
		slot->awaited = true;
		events_insert(&slot->machine->events, slot->number);
	}
	return 0;
}

int slot_attach(struct slot *slot, int link, struct error *error)
{
	struct vfu_client *client = NULL;
	int ret = 0;

	if (slot->client || slot->awaited) {
		ret = error_set(error, EBUSY,
				slot->client ? "slot %u: there is a card in it already"
					     : "slot %u: the guest has not let go of the card "
					       "that was in it",
				slot->number);
	} else {
		ret = vfu_client_create(&client, link, NULL, NULL, SLOT_DEADLINE_MS);
		if (ret < 0)
			error_set(error, -ret, "slot %u: no bus link: %s", slot->number,
				  strerror(-ret));
	}
	if (ret < 0) {
		os_close(&link);
		return ret;
	}
	return insert(slot, client, error);
}

int slot_detach(struct slot *slot, bool force, struct error *error)
{
	if (slot->state == STATUS_SLOT_EMPTY)
		return error_set(error, ENOENT, "slot %u: there is no card in it", slot->number);
	if (slot->client && slot->awaited && !force) {
		set_state(slot, STATUS_SLOT_EJECTING);
		events_remove(&slot->machine->events, slot->number);
		return 0;
	}
	if (slot->client && slot->awaited)
		events_remove(&slot->machine->events, slot->number);
	release(slot);
	set_state(slot, STATUS_SLOT_EMPTY);
	return 0;
}

void slot_ejected(struct slot *slot)
{
	slot->awaited = false;
	if (slot->state == STATUS_SLOT_EMPTY)
		return;
	release(slot);
	set_state(slot, STATUS_SLOT_EMPTY);
}

void slot_hangup(struct slot *slot)
{
	release(slot);
	set_state(slot, STATUS_SLOT_FAILED);
	if (slot->awaited)
		events_remove(&slot->machine->events, slot->number);
}

void slot_check(struct slot *slot)
{
	if (slot->client && vfu_client_is_dead(slot->client))
		slot_hangup(slot);
}

void slot_forget(struct slot *slot)
{
	slot->command = 0;
	pci_bars_init(slot->bars, slot->sizes, slot->types);
	bus_set_windows(&slot->machine->bus, slot->number, NULL);
	doorbells_update(&slot->doorbells, slot->machine->vm, (const uint64_t[PCI_BARS]){0});
	pci_msix_reset(&slot->msix);
	vectors_update(&slot->vectors, &slot->msix, slot->client);
}

void slot_reset(struct slot *slot)
{
	slot->awaited = false;
	if (slot->state == STATUS_SLOT_EJECTING)
		slot_ejected(slot);
	if (!slot->client)
		return;
	pthread_mutex_lock(&slot->lock);
	slot_forget(slot);
	if (slot->can_reset)
		vfu_client_reset(slot->client);
	pthread_mutex_unlock(&slot->lock);
	slot_check(slot);
}

void slot_start(struct slot *slot)
{
	slot->awaited = slot->client != NULL;
}

int slot_link(const struct slot *slot)
{
	return slot->client ? vfu_client_fd(slot->client) : -1;
}
