/* SPDX-License-Identifier: Apache-2.0 */
#include "guest.h"

#define SERIAL 0x3f8

volatile uint32_t interrupt_count;
const char *command_line;

struct gate {
	uint16_t offset0, selector;
	uint8_t ist, type;
	uint16_t offset16;
	uint32_t offset32, reserved;
};
static struct gate gates[256];

void interrupt_entry(void);

void put(const char *text)
{
	for (; *text; text++)
		outb(SERIAL, (uint8_t)*text);
}

void put_number(uint64_t value)
{
	char digits[21];
	unsigned at = 20;

	digits[at] = '\0';
	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	put(digits + at);
}

void check(const char *name, bool good)
{
	put(good ? "ok - " : "not ok - ");
	put(name);
	put("\n");
}

void power_off(void)
{
	outb(0x600, 5 << 2 | 0x20);
	for (;;)
		asm volatile("hlt");
}

void enable_interrupts(void)
{
	uint64_t entry = (uint64_t)interrupt_entry;
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) pointer = {sizeof(gates) - 1, (uint64_t)gates};

	gates[VECTOR] = (struct gate){.offset0 = (uint16_t)entry,
				      .selector = 8,
				      .type = 0x8e,
				      .offset16 = (uint16_t)(entry >> 16),
				      .offset32 = (uint32_t)(entry >> 32)};
	asm volatile("lidt %0" : : "m"(pointer));
	write32(LAPIC + 0xf0, 0x1ff);
	asm volatile("sti");
}

bool wait_for_interrupts(uint32_t count)
{
	for (unsigned i = 0; i < 2000 && interrupt_count < count; i++)
		inb(0x80); /* an exit each: long enough for the card to come round */
	return interrupt_count >= count;
}

uint64_t map_bar(unsigned slot)
{
	uint64_t address = BAR_HERE + ((uint64_t)slot << 20);

	write32(config(slot, 0x10), (uint32_t)address);
	write32(config(slot, 0x04), 0x0006);
	return address;
}
