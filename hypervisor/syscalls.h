/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KARUTA_HYPERVISOR_SYSCALLS_H
#define KARUTA_HYPERVISOR_SYSCALLS_H

#include <stddef.h>

#include "jail/jail.h"

/* All that the hypervisor may ask of its kernel once it has started. */
extern const struct jail_syscall hypervisor_syscalls[];
extern const size_t hypervisor_syscall_count;

#endif
