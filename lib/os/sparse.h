/* SPDX-License-Identifier: Apache-2.0 */
/* Large files with holes. */
#ifndef KARUTA_OS_SPARSE_H
#define KARUTA_OS_SPARSE_H

#include <stdint.h>

/*
 * The next stretch of data from `at` on: [*start, *end). *start = `size` if only a hole follows. A
 * file system that cannot tell has one stretch. 0 or -errno.
 */
int os_next_data(int fd, uint64_t at, uint64_t size, uint64_t *start, uint64_t *end);

#endif
