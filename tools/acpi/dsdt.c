/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "bus.h"
#include "dsdt.h"
#include "events.h"
#include "interrupts.h"
#include "serial.h"
#include "x86/layout.h"

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
static void put_bridge(struct aml *aml, size_t *window64)
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
	*window64 = aml->used + AML_WINDOW_HEAD;
	aml_memory_window(aml, 0, 1);
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

void dsdt_put(struct aml *aml, size_t *window64)
{
	static const char *const registers[] = {"PEND", "INSR", "RMOV", "EJCT"};
	static const uint8_t off[] = {SLEEP_TYPE_OFF, SLEEP_TYPE_OFF, 0, 0};

	aml_named_package(aml, "_S5_", off, ARRAY_LEN(off));
	aml_open_scope(aml, "\\_SB_");
	aml_io_registers(aml, "EVNT", PORT_EVENTS, registers, ARRAY_LEN(registers));
	put_bridge(aml, window64);
	put_ecam(aml);
	put_serial(aml);
	put_button(aml);
	put_events(aml);
	aml_close(aml);
}
