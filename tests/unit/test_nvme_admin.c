/* SPDX-License-Identifier: Apache-2.0 */
/* Admin commands: queues, identify, features, log pages, events, abort, and what is refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "nvme_rig.h"

static int set_up(void **context)
{
	static struct rig rig;

	rig_create(&rig, 4096);
	rig_enable(&rig);
	*context = &rig;
	return 0;
}

static int tear_down(void **context)
{
	rig_destroy(*context);
	return 0;
}

static uint16_t admin(struct rig *rig, uint8_t opcode, uint32_t cdw10, uint32_t cdw11)
{
	return rig_do(rig, 0,
		      (struct nvme_command){
			      .opcode = opcode,
			      .prp1 = RIG_DATA,
			      .cdw10 = cdw10,
			      .cdw11 = cdw11,
		      });
}

static uint16_t identify(struct rig *rig, uint32_t cns, uint32_t nsid, uint32_t csi)
{
	memset(rig_at(rig, RIG_DATA), 0xff, 4096);
	return rig_do(rig, 0,
		      (struct nvme_command){
			      .opcode = NVME_ADMIN_IDENTIFY,
			      .nsid = nsid,
			      .prp1 = RIG_DATA,
			      .cdw10 = cns,
			      .cdw11 = csi << 24,
		      });
}

/* ---- queues ---- */

static uint16_t create(struct rig *rig, uint8_t opcode, uint64_t prp1, uint32_t cdw10,
		       uint32_t cdw11)
{
	return rig_do(rig, 0,
		      (struct nvme_command){
			      .opcode = opcode, .prp1 = prp1, .cdw10 = cdw10, .cdw11 = cdw11});
}

static void completion_queues(void **context)
{
	struct rig *rig = *context;
	static const struct {
		uint64_t prp1;
		uint32_t cdw10, cdw11;
		uint16_t status;
	} cases[] = {
		{RIG_DATA, 63 << 16, 1, NVME_INVALID_QUEUE_ID},
		{RIG_DATA, 63 << 16 | 17, 1, NVME_INVALID_QUEUE_ID},
		{RIG_DATA, 63 << 16 | 0xffff, 1, NVME_INVALID_QUEUE_ID},
		{RIG_DATA, 1, 1, NVME_INVALID_QUEUE_SIZE},
		{RIG_DATA, NVME_QUEUE_DEPTH << 16 | 1, 1, NVME_INVALID_QUEUE_SIZE},
		{RIG_DATA, 0xffffu << 16 | 1, 1, NVME_INVALID_QUEUE_SIZE},
		{RIG_DATA, 63 << 16 | 1, 0, NVME_INVALID_FIELD},
		{RIG_DATA + 64, 63 << 16 | 1, 1, NVME_INVALID_PRP_OFFSET},
		{UINT64_MAX - 4095, 1023 << 16 | 1, 1, NVME_INVALID_FIELD},
		{RIG_DATA, 63 << 16 | 1, 17 << 16 | 1, NVME_INVALID_VECTOR},
		{RIG_DATA, 63 << 16 | 16, 16 << 16 | 3, NVME_OK},
		{RIG_DATA, 63 << 16 | 16, 16 << 16 | 3, NVME_INVALID_QUEUE_ID},
		{RIG_DATA, (NVME_QUEUE_DEPTH - 1) << 16 | 1, 1, NVME_OK},
		{RIG_DATA, 1 << 16 | 2, 1, NVME_OK},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(create(rig, NVME_ADMIN_CREATE_CQ, cases[i].prp1, cases[i].cdw10,
					cases[i].cdw11),
				 cases[i].status);
}

static void submission_queues(void **context)
{
	struct rig *rig = *context;
	static const struct {
		uint64_t prp1;
		uint32_t cdw10, cdw11;
		uint16_t status;
	} cases[] = {
		{RIG_DATA, 63 << 16, 1 << 16 | 1, NVME_INVALID_QUEUE_ID},
		{RIG_DATA, 63 << 16 | 17, 1 << 16 | 1, NVME_INVALID_QUEUE_ID},
		{RIG_DATA, 63 << 16 | 1, 1, NVME_INVALID_QUEUE_ID},
		{RIG_DATA, 63 << 16 | 1, 17 << 16 | 1, NVME_INVALID_QUEUE_ID},
		{RIG_DATA, 63 << 16 | 1, 2 << 16 | 1, NVME_CQ_INVALID},
		{RIG_DATA, 1, 1 << 16 | 1, NVME_INVALID_QUEUE_SIZE},
		{RIG_DATA, NVME_QUEUE_DEPTH << 16 | 1, 1 << 16 | 1, NVME_INVALID_QUEUE_SIZE},
		{RIG_DATA, 63 << 16 | 1, 1 << 16, NVME_INVALID_FIELD},
		{RIG_DATA + 8, 63 << 16 | 1, 1 << 16 | 1, NVME_INVALID_PRP_OFFSET},
		{RIG_DATA, 63 << 16 | 1, 1 << 16 | 1, NVME_OK},
		{RIG_DATA, 63 << 16 | 1, 1 << 16 | 1, NVME_INVALID_QUEUE_ID},
		{RIG_DATA, 63 << 16 | 2, 1 << 16 | 1, NVME_OK},
	};

	assert_int_equal(rig_create_cq(rig, 1, 64, 1), NVME_OK);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(create(rig, NVME_ADMIN_CREATE_SQ, cases[i].prp1, cases[i].cdw10,
					cases[i].cdw11),
				 cases[i].status);
}

static void entry_sizes_come_first(void **context)
{
	struct rig *rig = *context;

	rig_write(rig, NVME_REG_CC, NVME_CC_EN);
	assert_int_equal(rig_create_cq(rig, 1, 64, 1), NVME_INVALID_QUEUE_SIZE);
	rig_write(rig, NVME_REG_CC, NVME_CC_EN | NVME_CQES << 20);
	assert_int_equal(rig_create_cq(rig, 1, 64, 1), NVME_OK);
	assert_int_equal(rig_create_sq(rig, 1, 64, 1), NVME_INVALID_QUEUE_SIZE);
}

static void deletion(void **context)
{
	struct rig *rig = *context;

	assert_int_equal(admin(rig, NVME_ADMIN_DELETE_SQ, 0, 0), NVME_INVALID_QUEUE_ID);
	assert_int_equal(admin(rig, NVME_ADMIN_DELETE_CQ, 0, 0), NVME_INVALID_QUEUE_ID);
	assert_int_equal(admin(rig, NVME_ADMIN_DELETE_SQ, 1, 0), NVME_INVALID_QUEUE_ID);
	assert_int_equal(admin(rig, NVME_ADMIN_DELETE_CQ, 99, 0), NVME_INVALID_QUEUE_ID);
	rig_create_cq(rig, 1, 64, 1);
	rig_create_sq(rig, 1, 64, 1);
	assert_int_equal(admin(rig, NVME_ADMIN_DELETE_CQ, 1, 0), NVME_INVALID_QUEUE_DELETION);
	assert_int_equal(admin(rig, NVME_ADMIN_DELETE_SQ, 1, 0), NVME_OK);
	assert_int_equal(admin(rig, NVME_ADMIN_DELETE_SQ, 1, 0), NVME_INVALID_QUEUE_ID);
	assert_int_equal(admin(rig, NVME_ADMIN_DELETE_CQ, 1, 0), NVME_OK);
	assert_int_equal(rig_create_cq(rig, 1, 64, 1), NVME_OK);
	assert_int_equal(rig_create_sq(rig, 1, 64, 1), NVME_OK);
	assert_int_equal(rig_do(rig, 1, rig_io(rig, NVME_CMD_READ, 0, 1, RIG_DATA)), NVME_OK);
}

/* Nothing else rings: what nvme_process() leaves to be done, it has to ask for itself. */
static void deletion_of_an_idle_queue_ends(void **context)
{
	struct rig *rig = *context;
	struct nvme_completion entry;

	rig_create_cq(rig, 1, 64, 1);
	rig_create_sq(rig, 1, 64, 1);
	rig_submit(rig, 0, (struct nvme_command){.opcode = NVME_ADMIN_DELETE_SQ, .cdw10 = 1});
	rig_process(rig);
	assert_true(rig_reap(rig, 0, &entry));
	assert_int_equal(entry.status >> 1, NVME_OK);
}

static void deletion_waits_for_commands(void **context)
{
	struct rig *rig = *context;
	struct nvme_command delete = {.opcode = NVME_ADMIN_DELETE_SQ, .cdw10 = 1};
	struct nvme_completion entry;

	rig_create_cq(rig, 1, 64, 1);
	rig_create_sq(rig, 1, 64, 1);
	rig->late = true;
	rig_submit(rig, 1, rig_io(rig, NVME_CMD_READ, 0, 1, RIG_DATA));
	rig_process(rig);
	rig_submit(rig, 0, delete);
	rig_process(rig);
	assert_false(rig_reap(rig, 0, &entry));
	rig_answer_all(rig);
	assert_true(rig_reap(rig, 1, &entry));
	rig_process(rig);
	assert_true(rig_reap(rig, 0, &entry));
	assert_int_equal(entry.status >> 1, NVME_OK);
}

/* ---- identify ---- */

static void identify_controller(void **context)
{
	struct rig *rig = *context;
	const struct nvme_identify_controller *id = (void *)rig_at(rig, RIG_DATA);

	assert_int_equal(identify(rig, NVME_CNS_CONTROLLER, 0, 0), NVME_OK);
	assert_int_equal(id->vid, 0x4b52);
	assert_memory_equal(id->fr, "1.0     ", 8);
	assert_int_equal(id->mdts, NVME_MDTS);
	assert_int_equal(id->ver, NVME_VERSION);
	assert_int_equal(id->sqes, 0x66);
	assert_int_equal(id->cqes, 0x44);
	assert_int_equal(id->nn, 1);
	assert_int_equal(id->oacs, NVME_OACS_DOORBELL_BUFFERS);
	assert_int_equal(id->oncs, 0x1dd); /* not Write Uncorrectable, not reservations */
	assert_int_equal(id->ocfs, 1);
	assert_int_equal(id->fuses, 1);
	/* One block each: what the store below writes at once. */
	assert_int_equal(id->awun, 0);
	assert_int_equal(id->awupf, 0);
	assert_int_equal(id->acwu, 0);
	assert_int_equal(id->sgls, 0x50001);
	assert_string_equal(id->subnqn, "nqn.2014-08.org.nvmexpress:uuid:"
					"5a5a5a5a-5a5a-5a5a-5a5a-5a5a5a5a5a5a");
}

static void identify_namespace(void **context)
{
	struct rig *rig = *context;
	const struct nvme_identify_namespace *id = (void *)rig_at(rig, RIG_DATA);

	assert_int_equal(identify(rig, NVME_CNS_NAMESPACE, 1, 0), NVME_OK);
	assert_int_equal(id->nsze, RIG_DISK / 4096);
	assert_int_equal(id->lbaf[0].lbads, 12);
	assert_int_equal(id->mssrl, 256);
	assert_int_equal(id->mcl, 256);
	assert_int_equal(id->msrc, 127);
	assert_int_equal(id->nguid[15], 0x5a);
	assert_int_equal(identify(rig, NVME_CNS_NAMESPACE, 0, 0), NVME_INVALID_NAMESPACE);
	assert_int_equal(identify(rig, NVME_CNS_NAMESPACE, 2, 0), NVME_INVALID_NAMESPACE);
	assert_int_equal(identify(rig, NVME_CNS_NAMESPACE, NVME_NSID_ALL, 0),
			 NVME_INVALID_NAMESPACE);
}

static void identify_lists(void **context)
{
	struct rig *rig = *context;
	uint8_t *page = rig_at(rig, RIG_DATA);

	assert_int_equal(identify(rig, NVME_CNS_ACTIVE_LIST, 0, 0), NVME_OK);
	assert_memory_equal(page, "\1\0\0\0\0\0\0\0", 8);
	assert_int_equal(identify(rig, NVME_CNS_ACTIVE_LIST, 1, 0), NVME_OK);
	assert_memory_equal(page, "\0\0\0\0\0\0\0\0", 8);
	assert_int_equal(identify(rig, NVME_CNS_ACTIVE_LIST, NVME_NSID_ALL, 0),
			 NVME_INVALID_NAMESPACE);
	assert_int_equal(identify(rig, NVME_CNS_DESCRIPTORS, 1, 0), NVME_OK);
	assert_memory_equal(page, "\2\x10\0\0\x5a", 5);
	assert_memory_equal(page + 20, "\4\1\0\0\0\0\0\0\0", 9);
	assert_int_equal(identify(rig, NVME_CNS_CSI_CONTROLLER, 0, 0), NVME_OK);
	assert_int_equal(identify(rig, NVME_CNS_CSI_CONTROLLER, 0, 2), NVME_INVALID_FIELD);
	assert_int_equal(identify(rig, NVME_CNS_CSI_NAMESPACE, 1, 0), NVME_OK);
	assert_int_equal(identify(rig, NVME_CNS_INDEPENDENT_NAMESPACE, 1, 0), NVME_OK);
	assert_int_equal(page[14], 1);
	assert_int_equal(identify(rig, NVME_CNS_COMMAND_SETS, 0, 0), NVME_OK);
	assert_int_equal(page[0], 1);
}

static void identify_others(void **context)
{
	struct rig *rig = *context;
	const char *known = "\0\1\2\3\5\6\7\10\34";

	for (unsigned cns = 0; cns < 256; cns++)
		if (!memchr(known, (int)cns, 9))
			assert_int_equal(identify(rig, cns, 1, 0), NVME_INVALID_FIELD);
}

/* ---- features ---- */

static uint32_t get_feature(struct rig *rig, uint32_t cdw10, uint32_t cdw11)
{
	uint32_t result = 0;
	uint16_t status;

	status = rig_do_result(rig, 0,
			       (struct nvme_command){.opcode = NVME_ADMIN_GET_FEATURES,
						     .nsid = 1,
						     .prp1 = RIG_DATA,
						     .cdw10 = cdw10,
						     .cdw11 = cdw11},
			       &result);
	assert_int_equal(status, NVME_OK);
	return result;
}

static void features(void **context)
{
	struct rig *rig = *context;
	uint8_t set = NVME_ADMIN_SET_FEATURES;
	uint32_t cache = NVME_FEATURE_WRITE_CACHE, vector = NVME_FEATURE_VECTOR;

	assert_int_equal(get_feature(rig, NVME_FEATURE_QUEUES, 0), 15 << 16 | 15);
	assert_int_equal(admin(rig, set, NVME_FEATURE_QUEUES, 0xffff), NVME_INVALID_FIELD);
	assert_int_equal(admin(rig, set, NVME_FEATURE_QUEUES, 0), NVME_OK);
	assert_int_equal(get_feature(rig, cache, 0), 1);
	assert_int_equal(admin(rig, set, cache, 0), NVME_OK);
	assert_int_equal(get_feature(rig, cache, 0), 0);
	assert_int_equal(get_feature(rig, cache | 1 << 8, 0), 1);
	assert_int_equal(get_feature(rig, cache | 3 << 8, 0), 4);
	assert_int_equal(admin(rig, set, cache | 1u << 31, 0), NVME_NOT_SAVEABLE);
	assert_int_equal(admin(rig, set, vector, 1 << 16 | 16), NVME_OK);
	assert_int_equal(get_feature(rig, vector, 16), 1 << 16 | 16);
	assert_int_equal(admin(rig, set, vector, 17), NVME_INVALID_FIELD);
	assert_int_equal(admin(rig, set, NVME_FEATURE_POWER, 1), NVME_INVALID_FIELD);
	assert_int_equal(admin(rig, set, NVME_FEATURE_COMMAND_SET, 1), 0x412b);
	assert_int_equal(admin(rig, set, NVME_FEATURE_ERROR_RECOVERY, 1), NVME_INVALID_NAMESPACE);
	rig_create_cq(rig, 1, 64, 1);
	assert_int_equal(admin(rig, set, NVME_FEATURE_QUEUES, 0), NVME_COMMAND_SEQUENCE_ERROR);
}

static void features_that_are_not(void **context)
{
	struct rig *rig = *context;
	const char *known = "\1\2\4\5\6\7\10\11\12\13\16\26\31\201";

	for (unsigned id = 0; id < 256; id++) {
		if (memchr(known, (int)id, 14))
			continue;
		assert_int_equal(admin(rig, NVME_ADMIN_GET_FEATURES, id, 0), NVME_INVALID_FIELD);
		assert_int_equal(admin(rig, NVME_ADMIN_SET_FEATURES, id, 0), NVME_INVALID_FIELD);
	}
}

static void timestamp(void **context)
{
	struct rig *rig = *context;
	uint64_t value = 5000000;

	memcpy(rig_at(rig, RIG_DATA), &value, sizeof(value));
	assert_int_equal(admin(rig, NVME_ADMIN_SET_FEATURES, NVME_FEATURE_TIMESTAMP, 0), NVME_OK);
	rig->now += 1234;
	get_feature(rig, NVME_FEATURE_TIMESTAMP, 0);
	memcpy(&value, rig_at(rig, RIG_DATA), sizeof(value));
	assert_int_equal(value, 5001234 | UINT64_C(1) << 49);
}

/* ---- log pages ---- */

static uint16_t get_log(struct rig *rig, uint32_t id, uint64_t offset, uint32_t length)
{
	memset(rig_at(rig, RIG_DATA), 0xff, 8192);
	return rig_do(rig, 0,
		      (struct nvme_command){
			      .opcode = NVME_ADMIN_GET_LOG_PAGE,
			      .nsid = NVME_NSID_ALL,
			      .prp1 = RIG_DATA,
			      .prp2 = RIG_DATA + 4096,
			      .cdw10 = id | (length / 4 - 1) << 16,
			      .cdw12 = (uint32_t)offset,
			      .cdw13 = (uint32_t)(offset >> 32),
		      });
}

static void smart_counts(void **context)
{
	struct rig *rig = *context;
	const struct nvme_smart *smart = (void *)rig_at(rig, RIG_DATA);

	rig_create_cq(rig, 1, 64, 1);
	rig_create_sq(rig, 1, 64, 1);
	for (unsigned i = 0; i < 126; i++)
		rig_do(rig, 1, rig_io(rig, NVME_CMD_WRITE, 0, 1, RIG_DATA));
	rig_do(rig, 1, rig_io(rig, NVME_CMD_READ, 0, 1, RIG_DATA));
	rig_do(rig, 1, rig_io(rig, NVME_CMD_READ, UINT32_MAX, 1, RIG_DATA));
	rig->now += 7200000;
	assert_int_equal(get_log(rig, NVME_LOG_SMART, 0, 512), NVME_OK);
	assert_int_equal(smart->commands_written[0], 126);
	assert_int_equal(smart->units_written[0], 2);
	assert_int_equal(smart->commands_read[0], 1);
	assert_int_equal(smart->units_read[0], 1);
	assert_int_equal(smart->error_entries[0], 1);
	assert_int_equal(smart->power_on_hours[0], 2);
	assert_int_equal(smart->temperature, 303);
	assert_int_equal(smart->critical_warning, 0);
}

static void a_clock_that_is_set_back_counts_for_nothing(void **context)
{
	struct rig *rig = *context;
	const struct nvme_smart *smart = (void *)rig_at(rig, RIG_DATA);

	rig_create_cq(rig, 1, 64, 1);
	rig_create_sq(rig, 1, 64, 1);
	rig->late = true;
	rig_submit(rig, 1, rig_io(rig, NVME_CMD_READ, 0, 1, RIG_DATA));
	rig_process(rig);
	rig->now -= 500000;
	rig_answer_all(rig);
	assert_int_equal(get_log(rig, NVME_LOG_SMART, 0, 512), NVME_OK);
	assert_int_equal(smart->busy_minutes[0], 0);
	assert_int_equal(smart->power_on_hours[0], 0);
}

static void errors_are_logged(void **context)
{
	struct rig *rig = *context;
	const struct nvme_error_entry *entries = (void *)rig_at(rig, RIG_DATA);
	uint16_t cid;

	for (unsigned i = 0; i < 70; i++)
		admin(rig, 0xc0, 0, 0);
	cid = rig->next_cid;
	admin(rig, 0x7f, 0, 0);
	assert_int_equal(get_log(rig, NVME_LOG_ERRORS, 0, 4096), NVME_OK);
	assert_int_equal(entries[0].count, 71);
	assert_int_equal(entries[0].cid, cid);
	assert_int_equal(entries[0].opcode, 0x7f);
	assert_int_equal(entries[0].status, NVME_INVALID_OPCODE << 1);
	assert_int_equal(entries[63].count, 8);
	/* A part, from an offset. */
	assert_int_equal(get_log(rig, NVME_LOG_ERRORS, 64, 64), NVME_OK);
	assert_int_equal(entries[0].count, 70);
	assert_int_equal(rig_at(rig, RIG_DATA)[64], 0xff);
}

static void log_page_limits(void **context)
{
	struct rig *rig = *context;

	assert_int_equal(get_log(rig, NVME_LOG_SMART, 2, 512), NVME_INVALID_FIELD);
	assert_int_equal(get_log(rig, NVME_LOG_SMART, 516, 512), NVME_INVALID_FIELD);
	assert_int_equal(get_log(rig, NVME_LOG_SMART, UINT64_MAX - 3, 512), NVME_INVALID_FIELD);
	assert_int_equal(get_log(rig, NVME_LOG_FIRMWARE, 0, 8192), NVME_OK);
	assert_memory_equal(rig_at(rig, RIG_DATA), "\1\0\0\0\0\0\0\0001.0     ", 16);
	assert_int_equal(rig_at(rig, RIG_DATA)[8191], 0);
	assert_int_equal(admin(rig, NVME_ADMIN_GET_LOG_PAGE, 2 | 0xffffu << 16, 0xffff),
			 NVME_INVALID_FIELD);
	for (unsigned id = 0; id < 256; id++)
		if (id > 5 && id != 0x12)
			assert_int_equal(get_log(rig, id, 0, 64), NVME_INVALID_LOG_PAGE);
}

static void effects_tell_the_truth(void **context)
{
	struct rig *rig = *context;
	uint32_t effects[512];

	assert_int_equal(get_log(rig, NVME_LOG_COMMAND_EFFECTS, 0, 4096), NVME_OK);
	memcpy(effects, rig_at(rig, RIG_DATA), sizeof(effects));
	for (unsigned opcode = 0; opcode < 256; opcode++) {
		if (opcode == NVME_ADMIN_ASYNC_EVENT)
			continue;
		assert_int_equal(admin(rig, (uint8_t)opcode, 0, 0) != NVME_INVALID_OPCODE,
				 effects[opcode] & 1);
	}
	assert_int_equal(effects[256 + NVME_CMD_WRITE] & 3, 3);
	assert_int_equal(effects[256 + NVME_CMD_COPY] & 3, 3);
	assert_int_equal(effects[256 + NVME_CMD_COMPARE] & 3, 1);
	assert_int_equal(effects[256 + 4], 0); /* Write Uncorrectable */
}

/* ---- what no guest may ---- */

static void forbidden_commands(void **context)
{
	struct rig *rig = *context;
	static const uint8_t opcodes[] = {0x0d, 0x10, 0x11, 0x15, 0x80, 0x81,
					  0x82, 0x84, 0xc0, 0xd7, 0xff};
	struct nvme_completion entry;

	for (unsigned i = 0; i < sizeof(opcodes); i++) {
		assert_int_equal(admin(rig, opcodes[i], 0, 0), NVME_INVALID_OPCODE);
		assert_int_equal(rig->events[NVME_EVENT_FORBIDDEN_COMMAND], i + 1);
		assert_int_equal(rig->last_event[NVME_EVENT_FORBIDDEN_COMMAND], opcodes[i]);
		assert_false(rig_reap(rig, 0, &entry));
	}
	assert_int_equal(admin(rig, 0x18, 0, 0), NVME_INVALID_OPCODE);
	assert_int_equal(rig->events[NVME_EVENT_FORBIDDEN_COMMAND], sizeof(opcodes));
}

static void no_sgl_no_fused(void **context)
{
	struct rig *rig = *context;
	struct nvme_command command = {.opcode = NVME_ADMIN_IDENTIFY, .prp1 = RIG_DATA, .cdw10 = 1};

	for (unsigned flags = 0; flags < 256; flags++) {
		command.flags = (uint8_t)flags;
		assert_int_equal(rig_do(rig, 0, command),
				 flags & 0xc3 ? NVME_INVALID_FIELD : NVME_OK);
	}
}

/* ---- events and abort ---- */

static uint16_t ask_for_event(struct rig *rig)
{
	return rig_submit(rig, 0, (struct nvme_command){.opcode = NVME_ADMIN_ASYNC_EVENT});
}

static void bad_doorbells_are_events(void **context)
{
	struct rig *rig = *context;
	struct nvme_completion entry;

	for (unsigned i = 0; i < NVME_EVENT_REQUESTS; i++)
		ask_for_event(rig);
	rig_process(rig);
	assert_false(rig_reap(rig, 0, &entry));
	rig_write(rig, NVME_REG_DOORBELLS, RIG_DEPTH);
	rig_process(rig);
	assert_true(rig_reap(rig, 0, &entry));
	assert_int_equal(entry.result, 0x010100);
	/* Masked until the log page has been read. */
	rig_write(rig, NVME_REG_DOORBELLS + 8, 0);
	rig_process(rig);
	assert_false(rig_reap(rig, 0, &entry));
	assert_int_equal(get_log(rig, NVME_LOG_ERRORS | 1 << 15, 0, 64), NVME_OK);
	rig_write(rig, NVME_REG_DOORBELLS + 8, 0);
	rig_process(rig);
	assert_false(rig_reap(rig, 0, &entry));
	assert_int_equal(get_log(rig, NVME_LOG_ERRORS, 0, 64), NVME_OK);
	rig_write(rig, NVME_REG_DOORBELLS + 8, 0);
	rig_process(rig);
	assert_true(rig_reap(rig, 0, &entry));
	assert_int_equal(entry.result, 0x010000);
	assert_int_equal(rig->events[NVME_EVENT_BAD_DOORBELL], 4);
}

static void too_many_event_requests(void **context)
{
	struct rig *rig = *context;
	struct nvme_completion entry;
	uint16_t cid = 0;

	for (unsigned i = 0; i <= NVME_EVENT_REQUESTS; i++)
		cid = ask_for_event(rig);
	rig_process(rig);
	assert_true(rig_reap(rig, 0, &entry));
	assert_int_equal(entry.cid, cid);
	assert_int_equal(entry.status >> 1, NVME_EVENT_LIMIT_EXCEEDED);
	assert_false(rig_reap(rig, 0, &entry));
}

static void temperature_event(void **context)
{
	struct rig *rig = *context;
	struct nvme_completion entry;

	ask_for_event(rig);
	assert_int_equal(admin(rig, NVME_ADMIN_SET_FEATURES, NVME_FEATURE_EVENTS, 2), NVME_OK);
	assert_int_equal(admin(rig, NVME_ADMIN_SET_FEATURES, NVME_FEATURE_TEMPERATURE, 300),
			 NVME_OK);
	rig_process(rig);
	assert_true(rig_reap(rig, 0, &entry));
	assert_int_equal(entry.result, 0x020101);
	assert_int_equal(get_log(rig, NVME_LOG_SMART, 0, 512), NVME_OK);
	assert_int_equal(rig_at(rig, RIG_DATA)[0], NVME_SMART_TEMPERATURE);
}

/* The request comes in the same batch as what it waits for, and after it. */
static void an_event_meets_its_request(void **context)
{
	struct rig *rig = *context;
	struct nvme_completion entry;

	assert_int_equal(admin(rig, NVME_ADMIN_SET_FEATURES, NVME_FEATURE_TEMPERATURE, 300),
			 NVME_OK);
	rig_submit(rig, 0,
		   (struct nvme_command){.opcode = NVME_ADMIN_SET_FEATURES,
					 .cdw10 = NVME_FEATURE_EVENTS,
					 .cdw11 = NVME_SMART_TEMPERATURE});
	ask_for_event(rig);
	rig_process(rig);
	assert_true(rig_reap(rig, 0, &entry));
	assert_true(rig_reap(rig, 0, &entry));
	assert_int_equal(entry.result, 0x020101);
}

static void new_size_is_an_event(void **context)
{
	struct rig *rig = *context;
	const struct nvme_identify_namespace *id = (void *)rig_at(rig, RIG_DATA);
	struct nvme_completion entry;

	ask_for_event(rig);
	assert_int_equal(admin(rig, NVME_ADMIN_SET_FEATURES, NVME_FEATURE_EVENTS, 0x100), NVME_OK);
	assert_int_equal(nvme_resize(rig->nvme, 4095), -EINVAL);
	assert_int_equal(nvme_resize(rig->nvme, RIG_DISK / 2), 0);
	rig_process(rig);
	assert_true(rig_reap(rig, 0, &entry));
	assert_int_equal(entry.result, 0x040002);
	assert_int_equal(get_log(rig, NVME_LOG_CHANGED_NAMESPACES, 0, 4096), NVME_OK);
	assert_int_equal(rig_at(rig, RIG_DATA)[0], 1);
	assert_int_equal(get_log(rig, NVME_LOG_CHANGED_NAMESPACES, 0, 4096), NVME_OK);
	assert_int_equal(rig_at(rig, RIG_DATA)[0], 0);
	assert_int_equal(identify(rig, NVME_CNS_NAMESPACE, 1, 0), NVME_OK);
	assert_int_equal(id->nsze, RIG_DISK / 2 / 4096);
	/* A process that takes over and finds another size tells of it as well. */
	ask_for_event(rig);
	assert_int_equal(rig_restart(rig), 0);
	rig_process(rig);
	assert_true(rig_reap(rig, 0, &entry));
	assert_int_equal(entry.result, 0x040002);
}

static void abort_of_an_event_request(void **context)
{
	struct rig *rig = *context;
	struct nvme_completion entry;
	uint16_t cid, aborting;

	ask_for_event(rig);
	cid = ask_for_event(rig);
	aborting = rig_submit(
		rig, 0,
		(struct nvme_command){.opcode = NVME_ADMIN_ABORT, .cdw10 = (uint32_t)cid << 16});
	rig_process(rig);
	assert_true(rig_reap(rig, 0, &entry));
	assert_int_equal(entry.cid, cid);
	assert_int_equal(entry.status >> 1, NVME_ABORT_REQUESTED);
	assert_true(rig_reap(rig, 0, &entry));
	assert_int_equal(entry.cid, aborting);
	assert_int_equal(entry.result, 0);
	assert_int_equal(get_log(rig, NVME_LOG_SMART, 0, 512), NVME_OK);
}

static void abort_of_anything_else(void **context)
{
	struct rig *rig = *context;
	struct nvme_command command = {.opcode = NVME_ADMIN_ABORT, .cdw10 = 0xffffffff};
	uint32_t result;

	assert_int_equal(rig_do_result(rig, 0, command, &result), NVME_OK);
	assert_int_equal(result, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(completion_queues, set_up, tear_down),
		cmocka_unit_test_setup_teardown(submission_queues, set_up, tear_down),
		cmocka_unit_test_setup_teardown(entry_sizes_come_first, set_up, tear_down),
		cmocka_unit_test_setup_teardown(deletion, set_up, tear_down),
		cmocka_unit_test_setup_teardown(deletion_of_an_idle_queue_ends, set_up, tear_down),
		cmocka_unit_test_setup_teardown(deletion_waits_for_commands, set_up, tear_down),
		cmocka_unit_test_setup_teardown(identify_controller, set_up, tear_down),
		cmocka_unit_test_setup_teardown(identify_namespace, set_up, tear_down),
		cmocka_unit_test_setup_teardown(identify_lists, set_up, tear_down),
		cmocka_unit_test_setup_teardown(identify_others, set_up, tear_down),
		cmocka_unit_test_setup_teardown(features, set_up, tear_down),
		cmocka_unit_test_setup_teardown(features_that_are_not, set_up, tear_down),
		cmocka_unit_test_setup_teardown(timestamp, set_up, tear_down),
		cmocka_unit_test_setup_teardown(smart_counts, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_clock_that_is_set_back_counts_for_nothing, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(errors_are_logged, set_up, tear_down),
		cmocka_unit_test_setup_teardown(log_page_limits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(effects_tell_the_truth, set_up, tear_down),
		cmocka_unit_test_setup_teardown(forbidden_commands, set_up, tear_down),
		cmocka_unit_test_setup_teardown(no_sgl_no_fused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(bad_doorbells_are_events, set_up, tear_down),
		cmocka_unit_test_setup_teardown(too_many_event_requests, set_up, tear_down),
		cmocka_unit_test_setup_teardown(temperature_event, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_event_meets_its_request, set_up, tear_down),
		cmocka_unit_test_setup_teardown(new_size_is_an_event, set_up, tear_down),
		cmocka_unit_test_setup_teardown(abort_of_an_event_request, set_up, tear_down),
		cmocka_unit_test_setup_teardown(abort_of_anything_else, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("nvme admin", tests, NULL, NULL);
}
