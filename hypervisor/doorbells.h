/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Doorbells: registers for which a card offers an eventfd. While the BAR decodes, KVM signals the
 * eventfd at a write and the vCPU goes on without us. A doorbell that KVM does not take is served
 * as any other register. With the slot's lock held.
 */
#ifndef KARUTA_HYPERVISOR_DOORBELLS_H
#define KARUTA_HYPERVISOR_DOORBELLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pci/pci.h"
#include "vfu/vfu_client.h"

struct doorbell {
	struct vfu_client_io_fd io_fd;
	uint8_t bar;
	bool assigned;
	uint64_t address; /* where it is assigned */
};

struct doorbells {
	struct doorbell *list;
	size_t count;
};

/* Asks the card what it offers for this BAR. 0 or -errno; what makes no sense is left out. */
int doorbells_fetch(struct doorbells *doorbells, struct vfu_client *client, unsigned bar,
		    uint64_t size, const struct pci_msix *msix);
void doorbells_destroy(struct doorbells *doorbells, int vm);

/* `decode[bar]`: the address that the BAR decodes now, 0 if none. */
void doorbells_update(struct doorbells *doorbells, int vm, const uint64_t decode[PCI_BARS]);

/* As if the guest had written each of them. */
void doorbells_ring(const struct doorbells *doorbells);

#endif
