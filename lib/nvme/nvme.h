/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An NVMe controller with one namespace (NVMe Base 2.0, NVM Command Set 1.0) as a model: registers,
 * queues, commands. It knows neither the bus it sits on nor where blocks are kept: both are tables
 * of calls. It opens nothing and waits for nothing.
 *
 * All device state is in `struct nvme_state`, plain data in the card's state area, so that another
 * process can go on from it at any instant. One thread owns a controller.
 */
#ifndef KARUTA_NVME_NVME_H
#define KARUTA_NVME_NVME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/error.h"
#include "mem/mem.h"

#define NVME_IO_QUEUES	 16u   /* pairs, besides the admin queue */
#define NVME_QUEUE_DEPTH 4096u /* CAP.MQES + 1 */
#define NVME_VECTORS	 (NVME_IO_QUEUES + 1)
/* Under way at most, all queues together; more stay in their queues. */
#define NVME_COMMANDS	  1024u
#define NVME_MDTS	  8u /* 2^8 pages of 4 KiB = 1 MiB */
#define NVME_MAX_TRANSFER (UINT32_C(1) << 20)
/* Registers, doorbells at 0x1000; MSI-X table at 0x2000, pending bits at 0x3000. */
#define NVME_BAR_SIZE	  0x4000u
#define NVME_DOORBELLS	  0x1000u
#define NVME_MSIX_TABLE	  0x2000u
#define NVME_MSIX_PENDING 0x3000u

/* What the controller is. */
struct nvme_setup {
	char serial[20]; /* space padded ASCII */
	char model[40];
	char firmware[8];
	uint8_t nguid[16];
	uint64_t size;	   /* bytes, until nvme_resize() */
	uint32_t lba_size; /* 512 or 4096 */
	uint16_t vendor;   /* PCI vendor ids as in configuration space */
	uint16_t subsystem_vendor;
};

enum nvme_io_op {
	NVME_IO_READ,
	NVME_IO_WRITE,
	NVME_IO_FLUSH,
	NVME_IO_DISCARD, /* deallocate, write zeroes: reads as zeros after */
};

/* A request to the block back end. Memory is the controller's; one answer by nvme_io_done(). */
struct nvme_io {
	enum nvme_io_op op;
	bool fua;
	uint64_t offset, length; /* bytes, within the namespace, multiples of the LBA size */
	const struct iovec
		*iov; /* READ, WRITE: the guest's pages (or a bounce buffer), sums to length */
	size_t iov_count;
	uint32_t slot; /* 0 .. NVME_COMMANDS - 1: unique among those under way */
};

/* Things that no guest may try; counted and reported, besides being refused. */
enum nvme_event {
	NVME_EVENT_FORBIDDEN_COMMAND,  /* firmware, security, format, sanitize, vendor: `value` is
					  the opcode */
	NVME_EVENT_READ_ONLY_REGISTER, /* `value` is the offset */
	NVME_EVENT_BAD_DOORBELL,       /* `value` is the offset */
	NVME_EVENT_BAD_POINTER,	       /* memory that is not the guest's: `value` is the address */
	NVME_EVENT_FATAL,	       /* CSTS.CFS was set */
	NVME_EVENT_ERROR,	       /* a command ended with an error: `value` is the status */
};

struct nvme_ops {
	/* May call nvme_io_done() before it returns. */
	void (*submit)(void *context, struct nvme_io *io);
	/* All submitted in one nvme_process() may now start. */
	void (*kick)(void *context);
	/* Optional: completes what is ready, by nvme_io_done(), without waiting. Called by
	 * nvme_process() after kick(), so that one interrupt tells of all of it. */
	void (*poll)(void *context);
	/* Completes at least one request, by nvme_io_done(); may wait. Only called by
	 * nvme_quiesce(), nvme_reset() and nvme_set_master(). */
	void (*wait)(void *context);
	void (*interrupt)(void *context, unsigned vector);
	void (*event)(void *context, enum nvme_event event, uint64_t value);
	/* Guest memory that is not mapped here; 0 or -errno. Not called from register accesses. */
	int (*remote_read)(void *context, uint64_t address, void *to, uint64_t length);
	int (*remote_write)(void *context, uint64_t address, const void *from, uint64_t length);
	uint64_t (*now_ms)(void *context); /* wall clock, for timestamps */
	/* Calls nvme_alarm() once, in so many microseconds, outside of nvme_process(). One at a
	 * time is asked for. */
	void (*alarm)(void *context, uint32_t microseconds);
	/*
	 * On: the guest keeps the doorbells of I/O queues in its memory from now on, and a write to
	 * such a register says no more than that there is something: nvme_process() is to be
	 * called, the value need not get here. Off: they are registers again, as after power on. A
	 * state that is taken over tells by its `shadows` what holds.
	 */
	void (*shadows)(void *context, bool on);
};

/* Layout in state.h: versioned, without pointers. */
struct nvme_state;
struct nvme;

size_t nvme_state_size(void);
uint32_t nvme_state_version(void);

/*
 * `state`: nvme_state_size() bytes, all zeros for a new device (it is then set up as after power
 * on), or what an earlier process left, of this version or of the one before with zeros behind
 * NVME_STATE_OLDER_SIZE: checked like hostile input (-EPROTO), and its commands
 * under way are submitted again by the first nvme_process(). `memory`, `setup`, `ops` outlive the
 * controller.
 */
int nvme_create(struct nvme **nvme, const struct nvme_setup *setup, struct nvme_state *state,
		const struct mem_map *memory, const struct nvme_ops *ops, void *context,
		struct error *error);
void nvme_destroy(struct nvme *nvme);

/* BAR 0 below the MSI-X table. Any offset and length; what the specification does not define reads
 * as zeros. Never touches guest memory. */
void nvme_register_read(struct nvme *nvme, uint32_t offset, void *to, uint32_t length);
void nvme_register_write(struct nvme *nvme, uint32_t offset, const void *from, uint32_t length);
/* Power on, PCI reset, function level reset. Waits for the back end (ops->wait). */
void nvme_reset(struct nvme *nvme);

/* Carries out what the registers asked for: enable, disable, shutdown, then fetches commands. True:
 * there is more, call again soon. */
bool nvme_process(struct nvme *nvme);
/*
 * Before whoever calls nvme_process() sleeps: has the guest write its doorbells' registers, which
 * it otherwise need not (ops->shadows). True: something has come meanwhile, nvme_process() first.
 */
bool nvme_rest(struct nvme *nvme);
void nvme_alarm(struct nvme *nvme);
/*
 * error 0 or -errno; from ops->wait() also -ECANCELED: it was never begun and has had no effect.
 * The completion becomes visible to the guest here where the command is at its
 * end. Outside of nvme_process() its interrupt is raised here as well, one for each; call
 * nvme_process() after a batch of these, for what waited for them.
 */
void nvme_io_done(struct nvme *nvme, struct nvme_io *io, int error);

/*
 * The namespace has another size from now on: the next nvme_process() tells the guest. What has
 * been submitted may still be beyond the end of a smaller one; the back end answers with an error.
 * -EINVAL: not a single block.
 */
int nvme_resize(struct nvme *nvme, uint64_t size);

/*
 * A page that holds the doorbells, NVME_REG_DOORBELLS first, into which the guest stores without
 * a message: nvme_process() compares it with what it knows, and has to be called again and again.
 * It is given the present values. Outlives the controller; any value can be in it at any time.
 */
void nvme_share_doorbells(struct nvme *nvme, void *page);

/*
 * On return no request is with the back end and nothing touches guest memory. Sends no messages
 * (remote_read, remote_write); the next nvme_process() gives the answers.
 */
void nvme_quiesce(struct nvme *nvme);
/*
 * Bus mastering: while off, no access to guest memory and no interrupt (PCI 3.0, 6.2.2). Off in a
 * new state; kept in the state and over nvme_reset(), as its owner is the configuration space.
 * Switching it off waits for what is under way.
 */
void nvme_set_master(struct nvme *nvme, bool on);

#endif
