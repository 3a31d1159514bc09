/* SPDX-License-Identifier: Apache-2.0 */
/* A position in a request's list of memory pieces. Never goes past the list's sum: the caller asks
 * for no more. */
#ifndef KARUTA_STORE_IOV_H
#define KARUTA_STORE_IOV_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct store_cursor {
	const struct iovec *piece;
	size_t skip; /* bytes of *piece that are behind */
};

struct store_cursor store_cursor_at(const struct iovec *iov, uint64_t offset);
void store_cursor_advance(struct store_cursor *cursor, uint64_t length);
/* The next `length` bytes if they lie in one piece, else NULL. Does not move. */
void *store_cursor_whole(const struct store_cursor *cursor, size_t length);
/* Copy out of the pieces and into them, and move on; `from` NULL writes zeros. */
void store_cursor_gather(struct store_cursor *cursor, void *to, size_t length);
void store_cursor_scatter(struct store_cursor *cursor, const void *from, size_t length);

#endif
