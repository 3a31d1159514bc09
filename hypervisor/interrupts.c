/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/base.h"
#include "interrupts.h"

static const uint32_t pins[] = {GSI_SERIAL, GSI_EVENTS};

static size_t table_size(uint32_t entries)
{
	return sizeof(struct kvm_irq_routing) + entries * sizeof(struct kvm_irq_routing_entry);
}

static int grow(struct interrupts *interrupts, uint32_t capacity)
{
	struct kvm_irq_routing *table = realloc(interrupts->table, table_size(capacity));

	if (!table)
		return -ENOMEM;
	interrupts->table = table;
	interrupts->capacity = capacity;
	return 0;
}

int interrupts_init(struct interrupts *interrupts)
{
	int ret;

	*interrupts = (struct interrupts){.vm = -1};
	pthread_mutex_init(&interrupts->lock, NULL);
	ret = grow(interrupts, ARRAY_LEN(pins));
	if (!ret)
		memset(interrupts->table, 0, table_size(interrupts->capacity));
	return ret;
}

static int publish(struct interrupts *interrupts)
{
	return ioctl(interrupts->vm, KVM_SET_GSI_ROUTING, interrupts->table) < 0 ? -errno : 0;
}

int interrupts_start(struct interrupts *interrupts, int vm)
{
	struct kvm_irq_routing *table = interrupts->table;

	interrupts->vm = vm;
	memset(table, 0, table_size(interrupts->capacity));
	table->nr = ARRAY_LEN(pins);
	for (size_t i = 0; i < ARRAY_LEN(pins); i++)
		table->entries[i] = (struct kvm_irq_routing_entry){
			.gsi = pins[i],
			.type = KVM_IRQ_ROUTING_IRQCHIP,
			.u.irqchip = {.irqchip = KVM_IRQCHIP_IOAPIC, .pin = pins[i]},
		};
	return publish(interrupts);
}

static bool find_room(const struct interrupts *interrupts, uint32_t count, uint32_t *first)
{
	uint32_t free_here = 0;

	for (uint32_t gsi = GSI_MESSAGES; gsi < GSI_COUNT; gsi++) {
		free_here = interrupts->reserved[gsi] ? 0 : free_here + 1;
		if (free_here < count)
			continue;
		*first = gsi + 1 - count;
		return true;
	}
	return false;
}

int interrupts_reserve(struct interrupts *interrupts, uint32_t count, uint32_t *first)
{
	int ret = -ENOSPC;

	pthread_mutex_lock(&interrupts->lock);
	if (find_room(interrupts, count, first))
		ret = grow(interrupts, interrupts->capacity + count);
	if (!ret)
		memset(interrupts->reserved + *first, 1, count);
	pthread_mutex_unlock(&interrupts->lock);
	return ret;
}

void interrupts_release(struct interrupts *interrupts, uint32_t first, uint32_t count)
{
	struct kvm_irq_routing *table = interrupts->table;
	uint32_t kept = 0;

	pthread_mutex_lock(&interrupts->lock);
	memset(interrupts->reserved + first, 0, count);
	for (uint32_t i = 0; i < table->nr; i++)
		if (table->entries[i].gsi < first || table->entries[i].gsi - first >= count)
			table->entries[kept++] = table->entries[i];
	table->nr = kept;
	/* A table that got shorter only takes away what nothing is connected to. */
	publish(interrupts);
	grow(interrupts, interrupts->capacity - count);
	pthread_mutex_unlock(&interrupts->lock);
}

static struct kvm_irq_routing_entry *entry_of(struct interrupts *interrupts, uint32_t gsi)
{
	struct kvm_irq_routing *table = interrupts->table;

	for (uint32_t i = 0; i < table->nr; i++)
		if (table->entries[i].gsi == gsi)
			return &table->entries[i];
	return table->nr < interrupts->capacity ? &table->entries[table->nr++] : NULL;
}

int interrupts_put_route(struct interrupts *interrupts, uint32_t gsi, uint64_t address,
			 uint32_t data)
{
	struct kvm_irq_routing_entry *entry;

	pthread_mutex_lock(&interrupts->lock);
	entry = entry_of(interrupts, gsi);
	if (entry)
		*entry = (struct kvm_irq_routing_entry){
			.gsi = gsi,
			.type = KVM_IRQ_ROUTING_MSI,
			.u.msi = {.address_lo = (uint32_t)address,
				  .address_hi = (uint32_t)(address >> 32),
				  .data = data},
		};
	pthread_mutex_unlock(&interrupts->lock);
	return entry ? 0 : -ENOSPC;
}

int interrupts_publish(struct interrupts *interrupts)
{
	int ret;

	pthread_mutex_lock(&interrupts->lock);
	ret = publish(interrupts);
	pthread_mutex_unlock(&interrupts->lock);
	return ret;
}

int interrupts_route(struct interrupts *interrupts, uint32_t gsi, uint64_t address, uint32_t data)
{
	return interrupts_put_route(interrupts, gsi, address, data)
		       ?: interrupts_publish(interrupts);
}

static int set_irqfd(struct interrupts *interrupts, uint32_t gsi, int eventfd, uint32_t flags)
{
	struct kvm_irqfd request = {.fd = (uint32_t)eventfd, .gsi = gsi, .flags = flags};

	return ioctl(interrupts->vm, KVM_IRQFD, &request) < 0 ? -errno : 0;
}

int interrupts_connect(struct interrupts *interrupts, uint32_t gsi, int eventfd)
{
	return set_irqfd(interrupts, gsi, eventfd, 0);
}

int interrupts_disconnect(struct interrupts *interrupts, uint32_t gsi, int eventfd)
{
	return set_irqfd(interrupts, gsi, eventfd, KVM_IRQFD_FLAG_DEASSIGN);
}
