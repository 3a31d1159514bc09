/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From an eventfd to a guest's interrupt. A GSI is KVM's number for an interrupt source; the
 * routing table says whether it is a pin of the I/O APIC or a message (MSI). An eventfd that is
 * connected to a GSI raises it without us. One that is not connected keeps its count: that is the
 * pending bit of a masked vector, and KVM looks at it when the eventfd is connected again.
 */
#ifndef KARUTA_HYPERVISOR_INTERRUPTS_H
#define KARUTA_HYPERVISOR_INTERRUPTS_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdint.h>

#define GSI_SERIAL 4u
#define GSI_EVENTS 5u

#define GSI_MESSAGES 24u /* below: pins of the I/O APIC */
#define GSI_COUNT    4096u

struct interrupts {
	pthread_mutex_t lock;
	int vm;
	uint8_t reserved[GSI_COUNT]; /* 1: somebody's */
	struct kvm_irq_routing *table;
	uint32_t capacity; /* entries that the table has room for */
};

int interrupts_init(struct interrupts *interrupts);
/* A new VM: only the pins are routed, nothing is connected. */
int interrupts_start(struct interrupts *interrupts, int vm);

/* `count` successive GSIs for messages, from *first on. -ENOSPC: there are not so many left. */
int interrupts_reserve(struct interrupts *interrupts, uint32_t count, uint32_t *first);
void interrupts_release(struct interrupts *interrupts, uint32_t first, uint32_t count);

/* What a GSI sends when it is raised. */
int interrupts_route(struct interrupts *interrupts, uint32_t gsi, uint64_t address, uint32_t data);
/* The same for many, told to KVM together. */
int interrupts_put_route(struct interrupts *interrupts, uint32_t gsi, uint64_t address,
			 uint32_t data);
int interrupts_publish(struct interrupts *interrupts);
int interrupts_connect(struct interrupts *interrupts, uint32_t gsi, int eventfd);
int interrupts_disconnect(struct interrupts *interrupts, uint32_t gsi, int eventfd);

#endif
