/* SPDX-License-Identifier: Apache-2.0 */
/* What a card says of itself, when it is inserted and when another process takes over for it. */
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
#define BAR_TYPE       0xfu /* PCI 3.0, 6.2.5.1: space, width, prefetchable */
/* A card that answers each question in time, but all of them slowly, does not hold us up longer. */
#define ATTACH_NS (4 * NS_PER_S)

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
	slot->irqs = info.irqs;
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

static int find_vectors(struct slot *slot, struct vfu_client *client, struct error *error)
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
	return 0;
}

static int fetch_doorbells(struct slot *slot, struct vfu_client *client, uint64_t begun)
{
	int ret = 0;

	doorbells_drop(&slot->doorbells, slot->machine->vm);
	for (unsigned i = 0; ret >= 0 && i < PCI_BARS; i++) {
		if (!slot->sizes[i])
			continue;
		ret = is_late(begun) ? -ETIMEDOUT
				     : doorbells_fetch(&slot->doorbells, client, i, slot->sizes[i],
						       &slot->msix);
	}
	return ret;
}

/* What changes after the first of this is told. */
static int begin_doorbells(struct slot *slot, struct vfu_client *client, uint64_t begun)
{
	return doorbells_listen(&slot->doorbells, client, slot->irqs)
		       ?: fetch_doorbells(slot, client, begun);
}

void slot_refresh_doorbells(struct slot *slot)
{
	if (!slot->client || !doorbells_are_stale(&slot->doorbells))
		return;
	fetch_doorbells(slot, slot->client, os_now());
	slot_update_windows(slot);
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

static int describe(struct slot *slot, struct vfu_client *client, uint64_t begun,
		    struct error *error)
{
	return vfu_client_negotiate(client, error)
		       ?: step(begun, fetch_info(slot, client), "it is no PCI function", error)
		       ?: step(begun, fetch_config(slot, client, begun),
			       "its configuration space cannot be read", error)
		       ?: step(begun, fetch_bars(slot, client, begun),
			       "its base address registers make no sense", error)
		       ?: find_vectors(slot, client, error);
}

/* In the order in which one thing depends on the other. */
int slot_inquire(struct slot *slot, struct vfu_client *client, struct error *error)
{
	uint64_t begun = os_now();

	return describe(slot, client, begun, error)
		       ?: vectors_create(&slot->vectors, &slot->msix, &slot->machine->interrupts,
					 error)
		       ?: step(begun, begin_doorbells(slot, client, begun),
			       "its doorbells cannot be read", error)
		       ?: step(begun, share_memory(&slot->machine->memory, client),
			       "it does not take the instance's memory", error)
		       ?: step(begun, slot->can_reset ? vfu_client_reset(client) : 0,
			       "it cannot be reset", error);
}

/* ---- another process for the same card ---- */

static bool same_bytes(const struct slot *a, const struct slot *b, uint32_t from, uint32_t length)
{
	return !memcmp(a->config + from, b->config + from, length);
}

/* What the guest's driver has seen, and what we have made of it. */
static bool is_same(const struct slot *a, const struct slot *b)
{
	const struct pci_msix *m = &a->msix, *n = &b->msix;

	for (unsigned i = 0; i < PCI_BARS; i++)
		if (a->sizes[i] != b->sizes[i] || (a->types[i] ^ b->types[i]) & BAR_TYPE)
			return false;
	return same_bytes(a, b, PCI_VENDOR_ID, 4) && same_bytes(a, b, PCI_REVISION, 4) &&
	       same_bytes(a, b, PCI_HEADER_TYPE, 1) && same_bytes(a, b, PCI_SUBSYSTEM_VENDOR, 4) &&
	       same_bytes(a, b, PCI_CAPABILITIES, 1) && a->config_size == b->config_size &&
	       a->can_reset == b->can_reset && m->vectors == n->vectors &&
	       m->capability == n->capability && m->table_bar == n->table_bar &&
	       m->table_offset == n->table_offset && m->pending_bar == n->pending_bar &&
	       m->pending_offset == n->pending_offset;
}

static int compare(struct slot *slot, struct vfu_client *client, uint64_t begun,
		   struct error *error)
{
	struct slot now = {.machine = slot->machine, .number = slot->number};
	int ret = describe(&now, client, begun, error);

	if (!ret && !is_same(slot, &now))
		ret = error_set(error, EPROTO, "it is not what was in the slot before");
	/* Another program may tell of its doorbells where the last one could not. */
	slot->irqs = now.irqs;
	return ret;
}

/* A reset that it missed ends what it was doing; otherwise it is to go on. */
static int rebind(struct slot *slot, struct vfu_client *client)
{
	if (slot->reset_due)
		return slot->can_reset ? vfu_client_reset(client) : 0;
	return vectors_rebind(&slot->vectors, client);
}

/* The first write is what sets it going (card/card.h): the value that is there. */
static int set_going(struct slot *slot, struct vfu_client *client, uint64_t begun)
{
	uint8_t command[2];
	int ret = vfu_client_read(client, REGION_CONFIG, PCI_COMMAND, command, sizeof(command));

	if (!ret)
		ret = is_late(begun) ? -ETIMEDOUT
				     : vfu_client_write(client, REGION_CONFIG, PCI_COMMAND, command,
							sizeof(command));
	if (!ret && !slot->reset_due)
		ret = is_late(begun) ? -ETIMEDOUT : vfu_client_hand_over(slot->lost, client);
	return ret;
}

/* vCPUs that have something to do with the slot wait: nothing of it changes meanwhile. */
int slot_resume(struct slot *slot, struct vfu_client *client, struct error *error)
{
	uint64_t begun = os_now();
	int ret = compare(slot, client, begun, error)
			  ?: step(begun, share_memory(&slot->machine->memory, client),
				  "it does not take the instance's memory", error)
			  ?: step(begun, rebind(slot, client), "it does not take its interrupts",
				  error)
			  ?: step(begun, begin_doorbells(slot, client, begun),
				  "its doorbells cannot be read", error)
			  ?: step(begun, set_going(slot, client, begun), "it does not go on",
				  error);

	if (!ret)
		slot_update_windows(slot);
	return ret;
}
