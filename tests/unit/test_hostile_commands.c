/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a hostile driver rings, asks for and writes to registers has the answer of the
 * specification, or the event, or the controller's fatal status; after a reset the device works.
 */
#include "hostile_harness.h"

/* ---- doorbells ---- */

struct bad_doorbell {
	uint32_t offset, value, information;
};

static void is_told(struct fixture *fixture, const struct bad_doorbell *bad)
{
	struct nvme_command event = {.opcode = NVME_ADMIN_ASYNC_EVENT};
	struct nvme_command log = {.opcode = NVME_ADMIN_GET_LOG_PAGE,
				   .cdw10 = 15u << 16 | NVME_LOG_ERRORS};
	struct nvme_client_answer answer;
	const struct nvme_error_entry *entry;
	uint64_t address;

	entry = (void *)buffer(fixture, BLOCK, &address);
	assert_true(nvme_client_put(&fixture->nvme, 0, event) >= 0);
	assert_int_equal(nvme_client_ring(&fixture->nvme, 0), 0);
	write_register(fixture, bad->offset, bad->value);
	assert_int_equal(nvme_client_wait(&fixture->nvme, 0, &answer), 0);
	assert_int_equal(answer.status, NVME_OK);
	assert_int_equal(answer.result, NVME_ASYNC_RESULT(NVME_ASYNC_ERROR, bad->information,
							  (uint32_t)NVME_LOG_ERRORS));
	assert_int_equal(nvme_client_do(&fixture->nvme, 0, log, address, 64, NULL), 0);
	assert_int_equal(entry->cid, 0xffff);
	assert_int_equal(entry->sq_id, (bad->offset - NVME_REG_DOORBELLS) / 8);
}

static void doorbells_out_of_range(void **state)
{
	static const struct bad_doorbell cases[] = {
		{NVME_REG_DOORBELLS + 8, DEPTH, NVME_ASYNC_INVALID_VALUE},
		{NVME_REG_DOORBELLS + 8, 0xffff, NVME_ASYNC_INVALID_VALUE},
		{NVME_REG_DOORBELLS + 12, DEPTH, NVME_ASYNC_INVALID_VALUE},
		{NVME_REG_DOORBELLS + 12, 5, NVME_ASYNC_INVALID_VALUE}, /* nothing to take */
		{NVME_REG_DOORBELLS + 16, 1, NVME_ASYNC_INVALID_REGISTER},
		{NVME_REG_DOORBELLS + 20, 0, NVME_ASYNC_INVALID_REGISTER},
		{NVME_REG_DOORBELLS + 8 * 17, 0, NVME_ASYNC_INVALID_REGISTER},
		{NVME_REG_DOORBELLS + 0xffc, 1, NVME_ASYNC_INVALID_REGISTER},
	};
	struct fixture *fixture = *state;

	start_and_enable(fixture, USUAL(fixture));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		is_told(fixture, &cases[i]);
	assert_int_equal(events_of(fixture), ARRAY_LEN(cases));
	still_works(fixture);
	end(fixture);
}

/* ---- queues ---- */

/* What is written to CC is carried out a moment later. */
static void wait_for_status(struct fixture *fixture, uint32_t bits, bool set)
{
	for (unsigned i = 0; i < PATIENCE_MS; i++) {
		if (!(read_register(fixture, NVME_REG_CSTS) & bits) != set)
			return;
		usleep(1000);
	}
	fail_msg("CSTS stays as it is");
}

static void admin_queue(struct fixture *fixture, uint64_t sq, uint64_t cq)
{
	write_register(fixture, NVME_REG_CC, 0);
	wait_for_status(fixture, NVME_CSTS_RDY | NVME_CSTS_CFS, false);
	write_register(fixture, NVME_REG_AQA, 63 << 16 | 63);
	harness_write(&fixture->harness, 0, NVME_REG_ASQ, 8, sq);
	harness_write(&fixture->harness, 0, NVME_REG_ACQ, 8, cq);
	write_register(fixture, NVME_REG_CC, NVME_CC_EN | NVME_SQES << 16 | NVME_CQES << 20);
	wait_for_status(fixture, NVME_CSTS_RDY | NVME_CSTS_CFS, true);
	ring(fixture, 0, false, 1);
}

static void admin_queues_outside_of_memory(void **state)
{
	static const uint64_t places[] = {NOWHERE, REGISTERS, UINT64_MAX - 4095,
					  NVME_CLIENT_BASE + MEMORY_SIZE};
	struct fixture *fixture = *state;

	start_and_enable(fixture, USUAL(fixture));
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		uint64_t events = events_of(fixture);

		admin_queue(fixture, places[i], NVME_CLIENT_BASE);
		fails_fatally(fixture);
		admin_queue(fixture, NVME_CLIENT_BASE, places[i]);
		fails_fatally(fixture);
		/* The pointer; or the doorbell, where no queue was made because it wraps. */
		assert_int_equal(events_of(fixture), events + 2);
		enable_again(fixture);
		still_works(fixture);
	}
	end(fixture);
}

static void io_queue_outside_of_memory(struct fixture *fixture, uint64_t sq, uint64_t cq)
{
	struct nvme_command create = {
		.opcode = NVME_ADMIN_CREATE_CQ, .prp1 = cq, .cdw10 = 63u << 16 | 2, .cdw11 = 1};

	assert_int_equal(admin(fixture, create), 0);
	create.opcode = NVME_ADMIN_CREATE_SQ;
	create.prp1 = sq;
	create.cdw11 = 2u << 16 | 1;
	assert_int_equal(admin(fixture, create), 0);
	ring(fixture, 2, false, 1);
	fails_fatally(fixture);
	enable_again(fixture);
	still_works(fixture);
}

static void io_queues_outside_of_memory(void **state)
{
	struct fixture *fixture = *state;
	uint64_t good;

	start_and_enable(fixture, USUAL(fixture));
	buffer(fixture, BLOCK, &good);
	io_queue_outside_of_memory(fixture, NOWHERE, good);
	io_queue_outside_of_memory(fixture, REGISTERS, good);
	io_queue_outside_of_memory(fixture, good, REGISTERS);
	assert_int_equal(events_of(fixture), 3);
	end(fixture);
}

/* ---- identifiers ---- */

struct bad_command {
	struct nvme_command command;
	uint16_t status;
};

#define CREATE_CQ(queue, entries, vector)                                                          \
	{                                                                                          \
		.opcode = NVME_ADMIN_CREATE_CQ, .prp1 = NVME_CLIENT_BASE,                          \
		.cdw10 = ((entries)-1u) << 16 | (queue), .cdw11 = (vector) << 16 | 3u              \
	}
#define CREATE_SQ(queue, entries, cq)                                                              \
	{                                                                                          \
		.opcode = NVME_ADMIN_CREATE_SQ, .prp1 = NVME_CLIENT_BASE,                          \
		.cdw10 = ((entries)-1u) << 16 | (queue), .cdw11 = (cq) << 16 | 1u                  \
	}
#define WITH_NSID(code, id)                                                                        \
	{                                                                                          \
		.opcode = (code), .nsid = (id)                                                     \
	}

static const struct bad_command bad_admin_commands[] = {
	{CREATE_CQ(0u, 64u, 0u), NVME_INVALID_QUEUE_ID},
	{CREATE_CQ(17u, 64u, 0u), NVME_INVALID_QUEUE_ID},
	{CREATE_CQ(0xffffu, 64u, 0u), NVME_INVALID_QUEUE_ID},
	{CREATE_CQ(1u, 64u, 0u), NVME_INVALID_QUEUE_ID}, /* it is there */
	{CREATE_CQ(2u, 1u, 0u), NVME_INVALID_QUEUE_SIZE},
	{CREATE_CQ(2u, NVME_QUEUE_DEPTH + 1, 0u), NVME_INVALID_QUEUE_SIZE},
	{CREATE_CQ(2u, 64u, 17u), NVME_INVALID_VECTOR},
	{CREATE_CQ(2u, 64u, 0xffffu), NVME_INVALID_VECTOR},
	{CREATE_SQ(0u, 64u, 1u), NVME_INVALID_QUEUE_ID},
	{CREATE_SQ(0xffffu, 64u, 1u), NVME_INVALID_QUEUE_ID},
	{CREATE_SQ(2u, 64u, 0u), NVME_INVALID_QUEUE_ID},
	{CREATE_SQ(2u, 64u, 2u), NVME_CQ_INVALID},
	{CREATE_SQ(2u, 64u, 0xffffu), NVME_INVALID_QUEUE_ID},
	{{.opcode = NVME_ADMIN_DELETE_CQ, .cdw10 = 1}, NVME_INVALID_QUEUE_DELETION},
	{{.opcode = NVME_ADMIN_DELETE_CQ, .cdw10 = 0}, NVME_INVALID_QUEUE_ID},
	{{.opcode = NVME_ADMIN_DELETE_SQ, .cdw10 = 0}, NVME_INVALID_QUEUE_ID},
	{{.opcode = NVME_ADMIN_DELETE_SQ, .cdw10 = 9}, NVME_INVALID_QUEUE_ID},
	{{.opcode = NVME_ADMIN_DELETE_SQ, .cdw10 = 0xffff}, NVME_INVALID_QUEUE_ID},
	{WITH_NSID(NVME_ADMIN_IDENTIFY, 2), NVME_INVALID_NAMESPACE},
	{WITH_NSID(NVME_ADMIN_IDENTIFY, 0), NVME_INVALID_NAMESPACE},
	{{.opcode = NVME_ADMIN_IDENTIFY, .cdw10 = 0xff}, NVME_INVALID_FIELD},
	{{.opcode = NVME_ADMIN_GET_LOG_PAGE, .cdw10 = 0xff}, NVME_INVALID_LOG_PAGE},
	{{.opcode = NVME_ADMIN_GET_FEATURES, .cdw10 = 0xff}, NVME_INVALID_FIELD},
	{{.opcode = NVME_ADMIN_SET_FEATURES, .cdw10 = 0x1u << 31 | 6}, NVME_NOT_SAVEABLE},
	{{.opcode = NVME_ADMIN_IDENTIFY, .flags = 1, .cdw10 = 1}, NVME_INVALID_FIELD},
	{{.opcode = NVME_ADMIN_IDENTIFY, .flags = 0x40, .cdw10 = 1}, NVME_INVALID_FIELD},
};

static const struct bad_command bad_io_commands[] = {
	{WITH_NSID(NVME_CMD_READ, 0), NVME_INVALID_NAMESPACE},
	{WITH_NSID(NVME_CMD_READ, 2), NVME_INVALID_NAMESPACE},
	{WITH_NSID(NVME_CMD_READ, NVME_NSID_ALL), NVME_INVALID_NAMESPACE},
	{WITH_NSID(NVME_CMD_WRITE, 0xfffffffe), NVME_INVALID_NAMESPACE},
	{WITH_NSID(NVME_CMD_FLUSH, 0), NVME_INVALID_NAMESPACE},
	{{.opcode = NVME_CMD_READ, .nsid = 1, .cdw10 = VOLUME_SIZE / BLOCK}, NVME_LBA_OUT_OF_RANGE},
	{{.opcode = NVME_CMD_WRITE, .nsid = 1, .cdw10 = UINT32_MAX, .cdw11 = UINT32_MAX},
	 NVME_LBA_OUT_OF_RANGE},
	{{.opcode = NVME_CMD_WRITE_ZEROES, .nsid = 1, .cdw10 = VOLUME_SIZE / BLOCK - 1, .cdw12 = 1},
	 NVME_LBA_OUT_OF_RANGE},
	{{.opcode = NVME_CMD_READ, .nsid = 1, .cdw12 = 0xffff}, NVME_INVALID_FIELD}, /* MDTS */
	{{.opcode = NVME_CMD_READ, .nsid = 1, .flags = 3}, NVME_INVALID_FIELD},
	{{.opcode = NVME_CMD_COMPARE, .nsid = 1, .flags = 1}, NVME_MISSING_FUSED},
	{{.opcode = NVME_CMD_WRITE, .nsid = 1, .flags = 2}, NVME_MISSING_FUSED},
	{{.opcode = NVME_CMD_READ, .nsid = 1, .flags = 0x80}, NVME_INVALID_FIELD},
	{{.opcode = NVME_CMD_READ, .nsid = 1, .flags = 0xc0}, NVME_INVALID_FIELD},
	{{.opcode = NVME_CMD_COPY, .nsid = 1, .prp1 = NVME_CLIENT_BASE, .cdw12 = 1 << 8},
	 NVME_INVALID_FIELD},
	{{.opcode = NVME_CMD_COPY, .nsid = 1, .prp1 = NVME_CLIENT_BASE, .cdw12 = 0xff},
	 NVME_COMMAND_SIZE_EXCEEDED},
};

static void refused(struct fixture *fixture, uint16_t queue, const struct bad_command *cases,
		    size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int status = nvme_client_do(&fixture->nvme, queue, cases[i].command, 0, 0, NULL);

		if (status != cases[i].status)
			fail_msg("queue %u case %zu: 0x%x", queue, i, (unsigned)status);
	}
}

static void identifiers_out_of_range(void **state)
{
	struct fixture *fixture = *state;

	start_and_enable(fixture, USUAL(fixture));
	refused(fixture, 0, bad_admin_commands, ARRAY_LEN(bad_admin_commands));
	refused(fixture, QUEUE, bad_io_commands, ARRAY_LEN(bad_io_commands));
	still_works(fixture);
	end(fixture);
}

/* Any command identifier, all the same one, each with its answer. */
static void command_identifiers_of_any_kind(void **state)
{
	static const uint16_t identifiers[] = {0xffff, 0xffff, 0, 7, 7, 7, 0xfffe, 0x8000};
	struct fixture *fixture = *state;
	struct nvme_command flush = {.opcode = NVME_CMD_FLUSH, .nsid = 1};
	unsigned asked = 0, answered = 0;
	struct raw raw;

	start_and_enable(fixture, USUAL(fixture));
	raw_create(fixture, &raw, 2, 64, 64);
	for (size_t i = 0; i < ARRAY_LEN(identifiers); i++) {
		flush.cid = identifiers[i];
		asked += flush.cid;
		raw_put(&raw, flush);
	}
	ring(fixture, 2, false, raw.tail);
	for (size_t i = 0; i < ARRAY_LEN(identifiers); i++) {
		uint16_t cid, status;

		raw_wait(fixture, &raw, &cid, &status);
		assert_int_equal(status, NVME_OK);
		answered += cid;
	}
	assert_int_equal(asked, answered);
	still_works(fixture);
	end(fixture);
}

/* ---- opcodes ---- */

static bool is_forbidden(unsigned opcode, bool io)
{
	static const uint8_t list[] = {0x0d, 0x10, 0x11, 0x15, 0x19, 0x1a, 0x1c, 0x1d,
				       0x1e, 0x20, 0x24, 0x80, 0x81, 0x82, 0x84};

	for (size_t i = 0; i < ARRAY_LEN(list) && !io; i++)
		if (list[i] == opcode)
			return true;
	return opcode >= (io ? 0x80 : 0xc0);
}

/* All that the card does not say it supports is refused, with zeros and with ones in the rest. */
static void reserved_and_forbidden_opcodes(void **state)
{
	struct fixture *fixture = *state;
	struct nvme_command log = {.opcode = NVME_ADMIN_GET_LOG_PAGE,
				   .cdw10 = 1023u << 16 | NVME_LOG_COMMAND_EFFECTS};
	uint64_t address, expected = 0;
	const uint32_t *effects;

	start_and_enable(fixture, USUAL(fixture));
	effects = (void *)buffer(fixture, BLOCK, &address);
	assert_int_equal(nvme_client_do(&fixture->nvme, 0, log, address, BLOCK, NULL), 0);
	for (unsigned i = 0; i < 1024; i++) {
		bool io = i & 256, ones = i & 512;
		struct nvme_command command = {.opcode = (uint8_t)i, .nsid = 1};

		if (effects[i % 512] & NVME_EFFECT_SUPPORTED)
			continue;
		if (ones)
			memset(&command.cdw2, 0xff, sizeof(command) - 8);
		expected += is_forbidden(i % 256, io);
		assert_int_equal(
			nvme_client_do(&fixture->nvme, io ? QUEUE : 0, command, 0, 0, NULL),
			NVME_INVALID_OPCODE);
	}
	assert_true(expected > 300);
	assert_int_equal(events_of(fixture), expected);
	still_works(fixture);
	end(fixture);
}

/* ---- registers ---- */

static void registers_that_are_read_only(void **state)
{
	static const uint32_t offsets[] = {
		NVME_REG_CAP, NVME_REG_CAP + 4, NVME_REG_VS, NVME_REG_CSTS, 0x18,
		0x38,	      NVME_REG_CRTO,	0xffc};
	struct fixture *fixture = *state;

	start_and_enable(fixture, USUAL(fixture));
	for (size_t i = 0; i < ARRAY_LEN(offsets); i++) {
		uint32_t before = read_register(fixture, offsets[i]);

		write_register(fixture, offsets[i], ~before);
		assert_int_equal(read_register(fixture, offsets[i]), before);
	}
	assert_int_equal(events_of(fixture), ARRAY_LEN(offsets));
	/* A subsystem reset, which CAP.NSSRS does not offer: nothing happens. */
	write_register(fixture, NVME_REG_NSSR, 0x4e564d65);
	assert_int_equal(read_register(fixture, NVME_REG_CSTS), NVME_CSTS_RDY);
	/* Skewed, too short, too long: nothing or a read-only register. */
	for (uint32_t offset = 0; offset < 0x40; offset++)
		harness_write(&fixture->harness, 0, offset, 1, 0xff);
	assert_int_equal(read_register(fixture, NVME_REG_CSTS), NVME_CSTS_RDY);
	still_works(fixture);
	end(fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(doorbells_out_of_range),	       CASE(admin_queues_outside_of_memory),
		CASE(io_queues_outside_of_memory),     CASE(identifiers_out_of_range),
		CASE(command_identifiers_of_any_kind), CASE(reserved_and_forbidden_opcodes),
		CASE(registers_that_are_read_only),
	};

	return cmocka_run_group_tests_name("hostile commands", tests, start_neighbour,
					   stop_neighbour);
}
