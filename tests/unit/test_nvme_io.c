/* SPDX-License-Identifier: Apache-2.0 */
/* The NVM command set over PRPs: data, limits, hostile pointers, late and failing back ends. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "nvme_rig.h"

static int set_up(void **context)
{
	static struct rig rig;

	rig_create(&rig, 512);
	rig_start(&rig, 2);
	*context = &rig;
	return 0;
}

static int tear_down(void **context)
{
	rig_destroy(*context);
	return 0;
}

static void fill(struct rig *rig, uint64_t address, size_t length, unsigned seed)
{
	uint8_t *bytes = rig_at(rig, address);

	for (size_t i = 0; i < length; i++)
		bytes[i] = (uint8_t)(seed + i * 7 + i / 251);
}

static void data_comes_back(struct rig *rig, uint64_t address, uint32_t blocks)
{
	uint64_t length = (uint64_t)blocks * rig->setup.lba_size, back = RIG_DATA + (2u << 20);

	fill(rig, address, length, blocks);
	assert_int_equal(rig_do(rig, 1, rig_io(rig, NVME_CMD_WRITE, 3, blocks, address)), NVME_OK);
	assert_memory_equal(rig->disk + 3 * rig->setup.lba_size, rig_at(rig, address), length);
	assert_int_equal(rig_do(rig, 1, rig_io(rig, NVME_CMD_READ, 3, blocks, back)), NVME_OK);
	assert_memory_equal(rig_at(rig, back), rig_at(rig, address), length);
}

static void data_of_every_size(void **context)
{
	struct rig *rig = *context;
	static const uint32_t blocks[] = {1, 8, 9, 16, 17, 24, 256, 2048};

	for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
		data_comes_back(rig, RIG_DATA, blocks[i]);
		data_comes_back(rig, RIG_DATA + 4092, blocks[i]);
	}
}

static void scattered_pages(void **context)
{
	struct rig *rig = *context;
	struct nvme_command command = rig_io(rig, NVME_CMD_WRITE, 0, 256, RIG_DATA);
	uint64_t *list = (uint64_t *)(void *)rig_at(rig, command.prp2);

	/* Every second page, backwards: nothing can be joined. */
	for (unsigned i = 0; i < 31; i++) {
		list[i] = RIG_DATA + (62 - 2 * i) * 4096;
		fill(rig, list[i], 4096, i);
	}
	assert_int_equal(rig_do(rig, 1, command), NVME_OK);
	for (unsigned i = 0; i < 31; i++)
		assert_memory_equal(rig->disk + (i + 1) * 4096, rig_at(rig, list[i]), 4096);
}

static void list_that_begins_at_the_end_of_a_page(void **context)
{
	struct rig *rig = *context;
	struct nvme_command command = rig_io(rig, NVME_CMD_WRITE, 0, 24, RIG_DATA);
	uint64_t lists = RIG_DATA + (1u << 20);
	uint64_t next = lists + 4096;

	fill(rig, RIG_DATA, 3 * 4096, 1);
	/* The one entry there leads to the list's next page. */
	memcpy(rig_at(rig, lists + 4088), &next, 8);
	memcpy(rig_at(rig, next), &(uint64_t){RIG_DATA + 4096}, 8);
	memcpy(rig_at(rig, next + 8), &(uint64_t){RIG_DATA + 8192}, 8);
	command.prp2 = lists + 4088;
	assert_int_equal(rig_do(rig, 1, command), NVME_OK);
	assert_memory_equal(rig->disk, rig_at(rig, RIG_DATA), 3 * 4096);
}

static void remote_memory(void **context)
{
	struct rig *rig = *context;
	uint64_t remote = RIG_REMOTE + (RIG_DATA - RIG_BASE);

	data_comes_back(rig, remote, 1);
	data_comes_back(rig, remote + 512, 2048);
	assert_true(rig->remote_reads > 0);
	assert_int_equal(rig_do(rig, 1, rig_io(rig, NVME_CMD_READ, 0, 64, remote)), NVME_OK);
	assert_memory_equal(rig_at(rig, remote), rig->disk, 64 * 512);
	assert_true(rig->remote_writes > 0);
}

/* Answers that come while the batch starts make room for what waits: nobody else calls. */
static void room_made_by_the_start_is_used(void **context)
{
	struct rig *rig = *context;
	uint64_t remote = RIG_REMOTE + (RIG_DATA - RIG_BASE);
	struct nvme_completion entry;

	rig->late = true;
	rig->prompt = true;
	for (unsigned i = 0; i < 20; i++)
		rig_submit(rig, 1, rig_io(rig, NVME_CMD_READ, i, 1, remote + i * 4096));
	rig_process(rig);
	for (unsigned i = 0; i < 20; i++)
		assert_true(rig_reap(rig, 1, &entry));
}

/* More transfers than bounce buffers: the rest waits, none is lost. */
static void remote_memory_many_at_once(void **context)
{
	struct rig *rig = *context;
	uint64_t remote = RIG_REMOTE + (RIG_DATA - RIG_BASE);
	struct nvme_completion entry;
	unsigned answers = 0;

	rig->late = true;
	for (unsigned i = 0; i < 40; i++)
		rig_submit(rig, 1, rig_io(rig, NVME_CMD_READ, i, 1, remote));
	rig_process(rig);
	assert_int_equal(rig->waiting_count, 8);
	while (answers < 40) {
		rig_answer(rig, rig->waiting_count - 1, 0);
		rig_process(rig);
		while (rig_reap(rig, 1, &entry))
			answers += entry.status >> 1 == NVME_OK;
	}
	assert_int_equal(rig->waiting_count, 0);
}

/* Their lists are not read again, by messages, each time that one of them ends. */
static void waiting_for_room_is_cheap(void **context)
{
	struct rig *rig = *context;
	uint64_t remote = RIG_REMOTE + (RIG_DATA - RIG_BASE);
	struct nvme_command read = rig_io(rig, NVME_CMD_READ, 0, 32, remote);
	unsigned before;

	read.prp2 += RIG_REMOTE - RIG_BASE;
	rig->late = true;
	for (unsigned i = 0; i < 40; i++)
		rig_submit(rig, 1, read);
	rig_process(rig);
	assert_int_equal(rig->waiting_count, 8);
	before = rig->remote_reads;
	rig_answer(rig, 0, 0);
	rig_process(rig);
	assert_int_equal(rig->waiting_count, 8);
	assert_int_equal(rig->remote_reads, before + 1);
	rig_answer_all(rig);
}

static void bad_pointers(void **context)
{
	struct rig *rig = *context;
	static const struct {
		uint64_t prp1, prp2;
		uint32_t blocks;
		uint16_t status;
	} cases[] = {
		{RIG_DATA + 1, 0, 1, NVME_INVALID_PRP_OFFSET},
		{RIG_DATA + 2, 0, 1, NVME_INVALID_PRP_OFFSET},
		{RIG_DATA, RIG_DATA + 512, 16, NVME_INVALID_PRP_OFFSET},
		{RIG_DATA, RIG_DATA + 4, 32, NVME_INVALID_PRP_OFFSET},
		{0, 0, 1, NVME_DATA_TRANSFER_ERROR},
		{RIG_BASE + RIG_MEMORY - 256, 0, 1, NVME_DATA_TRANSFER_ERROR},
		{RIG_BASE + RIG_MEMORY, 0, 1, NVME_DATA_TRANSFER_ERROR},
		{RIG_BASE - 4096, RIG_DATA, 16, NVME_DATA_TRANSFER_ERROR},
		{RIG_DATA, 0, 16, NVME_DATA_TRANSFER_ERROR},
		{RIG_DATA, UINT64_MAX - 4095, 16, NVME_DATA_TRANSFER_ERROR},
		{UINT64_MAX - 3, 0, 1, NVME_DATA_TRANSFER_ERROR},
		{UINT64_MAX - 4095, 0, 8, NVME_DATA_TRANSFER_ERROR},
		{RIG_DATA, UINT64_MAX - 7, 32, NVME_DATA_TRANSFER_ERROR},
		{RIG_DATA, 0, 32, NVME_DATA_TRANSFER_ERROR},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct nvme_command command = rig_io(rig, NVME_CMD_READ, 0, 1, RIG_DATA);

		command.prp1 = cases[i].prp1;
		command.prp2 = cases[i].prp2;
		command.cdw12 = cases[i].blocks - 1;
		assert_int_equal(rig_do(rig, 1, command), cases[i].status);
	}
	assert_true(rig->events[NVME_EVENT_BAD_POINTER] >= 9);
	assert_int_equal(rig->submitted, 0);
	assert_int_equal(rig_read(rig, NVME_REG_CSTS), NVME_CSTS_RDY);
}

static void list_that_leads_to_itself(void **context)
{
	struct rig *rig = *context;
	struct nvme_command command = rig_io(rig, NVME_CMD_READ, 0, 2048, RIG_DATA);
	uint64_t list = command.prp2;

	for (unsigned i = 0; i < 512; i++)
		memcpy(rig_at(rig, list + i * 8), &list, 8);
	assert_int_equal(rig_do(rig, 1, command), NVME_OK);
	/* From its last entry it goes on at its own begin. */
	for (unsigned i = 0; i < 512; i++)
		memcpy(rig_at(rig, list + i * 8), &list, 8);
	command.prp2 = list + 4088;
	assert_int_equal(rig_do(rig, 1, command), NVME_OK);
}

static void misaligned_entry_in_a_list(void **context)
{
	struct rig *rig = *context;
	struct nvme_command command = rig_io(rig, NVME_CMD_READ, 0, 64, RIG_DATA);

	rig_at(rig, command.prp2 + 16)[0] = 8;
	assert_int_equal(rig_do(rig, 1, command), NVME_INVALID_PRP_OFFSET);
}

static void memory_that_may_not_be_written(void **context)
{
	struct rig *rig = *context;

	rig->late = true;
	rig_submit(rig, 1, rig_io(rig, NVME_CMD_READ, 0, 1, RIG_DATA));
	rig_map(rig, MEM_READ);
	rig_process(rig);
	assert_int_equal(rig->waiting_count, 0);
	/* Not even the answer could be written. */
	assert_true(rig_read(rig, NVME_REG_CSTS) & NVME_CSTS_CFS);
	assert_int_equal(rig->events[NVME_EVENT_FATAL], 1);
}

static void limits(void **context)
{
	struct rig *rig = *context;
	uint64_t blocks = RIG_DISK / 512;

	assert_int_equal(rig_do(rig, 1, rig_io(rig, NVME_CMD_READ, blocks - 1, 1, RIG_DATA)),
			 NVME_OK);
	assert_int_equal(rig_do(rig, 1, rig_io(rig, NVME_CMD_READ, blocks - 1, 2, RIG_DATA)),
			 NVME_LBA_OUT_OF_RANGE);
	assert_int_equal(rig_do(rig, 1, rig_io(rig, NVME_CMD_WRITE, UINT64_MAX, 1, RIG_DATA)),
			 NVME_LBA_OUT_OF_RANGE);
	assert_int_equal(
		rig_do(rig, 1, rig_io(rig, NVME_CMD_WRITE, UINT64_MAX / 512 + 1, 1, RIG_DATA)),
		NVME_LBA_OUT_OF_RANGE);
	assert_int_equal(rig_do(rig, 1, rig_io(rig, NVME_CMD_READ, 0, 2049, RIG_DATA)),
			 NVME_INVALID_FIELD);
}

static void namespaces_and_flags(void **context)
{
	struct rig *rig = *context;
	struct nvme_command command = rig_io(rig, NVME_CMD_READ, 0, 1, RIG_DATA);
	static const uint32_t bad[] = {0, 2, NVME_NSID_ALL};
	uint16_t status;

	for (unsigned i = 0; i < 3; i++) {
		command.nsid = bad[i];
		assert_int_equal(rig_do(rig, 1, command), NVME_INVALID_NAMESPACE);
	}
	command.nsid = 1;
	command.prp2 = 512; /* as an SGL: so many bytes there */
	for (unsigned flags = 1; flags < 256; flags++) {
		command.flags = (uint8_t)flags;
		if (flags % 4 == 1 || flags % 4 == 2)
			status = NVME_MISSING_FUSED;
		else
			status = flags & 0x83 ? NVME_INVALID_FIELD : NVME_OK;
		assert_int_equal(rig_do(rig, 1, command), status);
	}
	command = (struct nvme_command){.opcode = NVME_CMD_FLUSH, .nsid = NVME_NSID_ALL};
	assert_int_equal(rig_do(rig, 1, command), NVME_OK);
	assert_int_equal(rig->flushes, 1);
}

static void force_unit_access(void **context)
{
	struct rig *rig = *context;
	struct nvme_command command = rig_io(rig, NVME_CMD_WRITE, 0, 1, RIG_DATA);

	assert_int_equal(rig_do(rig, 1, command), NVME_OK);
	assert_false(rig->last_fua);
	command.cdw12 |= NVME_RW_FUA;
	assert_int_equal(rig_do(rig, 1, command), NVME_OK);
	assert_true(rig->last_fua);
	assert_int_equal(rig->flushes, 0);
	command.opcode = NVME_CMD_READ;
	assert_int_equal(rig_do(rig, 1, command), NVME_OK);
	assert_int_equal(rig->flushes, 1);
	command.opcode = NVME_CMD_WRITE_ZEROES;
	assert_int_equal(rig_do(rig, 1, command), NVME_OK);
	assert_int_equal(rig->flushes, 2);
}

static void without_write_cache_all_is_durable(void **context)
{
	struct rig *rig = *context;
	struct nvme_command feature = {.opcode = NVME_ADMIN_SET_FEATURES,
				       .cdw10 = NVME_FEATURE_WRITE_CACHE};

	assert_int_equal(rig_do(rig, 0, feature), NVME_OK);
	assert_int_equal(rig_do(rig, 1, rig_io(rig, NVME_CMD_WRITE, 0, 1, RIG_DATA)), NVME_OK);
	assert_true(rig->last_fua);
	assert_int_equal(rig_do(rig, 1, rig_io(rig, NVME_CMD_WRITE_ZEROES, 0, 1, 0)), NVME_OK);
	assert_int_equal(rig->flushes, 1);
}

static void zeroes(void **context)
{
	struct rig *rig = *context;
	uint8_t none[512 * 6] = {0};

	memset(rig->disk, 0xee, 16 * 512);
	assert_int_equal(rig_do(rig, 1, rig_io(rig, NVME_CMD_WRITE_ZEROES, 1, 6, 0)), NVME_OK);
	assert_int_equal(rig->disk[511], 0xee);
	assert_memory_equal(rig->disk + 512, none, sizeof(none));
	assert_int_equal(rig->disk[7 * 512], 0xee);
	/* Without data there is no MDTS. */
	assert_int_equal(rig_do(rig, 1, rig_io(rig, NVME_CMD_WRITE_ZEROES, 0, RIG_DISK / 512, 0)),
			 NVME_OK);
}

static struct nvme_command dataset(struct rig *rig, unsigned count, unsigned attributes)
{
	struct nvme_dsm_range *ranges = (void *)rig_at(rig, RIG_DATA);

	for (unsigned i = 0; i < count; i++)
		ranges[i] = (struct nvme_dsm_range){.blocks = 1, .lba = i * 2};
	return (struct nvme_command){
		.opcode = NVME_CMD_DATASET_MANAGEMENT,
		.nsid = 1,
		.prp1 = RIG_DATA,
		.cdw10 = count - 1,
		.cdw11 = attributes,
	};
}

static void deallocate(void **context)
{
	struct rig *rig = *context;
	struct nvme_dsm_range *ranges = (void *)rig_at(rig, RIG_DATA);
	struct nvme_command command;

	memset(rig->disk, 0xee, RIG_DISK);
	assert_int_equal(rig_do(rig, 1, dataset(rig, 256, NVME_DSM_AD)), NVME_OK);
	assert_int_equal(rig->discards, 256);
	assert_int_equal(rig->disk[255 * 1024], 0);
	assert_int_equal(rig->disk[255 * 1024 + 512], 0xee);
	/* One bad range and nothing is done; the other attributes are only hints. */
	command = dataset(rig, 3, NVME_DSM_AD);
	ranges[2].lba = RIG_DISK / 512;
	assert_int_equal(rig_do(rig, 1, command), NVME_LBA_OUT_OF_RANGE);
	assert_int_equal(rig_do(rig, 1, dataset(rig, 3, 3)), NVME_OK);
	assert_int_equal(rig->discards, 256);
	rig->late = true;
	assert_int_equal(rig_do(rig, 1, dataset(rig, 10, NVME_DSM_AD)), NVME_OK);
	assert_int_equal(rig->discards, 266);
}

static void errors_of_the_back_end(void **context)
{
	struct rig *rig = *context;
	static const struct {
		int error;
		uint8_t opcode;
		uint16_t status;
	} cases[] = {
		{-EIO, NVME_CMD_READ, NVME_UNRECOVERED_READ},
		{-EIO, NVME_CMD_WRITE, NVME_WRITE_FAULT},
		{-EIO, NVME_CMD_FLUSH, NVME_WRITE_FAULT},
		{-ENOSPC, NVME_CMD_WRITE, NVME_CAPACITY_EXCEEDED},
		{-EROFS, NVME_CMD_WRITE, NVME_WRITE_PROTECTED},
		{-ENOMEM, NVME_CMD_READ, NVME_INTERNAL_ERROR},
	};

	for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
		size_t at = i % (sizeof(cases) / sizeof(cases[0]));

		rig->late = i != at;
		rig->fail = cases[at].error;
		rig->fail_count = 1;
		assert_int_equal(rig_do(rig, 1, rig_io(rig, cases[at].opcode, 0, 1, RIG_DATA)),
				 cases[at].status);
	}
	assert_int_equal(rig_do(rig, 1, rig_io(rig, NVME_CMD_READ, 0, 1, RIG_DATA)), NVME_OK);
}

/* A row that fails in its middle ends there, with one answer. */
static void error_within_a_row(void **context)
{
	struct rig *rig = *context;
	struct nvme_completion entry;

	rig->late = true;
	rig_submit(rig, 1, dataset(rig, 5, NVME_DSM_AD));
	rig_process(rig);
	rig_answer(rig, 0, 0);
	rig_answer(rig, 0, -EIO);
	assert_int_equal(rig->waiting_count, 0);
	assert_true(rig_reap(rig, 1, &entry));
	assert_int_equal(entry.status >> 1, NVME_WRITE_FAULT);
	assert_false(rig_reap(rig, 1, &entry));
}

static void answers_in_another_order(void **context)
{
	struct rig *rig = *context;
	struct nvme_completion entry;
	uint16_t cid[4];

	rig->late = true;
	for (unsigned i = 0; i < 4; i++)
		cid[i] = rig_submit(rig, 1, rig_io(rig, NVME_CMD_READ, i, 1, RIG_DATA));
	rig_process(rig);
	assert_int_equal(rig->kicks, 1);
	rig_answer(rig, 2, 0);
	rig_answer(rig, 0, -EIO);
	assert_true(rig_reap(rig, 1, &entry));
	assert_int_equal(entry.cid, cid[2]);
	assert_int_equal(entry.sq_head, 4);
	assert_int_equal(entry.sq_id, 1);
	assert_true(rig_reap(rig, 1, &entry));
	assert_int_equal(entry.cid, cid[0]);
	assert_int_equal(entry.status >> 1, NVME_UNRECOVERED_READ);
	rig_answer(rig, 1, 0);
	rig_answer(rig, 0, 0);
	assert_true(rig_reap(rig, 1, &entry));
	assert_int_equal(entry.cid, cid[3]);
	assert_true(rig_reap(rig, 1, &entry));
	assert_int_equal(entry.cid, cid[1]);
}

static void every_opcode_has_one_answer(void **context)
{
	struct rig *rig = *context;
	struct nvme_completion entry;

	for (unsigned opcode = 0; opcode < 256; opcode++) {
		struct nvme_command command = rig_io(rig, (uint8_t)opcode, 0, 1, RIG_DATA);
		uint16_t status = NVME_OK;

		memset(rig_at(rig, RIG_DATA), 0, 4096);
		if (!strchr("\1\2\5\x8\x9\xc\x19", (int)opcode))
			status = NVME_INVALID_OPCODE;
		else if (opcode == NVME_CMD_COPY) /* of a block to itself */
			status = NVME_INVALID_FIELD;
		assert_int_equal(rig_do(rig, 1, command), status);
		assert_false(rig_reap(rig, 1, &entry));
	}
	assert_int_equal(rig->events[NVME_EVENT_FORBIDDEN_COMMAND], 128);
	assert_int_equal(rig->last_event[NVME_EVENT_FORBIDDEN_COMMAND], 255);
}

static void one_interrupt_a_batch(void **context)
{
	struct rig *rig = *context;

	memset(rig->interrupts, 0, sizeof(rig->interrupts));
	for (unsigned i = 0; i < 10; i++) {
		rig_submit(rig, 1, rig_io(rig, NVME_CMD_READ, 0, 1, RIG_DATA));
		rig_submit(rig, 2, rig_io(rig, NVME_CMD_READ, 0, 1, RIG_DATA));
	}
	rig_process(rig);
	assert_int_equal(rig->interrupts[0], 0);
	assert_int_equal(rig->interrupts[1], 1);
	assert_int_equal(rig->interrupts[2], 1);
}

/* Whenever answers come, an interrupt tells of them without a further call. */
static void interrupts_of_late_answers(void **context)
{
	struct rig *rig = *context;
	unsigned before = rig->interrupts[1];

	rig->late = true;
	for (unsigned i = 0; i < 3; i++)
		rig_submit(rig, 1, rig_io(rig, NVME_CMD_READ, 0, 1, RIG_DATA));
	rig_process(rig);
	assert_int_equal(rig->interrupts[1], before);
	rig_answer(rig, 0, 0);
	assert_int_equal(rig->interrupts[1], before + 1);
	/* And one of all that are ready when the controller looks by itself. */
	rig->eager = true;
	rig_process(rig);
	assert_int_equal(rig->waiting_count, 0);
	assert_int_equal(rig->interrupts[1], before + 2);
}

/* The requests of a row are each begun at once, whoever brings the answers. */
static void rows_go_on_without_a_call(void **context)
{
	struct rig *rig = *context;
	unsigned kicks;

	rig->late = true;
	rig_submit(rig, 1, dataset(rig, 3, NVME_DSM_AD));
	rig_process(rig);
	kicks = rig->kicks;
	rig_answer(rig, 0, 0);
	assert_int_equal(rig->kicks, kicks + 1);
	rig->eager = true;
	rig_process(rig);
	assert_int_equal(rig->discards, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(data_of_every_size, set_up, tear_down),
		cmocka_unit_test_setup_teardown(scattered_pages, set_up, tear_down),
		cmocka_unit_test_setup_teardown(list_that_begins_at_the_end_of_a_page, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(remote_memory, set_up, tear_down),
		cmocka_unit_test_setup_teardown(room_made_by_the_start_is_used, set_up, tear_down),
		cmocka_unit_test_setup_teardown(waiting_for_room_is_cheap, set_up, tear_down),
		cmocka_unit_test_setup_teardown(remote_memory_many_at_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(bad_pointers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(list_that_leads_to_itself, set_up, tear_down),
		cmocka_unit_test_setup_teardown(misaligned_entry_in_a_list, set_up, tear_down),
		cmocka_unit_test_setup_teardown(memory_that_may_not_be_written, set_up, tear_down),
		cmocka_unit_test_setup_teardown(limits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(namespaces_and_flags, set_up, tear_down),
		cmocka_unit_test_setup_teardown(force_unit_access, set_up, tear_down),
		cmocka_unit_test_setup_teardown(without_write_cache_all_is_durable, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(zeroes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(deallocate, set_up, tear_down),
		cmocka_unit_test_setup_teardown(errors_of_the_back_end, set_up, tear_down),
		cmocka_unit_test_setup_teardown(error_within_a_row, set_up, tear_down),
		cmocka_unit_test_setup_teardown(answers_in_another_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(every_opcode_has_one_answer, set_up, tear_down),
		cmocka_unit_test_setup_teardown(interrupts_of_late_answers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(rows_go_on_without_a_call, set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_interrupt_a_batch, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("nvme io", tests, NULL, NULL);
}
