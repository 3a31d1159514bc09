/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process dies while it carries out commands, and another goes on: every command has exactly one
 * answer, the right one. What matters is which stores to state and guest memory came before the
 * death: both are write-protected, each store traps, and the process dies before the nth, for
 * every n.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <cmocka.h>

#include "nvme_rig.h"

#define TRAP_FLAG 0x100 /* of EFLAGS: stop after one instruction */

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

/* ---- damaged states are refused ---- */

static void refused(struct rig *rig, void *field, uint64_t value, size_t size)
{
	uint64_t good = 0;

	memcpy(&good, field, size);
	memcpy(field, &value, size);
	assert_int_equal(rig_restart(rig), -EPROTO);
	memcpy(field, &good, size);
	assert_int_equal(rig_restart(rig), 0);
}

#define REFUSED(rig, field, value) refused(rig, &(field), (uint64_t)(value), sizeof(field))

static void damaged_states(void **context)
{
	struct rig *rig = *context;
	struct nvme_state *state = rig->state;
	struct nvme_slot *slot;

	rig->late = true;
	rig_submit(rig, 1, rig_io(rig, NVME_CMD_READ, 0, 1, RIG_DATA));
	rig_process(rig);
	slot = &state->slots[rig->waiting[0]->slot];
	REFUSED(rig, state->magic, 1);
	REFUSED(rig, state->version, NVME_STATE_VERSION - 2);
	REFUSED(rig, state->version, NVME_STATE_VERSION + 2);
	REFUSED(rig, state->lba_size, 4096);
	REFUSED(rig, state->cc, 0xff000000);
	REFUSED(rig, state->csts, 0x10);
	REFUSED(rig, state->csts, 0xd);
	REFUSED(rig, state->asq, 1);
	REFUSED(rig, state->resetting, 2);
	REFUSED(rig, state->master, 2);
	REFUSED(rig, state->event_waiting[1], 1);
	REFUSED(rig, state->event_masked[1], 2);
	REFUSED(rig, state->features.write_cache, 2);
	REFUSED(rig, state->features.no_coalescing, 1 << 17);
	REFUSED(rig, state->features.host_behaviour[2], 2);
	REFUSED(rig, state->sq[0].state, NVME_QUEUE_ABSENT);
	REFUSED(rig, state->sq[0].state, NVME_QUEUE_DELETING);
	REFUSED(rig, state->sq[1].state, 3);
	REFUSED(rig, state->sq[1].size, 1);
	REFUSED(rig, state->sq[1].size, NVME_QUEUE_DEPTH + 1);
	REFUSED(rig, state->sq[1].cq, 2);
	REFUSED(rig, state->sq[1].cq, 0);
	REFUSED(rig, state->sq[1].cq, 17);
	REFUSED(rig, state->sq[1].base, 8);
	REFUSED(rig, state->sq[1].base, UINT64_MAX - 4095);
	REFUSED(rig, state->sq[1].doorbell, RIG_DEPTH);
	REFUSED(rig, state->cq[1].state, NVME_QUEUE_ABSENT);
	REFUSED(rig, state->cq[1].state, 2);
	REFUSED(rig, state->cq[1].size, 0);
	REFUSED(rig, state->cq[1].vector, 17);
	REFUSED(rig, state->cq[1].consumed, 1);
	REFUSED(rig, state->cq[1].posted, RIG_DEPTH);
	REFUSED(rig, state->cq[1].doorbell, RIG_DEPTH);
	REFUSED(rig, state->cq[1].interrupts, 2);
	REFUSED(rig, slot->state, 4);
	REFUSED(rig, slot->state, NVME_SLOT_FETCHED ^ 1);
	REFUSED(rig, slot->state, NVME_SLOT_DONE);
	REFUSED(rig, slot->state, NVME_SLOT_FREE);
	REFUSED(rig, state->slots[1].state, NVME_SLOT_FETCHED);
	REFUSED(rig, slot->command.cdw10, 1);
	REFUSED(rig, slot->command.prp1, RIG_DATA + 4096);
	REFUSED(rig, slot->queue, 17);
	REFUSED(rig, slot->queue, 2);
	REFUSED(rig, slot->id, 0);
	REFUSED(rig, slot->id, state->next_id);
	REFUSED(rig, slot->fetched, 2);
	REFUSED(rig, slot->status, 0x8000);
}

/* ---- commands that were under way ---- */

static void commands_go_on(void **context)
{
	struct rig *rig = *context;
	struct nvme_completion entry;
	unsigned before;

	memset(rig->disk, 0x77, 512);
	rig->late = true;
	for (unsigned i = 0; i < 5; i++)
		rig_submit(rig, 1, rig_io(rig, NVME_CMD_READ, 0, 1, RIG_DATA));
	rig_submit(rig, 0, (struct nvme_command){.opcode = NVME_ADMIN_ASYNC_EVENT});
	rig_process(rig);
	rig_answer(rig, 1, 0);
	assert_int_equal(rig_restart(rig), 0);
	before = rig->interrupts[1];
	rig_process(rig);
	/* The one that was answered is not carried out again; its interrupt may have been lost. */
	assert_int_equal(rig->waiting_count, 4);
	assert_int_equal(rig->interrupts[1], before + 1);
	rig_answer_all(rig);
	for (unsigned i = 0; i < 5; i++)
		assert_true(rig_reap(rig, 1, &entry));
	assert_false(rig_reap(rig, 1, &entry));
	rig_write(rig, NVME_REG_DOORBELLS, RIG_DEPTH);
	rig_process(rig);
	assert_true(rig_reap(rig, 0, &entry));
	assert_int_equal(entry.result, 0x010100);
}

/* As a card's sandbox does, for a call that parts of the C library make behind one's back. */
static void forbid(unsigned call)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, 2, &program))
		_exit(2);
}

static void go_on_in_a_sandbox(struct rig *rig, unsigned count)
{
	forbid(SYS_sysinfo);
	if (rig_restart(rig))
		_exit(3);
	rig_process(rig);
	for (unsigned i = 0; i < count; i++)
		if (i >= rig->waiting_count || rig->waiting[i]->offset != i * 512)
			_exit(4);
	_exit(0);
}

/* All in the order of their arrival, and inside the sandbox. */
static void as_many_as_there_can_be_go_on(void **context)
{
	struct rig *rig = *context;
	unsigned count;
	int status;
	pid_t pid;

	assert_int_equal(rig_create_cq(rig, 2, 1024, 2), NVME_OK);
	assert_int_equal(rig_create_sq(rig, 2, 1024, 2), NVME_OK);
	rig->late = true;
	for (unsigned i = 0; i < 1023; i++)
		rig_submit(rig, 2, rig_io(rig, NVME_CMD_READ, i, 1, RIG_DATA));
	rig_process(rig);
	count = rig->waiting_count;
	assert_true(count > 1000);
	pid = fork();
	if (!pid)
		go_on_in_a_sandbox(rig, count);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	rig_answer_all(rig);
}

static void disable_goes_on(void **context)
{
	struct rig *rig = *context;

	rig->late = true;
	rig_submit(rig, 1, rig_io(rig, NVME_CMD_READ, 0, 1, RIG_DATA));
	rig_process(rig);
	rig_write(rig, NVME_REG_CC, 0);
	assert_int_equal(rig_restart(rig), 0);
	rig_process(rig);
	assert_int_equal(rig_read(rig, NVME_REG_CSTS), 0);
	assert_int_equal(rig->waiting_count, 0);
}

static void shutdown_goes_on(void **context)
{
	struct rig *rig = *context;

	rig->late = true;
	rig_write(rig, NVME_REG_CC, rig_read(rig, NVME_REG_CC) | 1 << 14);
	rig_process(rig);
	assert_int_equal(rig_restart(rig), 0);
	rig_process(rig);
	rig_answer_all(rig);
	assert_int_equal(rig_read(rig, NVME_REG_CSTS), NVME_CSTS_RDY | NVME_CSTS_SHST_COMPLETE);
}

/* ---- death at any instant ---- */

/* What the child does until it dies, and what has to have come of it in the end. */
struct scene {
	void (*prepare)(struct rig *rig);
	void (*act)(struct rig *rig);
	void (*check)(struct rig *rig);
};

static struct rig *dying;
static unsigned stores_left;

static void protect(int protection)
{
	mprotect(dying->state, sizeof(*dying->state), protection);
	mprotect(dying->memory, RIG_MEMORY, protection);
}

/* A store: the last moment, or it is let through. */
static void at_store(int signal, siginfo_t *info, void *context)
{
	ucontext_t *machine = context;
	uint8_t *address = info->si_addr;
	bool ours =
		(address >= (uint8_t *)dying->state && address < (uint8_t *)(dying->state + 1)) ||
		(address >= dying->memory && address < dying->memory + RIG_MEMORY);

	(void)signal;
	if (!ours)
		_exit(2);
	if (!stores_left--)
		_exit(1);
	protect(PROT_READ | PROT_WRITE);
	machine->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
}

static void after_store(int signal, siginfo_t *info, void *context)
{
	ucontext_t *machine = context;

	(void)signal;
	(void)info;
	protect(PROT_READ);
	machine->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
}

static void act_and_die(struct rig *rig, const struct scene *scene, unsigned stores)
{
	struct sigaction store = {.sa_sigaction = at_store, .sa_flags = SA_SIGINFO};
	struct sigaction step = {.sa_sigaction = after_store, .sa_flags = SA_SIGINFO};

	dying = rig;
	stores_left = stores;
	sigaction(SIGSEGV, &store, NULL);
	sigaction(SIGTRAP, &step, NULL);
	protect(PROT_READ);
	scene->act(rig);
	_exit(0);
}

/* False: it got to its end first. */
static bool die_before_store(struct rig *rig, const struct scene *scene, unsigned stores)
{
	pid_t child = fork();
	int status;

	if (child == 0)
		act_and_die(rig, scene, stores);
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
	return WEXITSTATUS(status) == 1;
}

static void start_over(struct rig *rig, const struct scene *scene)
{
	nvme_reset(rig->nvme);
	rig_start(rig, 1);
	scene->prepare(rig);
}

static void go_on(struct rig *rig, const struct scene *scene)
{
	assert_int_equal(rig_restart(rig), 0);
	rig_process(rig);
	scene->check(rig);
}

static void play(struct rig *rig, const struct scene *scene)
{
	bool died = true;
	unsigned n = 0;

	for (; died; n++) {
		start_over(rig, scene);
		died = die_before_store(rig, scene, n);
		go_on(rig, scene);
	}
	assert_true(n > 20);
}

/* The one that takes over dies as well, a bit later each time. */
static void play_twice(struct rig *rig, const struct scene *scene)
{
	bool died = true;

	for (unsigned n = 0; died; n += 5) {
		bool died_again = true;

		for (unsigned m = 0; died_again; m += 5) {
			start_over(rig, scene);
			died = die_before_store(rig, scene, n);
			assert_int_equal(rig_restart(rig), 0);
			died_again = die_before_store(rig, scene, m);
			go_on(rig, scene);
		}
	}
}

static void process(struct rig *rig)
{
	nvme_process(rig->nvme);
}

#define COMMANDS 4u

static struct nvme_counters counted;

static void write_some(struct rig *rig)
{
	counted = rig->state->counters;
	memset(rig->disk, 0, COMMANDS * 4096);
	for (unsigned i = 0; i < COMMANDS; i++) {
		memset(rig_at(rig, RIG_DATA + i * 4096), (int)(i + 1), 4096);
		rig_submit(rig, 1, rig_io(rig, NVME_CMD_WRITE, i * 8, 8, RIG_DATA + i * 4096));
	}
}

static void answered_once_each(struct rig *rig, unsigned queue, unsigned count)
{
	uint16_t first = (uint16_t)(rig->next_cid - count);
	struct nvme_completion entry;
	unsigned seen = 0;

	for (unsigned i = 0; i < count; i++) {
		assert_true(rig_reap(rig, queue, &entry));
		assert_int_equal(entry.status >> 1, NVME_OK);
		assert_true((uint16_t)(entry.cid - first) < count);
		assert_false(seen & 1u << (uint16_t)(entry.cid - first));
		seen |= 1u << (uint16_t)(entry.cid - first);
	}
	assert_false(rig_reap(rig, queue, &entry));
	for (unsigned i = 0; i < NVME_COMMANDS; i++)
		assert_int_equal(rig->state->slots[i].state, NVME_SLOT_FREE);
}

static void all_written(struct rig *rig)
{
	answered_once_each(rig, 1, COMMANDS);
	assert_int_equal(rig->state->counters.writes, counted.writes + COMMANDS);
	assert_int_equal(rig->state->counters.sectors_written,
			 counted.sectors_written + COMMANDS * 8);
	for (unsigned i = 0; i < COMMANDS; i++)
		assert_memory_equal(rig->disk + i * 4096, rig_at(rig, RIG_DATA + i * 4096), 4096);
}

static const struct scene writes = {write_some, process, all_written};

static void ask_for_too_much(struct rig *rig)
{
	counted = rig->state->counters;
	rig_submit(rig, 1, rig_io(rig, NVME_CMD_READ, UINT32_MAX, 1, RIG_DATA));
	rig->fail = -EIO;
	rig->fail_count = 1;
	rig_submit(rig, 1, rig_io(rig, NVME_CMD_READ, 0, 1, RIG_DATA));
}

/* The disk fails anew for the process that takes over. */
static void refused_and_logged_once(struct rig *rig)
{
	const struct nvme_counters *counters = &rig->state->counters;
	struct nvme_completion first, second;

	assert_true(rig_reap(rig, 1, &first) && rig_reap(rig, 1, &second));
	assert_int_equal(first.status >> 1, NVME_LBA_OUT_OF_RANGE);
	assert_int_equal(counters->errors - counted.errors, 1u + (second.status >> 1 != NVME_OK));
	assert_int_equal(counters->media_errors - counted.media_errors,
			 second.status >> 1 != NVME_OK);
	assert_int_equal(counters->reads - counted.reads, second.status >> 1 == NVME_OK);
	assert_int_equal(rig->state->errors[counters->errors % NVME_ERROR_ENTRIES].cid,
			 second.status >> 1 == NVME_OK ? first.cid : second.cid);
}

static const struct scene errors = {ask_for_too_much, process, refused_and_logged_once};

/* Two blocks in the other order, and a comparison that finds them so. */
static void copy_some(struct rig *rig)
{
	struct nvme_copy_range *sources = (void *)rig_at(rig, RIG_DATA);
	struct nvme_command command = {
		.opcode = NVME_CMD_COPY, .nsid = 1, .prp1 = RIG_DATA, .cdw10 = 64, .cdw12 = 1};

	memset(rig->disk, 0x11, 4096);
	memset(rig->disk + 4096, 0x22, 4096);
	memset(rig->disk + 32768, 0, 8192);
	memset(sources, 0, 2 * sizeof(*sources));
	sources[0].lba = 8;
	sources[0].blocks = sources[1].blocks = 7;
	memset(rig_at(rig, RIG_DATA + 4096), 0x22, 4096);
	memset(rig_at(rig, RIG_DATA + 8192), 0x11, 4096);
	rig_submit(rig, 1, command);
	rig_submit(rig, 1, rig_io(rig, NVME_CMD_COMPARE, 64, 16, RIG_DATA + 4096));
}

static void all_copied(struct rig *rig)
{
	answered_once_each(rig, 1, 2);
	assert_memory_equal(rig->disk + 32768, rig_at(rig, RIG_DATA + 4096), 8192);
}

static const struct scene copies = {copy_some, process, all_copied};

/* What is written is not what was compared: made twice, the comparison would fail. */
static void compare_and_write(struct rig *rig)
{
	struct nvme_command compare = rig_io(rig, NVME_CMD_COMPARE, 3, 1, RIG_DATA);
	struct nvme_command write = rig_io(rig, NVME_CMD_WRITE, 3, 1, RIG_DATA + 4096);

	compare.flags = NVME_FUSE_FIRST;
	write.flags = NVME_FUSE_SECOND;
	memset(rig->disk, 0x11, 4096);
	memset(rig_at(rig, RIG_DATA), 0x11, 512);
	memset(rig_at(rig, RIG_DATA + 4096), 0x22, 512);
	rig_submit(rig, 1, compare);
	rig_submit(rig, 1, write);
}

static void compared_and_written(struct rig *rig)
{
	answered_once_each(rig, 1, 2);
	assert_memory_equal(rig->disk + 3 * 512, rig_at(rig, RIG_DATA + 4096), 512);
}

static const struct scene pairs = {compare_and_write, process, compared_and_written};

static void queue_commands(struct rig *rig)
{
	struct nvme_command create_cq = {.opcode = NVME_ADMIN_CREATE_CQ,
					 .prp1 = RIG_DATA,
					 .cdw10 = 63 << 16 | 2,
					 .cdw11 = 2 << 16 | 3};
	struct nvme_command create_sq = {.opcode = NVME_ADMIN_CREATE_SQ,
					 .prp1 = RIG_DATA + 8192,
					 .cdw10 = 63 << 16 | 2,
					 .cdw11 = 2 << 16 | 1};
	struct nvme_command delete_sq = {.opcode = NVME_ADMIN_DELETE_SQ, .cdw10 = 1};

	rig_submit(rig, 0, create_cq);
	rig_submit(rig, 0, create_sq);
	rig_submit(rig, 0, delete_sq);
}

static void process_twice(struct rig *rig)
{
	nvme_process(rig->nvme);
	nvme_process(rig->nvme);
}

static void queues_are_there(struct rig *rig)
{
	rig_process(rig);
	answered_once_each(rig, 0, 3);
	assert_int_equal(rig->state->sq[2].state, NVME_QUEUE_LIVE);
	assert_int_equal(rig->state->cq[2].state, NVME_QUEUE_LIVE);
	assert_int_equal(rig->state->sq[1].state, NVME_QUEUE_ABSENT);
}

static const struct scene queue_changes = {queue_commands, process_twice, queues_are_there};

static void ask_to_disable(struct rig *rig)
{
	rig_submit(rig, 0, (struct nvme_command){.opcode = NVME_ADMIN_ASYNC_EVENT});
	rig_process(rig);
	rig_write(rig, NVME_REG_CC, 0);
}

static void is_disabled(struct rig *rig)
{
	assert_int_equal(rig_read(rig, NVME_REG_CSTS), 0);
	for (unsigned i = 0; i < NVME_QUEUES; i++)
		assert_int_equal(rig->state->sq[i].state, NVME_QUEUE_ABSENT);
}

static const struct scene disable = {ask_to_disable, process, is_disabled};

static void death_while_writing(void **context)
{
	play(*context, &writes);
}

static void death_while_refusing(void **context)
{
	play(*context, &errors);
}

static void death_while_copying(void **context)
{
	play(*context, &copies);
}

static void death_while_comparing_and_writing(void **context)
{
	play(*context, &pairs);
	play_twice(*context, &pairs);
}

static void death_while_queues_change(void **context)
{
	play(*context, &queue_changes);
}

static void death_while_disabling(void **context)
{
	play(*context, &disable);
}

static void death_of_the_next_one_too(void **context)
{
	play_twice(*context, &writes);
	play_twice(*context, &queue_changes);
}

/* The guest has taken an answer whose step 7 the dead process did not get to. */
static void answer_taken_before_the_count(void **context)
{
	struct rig *rig = *context;
	struct nvme_completion entry;
	struct nvme_slot *slot;

	rig->late = true;
	rig_submit(rig, 1, rig_io(rig, NVME_CMD_READ, 0, 1, RIG_DATA));
	rig_process(rig);
	slot = &rig->state->slots[rig->waiting[0]->slot];
	rig_answer_all(rig);
	slot->state = NVME_SLOT_POSTING;
	slot->check = nvme_slot_check(slot);
	rig->state->cq[1].posted--;
	assert_int_equal(rig_restart(rig), 0);
	assert_true(rig_reap(rig, 1, &entry));
	rig_process(rig);
	assert_false(rig_reap(rig, 1, &entry));
	assert_int_equal(rig->events[NVME_EVENT_BAD_DOORBELL], 0);
	rig->late = false;
	assert_int_equal(rig_do(rig, 1, rig_io(rig, NVME_CMD_READ, 0, 1, RIG_DATA)), NVME_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(damaged_states, set_up, tear_down),
		cmocka_unit_test_setup_teardown(commands_go_on, set_up, tear_down),
		cmocka_unit_test_setup_teardown(as_many_as_there_can_be_go_on, set_up, tear_down),
		cmocka_unit_test_setup_teardown(disable_goes_on, set_up, tear_down),
		cmocka_unit_test_setup_teardown(shutdown_goes_on, set_up, tear_down),
		cmocka_unit_test_setup_teardown(answer_taken_before_the_count, set_up, tear_down),
		cmocka_unit_test_setup_teardown(death_while_writing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(death_while_refusing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(death_while_copying, set_up, tear_down),
		cmocka_unit_test_setup_teardown(death_while_comparing_and_writing, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(death_while_queues_change, set_up, tear_down),
		cmocka_unit_test_setup_teardown(death_while_disabling, set_up, tear_down),
		cmocka_unit_test_setup_teardown(death_of_the_next_one_too, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("nvme recovery", tests, NULL, NULL);
}
