/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The card as a PCI function on the bus: configuration space with its effects, BARs without the
 * part that is the host's (MSI-X table and pending bits), doorbells, interrupts, resets.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/base.h"
#include "frame.h"
#include "os/fd.h"
#include "os/memfd.h"

#define IRQ_ERROR 3u

/* ---- accesses ---- */

struct piece {
	uint32_t length;
	bool is_host_side;
};

/* Shortens the piece that starts at `offset` to what lies on one side of a range of the host's. */
static void cut(struct piece *piece, uint64_t offset, uint64_t start, uint64_t size)
{
	uint64_t border;

	if (!size || offset >= start + size)
		return;
	piece->is_host_side |= offset >= start;
	border = offset >= start ? start + size : start;
	piece->length = (uint32_t)min_u64(piece->length, border - offset);
}

static struct piece first_piece(const struct pci_identity *identity, unsigned bar, uint64_t offset,
				uint32_t length)
{
	struct piece piece = {.length = length};

	if (bar != identity->msix_bar)
		return piece;
	cut(&piece, offset, identity->msix_table_offset, pci_msix_table_size(identity));
	cut(&piece, offset, identity->msix_pending_offset, pci_msix_pending_size(identity));
	return piece;
}

/* PCI 3.0, 6.8.2: the host keeps the table and the pending bits; it does not ask the card. */
static void bar_read(struct card *card, unsigned bar, uint64_t offset, uint8_t *to, uint32_t length)
{
	while (length) {
		struct piece piece = first_piece(card->ops->identity, bar, offset, length);

		if (piece.is_host_side)
			memset(to, 0, piece.length);
		else
			card->ops->bar_read(card, bar, offset, to, piece.length);
		to += piece.length;
		offset += piece.length;
		length -= piece.length;
	}
}

static void bar_write(struct card *card, unsigned bar, uint64_t offset, const uint8_t *from,
		      uint32_t length)
{
	while (length) {
		struct piece piece = first_piece(card->ops->identity, bar, offset, length);

		if (!piece.is_host_side)
			card->ops->bar_write(card, bar, offset, from, piece.length);
		from += piece.length;
		offset += piece.length;
		length -= piece.length;
	}
}

static void set_master(struct card *card, bool on)
{
	if (card->ops->master)
		card->ops->master(card, on);
}

void card_bus_reset(struct card *card)
{
	set_master(card, false);
	card->ops->reset(card);
	pci_config_reset(&card->area->config, card->ops->identity);
	card->held = false;
	card_count(card, STATUS_CARD_RESETS, 1);
}

static void config_write(struct card *card, uint64_t offset, const void *from, uint32_t length)
{
	struct pci_config *config = &card->area->config;
	bool was_master = pci_config_is_master(config);
	unsigned effects = pci_config_write(config, (uint32_t)offset, from, length);

	if (effects & PCI_EFFECT_REFUSED)
		card_security_event(card, "write to the read-only configuration register 0x%02x",
				    (unsigned)offset);
	if (effects & PCI_EFFECT_RESET)
		card_bus_reset(card);
	else if (pci_config_is_master(config) != was_master)
		set_master(card, !was_master);
}

/* ---- what the server calls ---- */

static int serve_read(void *context, unsigned region, uint64_t offset, void *to, uint32_t length)
{
	struct card *card = context;

	if (region == VFU_REGION_CONFIG)
		pci_config_read(&card->area->config, (uint32_t)offset, to, length);
	else
		bar_read(card, region, offset, to, length);
	return 0;
}

/* What was rung while no process listened was lost with the last one's descriptors. */
static void go_on(struct card *card)
{
	card->held = false;
	for (unsigned i = 0; card->ops->doorbell && i < card->doorbell_fds; i++)
		card->ops->doorbell(card, i);
}

static int serve_write(void *context, unsigned region, uint64_t offset, const void *from,
		       uint32_t length)
{
	struct card *card = context;

	if (card->held)
		go_on(card);
	if (region == VFU_REGION_CONFIG)
		config_write(card, offset, from, length);
	else
		bar_write(card, region, offset, from, length);
	return 0;
}

/*
 * On its one link, a card ends with its client and the device stays as it is in the state area. On
 * a socket, the next client is another machine, whose memory the device must not touch by what the
 * last one had set up: losing the client is a power cycle.
 */
static void serve_reset(void *context, enum vfu_reset reason)
{
	struct card *card = context;

	if (reason == VFU_RESET_LOST && !card->settings.listen)
		card->stop = true;
	else
		card_bus_reset(card);
}

static void serve_quiesce(void *context)
{
	struct card *card = context;

	if (card->ready && card->ops->quiesce)
		card->ops->quiesce(card);
}

static const struct vfu_device_ops server_ops = {
	.read = serve_read,
	.write = serve_write,
	.reset = serve_reset,
	.quiesce = serve_quiesce,
};

/* Adds what is new: the page may have counted for a process before this one. */
static void count_bus(struct card *card)
{
	struct vfu_server_counters now = vfu_server_counters(card->server);

	if (now.clients == card->counted.clients &&
	    now.protocol_errors == card->counted.protocol_errors)
		return;
	card_count(card, STATUS_CARD_CLIENTS, now.clients - card->counted.clients);
	card_count(card, STATUS_CARD_PROTOCOL_ERRORS,
		   now.protocol_errors - card->counted.protocol_errors);
	card->counted = now;
}

bool card_bus_work(struct card *card)
{
	bool again = false;

	if (card->ops->work && !card->held && !card->frozen && vfu_server_has_client(card->server))
		again = card->ops->work(card);
	count_bus(card);
	return again;
}

bool card_bus_rest(struct card *card)
{
	return card->ops->rest && !card->held && !card->frozen &&
	       vfu_server_has_client(card->server) && card->ops->rest(card);
}

bool card_bus_polls(const struct card *card)
{
	return card->shared && !card->held && !card->frozen &&
	       vfu_server_has_client(card->server) && pci_config_is_master(&card->area->config);
}

void card_interrupt(struct card *card, unsigned vector)
{
	if (vector >= card->ops->identity->msix_vectors ||
	    !pci_config_is_master(&card->area->config))
		return;
	vfu_server_interrupt(card->server, VFU_IRQ_MSIX, vector);
	card_count(card, STATUS_CARD_INTERRUPTS, 1);
}

void card_offer_doorbells(struct card *card, bool on)
{
	size_t count = on ? card->ops->doorbell_count : 0;

	if (card->function.io_fd_count == count)
		return;
	card->function.io_fd_count = count;
	vfu_server_interrupt(card->server, VFU_IRQ_IO_FDS, 0);
}

/* ---- opening ---- */

static void ring(void *context, int fd, uint32_t events)
{
	struct card_doorbell *doorbell = context;

	(void)events;
	if (os_eventfd_drain(fd) && doorbell->card->ops->doorbell)
		doorbell->card->ops->doorbell(doorbell->card, doorbell->index);
}

static void take_signal(void *context, int fd, uint32_t events)
{
	struct card *card = context;

	(void)fd;
	(void)events;
	card->stop = true;
}

static int open_doorbell(struct card *card, unsigned index)
{
	struct card_doorbell *doorbell = &card->doorbells[index];

	*doorbell = (struct card_doorbell){.card = card, .index = index, .fd = os_eventfd()};
	if (doorbell->fd < 0)
		return doorbell->fd;
	card->doorbell_fds++;
	return os_loop_add(card->loop, doorbell->fd, EPOLLIN, ring, doorbell);
}

static int open_doorbells(struct card *card)
{
	size_t count = card->ops->doorbell_count;
	int err = 0;

	card->io_fds = calloc(count + 1, sizeof(*card->io_fds));
	card->doorbells = calloc(count + 1, sizeof(*card->doorbells));
	if (!card->io_fds || !card->doorbells)
		return -ENOMEM;
	for (size_t i = 0; !err && i < count; i++) {
		unsigned index = (unsigned)card->ops->doorbells[i].fd;

		if (index == card->doorbell_fds)
			err = open_doorbell(card, index);
		card->io_fds[i] = card->ops->doorbells[i];
		card->io_fds[i].fd = card->doorbells[index].fd;
	}
	return err;
}

/* The file is the BAR up to the part's end, so that offsets are the same in both. */
static int open_shared(struct card *card)
{
	const struct card_part *part = &card->ops->shared;

	if (!card->settings.poll || !part->size)
		return 0;
	card->shared_fd = os_memfd("doorbells", part->offset + part->size);
	if (card->shared_fd < 0)
		return card->shared_fd;
	return os_map(card->shared_fd, part->offset, part->size, true, &card->shared);
}

static void describe_shared(struct card *card)
{
	const struct card_part *part = &card->ops->shared;
	struct vfu_region *region = &card->function.regions[part->bar];

	region->map_fd = card->shared_fd;
	region->areas[0] = (struct vfu_area){.offset = part->offset, .size = part->size};
	region->area_count = 1;
}

static void describe(struct card *card)
{
	struct vfu_device *function = &card->function;
	const struct pci_identity *identity = card->ops->identity;

	for (unsigned i = 0; i < PCI_BARS; i++)
		function->regions[i] = (struct vfu_region){.size = identity->bars[i].size,
							   .readable = true,
							   .writable = true,
							   .map_fd = -1};
	for (unsigned i = PCI_BARS; i < VFU_REGIONS; i++)
		function->regions[i] = (struct vfu_region){.map_fd = -1};
	function->regions[VFU_REGION_CONFIG].size = PCI_CONFIG_SIZE;
	function->regions[VFU_REGION_CONFIG].readable = true;
	function->regions[VFU_REGION_CONFIG].writable = true;
	function->irq_counts[VFU_IRQ_MSIX] = identity->msix_vectors;
	/* Never raised; QEMU warns its user when it cannot be bound. */
	function->irq_counts[IRQ_ERROR] = 1;
	function->irq_counts[VFU_IRQ_IO_FDS] = card->ops->doorbell_count > 0;
	function->io_fds = card->io_fds;
	function->io_fd_count = card->ops->doorbell_count;
	if (card->shared)
		describe_shared(card);
}

static int open_socket(struct card *card, struct error *error)
{
	int fd = card->settings.bus_fd;
	int type = 0;
	socklen_t length = sizeof(type);

	if (card->settings.listen) {
		fd = vfu_server_bind(card->settings.listen, error);
		return fd < 0 ? fd : vfu_server_listen(card->server, fd);
	}
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) < 0 || type != SOCK_STREAM)
		return error_set(error, ENOTSOCK, "bus: descriptor %d is not a stream socket", fd);
	return vfu_server_adopt(card->server, fd);
}

int card_bus_open(struct card *card, struct error *error)
{
	int err = os_loop_add(card->loop, card->signals, EPOLLIN, take_signal, card);

	if (!err)
		err = open_doorbells(card);
	if (!err)
		err = open_shared(card);
	if (!err) {
		describe(card);
		err = vfu_server_create(&card->server, &card->function, &server_ops, card,
					card->loop);
	}
	if (!err)
		err = open_socket(card, error);
	if (err && !error->code)
		error_set(error, -err, "bus: %s", strerror(-err));
	return err;
}

void card_bus_close(struct card *card)
{
	vfu_server_destroy(card->server);
	for (size_t i = 0; i < card->doorbell_fds; i++)
		os_close(&card->doorbells[i].fd);
	free(card->doorbells);
	free(card->io_fds);
	os_close(&card->shared_fd);
}
