/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All that a controller knows and must not forget, as plain data without pointers in memory that
 * outlives the process. A process may die between any two stores; the next one goes on from here.
 * Each step below ends in one store that makes it true, in program order (nvme_publish()).
 *
 *  fetch     1. the entry is copied into a free slot, with the queue's `fetched` count beside it,
 *               and their sum, which no free slot has
 *            2. slot.state = FETCHED
 *            3. queue.fetched + 1
 *  carry out 4. status and result into the slot, then slot.state = DONE. What an admin command does
 *               before can be done twice: a queue remembers in `changed_by` which command made it.
 *               What the command adds to the counters and to the error log comes right before:
 *               `before` keeps what they were, then `counting` = slot.id.
 *  complete  5. the place in the completion queue (`posted`) and the head to report into the slot,
 *               then slot.state = POSTING
 *            6. the entry is written to the guest, phase tag last
 *            7. queue.posted + 1
 *            8. the sum away, slot.state = FREE
 *
 * Recovery: FETCHED with the queue's own count: died before 3, do 3. FETCHED: carry out (again:
 * the guest has had no answer; the counters go back to `before` if it was `counting`). DONE:
 * complete. POSTING with the queue's own count: died before 7, write the same bytes again, go on
 * with 7; with a smaller count: do 8. Each of these can itself be cut short and begun anew. A fused
 * pair is one command in this: fused.c. Interrupts may be lost between 6 and the end: every queue
 * with entries that the guest has not taken gets one more.
 */
#ifndef KARUTA_NVME_STATE_H
#define KARUTA_NVME_STATE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "nvme.h"
#include "spec.h"

#define NVME_STATE_MAGIC   0x656d766e6b617261u
#define NVME_STATE_VERSION 4u
/* A controller goes on from a state of the version before, with zeros behind its end. */
#define NVME_STATE_OLDER_SIZE offsetof(struct nvme_state, shadow_page)

#define NVME_QUEUES	       (NVME_IO_QUEUES + 1)
#define NVME_ADMIN_QUEUE_DEPTH 4096u /* AQA's limit */
#define NVME_ERROR_ENTRIES     64u
#define NVME_EVENT_REQUESTS    4u /* AERL + 1 */

#define NVME_NO_LOCATION 0xffffu

/* Far from each other: a damaged one is none of them. */
enum nvme_slot_state {
	NVME_SLOT_FREE = 0,
	NVME_SLOT_FETCHED = 0x1e6c8a35,
	NVME_SLOT_DONE = 0x4bd1275e,
	NVME_SLOT_POSTING = 0x739f54c2,
};

struct nvme_slot {
	uint32_t state;
	uint16_t queue;	  /* submission queue; its completion queue cannot change meanwhile */
	uint16_t sq_head; /* POSTING: to report */
	uint64_t id;	  /* grows from command to command, never 0 */
	uint64_t fetched; /* the queue's count before this one */
	uint64_t posted;  /* POSTING: the place in the completion queue */
	uint32_t result;
	uint16_t status;
	uint16_t location;     /* byte of the command that is at fault, or NVME_NO_LOCATION */
	uint64_t check;	       /* nvme_slot_check(), from step 1 to 8 */
	uint64_t answer_check; /* nvme_answer_check(), from step 4 on */
	uint64_t reserved;
	struct nvme_command command;
};
_Static_assert(sizeof(struct nvme_slot) == 128, "slot layout");

/*
 * Sums that tell damage, not forgery: a process that writes where it should not may die of it
 * later, and what it hit may have been a command. Each word counts by an odd number of its own, so
 * that any change of one word is seen.
 */
static inline uint64_t nvme_slot_check(const struct nvme_slot *slot)
{
	const uint8_t *bytes = (const uint8_t *)&slot->command;
	uint64_t sum = (slot->id * 9 + slot->fetched) * 9 + slot->queue, word;

/* For each command: 9 is one instruction, and a loop would take twice as long as its body. */
#pragma GCC unroll 8
	for (unsigned i = 0; i < sizeof(slot->command); i += sizeof(word)) {
		memcpy(&word, bytes + i, sizeof(word));
		sum = sum * 9 + word;
	}
	return sum;
}

static inline uint64_t nvme_answer_check(const struct nvme_slot *slot)
{
	return (slot->id * 9 + slot->result) * 9 + slot->status;
}

enum nvme_queue_state { NVME_QUEUE_ABSENT, NVME_QUEUE_LIVE, NVME_QUEUE_DELETING };

struct nvme_sq {
	uint32_t state;
	uint16_t size; /* entries */
	uint16_t cq;
	uint64_t base;
	uint64_t fetched;    /* since creation; head = fetched % size */
	uint64_t changed_by; /* id of the command that created or deletes it */
	uint32_t doorbell;   /* tail as written, < size */
	uint32_t reserved;
};

struct nvme_cq {
	uint32_t state;
	uint16_t size;
	uint16_t vector;
	uint64_t base;
	uint64_t posted; /* since creation: tail = posted % size, phase from posted / size */
	uint64_t consumed;
	uint64_t changed_by;
	uint32_t doorbell; /* head as written, < size */
	uint32_t interrupts;
};
_Static_assert(sizeof(struct nvme_sq) == 40 && sizeof(struct nvme_cq) == 48, "queue layout");

struct nvme_features {
	uint32_t arbitration;
	uint32_t error_recovery;
	uint32_t write_cache;
	uint32_t coalescing;
	uint32_t atomicity;
	uint32_t events;
	uint32_t no_coalescing; /* bit n: vector n */
	uint16_t over_temperature, under_temperature;
	int64_t timestamp_offset; /* to the wall clock, ms */
	uint32_t timestamp_set;
	uint32_t reserved;
	uint8_t host_id[16];
	uint8_t host_behaviour[8]; /* NVME_HOST_BEHAVIOURS of them */
};

struct nvme_counters {
	uint64_t sectors_read, sectors_written; /* 512 bytes */
	uint64_t reads, writes;
	uint64_t busy_ms;
	uint64_t media_errors;
	uint64_t errors; /* entries ever made in the error log */
	uint64_t power_on_ms;
};

struct nvme_state {
	uint64_t magic;
	uint32_t version;
	uint32_t lba_size; /* of the namespace that this state belongs to */
	uint64_t size;	   /* bytes; what the guest was told last */
	uint64_t next_id;

	/* registers */
	uint32_t cc, csts, intms, aqa;
	uint64_t asq, acq;
	uint32_t resetting; /* CC.EN went from 1 to 0 and that has not been carried out */
	uint32_t master;    /* bus mastering is on */

	/* asynchronous events, by type */
	uint32_t event_waiting[NVME_ASYNC_TYPES]; /* result + 1; 0: none */
	uint32_t event_masked[NVME_ASYNC_TYPES];  /* until its log page has been read */
	uint32_t namespace_changed;		  /* since that log page was read */

	uint32_t reserved;

	struct nvme_features features;
	struct nvme_counters counters, before;
	uint64_t counting; /* id of the command that was counted last; 0: none */
	struct nvme_sq sq[NVME_QUEUES];
	struct nvme_cq cq[NVME_QUEUES];
	struct nvme_error_entry errors[NVME_ERROR_ENTRIES]; /* by count % entries */
	struct nvme_slot slots[NVME_COMMANDS];

	/* From version 4 on. I/O doorbells are in the guest's memory: Doorbell Buffer Config. */
	uint64_t shadow_page, event_page;
	uint32_t shadows;
	uint32_t reserved4;
};
_Static_assert(sizeof(struct nvme_state) == 137000, "state layout");

#endif
