/* SPDX-License-Identifier: Apache-2.0 */
/* Anonymous shared memory that can be handed to another process. */
#ifndef KARUTA_OS_MEMFD_H
#define KARUTA_OS_MEMFD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A memfd of exactly `size` bytes that nobody can shrink or grow any more (F_SEAL_SHRINK | GROW |
 * SEAL), zeroed. */
int os_memfd(const char *name, uint64_t size);

/*
 * A memfd that holds what `file` holds now, from its beginning, which nobody can change any more
 * (F_SEAL_WRITE too), and which can be executed. -EFBIG: more than `limit` bytes.
 */
int os_copy_sealed(int file, const char *name, uint64_t limit, uint64_t *size);

/* A second descriptor of the same memory that can only be read and mapped read-only. */
int os_memfd_read_only(int memfd);

/*
 * Maps [offset, offset + size) shared. -EINVAL if the file is smaller than that: touching what lies
 * past a file's end would raise SIGBUS. `write` false maps read-only. The file may be of huge
 * pages; the rest of the first and last one is then mapped as well.
 */
int os_map(int fd, uint64_t offset, uint64_t size, bool write, void **mapping);
void os_unmap(void *mapping, uint64_t size);

#endif
