/* SPDX-License-Identifier: Apache-2.0 */
/* What a folder of machine-dependent code provides. x86/ is the only one so far. */
#ifndef KARUTA_HYPERVISOR_ARCH_H
#define KARUTA_HYPERVISOR_ARCH_H

#include "base/error.h"

struct machine;
struct vcpu;

/* Does this KVM have all that we need? */
int arch_check(int kvm, struct error *error);
/* Once: what all vCPUs of this instance are like. Sets machine->address_bits. */
int arch_prepare(struct machine *machine, struct error *error);

/* For each new VM: interrupt controllers; then each vCPU. 0 or -errno. */
int arch_vm_create(struct machine *machine);
/* When the vCPUs are there. */
int arch_vm_finish(struct machine *machine);
int arch_vcpu_create(struct vcpu *vcpu);

/* Kernel, initrd and tables into the guest's memory, and the first vCPU to the kernel's entry. */
int arch_load(struct machine *machine, struct error *error);

/* KVM_EXIT_IO. */
void arch_handle_io(struct vcpu *vcpu);

#endif
