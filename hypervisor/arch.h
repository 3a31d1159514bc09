/* SPDX-License-Identifier: Apache-2.0 */
/* What a folder of machine-dependent code provides. x86/ is the only one so far. */
#ifndef KARUTA_HYPERVISOR_ARCH_H
#define KARUTA_HYPERVISOR_ARCH_H

#include "base/error.h"
#include "wire/handover.h"

struct machine;
struct vcpu;

/* Does this KVM have all that we need? */
int arch_check(int kvm, struct error *error);
/* Once: what all vCPUs of this instance are like. Sets machine->address_bits. */
int arch_prepare(struct machine *machine, struct error *error);

/* For each new VM: interrupt controllers; then each vCPU. 0 or -errno. */
int arch_vm_create(struct machine *machine);
/* When the vCPUs are there. */
void arch_vm_finish(struct machine *machine);
int arch_vcpu_create(struct vcpu *vcpu);

/* Kernel, initrd and tables into the guest's memory, and the first vCPU to the kernel's entry. */
int arch_load(struct machine *machine, struct error *error);

/*
 * For another program that goes on with the guest, and there. `restore` into a virtual machine of
 * the same setup, whose vCPUs have not run; vCPUs first. 0 or -errno.
 */
void arch_save_setup(const struct machine *machine, struct handover_writer *writer);
int arch_save_vcpu(const struct vcpu *vcpu, struct handover_writer *writer);
int arch_save_vm(const struct machine *machine, struct handover_writer *writer);
/* After arch_prepare(), before the virtual machine is made. */
int arch_take_setup(struct machine *machine, const struct handover_record *record);
int arch_restore_vcpu(const struct vcpu *vcpu, const struct handover_record *record,
		      struct error *error);
int arch_restore_vm(const struct machine *machine, const struct handover_record *record,
		    struct error *error);

/* KVM_EXIT_IO. */
void arch_handle_io(struct vcpu *vcpu);

#endif
