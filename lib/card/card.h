/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all cards share. A card is a const table of operations and a main of a few lines:
 *
 *	int main(int argc, char **argv) { return card_main(&null_card, argc, argv); }
 *
 * The frame reads the common options, maps state area and status page, opens the back end, enters
 * the sandbox, says READY, and serves vfio-user until the client has left (a descriptor it was
 * given) or until SIGTERM (a listening socket). cards/null is the tutorial.
 *
 * Options of every card:
 *	--bus-fd N      serve the one client on this descriptor, then exit
 *	--listen PATH   serve clients on this socket one after the other, until SIGTERM
 *			(stand-alone, for other hypervisors). The socket stays behind in the file
 *			system, since the sandbox has none to remove it from; the next start
 *			replaces it.
 *	--state-fd N    state area that outlives the process (default: a private one)
 *	--status-fd N   status page (default: a private one)
 *	--stand-by      another process still serves the device: get ready, say so on the status
 *			page, and go on where that one stops when it has stopped
 *	--command-fd N  pipe to read commands from (wire/command.h; default: there are none)
 *	--poll          with --bus-fd: never sleep while the client has bus mastering on, and let
 *			it map what the card offers for that (doorbells); for a card that has a core
 *			of its own
 *	--user ID       user and group id to take (root only)
 *	--state-size	print the bytes that a state area needs
 *	--help, --version
 *
 * Exit code: 0 the client has left, or SIGTERM; 1 failed; 2 the command line or the state area
 * cannot be used.
 *
 * One thread owns a card. All operations run on it.
 *
 * A state area that was in use makes the device go on where it was. Its client is then a new one
 * too (the hypervisor's end of a new link), and work() is held until that client's first write to
 * a region: who takes over a running device maps memory and binds interrupts first, then writes
 * (the command register's own value will do). On a listening socket it is the other way round: a
 * client that leaves is a power cycle, since the next one is another machine.
 */
#ifndef KARUTA_CARD_CARD_H
#define KARUTA_CARD_CARD_H

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "jail/jail.h"
#include "mem/mem.h"
#include "os/loop.h"
#include "pci/pci.h"
#include "vfu/vfu_server.h"
#include "wire/status.h"

/* What the controller makes for each card; a device that needs more does not compile: see
 * CARD_STATE_MAX. */
#define CARD_STATE_AREA_SIZE (UINT32_C(1) << 20)
#define CARD_STATE_OFFSET    UINT32_C(4096) /* where the device's own state begins */
#define CARD_STATE_MAX	     (CARD_STATE_AREA_SIZE - CARD_STATE_OFFSET)

struct card;

/* An option of one card's own. */
struct card_option {
	const char *name;
	const char *argument; /* name of its argument in --help; NULL: takes none */
	const char *help;
};

/* Part of a BAR, in whole pages. */
struct card_part {
	unsigned bar;
	uint64_t offset, size; /* size 0: none */
};

struct card_ops {
	const char *name;    /* "null"; the program is karuta-card-<name> */
	const char *summary; /* one line for --help */
	const struct pci_identity *identity;
	/*
	 * Device state in the state area: plain data; `state_version` grows by one with each change
	 * of its layout. A change only adds at the end, and zeros there mean what was true before
	 * it: so a program goes on from a state that is one version older, `older_size` bytes long
	 * (0: it cannot), or one version newer, unless the newer one says by `readable_from` that
	 * there is something in it that must not be passed over. The card asserts at build time
	 * that the size is at most CARD_STATE_MAX.
	 */
	uint32_t state_version, readable_from;
	size_t state_size, older_size;
	/*
	 * Registers that can be rung by eventfd: the frame makes the descriptors and calls
	 * doorbell(). `fd` is an index, from 0 and without gaps: those with the same one share a
	 * descriptor. What is written does not get here. They are offered unless
	 * card_offer_doorbells() says otherwise.
	 */
	const struct vfu_io_fd *doorbells;
	size_t doorbell_count;
	/*
	 * What a client may map instead of sending messages, with --poll: card_shared(). The frame
	 * makes the memory; that something was stored there is for work() to find out.
	 */
	struct card_part shared;
	/* Own options and system calls, besides the frame's. */
	const struct card_option *options;
	size_t option_count;
	const struct jail_syscall *system_calls;
	size_t system_call_count;

	/* One own option; `argument` may be NULL. Before open. 0 or -errno with error set. */
	int (*option)(struct card *card, const char *name, const char *argument,
		      struct error *error);
	/* Before the sandbox: open what is needed for the card's life, start no thread.
	 * card_device() is where it keeps its things. Optional. */
	int (*open)(struct card *card, struct error *error);
	/* After the sandbox: make the device from card_state(). `fresh`: it is all zeros. Otherwise
	 * it is taken for hostile; -EPROTO: it cannot be used. Optional. */
	int (*start)(struct card *card, bool fresh, struct error *error);
	/* However far open and start came. Optional. */
	void (*close)(struct card *card);

	/* Within the BAR's size, without the MSI-X table and pending bits, which are the host's.
	 * Anything goes: no error can be shown on a PCI bus, all ones or nothing can. */
	void (*bar_read)(struct card *card, unsigned bar, uint64_t offset, void *to,
			 uint32_t length);
	void (*bar_write)(struct card *card, unsigned bar, uint64_t offset, const void *from,
			  uint32_t length);
	/* By eventfd, or perhaps so, to a process before this one. Optional: work() comes after it
	 * in any case. */
	void (*doorbell)(struct card *card, unsigned index);
	/* Bus mastering was switched; after start it is off until told otherwise. Optional. */
	void (*master)(struct card *card, bool on);
	/* Device reset, by the client or the guest: back to the state after power on. */
	void (*reset)(struct card *card);
	/* On return nothing touches guest memory. Optional. */
	void (*quiesce)(struct card *card);
	/* What is behind the device is `size` bytes long now. 0 or -errno with error set. Optional.
	 */
	int (*resize)(struct card *card, uint64_t size, struct error *error);
	/* Called after every batch of events; true: call again without sleeping. Not while the card
	 * is frozen, which begins with a quiesce(). Optional. */
	bool (*work)(struct card *card);
	/* About to sleep: asks to be rung. True: something has come meanwhile, work() first.
	 * Optional. */
	bool (*rest)(struct card *card);
	/* Upper bound for the device-private memory that card_device() gives. */
	size_t device_size;
};

int card_main(const struct card_ops *ops, int argc, char **argv);

/* The card's own process-local things: device_size zeroed bytes. */
void *card_device(struct card *card);
/* The device state in the state area: state_size bytes. */
void *card_state(struct card *card);
/* The memory of ops->shared, which a client may store into at any time; NULL: no --poll. */
void *card_shared(struct card *card);
struct os_loop *card_loop(struct card *card);
const struct mem_map *card_memory(struct card *card);
struct vfu_server *card_server(struct card *card);

/* MSI-X. Dropped while bus mastering is off (PCI 3.0, 6.2.2) or the client has the vector unbound:
 * the client keeps MSI-X enable and masks. */
void card_interrupt(struct card *card, unsigned vector);
/* Another process still serves the device, until start(). */
bool card_stands_by(const struct card *card);
/* Doorbells are offered as eventfds from now on, or no longer; the client is told. Until it has
 * asked again it uses what it has: a register whose value counts again is not to be used by the
 * guest before it has read something. */
void card_offer_doorbells(struct card *card, bool on);
void card_count(struct card *card, enum status_card_counter counter, uint64_t amount);
/* A guest tried what no guest may do: counted, and told on the status page. */
__attribute__((format(printf, 2, 3))) void card_security_event(struct card *card,
							       const char *format, ...);

#endif
