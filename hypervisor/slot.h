/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A slot of the bus and the card in it. What the guest may not reach directly lives here: base
 * addresses, the MSI-X table, the memory enable bit. Everything else is passed over the link to
 * the card, about which nothing is known but what it says of itself, checked at attach.
 *
 * A card that dies, falls silent or breaks the protocol is waited for: the guest's accesses stand
 * still until a new process, which goes on where it was, is linked in its place, and are done then.
 * What the dead one left unanswered is done first. If none comes in time the slot has failed: reads
 * give all ones. A vCPU that waits comes back at once when the machine is to stand still, and
 * begins its access again when that goes on.
 *
 * The main thread inserts and removes; vCPU threads access. `lock` covers all from `client` on. It
 * is held during an exchange with the card, for at most SLOT_DEADLINE_MS; longer where a card that
 * tells of other doorbells is slow to say which.
 */
#ifndef KARUTA_HYPERVISOR_SLOT_H
#define KARUTA_HYPERVISOR_SLOT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "doorbells.h"
#include "pci/pci.h"
#include "vectors.h"
#include "wire/status.h"

#define SLOT_DEADLINE_MS 2000u

struct machine;
struct peer;
struct vfu_client;

struct slot {
	struct machine *machine;
	unsigned number;

	/* Main thread only. */
	enum status_slot state;
	uint64_t give_up; /* WAITING: when */
	bool awaited;	  /* the guest knows of a card here and has not let go of it yet */

	pthread_mutex_t lock;
	pthread_cond_t changed;		 /* `client` or `lost` did, or the machine is to stop */
	struct vfu_client *client;	 /* NULL: nobody answers */
	struct vfu_client *lost;	 /* of the card that is waited for; NULL: none is */
	bool reset_due;			 /* the guest was reset without it */
	uint8_t config[PCI_CONFIG_SIZE]; /* as it was when the card was inserted */
	uint32_t config_size;
	bool can_reset;
	uint32_t irqs; /* interrupt indexes */
	int express;   /* offset of the PCI Express capability; negative: none */
	uint16_t command;
	uint64_t sizes[PCI_BARS];
	uint32_t types[PCI_BARS];
	struct pci_bar bars[PCI_BARS];
	struct pci_msix msix;
	struct vectors vectors;
	struct doorbells doorbells;
};

void slot_init(struct slot *slot, struct machine *machine, unsigned number);

/* Talks to the card on `link`, which becomes the slot's, also on failure. */
int slot_attach(struct slot *slot, int link, struct error *error);
/* Asks the guest to let go, or takes the card away at once. */
int slot_detach(struct slot *slot, bool force, struct error *error);
/* Puts the card on `link` in the place of one that died; the link becomes the slot's, also on
 * failure, after which the slot goes on waiting. */
int slot_relink(struct slot *slot, int link, struct error *error);
/* The guest has let go. */
void slot_ejected(struct slot *slot);
/* Notices a card that is dead, or whose link has hung up. */
void slot_check(struct slot *slot);
void slot_hangup(struct slot *slot);
/* Time passes. */
void slot_turn(struct slot *slot);
/* The vCPUs are to stand still: those that wait here come back. */
void slot_interrupt(struct slot *slot);
/* The guest resets; it knows no cards until it looks for them. */
void slot_reset(struct slot *slot);
/* The guest is about to see what is there. */
void slot_start(struct slot *slot);
/* A descriptor that hangs up when the card dies; -1: no card. */
int slot_link(const struct slot *slot);
/* One that is readable when the card has other doorbells, for slot_news(); -1: none. */
int slot_news_fd(const struct slot *slot);
void slot_news(struct slot *slot);

/* vCPU threads. False: interrupted; all of it is to be done again. */
bool slot_config_read(struct slot *slot, uint32_t offset, void *to, uint32_t length);
bool slot_config_write(struct slot *slot, uint32_t offset, const void *from, uint32_t length);
bool slot_read(struct slot *slot, unsigned bar, uint64_t offset, void *to, uint32_t length);
bool slot_write(struct slot *slot, unsigned bar, uint64_t offset, const void *from,
		uint32_t length);

/* slot_inquiry.c: what the card says of itself, for slot.c. */
int slot_inquire(struct slot *slot, struct vfu_client *client, struct error *error);
/* Is it what was in the slot? Then everything it has to know to go on. */
int slot_resume(struct slot *slot, struct vfu_client *client, struct error *error);
/* After an access, with the lock held: the doorbells that the card has now, if it told of others.
 */
void slot_refresh_doorbells(struct slot *slot);

/* slot_carry.c: for the program that goes on with the card. Can it be handed over as it is? */
bool slot_is_settled(const struct slot *slot);
/* Lets what is under way end, disconnects the interrupts, sends all there is to know. */
int slot_save(struct slot *slot, struct peer *peer);
/* There: takes the record that came. */
int slot_restore(struct slot *slot, struct peer *peer);
int slot_restore_vectors(struct slot *slot, struct peer *peer);
/* All that has come is enough: everything but the interrupts themselves, whose routes are
 * interrupts_publish()'s to tell. */
int slot_prepare(struct slot *slot);
/* Connects the interrupts, there; or here again. False: not all of them. */
bool slot_reconnect(struct slot *slot);

/* BARs or the memory enable bit changed: what decodes now? With the lock held, or while no vCPU can
 * get at the slot. */
void slot_update_windows(struct slot *slot);
/* With the lock held: what the host keeps of the function is as after power on. */
void slot_forget(struct slot *slot);

#endif
