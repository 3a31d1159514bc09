/* SPDX-License-Identifier: Apache-2.0 */
#include "mark.h"

#include <elf.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"
#include "wire/mark.h"

#define MAX_SEGMENTS 64u
#define MAX_NOTES    4096u /* bytes of a segment that are looked at; ours have some hundred */

static bool read_all(int file, void *to, size_t size, uint64_t offset)
{
	return offset <= INT64_MAX && pread(file, to, size, (off_t)offset) == (ssize_t)size;
}

static bool is_mark(const uint8_t *note, const Elf64_Nhdr *header, size_t left)
{
	return header->n_type == MARK_MEASURING && header->n_namesz == sizeof(MARK_NAME) &&
	       left >= sizeof(MARK_NAME) && !memcmp(note, MARK_NAME, sizeof(MARK_NAME));
}

/* Names and descriptors are filled up to double words. */
static bool notes_have_mark(const uint8_t *notes, size_t size)
{
	Elf64_Nhdr header;
	uint64_t at = 0;

	while (at + sizeof(header) <= size) {
		memcpy(&header, notes + at, sizeof(header));
		at += sizeof(header);
		if (is_mark(notes + at, &header, size - at))
			return true;
		at += align_up(header.n_namesz, 4) + align_up(header.n_descsz, 4);
	}
	return false;
}

static bool segment_has_mark(int file, const Elf64_Phdr *segment)
{
	uint8_t notes[MAX_NOTES];
	size_t size = (size_t)min_u64(segment->p_filesz, sizeof(notes));

	return segment->p_type == PT_NOTE && read_all(file, notes, size, segment->p_offset) &&
	       notes_have_mark(notes, size);
}

bool mark_is_measuring(int file)
{
	Elf64_Ehdr header;
	Elf64_Phdr segment;

	if (!read_all(file, &header, sizeof(header), 0) ||
	    memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
	    header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_phentsize != sizeof(segment))
		return false;
	for (uint64_t i = 0; i < min_u64(header.e_phnum, MAX_SEGMENTS); i++) {
		if (!read_all(file, &segment, sizeof(segment),
			      header.e_phoff + i * sizeof(segment)))
			return false;
		if (segment_has_mark(file, &segment))
			return true;
	}
	return false;
}
