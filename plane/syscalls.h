/* SPDX-License-Identifier: Apache-2.0 */
/* What the plane may ask of its kernel once it listens: confine.h. */
#ifndef KARUTA_PLANE_SYSCALLS_H
#define KARUTA_PLANE_SYSCALLS_H

#include <stddef.h>

#include "jail/jail.h"

extern const struct jail_syscall plane_syscalls[];
extern const size_t plane_syscall_count;

#endif
