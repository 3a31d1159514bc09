/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A state area that was damaged while commands were under way, and the process that finds it. The
 * input is what was under way and what was hit.
 *
 *   - it is refused, or the controller works on, and after a reset as new;
 *   - where only commands were hit, each block is what it was or what the guest wrote into it, and
 *     every command has one answer, its own;
 *   - whatever was hit, no block changes that no command was for.
 */
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/cursor.h"
#include "nvme_rig.h"

#define COMMANDS 12u
#define BLOCKS	 4u /* each command's own, from its number * BLOCKS on */
#define BLOCK	 512u
#define LENGTH	 ((size_t)BLOCKS * BLOCK)
#define OLD	 0x11
#define DISK	 ((size_t)256 << 10)
#define SLOTS	 offsetof(struct nvme_state, slots)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct scene {
	struct rig *rig;
	bool queues_hit; /* what is outside of the commands was hit */
	unsigned sent, answered;
	uint16_t first_cid;
	bool seen[COMMANDS];
};

static void stop(void)
{
	abort();
}

/* ---- what was under way ---- */

static uint8_t *data_of(const struct scene *scene, unsigned command)
{
	return rig_at(scene->rig, RIG_DATA + command * UINT64_C(4096));
}

static void send(struct scene *scene, uint8_t kind)
{
	unsigned n = scene->sent++;
	uint8_t opcode = kind & 1 ? NVME_CMD_WRITE : NVME_CMD_READ;
	struct nvme_command command =
		rig_io(scene->rig, opcode, n * BLOCKS, BLOCKS, RIG_DATA + n * UINT64_C(4096));

	memset(data_of(scene, n), kind & 1 ? (int)(0x80 + n) : 0, LENGTH);
	rig_submit(scene->rig, 1, command);
}

static void take_answers(struct scene *scene)
{
	struct nvme_completion entry;
	unsigned n;

	while (rig_reap(scene->rig, 1, &entry)) {
		n = (uint16_t)(entry.cid - scene->first_cid);
		if (scene->queues_hit)
			continue;
		if (n >= scene->sent || scene->seen[n] || entry.status >> 1 != NVME_OK)
			stop();
		scene->seen[n] = true;
		scene->answered++;
	}
}

static void act(struct scene *scene, uint8_t kind)
{
	struct rig *rig = scene->rig;

	switch (kind % 8) {
	case 0:
	case 1:
	case 2:
		if (scene->sent < COMMANDS)
			send(scene, kind / 8);
		break;
	case 3:
	case 4:
		nvme_process(rig->nvme);
		break;
	case 5:
		if (rig->waiting_count)
			rig_answer(rig, kind / 8 % rig->waiting_count, 0);
		break;
	case 6:
		take_answers(scene);
		break;
	default:
		rig_submit(rig, 0, (struct nvme_command){.opcode = NVME_ADMIN_ASYNC_EVENT});
		scene->rig->next_cid--;
		break;
	}
}

/* ---- what was hit ---- */

static void hit(struct scene *scene, struct cursor *input)
{
	uint8_t *bytes = (uint8_t *)scene->rig->state, kind = cursor_u8(input);
	size_t at = cursor_u32(input), size = sizeof(*scene->rig->state), length = kind / 4 % 16;

	/* The first commands are those in use. */
	if (kind & 1)
		at = SLOTS + at % (COMMANDS * sizeof(struct nvme_slot));
	else
		at %= kind & 2 ? size : SLOTS;
	length = min_u64(length + 1, size - at);
	scene->queues_hit |= at < SLOTS;
	cursor_copy(input, bytes + at, length);
}

/* ---- what has to hold ---- */

static void blocks_are_old_or_written(const struct scene *scene)
{
	for (size_t i = 0; i < DISK / LENGTH; i++) {
		const uint8_t *block = scene->rig->disk + i * LENGTH;
		bool own = i < scene->sent && block[0] == 0x80 + i;

		if ((block[0] != OLD && !own) || memcmp(block, block + 1, LENGTH - 1) != 0)
			stop();
	}
}

static void all_is_answered(const struct scene *scene)
{
	if (scene->answered != scene->sent)
		stop();
	for (unsigned n = 0; n < scene->sent; n++)
		if (memcmp(data_of(scene, n), scene->rig->disk + n * LENGTH, LENGTH) != 0)
			stop();
}

static void finish(struct scene *scene)
{
	struct rig *rig = scene->rig;

	for (unsigned i = 0; i < 100; i++) {
		nvme_process(rig->nvme);
		rig_answer_all(rig);
		if (!scene->queues_hit)
			take_answers(scene);
	}
	blocks_are_old_or_written(scene);
	if (!scene->queues_hit)
		all_is_answered(scene);
}

/* As a driver that has had enough. */
static void reset_and_use(struct rig *rig)
{
	uint64_t disk = DISK / BLOCK;

	rig->late = false;
	nvme_reset(rig->nvme);
	nvme_set_master(rig->nvme, true);
	rig_start(rig, 1);
	memset(rig_at(rig, RIG_DATA), 0x55, LENGTH);
	if (rig_do(rig, 1, rig_io(rig, NVME_CMD_WRITE, disk - BLOCKS, BLOCKS, RIG_DATA)) ||
	    rig_do(rig, 1, rig_io(rig, NVME_CMD_READ, disk - BLOCKS, BLOCKS, RIG_DATA + 8192)) ||
	    memcmp(rig_at(rig, RIG_DATA), rig_at(rig, RIG_DATA + 8192), LENGTH) != 0)
		stop();
}

static void start(struct scene *scene)
{
	static struct rig rig;
	static bool made;

	if (!made)
		rig_create(&rig, BLOCK);
	made = true;
	rig.setup.size = DISK;
	memset(rig.state, 0, sizeof(*rig.state));
	if (rig_restart(&rig) < 0)
		stop();
	nvme_set_master(rig.nvme, true);
	memset(rig.disk, OLD, DISK);
	memset(rig_at(&rig, RIG_BASE), 0, 512 << 10);
	rig_start(&rig, 1);
	rig.late = true;
	*scene = (struct scene){.rig = &rig, .first_cid = rig.next_cid};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor input = cursor_make(data, size);
	struct scene scene;
	uint8_t acts, hits;

	start(&scene);
	acts = cursor_u8(&input) % 64;
	hits = cursor_u8(&input) % 8;
	while (acts-- && !input.failed)
		act(&scene, cursor_u8(&input));
	while (hits-- && !input.failed)
		hit(&scene, &input);
	scene.rig->late = false;
	if (rig_restart(scene.rig) < 0) {
		blocks_are_old_or_written(&scene);
		return 0;
	}
	finish(&scene);
	reset_and_use(scene.rig);
	return 0;
}
