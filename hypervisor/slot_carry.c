/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A slot and its card, for the program that goes on with them, and there. The link, the news and
 * the vectors' eventfds go over as they are: the card does not notice. Doorbells do not: the card
 * is asked for them again at the next access. Main thread, while vCPUs stand still.
 */
#include <errno.h>
#include <string.h>

#include "base/base.h"
#include "machine.h"
#include "os/fd.h"
#include "peer.h"
#include "slot.h"
#include "vfu/vfu_client.h"

bool slot_is_settled(const struct slot *slot)
{
	return !slot->lost && (!slot->client || !vfu_client_is_dead(slot->client));
}

/* ---- here ---- */

static int send_vectors(const struct slot *slot, struct peer *peer)
{
	const struct vectors *vectors = &slot->vectors;
	struct handover_writer writer;
	int ret = 0;

	for (uint32_t i = 0; !ret && i < vectors->count;) {
		writer = peer_begin(peer, HANDOVER_VECTORS, slot->number);
		for (unsigned n = 0; n < HANDOVER_FDS && i < vectors->count; n++)
			peer_add(peer, vectors->fds[i++]);
		ret = peer_send(peer, &writer);
	}
	return ret;
}

static void describe(const struct slot *slot, const struct vfu_client_link *link,
		     struct handover_slot *state)
{
	state->next_id = link->next_id;
	state->card_fds = link->card_fds;
	state->card_transfer = link->card_transfer;
	state->config_size = slot->config_size;
	state->irqs = slot->irqs;
	state->command = slot->command;
	state->vectors = slot->msix.vectors;
	state->flags |= (slot->can_reset ? HANDOVER_CAN_RESET : 0) |
			(slot->vectors.bound ? HANDOVER_BOUND : 0) |
			(slot->msix.enabled ? HANDOVER_MSIX_ON : 0) |
			(slot->msix.function_masked ? HANDOVER_MSIX_MASK : 0);
	memcpy(state->sizes, slot->sizes, sizeof(state->sizes));
	memcpy(state->types, slot->types, sizeof(state->types));
	memcpy(state->config, slot->config, sizeof(state->config));
	pci_bars_read(slot->bars, PCI_BAR0, state->bars, sizeof(state->bars));
}

int slot_save(struct slot *slot, struct peer *peer)
{
	struct handover_slot state = {.state = slot->state,
				      .flags = slot->awaited ? HANDOVER_AWAITED : 0};
	uint8_t table[HANDOVER_MSIX_MOST * HANDOVER_MSIX_ENTRY];
	struct vfu_client_link link;
	struct handover_writer writer;
	int ret = 0;

	if (slot->client) {
		ret = vfu_client_settle(slot->client, &link);
		if (ret < 0)
			return ret;
		describe(slot, &link, &state);
		vectors_disconnect(&slot->vectors);
	}
	writer = peer_begin(peer, HANDOVER_SLOT, slot->number);
	handover_put(&writer, HANDOVER_STATE, &state, sizeof(state));
	if (slot->client) {
		pci_msix_table_read(&slot->msix, 0, table, state.vectors * HANDOVER_MSIX_ENTRY);
		handover_put(&writer, HANDOVER_TABLE, table, state.vectors * HANDOVER_MSIX_ENTRY);
		peer_add(peer, vfu_client_fd(slot->client));
		peer_add(peer, slot->doorbells.news);
	}
	ret = peer_send(peer, &writer);
	return ret ? ret : send_vectors(slot, peer);
}

/* ---- there ---- */

static int take_link(struct slot *slot, const struct handover_slot *state, struct peer *peer)
{
	const struct vfu_client_link link = {.next_id = state->next_id,
					     .card_fds = state->card_fds,
					     .card_transfer = state->card_transfer};
	int fd = peer_take(peer), ret;

	if (fd < 0)
		return -EPROTO;
	ret = vfu_client_create(&slot->client, fd, NULL, NULL, SLOT_DEADLINE_MS);
	if (ret < 0) {
		os_close(&fd);
		return ret;
	}
	slot->doorbells.news = peer_take(peer);
	atomic_store(&slot->doorbells.stale, true);
	return vfu_client_continue(slot->client, &link);
}

/* What follows from configuration space is found there again, not believed. */
static int take_card(struct slot *slot, const struct handover_slot *state, const uint8_t *table)
{
	int ret;

	slot->config_size = state->config_size;
	slot->irqs = state->irqs;
	slot->command = state->command;
	slot->can_reset = state->flags & HANDOVER_CAN_RESET;
	memcpy(slot->config, state->config, sizeof(slot->config));
	memcpy(slot->sizes, state->sizes, sizeof(slot->sizes));
	memcpy(slot->types, state->types, sizeof(slot->types));
	if (slot->config_size < PCI_CONFIG_SIZE || slot->config_size > PCI_ECAM_SIZE)
		return -EPROTO;
	slot->express = pci_find_capability(slot->config, PCI_CAP_EXPRESS, 12);
	ret = pci_bars_init(slot->bars, slot->sizes, slot->types)
		      ?: pci_msix_find(&slot->msix, slot->config, slot->sizes);
	if (ret < 0 || slot->msix.vectors != state->vectors)
		return -EPROTO;
	pci_bars_write(slot->bars, PCI_BAR0, state->bars, sizeof(state->bars));
	ret = vectors_adopt(&slot->vectors, &slot->msix, &slot->machine->interrupts);
	if (ret < 0)
		return ret;
	for (uint32_t at = 0; at < state->vectors * HANDOVER_MSIX_ENTRY; at += HANDOVER_MSIX_ENTRY)
		pci_msix_table_write(&slot->msix, at, table + at, HANDOVER_MSIX_ENTRY);
	slot->msix.enabled = state->flags & HANDOVER_MSIX_ON;
	slot->msix.function_masked = state->flags & HANDOVER_MSIX_MASK;
	slot->vectors.bound = state->flags & HANDOVER_BOUND;
	return 0;
}

int slot_restore(struct slot *slot, struct peer *peer)
{
	struct handover_slot state;
	size_t length;
	int ret = handover_take_slot(&peer->record, &state);

	if (ret < 0 || slot->state != STATUS_SLOT_EMPTY || slot->client)
		return -EPROTO;
	slot->state = state.state;
	slot->awaited = state.flags & HANDOVER_AWAITED;
	if (state.state != STATUS_SLOT_PRESENT && state.state != STATUS_SLOT_EJECTING)
		return 0;
	return take_link(slot, &state, peer)
		       ?: take_card(slot, &state,
				    handover_find(&peer->record, HANDOVER_TABLE, &length));
}

int slot_restore_vectors(struct slot *slot, struct peer *peer)
{
	int fd, ret = 0;

	while (!ret && (fd = peer_take(peer)) >= 0) {
		ret = vectors_take(&slot->vectors, fd);
		if (ret < 0)
			os_close(&fd);
	}
	return ret;
}

int slot_prepare(struct slot *slot)
{
	if (!slot->client)
		return 0;
	slot_update_windows(slot);
	return vectors_route(&slot->vectors, &slot->msix);
}

bool slot_reconnect(struct slot *slot)
{
	return !slot->client || vectors_connect(&slot->vectors, &slot->msix);
}
