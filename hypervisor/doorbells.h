/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Doorbells: registers for which a card offers an eventfd. While the BAR decodes, KVM signals the
 * eventfd at a write and the vCPU goes on without us. A doorbell that KVM does not take is served
 * as any other register. With the slot's lock held.
 *
 * A card may come to offer others: it signals an eventfd then. vCPU threads ask it again, at the
 * end of an access: it is their card. One that no longer offers a doorbell, since what is written
 * to it counts again, has signalled before it answers what the guest reads next; and after that
 * read KVM no longer keeps the doorbell from us. Of more the main thread only passes the news on.
 */
#ifndef KARUTA_HYPERVISOR_DOORBELLS_H
#define KARUTA_HYPERVISOR_DOORBELLS_H

#include <stdatomic.h>
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
	int news; /* the eventfd; -1: what the card offers stays. The main thread changes this. */
	atomic_bool stale;
};

void doorbells_init(struct doorbells *doorbells);
/* Has the card tell of changes, if it can: it has `irqs` interrupt indexes. */
int doorbells_listen(struct doorbells *doorbells, struct vfu_client *client, uint32_t irqs);

/* Asks the card what it offers for this BAR. 0 or -errno; what makes no sense is left out. */
int doorbells_fetch(struct doorbells *doorbells, struct vfu_client *client, unsigned bar,
		    uint64_t size, const struct pci_msix *msix);
/* Forgets them all; stays open for news. */
void doorbells_drop(struct doorbells *doorbells, int vm);
void doorbells_destroy(struct doorbells *doorbells, int vm);
/* True, once: drop and fetch them. */
bool doorbells_are_stale(struct doorbells *doorbells);
/* Main thread, without the lock. A descriptor to wait for; -1: there is nothing to hear. */
int doorbells_news(const struct doorbells *doorbells);
void doorbells_hear(struct doorbells *doorbells);

/* `decode[bar]`: the address that the BAR decodes now, 0 if none. */
void doorbells_update(struct doorbells *doorbells, int vm, const uint64_t decode[PCI_BARS]);

#endif
