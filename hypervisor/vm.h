/* SPDX-License-Identifier: Apache-2.0 */
/*
 * KVM's side of the machine: VM, memory slots, vCPUs. A guest's reset makes all of it anew, so that
 * nothing of the old guest's state can be left in it; only the memory stays.
 */
#ifndef KARUTA_HYPERVISOR_VM_H
#define KARUTA_HYPERVISOR_VM_H

#include "base/error.h"

struct machine;

/* While no vCPU thread runs. */
int vm_create(struct machine *machine, struct error *error);
void vm_destroy(struct machine *machine);

#endif
