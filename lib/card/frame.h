/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the frame: its parts in the order in which main.c uses them.
 *
 *	options.c   the command line
 *	state.c     the state area
 *	bus.c       the PCI function on the bus: configuration space, BARs, doorbells, interrupts
 *	commands.c  what the controller asks for
 *	syscalls.c  the system calls of every card
 *	main.c      start, serve, end
 */
#ifndef KARUTA_CARD_FRAME_H
#define KARUTA_CARD_FRAME_H

#include <stdatomic.h>

#include "card.h"
#include "wire/command.h"

/* What the program ends with. */
enum card_exit {
	CARD_EXIT_DONE = 0,
	CARD_EXIT_FAILED = 1,
	CARD_EXIT_REFUSED = 2, /* the command line or the state area cannot be used */
};

struct card_settings {
	int bus_fd;	    /* -1: `listen` */
	const char *listen; /* NULL: `bus_fd` */
	int state_fd;	    /* -1: a private area */
	int status_fd;	    /* -1: a private page */
	int command_fd;	    /* -1: nobody commands it */
	uid_t user;	    /* 0: keep the present one */
	bool poll;
	bool stand_by; /* another process still serves the device */
};

/*
 * The state area: this header, then from CARD_STATE_OFFSET the device's own state. `magic` tells
 * how far it is: 0, all of it is zeros; SETUP, a process was making it and had served nobody yet;
 * COMPLETE.
 */
#define CARD_STATE_SETUP    UINT64_C(0x505554455352414b) /* "KARSETUP" */
#define CARD_STATE_COMPLETE UINT64_C(0x455441545352414b) /* "KARSTATE" */
#define CARD_FRAME_VERSION  2u

struct card_area {
	_Atomic uint64_t magic;
	uint32_t frame_version;
	uint32_t readable_from;	 /* the oldest state_version of a program that can go on from it */
	_Atomic uint64_t format; /* state_version << 32 | size of header and device state */
	char card[16];		 /* name, padded with zeros */
	struct pci_config config;
};
_Static_assert(sizeof(struct card_area) <= CARD_STATE_OFFSET, "the header ends before the state");

struct card;

struct card_doorbell {
	struct card *card;
	unsigned index;
	int fd;
};

struct card {
	const struct card_ops *ops;
	struct card_settings settings;
	void *device;
	struct card_area *area;
	struct status_page *status;
	struct os_loop *loop;
	struct vfu_server *server;
	struct vfu_server_counters counted; /* of the server's, on the status page */
	struct vfu_device function;	    /* as the bus sees it */
	struct vfu_io_fd *io_fds;
	struct card_doorbell *doorbells; /* by index: ops->doorbells */
	size_t doorbell_fds;
	int shared_fd;
	void *shared;	  /* memory of ops->shared */
	uint64_t spin_ns; /* before it sleeps */
	int signals;	  /* signalfd(2): SIGTERM, SIGINT */
	bool ready;
	bool is_up;  /* the status page is this process's: no other one uses it any more */
	bool stop;   /* leave the loop */
	bool held;   /* work() waits for the client's first write: see card.h */
	bool frozen; /* work() waits for THAW */
	uint8_t command_bytes[COMMAND_MAX_SIZE]; /* read, and no whole command yet */
	size_t command_length;
};

/* *is_said: it was a question (--help, --version, --state-size), and it has been answered. */
int card_options_parse(struct card *card, int argc, char **argv, bool *is_said,
		       struct error *error);

size_t card_state_needed(const struct card_ops *ops);
int card_state_map(struct card *card, struct error *error);
/* Is it of a version that this program can go on from? While another process still uses it. */
int card_state_check_version(const struct card *card, struct error *error);
/* One process at a time: waits for the one that has the area, whose end gives it free. Not for a
 * private area. */
int card_state_lock(struct card *card, struct error *error);
void card_state_unlock(struct card *card);
/* -EPROTO: it cannot be used. *fresh: start from nothing. */
int card_state_begin(struct card *card, bool *fresh, struct error *error);
/* All is set up: the area can be taken over from now on, and is of this program's version. Who
 * fails before leaves it to a program of the version that made it. */
void card_state_complete(struct card *card);

/* Loop, doorbells, server and socket: all that needs opening. */
int card_bus_open(struct card *card, struct error *error);
void card_bus_close(struct card *card);
void card_bus_reset(struct card *card);
bool card_bus_work(struct card *card);
/* The loop is about to sleep. True: not yet, there is work. */
bool card_bus_rest(struct card *card);
/* work() has to be called without being asked: a client can ring without our notice. */
bool card_bus_polls(const struct card *card);

/* Before the sandbox; carries out what comes from then on. */
int card_commands_open(struct card *card, struct error *error);
void card_commands_close(struct card *card);

extern const struct jail_syscall card_syscalls[];
extern const size_t card_syscall_count;

#endif
