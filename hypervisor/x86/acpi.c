/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "base/cursor.h"
#include "machine.h"
#include "x86/acpi.h"
#include "x86/aml.h"
#include "x86/layout.h"

#define HEADER_SIZE 36u
#define RSDP_SIZE   36u
#define FADT_SIZE   276u
#define TABLE_ALIGN 16u

/* The tables lie one behind the other. */
struct area {
	uint8_t *host;
	uint64_t address;
	size_t used, size;
};

static void set_checksum(uint8_t *bytes, size_t length, size_t at)
{
	uint8_t sum = 0;

	bytes[at] = 0;
	for (size_t i = 0; i < length; i++)
		sum = (uint8_t)(sum + bytes[i]);
	bytes[at] = (uint8_t)-sum;
}

/* Header (5.2.6), checksum, and on to the next table. The address of this one, 0: it did not fit.
 */
static uint64_t finish_table(struct area *area, const char signature[4], uint8_t revision,
			     size_t length)
{
	uint8_t *table = area->host + area->used;
	uint64_t address = area->address + area->used;
	struct writer writer = writer_make(table, HEADER_SIZE);

	if (length > area->size - area->used)
		return 0;
	writer_put(&writer, signature, 4);
	writer_u32(&writer, (uint32_t)length);
	writer_u8(&writer, revision);
	writer_u8(&writer, 0);
	writer_put(&writer, "KARUTAKARUTAVM", 14);
	writer_u32(&writer, 1);
	writer_put(&writer, "KRTA", 4);
	writer_u32(&writer, 1);
	set_checksum(table, length, 9);
	area->used = align_up(area->used + length, TABLE_ALIGN);
	return address;
}

/* Room for the rest of a table behind its header, zeroed. */
static struct writer begin_table(struct area *area)
{
	uint8_t *table = area->host + area->used;

	memset(table, 0, area->size - area->used);
	return writer_make(table + HEADER_SIZE, area->size - area->used - HEADER_SIZE);
}

static size_t table_length(const struct area *area, const struct writer *writer)
{
	return (size_t)(writer->at - (area->host + area->used));
}

/* ---- DSDT ---- */

#define REQUEST_CHECK 1u /* device check: look what is there */
#define REQUEST_EJECT 3u
#define BUTTON_PRESS  0x80u

static void slot_name(char name[5], unsigned slot)
{
	snprintf(name, 5, "S%03u", slot % 1000);
}

static void put_slot(struct aml *aml, unsigned slot)
{
	char name[5];

	slot_name(name, slot);
	aml_open_device(aml, name);
	aml_named_integer(aml, "_ADR", (uint64_t)slot << 16);
	aml_named_integer(aml, "_SUN", slot);
	aml_open_method(aml, "_EJ0", 1, false);
	aml_byte(aml, AML_STORE);
	aml_integer(aml, UINT64_C(1) << slot);
	aml_name(aml, "EJCT");
	aml_close(aml);
	aml_close(aml);
}

/* No _OSC: PCI Express features stay with us, and so the guest takes ACPI's hotplug. */
static void put_bridge(struct aml *aml, const struct bus *bus)
{
	aml_open_device(aml, "PCI0");
	aml_named_id(aml, "_HID", "PNP0A08");
	aml_named_id(aml, "_CID", "PNP0A03");
	aml_named_integer(aml, "_SEG", 0);
	aml_named_integer(aml, "_BBN", 0);
	aml_named_integer(aml, "_UID", 0);
	aml_open_resources(aml, "_CRS");
	aml_bus_numbers(aml, 0, 0);
	aml_memory_window(aml, BUS_WINDOW32, BUS_WINDOW32_END - BUS_WINDOW32);
	aml_memory_window(aml, bus->window64, bus->window64_end - bus->window64);
	aml_close_resources(aml);
	for (unsigned slot = 1; slot < BUS_SLOTS; slot++)
		put_slot(aml, slot);
	aml_close(aml);
}

static void put_ecam(struct aml *aml)
{
	aml_open_device(aml, "ECAM");
	aml_named_id(aml, "_HID", "PNP0C02");
	aml_open_resources(aml, "_CRS");
	aml_fixed_memory(aml, BUS_ECAM, BUS_ECAM_SIZE);
	aml_close_resources(aml);
	aml_close(aml);
}

static void put_serial(struct aml *aml)
{
	aml_open_device(aml, "COM1");
	aml_named_id(aml, "_HID", "PNP0501");
	aml_named_integer(aml, "_UID", 0);
	aml_open_resources(aml, "_CRS");
	aml_io_ports(aml, PORT_SERIAL, SERIAL_SIZE);
	aml_interrupt(aml, GSI_SERIAL);
	aml_close_resources(aml);
	aml_close(aml);
}

static void put_button(struct aml *aml)
{
	aml_open_device(aml, "PWRB");
	aml_named_id(aml, "_HID", "PNP0C0C");
	aml_close(aml);
}

/* If (value & bit) Notify (object, code) */
static void put_notify(struct aml *aml, enum aml_op value, uint32_t bit, const char *object,
		       unsigned code)
{
	aml_open_if(aml);
	aml_byte(aml, AML_AND);
	aml_byte(aml, value);
	aml_integer(aml, bit);
	aml_byte(aml, AML_NOTHING);
	aml_byte(aml, AML_NOTIFY);
	aml_name(aml, object);
	aml_integer(aml, code);
	aml_close(aml);
}

/* Local1 = register; then a Notify for each slot whose bit is set. */
static void put_slots(struct aml *aml, const char *source, unsigned code)
{
	char path[] = "\\/\3_SB_PCI0S000"; /* a path of three segments */

	aml_byte(aml, AML_STORE);
	aml_name(aml, source);
	aml_byte(aml, AML_LOCAL1);
	for (unsigned slot = 1; slot < BUS_SLOTS; slot++) {
		slot_name(path + 11, slot);
		put_notify(aml, AML_LOCAL1, 1u << slot, path, code);
	}
}

static void put_events(struct aml *aml)
{
	aml_open_device(aml, "GED_");
	aml_named_string(aml, "_HID", "ACPI0013");
	aml_named_integer(aml, "_UID", 0);
	aml_open_resources(aml, "_CRS");
	aml_interrupt(aml, GSI_EVENTS);
	aml_close_resources(aml);
	aml_open_method(aml, "_EVT", 1, true);
	aml_byte(aml, AML_STORE);
	aml_name(aml, "PEND");
	aml_byte(aml, AML_LOCAL0);
	put_notify(aml, AML_LOCAL0, EVENT_POWER, "PWRB", BUTTON_PRESS);
	aml_open_if(aml);
	aml_byte(aml, AML_AND);
	aml_byte(aml, AML_LOCAL0);
	aml_integer(aml, EVENT_SLOTS);
	aml_byte(aml, AML_NOTHING);
	put_slots(aml, "RMOV", REQUEST_EJECT);
	put_slots(aml, "INSR", REQUEST_CHECK);
	aml_close(aml);
	aml_close(aml);
	aml_close(aml);
}

static uint64_t build_dsdt(struct area *area, const struct machine *machine)
{
	static const char *const registers[] = {"PEND", "INSR", "RMOV", "EJCT"};
	static const uint8_t off[] = {SLEEP_TYPE_OFF, SLEEP_TYPE_OFF, 0, 0};
	struct writer room = begin_table(area);
	struct aml aml = {.bytes = room.at, .size = room.left};

	aml_named_package(&aml, "_S5_", off, ARRAY_LEN(off));
	aml_open_scope(&aml, "\\_SB_");
	aml_io_registers(&aml, "EVNT", PORT_EVENTS, registers, ARRAY_LEN(registers));
	put_bridge(&aml, &machine->bus);
	put_ecam(&aml);
	put_serial(&aml);
	put_button(&aml);
	put_events(&aml);
	aml_close(&aml);
	return aml.failed ? 0 : finish_table(area, "DSDT", 6, HEADER_SIZE + aml.used);
}

/* ---- the other tables ---- */

#define FADT_BOOT_FLAGS 0x34u /* no VGA, no ASPM, no CMOS clock; no 8042 and no legacy devices */
#define FADT_FLAGS                                                                                 \
	(1u << 0 /* WBINVD works */ | 1u << 4 /* power button is a device */ |                     \
	 1u << 5 /* so would a sleep button be */ | 1u << 10 /* reset register */ |                \
	 1u << 20 /* hardware-reduced */)

static void put_port(uint8_t *at, uint16_t port)
{
	/* Generic address structure (5.2.3.2): I/O space, 8 bits wide, byte access. */
	const uint8_t head[] = {1, 8, 0, 1};
	uint64_t address = port;

	memcpy(at, head, sizeof(head));
	memcpy(at + sizeof(head), &address, sizeof(address));
}

static uint64_t build_fadt(struct area *area, uint64_t dsdt)
{
	uint8_t *table = area->host + area->used;
	const uint32_t flags = FADT_FLAGS;

	begin_table(area);
	memcpy(table + 40, &dsdt, 4);
	table[109] = FADT_BOOT_FLAGS;
	memcpy(table + 112, &flags, sizeof(flags));
	put_port(table + 116, PORT_RESET);
	table[128] = RESET_VALUE;
	table[131] = 4; /* minor version */
	memcpy(table + 140, &dsdt, sizeof(dsdt));
	put_port(table + 244, PORT_SLEEP_CONTROL);
	put_port(table + 256, PORT_SLEEP_STATUS);
	memcpy(table + 268, "KARUTA\0", 8);
	return finish_table(area, "FACP", 6, FADT_SIZE);
}

static uint64_t build_madt(struct area *area, unsigned cpus)
{
	struct writer writer = begin_table(area);

	writer_u32(&writer, LAYOUT_LAPIC);
	writer_u32(&writer, 0); /* no pair of 8259s */
	for (unsigned i = 0; i < cpus; i++) {
		writer_put(&writer, (const uint8_t[]){0, 8, (uint8_t)i, (uint8_t)i}, 4);
		writer_u32(&writer, 1); /* enabled */
	}
	writer_put(&writer, (const uint8_t[]){1, 12, 0, 0}, 4);
	writer_u32(&writer, LAYOUT_IOAPIC);
	writer_u32(&writer, 0);						/* its first GSI */
	writer_put(&writer, (const uint8_t[]){4, 6, 0xff, 0, 0, 1}, 6); /* NMI on all: LINT1 */
	return finish_table(area, "APIC", 5, table_length(area, &writer));
}

static uint64_t build_mcfg(struct area *area)
{
	struct writer writer = begin_table(area);

	writer_u64(&writer, 0);
	writer_u64(&writer, BUS_ECAM);
	writer_u16(&writer, 0); /* segment */
	writer_u8(&writer, 0);	/* first bus */
	writer_u8(&writer, 0);	/* last bus */
	writer_u32(&writer, 0);
	return finish_table(area, "MCFG", 1, table_length(area, &writer));
}

static uint64_t build_xsdt(struct area *area, const uint64_t *tables, size_t count)
{
	struct writer writer = begin_table(area);

	for (size_t i = 0; i < count; i++)
		writer_u64(&writer, tables[i]);
	return finish_table(area, "XSDT", 1, table_length(area, &writer));
}

static void put_rsdp(uint8_t *at, uint64_t xsdt)
{
	struct writer writer = writer_make(at, RSDP_SIZE);

	writer_put(&writer, "RSD PTR ", 8);
	writer_u8(&writer, 0);
	writer_put(&writer, "KARUTA", 6);
	writer_u8(&writer, 2);
	writer_u32(&writer, 0); /* no RSDT */
	writer_u32(&writer, RSDP_SIZE);
	writer_u64(&writer, xsdt);
	writer_u32(&writer, 0);
	set_checksum(at, 20, 8);
	set_checksum(at, RSDP_SIZE, 32);
}

int acpi_build(struct machine *machine)
{
	struct area area = {
		.host = memory_at(&machine->memory, LAYOUT_ACPI, LAYOUT_ACPI_SIZE),
		.address = LAYOUT_ACPI,
		.used = align_up(RSDP_SIZE, TABLE_ALIGN),
		.size = LAYOUT_ACPI_SIZE,
	};
	uint8_t *rsdp = area.host;
	uint64_t dsdt = build_dsdt(&area, machine);
	uint64_t tables[] = {build_fadt(&area, dsdt), build_madt(&area, machine->cpus),
			     build_mcfg(&area)};
	uint64_t xsdt = build_xsdt(&area, tables, ARRAY_LEN(tables));

	if (!dsdt || !tables[0] || !tables[1] || !tables[2] || !xsdt)
		return -ENOSPC;
	put_rsdp(rsdp, xsdt);
	return 0;
}
