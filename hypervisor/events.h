/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the machine tells the guest's ACPI: a card was inserted, a card is to be let go, the power
 * button was pressed. A block of registers in I/O space and one edge interrupt; the AML that reads
 * them is in tools/acpi/dsdt.c (ACPI 6.4, 5.6.9, Generic Event Device).
 */
#ifndef KARUTA_HYPERVISOR_EVENTS_H
#define KARUTA_HYPERVISOR_EVENTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define EVENT_SLOTS 1u
#define EVENT_POWER 2u

/* Registers, 32 bits wide; offsets from the start of the block. */
enum events_register {
	EVENTS_PENDING = 0x0,  /* EVENT_*; reading clears */
	EVENTS_INSERTED = 0x4, /* a bit a slot; reading clears */
	EVENTS_REMOVE = 0x8,   /* a bit a slot the guest is to let go of; reading clears */
	EVENTS_EJECT = 0xc,    /* written: the guest has let go of these slots */
	EVENTS_SIZE = 0x10,
};

struct events {
	atomic_uint pending, inserted, remove, ejected;
	int fd; /* eventfd of GSI_EVENTS */
};

int events_init(struct events *events);
void events_reset(struct events *events);

void events_insert(struct events *events, unsigned slot);
void events_remove(struct events *events, unsigned slot);
void events_press_power(struct events *events);
/* Interrupts again for what the guest has not read yet: an edge is lost while its driver is not
 * there. */
void events_remind(struct events *events);

uint32_t events_read(struct events *events, uint32_t offset);
/* True if slots were ejected: events_take_ejected() says which. */
bool events_write(struct events *events, uint32_t offset, uint32_t value);
uint32_t events_take_ejected(struct events *events);

#endif
