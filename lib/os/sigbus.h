/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A peer can truncate a file that we have mapped; touching it then raises SIGBUS. With the guard
 * on, such a page is replaced by a private page of zeros and the program goes on: the peer hurts
 * its own data only. A SIGBUS outside the guarded ranges, or for memory that is broken, still ends
 * the program.
 */
#ifndef KARUTA_OS_SIGBUS_H
#define KARUTA_OS_SIGBUS_H

#include <stdbool.h>
#include <stdint.h>

/* Installs the handler; once a program, before other threads start. */
int os_sigbus_install(void);
/* At most 1,024 ranges: -ENOSPC. Any thread may touch a guarded range; one thread adds and removes.
 */
int os_sigbus_guard(void *mapping, uint64_t size);
void os_sigbus_release(void *mapping);
/* How many pages were replaced so far. */
uint64_t os_sigbus_count(void);

#endif
