/* SPDX-License-Identifier: Apache-2.0 */
/* Where things are in an x86 instance: the first mebibyte, and I/O space. */
#ifndef KARUTA_HYPERVISOR_X86_LAYOUT_H
#define KARUTA_HYPERVISOR_X86_LAYOUT_H

#include "base/base.h"

/* Guest physical. */
#define LAYOUT_GDT	    UINT64_C(0x500)
#define LAYOUT_PVH_INFO	    UINT64_C(0x6000)
#define LAYOUT_ZERO_PAGE    UINT64_C(0x7000)
#define LAYOUT_PAGE_TABLES  UINT64_C(0x9000) /* six pages: 4 GiB, identical */
#define LAYOUT_COMMAND_LINE UINT64_C(0x20000)
#define LAYOUT_LOW_END	    UINT64_C(0xa0000)
#define LAYOUT_ACPI	    UINT64_C(0xe0000) /* tables, the RSDP first */
#define LAYOUT_ACPI_SIZE    UINT64_C(0x1f000)
#define LAYOUT_FIRMWARE	    UINT64_C(0xff000) /* the page with the reset vector */
#define LAYOUT_HIGH	    MIB

#define LAYOUT_IOAPIC	 UINT64_C(0xfec00000)
#define LAYOUT_LAPIC	 UINT64_C(0xfee00000)
#define LAYOUT_KVM_PAGES UINT64_C(0xfffbc000) /* four pages that KVM may need for itself */

/* I/O space. */
#define PORT_SERIAL	   0x3f8
#define PORT_SLEEP_CONTROL 0x600
#define PORT_SLEEP_STATUS  0x601
#define PORT_RESET	   0x602
#define PORT_EVENTS	   0x610

#define SLEEP_TYPE_OFF 5u
#define RESET_VALUE    1u

#endif
