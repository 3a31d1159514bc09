/* SPDX-License-Identifier: Apache-2.0 */
/* The least of an ELF file that is marked as a measuring build (wire/mark.h). */
#ifndef KARUTA_TESTS_MARKED_IMAGE_H
#define KARUTA_TESTS_MARKED_IMAGE_H

#include <elf.h>
#include <stddef.h>

#include "wire/mark.h"

struct marked_image {
	Elf64_Ehdr header;
	Elf64_Phdr segments[2];
	struct mark_note other, mark;
};

static const struct marked_image marked_image = {
	.header = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64},
		   .e_phoff = offsetof(struct marked_image, segments),
		   .e_phentsize = sizeof(Elf64_Phdr),
		   .e_phnum = 2},
	.segments = {{.p_type = PT_LOAD, .p_filesz = sizeof(struct marked_image)},
		     {.p_type = PT_NOTE,
		      .p_offset = offsetof(struct marked_image, other),
		      .p_filesz = 2 * sizeof(struct mark_note)}},
	.other = {4, 4, 1, "GNU\0abc"},
	.mark = {sizeof(MARK_NAME), 0, MARK_MEASURING, MARK_NAME},
};

#endif
