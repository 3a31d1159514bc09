/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "base/base.h"
#include "doorbells.h"
#include "os/fd.h"

#define IRQ_NEWS 5u /* beyond those that the protocol names: vfu/vfu_server.h */

void doorbells_init(struct doorbells *doorbells)
{
	*doorbells = (struct doorbells){.news = -1};
}

int doorbells_listen(struct doorbells *doorbells, struct vfu_client *client, uint32_t irqs)
{
	uint32_t count = 0;
	int ret = irqs > IRQ_NEWS ? vfu_client_irq(client, IRQ_NEWS, &count) : 0;

	if (ret < 0 || !count)
		return ret;
	if (doorbells->news < 0)
		doorbells->news = os_eventfd();
	if (doorbells->news < 0)
		return doorbells->news;
	return vfu_client_bind_irqs(client, IRQ_NEWS, 0, &doorbells->news, 1);
}

static bool is_sane(const struct vfu_client_io_fd *io_fd, unsigned bar, uint64_t size,
		    const struct pci_msix *msix)
{
	uint32_t length = io_fd->size ? io_fd->size : 1; /* any length at this address */

	if (length > 8 || !is_power_of_two(length) || io_fd->offset % length)
		return false;
	if (io_fd->match && !io_fd->size)
		return false;
	if (!range_within(io_fd->offset, length, size))
		return false;
	return !msix->vectors || msix->table_bar != bar ||
	       !ranges_overlap(io_fd->offset, length, msix->table_offset,
			       msix->vectors * PCI_MSIX_ENTRY);
}

static struct doorbell *grow(struct doorbells *doorbells, size_t more)
{
	size_t size = (doorbells->count + more) * sizeof(*doorbells->list);
	struct doorbell *list = realloc(doorbells->list, size);

	if (!list)
		return NULL;
	doorbells->list = list;
	return list + doorbells->count;
}

int doorbells_fetch(struct doorbells *doorbells, struct vfu_client *client, unsigned bar,
		    uint64_t size, const struct pci_msix *msix)
{
	struct vfu_client_io_fd io_fds[VFU_CLIENT_IO_FDS];
	int count = vfu_client_io_fds(client, bar, io_fds);
	struct doorbell *added;

	if (count <= 0)
		return count;
	added = grow(doorbells, (size_t)count);
	for (int i = 0; i < count; i++) {
		if (!added) {
			if (io_fds[i].owned)
				os_close(&io_fds[i].fd);
			continue;
		}
		/* A senseless one is kept, for its descriptor may serve others, but is never
		 * connected. */
		if (!is_sane(&io_fds[i], bar, size, msix))
			io_fds[i].size = UINT32_MAX;
		added[i] = (struct doorbell){.io_fd = io_fds[i], .bar = (uint8_t)bar};
		doorbells->count++;
	}
	return added ? 0 : -ENOMEM;
}

static bool set_ioeventfd(const struct doorbell *doorbell, int vm, uint64_t address, uint32_t flags)
{
	struct kvm_ioeventfd request = {
		.addr = address,
		.len = doorbell->io_fd.size,
		.fd = doorbell->io_fd.fd,
		.flags = flags,
	};

	if (doorbell->io_fd.match) {
		request.datamatch = doorbell->io_fd.match_value;
		request.flags |= KVM_IOEVENTFD_FLAG_DATAMATCH;
	}
	return ioctl(vm, KVM_IOEVENTFD, &request) == 0;
}

static void move(struct doorbell *doorbell, int vm, uint64_t address)
{
	if (doorbell->io_fd.size == UINT32_MAX || doorbell->address == address)
		return;
	if (doorbell->assigned)
		set_ioeventfd(doorbell, vm, doorbell->address, KVM_IOEVENTFD_FLAG_DEASSIGN);
	doorbell->address = address;
	doorbell->assigned = address && set_ioeventfd(doorbell, vm, address, 0);
}

void doorbells_update(struct doorbells *doorbells, int vm, const uint64_t decode[PCI_BARS])
{
	for (size_t i = 0; i < doorbells->count; i++) {
		struct doorbell *doorbell = &doorbells->list[i];
		uint64_t base = decode[doorbell->bar];

		move(doorbell, vm, base ? base + doorbell->io_fd.offset : 0);
	}
}

void doorbells_drop(struct doorbells *doorbells, int vm)
{
	static const uint64_t nowhere[PCI_BARS];

	doorbells_update(doorbells, vm, nowhere);
	for (size_t i = 0; i < doorbells->count; i++)
		if (doorbells->list[i].io_fd.owned)
			os_close(&doorbells->list[i].io_fd.fd);
	free(doorbells->list);
	doorbells->list = NULL;
	doorbells->count = 0;
}

void doorbells_destroy(struct doorbells *doorbells, int vm)
{
	doorbells_drop(doorbells, vm);
	os_close(&doorbells->news);
	atomic_store(&doorbells->stale, false);
}

/* Only while KVM keeps accesses from us is it worth a system call to hear of it before the main
 * thread does. */
bool doorbells_are_stale(struct doorbells *doorbells)
{
	if (doorbells->count && doorbells->news >= 0)
		doorbells_hear(doorbells);
	return atomic_load(&doorbells->stale) && atomic_exchange(&doorbells->stale, false);
}

/* What is known already is not waited for, however often it is told. */
int doorbells_news(const struct doorbells *doorbells)
{
	return atomic_load(&doorbells->stale) ? -1 : doorbells->news;
}

void doorbells_hear(struct doorbells *doorbells)
{
	if (os_eventfd_drain_shared(doorbells->news))
		atomic_store(&doorbells->stale, true);
}
