/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of this folder share. Everything in `struct nvme` can be made again from the
 * state (recover.c); nothing in it outlives the process.
 *
 *   controller.c  life, transitions, the order of work        registers.c  BAR 0
 *   doorbells.c   registers or memory                         queues.c     fetching
 *   complete.c    answers, interrupts
 *   admin.c       admin commands, by table                    io.c         the NVM command set
 *   queue_commands.c identify.c features.c logs.c events.c    what they do
 *   compare.c     Compare, Verify                             copy.c       Copy
 *   fused.c       Compare and Write
 *   sgl.c         SGLs
 *   data.c        PRPs, guest memory                          recover.c    going on after a death
 */
#ifndef KARUTA_NVME_PRIVATE_H
#define KARUTA_NVME_PRIVATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "nvme.h"
#include "spec.h"
#include "state.h"

#define NVME_PAGES	  (NVME_MAX_TRANSFER / NVME_PAGE + 1) /* the first may begin in its middle */
#define NVME_SEGMENTS	  2048u /* an SGL of single blocks of 512 bytes */
#define NVME_PIECES	  (NVME_PAGES + 1)
#define NVME_FEW_PIECES	  4u
#define NVME_BOUNCES	  8u	  /* at once, NVME_MAX_TRANSFER each */
#define NVME_ADMIN_SLOTS  16u	  /* kept free for the admin queue */
#define NVME_SPARE_PIECES 64u	  /* blocks kept for reuse */
#define NVME_TEMPERATURE  303u	  /* kelvin: there is no sensor, and no heat */
#define NVME_PENDING	  0xffffu /* instead of a status: the answer comes later */

/* Guest memory in a row. */
struct nvme_segment {
	uint64_t address;
	uint32_t length;
	bool bucket; /* no memory: what is read for it goes nowhere */
};

/* What a command's PRPs or SGL say; sums to the transfer's length. */
struct nvme_segments {
	unsigned count;
	struct nvme_segment list[NVME_SEGMENTS];
};

/* Room for a command that needs more than a few pieces. */
struct nvme_pieces {
	struct nvme_pieces *next;
	union {
		struct iovec iov[NVME_PIECES];
		struct nvme_dsm_range ranges[NVME_DSM_RANGES];
		struct nvme_copy_range sources[NVME_COPY_RANGES];
	};
};

/* Stands in for guest memory that is not mapped here, or for data that no guest sees. */
struct nvme_bounce {
	struct iovec iov;
	struct nvme_segments segments;
};

enum nvme_stage { NVME_STAGE_BEFORE, NVME_STAGE_MAIN, NVME_STAGE_AFTER, NVME_STAGE_END };

/* The process's own part of a slot. */
struct nvme_work {
	struct nvme_io io;
	struct nvme_work *next; /* in the list of those held back */
	struct nvme_pieces *pieces;
	struct nvme_bounce *bounce;
	enum nvme_stage stage;
	unsigned range, range_count; /* of a command that has a list of them */
	uint64_t gathered;	     /* bytes of a copy that have been read */
	bool reserved;		     /* has a place in its completion queue */
	bool submitting;	     /* inside ops->submit() ... */
	bool answered;		     /* ... and it has called nvme_io_done() with `error` */
	int error;
	struct iovec few[NVME_FEW_PIECES];
};

struct nvme {
	const struct nvme_setup *setup;
	struct nvme_state *state;
	const struct mem_map *memory;
	const struct nvme_ops *ops;
	void *context;

	uint64_t size;		     /* of the namespace; state->size is what the guest was told */
	uint32_t live_sqs, live_cqs; /* bit n: queue n is LIVE; spares a look at each */
	uint32_t *doorbells;	     /* that the guest stores into; NULL: none */

	unsigned with_back_end; /* requests */
	uint64_t busy_since;
	bool kick;	 /* submitted since the last ops->kick() */
	bool processing; /* kick and interrupts come at the end of the batch */
	bool completed;	 /* a request or a command has ended since nvme_process() began */
	bool quiescing;	 /* submit nothing more */
	bool dropping;	 /* nobody waits for the answers of what is with the back end */
	bool flushing;	 /* the flush of a shutdown is under way, in `flush` */
	uint32_t flush;

	unsigned unposted;   /* slots that are DONE or POSTING */
	uint32_t interrupts; /* bit n: vector n, at the end of the batch */
	uint32_t delayed;    /* bit n: vector n, when there are more, or at the alarm */
	bool alarmed;	     /* ops->alarm() was called, and nvme_alarm() not yet */
	uint8_t delayed_count[NVME_VECTORS]; /* answers, each */
	unsigned next_sq;		     /* whose turn it is */
	unsigned bounces;
	struct nvme_work *held, **held_end;
	struct nvme_pieces *spare;
	unsigned spare_count;

	bool pairing;  /* a fused pair waits for all else to end, or is under way: fetch nothing */
	bool paired;   /* it is under way */
	uint32_t pair; /* its first command */

	unsigned event_requests;
	uint32_t event_slots[NVME_EVENT_REQUESTS]; /* in order of arrival */
	uint32_t deletions;			   /* bit n: queue n waits to be empty, for ... */
	uint32_t deletion_slots[NVME_QUEUES];
	unsigned sq_busy[NVME_QUEUES];	   /* slots in use */
	unsigned cq_reserved[NVME_QUEUES]; /* places promised */

	unsigned free_count;
	uint16_t free_slots[NVME_COMMANDS];
	struct nvme_segments segments;	   /* of the command that is being looked at */
	uint64_t list_page[NVME_PAGE / 8]; /* copy of a PRP list, or of data on its way */
	struct nvme_work works[NVME_COMMANDS];
};

/* ---- stores that the next process relies on, in program order ---- */

static inline void nvme_publish(uint32_t *where, uint32_t value)
{
	__atomic_store_n(where, value, __ATOMIC_RELEASE);
	atomic_signal_fence(memory_order_seq_cst);
}

static inline void nvme_publish64(uint64_t *where, uint64_t value)
{
	__atomic_store_n(where, value, __ATOMIC_RELEASE);
	atomic_signal_fence(memory_order_seq_cst);
}

static inline bool nvme_is_admin(const struct nvme_slot *slot)
{
	return slot->queue == 0;
}

/* A status, with the byte of the command that it is about for the error log. */
static inline uint16_t nvme_at(struct nvme_slot *slot, size_t location, uint16_t status)
{
	if (status != NVME_OK)
		slot->location = (uint16_t)location;
	return status;
}

#define NVME_AT(slot, field, status) nvme_at(slot, offsetof(struct nvme_command, field), status)

static inline uint32_t nvme_slot_index(const struct nvme *nvme, const struct nvme_work *work)
{
	return (uint32_t)(work - nvme->works);
}

/* Where in a queue the entry with this count is; most sizes are powers of two, and a division takes
 * longer than anything else in here. */
static inline uint32_t nvme_place(uint64_t count, uint16_t size)
{
	return size & (size - 1) ? (uint32_t)(count % size) : (uint32_t)count & (size - 1u);
}

/* Entries written that the guest has not taken. */
static inline uint64_t nvme_cq_used(const struct nvme_cq *cq)
{
	return cq->posted - cq->consumed;
}

static inline void nvme_tell(struct nvme *nvme, enum nvme_event event, uint64_t value)
{
	nvme->ops->event(nvme->context, event, value);
}

/* ---- controller.c ---- */

/* Ready, not failed, allowed to touch guest memory. */
bool nvme_running(const struct nvme *nvme);
void nvme_fail(struct nvme *nvme);
void nvme_default_features(struct nvme_features *features);
/* Sends what is in work->io; the answer may have come on return. */
void nvme_submit(struct nvme *nvme, struct nvme_work *work);

/* ---- recover.c ---- */

int nvme_check_state(const struct nvme *nvme, struct error *error);
/* Everything in *nvme from the state; does steps 3 and 8 of state.h where they are missing. */
void nvme_rebuild(struct nvme *nvme);

/* ---- doorbells.c ---- */

void nvme_write_doorbell(struct nvme *nvme, uint32_t offset, uint32_t value);
void nvme_take_doorbells(struct nvme *nvme);
/* The queue is new: so are its doorbells where the guest stores them. */
void nvme_clear_doorbell(struct nvme *nvme, unsigned queue, bool completion);
uint16_t nvme_configure_doorbells(struct nvme *nvme, struct nvme_slot *slot);
void nvme_forget_shadows(struct nvme *nvme);

/* ---- queues.c ---- */

/* After a queue's state has changed. */
void nvme_note_queues(struct nvme *nvme);
/* One bounded round over all queues; true: a queue has more that could be fetched. */
bool nvme_fetch(struct nvme *nvme);
/* Carries out a slot that is FETCHED. */
void nvme_execute(struct nvme *nvme, uint32_t index);
void nvme_hold(struct nvme *nvme, struct nvme_work *work);
void nvme_run_held(struct nvme *nvme);

/* ---- fused.c ---- */

bool nvme_is_fused(const struct nvme_slot *slot, unsigned part);
/* Carries out one half of a pair, which may mean to wait for the other. */
void nvme_execute_fused(struct nvme *nvme, uint32_t index);
void nvme_run_pair(struct nvme *nvme);
/* A first command that has been carried out and whose second has not: no answer yet. */
bool nvme_waits_for_second(const struct nvme *nvme, const struct nvme_slot *slot);
/* The slot has just become DONE. */
void nvme_continue_pair(struct nvme *nvme, uint32_t index);
/* NULL: it has none. */
struct nvme_slot *nvme_first_of(struct nvme *nvme, const struct nvme_slot *second);

/* ---- complete.c ---- */

/* The answer of a FETCHED slot; slot->result has been set. */
void nvme_finish(struct nvme *nvme, uint32_t index, uint16_t status);
/* Finishes entries that an earlier process had begun to write. */
void nvme_repost(struct nvme *nvme);
void nvme_post_waiting(struct nvme *nvme);
void nvme_raise_interrupts(struct nvme *nvme);
/* Interrupts that are held back for more answers to come. */
void nvme_forget_delays(struct nvme *nvme);
/* The process's things of a slot: buffers, pieces. */
void nvme_release(struct nvme *nvme, struct nvme_work *work);
void nvme_unreserve(struct nvme *nvme, uint32_t index);
bool nvme_cq_has_room(const struct nvme *nvme, unsigned cq);

/* ---- commands; each returns a status or NVME_PENDING ---- */

uint16_t nvme_admin(struct nvme *nvme, uint32_t index);
uint32_t nvme_admin_effects(uint8_t opcode);
uint16_t nvme_io_command(struct nvme *nvme, uint32_t index);
/* Its request with the back end has been answered: work->error. */
void nvme_io_continue(struct nvme *nvme, struct nvme_work *work);
uint32_t nvme_io_effects(uint8_t opcode);
/* Of a command that succeeded; then `io` is its last request that moved data. */
bool nvme_moves_data(const struct nvme_slot *slot);
void nvme_count_data(struct nvme *nvme, uint8_t opcode, const struct nvme_io *io);
uint16_t nvme_check_range(const struct nvme *nvme, uint64_t lba, uint64_t blocks);
/* The command's own range into work->io; at most NVME_MAX_TRANSFER. Status. */
uint16_t nvme_set_range(const struct nvme *nvme, struct nvme_slot *slot, struct nvme_work *work);
/* What it writes has to be durable when it is answered. */
bool nvme_is_durable(const struct nvme *nvme, const struct nvme_command *command);
uint16_t nvme_prepare_compare(struct nvme *nvme, struct nvme_slot *slot, struct nvme_work *work);
uint16_t nvme_compare(struct nvme *nvme, struct nvme_work *work);
uint16_t nvme_prepare_verify(struct nvme *nvme, struct nvme_slot *slot, struct nvme_work *work);
uint16_t nvme_prepare_copy(struct nvme *nvme, struct nvme_slot *slot, struct nvme_work *work);
/* Fills in work->io: the reads, then the write. */
void nvme_next_copy(const struct nvme *nvme, const struct nvme_command *command,
		    struct nvme_work *work);
uint16_t nvme_create_cq(struct nvme *nvme, struct nvme_slot *slot);
uint16_t nvme_create_sq(struct nvme *nvme, struct nvme_slot *slot);
uint16_t nvme_delete_cq(struct nvme *nvme, struct nvme_slot *slot);
uint16_t nvme_delete_sq(struct nvme *nvme, struct nvme_slot *slot);
void nvme_continue_deletions(struct nvme *nvme);
uint16_t nvme_identify(struct nvme *nvme, struct nvme_slot *slot);
uint16_t nvme_get_features(struct nvme *nvme, struct nvme_slot *slot);
uint16_t nvme_set_features(struct nvme *nvme, struct nvme_slot *slot);
bool nvme_has_feature(uint8_t id, bool *changeable, bool *namespace_scope);
uint16_t nvme_get_log_page(struct nvme *nvme, struct nvme_slot *slot);
uint16_t nvme_event_request(struct nvme *nvme, struct nvme_slot *slot);
uint16_t nvme_abort(struct nvme *nvme, struct nvme_slot *slot);

/* ---- events.c, logs.c ---- */

void nvme_raise_event(struct nvme *nvme, unsigned type, unsigned information);
void nvme_clear_event(struct nvme *nvme, unsigned type);
void nvme_deliver_events(struct nvme *nvme);
void nvme_check_temperature(struct nvme *nvme);
uint8_t nvme_critical_warning(const struct nvme *nvme);
void nvme_log_error(struct nvme *nvme, const struct nvme_slot *slot, uint16_t status);
void nvme_log_queue_error(struct nvme *nvme, uint16_t queue);

/* ---- sgl.c ---- */

uint16_t nvme_walk_sgl(struct nvme *nvme, const struct nvme_command *command, uint64_t length,
		       bool to_guest, struct nvme_segments *segments);

/* ---- data.c ---- */

/* 0 or -EFAULT and the like; by messages where need be. */
int nvme_guest_read(struct nvme *nvme, uint64_t address, void *to, uint64_t length);
/* It will be read soon. */
void nvme_guest_prefetch(const struct nvme *nvme, uint64_t address);
int nvme_guest_write(struct nvme *nvme, uint64_t address, const void *from, uint64_t length);
/* A completion queue entry: the part with the phase tag becomes visible last. */
int nvme_guest_complete(struct nvme *nvme, uint64_t address, const struct nvme_completion *entry);

/* Where the command's data is. length 1 .. NVME_MAX_TRANSFER. Status. */
uint16_t nvme_walk_data(struct nvme *nvme, const struct nvme_command *command, uint64_t length,
			bool to_guest, struct nvme_segments *segments);
/* False: there is no room for it. */
bool nvme_add_segment(struct nvme_segments *segments, const struct nvme_segment *segment);
/* Tells of it; a status. */
uint16_t nvme_bad_pointer(struct nvme *nvme, uint64_t address);
/* Makes work->io.iov from the segments. Status; NVME_PENDING: no bounce buffer is free, later. */
uint16_t nvme_map_data(struct nvme *nvme, struct nvme_work *work,
		       const struct nvme_segments *segments, bool to_guest);
/* A bounce buffer of work->io.length, `segments` beside it unless NULL. Status or NVME_PENDING. */
uint16_t nvme_take_bounce(struct nvme *nvme, struct nvme_work *work,
			  const struct nvme_segments *segments);
/* The same length of guest memory and of the bounce buffer: NVME_COMPARE_FAILURE where different.
 */
uint16_t nvme_compare_bounce(struct nvme *nvme, const struct nvme_bounce *bounce);
/* After a read: what went to a bounce buffer, to the guest. Status. */
uint16_t nvme_unbounce(struct nvme *nvme, struct nvme_work *work);
/* Whole transfers of small commands. Status. */
uint16_t nvme_send(struct nvme *nvme, const struct nvme_command *command, const void *from,
		   uint64_t length);
uint16_t nvme_receive(struct nvme *nvme, const struct nvme_command *command, void *to,
		      uint64_t length);
struct nvme_pieces *nvme_take_pieces(struct nvme *nvme);
void nvme_give_back_data(struct nvme *nvme, struct nvme_work *work);

#endif
