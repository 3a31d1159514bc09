/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that does to its disk what no driver does, and says whether each of it got the answer of
 * the NVMe specification; and one that uses its disk as it should.
 */
#include "hostile.h"

#include "nvme.h"

#define INVALID_OPCODE 0x4001u
#define BAD_POINTER    0x4004u
#define PAGES	       16u /* a command: with 60 of them, a software AES is done in less than a deadline */
#define BIG_DEPTH      4096u
#define BIG_QUEUES     16u
#define BIG_MEMORY     0x1000000ul /* from here on: the guest has 64 MiB */

static uint8_t page[PAGE] __attribute__((aligned(PAGE)));
static uint64_t list[PAGE / 8] __attribute__((aligned(PAGE)));
static struct queue other;
static uint64_t next_random = 1;

static bool power_button(void)
{
	return inl(0x610) & 2;
}

static bool still_works(void)
{
	static uint8_t back[PAGE] __attribute__((aligned(PAGE)));
	bool same = true;

	for (unsigned i = 0; i < PAGE; i++) {
		page[i] = (uint8_t)(i * 31 + next_random);
		back[i] = 0;
	}
	next_random++;
	if (nvme_transfer(WRITE, 7, page) || nvme_transfer(READ, 7, back))
		return false;
	for (unsigned i = 0; i < PAGE; i++)
		same &= page[i] == back[i];
	return same;
}

/* ---- doorbells and registers ---- */

static bool event_for(unsigned offset, uint32_t value, uint32_t information)
{
	struct command event = {.opcode = ASYNC_EVENT};
	struct command log = {.opcode = 2, .prp1 = (uint64_t)page, .cdw10 = 15u << 16 | 1};
	uint32_t result = 0;

	nvme_put(&nvme_admin, &event);
	nvme_ring(0, false, nvme_admin.tail);
	write32(nvme_bar + offset, value);
	return nvme_wait(&nvme_admin, &result, NULL) == 0 &&
	       result == (1u << 16 | information << 8) && nvme_do(&nvme_admin, &log) == 0;
}

static void doorbells(void)
{
	check("a tail beyond the queue is an event", event_for(0x1008, QUEUE_DEPTH, 1));
	check("a head beyond the queue, too", event_for(0x100c, 0xffff, 1));
	check("a head over what is there, too", event_for(0x100c, 9, 1));
	check("the doorbell of a queue that is not there, too", event_for(0x1010, 1, 0));
	check("one that no queue can have, too", event_for(0x1ffc, 1, 0));
	check("the disk works after bad doorbells", still_works());
}

static void registers(void)
{
	static const uint32_t read_only[] = {0x00, 0x04, 0x08, 0x1c, 0x38, 0x68};
	bool same = true;

	for (unsigned i = 0; i < sizeof(read_only) / sizeof(read_only[0]); i++) {
		uint32_t before = read32(nvme_bar + read_only[i]);

		write32(nvme_bar + read_only[i], ~before);
		same &= read32(nvme_bar + read_only[i]) == before;
	}
	check("read-only registers keep their values", same);
	write32(nvme_bar + 0x20, 0x4e564d65);
	check("a subsystem reset does nothing", read32(nvme_bar + 0x1c) == 1);
}

/* ---- commands ---- */

static bool supported(unsigned index)
{
	static uint32_t effects[1024] __attribute__((aligned(PAGE)));
	struct command log = {.opcode = 2, .prp1 = (uint64_t)effects, .cdw10 = 1023u << 16 | 5};

	return (effects[0] || nvme_do(&nvme_admin, &log) == 0) && effects[index] & 1;
}

static void opcodes(void)
{
	bool refused = true;

	supported(0);
	for (unsigned i = 0; i < 512; i++) {
		struct command command = {.opcode = (uint8_t)i, .nsid = 1};

		if (!supported(i))
			refused &= nvme_do(i < 256 ? &nvme_admin : &nvme_io, &command) ==
				   INVALID_OPCODE;
	}
	check("every opcode that is not supported is refused", refused);
}

struct bad_command {
	const char *name;
	bool io;
	uint16_t status;
	struct command command;
};

#define LIST ((uint64_t)1) /* is replaced by the list's address */

static const struct bad_command bad_commands[] = {
	{"queue 0 cannot be created", false, 0x4101, {.opcode = 5, .cdw10 = 63u << 16}},
	{"nor queue 65535", false, 0x4101, {.opcode = 5, .cdw10 = 63u << 16 | 0xffff}},
	{"nor one with vector 65535",
	 false,
	 0x4108,
	 {.opcode = 5, .cdw10 = 63u << 16 | 2, .cdw11 = 0xffff0003}},
	{"nor one of one entry", false, 0x4102, {.opcode = 5, .cdw10 = 2, .cdw11 = 1}},
	{"a completion queue in use stays", false, 0x410c, {.opcode = 4, .cdw10 = 1}},
	{"a queue that wraps around is refused",
	 false,
	 0x4002,
	 {.opcode = 5, .prp1 = ~0xffful, .cdw10 = 4095u << 16 | 2, .cdw11 = 1}},
	{"namespace 2 is refused", true, 0x400b, {.opcode = READ, .nsid = 2}},
	{"all namespaces, too", true, 0x400b, {.opcode = WRITE, .nsid = ~0u}},
	{"a block beyond the end, too", true, 0x4080, {.opcode = READ, .nsid = 1, .cdw10 = DISK}},
	{"the last of all blocks, too",
	 true,
	 0x4080,
	 {.opcode = WRITE, .nsid = 1, .cdw10 = ~0u, .cdw11 = ~0u}},
	{"more than MDTS, too", true, 0x4002, {.opcode = READ, .nsid = 1, .cdw12 = 0x7ff}},
	{"half of a fused pair, too", true, 0x400a, {.opcode = WRITE, .nsid = 1, .flags = 2}},
	{"data in the device's own registers, too",
	 true,
	 BAD_POINTER,
	 {.opcode = READ, .nsid = 1, .prp1 = BAR_HERE + (1 << 20)}},
	{"data in its configuration space, too",
	 true,
	 BAD_POINTER,
	 {.opcode = WRITE, .nsid = 1, .prp1 = ECAM + (1 << 15)}},
	{"data in the interrupt controller, too",
	 true,
	 BAD_POINTER,
	 {.opcode = READ, .nsid = 1, .prp1 = LAPIC}},
	{"data above the memory, too",
	 true,
	 BAD_POINTER,
	 {.opcode = READ, .nsid = 1, .prp1 = 64ul << 20}},
	{"data at the end of all addresses, too",
	 true,
	 BAD_POINTER,
	 {.opcode = WRITE, .nsid = 1, .prp1 = ~0xffful}},
	{"a PRP list in the registers, too",
	 true,
	 BAD_POINTER,
	 {.opcode = READ, .nsid = 1, .prp1 = LIST, .prp2 = BAR_HERE + (1 << 20), .cdw12 = 7}},
	{"a skewed PRP, too", true, 0x4013, {.opcode = READ, .nsid = 1, .prp1 = 0x300001}},
	{"an SGL of no known type, too",
	 true,
	 0x4011,
	 {.opcode = READ, .nsid = 1, .flags = 0x40, .prp1 = LIST, .prp2 = 0x7ul << 60 | PAGE}},
	{"an SGL that leads to itself, too",
	 true,
	 0x400e,
	 {.opcode = READ, .nsid = 1, .flags = 0x40, .prp1 = LIST, .prp2 = 0x2ul << 60 | 16}},
	{"an SGL that is too short, too",
	 true,
	 0x400f,
	 {.opcode = READ, .nsid = 1, .flags = 0x40, .prp1 = LIST, .prp2 = 512}},
};

static void commands(void)
{
	/* As an SGL, a segment of one entry: itself. */
	list[0] = (uint64_t)list;
	list[1] = 0x2ul << 60 | 16;
	for (unsigned i = 0; i < sizeof(bad_commands) / sizeof(bad_commands[0]); i++) {
		const struct bad_command *bad = &bad_commands[i];
		struct command command = bad->command;

		if (command.prp1 == LIST)
			command.prp1 = (uint64_t)list;
		check(bad->name,
		      nvme_do(bad->io ? &nvme_io : &nvme_admin, &command) == bad->status);
	}
	check("the disk works after bad commands", still_works());
}

/* ---- queues where there is no memory ---- */

static bool fails_and_comes_back(uint64_t sq, uint64_t cq)
{
	struct command create = {.opcode = 5, .prp1 = cq, .cdw10 = 63u << 16 | 2, .cdw11 = 1};

	if (nvme_do(&nvme_admin, &create))
		return false;
	create.opcode = 1;
	create.prp1 = sq;
	create.cdw11 = 2u << 16 | 1;
	if (nvme_do(&nvme_admin, &create))
		return false;
	nvme_ring(2, false, 1);
	return nvme_wait_status(CSTS_FATAL, CSTS_FATAL) && nvme_start() && still_works();
}

static void queues(void)
{
	check("a queue in the device's own registers is fatal, until a reset",
	      fails_and_comes_back(BAR_HERE + (1 << 20), BIG_MEMORY));
	check("one above the memory, too", fails_and_comes_back(64ul << 20, BIG_MEMORY));
	check("answers into the registers, too",
	      fails_and_comes_back(BIG_MEMORY, BAR_HERE + (1 << 20)));
}

/* ---- memory that changes, resets in the middle ---- */

static void under_way(uint8_t opcode, unsigned count)
{
	struct command command = {.opcode = opcode,
				  .nsid = 1,
				  .prp1 = BIG_MEMORY,
				  .prp2 = (uint64_t)list,
				  .cdw12 = PAGES - 1};

	for (unsigned i = 0; i < PAGE / 8; i++)
		list[i] = BIG_MEMORY + i * PAGE;
	for (command.cid = 0; command.cid < count; command.cid++)
		nvme_put(&nvme_io, &command);
	nvme_ring(1, false, nvme_io.tail);
}

/*
 * The card reads while this changes it: each command has one answer, whatever it is. Writes only:
 * a read to anywhere could end this guest.
 */
static void changes(void)
{
	bool once = true;

	for (unsigned round = 0; round < 4; round++) {
		uint64_t seen = 0;
		uint16_t cid = 0;

		under_way(WRITE, 60);
		for (unsigned i = 0; i < 20000; i++) {
			uint8_t *bytes = (uint8_t *)&nvme_io.sq[i % QUEUE_DEPTH];

			next_random = next_random * 6364136223846793005u + 1442695040888963407u;
			bytes[4 + (next_random >> 40) % 60] ^= (uint8_t)(next_random >> 32);
			list[next_random >> 60] ^= 1ul << (next_random >> 50) % 64;
		}
		for (unsigned i = 0; i < 60; i++) {
			once &= nvme_wait(&nvme_io, NULL, &cid) != NO_ANSWER && cid < 60 &&
				!(seen & 1ul << cid);
			seen |= 1ul << cid;
		}
	}
	check("commands that change while they are read have one answer each", once);
	check("the disk works after that", still_works());
}

static void resets(void)
{
	bool good = true;

	for (unsigned i = 0; i < 10; i++) {
		under_way(READ, 32);
		for (unsigned wait = 0; wait < i * 50; wait++)
			inb(0x80);
		if (i % 2)
			write32(config(1, 4), 0x0002); /* bus mastering off */
		good &= nvme_start() && still_works();
	}
	check("resets in the middle of commands", good);
}

/* ---- as many as there can be ---- */

static bool fill_queue(unsigned number)
{
	uint64_t sq = BIG_MEMORY + (number - 1) * (BIG_DEPTH * 80ul);
	struct command flush = {.nsid = 1};

	if (nvme_make_queue(&other, number, BIG_DEPTH, sq, sq + BIG_DEPTH * 64ul))
		return false;
	for (unsigned i = 0; i < BIG_DEPTH - 1; i++) {
		flush.cid = (uint16_t)i;
		nvme_put(&other, &flush);
	}
	return true;
}

/* In order of their arrival, whatever that is: each once. */
static bool all_answered(unsigned number)
{
	volatile struct completion *cq =
		(struct completion *)(BIG_MEMORY + (number - 1) * (BIG_DEPTH * 80ul) +
				      BIG_DEPTH * 64ul);
	uint64_t sum = 0;

	for (unsigned i = 0; i < BIG_DEPTH - 1; i++) {
		for (unsigned patience = 1000000; !(cq[i].status & 1); patience--) {
			if (!patience)
				return false;
			inb(0x80);
		}
		if (cq[i].status != 1)
			return false;
		sum += cq[i].cid;
	}
	return sum == (BIG_DEPTH - 2ul) * (BIG_DEPTH - 1) / 2 && !cq[BIG_DEPTH - 1].status;
}

static void flood(void)
{
	struct command remove = {.opcode = 0, .cdw10 = 1};
	bool good = !nvme_do(&nvme_admin, &remove);

	remove.opcode = 4;
	good &= !nvme_do(&nvme_admin, &remove);
	for (unsigned queue = 1; queue <= BIG_QUEUES; queue++)
		good &= fill_queue(queue);
	for (unsigned queue = 1; queue <= BIG_QUEUES; queue++)
		nvme_ring(queue, false, BIG_DEPTH - 1);
	for (unsigned queue = 1; good && queue <= BIG_QUEUES; queue++)
		good = all_answered(queue);
	check("65520 commands at once have one answer each", good);
	check("the disk works after that", nvme_start() && still_works());
}

void hostile(void)
{
	check("there is a disk", nvme_start() && still_works());
	doorbells();
	registers();
	opcodes();
	commands();
	queues();
	changes();
	resets();
	flood();
	put("hostile: done\n");
	while (!power_button())
		relax();
}

/* ---- the neighbour ---- */

void verify(void)
{
	uint64_t round = 0, errors = 0;

	if (!nvme_start())
		errors++;
	for (; !power_button(); round++) {
		errors += !still_works();
		if (round % 64 == 0) {
			put("verified ");
			put_number(round);
			put("\n");
		}
	}
	put("rounds ");
	put_number(round);
	put(" errors ");
	put_number(errors);
	put("\n");
}
