/* SPDX-License-Identifier: Apache-2.0 */
/* Disks that anybody made: partition tables, superblocks, qcow2 headers, sparse content. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base.h"
#include "cli.h"
#include "content.h"
#include "os/fd.h"
#include "os/sparse.h"
#include "overlay.h"
#include "partition.h"
#include "qcow2.h"

#define DISK (64 * MIB)

static void put(int fd, uint64_t offset, uint64_t value, size_t length)
{
	assert_int_equal(os_pwrite_all(fd, &value, length, offset), 0);
}

static int make_disk(void **state)
{
	int fd = memfd_create("disk", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, DISK), 0);
	*state = (void *)(intptr_t)fd;
	return 0;
}

static int close_disk(void **state)
{
	return close((int)(intptr_t)*state);
}

static int disk_of(void **state)
{
	return (int)(intptr_t)*state;
}

static void mbr_entry(int fd, uint64_t sector, unsigned index, uint8_t type, uint32_t first,
		      uint32_t count)
{
	uint64_t at = sector * 512 + 446 + 16 * index;

	put(fd, at + 4, type, 1);
	put(fd, at + 8, first, 4);
	put(fd, at + 12, count, 4);
	put(fd, sector * 512 + 510, 0xAA55, 2);
}

static void gpt(int fd, unsigned sector, uint64_t entries, uint32_t count, uint32_t entry_size)
{
	mbr_entry(fd, 0, 0, 0xEE, 1, 0xFFFFFFFF);
	assert_int_equal(os_pwrite_all(fd, "EFI PART", 8, sector), 0);
	put(fd, sector + 72, entries, 8);
	put(fd, sector + 80, count, 4);
	put(fd, sector + 84, entry_size, 4);
}

static void gpt_entry(int fd, uint64_t at, uint64_t first, uint64_t last)
{
	put(fd, at, 1, 8);
	put(fd, at + 32, first, 8);
	put(fd, at + 40, last, 8);
}

static int read_table(void **state, struct partition_table *table)
{
	return partition_read(table, disk_of(state), DISK);
}

static void a_disk_without_a_table_has_none(void **state)
{
	struct partition_table table;

	assert_int_equal(read_table(state, &table), 0);
	assert_int_equal(table.count, 0);
}

/* The boot sector of a FAT or NTFS file system ends like a table. */
static void a_boot_sector_is_no_table(void **state)
{
	struct partition_table table;

	put(disk_of(state), 510, 0xAA55, 2);
	put(disk_of(state), 446, 0x6F, 1);
	assert_int_equal(read_table(state, &table), 0);
	assert_int_equal(table.count, 0);
}

static void mbr_partitions_are_found(void **state)
{
	struct partition_table table;

	mbr_entry(disk_of(state), 0, 0, 0x83, 2048, 1024);
	mbr_entry(disk_of(state), 0, 2, 0x83, 4096, 131072 - 4096);
	assert_int_equal(read_table(state, &table), 0);
	assert_int_equal(table.count, 2);
	assert_int_equal(table.sector, 512);
	assert_int_equal(table.at[0].number, 1);
	assert_int_equal(table.at[0].start, MIB);
	assert_int_equal(table.at[0].length, 512 * KIB);
	assert_int_equal(table.at[1].number, 3);
	assert_int_equal(table.at[1].length, 62 * MIB);
}

static void mbr_partitions_lie_within_the_disk(void **state)
{
	struct partition_table table;

	mbr_entry(disk_of(state), 0, 0, 0x83, 4096, 131072 - 4095);
	assert_int_equal(read_table(state, &table), -EBADMSG);
	mbr_entry(disk_of(state), 0, 0, 0x83, 0xFFFFFFFF, 0xFFFFFFFF);
	assert_int_equal(read_table(state, &table), -EBADMSG);
	mbr_entry(disk_of(state), 0, 0, 0x83, 0, 100);
	assert_int_equal(read_table(state, &table), -EBADMSG);
}

static void logical_partitions_are_found(void **state)
{
	struct partition_table table;

	mbr_entry(disk_of(state), 0, 0, 0x05, 2048, 100000);
	mbr_entry(disk_of(state), 2048, 0, 0x83, 8, 1000);
	mbr_entry(disk_of(state), 2048, 1, 0x05, 4096, 2000);
	mbr_entry(disk_of(state), 2048 + 4096, 0, 0x83, 16, 1000);
	assert_int_equal(read_table(state, &table), 0);
	assert_int_equal(table.count, 2);
	assert_int_equal(table.at[0].number, 5);
	assert_int_equal(table.at[0].start, 2056 * 512);
	assert_int_equal(table.at[1].number, 6);
	assert_int_equal(table.at[1].start, (2048 + 4096 + 16) * 512);
}

static void a_chain_of_logical_partitions_ends(void **state)
{
	struct partition_table table;

	mbr_entry(disk_of(state), 0, 0, 0x05, 2048, 100000);
	mbr_entry(disk_of(state), 2048, 0, 0x83, 8, 1000);
	mbr_entry(disk_of(state), 2048, 1, 0x05, 0, 2000);
	assert_int_equal(read_table(state, &table), -EBADMSG);
	mbr_entry(disk_of(state), 2048, 1, 0x05, 0xFFFFFFFF, 2000);
	assert_int_equal(read_table(state, &table), -EBADMSG);
	mbr_entry(disk_of(state), 2048, 1, 0x05, 131072, 2000);
	assert_int_equal(read_table(state, &table), -EBADMSG);
}

static void gpt_partitions_are_found(void **state)
{
	struct partition_table table;

	gpt(disk_of(state), 512, 2, 128, 128);
	gpt_entry(disk_of(state), 1024, 2048, 4095);
	gpt_entry(disk_of(state), 1024 + 14 * 128, 4096, 131071);
	assert_int_equal(read_table(state, &table), 0);
	assert_int_equal(table.count, 2);
	assert_int_equal(table.sector, 512);
	assert_int_equal(table.at[0].length, MIB);
	assert_int_equal(table.at[1].number, 15);
	assert_int_equal(table.at[1].start, 2 * MIB);
	assert_int_equal(table.at[1].length, 62 * MIB);
}

static void gpt_of_large_sectors_is_found(void **state)
{
	struct partition_table table;

	gpt(disk_of(state), 4096, 2, 4, 256);
	gpt_entry(disk_of(state), 8192 + 256, 256, 511);
	assert_int_equal(read_table(state, &table), 0);
	assert_int_equal(table.count, 1);
	assert_int_equal(table.sector, 4096);
	assert_int_equal(table.at[0].number, 2);
	assert_int_equal(table.at[0].start, MIB);
}

static void a_guard_without_gpt_is_damage(void **state)
{
	struct partition_table table;

	mbr_entry(disk_of(state), 0, 0, 0xEE, 1, 0xFFFFFFFF);
	assert_int_equal(read_table(state, &table), -EBADMSG);
}

static void gpt_numbers_are_checked(void **state)
{
	struct partition_table table;
	int fd = disk_of(state);

	gpt_entry(fd, 1024, 2048, 4095);
	gpt(fd, 512, 2, 128, 64);
	assert_int_equal(read_table(state, &table), -EBADMSG);
	gpt(fd, 512, 2, 128, 0xFFFFFFFF);
	assert_int_equal(read_table(state, &table), -EBADMSG);
	gpt(fd, 512, 2, 0xFFFFFFFF, 128);
	assert_int_equal(read_table(state, &table), -EBADMSG);
	gpt(fd, 512, UINT64_MAX, 128, 128);
	assert_int_equal(read_table(state, &table), -EBADMSG);
	gpt(fd, 512, DISK / 512, 128, 128);
	assert_int_equal(read_table(state, &table), -EBADMSG);
	gpt(fd, 512, 2, 128, 128);
	assert_int_equal(read_table(state, &table), 0);
	gpt_entry(fd, 1024, 4095, 2048);
	assert_int_equal(read_table(state, &table), -EBADMSG);
	gpt_entry(fd, 1024, 0, UINT64_MAX);
	assert_int_equal(read_table(state, &table), -EBADMSG);
	gpt_entry(fd, 1024, 2048, 131072);
	assert_int_equal(read_table(state, &table), -EBADMSG);
}

static void a_tiny_disk_is_no_disk(void **state)
{
	struct partition_table table;

	assert_int_equal(partition_read(&table, disk_of(state), 100), 0);
	assert_int_equal(table.count, 0);
	mbr_entry(disk_of(state), 0, 0, 0xEE, 1, 0xFFFFFFFF);
	assert_int_equal(partition_read(&table, disk_of(state), 512), -EBADMSG);
}

static void ext_superblocks_are_known(void **state)
{
	struct ext_super super;
	int fd = disk_of(state);
	static const uint8_t uuid[16] = {0x11, 0x1e, 0x51, 0x51, 0x8b, 0x58, 0x4c, 0x2b,
					 0xb3, 0x90, 0x49, 0x3a, 0x10, 0x00, 0x2e, 0xbc};

	assert_false(partition_ext(fd, 0, &super));
	put(fd, MIB + 1024 + 0x4, 1000, 4);
	put(fd, MIB + 1024 + 0x18, 2, 4);
	put(fd, MIB + 1024 + 0x38, 0xEF53, 2);
	assert_int_equal(os_pwrite_all(fd, uuid, 16, MIB + 1024 + 0x68), 0);
	assert_true(partition_ext(fd, MIB, &super));
	assert_int_equal(super.length, 4096000);
	assert_int_equal(super.block, 4096);
	assert_string_equal(super.uuid, "111e5151-8b58-4c2b-b390-493a10002ebc");
	put(fd, MIB + 1024 + 0x18, 33, 4);
	assert_false(partition_ext(fd, MIB, &super));
	put(fd, MIB + 1024 + 0x18, 6, 4);
	put(fd, MIB + 1024 + 0x60, 0x80, 4);
	put(fd, MIB + 1024 + 0x150, 0xFFFFFFFF, 4);
	assert_false(partition_ext(fd, MIB, &super));
	assert_false(partition_ext(fd, DISK - 1024, &super));
	assert_false(partition_ext(fd, UINT64_MAX - 512, &super));
}

/* A good header of version 3, with one field changed: `length` bytes at `offset`, big endian. */
static int check_qcow2(size_t offset, uint64_t value, size_t length, uint64_t *size,
		       struct error *error)
{
	uint8_t bytes[QCOW2_HEADER_SIZE] = {'Q', 'F', 'I', 0xfb, 0, 0, 0, 3};

	bytes[27] = 1; /* 4 GiB */
	for (size_t i = 0; i < length; i++)
		bytes[offset + i] = (uint8_t)(value >> (8 * (length - 1 - i)));
	return qcow2_check(bytes, sizeof(bytes), size, error);
}

static void qcow2_headers_are_read(void **state)
{
	uint8_t bytes[72] = {'Q', 'F', 'I', 0xfb, 0, 0, 0, 2};
	uint64_t size;
	struct error error;

	(void)state;
	assert_int_equal(check_qcow2(0, 0, 0, &size, &error), 0);
	assert_int_equal(size, 4 * GIB);
	bytes[31] = 255;
	assert_int_equal(qcow2_check(bytes, sizeof(bytes), &size, &error), 0);
	assert_int_equal(size, 255);
	assert_false(qcow2_is_one((const uint8_t *)"QFI", 3));
	assert_false(qcow2_is_one((const uint8_t *)"QFJ\xfb", 4));
}

static void dangerous_qcow2_files_are_refused(void **state)
{
	static const struct {
		size_t offset;
		uint64_t value;
		size_t length;
		const char *word;
	} bad[] = {
		{4, 4, 4, "version"},
		{8, 512, 8, "backing file"},
		{8, (uint64_t)1 << 63, 8, "backing file"},
		{32, 1, 4, "encrypted"},
		{72, 4, 8, "another file"},
		{72, 1u << 5, 8, "features"},
		{24, 0, 8, "64 TiB"},
		{24, UINT64_MAX, 8, "64 TiB"},
	};
	uint64_t size;
	struct error error;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(
			check_qcow2(bad[i].offset, bad[i].value, bad[i].length, &size, &error),
			-EINVAL);
		assert_non_null(strstr(error.text, bad[i].word));
	}
}

static void short_qcow2_headers_are_refused(void **state)
{
	uint8_t bytes[QCOW2_HEADER_SIZE] = {'Q', 'F', 'I', 0xfb, 0, 0, 0, 3, [27] = 1};
	uint64_t size;
	struct error error;

	(void)state;
	for (size_t length = 0; length < QCOW2_HEADER_SIZE; length++)
		assert_int_equal(qcow2_check(bytes, length, &size, &error), -EINVAL);
}

static void data_is_found_between_holes(void **state)
{
	uint64_t start, end;

	put(disk_of(state), 8 * MIB, 1, 1);
	assert_int_equal(os_next_data(disk_of(state), 0, DISK, &start, &end), 0);
	assert_true(start <= 8 * MIB && end > 8 * MIB && start > 0 && end < DISK);
	assert_int_equal(os_next_data(disk_of(state), end, DISK, &start, &end), 0);
	assert_int_equal(start, DISK);
	assert_int_equal(os_next_data(disk_of(state), DISK, DISK, &start, &end), 0);
	assert_int_equal(start, DISK);
}

/* sha256sum of 3 MiB of zeros with "abc" at 2 MiB, and of nothing. */
static void checksums_are_those_of_sha256sum(void **state)
{
	char text[CONTENT_SHA256_TEXT];
	struct error error;

	assert_int_equal(os_pwrite_all(disk_of(state), "abc", 3, 2 * MIB), 0);
	assert_int_equal(content_sha256(disk_of(state), 3 * MIB, text, NULL, &error), 0);
	assert_string_equal(text,
			    "7315aa8b9ac44b1f92ed1d42c88ef98c7503beb933d6b192b86f9b981c6530da");
	assert_int_equal(content_sha256(disk_of(state), 0, text, NULL, &error), 0);
	assert_string_equal(text,
			    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void zeros_are_known(void **state)
{
	uint8_t bytes[4096] = {0};

	(void)state;
	assert_true(content_is_zero(bytes, sizeof(bytes)));
	assert_true(content_is_zero(bytes, 0));
	bytes[0] = 1;
	assert_false(content_is_zero(bytes, sizeof(bytes)));
	bytes[0] = 0;
	bytes[4095] = 1;
	assert_false(content_is_zero(bytes, sizeof(bytes)));
	assert_true(content_is_zero(bytes, 4095));
}

static void copies_stay_in_the_image(void **state)
{
	static const char *const bad[] = {"",	       "/",	    "etc/motd",	  "/etc/",
					  "/..",       "/../a",	    "/a/../b",	  "/a/..",
					  "/..a/../b", "/a/..b/..", "/...../../a"};
	int tar = memfd_create("tar", MFD_CLOEXEC);
	struct error error;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(overlay_add_text(tar, bad[i], 0644, "", &error), -EINVAL);
	assert_int_equal(lseek(tar, 0, SEEK_END), 0);
	assert_int_equal(overlay_add_text(tar, "/..a/b../.c", 0644, "", &error), 0);
	close(tar);
}

static const struct verb *verb_named(const char *name)
{
	const struct verb *verb = file_verbs;

	while (strcmp(verb->name, name))
		verb++;
	return verb;
}

/* With a key of its own; the result of the verb. */
static int export_volume(char *volume, char *raw, struct error *error)
{
	char number[16];
	char *arguments[] = {volume, raw, (char *)"--key-fd", number, NULL};
	struct invocation call;
	uint8_t key[64] = {1};
	int pipe[2];

	assert_int_equal(os_pipe(pipe), 0);
	assert_int_equal(os_write_all(pipe[1], key, sizeof(key)), 0);
	close(pipe[1]);
	snprintf(number, sizeof(number), "%d", pipe[0]);
	assert_int_equal(options_parse(&call, verb_named("export"), arguments, error), 0);
	return call.verb->run(&call, error);
}

/* What changes while it is copied is no copy of anything. */
static void a_volume_in_use_is_not_exported(void **state)
{
	char volume[] = "/tmp/karuta-volume-XXXXXX", raw[sizeof(volume) + 4];
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int fd = mkostemp(volume, O_CLOEXEC);
	struct error error = {0};

	(void)state;
	snprintf(raw, sizeof(raw), "%s.raw", volume);
	assert_int_equal(ftruncate(fd, 8192), 0);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &whole), 0);
	assert_int_equal(export_volume(volume, raw, &error), -EBUSY);
	assert_int_equal(access(raw, F_OK), -1);
	close(fd);
	assert_int_equal(export_volume(volume, raw, &error), 0);
	unlink(raw);
	unlink(volume);
}

#define DISK_TEST(name) cmocka_unit_test_setup_teardown(name, make_disk, close_disk)

int main(void)
{
	const struct CMUnitTest tests[] = {
		DISK_TEST(a_disk_without_a_table_has_none),
		DISK_TEST(a_boot_sector_is_no_table),
		DISK_TEST(mbr_partitions_are_found),
		DISK_TEST(mbr_partitions_lie_within_the_disk),
		DISK_TEST(logical_partitions_are_found),
		DISK_TEST(a_chain_of_logical_partitions_ends),
		DISK_TEST(gpt_partitions_are_found),
		DISK_TEST(gpt_of_large_sectors_is_found),
		DISK_TEST(a_guard_without_gpt_is_damage),
		DISK_TEST(gpt_numbers_are_checked),
		DISK_TEST(a_tiny_disk_is_no_disk),
		DISK_TEST(ext_superblocks_are_known),
		cmocka_unit_test(qcow2_headers_are_read),
		cmocka_unit_test(dangerous_qcow2_files_are_refused),
		cmocka_unit_test(short_qcow2_headers_are_refused),
		DISK_TEST(data_is_found_between_holes),
		DISK_TEST(checksums_are_those_of_sha256sum),
		cmocka_unit_test(zeros_are_known),
		cmocka_unit_test(copies_stay_in_the_image),
		cmocka_unit_test(a_volume_in_use_is_not_exported),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
