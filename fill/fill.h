/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KARUTA_FILL_FILL_H
#define KARUTA_FILL_FILL_H

#include <stddef.h>

#include "jail/jail.h"

/* All that it asks of the kernel once it has begun. */
extern const struct jail_syscall fill_syscalls[];
extern const size_t fill_syscall_count;

/* The heap, with the key in it, stays out of dumps, and out of swap where the limit on locked
 * memory allows that. Before the sandbox. */
void fill_lock_memory(void);

#endif
