/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "acpi_tables.h"
#include "machine.h"
#include "x86/acpi.h"
#include "x86/layout.h"

/* In a table's header (ACPI 6.4, 5.2.6). */
#define LENGTH	 4u
#define CHECKSUM 9u

#define MADT_PROCESSOR 8u /* bytes of one */

static void finish(uint8_t *table, uint32_t length)
{
	uint8_t sum = 0;

	memcpy(table + LENGTH, &length, sizeof(length));
	table[CHECKSUM] = 0;
	for (uint32_t i = 0; i < length; i++)
		sum = (uint8_t)(sum + table[i]);
	table[CHECKSUM] = (uint8_t)-sum;
}

void acpi_put(struct machine *machine)
{
	const struct bus *bus = &machine->bus;
	const uint64_t window[] = {0, bus->window64, bus->window64_end - 1, 0,
				   bus->window64_end - bus->window64};
	uint8_t *tables = memory_at(&machine->memory, LAYOUT_ACPI, LAYOUT_ACPI_SIZE);

	_Static_assert(sizeof(acpi_tables) <= LAYOUT_ACPI_SIZE, "the tables fit their place");
	memcpy(tables, acpi_tables, sizeof(acpi_tables));
	memcpy(tables + ACPI_WINDOW64, window, sizeof(window));
	finish(tables + ACPI_DSDT, ACPI_DSDT_LENGTH);
	finish(tables + ACPI_MADT, ACPI_MADT_HEAD + machine->cpus * MADT_PROCESSOR);
}
