/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The status page: how a hypervisor or a card tells what it does. The program writes it in shared
 * memory, the controller maps it read-only and takes whatever it finds for hostile. Nothing else
 * flows from a program to the controller.
 *
 * Text and state change together under `sequence` (odd while they are being written). Counters and
 * the heartbeat stand alone. The writer is one thread, except for counters (relaxed atomic adds
 * from any thread).
 */
#ifndef KARUTA_WIRE_STATUS_H
#define KARUTA_WIRE_STATUS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define STATUS_MAGIC	 UINT64_C(0x315441545352414b) /* "KARSTAT1" */
#define STATUS_VERSION	 1u
#define STATUS_PAGE_SIZE 4096u
#define STATUS_TEXT_SIZE 256u
#define STATUS_COUNTERS	 64u
#define STATUS_SLOTS	 32u

enum status_role {
	STATUS_HYPERVISOR = 1,
	STATUS_CARD = 2,
};

enum status_state {
	STATUS_STARTING = 0, /* a fresh page of zeros says this */
	STATUS_READY = 1,    /* sandbox is on; a hypervisor waits for START, a card serves */
	STATUS_RUNNING = 2,
	STATUS_PAUSED = 3,
	STATUS_ENDED = 4,  /* `reason` says why; the program is about to exit */
	STATUS_FAILED = 5, /* `text` says why; the program is about to exit */
};

enum status_reason {
	STATUS_REASON_NONE = 0,
	STATUS_POWERED_OFF = 1, /* by the guest */
	STATUS_KILLED = 2,	/* by command */
	STATUS_CRASHED =
		3, /* the guest did something that cannot go on (KVM internal error, ...) */
};

/* What a hypervisor says of each slot. */
enum status_slot {
	STATUS_SLOT_EMPTY = 0,
	STATUS_SLOT_PRESENT = 1,  /* card answered, the guest was told */
	STATUS_SLOT_EJECTING = 2, /* the guest was asked to let go */
	STATUS_SLOT_FAILED = 3,	  /* the card died or broke the protocol: the guest sees all ones */
	STATUS_SLOT_WAITING = 4,  /* the card died; accesses wait for RELINK */
};

/* Counters of a hypervisor and of a card; what is not named here is 0. */
enum status_hypervisor_counter {
	STATUS_HV_EXITS,  /* returns from KVM_RUN */
	STATUS_HV_MMIO,	  /* accesses to card BARs that went over the bus */
	STATUS_HV_CONFIG, /* configuration space accesses */
	STATUS_HV_PIO,
	STATUS_HV_RESETS,	/* guest reboots */
	STATUS_HV_BUS_TIMEOUTS, /* accesses that ended at the deadline with all ones */
	STATUS_HV_GUEST_ERRORS, /* things no sane guest does */
	STATUS_HV_RESERVED,	/* bytes of the guest's memory that cannot be wanting any more */
};

enum status_card_counter {
	STATUS_CARD_READS,
	STATUS_CARD_WRITES,
	STATUS_CARD_READ_BYTES,
	STATUS_CARD_WRITE_BYTES,
	STATUS_CARD_FLUSHES,
	STATUS_CARD_ERRORS, /* requests that ended in an error */
	STATUS_CARD_INTERRUPTS,
	STATUS_CARD_RESETS,
	STATUS_CARD_SECURITY_EVENTS, /* the guest tried what no guest may do */
	STATUS_CARD_PROTOCOL_ERRORS, /* the bus peer sent something wrong */
	STATUS_CARD_CLIENTS,	     /* bus clients served so far */
};

struct status_page {
	uint64_t magic;
	uint32_t version;
	uint32_t role;
	_Atomic uint32_t sequence;
	_Atomic uint32_t state;
	_Atomic uint32_t reason;
	_Atomic uint32_t command_done;	/* id of the last command carried out or refused */
	_Atomic int32_t command_result; /* 0 or -errno of that command; `text` has the words */
	_Atomic uint32_t standing_by;	/* 1: another process waits to go on where this one ends */
	_Atomic uint64_t heartbeat;	/* grows while the program's loop turns */
	char text[STATUS_TEXT_SIZE];	/* NUL-terminated by an honest writer only */
	_Atomic uint8_t slots[STATUS_SLOTS];
	_Atomic uint64_t counters[STATUS_COUNTERS];
};
_Static_assert(sizeof(struct status_page) <= STATUS_PAGE_SIZE, "the status page is one page");

/* A checked copy. */
struct status_view {
	enum status_state state;
	enum status_reason reason;
	uint32_t command_done;
	int command_result;
	bool standing_by;
	uint64_t heartbeat;
	char text[STATUS_TEXT_SIZE]; /* terminated, printable ASCII; other bytes became '?' */
	uint8_t slots[STATUS_SLOTS];
	uint64_t counters[STATUS_COUNTERS];
};

/* Writer side. `page` is zeroed shared memory of STATUS_PAGE_SIZE. */
void status_init(struct status_page *page, enum status_role role);
void status_set(struct status_page *page, enum status_state state, enum status_reason reason,
		const char *text);
/* A command's outcome: result 0 or -errno. */
void status_command_done(struct status_page *page, uint32_t id, int result, const char *text);
static inline void status_count(struct status_page *page, unsigned counter, uint64_t amount)
{
	atomic_fetch_add_explicit(&page->counters[counter], amount, memory_order_relaxed);
}

/* For a program in which one thread does all the counting: a locked instruction less. */
static inline void status_count_alone(struct status_page *page, unsigned counter, uint64_t amount)
{
	uint64_t value = atomic_load_explicit(&page->counters[counter], memory_order_relaxed);

	atomic_store_explicit(&page->counters[counter], value + amount, memory_order_relaxed);
}

/* The same for the heartbeat. */
static inline void status_beat(struct status_page *page)
{
	uint64_t value = atomic_load_explicit(&page->heartbeat, memory_order_relaxed);

	atomic_store_explicit(&page->heartbeat, value + 1, memory_order_relaxed);
}

/*
 * Reader side: copies and checks. 0, -EAGAIN (the writer kept changing it, or it is still all
 * zeros: try again later), -EPROTO (wrong magic, version, role, or a value outside its enum).
 */
int status_read(const struct status_page *page, enum status_role role, struct status_view *view);

#endif
