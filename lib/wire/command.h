/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands from the controller to a hypervisor, and to a card. They arrive on a pipe that the
 * program can only read; a hypervisor's descriptors come on a companion socket on which it
 * must not speak, one descriptor a message with one byte of payload, sent *before* the
 * command that uses it is written. The outcome is read from the status page (command_done,
 * command_result, text).
 *
 *   controller                                   hypervisor
 *   1. CONFIGURE ------------------------------> memory, vCPUs; kernel and initrd are descriptors
 * it was born with
 *   2. descriptor, then ATTACH slot -----------> for each card: bus link; talks vfio-user with the
 * card
 *   3. START ----------------------------------> enters the sandbox's last step, runs the vCPUs
 *   4. ATTACH, DETACH, PAUSE, RESUME, SHUTDOWN, KILL at any time after
 *   5. descriptor, then RELINK slot -----------> when a card has died: link of the one that goes on
 * where it was. The slot waits for it (STATUS_SLOT_WAITING) for COMMAND_WAITING_MS.
 *   6. descriptor, then MEET ------------------> link to another program that is to go on in its
 * place (wire/handover.h): that one is told what it needs to get ready
 *   7. HAND_OVER ------------------------------> stands still, hands all over and ends. The outcome
 * is told by the one that goes on.
 *
 *   8. SYNC ---------------------------------> from a controller that goes on where another was:
 * descriptors whose commands have never come are closed
 *
 *   controller                                   card
 *   RESIZE ------------------------------------> what is behind its disk has grown
 *   FREEZE ------------------------------------> lets nothing be under way, begins nothing
 *   THAW --------------------------------------> goes on
 *
 * Layout: header of 16 bytes, then `length` bytes of body. Little endian.
 *   0 u32 magic "KCMD"   4 u16 verb   6 u16 length   8 u32 id (never 0, grows)   12 u32 0
 */
#ifndef KARUTA_WIRE_COMMAND_H
#define KARUTA_WIRE_COMMAND_H

#include <stddef.h>
#include <stdint.h>

#define COMMAND_MAGIC	    0x444d434bu
#define COMMAND_HEADER_SIZE 16u
#define COMMAND_MAX_SIZE    4096u
#define COMMAND_LINE_MAX    2047u /* Linux x86: COMMAND_LINE_SIZE - 1 */
#define COMMAND_MAX_CPUS    64u
#define COMMAND_MAX_SLOT    31u /* slot 0 is the host bridge */

enum command_verb {
	COMMAND_CONFIGURE =
		1, /* body: u64 memory bytes, u32 cpus, u32 line length, line without NUL */
	COMMAND_ATTACH = 2, /* body: u32 slot */
	COMMAND_START = 3,  /* no body */
	COMMAND_DETACH = 4, /* body: u32 slot, u32 flags: 1 = do not wait for the guest */
	COMMAND_PAUSE = 5,  /* no body, as all that follow */
	COMMAND_RESUME = 6,
	COMMAND_SHUTDOWN = 7, /* press the power button */
	COMMAND_RESET = 8,    /* press the reset button */
	COMMAND_KILL = 9,     /* pull the plug */
	COMMAND_RELINK = 10,  /* body: u32 slot */
	/* To a card. */
	COMMAND_RESIZE = 11, /* body: u64 bytes */
	COMMAND_FREEZE = 12, /* no body, as the next */
	COMMAND_THAW = 13,
	/* To a hypervisor. */
	COMMAND_MEET = 14, /* no body, as the next */
	COMMAND_HAND_OVER = 15,
	COMMAND_SYNC = 16,
};

#define COMMAND_DETACH_FORCE 1u

/* How long a slot waits for a card that died: less than any guest takes for a processor that
 * hangs. Then it is declared failed. */
#define COMMAND_WAITING_MS 8000u

struct command {
	enum command_verb verb;
	uint32_t id;
	uint64_t memory;		 /* CONFIGURE */
	uint32_t cpus;			 /* CONFIGURE: 1 .. COMMAND_MAX_CPUS */
	char line[COMMAND_LINE_MAX + 1]; /* CONFIGURE: kernel command line, terminated */
	uint32_t slot;			 /* ATTACH, DETACH, RELINK: 1 .. COMMAND_MAX_SLOT */
	uint32_t flags;			 /* DETACH */
	uint64_t size;			 /* RESIZE: not 0 */
};

/* Returns the number of bytes written to `buffer` or -EINVAL (a value out of range), -ENOSPC. */
int command_encode(const struct command *command, void *buffer, size_t size);

/*
 * Takes one command from the front of the bytes read so far. Returns how many bytes it used, 0 if
 * it is not complete yet, or -EPROTO: the stream cannot be trusted any more.
 */
int command_decode(struct command *command, const void *buffer, size_t length);

#endif
