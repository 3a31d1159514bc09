/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Showing an instance's console: a reader of the ring with its own place in it and somewhere to
 * write. It never blocks: who does not take the bytes in time loses the oldest ones.
 */
#ifndef KARUTA_CONTROLLER_CONSOLE_H
#define KARUTA_CONTROLLER_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "wire/console.h"

struct console {
	const struct console_ring *ring;
	int out; /* -1: nobody looks any more */
	uint64_t position;
	uint64_t lost;
	size_t pending; /* bytes of `buffer` that are still to be written */
	size_t done;	/* bytes of it that were */
	int pause_ms;	/* until the next look: short while there is something, long while not */
	char buffer[4096];
};

/* "-": standard output. Returns a descriptor or -errno. */
int console_open(const char *path, struct error *error);
/* `out` stays the caller's; `position`: 0 shows all that the ring still has. */
void console_begin(struct console *console, const struct console_ring *ring, int out);
/* Moves what can be moved without waiting. True: there was something. */
bool console_turn(struct console *console);
/* Moves the rest, waiting at most `timeout_ms` for the reader each time. */
void console_finish(struct console *console, int timeout_ms);

#endif
