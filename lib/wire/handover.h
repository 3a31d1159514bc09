/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a hypervisor hands over to the program that goes on in its place: records, each a message of
 * its own on a socket between the two (SOCK_SEQPACKET) that the controller has made for them.
 *
 *   old                                      new
 *   1. MEET, with memory, kernel, initrd --> makes a virtual machine on the same memory, stands by
 *   2. MACHINE, VCPU.., SLOT.., VECTORS.. -> the guest stands still; all but its interrupts is
 *      VECTORS.., END                        restored and compared
 *   3.                          <-- TAKEN    it could go on
 *   4. GO ---------------------------------> connects the interrupts, lets the guest run
 *
 * Up to GO the old one can go on as if nothing had been; after it, it only ends. Each takes the
 * other's records for hostile: one that is wrong ends the update, not the program that runs.
 *
 * A record is a header, then items in ascending order of their tags. Versions change by adding: who
 * does not know an item passes over it, who misses one does without. A program reads records of its
 * own version, of the one before and of the next, unless `oldest` says that it is too old for what
 * is in them.
 *   0 u32 magic "KHND"  4 u16 version  6 u16 oldest  8 u16 kind  10 u16 number  12 u32 length
 *   of what follows; an item: u32 tag, u32 length, so many bytes. Little endian.
 */
#ifndef KARUTA_WIRE_HANDOVER_H
#define KARUTA_WIRE_HANDOVER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cursor.h"

#define HANDOVER_MAGIC	     0x444e484bu
#define HANDOVER_HEADER_SIZE 16u
#define HANDOVER_RECORD_MAX  (48u << 10)
#define HANDOVER_FDS	     128u /* in one record */
#define HANDOVER_BARS_SIZE   24u
#define HANDOVER_CONFIG_SIZE 256u
#define HANDOVER_MSIX_ENTRY  16u
#define HANDOVER_MSIX_MOST   2048u

enum handover_kind {
	HANDOVER_MEET = 1, /* descriptors: memory, kernel, initrd if there is one */
	HANDOVER_MACHINE,
	HANDOVER_VCPU,	  /* `number` from 0 on */
	HANDOVER_SLOT,	  /* `number`; descriptors: link, then that of its news if it has one */
	HANDOVER_VECTORS, /* of that slot, the next ones; descriptors: their eventfds */
	HANDOVER_END,
	HANDOVER_TAKEN,
	HANDOVER_GO,
	HANDOVER_KINDS,
};

/* Tags below are the same for every kind of machine; from here on the machine's own (x86/state.c).
 */
enum handover_tag {
	HANDOVER_SETUP = 1, /* MEET: struct handover_setup */
	HANDOVER_LINE,	    /* MEET: the kernel's command line, without NUL */
	HANDOVER_STATE,	    /* MACHINE: struct handover_machine; SLOT: struct handover_slot */
	HANDOVER_TABLE,	    /* SLOT: the MSI-X table as the guest reads it */
	HANDOVER_RESERVED,  /* MACHINE: u64, bytes of the memory; missing: all of it */
	HANDOVER_ARCH = 0x100,
};

struct handover_setup {
	uint64_t memory;
	uint32_t cpus, zero;
	uint64_t window64, window64_end;
};

#define HANDOVER_PAUSED 1u

struct handover_machine {
	uint64_t stopped; /* when: CLOCK_MONOTONIC, in ns */
	uint32_t command; /* that asked for all this: its outcome is the new one's to tell */
	uint32_t flags;
	uint32_t pending, inserted, remove, ejected; /* events */
	uint8_t serial[8]; /* enable, FIFO, format, modem, scratch, divisor, empty pending */
};

#define HANDOVER_AWAITED    (1u << 0)
#define HANDOVER_CAN_RESET  (1u << 1)
#define HANDOVER_BOUND	    (1u << 2) /* the card has the vectors' eventfds */
#define HANDOVER_MSIX_ON    (1u << 3)
#define HANDOVER_MSIX_MASK  (1u << 4)
#define HANDOVER_SLOT_FLAGS 0x1fu

struct handover_slot {
	uint32_t state; /* enum status_slot */
	uint32_t flags;
	/* Only where there is a card: PRESENT and EJECTING. */
	uint32_t next_id, card_fds, card_transfer; /* of the link */
	uint32_t config_size, irqs;
	uint16_t command;
	uint16_t vectors;
	uint64_t sizes[6];
	uint32_t types[6];
	uint8_t bars[HANDOVER_BARS_SIZE]; /* the registers as the guest reads them */
	uint8_t config[HANDOVER_CONFIG_SIZE];
};

/* Layouts are what is sent: no holes. */
_Static_assert(sizeof(struct handover_setup) == 32, "setup");
_Static_assert(sizeof(struct handover_machine) == 40, "machine");
_Static_assert(sizeof(struct handover_slot) == 384, "slot");

/* ---- writing ---- */

struct handover_writer {
	struct writer items;
	uint8_t *start;
};

/* `buffer` has HANDOVER_RECORD_MAX bytes. */
struct handover_writer handover_begin(uint8_t *buffer, enum handover_kind kind, unsigned number,
				      uint16_t version);
void handover_put(struct handover_writer *writer, uint32_t tag, const void *bytes, size_t length);
/* The record's length, or -ENOSPC. */
ssize_t handover_finish(struct handover_writer *writer);

/* ---- reading ---- */

struct handover_record {
	enum handover_kind kind;
	unsigned number;
	const uint8_t *items; /* where they were read */
	size_t length;
};

/* Checks all of the frame. -EPROTO: it is none; -ENOTSUP: of a version that a program of `version`
 * does not go on from. */
int handover_open(struct handover_record *record, const uint8_t *bytes, size_t length,
		  uint16_t version);
/* An item's bytes; NULL, of length 0: there is none. */
const uint8_t *handover_find(const struct handover_record *record, uint32_t tag, size_t *length);
/* One of exactly this length. 0, -ENOENT or -EPROTO. */
int handover_take(const struct handover_record *record, uint32_t tag, void *to, size_t length);

/* Each of them, checked for sense: 0 or -EPROTO. */
int handover_take_setup(const struct handover_record *record, struct handover_setup *setup);
int handover_take_machine(const struct handover_record *record, struct handover_machine *machine);
int handover_take_slot(const struct handover_record *record, struct handover_slot *slot);

#endif
