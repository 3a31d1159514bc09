/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's console: the transmit half of a 16550. What is written goes into the console ring;
 * nothing can ever be received. The transmitter is always empty, so that "transmitter empty" is the
 * only interrupt.
 *
 * KVM keeps writes to the data register in a ring of its own and returns to us for the next access
 * to any other register: one exit for sixteen bytes instead of one a byte.
 */
#ifndef KARUTA_HYPERVISOR_SERIAL_H
#define KARUTA_HYPERVISOR_SERIAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "wire/console.h"

#define SERIAL_SIZE 8u

struct kvm_coalesced_mmio_ring;

struct serial {
	pthread_mutex_t lock;
	struct console_ring *console;
	int fd; /* eventfd of GSI_SERIAL */
	uint8_t enabled, fifo, format, modem, scratch, divisor[2];
	bool empty_pending; /* "transmitter empty" has not been read or overtaken */
	/* NULL: this KVM has none. Belongs to the VM. */
	volatile struct kvm_coalesced_mmio_ring *kept;
	uint32_t kept_size;
	uint16_t kept_port;
};

int serial_init(struct serial *serial, struct console_ring *console);
void serial_reset(struct serial *serial);
/* `ring` is what KVM keeps writes to `port` in; `size` its number of entries. */
void serial_use_kept(struct serial *serial, volatile struct kvm_coalesced_mmio_ring *ring,
		     uint32_t size, uint16_t port);

/* For the program that goes on with it, and there. */
#define SERIAL_STATE_SIZE 8u
void serial_save(struct serial *serial, uint8_t state[SERIAL_STATE_SIZE]);
void serial_restore(struct serial *serial, const uint8_t state[SERIAL_STATE_SIZE]);

uint8_t serial_read(struct serial *serial, unsigned offset);
void serial_write(struct serial *serial, unsigned offset, uint8_t value);
/* Fetches what KVM has kept. */
void serial_drain(struct serial *serial);

#endif
