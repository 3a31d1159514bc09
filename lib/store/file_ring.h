/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file store's ring. It is bound to the store's file and to the operations used there before it
 * is enabled (IORING_REGISTER_RESTRICTIONS): inside a sandbox it is no way round the system call
 * list.
 */
#ifndef KARUTA_STORE_FILE_RING_H
#define KARUTA_STORE_FILE_RING_H

#include <liburing.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define FILE_RING_ENTRIES 256u

/* `fd` is its file 0. */
int file_ring_open(struct io_uring *ring, int fd, struct error *error);
/* The memory becomes its buffer 0; false: the kernel does not want to keep that much in place. */
bool file_ring_lend(struct io_uring *ring, void *memory, size_t size);

#endif
