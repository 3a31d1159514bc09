/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Data pointers: PRPs and SGLs of any kind, over memory in pieces, memory that is reached by
 * messages, memory that may only be read, and none. What holds for all of them:
 *
 *   - a write that is accepted writes what a plain reading of the specification finds, changes no
 *     memory, and no disk when it is refused;
 *   - a read that is refused changes no memory, none changes what may only be read;
 *   - what was written and is read back by the same pointers leaves memory as it was, and compares;
 *   - what is read from a disk of one byte is that byte everywhere.
 */
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/cursor.h"
#include "nvme_rig.h"

#define PAGE	   UINT64_C(4096)
#define PAGES	   64u /* that pointers lead to; what begins there may be NVME_MAX_TRANSFER long */
#define AREA	   ((size_t)(PAGES * PAGE + NVME_MAX_TRANSFER))
#define SEAM	   (RIG_DATA + 5 * PAGE + 24) /* one window ends here, another begins */
#define READ_ONLY  (UINT64_C(2) << 32)
#define FIXED	   (RIG_DATA + (UINT64_C(2) << 20)) /* what is there */
#define FIXED_SIZE (16 * PAGE)
#define DISK	   ((size_t)NVME_MAX_TRANSFER) /* that is looked at */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct scene {
	struct rig *rig;
	bool bucket, read_only; /* some pointer may lead there */
	struct nvme_command command;
};

static uint8_t pattern[AREA], before[AREA], disk_before[DISK];

static void stop(void)
{
	abort();
}

static uint8_t *area(const struct scene *scene)
{
	return rig_at(scene->rig, RIG_DATA);
}

/* ---- the input ---- */

static uint64_t address(struct scene *scene, struct cursor *input)
{
	uint8_t kind = cursor_u8(input);
	uint64_t page = cursor_u8(input) % PAGES * PAGE;

	switch (kind % 8) {
	case 0: /* where nothing is; never the rings, or the answer could be lost */
		return cursor_u64(input) | UINT64_C(1) << 45;
	case 1:
		return RIG_REMOTE + (RIG_DATA - RIG_BASE) + page + kind / 8 * 4;
	case 2:
		return RIG_DATA + page + kind / 8 * 4;
	case 3:
		return SEAM - kind / 8 * 8;
	case 4:
		return RIG_DATA + page + PAGE - kind / 8 * 8;
	case 5:
		scene->read_only = true;
		return READ_ONLY + page % FIXED_SIZE;
	case 6:
		return RIG_BASE + RIG_MEMORY - page;
	default:
		return RIG_DATA + page;
	}
}

static struct nvme_sgl descriptor(struct scene *scene, struct cursor *input)
{
	static const uint8_t types[] = {NVME_SGL_DATA,	  NVME_SGL_DATA,
					NVME_SGL_DATA,	  NVME_SGL_BIT_BUCKET,
					NVME_SGL_SEGMENT, NVME_SGL_LAST_SEGMENT};
	struct nvme_sgl entry = {.address = address(scene, input)};
	uint8_t type = cursor_u8(input), scale = cursor_u8(input);

	entry.type = type < 200 ? types[type % ARRAY_LEN(types)] : type;
	entry.length = cursor_u16(input);
	if (scale & 1)
		entry.length *= 16;
	if (scale & 2)
		entry.length <<= scale >> 3;
	scene->bucket |= entry.type == NVME_SGL_BIT_BUCKET;
	return entry;
}

/* A list somewhere in the area: of addresses or of descriptors, one after the other. */
static void place_list(struct scene *scene, struct cursor *input)
{
	uint8_t kind = cursor_u8(input), count = cursor_u8(input) % 40;
	size_t at = cursor_u8(input) % PAGES * PAGE + kind / 4 * 8;

	if (kind & 1)
		at += PAGE - 8 * (count / 2u + 1);
	while (count-- && !input->failed && at < AREA - sizeof(struct nvme_sgl)) {
		struct nvme_sgl entry;
		uint64_t pointer;

		if (kind & 2) {
			entry = descriptor(scene, input);
			memcpy(area(scene) + at, &entry, sizeof(entry));
			at += sizeof(entry);
		} else {
			pointer = address(scene, input);
			memcpy(area(scene) + at, &pointer, sizeof(pointer));
			at += sizeof(pointer);
		}
	}
}

static void take_command(struct scene *scene, struct cursor *input)
{
	uint8_t kind = cursor_u8(input);
	uint32_t limit = NVME_MAX_TRANSFER / scene->rig->setup.lba_size;
	struct nvme_sgl sgl;

	scene->command = (struct nvme_command){
		.nsid = 1,
		.flags = kind & 1 ? NVME_PSDT_SGL : 0,
		.cdw12 = cursor_u16(input) % limit,
	};
	if (kind & 2)
		scene->command.cdw12 %= 16;
	if (kind & 1) {
		sgl = descriptor(scene, input);
		memcpy(&scene->command.prp1, &sgl, sizeof(sgl));
	} else {
		scene->command.prp1 = address(scene, input);
		scene->command.prp2 = address(scene, input);
	}
}

/* ---- a plain reading, of what was accepted ---- */

struct reading {
	struct scene *scene;
	const uint8_t *disk;
	uint64_t left;
	unsigned pieces;
	struct iovec list[8192];
};

static struct reading reading;

static uint8_t *host(const struct scene *scene, uint64_t address)
{
	if (address >= READ_ONLY)
		return rig_at(scene->rig, FIXED + (address - READ_ONLY));
	return rig_at(scene->rig, address);
}

static void expect(uint64_t address, uint64_t length)
{
	uint8_t *from = host(reading.scene, address);

	length = min_u64(length, reading.left);
	if (memcmp(reading.disk, from, length) != 0 || reading.pieces == ARRAY_LEN(reading.list))
		stop();
	reading.list[reading.pieces++] = (struct iovec){from, length};
	reading.disk += length;
	reading.left -= length;
}

static uint64_t entry_at(uint64_t address)
{
	uint64_t entry;

	memcpy(&entry, host(reading.scene, address), sizeof(entry));
	return entry;
}

static void expect_prps(void)
{
	const struct nvme_command *command = &reading.scene->command;
	uint64_t at = command->prp2;

	expect(command->prp1, PAGE - command->prp1 % PAGE);
	if (reading.left && reading.left <= PAGE)
		expect(at, PAGE);
	for (; reading.left; at += sizeof(at)) {
		if (at % PAGE == PAGE - sizeof(at) && reading.left > PAGE)
			at = entry_at(at);
		expect(entry_at(at), PAGE);
	}
}

static void expect_sgl(void)
{
	struct nvme_sgl entry, segment;

	memcpy(&entry, &reading.scene->command.prp1, sizeof(entry));
	if (entry.type == NVME_SGL_DATA)
		expect(entry.address, entry.length);
	while (reading.left) {
		segment = entry;
		for (uint64_t at = 0; at < segment.length && reading.left; at += sizeof(entry)) {
			memcpy(&entry, host(reading.scene, segment.address + at), sizeof(entry));
			if (entry.type == NVME_SGL_DATA)
				expect(entry.address, entry.length);
		}
	}
}

static void written_as_told(struct scene *scene)
{
	reading.scene = scene;
	reading.disk = scene->rig->disk;
	reading.left = (scene->command.cdw12 + 1) * scene->rig->setup.lba_size;
	reading.pieces = 0;
	if (scene->command.flags & NVME_PSDT_SGL)
		expect_sgl();
	else
		expect_prps();
}

/* ---- what has to hold ---- */

static uint16_t carry_out(struct scene *scene, uint8_t opcode)
{
	struct nvme_command command = scene->command;

	command.opcode = opcode;
	return rig_do(scene->rig, 1, command);
}

static void memory_is_as_before(const struct scene *scene)
{
	if (memcmp(area(scene), before, AREA) != 0)
		stop();
}

static void fixed_memory_is_as_ever(const struct scene *scene)
{
	if (memcmp(rig_at(scene->rig, FIXED), pattern, FIXED_SIZE) != 0)
		stop();
}

static void read_back(struct scene *scene)
{
	if (carry_out(scene, NVME_CMD_COMPARE) != NVME_OK)
		stop();
	if (carry_out(scene, NVME_CMD_READ) != NVME_OK && !scene->read_only)
		stop();
	memory_is_as_before(scene);
}

static void read_one_byte_everywhere(struct scene *scene)
{
	uint64_t length = (scene->command.cdw12 + 1) * scene->rig->setup.lba_size;

	memset(scene->rig->disk, 0x44, length);
	if (carry_out(scene, NVME_CMD_READ) != NVME_OK)
		return;
	for (unsigned i = 0; i < reading.pieces; i++)
		if (memcmp(reading.list[i].iov_base, scene->rig->disk, reading.list[i].iov_len))
			stop();
}

static void write_then_read(struct scene *scene)
{
	uint16_t status;

	memcpy(before, area(scene), AREA);
	memcpy(disk_before, scene->rig->disk, DISK);
	status = carry_out(scene, NVME_CMD_WRITE);
	memory_is_as_before(scene);
	if (status == NVME_OK && !scene->bucket) {
		written_as_told(scene);
		read_back(scene);
		read_one_byte_everywhere(scene);
	} else if (status == NVME_OK) {
		written_as_told(scene);
	} else if (memcmp(scene->rig->disk, disk_before, DISK) != 0) {
		stop();
	} else if (carry_out(scene, NVME_CMD_READ) != NVME_OK) {
		memory_is_as_before(scene);
	}
	fixed_memory_is_as_ever(scene);
}

/* Small structures that come and go by the same pointers; nothing is promised of what they say. */
static void others(struct scene *scene)
{
	struct nvme_command admin = {
		.opcode = NVME_ADMIN_GET_LOG_PAGE,
		.prp1 = scene->command.prp1,
		.prp2 = scene->command.prp2,
		.cdw10 = NVME_LOG_COMMAND_EFFECTS | scene->command.cdw12 << 16,
	};

	carry_out(scene, NVME_CMD_DATASET_MANAGEMENT);
	carry_out(scene, NVME_CMD_COPY);
	rig_do(scene->rig, 0, admin);
	admin.opcode = NVME_ADMIN_SET_FEATURES;
	admin.cdw10 = NVME_FEATURE_HOST_BEHAVIOUR;
	rig_do(scene->rig, 0, admin);
	if (scene->rig->state->csts != NVME_CSTS_RDY)
		stop();
}

/* ---- the bench ---- */

static void add(struct rig *rig, uint64_t address, uint64_t size, unsigned access, uint8_t *host)
{
	struct mem_window window = {address, size, access, host};

	if (mem_add(rig->map, &window) < 0)
		stop();
}

static struct rig *bench(unsigned which)
{
	static struct rig rigs[2];
	static bool made[2];
	struct rig *rig = &rigs[which];

	if (made[which])
		return rig;
	made[which] = true;
	for (size_t i = 0; i < AREA; i++) /* odd: no descriptor's type is a bit bucket's */
		pattern[i] = (uint8_t)((i * 2654435761u >> 15) | 1);
	rig_create(rig, which ? 512 : 4096);
	rig_start(rig, 1);
	rig_map(rig, 0);
	add(rig, RIG_BASE, SEAM - RIG_BASE, MEM_READ | MEM_WRITE, rig->memory);
	add(rig, SEAM, RIG_BASE + RIG_MEMORY - SEAM, MEM_READ | MEM_WRITE,
	    rig->memory + (SEAM - RIG_BASE));
	add(rig, RIG_REMOTE, RIG_MEMORY, MEM_READ | MEM_WRITE, NULL);
	memcpy(rig_at(rig, FIXED), pattern, FIXED_SIZE);
	add(rig, READ_ONLY, FIXED_SIZE, MEM_READ, rig_at(rig, FIXED));
	return rig;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor input = cursor_make(data, size);
	struct scene scene = {.rig = bench(cursor_u8(&input) & 1)};

	memcpy(area(&scene), pattern, AREA);
	memset(scene.rig->disk, 0x33, DISK);
	take_command(&scene, &input);
	for (unsigned i = 0; i < 32 && input.left && !input.failed; i++)
		place_list(&scene, &input);
	write_then_read(&scene);
	others(&scene);
	return 0;
}
