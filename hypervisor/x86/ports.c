/* SPDX-License-Identifier: Apache-2.0 */
/* The I/O ports of an instance: console, events, power. All others read as all ones. */
#include <string.h>

#include "arch.h"
#include "base/base.h"
#include "machine.h"
#include "x86/layout.h"

#define KEYBOARD_COMMAND 0x64
#define KEYBOARD_RESET	 0xfe
#define CHIPSET_RESET	 0xcf9
#define CHIPSET_RESET_GO 0x04

/* Sleep control register (ACPI 6.4, 4.8.3.7): bit 5 enters the state in bits 2 to 4. */
#define SLEEP_ENABLE  0x20u
#define SLEEP_TYPE(v) ((v) >> 2 & 7u)

static bool within(uint16_t port, uint16_t first, uint32_t count)
{
	return port >= first && port - first < (int)count;
}

static void read_port(struct machine *machine, uint16_t port, void *to, uint32_t size)
{
	uint32_t value;

	memset(to, 0xff, size);
	if (within(port, PORT_SERIAL, SERIAL_SIZE)) {
		*(uint8_t *)to = serial_read(&machine->serial, port - PORT_SERIAL);
	} else if (within(port, PORT_EVENTS, EVENTS_SIZE) && size == sizeof(value)) {
		value = events_read(&machine->events, port - PORT_EVENTS);
		memcpy(to, &value, sizeof(value));
	} else if (within(port, PORT_SLEEP_CONTROL, 2)) {
		memset(to, 0, size);
	}
}

static void write_power(struct machine *machine, uint16_t port, uint8_t value)
{
	switch (port) {
	case PORT_SLEEP_CONTROL:
		if (value & SLEEP_ENABLE && SLEEP_TYPE(value) == SLEEP_TYPE_OFF)
			machine_request(machine, REQUEST_POWER_OFF);
		break;
	case PORT_RESET:
		if (value == RESET_VALUE)
			machine_request(machine, REQUEST_RESET);
		break;
	case KEYBOARD_COMMAND:
		if (value == KEYBOARD_RESET)
			machine_request(machine, REQUEST_RESET);
		break;
	case CHIPSET_RESET:
		if (value & CHIPSET_RESET_GO)
			machine_request(machine, REQUEST_RESET);
		break;
	default:
		break;
	}
}

static void write_port(struct machine *machine, uint16_t port, const void *from, uint32_t size)
{
	uint8_t byte = *(const uint8_t *)from;
	uint32_t value;

	if (within(port, PORT_SERIAL, SERIAL_SIZE)) {
		serial_write(&machine->serial, port - PORT_SERIAL, byte);
	} else if (within(port, PORT_EVENTS, EVENTS_SIZE) && size == sizeof(value)) {
		memcpy(&value, from, sizeof(value));
		if (events_write(&machine->events, port - PORT_EVENTS, value))
			machine_request(machine, REQUEST_SLOTS);
	} else {
		write_power(machine, port, byte);
	}
}

void arch_handle_io(struct vcpu *vcpu)
{
	struct machine *machine = vcpu->machine;
	struct kvm_run *run = vcpu->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	uint16_t port = run->io.port;

	status_count(machine->status, STATUS_HV_PIO, 1);
	for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size) {
		if (run->io.direction == KVM_EXIT_IO_OUT)
			write_port(machine, port, data, run->io.size);
		else
			read_port(machine, port, data, run->io.size);
	}
}
