/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing ACPI Machine Language (ACPI 6.4, chapter 20): just the terms that our one table needs.
 * Things that have a length are opened and closed; the length is filled in at the close. What does
 * not fit sets `failed`.
 */
#ifndef KARUTA_TOOLS_ACPI_AML_H
#define KARUTA_TOOLS_ACPI_AML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AML_DEPTH 8u

struct aml {
	uint8_t *bytes;
	size_t used, size;
	size_t open[AML_DEPTH]; /* where the lengths of what is open are */
	unsigned depth;
	bool failed;
};

enum aml_op {
	AML_LOCAL0 = 0x60,
	AML_LOCAL1 = 0x61,
	AML_STORE = 0x70, /* source, target */
	AML_AND = 0x7b,	  /* operand, operand, target */
	AML_NOTIFY = 0x86,
	AML_NOTHING = 0x00, /* no target */
};

void aml_bytes(struct aml *aml, const void *bytes, size_t length);
void aml_byte(struct aml *aml, unsigned byte);
void aml_word(struct aml *aml, uint16_t value);
void aml_dword(struct aml *aml, uint32_t value);
void aml_qword(struct aml *aml, uint64_t value);
/* An integer term, as short as it gets. */
void aml_integer(struct aml *aml, uint64_t value);
/* One name segment, exactly four characters, or "\\" and four. */
void aml_name(struct aml *aml, const char *name);

void aml_open_scope(struct aml *aml, const char *name);
void aml_open_device(struct aml *aml, const char *name);
void aml_open_method(struct aml *aml, const char *name, unsigned arguments, bool serialized);
void aml_open_if(struct aml *aml);
/* Name (name, Buffer () {resources}): closes with aml_close_resources(). */
void aml_open_resources(struct aml *aml, const char *name);
void aml_close_resources(struct aml *aml);
void aml_close(struct aml *aml);

void aml_named_integer(struct aml *aml, const char *name, uint64_t value);
void aml_named_string(struct aml *aml, const char *name, const char *text);
/* "PNP0A08" in its compressed form. */
void aml_named_id(struct aml *aml, const char *name, const char *id);
/* Package of small integers. */
void aml_named_package(struct aml *aml, const char *name, const uint8_t *values, uint8_t count);
/* A block of I/O ports, and its registers of 32 bits with these names. */
void aml_io_registers(struct aml *aml, const char *region, uint16_t port, const char *const *names,
		      size_t count);

/* Resource descriptors (ACPI 6.4, 6.4). */
void aml_bus_numbers(struct aml *aml, uint16_t first, uint16_t last);
#define AML_WINDOW_HEAD 6u /* bytes before its numbers */
void aml_memory_window(struct aml *aml, uint64_t first, uint64_t size);
void aml_fixed_memory(struct aml *aml, uint32_t address, uint32_t size);
void aml_io_ports(struct aml *aml, uint16_t first, uint8_t count);
void aml_interrupt(struct aml *aml, uint32_t gsi);

#endif
