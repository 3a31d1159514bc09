/* SPDX-License-Identifier: Apache-2.0 */
/* Data by scatter gather lists: all that they may be, and what a hostile guest makes of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "nvme_rig.h"

#define LIST   (RIG_DATA + (2u << 20))
#define REMOTE (RIG_REMOTE - RIG_BASE)

static int set_up(void **context)
{
	static struct rig rig;

	rig_create(&rig, 512);
	rig_start(&rig, 1);
	for (unsigned i = 0; i < RIG_DISK; i++)
		rig.disk[i] = (uint8_t)(i * 7 + i / 509);
	*context = &rig;
	return 0;
}

static int tear_down(void **context)
{
	rig_destroy(*context);
	return 0;
}

static void put(struct rig *rig, uint64_t list, unsigned index, unsigned type, uint64_t address,
		uint64_t length)
{
	struct nvme_sgl entry = {
		.address = address, .length = (uint32_t)length, .type = (uint8_t)type};

	memcpy(rig_at(rig, list + index * sizeof(entry)), &entry, sizeof(entry));
}

static struct nvme_command command(uint8_t opcode, uint32_t blocks, unsigned type, uint64_t address,
				   uint64_t length)
{
	return (struct nvme_command){
		.opcode = opcode,
		.flags = NVME_PSDT_SGL,
		.nsid = 1,
		.prp1 = address,
		.prp2 = length | (uint64_t)type << 56,
		.cdw12 = blocks - 1,
	};
}

static uint16_t do_list(struct rig *rig, uint8_t opcode, uint32_t blocks, unsigned count)
{
	return rig_do(rig, 1,
		      command(opcode, blocks, NVME_SGL_LAST_SEGMENT, LIST, count * UINT64_C(16)));
}

static void one_block(void **context)
{
	struct rig *rig = *context;
	static const uint64_t addresses[] = {RIG_DATA,		RIG_DATA + 4,
					     RIG_DATA + 1,	RIG_DATA + 4095,
					     RIG_DATA + REMOTE, RIG_DATA + REMOTE + 3};

	for (unsigned i = 0; i < 6; i++) {
		uint8_t *bytes = rig_at(rig, addresses[i]);

		memset(bytes, 0, 1u << 20);
		assert_int_equal(
			rig_do(rig, 1,
			       command(NVME_CMD_READ, 2048, NVME_SGL_DATA, addresses[i], 1u << 20)),
			NVME_OK);
		assert_memory_equal(bytes, rig->disk, 1u << 20);
		assert_int_equal(rig_do(rig, 1,
					command(NVME_CMD_COMPARE, 2048, NVME_SGL_DATA, addresses[i],
						1u << 20)),
				 NVME_OK);
		bytes[i] ^= 0xff;
		assert_int_equal(rig_do(rig, 1,
					command(NVME_CMD_WRITE, 2048, NVME_SGL_DATA, addresses[i],
						1u << 20)),
				 NVME_OK);
		assert_memory_equal(bytes, rig->disk, 1u << 20);
	}
}

/* 1, 2, 3 ... bytes, scattered, in a segment of several pages. */
static void pieces_of_every_size(void **context)
{
	struct rig *rig = *context;
	uint32_t count = 0;
	uint64_t at = 0;

	for (; at < 256 * 512; count++) {
		uint64_t length =
			count % 999 + 1 < 256 * 512 - at ? count % 999 + 1 : 256 * 512 - at;

		put(rig, LIST, count, NVME_SGL_DATA, RIG_DATA + at + count * 3, length);
		at += length;
	}
	assert_true(count > 256);
	assert_int_equal(do_list(rig, NVME_CMD_READ, 256, count), NVME_OK);
	at = 0;
	for (unsigned i = 0; i < count; i++) {
		uint64_t length = i + 1 == count ? 256 * 512 - at : i % 999 + 1;

		assert_memory_equal(rig_at(rig, RIG_DATA + at + i * 3), rig->disk + at, length);
		at += length;
	}
	assert_int_equal(do_list(rig, NVME_CMD_COMPARE, 256, count), NVME_OK);
}

static void segments_in_a_row(void **context)
{
	struct rig *rig = *context;

	for (unsigned i = 0; i < 4; i++) {
		put(rig, LIST + i * 64, 0, NVME_SGL_DATA, RIG_DATA + i * 8192, 512);
		put(rig, LIST + i * 64, 1, NVME_SGL_DATA, 0, 0); /* of no bytes, anywhere */
		put(rig, LIST + i * 64, 2, i == 2 ? NVME_SGL_LAST_SEGMENT : NVME_SGL_SEGMENT,
		    LIST + (i + 1) * 64, i == 2 ? 32 : 48);
	}
	assert_int_equal(
		rig_do(rig, 1, command(NVME_CMD_READ, 4, NVME_SGL_SEGMENT, LIST + REMOTE, 48)),
		NVME_OK);
	for (unsigned i = 0; i < 4; i++)
		assert_memory_equal(rig_at(rig, RIG_DATA + i * 8192), rig->disk + i * 512, 512);
}

static void bit_buckets(void **context)
{
	struct rig *rig = *context;
	uint8_t *bytes = rig_at(rig, RIG_DATA);

	put(rig, LIST, 0, NVME_SGL_DATA, RIG_DATA, 100);
	put(rig, LIST, 1, NVME_SGL_BIT_BUCKET, UINT64_MAX, 300);
	put(rig, LIST, 2, NVME_SGL_BIT_BUCKET, 0, 12);
	put(rig, LIST, 3, NVME_SGL_DATA, RIG_DATA + 100, 100);
	memset(bytes, 0xee, 4096);
	assert_int_equal(do_list(rig, NVME_CMD_READ, 1, 4), NVME_OK);
	assert_memory_equal(bytes, rig->disk, 100);
	assert_memory_equal(bytes + 100, rig->disk + 412, 100);
	assert_int_equal(bytes[200], 0xee);
	/* A source cannot be one: the data lacks that much. */
	assert_int_equal(do_list(rig, NVME_CMD_WRITE, 1, 4), NVME_SGL_LENGTH_INVALID);
	put(rig, LIST, 3, NVME_SGL_DATA, RIG_DATA + 512, 412);
	assert_int_equal(do_list(rig, NVME_CMD_WRITE, 1, 4), NVME_OK);
	assert_memory_equal(rig->disk, bytes, 100);
	assert_memory_equal(rig->disk + 100, bytes + 512, 412);
	/* Nothing but a bucket. */
	assert_int_equal(rig_do(rig, 1, command(NVME_CMD_READ, 1, NVME_SGL_BIT_BUCKET, 0, 512)),
			 NVME_OK);
}

static void too_short_and_too_long(void **context)
{
	struct rig *rig = *context;

	assert_int_equal(rig_do(rig, 1, command(NVME_CMD_READ, 1, NVME_SGL_DATA, RIG_DATA, 511)),
			 NVME_SGL_LENGTH_INVALID);
	memset(rig_at(rig, RIG_DATA), 0xee, 1024);
	assert_int_equal(
		rig_do(rig, 1, command(NVME_CMD_READ, 1, NVME_SGL_DATA, RIG_DATA, UINT32_MAX)),
		NVME_OK);
	assert_memory_equal(rig_at(rig, RIG_DATA), rig->disk, 512);
	assert_int_equal(rig_at(rig, RIG_DATA)[512], 0xee);
	put(rig, LIST, 0, NVME_SGL_DATA, RIG_DATA, 256);
	assert_int_equal(do_list(rig, NVME_CMD_READ, 1, 1), NVME_SGL_LENGTH_INVALID);
}

static void bad_lists(void **context)
{
	struct rig *rig = *context;
	static const struct {
		unsigned type;
		uint64_t address, length;
		uint16_t status;
	} cases[] = {
		{NVME_SGL_LAST_SEGMENT, LIST + 4, 16, NVME_SGL_SEGMENT_INVALID},
		{NVME_SGL_LAST_SEGMENT, LIST, 0, NVME_SGL_SEGMENT_INVALID},
		{NVME_SGL_LAST_SEGMENT, LIST, 24, NVME_SGL_SEGMENT_INVALID},
		{NVME_SGL_LAST_SEGMENT, UINT64_MAX - 15, 32, NVME_SGL_SEGMENT_INVALID},
		{NVME_SGL_LAST_SEGMENT, 0, 16, NVME_DATA_TRANSFER_ERROR},
		{NVME_SGL_LAST_SEGMENT, RIG_BASE + RIG_MEMORY - 16, 32, NVME_DATA_TRANSFER_ERROR},
		{NVME_SGL_SEGMENT, LIST, 16, NVME_SGL_SEGMENT_INVALID}, /* leads nowhere */
		{NVME_SGL_DATA, UINT64_MAX - 255, 512, NVME_DATA_TRANSFER_ERROR},
		{NVME_SGL_DATA, RIG_BASE + RIG_MEMORY - 256, 512, NVME_DATA_TRANSFER_ERROR},
		{NVME_SGL_DATA, 0, 512, NVME_DATA_TRANSFER_ERROR},
		{NVME_SGL_DATA | 1, RIG_DATA, 512, NVME_SGL_TYPE_INVALID},
		{0x40, RIG_DATA, 512, NVME_SGL_TYPE_INVALID},
		{0x5a, RIG_DATA, 512, NVME_SGL_TYPE_INVALID},
		{0xf0, RIG_DATA, 512, NVME_SGL_TYPE_INVALID},
		{NVME_SGL_LAST_SEGMENT | 1, LIST, 16, NVME_SGL_TYPE_INVALID},
	};

	put(rig, LIST, 0, NVME_SGL_DATA, RIG_DATA, 512);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(rig_do(rig, 1,
					command(NVME_CMD_READ, 1, cases[i].type, cases[i].address,
						cases[i].length)),
				 cases[i].status);
	assert_int_equal(rig->submitted, 0);
}

static void segments_in_wrong_places(void **context)
{
	struct rig *rig = *context;

	put(rig, LIST, 0, NVME_SGL_LAST_SEGMENT, LIST + 64, 16);
	put(rig, LIST, 1, NVME_SGL_DATA, RIG_DATA, 512);
	put(rig, LIST, 4, NVME_SGL_DATA, RIG_DATA, 512);
	assert_int_equal(do_list(rig, NVME_CMD_READ, 1, 2), NVME_SGL_COUNT_INVALID);
	assert_int_equal(do_list(rig, NVME_CMD_READ, 1, 1), NVME_SGL_SEGMENT_INVALID);
	assert_int_equal(rig_do(rig, 1, command(NVME_CMD_READ, 1, NVME_SGL_SEGMENT, LIST, 16)),
			 NVME_OK);
}

/* In a circle, with and without data; without an end. */
static void lists_without_end(void **context)
{
	struct rig *rig = *context;

	put(rig, LIST, 0, NVME_SGL_SEGMENT, LIST, 16);
	assert_int_equal(rig_do(rig, 1, command(NVME_CMD_READ, 1, NVME_SGL_SEGMENT, LIST, 16)),
			 NVME_SGL_COUNT_INVALID);
	put(rig, LIST, 0, NVME_SGL_DATA, RIG_DATA, 16);
	put(rig, LIST, 1, NVME_SGL_SEGMENT, LIST, 32);
	assert_int_equal(rig_do(rig, 1, command(NVME_CMD_READ, 1, NVME_SGL_SEGMENT, LIST, 32)),
			 NVME_OK);
	for (unsigned i = 0; i < 8192; i++)
		put(rig, LIST, i, NVME_SGL_DATA, RIG_DATA, 0);
	assert_int_equal(do_list(rig, NVME_CMD_READ, 1, 8192), NVME_SGL_COUNT_INVALID);
	assert_int_equal(do_list(rig, NVME_CMD_WRITE, 1, 1), NVME_SGL_LENGTH_INVALID);
	/* More pieces than there can be. */
	for (unsigned i = 0; i < 2049; i++)
		put(rig, LIST, i, NVME_SGL_DATA, RIG_DATA + i * 8, 4);
	assert_int_equal(do_list(rig, NVME_CMD_READ, 16, 2048), NVME_OK);
	assert_int_equal(do_list(rig, NVME_CMD_READ, 17, 2049), NVME_SGL_COUNT_INVALID);
}

static void list_of_ranges(void **context)
{
	struct rig *rig = *context;
	struct nvme_dsm_range range = {.blocks = 4, .lba = 2};
	struct nvme_command deallocate =
		command(NVME_CMD_DATASET_MANAGEMENT, 1, NVME_SGL_DATA, RIG_DATA + 5, 16);

	deallocate.cdw11 = NVME_DSM_AD;
	deallocate.cdw12 = 0;
	memcpy(rig_at(rig, RIG_DATA + 5), &range, sizeof(range));
	assert_int_equal(rig_do(rig, 1, deallocate), NVME_OK);
	assert_int_equal(rig->discards, 1);
	assert_int_equal(rig->disk[1024], 0);
}

/* Base 3.3.3.1: not over PCIe. */
static void no_list_for_admin_commands(void **context)
{
	struct rig *rig = *context;

	assert_int_equal(rig_do(rig, 0,
				(struct nvme_command){.opcode = NVME_ADMIN_IDENTIFY,
						      .flags = NVME_PSDT_SGL,
						      .prp1 = RIG_DATA,
						      .prp2 = 4096,
						      .cdw10 = NVME_CNS_CONTROLLER}),
			 NVME_INVALID_FIELD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_block, set_up, tear_down),
		cmocka_unit_test_setup_teardown(pieces_of_every_size, set_up, tear_down),
		cmocka_unit_test_setup_teardown(segments_in_a_row, set_up, tear_down),
		cmocka_unit_test_setup_teardown(bit_buckets, set_up, tear_down),
		cmocka_unit_test_setup_teardown(too_short_and_too_long, set_up, tear_down),
		cmocka_unit_test_setup_teardown(bad_lists, set_up, tear_down),
		cmocka_unit_test_setup_teardown(segments_in_wrong_places, set_up, tear_down),
		cmocka_unit_test_setup_teardown(lists_without_end, set_up, tear_down),
		cmocka_unit_test_setup_teardown(list_of_ranges, set_up, tear_down),
		cmocka_unit_test_setup_teardown(no_list_for_admin_commands, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("nvme sgl", tests, NULL, NULL);
}
