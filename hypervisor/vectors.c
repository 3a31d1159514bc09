/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "interrupts.h"
#include "os/fd.h"
#include "vectors.h"
#include "vfu/vfu_client.h"

#define IRQ_MSIX 2u

static int make_eventfds(struct vectors *vectors)
{
	for (uint32_t i = 0; i < vectors->count; i++) {
		vectors->fds[i] = os_eventfd();
		if (vectors->fds[i] < 0)
			return vectors->fds[i];
	}
	return 0;
}

static int allocate(struct vectors *vectors, struct pci_msix *msix)
{
	int ret = interrupts_reserve(vectors->interrupts, msix->vectors, &vectors->first_gsi);

	if (ret < 0)
		return ret;
	vectors->count = msix->vectors;
	vectors->fds = malloc(vectors->count * sizeof(*vectors->fds));
	vectors->connected = calloc(vectors->count, sizeof(*vectors->connected));
	msix->table = calloc(vectors->count, sizeof(*msix->table));
	if (vectors->fds)
		memset(vectors->fds, 0xff, vectors->count * sizeof(*vectors->fds));
	return vectors->fds && vectors->connected && msix->table ? 0 : -ENOMEM;
}

int vectors_create(struct vectors *vectors, struct pci_msix *msix, struct interrupts *interrupts,
		   struct error *error)
{
	uint32_t count = msix->vectors;
	int ret = vectors_adopt(vectors, msix, interrupts);

	if (!ret)
		ret = make_eventfds(vectors);
	if (ret < 0) {
		vectors_destroy(vectors, msix);
		return error_set(error, -ret, "no room for %u interrupts: %s; detach another card",
				 count, strerror(-ret));
	}
	return 0;
}

int vectors_adopt(struct vectors *vectors, struct pci_msix *msix, struct interrupts *interrupts)
{
	int ret;

	*vectors = (struct vectors){.interrupts = interrupts};
	if (!msix->vectors)
		return 0;
	ret = allocate(vectors, msix);
	if (!ret)
		pci_msix_reset(msix);
	return ret;
}

int vectors_take(struct vectors *vectors, int fd)
{
	for (uint32_t i = 0; i < vectors->count; i++) {
		if (vectors->fds[i] >= 0)
			continue;
		vectors->fds[i] = fd;
		return 0;
	}
	return -EPROTO;
}

int vectors_route(const struct vectors *vectors, const struct pci_msix *msix)
{
	int ret = 0;

	for (uint32_t i = 0; !ret && i < vectors->count; i++) {
		const struct pci_msix_entry *entry = &msix->table[i];

		if (vectors->fds[i] < 0)
			return -EPROTO;
		if (pci_msix_is_live(msix, i))
			ret = interrupts_put_route(vectors->interrupts, vectors->first_gsi + i,
						   entry->address, entry->data);
	}
	return ret;
}

static void disconnect(struct vectors *vectors, unsigned vector)
{
	if (!vectors->connected[vector])
		return;
	interrupts_disconnect(vectors->interrupts, vectors->first_gsi + vector,
			      vectors->fds[vector]);
	vectors->connected[vector] = false;
}

bool vectors_connect(struct vectors *vectors, const struct pci_msix *msix)
{
	bool all = true;

	for (uint32_t i = 0; i < vectors->count; i++) {
		if (!pci_msix_is_live(msix, i) || vectors->connected[i])
			continue;
		vectors->connected[i] = !interrupts_connect(
			vectors->interrupts, vectors->first_gsi + i, vectors->fds[i]);
		all &= vectors->connected[i];
	}
	return all;
}

void vectors_disconnect(struct vectors *vectors)
{
	for (uint32_t i = 0; i < vectors->count; i++)
		disconnect(vectors, i);
}

void vectors_destroy(struct vectors *vectors, struct pci_msix *msix)
{
	if (!vectors->count)
		return;
	for (uint32_t i = 0; vectors->fds && i < vectors->count; i++) {
		if (vectors->connected)
			disconnect(vectors, i);
		if (vectors->fds[i] >= 0)
			os_close(&vectors->fds[i]);
	}
	interrupts_release(vectors->interrupts, vectors->first_gsi, vectors->count);
	free(vectors->fds);
	free(vectors->connected);
	free(msix->table);
	msix->table = NULL;
	msix->vectors = 0;
	*vectors = (struct vectors){0};
}

void vectors_update_one(struct vectors *vectors, const struct pci_msix *msix, unsigned vector)
{
	const struct pci_msix_entry *entry = &msix->table[vector];
	uint32_t gsi = vectors->first_gsi + vector;
	bool live = pci_msix_is_live(msix, vector);

	if (live == vectors->connected[vector])
		return;
	if (!live) {
		disconnect(vectors, vector);
		return;
	}
	/* A refusal (a message that no interrupt controller takes) leaves the vector silent. */
	if (!interrupts_route(vectors->interrupts, gsi, entry->address, entry->data))
		vectors->connected[vector] =
			!interrupts_connect(vectors->interrupts, gsi, vectors->fds[vector]);
}

/* Off: the card lets go of the eventfds, and what is pending is forgotten. */
static void unbind(struct vectors *vectors, struct vfu_client *client)
{
	if (client)
		vfu_client_disable_irqs(client, IRQ_MSIX);
	for (uint32_t i = 0; i < vectors->count; i++)
		os_eventfd_drain_shared(vectors->fds[i]);
	vectors->bound = false;
}

void vectors_update(struct vectors *vectors, const struct pci_msix *msix, struct vfu_client *client)
{
	for (uint32_t i = 0; i < vectors->count; i++)
		vectors_update_one(vectors, msix, i);
	if (msix->enabled && !vectors->bound && client)
		vectors->bound =
			!vfu_client_bind_irqs(client, IRQ_MSIX, 0, vectors->fds, vectors->count);
	else if (!msix->enabled && vectors->bound)
		unbind(vectors, client);
}

int vectors_rebind(const struct vectors *vectors, struct vfu_client *client)
{
	if (!vectors->bound)
		return 0;
	return vfu_client_bind_irqs(client, IRQ_MSIX, 0, vectors->fds, vectors->count);
}

static bool is_pending(const struct vectors *vectors, uint32_t vector)
{
	struct pollfd pollfd = {.events = POLLIN};

	if (vector >= vectors->count || vectors->connected[vector])
		return false;
	pollfd.fd = vectors->fds[vector];
	return poll(&pollfd, 1, 0) == 1;
}

void vectors_read_pending(const struct vectors *vectors, uint32_t offset, void *to, uint32_t length)
{
	uint8_t *bytes = to;

	memset(bytes, 0, length);
	for (uint32_t bit = 0; bit < length * 8; bit++)
		if (is_pending(vectors, offset * 8 + bit))
			bytes[bit / 8] |= (uint8_t)(1u << bit % 8);
}
