/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vfio-user, the card's half (protocol 0.x as in QEMU's docs/interop/vfio-user; layouts in
 * wire/vfio_user.h). Serves one client at a time: on a descriptor it was given, or on a listening
 * socket one client after the other. The client is hostile: whatever it sends is answered as the
 * protocol says, and it can neither crash the server, nor leak its descriptors and mappings, nor
 * make it wait.
 *
 * One thread owns a server, the one that turns its loop. All callbacks run on it.
 */
#ifndef KARUTA_VFU_VFU_SERVER_H
#define KARUTA_VFU_VFU_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "mem/mem.h"
#include "os/loop.h"

#define VFU_REGIONS	  9u /* BAR 0..5, ROM, configuration space, VGA */
#define VFU_REGION_CONFIG 7u
#define VFU_IRQS	  6u /* INTx, MSI, MSI-X, ERR, REQ, and one of our own: */
#define VFU_IRQ_MSIX	  2u
#define VFU_IRQ_IO_FDS	  5u /* other doorbells are offered now; beyond what the protocol names */
#define VFU_MAX_VECTORS	  2048u
#define VFU_MAX_AREAS	  4u

struct vfu_area {
	uint64_t offset, size; /* within the region, page aligned */
};

struct vfu_region {
	uint64_t size; /* 0: not there */
	bool readable, writable;
	/* Parts that a client may map: `map_fd` < 0 or no areas: none. The descriptor stays the
	 * device's. */
	int map_fd;
	uint64_t map_offset; /* where the region's offset 0 is in the file */
	struct vfu_area areas[VFU_MAX_AREAS];
	size_t area_count;
};

/* A doorbell that can be rung by eventfd instead of a region write. Size 0 of one whose value means
 * nothing at all: the client's kernel need not look at the instruction. */
struct vfu_io_fd {
	uint32_t region;
	uint64_t offset;
	uint32_t size; /* 1, 2, 4, 8; 0: any */
	int fd;	       /* the device's */
	bool match;    /* only writes of `match_value` */
	uint64_t match_value;
};

/* What the device is. Outlives the server. The number of io_fds may change: raise VFU_IRQ_IO_FDS
 * after it. */
struct vfu_device {
	struct vfu_region regions[VFU_REGIONS];
	uint32_t irq_counts[VFU_IRQS];
	const struct vfu_io_fd *io_fds;
	size_t io_fd_count;
};

enum vfu_reset {
	VFU_RESET_DEVICE, /* the client asked for it */
	VFU_RESET_LOST, /* the client is gone: its windows and interrupts are gone too; device state
			   stays */
};

struct vfu_device_ops {
	/* In range of the region, 1 byte .. 1 MiB. 0 or -errno, which becomes the answer. */
	int (*read)(void *context, unsigned region, uint64_t offset, void *to, uint32_t length);
	int (*write)(void *context, unsigned region, uint64_t offset, const void *from,
		     uint32_t length);
	void (*reset)(void *context, enum vfu_reset reason);
	/*
	 * A window is about to go: when this returns nobody touches guest memory until the device's
	 * next callback. It is unmapped right after.
	 */
	void (*quiesce)(void *context);
};

struct vfu_server;

struct vfu_server_counters {
	uint64_t clients, messages, protocol_errors;
};

int vfu_server_create(struct vfu_server **server, const struct vfu_device *device,
		      const struct vfu_device_ops *ops, void *context, struct os_loop *loop);
/* Quiesces the device if there are windows; the device must still be there. */
void vfu_server_destroy(struct vfu_server *server);

/* Serves the client on `fd`, which becomes the server's, and is closed if this fails. -EBUSY: there
 * is a client already. */
int vfu_server_adopt(struct vfu_server *server, int fd);
/* Serves clients that connect to `listening`, one after the other; others wait in the backlog.
 * Becomes the server's, and is closed if this fails. */
int vfu_server_listen(struct vfu_server *server, int listening);
/* An AF_UNIX socket at `path`, mode 0600, a stale one replaced; one that is served, or a file of
 * another kind, is left alone. Returns the descriptor or -errno. */
int vfu_server_bind(const char *path, struct error *error);

bool vfu_server_has_client(const struct vfu_server *server);
struct vfu_server_counters vfu_server_counters(const struct vfu_server *server);

/* Guest memory as the client gave it. The pointer is good for the server's life; its windows
 * change. */
const struct mem_map *vfu_server_memory(const struct vfu_server *server);

/*
 * Memory that the client did not map: by message, waiting for the answers up to a second. Must not
 * be called from inside a callback of the device's (the client may be unable to answer until its
 * own request is: it would be a deadlock): -EDEADLK. While it waits, requests that leave the device
 * as it is are answered, region reads and new windows among them; from the first region write,
 * unmap or reset on all are kept for later. So read() can be called in the middle of this.
 *
 * -EFAULT: the client refused, or there is no such memory. -EPIPE: it is gone. -ETIMEDOUT: no
 * answer came; then the client is finished with, unless it waits for one of the kept requests. A
 * client that is finished with is cleaned up (quiesce, VFU_RESET_LOST) when the loop turns next,
 * never inside this call.
 */
int vfu_server_dma_read(struct vfu_server *server, uint64_t address, void *to, uint64_t length);
int vfu_server_dma_write(struct vfu_server *server, uint64_t address, const void *from,
			 uint64_t length);

/* Raises an interrupt; dropped when the client bound no eventfd to it. */
void vfu_server_interrupt(struct vfu_server *server, unsigned index, unsigned vector);
bool vfu_server_vector_is_bound(const struct vfu_server *server, unsigned index, unsigned vector);

#endif
