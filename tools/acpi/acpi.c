/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ACPI tables of an instance as the C header that the hypervisor is built with:
 * hardware-reduced (ACPI 6.4, 4.1), for LAYOUT_ACPI. They are the same for every instance but for
 * the window of addresses of 64 bits and the number of processors, which are filled in at places
 * that the header names.
 */
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "base/cursor.h"
#include "bus.h"
#include "dsdt.h"
#include "wire/command.h"
#include "x86/layout.h"

#define HEADER_SIZE 36u
#define RSDP_SIZE   36u
#define FADT_SIZE   276u
#define TABLE_ALIGN 16u

/* The tables lie one behind the other. */
struct area {
	uint8_t *bytes;
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
	uint8_t *table = area->bytes + area->used;
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
	uint8_t *table = area->bytes + area->used;

	memset(table, 0, area->size - area->used);
	return writer_make(table + HEADER_SIZE, area->size - area->used - HEADER_SIZE);
}

static size_t table_length(const struct area *area, const struct writer *writer)
{
	return (size_t)(writer->at - (area->bytes + area->used));
}

static uint64_t build_dsdt(struct area *area, size_t *window64, size_t *length)
{
	struct writer room = begin_table(area);
	struct aml aml = {.bytes = room.at, .size = room.left};

	dsdt_put(&aml, window64);
	*length = HEADER_SIZE + aml.used;
	return aml.failed ? 0 : finish_table(area, "DSDT", 6, *length);
}

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
	uint8_t *table = area->bytes + area->used;
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

/* Processors come last, as many as there can be: the hypervisor makes the table end sooner. */
static uint64_t build_madt(struct area *area, size_t *head)
{
	struct writer writer = begin_table(area);

	writer_u32(&writer, LAYOUT_LAPIC);
	writer_u32(&writer, 0); /* no pair of 8259s */
	writer_put(&writer, (const uint8_t[]){1, 12, 0, 0}, 4);
	writer_u32(&writer, LAYOUT_IOAPIC);
	writer_u32(&writer, 0);						/* its first GSI */
	writer_put(&writer, (const uint8_t[]){4, 6, 0xff, 0, 0, 1}, 6); /* NMI on all: LINT1 */
	*head = table_length(area, &writer);
	for (unsigned i = 0; i < COMMAND_MAX_CPUS; i++) {
		writer_put(&writer, (const uint8_t[]){0, 8, (uint8_t)i, (uint8_t)i}, 4);
		writer_u32(&writer, 1); /* enabled */
	}
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

static void put_place(const char *name, uint64_t value)
{
	printf("#define %s %lluu\n", name, (unsigned long long)value);
}

static void put_bytes(const uint8_t *bytes, size_t count)
{
	printf("\nstatic const unsigned char acpi_tables[] = {");
	for (size_t i = 0; i < count; i++)
		printf("%s0x%02x,", i % 16 ? "" : "\n\t", bytes[i]);
	puts("\n};");
}

int main(void)
{
	static uint8_t bytes[LAYOUT_ACPI_SIZE];
	struct area area = {.bytes = bytes,
			    .address = LAYOUT_ACPI,
			    .used = align_up(RSDP_SIZE, TABLE_ALIGN),
			    .size = sizeof(bytes)};
	size_t window64 = 0, dsdt_length = 0, madt_head = 0;
	uint64_t dsdt = build_dsdt(&area, &window64, &dsdt_length);
	uint64_t tables[] = {build_fadt(&area, dsdt), build_madt(&area, &madt_head),
			     build_mcfg(&area)};
	uint64_t xsdt = build_xsdt(&area, tables, ARRAY_LEN(tables));

	if (!dsdt || !tables[0] || !tables[1] || !tables[2] || !xsdt)
		return 1;
	put_rsdp(bytes, xsdt);
	puts("/* Made by tools/acpi. */");
	put_place("ACPI_DSDT", dsdt - LAYOUT_ACPI);
	put_place("ACPI_DSDT_LENGTH", dsdt_length);
	put_place("ACPI_WINDOW64", dsdt - LAYOUT_ACPI + HEADER_SIZE + window64);
	put_place("ACPI_MADT", tables[1] - LAYOUT_ACPI);
	put_place("ACPI_MADT_HEAD", madt_head);
	put_bytes(bytes, area.used);
	return ferror(stdout) || fflush(stdout);
}
