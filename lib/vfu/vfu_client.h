/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vfio-user, the hypervisor's half. The card is hostile and may die or fall silent at any instant:
 * every call ends at its deadline; after the first broken rule or missed deadline the link is dead
 * for good, calls return -EPIPE at once, and nothing of the card's is believed any more.
 *
 * A negative return is the card's own answer to this one call, or, when vfu_client_is_dead() says
 * so, the link's end: -ETIMEDOUT or -EPROTO for the call that saw it, -EPIPE from then on.
 *
 * Any thread may call; a lock inside makes one exchange at a time. After vfu_client_create() and
 * until vfu_client_destroy() it allocates nothing and needs no system calls but sendmsg, recvmsg,
 * poll, futex, clock_gettime, and close for descriptors that the card sent unasked.
 */
#ifndef KARUTA_VFU_VFU_CLIENT_H
#define KARUTA_VFU_VFU_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct vfu_client;

/* Answers to the card's DMA messages; 0 or -errno, which becomes the answer. NULL ops: -ENOSYS to
 * all. Runs with the link's lock held. */
struct vfu_client_ops {
	int (*dma_read)(void *context, uint64_t address, void *to, uint64_t length);
	int (*dma_write)(void *context, uint64_t address, const void *from, uint64_t length);
};

struct vfu_info {
	bool can_reset;
	uint32_t regions, irqs;
};

#define VFU_CLIENT_AREAS  16u
#define VFU_CLIENT_IO_FDS 128u

struct vfu_region_info {
	uint64_t size; /* 0: not there */
	bool readable, writable;
	bool mappable; /* a descriptor and at least one area came */
	int fd;	       /* the caller's to close; -1: none came */
	uint64_t map_offset;
	struct {
		uint64_t offset, size; /* page aligned, within the region */
	} areas[VFU_CLIENT_AREAS];
	size_t area_count;
};

struct vfu_client_io_fd {
	uint64_t offset;
	uint32_t size;
	int fd; /* the caller's to close; entries may share one: then only the first owns it */
	bool owned;
	bool match;
	uint64_t match_value;
};

/* The socket becomes the client's, unless this fails. `deadline_ms`: of each exchange, and after it
 * a call that takes several begins no other. */
int vfu_client_create(struct vfu_client **client, int fd, const struct vfu_client_ops *ops,
		      void *context, unsigned deadline_ms);
void vfu_client_destroy(struct vfu_client *client);

int vfu_client_negotiate(struct vfu_client *client, struct error *error);
int vfu_client_info(struct vfu_client *client, struct vfu_info *info);
int vfu_client_region(struct vfu_client *client, unsigned index, struct vfu_region_info *info);
/* Number of vectors of an interrupt index. */
int vfu_client_irq(struct vfu_client *client, unsigned index, uint32_t *count);
/* Fills at most VFU_CLIENT_IO_FDS entries; returns their number. A card that offers none: 0. Sizes
 * are 0, 1, 2, 4 or 8; that the offsets lie in the region is for the caller to check. */
int vfu_client_io_fds(struct vfu_client *client, unsigned region,
		      struct vfu_client_io_fd io_fds[VFU_CLIENT_IO_FDS]);

/* `fd` stays the caller's. */
int vfu_client_dma_map(struct vfu_client *client, uint64_t address, uint64_t size, int fd,
		       uint64_t offset, bool writable);
int vfu_client_dma_unmap(struct vfu_client *client, uint64_t address, uint64_t size);

int vfu_client_read(struct vfu_client *client, unsigned region, uint64_t offset, void *to,
		    uint32_t length);
int vfu_client_write(struct vfu_client *client, unsigned region, uint64_t offset, const void *from,
		     uint32_t length);
/* Sent and not waited for; failures show as a dead link later. */
int vfu_client_post(struct vfu_client *client, unsigned region, uint64_t offset, const void *from,
		    uint32_t length);

/*
 * Sent and not waited for, but answered at some time: what the card has not answered when it dies
 * is known. A card answers a write before it looks at the next, so of these only the first can have
 * been carried out. A write that fails here is not one of them. At most VFU_CLIENT_BEHIND_DATA.
 */
#define VFU_CLIENT_BEHIND_DATA 8u
int vfu_client_write_behind(struct vfu_client *client, unsigned region, uint64_t offset,
			    const void *from, uint32_t length);
/* Carries out on `to`, in their order, the writes that `from`'s card left unanswered when it died.
 * After a failure `from` still has those that `to` has not answered. One deadline, `to`'s. */
int vfu_client_hand_over(struct vfu_client *from, struct vfu_client *to);

/* A link, but for its socket: what another program has to know to go on with it. */
struct vfu_client_link {
	uint32_t next_id, card_fds, card_transfer;
};
/* Lets nothing be under way: what was written behind is answered, no message has come by half. */
int vfu_client_settle(struct vfu_client *client, struct vfu_client_link *link);
/* On a client that was made for the socket of one that was settled, instead of negotiating.
 * -EPROTO: no link is like that. */
int vfu_client_continue(struct vfu_client *client, const struct vfu_client_link *link);

/* Binds `count` eventfds (all >= 0, the caller's) from vector `start` on; cut into messages as the
 * card's limit wants. */
int vfu_client_bind_irqs(struct vfu_client *client, unsigned index, uint32_t start, const int *fds,
			 uint32_t count);
/* Unbinds all vectors of the index. */
int vfu_client_disable_irqs(struct vfu_client *client, unsigned index);
int vfu_client_reset(struct vfu_client *client);

/* The link's socket, for a loop that waits for the card's own messages or its death. */
int vfu_client_fd(const struct vfu_client *client);
/* Handles what the card has sent of its own accord; never waits for another thread's exchange,
 * which does the same. Negative: the link is dead. Nothing becomes readable when another thread
 * finds the link dead: that thread has to tell. */
int vfu_client_poll(struct vfu_client *client);
bool vfu_client_is_dead(const struct vfu_client *client);

#endif
