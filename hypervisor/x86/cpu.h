/* SPDX-License-Identifier: Apache-2.0 */
/* The first vCPU's registers at the two kinds of kernel entry, 0 or -errno; and what state.c has
 * for it. */
#ifndef KARUTA_HYPERVISOR_X86_CPU_H
#define KARUTA_HYPERVISOR_X86_CPU_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define CPUID_ENTRIES 256u

struct machine;
struct vcpu;

enum cpu_entry {
	CPU_ENTRY_LINUX, /* its 64-bit boot protocol: long mode, identity mapped, RSI = zero page */
	CPU_ENTRY_PVH,	 /* 32-bit protected mode without paging, EBX = start info */
};

int cpu_enter(struct machine *machine, enum cpu_entry kind, uint64_t entry);

/* Guests run no guests of their own. */
bool cpu_hides_nesting(const struct kvm_cpuid2 *cpuid);

/* state.c: the list of registers that are carried over, machine->msrs. */
int state_prepare(struct machine *machine, struct error *error);
int state_read_msrs(const struct vcpu *vcpu);

#endif
