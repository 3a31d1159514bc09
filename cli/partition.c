/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "base/cursor.h"
#include "os/fd.h"
#include "partition.h"

#define MBR_SIZE	 512u
#define MBR_ENTRIES	 446u
#define MBR_SECTOR	 512u
#define MBR_GPT_GUARD	 0xEEu
#define LOGICAL_MAX	 64u
#define GPT_HEADER_SIZE	 92u
#define GPT_ENTRIES_MAX	 256u
#define GPT_ENTRY_MAX	 1024u
#define EXT_SUPER_OFFSET 1024u
#define EXT_MAGIC	 0xEF53u
#define EXT_INCOMPAT_64	 0x80u

/* Given in sectors; one that does not lie within the disk makes the table a damaged one. */
static int add(struct partition_table *table, unsigned number, uint64_t first, uint64_t count,
	       uint64_t disk)
{
	uint64_t start, length;

	if (__builtin_mul_overflow(first, table->sector, &start) ||
	    __builtin_mul_overflow(count, table->sector, &length) || !start ||
	    !range_within(start, length, disk))
		return -EBADMSG;
	if (table->count < PARTITION_MAX)
		table->at[table->count++] = (struct partition){number, start, length};
	return 0;
}

/* ---- GPT ---- */

struct gpt {
	uint64_t entries; /* where, in sectors */
	uint32_t count, entry_size;
};

static bool parse_gpt_header(const uint8_t header[GPT_HEADER_SIZE], struct gpt *gpt)
{
	struct cursor cursor = cursor_make(header, GPT_HEADER_SIZE);

	if (memcmp(cursor_take(&cursor, 8), "EFI PART", 8))
		return false;
	cursor_take(&cursor, 64);
	gpt->entries = cursor_u64(&cursor);
	gpt->count = cursor_u32(&cursor);
	gpt->entry_size = cursor_u32(&cursor);
	return true;
}

/* UEFI 2.10, table 5-6: type and unique GUID, first and last LBA (inclusive). */
static int read_gpt_entry(struct partition_table *table, int fd, uint64_t disk, uint64_t offset,
			  unsigned number)
{
	static const uint8_t unused[16];
	uint8_t entry[48];
	struct cursor cursor = cursor_make(entry, sizeof(entry));
	uint64_t first, last;

	if (!range_within(offset, sizeof(entry), disk) ||
	    os_pread_all(fd, entry, sizeof(entry), offset))
		return -EBADMSG;
	if (!memcmp(cursor_take(&cursor, 16), unused, sizeof(unused)))
		return 0;
	cursor_take(&cursor, 16);
	first = cursor_u64(&cursor);
	last = cursor_u64(&cursor);
	if (last < first || last - first == UINT64_MAX)
		return -EBADMSG;
	return add(table, number, first, last - first + 1, disk);
}

/* The header is in the second sector, whatever size a sector has on this disk. */
static int read_gpt(struct partition_table *table, int fd, uint64_t disk, unsigned sector)
{
	uint8_t header[GPT_HEADER_SIZE];
	struct gpt gpt;
	uint64_t start;
	int result = 0;

	if (!range_within(sector, sizeof(header), disk) ||
	    os_pread_all(fd, header, sizeof(header), sector) || !parse_gpt_header(header, &gpt))
		return -ENOENT;
	table->sector = sector;
	if (gpt.entry_size < 128 || gpt.entry_size > GPT_ENTRY_MAX || gpt.count > GPT_ENTRIES_MAX ||
	    __builtin_mul_overflow(gpt.entries, sector, &start) || start > disk)
		return -EBADMSG;
	for (unsigned i = 0; i < gpt.count && !result; i++)
		result = read_gpt_entry(table, fd, disk, start + (uint64_t)i * gpt.entry_size,
					i + 1);
	return result;
}

/* ---- MBR ---- */

struct mbr_entry {
	uint8_t type;
	uint32_t first, count;
};

static bool parse_mbr(const uint8_t bytes[MBR_SIZE], struct mbr_entry entries[4])
{
	struct cursor cursor = cursor_make(bytes + MBR_ENTRIES, MBR_SIZE - MBR_ENTRIES);

	for (size_t i = 0; i < 4; i++) {
		uint8_t status = cursor_u8(&cursor);

		if (status & 0x7F)
			return false; /* a boot sector of a file system, not a table */
		cursor_take(&cursor, 3);
		entries[i].type = cursor_u8(&cursor);
		cursor_take(&cursor, 3);
		entries[i].first = cursor_u32(&cursor);
		entries[i].count = cursor_u32(&cursor);
	}
	return cursor_u16(&cursor) == 0xAA55;
}

static bool is_extended(uint8_t type)
{
	return type == 0x05 || type == 0x0F || type == 0x85;
}

/* A chain of sectors, each with one logical partition and a link, both relative. */
static int read_logical(struct partition_table *table, int fd, uint64_t disk, uint32_t base)
{
	uint32_t at = base;

	for (unsigned i = 0; i < LOGICAL_MAX; i++) {
		uint64_t offset = (uint64_t)at * MBR_SECTOR;
		uint8_t bytes[MBR_SIZE];
		struct mbr_entry entries[4];
		int result = 0;

		if (!range_within(offset, MBR_SIZE, disk) ||
		    os_pread_all(fd, bytes, MBR_SIZE, offset) || !parse_mbr(bytes, entries))
			return -EBADMSG;
		if (entries[0].type && entries[0].count)
			result = add(table, 5 + i, (uint64_t)at + entries[0].first,
				     entries[0].count, disk);
		if (result || !is_extended(entries[1].type))
			return result;
		if (__builtin_add_overflow(base, entries[1].first, &at))
			return -EBADMSG;
	}
	return -EBADMSG;
}

static int read_mbr(struct partition_table *table, int fd, uint64_t disk,
		    const struct mbr_entry entries[4])
{
	int result = 0;

	table->sector = MBR_SECTOR;
	for (unsigned i = 0; i < 4 && !result; i++) {
		if (!entries[i].type || !entries[i].count)
			continue;
		if (is_extended(entries[i].type))
			result = read_logical(table, fd, disk, entries[i].first);
		else
			result = add(table, i + 1, entries[i].first, entries[i].count, disk);
	}
	return result;
}

int partition_read(struct partition_table *table, int fd, uint64_t size)
{
	uint8_t bytes[MBR_SIZE];
	struct mbr_entry entries[4];
	int result;

	*table = (struct partition_table){.sector = MBR_SECTOR};
	if (size < MBR_SIZE)
		return 0;
	result = os_pread_all(fd, bytes, MBR_SIZE, 0);
	if (result || !parse_mbr(bytes, entries))
		return result;
	if (entries[0].type != MBR_GPT_GUARD)
		return read_mbr(table, fd, size, entries);
	result = read_gpt(table, fd, size, 512);
	if (result == -ENOENT)
		result = read_gpt(table, fd, size, 4096);
	return result == -ENOENT ? -EBADMSG : result;
}

/* ---- ext2, ext3, ext4 ---- */

static void format_uuid(char text[37], const uint8_t uuid[16])
{
	char *at = text;

	for (size_t i = 0; i < 16; i++)
		at += sprintf(at, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
			      uuid[i]);
}

static uint32_t field(const uint8_t *super, size_t offset)
{
	struct cursor cursor = cursor_make(super + offset, 4);

	return cursor_u32(&cursor);
}

/* Offsets as in the kernel's documentation of ext4, "super block". */
bool partition_ext(int fd, uint64_t start, struct ext_super *super)
{
	uint8_t bytes[512];
	uint32_t log_block;
	uint64_t blocks;

	if (range_wraps(start, EXT_SUPER_OFFSET + sizeof(bytes)) ||
	    os_pread_all(fd, bytes, sizeof(bytes), start + EXT_SUPER_OFFSET) ||
	    (field(bytes, 0x38) & 0xFFFF) != EXT_MAGIC)
		return false;
	log_block = field(bytes, 0x18);
	blocks = field(bytes, 0x4);
	if (field(bytes, 0x60) & EXT_INCOMPAT_64)
		blocks |= (uint64_t)field(bytes, 0x150) << 32;
	if (log_block > 6 ||
	    __builtin_mul_overflow(blocks, (uint64_t)1024 << log_block, &super->length))
		return false;
	super->block = 1024u << log_block;
	format_uuid(super->uuid, bytes + 0x68);
	return true;
}
