/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest without an operating system needs: ports, memory, console, PCI, interrupts. */
#ifndef KARUTA_GUEST_H
#define KARUTA_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ECAM	   0xe8000000ul
#define BAR_HERE   0xd0000000ul
#define LAPIC	   0xfee00000ul
#define VECTOR	   0x40
#define CARD_SLOTS 31u

static inline void outb(uint16_t port, uint8_t value)
{
	asm volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline uint8_t inb(uint16_t port)
{
	uint8_t value;

	asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}

static inline void outl(uint16_t port, uint32_t value)
{
	asm volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline uint32_t inl(uint16_t port)
{
	uint32_t value;

	asm volatile("inl %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}

static inline uint32_t read32(uint64_t address)
{
	uint32_t value;

	asm volatile("movl (%1), %0" : "=r"(value) : "r"(address) : "memory");
	return value;
}

static inline void write32(uint64_t address, uint32_t value)
{
	asm volatile("movl %0, (%1)" : : "r"(value), "r"(address) : "memory");
}

static inline uint64_t read64(uint64_t address)
{
	uint64_t value;

	asm volatile("movq (%1), %0" : "=r"(value) : "r"(address) : "memory");
	return value;
}

static inline void write64(uint64_t address, uint64_t value)
{
	asm volatile("movq %0, (%1)" : : "r"(value), "r"(address) : "memory");
}

static inline uint64_t config(unsigned slot, unsigned offset)
{
	return ECAM + ((uint64_t)slot << 15) + offset;
}

static inline void relax(void)
{
	asm volatile("pause" : : : "memory");
}

extern volatile uint32_t interrupt_count;
extern const char *command_line;

void put(const char *text);
void put_number(uint64_t value);
/* "ok - NAME" or "not ok - NAME". */
void check(const char *name, bool good);
void __attribute__((noreturn)) power_off(void);
/* Interrupts of VECTOR are counted from now on. */
void enable_interrupts(void);
/* Waits for about a second at most. */
bool wait_for_interrupts(uint32_t count);
/* A card's BAR 0 at BAR_HERE + 1 MiB * slot; memory decoding on. */
uint64_t map_bar(unsigned slot);

#endif
