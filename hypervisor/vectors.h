/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interrupts of one card: each MSI-X vector is an eventfd that the card writes and a GSI. They
 * are connected while the vector may interrupt. With the slot's lock held.
 */
#ifndef KARUTA_HYPERVISOR_VECTORS_H
#define KARUTA_HYPERVISOR_VECTORS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "pci/pci.h"

struct interrupts;
struct vfu_client;

struct vectors {
	struct interrupts *interrupts;
	uint32_t count, first_gsi;
	int *fds;
	bool *connected;
	bool bound; /* the card has the eventfds */
};

/* Makes table, eventfds and GSIs for what `msix` was found to have. */
int vectors_create(struct vectors *vectors, struct pci_msix *msix, struct interrupts *interrupts,
		   struct error *error);
/* Harmless on one that was never made. */
void vectors_destroy(struct vectors *vectors, struct pci_msix *msix);

/* Brings eventfds and GSIs in line with `msix` after it changed. `client` NULL: the card is gone.
 */
void vectors_update(struct vectors *vectors, const struct pci_msix *msix,
		    struct vfu_client *client);
void vectors_update_one(struct vectors *vectors, const struct pci_msix *msix, unsigned vector);

/* Another program goes on with the card. Here: no longer connected, what is signalled is kept. */
void vectors_disconnect(struct vectors *vectors);
/* There: as vectors_create(), with the eventfds of before, one after the other. */
int vectors_adopt(struct vectors *vectors, struct pci_msix *msix, struct interrupts *interrupts);
int vectors_take(struct vectors *vectors, int fd);
/* -EPROTO: some are missing. The routes of those that may interrupt, not published. */
int vectors_route(const struct vectors *vectors, const struct pci_msix *msix);
/* Connects those whose routes are told. False: KVM has not taken all of them. */
bool vectors_connect(struct vectors *vectors, const struct pci_msix *msix);

/* The same eventfds for the card's next process: what the last one has signalled is in them. */
int vectors_rebind(const struct vectors *vectors, struct vfu_client *client);

/* The pending bit array (PCI 3.0, 6.8.2.10), from `offset` on. */
void vectors_read_pending(const struct vectors *vectors, uint32_t offset, void *to,
			  uint32_t length);

#endif
