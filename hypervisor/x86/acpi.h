/* SPDX-License-Identifier: Apache-2.0 */
/* The ACPI tables of an instance: hardware-reduced (ACPI 6.4, 4.1), written at LAYOUT_ACPI. */
#ifndef KARUTA_HYPERVISOR_X86_ACPI_H
#define KARUTA_HYPERVISOR_X86_ACPI_H

struct machine;

/* 0 or -ENOSPC. */
int acpi_build(struct machine *machine);

#endif
