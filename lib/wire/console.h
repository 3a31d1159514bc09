/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console ring: what the guest wrote to its serial port. The hypervisor writes, others map it
 * read-only and keep their own place; a slow reader loses the oldest bytes, never delays the
 * writer.
 */
#ifndef KARUTA_WIRE_CONSOLE_H
#define KARUTA_WIRE_CONSOLE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define CONSOLE_MAGIC UINT64_C(0x31534e4f4352414b) /* "KARCONS1" */
#define CONSOLE_DATA  (UINT32_C(256) << 10)
#define CONSOLE_BURST 4096u /* bytes that are written before they are counted, at most */
#define CONSOLE_KEPT  (CONSOLE_DATA - CONSOLE_BURST) /* what a reader can be behind */
#define CONSOLE_SIZE  (4096u + CONSOLE_DATA)

struct console_ring {
	uint64_t magic;
	_Atomic uint64_t
		written; /* bytes ever written; the newest is at (written - 1) % CONSOLE_DATA */
	uint8_t pad[4096 - 16];
	uint8_t data[CONSOLE_DATA];
};
_Static_assert(sizeof(struct console_ring) == CONSOLE_SIZE, "shared layout");

void console_init(struct console_ring *ring);
void console_write(struct console_ring *ring, const void *bytes, size_t length);

/*
 * Copies up to `size` bytes that follow *position into `buffer`, moves *position, and adds to *lost
 * what was overwritten before it could be read. Returns the count (0: nothing new) or -EPROTO (not
 * a ring, or one that runs backwards).
 */
int64_t console_read(const struct console_ring *ring, uint64_t *position, void *buffer, size_t size,
		     uint64_t *lost);

#endif
