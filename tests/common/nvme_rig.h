/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A controller on a bench: guest memory, a disk and the driver's side of the queues, all in one
 * process. Memory, disk and state are shared mappings, so that a forked child can be killed over
 * them. The disk answers at once or, with `late`, when it is told to.
 */
#ifndef KARUTA_TESTS_NVME_RIG_H
#define KARUTA_TESTS_NVME_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nvme/nvme.h"
#include "nvme/spec.h"
#include "nvme/state.h"

#define RIG_BASE   UINT64_C(0x100000) /* guest address of the memory */
#define RIG_MEMORY (UINT64_C(8) << 20)
#define RIG_REMOTE (UINT64_C(1) << 32) /* the same memory again, by messages only */
#define RIG_DISK   (UINT64_C(4) << 20)
#define RIG_DATA   (RIG_BASE + (UINT64_C(4) << 20)) /* free for the tests, from here on */
#define RIG_DEPTH  64u

struct rig_queue {
	uint64_t sq, cq; /* guest addresses */
	uint32_t depth, cq_depth, tail, head;
	bool phase;
};

struct rig {
	struct nvme *nvme;
	struct nvme_setup setup;
	struct nvme_state *state;
	struct mem_map *map;
	uint8_t *memory, *disk;
	struct rig_queue queues[NVME_QUEUES];
	uint16_t next_cid;

	/* the back end */
	bool late;
	bool eager;  /* with `late`: what waits is answered by ops->poll() */
	bool prompt; /* with `late`: by ops->kick() */
	int fail;    /* answers of the next `fail_count` requests */
	unsigned fail_count;
	struct nvme_io *waiting[NVME_COMMANDS];
	unsigned waiting_count;
	unsigned submitted, flushes, discards, kicks, waits;
	bool last_fua;

	/* what was told */
	unsigned interrupts[NVME_VECTORS];
	unsigned events[NVME_EVENT_ERROR + 1];
	uint64_t last_event[NVME_EVENT_ERROR + 1];
	bool no_messages; /* as inside a request of the client's */
	unsigned remote_reads, remote_writes;
	bool shadows;	/* as ops->shadows() said last */
	uint32_t alarm; /* what was asked for, in microseconds; 0: nothing */
	uint64_t now;
};

void rig_create(struct rig *rig, uint32_t lba_size);
void rig_destroy(struct rig *rig);
/* The process is gone; another one goes on. The result of nvme_create(). */
int rig_restart(struct rig *rig);
void rig_map(struct rig *rig, unsigned access);

uint32_t rig_read(struct rig *rig, uint32_t offset);
void rig_write(struct rig *rig, uint32_t offset, uint32_t value);
/* Power on to ready, admin queue of RIG_DEPTH. */
void rig_enable(struct rig *rig);
/* rig_enable() and `count` pairs of I/O queues, queue n with vector n. */
void rig_start(struct rig *rig, unsigned count);

uint8_t *rig_at(struct rig *rig, uint64_t address);
/* Puts a command in a queue, gives it an identifier; rings. */
uint16_t rig_submit(struct rig *rig, unsigned queue, struct nvme_command command);
void rig_process(struct rig *rig);
/* Answers the n-th of those that wait. */
void rig_answer(struct rig *rig, unsigned which, int error);
void rig_answer_all(struct rig *rig);
/* The next answer, if there is one; takes it and rings. */
bool rig_reap(struct rig *rig, unsigned queue, struct nvme_completion *entry);
/* From submission to answer; status without the phase tag. */
uint16_t rig_do(struct rig *rig, unsigned queue, struct nvme_command command);
uint16_t rig_do_result(struct rig *rig, unsigned queue, struct nvme_command command,
		       uint32_t *result);

/* Read, write and the like: data at `address`, in pages one after the other. */
struct nvme_command rig_io(struct rig *rig, uint8_t opcode, uint64_t lba, uint32_t blocks,
			   uint64_t address);
uint16_t rig_create_cq(struct rig *rig, unsigned queue, uint32_t depth, unsigned vector);
uint16_t rig_create_sq(struct rig *rig, unsigned queue, uint32_t depth, unsigned cq);

#endif
