/* SPDX-License-Identifier: Apache-2.0 */
/* Features that carry data, error recovery, and what the error log says of a command. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "nvme_rig.h"

static int set_up(void **context)
{
	static struct rig rig;

	rig_create(&rig, 512);
	rig_start(&rig, 1);
	*context = &rig;
	return 0;
}

static int tear_down(void **context)
{
	rig_destroy(*context);
	return 0;
}

static uint16_t feature(struct rig *rig, uint8_t opcode, uint32_t cdw10, uint32_t cdw11,
			uint32_t *result)
{
	return rig_do_result(rig, 0,
			     (struct nvme_command){.opcode = opcode,
						   .nsid = NVME_NSID_ALL,
						   .prp1 = RIG_DATA,
						   .cdw10 = cdw10,
						   .cdw11 = cdw11},
			     result);
}

static uint16_t set(struct rig *rig, uint32_t id, uint32_t cdw11)
{
	uint32_t result;

	return feature(rig, NVME_ADMIN_SET_FEATURES, id, cdw11, &result);
}

static uint32_t get(struct rig *rig, uint32_t id, uint32_t cdw11)
{
	uint32_t result = 0;

	assert_int_equal(feature(rig, NVME_ADMIN_GET_FEATURES, id, cdw11, &result), NVME_OK);
	return result;
}

static void host_identifier(void **context)
{
	struct rig *rig = *context;
	uint8_t *data = rig_at(rig, RIG_DATA);

	memset(data, 0xee, 32);
	get(rig, NVME_FEATURE_HOST_ID, 1);
	assert_memory_equal(data, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xee", 17);
	memcpy(data, "0123456789abcdef", 16);
	assert_int_equal(set(rig, NVME_FEATURE_HOST_ID, 1), NVME_OK);
	assert_int_equal(set(rig, NVME_FEATURE_HOST_ID, 1), NVME_OK);
	data[15]++;
	assert_int_equal(set(rig, NVME_FEATURE_HOST_ID, 1), NVME_COMMAND_SEQUENCE_ERROR);
	assert_int_equal(rig_restart(rig), 0);
	memset(data, 0xee, 32);
	get(rig, NVME_FEATURE_HOST_ID, 0);
	assert_memory_equal(data, "01234567\xee\xee", 10);
	get(rig, NVME_FEATURE_HOST_ID, 1);
	assert_memory_equal(data, "0123456789abcdef\xee", 17);
	get(rig, NVME_FEATURE_HOST_ID | 1 << 8, 1); /* the default */
	assert_int_equal(data[0], 0);
}

static void host_identifier_ends_with_a_reset(void **context)
{
	struct rig *rig = *context;
	uint8_t *data = rig_at(rig, RIG_DATA);

	memcpy(data, "01234567", 8);
	assert_int_equal(set(rig, NVME_FEATURE_HOST_ID, 0), NVME_OK);
	rig_write(rig, NVME_REG_CC, 0);
	rig_process(rig);
	rig_enable(rig);
	get(rig, NVME_FEATURE_HOST_ID, 0);
	assert_int_equal(data[0], 0);
	memcpy(data, "abcdefgh", 8);
	assert_int_equal(set(rig, NVME_FEATURE_HOST_ID, 0), NVME_OK);
}

static void host_behaviour(void **context)
{
	struct rig *rig = *context;
	uint8_t *data = rig_at(rig, RIG_DATA);

	memset(data, 0, 512);
	data[0] = data[2] = 1;
	assert_int_equal(set(rig, NVME_FEATURE_HOST_BEHAVIOUR, 0), NVME_OK);
	data[1] = 2;
	assert_int_equal(set(rig, NVME_FEATURE_HOST_BEHAVIOUR, 0), NVME_INVALID_FIELD);
	memset(data, 0xee, 513);
	get(rig, NVME_FEATURE_HOST_BEHAVIOUR, 0);
	assert_memory_equal(data, "\1\0\1\0\0\0", 6);
	assert_int_equal(data[511], 0);
	assert_int_equal(data[512], 0xee);
}

static void error_recovery(void **context)
{
	struct rig *rig = *context;

	assert_int_equal(get(rig, NVME_FEATURE_ERROR_RECOVERY, 0), 0);
	assert_int_equal(set(rig, NVME_FEATURE_ERROR_RECOVERY, 0x1234), NVME_OK);
	assert_int_equal(get(rig, NVME_FEATURE_ERROR_RECOVERY, 0), 0x1234);
	/* DULBE: NSFEAT says that there is no such error. */
	assert_int_equal(set(rig, NVME_FEATURE_ERROR_RECOVERY, 1 << 16 | 5), NVME_INVALID_FIELD);
	assert_int_equal(get(rig, NVME_FEATURE_ERROR_RECOVERY, 0), 0x1234);
	assert_int_equal(get(rig, NVME_FEATURE_ERROR_RECOVERY | 3 << 8, 0), 6);
}

static void located(struct rig *rig, unsigned queue, struct nvme_command command, unsigned location)
{
	const struct nvme_error_entry *entry = (void *)rig_at(rig, RIG_DATA);
	struct nvme_command get_log = {.opcode = NVME_ADMIN_GET_LOG_PAGE,
				       .nsid = NVME_NSID_ALL,
				       .prp1 = RIG_DATA,
				       .cdw10 = NVME_LOG_ERRORS | 15 << 16};
	uint64_t before = rig->state->counters.errors;
	uint16_t status = rig_do(rig, queue, command);

	assert_int_not_equal(status, NVME_OK);
	assert_int_equal(rig_do(rig, 0, get_log), NVME_OK);
	assert_int_equal(entry->count, before + 1);
	assert_int_equal(entry->status, status << 1);
	assert_int_equal(entry->location, location);
	assert_int_equal(entry->opcode, command.opcode);
}

static void errors_tell_the_byte(void **context)
{
	struct rig *rig = *context;
	struct nvme_command read = rig_io(rig, NVME_CMD_READ, 0, 1, RIG_DATA), bad;

	bad = read;
	bad.opcode = 4;
	located(rig, 1, bad, 0);
	bad = read;
	bad.flags = 0x80;
	located(rig, 1, bad, 1);
	bad = read;
	bad.nsid = 2;
	located(rig, 1, bad, 4);
	bad = read;
	bad.cdw10 = UINT32_MAX;
	located(rig, 1, bad, 40);
	bad = read;
	bad.cdw12 = 2048;
	located(rig, 1, bad, 48);
	bad = read;
	bad.flags = NVME_PSDT_SGL;
	located(rig, 1, bad, 24);
	/* In the data, not in the command. */
	bad = read;
	bad.opcode = NVME_CMD_DATASET_MANAGEMENT;
	bad.cdw10 = 0;
	memset(rig_at(rig, RIG_DATA), 0xff, 16);
	located(rig, 1, bad, NVME_NO_LOCATION);
	located(rig, 0, (struct nvme_command){.opcode = NVME_ADMIN_GET_FEATURES, .cdw10 = 0xff},
		40);
	located(rig, 0,
		(struct nvme_command){
			.opcode = NVME_ADMIN_CREATE_SQ, .cdw10 = 63 << 16 | 2, .cdw11 = 1},
		46);
	located(rig, 0,
		(struct nvme_command){
			.opcode = NVME_ADMIN_CREATE_CQ, .cdw10 = 63 << 16 | 2, .prp1 = RIG_DATA},
		44);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(host_identifier, set_up, tear_down),
		cmocka_unit_test_setup_teardown(host_identifier_ends_with_a_reset, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(host_behaviour, set_up, tear_down),
		cmocka_unit_test_setup_teardown(error_recovery, set_up, tear_down),
		cmocka_unit_test_setup_teardown(errors_tell_the_byte, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("nvme features", tests, NULL, NULL);
}
