/* SPDX-License-Identifier: Apache-2.0 */
/* The first vCPU's registers at the two kinds of kernel entry. 0 or -errno. */
#ifndef KARUTA_HYPERVISOR_X86_CPU_H
#define KARUTA_HYPERVISOR_X86_CPU_H

#include <stdint.h>

struct machine;

/* Linux's 64-bit boot protocol: long mode, identity mapped, RSI = zero page. */
int cpu_enter_linux(struct machine *machine, uint64_t entry);
/* PVH: 32-bit protected mode without paging, EBX = start info. */
int cpu_enter_pvh(struct machine *machine, uint32_t entry);

#endif
