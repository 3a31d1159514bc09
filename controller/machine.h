/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One running instance: its hypervisor, the cards in its slots, and the commands on their way. All
 * of it is turned by one thread; nothing in it waits. Whoever asks for something that takes time
 * gives a ticket and hears of the outcome through `answer`, once.
 *
 *	launch    hypervisor and the specification's cards are started side by side
 *	CONFIGURE memory, vCPUs, command line
 *	ATTACH    each card once its status page says READY
 *	START     when the last of them is in its slot
 *	running   attach, detach, pause, ... until the hypervisor ends
 *	ending    the cards see their links close, finish their writes and go
 */
#ifndef KARUTA_CONTROLLER_MACHINE_H
#define KARUTA_CONTROLLER_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "areas.h"
#include "base/error.h"
#include "cgroups.h"
#include "clone.h"
#include "instance.h"
#include "key.h"
#include "link.h"
#include "os/clock.h"
#include "os/loop.h"
#include "trace.h"
#include "upgrade.h"
#include "watch.h"
#include "wire/command.h"

#define MACHINE_READY_DEADLINE	 (5 * NS_PER_S)	   /* a program's sandbox is on */
#define MACHINE_COMMAND_DEADLINE (10 * NS_PER_S)   /* the hypervisor carries out a command */
#define MACHINE_EJECT_DEADLINE	 (10 * NS_PER_S)   /* the guest lets go of a card */
#define MACHINE_LEAVE_DEADLINE	 (5 * NS_PER_S)	   /* a card ends after its link was closed */
#define MACHINE_KILL_DEADLINE	 (2 * NS_PER_S)	   /* the hypervisor obeys KILL */
#define MACHINE_LAST_MOMENT	 (200 * NS_PER_MS) /* from a link's end to its process's */
#define MACHINE_GRACE		 (2 * NS_PER_S) /* the hypervisor tells of a card that has ended */
#define MACHINE_ORDERS		 64u

/* A card that dies is started again, so many times in so long; each time it waits longer. */
#define RESTARTS_MAX	5u
#define RESTARTS_WINDOW (60 * NS_PER_S)

/* Of a slot that has a card. */
enum slot_state {
	SLOT_STARTING,	 /* the program runs, not READY yet */
	SLOT_CONNECTING, /* ATTACH is on its way */
	SLOT_ATTACHED,
	SLOT_EJECTING,	/* the guest was asked to let go */
	SLOT_LEAVING,	/* the hypervisor has let go; the program is about to end */
	SLOT_PREPARING, /* in use, while another program gets ready to take over */
	SLOT_AWAY,	/* it has ended, or is about to; it is started again at `restart_at` */
	SLOT_RETURNING, /* it runs again, not READY yet */
	SLOT_RELINKING, /* RELINK is on its way */
	SLOT_FAILED,	/* the program has died or broke the protocol; its state area is kept */
};

/* What a card's program is started with, kept open so that it can be started again. */
struct kit {
	int program;
	int store;     /* -1: none */
	uint64_t size; /* of it, as the card is told; 0: not known yet */
	struct key key;
};

#define KIT_NONE ((struct kit){.program = -1, .store = -1, .key = KEY_NONE})

enum task_step {
	TASK_NONE,
	TASK_RESIZING, /* RESIZE is on its way */
	TASK_FREEZING, /* FREEZE is on its way */
	TASK_SHARING,  /* frozen; its store's blocks are being shared */
	TASK_THAWING,  /* THAW is on its way */
};

/* How far a counter of a card's page was seen: examine.c. */
struct seen {
	uint64_t count;
	uint64_t next; /* when it is looked at again; 0: it has never grown */
	bool again;    /* when it grew last, it had before */
};

/* What is being done to a card that is in use: tasks.c. */
struct task {
	enum task_step step;
	pid_t pid; /* that was asked */
	uint64_t since, deadline;
	int target; /* of a snapshot, until its blocks are shared */
	struct clone clone;
	int code; /* of the answer that follows the thaw, and its text */
	char text[STATUS_TEXT_SIZE];
};

#define TASK_IDLE ((struct task){.target = -1})

struct slot {
	enum slot_state state;
	unsigned number;
	struct card_spec card;
	struct watch watch;
	struct area area; /* the card's state */
	struct kit kit;
	struct link bus;      /* ours: the hypervisor's end, until it is sent */
	struct link commands; /* ours: the end that writes */
	uint32_t last_command;
	struct task task;
	uint64_t deadline;
	uint64_t ticket; /* 0: nobody waits */
	bool at_boot;	 /* the instance does not start without it */
	bool was_attached;
	uint64_t grace; /* 0, or when a clean end without a word from the hypervisor is a failure */
	uint64_t lost;	/* 0, or until when its process may end after the hypervisor has lost it */
	char why[STATUS_TEXT_SIZE];
	struct trace trace;
	struct seen guest, peer; /* forbidden commands; what the hypervisor did wrong */

	/* restart.c */
	int old_program; /* while an update is being tried: what it goes back to; else -1 */
	struct link next_commands; /* PREPARING: of the successor */
	struct watch successor; /* PREPARING: the process that stands by; then the one that ends */
	uint64_t stop_by;	/* when that one is killed */
	uint64_t restart_at;
	uint64_t away_since;
	uint64_t remembered;	       /* remember.h: digest of what the keeper has */
	char death[STATUS_TEXT_SIZE];  /* why it ended last */
	uint64_t deaths[RESTARTS_MAX]; /* when; a ring */
	unsigned death_count;
};

/* A command that waits for its turn; one is on its way at a time. */
struct order {
	enum command_verb verb;
	unsigned slot;
	uint32_t flags;
	uint64_t ticket;
};

struct orders {
	struct order queue[MACHINE_ORDERS];
	unsigned head, count;
	uint32_t last_id;
	bool under_way; /* the head was sent as last_id */
	uint64_t deadline;
};

enum machine_state {
	MACHINE_STARTING,
	MACHINE_RUNNING,
	MACHINE_PAUSED,
	MACHINE_ENDING, /* the hypervisor has ended, cards are about to */
	MACHINE_ENDED,
};

struct alarms;

typedef void (*machine_answer_fn)(void *context, uint64_t ticket, int code, const char *text);

struct machine {
	struct instance *instance; /* the caller's; its cards move into their slots */
	uint32_t users;		   /* launch.h: the first of its user ids */
	struct os_loop *loop;
	machine_answer_fn answer;
	void *answer_context;

	void (*remember)(
		void *answer_context); /* the caller's, as `alarms`; what changed is kept */
	struct alarms *alarms;	       /* the caller's, who sets it after the launch; NULL: none */
	bool compromised;	       /* one of its programs did what none of ours does */

	enum machine_state state;
	struct cgroups cgroups;
	struct watch hypervisor;
	int program;		 /* of it, as it was measured */
	struct link commands;	 /* ours: the end that writes */
	struct link descriptors; /* ours: the end that sends */
	struct area console;
	struct orders orders;
	struct upgrade upgrade;
	struct slot *slots[COMMAND_MAX_SLOT + 1]; /* by number; NULL: empty, as 0 always is */

	bool unsettled; /* adopt.h: what the controller before has ordered may still be under way */
	bool start_sent;
	uint64_t started; /* os_now() */
	bool kill_asked;
	uint64_t kill_deadline; /* 0, or when the hypervisor is ended if it has not ended itself */
	int exit_code;		/* once ended: 0 powered off, 1 failed, crashed or killed */
	char outcome[STATUS_TEXT_SIZE + 64];
};

/* machine.c. One that has nothing yet. */
void machine_prepare(struct machine *machine, struct instance *instance, struct os_loop *loop,
		     machine_answer_fn answer, void *context);
/* Launches everything; the machine must not move in memory afterwards. */
int machine_launch(struct machine *machine, struct instance *instance, uint32_t users,
		   struct os_loop *loop, machine_answer_fn answer, void *context,
		   struct error *error);
/* Takes every step that can be taken. Returns after how many ms there may be another. */
int machine_turn(struct machine *machine);
void machine_free(struct machine *machine);
/* It cannot go on: `text` becomes its outcome. */
void machine_fail(struct machine *machine, const char *text);
/* Asks the hypervisor to pull the plug; ends it if it does not. */
void machine_kill(struct machine *machine);
/* On standard error, for the person at the terminal. */
__attribute__((format(printf, 2, 3))) void machine_note(const struct machine *machine,
							const char *format, ...);
/* Before something is done that the next controller must not do without. */
void machine_remember(const struct machine *machine);
void machine_answer(struct machine *machine, uint64_t *ticket, int code, const char *text);

/* orders.c. 0, or -EBUSY: too many wait already. */
int orders_push(struct machine *machine, struct order order);
void orders_turn(struct machine *machine, uint64_t now);
/* Nobody will carry them out any more. */
void orders_end(struct machine *machine);

/* slots.c */
/* An empty one has something from now on. NULL: out of memory. */
struct slot *slots_make(struct machine *machine, unsigned number);
/* Nothing is left of it, nor of its processes. */
void slots_make_empty(struct machine *machine, struct slot *slot);
/* Takes *card over, its key's descriptor included, whatever comes of it. */
int slots_attach(struct machine *machine, struct card_spec *card, uint64_t ticket, bool at_boot,
		 struct error *error);
/* `name`: a card's name or a slot's number. */
int slots_detach(struct machine *machine, const char *name, bool force, uint64_t timeout,
		 uint64_t ticket, struct error *error);
void slots_turn(struct machine *machine, uint64_t now);
/* `name`: as for slots_detach; NULL: there is none. */
struct slot *slots_find(struct machine *machine, const char *name);
/* What the hypervisor says of it: enum status_slot. */
unsigned slots_seen(const struct machine *machine, const struct slot *slot);
/* It was of use and is not any more. */
void slots_fail(struct machine *machine, struct slot *slot);
/* The hypervisor has let go of it. */
void slots_leave(struct slot *slot);
/* The outcome of an order that was about a slot; NULL: it is empty by now. */
void slots_attached(struct machine *machine, struct slot *slot, int result, const char *text);
void slots_ejecting(struct machine *machine, struct slot *slot, int result, const char *text);
/* The hypervisor is gone: all cards are about to go. */
void slots_end(struct machine *machine, uint64_t now);
bool slots_all(const struct machine *machine, enum slot_state state); /* that have a card */
bool slots_left(const struct machine *machine);			      /* there still is a card */
bool slots_busy(const struct machine *machine);
/* Of the card that was attached for this ticket; NULL: there is none. */
struct trace *slots_trace(const struct machine *machine, uint64_t ticket);
void slots_free(struct machine *machine);

/* tasks.c */
/* What another controller has begun is not gone on with: a card that it has frozen goes on. */
void tasks_adopt(struct slot *slot);
void tasks_turn(struct machine *machine, struct slot *slot, uint64_t now);
/* Makes its store longer if that is needed. `name`: as for slots_detach. */
int tasks_resize(struct machine *machine, const char *name, uint64_t size, uint64_t ticket,
		 struct error *error);
/* The card's store at one instant, in `target`, which is taken over whatever comes of it. */
int tasks_snapshot(struct machine *machine, const char *name, int target, uint64_t ticket,
		   struct error *error);

/* restart.c */
/* The card is of no use as it is, and the hypervisor waits for it to come back. */
void restart_begin(struct machine *machine, struct slot *slot, uint64_t now);
/* The process that another has taken the place of. */
void restart_reap(struct slot *slot, uint64_t now);
/* PREPARING, with the card in use as before. */
void restart_prepare(struct machine *machine, struct slot *slot, uint64_t now);
/* From PREPARING back to ATTACHED. */
void restart_drop_update(struct machine *machine, struct slot *slot, const char *why);
/* One of the states AWAY to RELINKING. */
void restart_turn(struct machine *machine, struct slot *slot, uint64_t now);
/* `slot`: as for slots_attached. */
void restart_relinked(struct machine *machine, struct slot *slot, int result, const char *text);
/* Another program for a card that is in use; `path` NULL: the installed one. */
int restart_update(struct machine *machine, const char *name, const char *path, uint64_t ticket,
		   struct error *error);

#endif
