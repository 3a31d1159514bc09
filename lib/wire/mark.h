/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a program's file says of itself before it runs: an ELF note (System V ABI, "Note Section")
 * without a descriptor. The measuring build of a card serves without encryption and carries the
 * mark for that, so that the controller never starts it.
 */
#ifndef KARUTA_WIRE_MARK_H
#define KARUTA_WIRE_MARK_H

#include <stdint.h>

#define MARK_NAME      "karuta"
#define MARK_MEASURING 1u

struct mark_note {
	uint32_t name_size, descriptor_size, type;
	char name[8];
};

/* At file scope, once in a program. */
#define MARK_AS_MEASURING                                                                          \
	static const struct mark_note mark_measuring                                               \
		__attribute__((section(".note.karuta"), used, aligned(4))) = {                     \
			sizeof(MARK_NAME), 0, MARK_MEASURING, MARK_NAME}

#endif
