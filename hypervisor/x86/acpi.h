/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KARUTA_HYPERVISOR_X86_ACPI_H
#define KARUTA_HYPERVISOR_X86_ACPI_H

struct machine;

/* The ACPI tables that were made at build time (tools/acpi), at LAYOUT_ACPI; what differs between
 * instances is filled in. */
void acpi_put(struct machine *machine);

#endif
