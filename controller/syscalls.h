/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the controller may ask of its kernel once all that it listens on is open: confine.h. The
 * programs that it starts inherit the list, so what they ask for until their own is on stands here
 * too, apart; theirs takes away from it and never adds.
 */
#ifndef KARUTA_CONTROLLER_SYSCALLS_H
#define KARUTA_CONTROLLER_SYSCALLS_H

#include <stddef.h>

#include "jail/jail.h"

extern const struct jail_syscall controller_syscalls[];
extern const size_t controller_syscall_count;
/* Of programs that are about to go into their sandbox, and in it. */
extern const struct jail_syscall launched_syscalls[];
extern const size_t launched_syscall_count;
/* Of a controller whose TPM is not a device but behind a socket: a simulated one. */
extern const struct jail_syscall socket_tpm_syscalls[];
extern const size_t socket_tpm_syscall_count;

#endif
