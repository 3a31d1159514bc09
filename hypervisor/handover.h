/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another program goes on with the guest (wire/handover.h has the steps). KVM binds a virtual
 * machine to the process that made it, so the other one makes its own, on the same memory, while
 * this one still runs the guest; what is left for the guest to wait for is the state of its
 * processors and cards. Main thread.
 */
#ifndef KARUTA_HYPERVISOR_HANDOVER_H
#define KARUTA_HYPERVISOR_HANDOVER_H

#include <stdint.h>

#include "base/error.h"

/* Grows with what is in the records; tests have programs of other versions. */
#ifndef HANDOVER_VERSION
#define HANDOVER_VERSION 1u
#endif

struct machine;

/* Here. The socket leads to a program that is to get ready; it becomes ours. */
int handover_meet(struct machine *machine, int socket, struct error *error);
/* Hands all over. 0: the guest is no longer ours, not even the status page is. Else it runs on as
 * if nothing had been. `command`: the id of the one that asked for it. */
int handover_give(struct machine *machine, uint32_t command, struct error *error);

/* There. What it takes to make the virtual machine; the processors' part of it stays in the record
 * that came, for arch_take_setup(). */
int handover_join(struct machine *machine, struct error *error);
/* When that is made: stands by until it is handed the guest, and lets it run on. Negative, and it
 * is not ours: this program is to end. */
int handover_take_over(struct machine *machine, struct error *error);

#endif
