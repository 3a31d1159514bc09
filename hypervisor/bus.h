/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PCI bus of an instance: bus 0 with slots 0 (a host bridge that does nothing) to 31, reached
 * by ECAM (PCIe 5.0, 7.2.2), and the two windows of addresses that BARs may decode. An address
 * that nobody decodes reads as all ones, and writes to it go nowhere, as on any PCI bus.
 */
#ifndef KARUTA_HYPERVISOR_BUS_H
#define KARUTA_HYPERVISOR_BUS_H

#include <pthread.h>
#include <stdint.h>

#include "slot.h"

#define BUS_SLOTS	 32u
#define BUS_WINDOW32	 UINT64_C(0xc0000000)
#define BUS_WINDOW32_END UINT64_C(0xe8000000)
#define BUS_ECAM	 UINT64_C(0xe8000000)
#define BUS_ECAM_SIZE	 (UINT64_C(1) << 20)

struct machine;

struct bus {
	struct machine *machine;
	struct slot slots[BUS_SLOTS];
	uint64_t window64, window64_end;
	/* Where each slot's BARs decode now; a copy, so that a slow card holds up nobody else. */
	pthread_mutex_t windows_lock;
	struct pci_bar windows[BUS_SLOTS][PCI_BARS];
};

void bus_init(struct bus *bus, struct machine *machine, uint64_t window64, uint64_t window64_end);
/* The guest resets: every card, and what we keep of it. */
void bus_reset(struct bus *bus);

/* The vCPUs are to stand still: accesses that wait for a card come back. */
void bus_interrupt(struct bus *bus);

/* A guest's access to an address that is not memory; 1 to 8 bytes. Any vCPU thread. False: it was
 * interrupted, and is to be begun again when the machine goes on. */
bool bus_read(struct bus *bus, uint64_t address, void *to, uint32_t length);
bool bus_write(struct bus *bus, uint64_t address, const void *from, uint32_t length);

/* True if a BAR may decode this range: it is in a window. */
bool bus_allows(const struct bus *bus, uint64_t address, uint64_t size);
/* A slot's BARs moved, or stopped decoding (NULL). */
void bus_set_windows(struct bus *bus, unsigned slot, const struct pci_bar *bars);

#endif
