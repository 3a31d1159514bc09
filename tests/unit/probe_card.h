/* SPDX-License-Identifier: Apache-2.0 */
/* A card for the tests of the frame. A test program that is started with arguments is this card. */
#ifndef KARUTA_TESTS_PROBE_CARD_H
#define KARUTA_TESTS_PROBE_CARD_H

#include "card_harness.h"

#include <pthread.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "mem/mem.h"

enum probe_register {
	DEED = 0x00,   /* write: do it, see below */
	WORKED = 0x08, /* how often work() ran */
	QUIESCED = 0x10,
	MASTERED = 0x18, /* how often bus mastering was switched on */
	OPTION = 0x20,	 /* what --number said */
	KEPT = 0x28,	 /* in the state area */
	ADDRESS = 0x30,	 /* write: read 8 bytes of guest memory there */
	FETCHED = 0x38,	 /* the bytes, or all ones */
	STRAY = 0x40,	 /* how many bytes were written to no register */
};

#define TABLE	 0x1000u
#define PENDING	 0x1800u
#define NOTHING	 0xa5u /* what the rest of the BAR reads as */
#define BAR_SIZE 8192u

enum deed {
	CALL_GETUID = 1,
	OPEN_FILE,
	MAKE_SOCKET,
	RUN_MEMORY,
	NEW_THREAD,
	YIELD, /* its own line of system calls */
	ALLOCATE,
	RUN_ONCE,
	TOUCH_BEYOND,
};

struct probe {
	uint64_t worked, quiesced, mastered, option, stray, fetched;
	const char *fail_open, *fail_start;
	volatile uint8_t *beyond;
};

struct probe_state {
	uint64_t kept;
	uint64_t added; /* in version 3 */
};

static const struct pci_identity probe_identity = {
	.vendor = KARUTA_PCI_VENDOR,
	.device = 0x7777,
	.class_code = 0xff0000,
	.bars = {{.size = BAR_SIZE}},
	.msix_vectors = 3,
	.msix_table_offset = TABLE,
	.msix_pending_offset = PENDING,
};

static const struct card_option probe_options[] = {
	{"number", "N", "shown in a register"},
	{"fail-open", "TEXT", "what open() says"},
	{"fail-start", "HOW", "corrupt or broken"},
};

static const struct jail_syscall probe_calls[] = {
	{SCMP_SYS(sched_yield), "to see that a card has its own lines", {{0}}},
};

static int probe_option(struct card *card, const char *name, const char *argument,
			struct error *error)
{
	struct probe *probe = card_device(card);

	if (!strcmp(name, "number"))
		probe->option = strtoull(argument, NULL, 10);
	else if (!strcmp(name, "fail-open"))
		probe->fail_open = argument;
	else
		probe->fail_start = argument;
	return probe->option == 13 ? error_set(error, EINVAL, "--number 13: brings bad luck") : 0;
}

/* A page of a file that ends before it: its own SIGBUS, which nothing guards. */
static int probe_open(struct card *card, struct error *error)
{
	struct probe *probe = card_device(card);
	int fd = memfd_create("beyond", MFD_CLOEXEC);

	if (probe->fail_open)
		return error_set(error, EIO, "%s", probe->fail_open);
	probe->beyond = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	return 0;
}

static int probe_start(struct card *card, bool fresh, struct error *error)
{
	const struct probe *probe = card_device(card);

	(void)fresh;
	if (!probe->fail_start)
		return 0;
	return strcmp(probe->fail_start, "corrupt") ? error_set(error, EIO, "it broke")
						    : error_set(error, EPROTO, "state is corrupt");
}

static void allocate(void)
{
	volatile uint8_t *small[256];
	uint8_t *big = malloc(1 << 20);

	for (size_t i = 0; i < ARRAY_LEN(small); i++)
		small[i] = calloc(1, 3000);
	big = realloc(big, 8 << 20);
	if (big)
		memset(big, 1, 8 << 20);
	free(big);
	for (size_t i = 0; i < ARRAY_LEN(small); i++)
		free((void *)small[i]);
}

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void run_once(void)
{
}

static void do_deed(struct probe *probe, uint64_t deed)
{
	switch (deed) {
	case CALL_GETUID:
		syscall(SYS_getuid);
		break;
	case OPEN_FILE:
		open("/", O_RDONLY);
		break;
	case MAKE_SOCKET:
		socket(AF_INET, SOCK_STREAM, 0);
		break;
	case RUN_MEMORY:
		mmap(NULL, 4096, PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		break;
	case NEW_THREAD:
		syscall(SYS_clone, CLONE_VM | SIGCHLD, NULL, NULL, NULL, NULL);
		break;
	case YIELD:
		sched_yield();
		break;
	case ALLOCATE:
		allocate();
		break;
	case RUN_ONCE:
		pthread_once(&once, run_once);
		break;
	case TOUCH_BEYOND:
		(void)*probe->beyond;
		break;
	default:
		break;
	}
}

static void probe_read(struct card *card, unsigned bar, uint64_t offset, void *to, uint32_t length)
{
	const struct probe *probe = card_device(card);
	const struct probe_state *state = card_state(card);
	const uint64_t registers[] = {
		[WORKED / 8] = probe->worked,	  [QUIESCED / 8] = probe->quiesced,
		[MASTERED / 8] = probe->mastered, [OPTION / 8] = probe->option,
		[KEPT / 8] = state->kept,	  [FETCHED / 8] = probe->fetched,
		[STRAY / 8] = probe->stray,
	};

	(void)bar;
	memset(to, NOTHING, length);
	if (offset < sizeof(registers))
		memcpy(to, (const uint8_t *)registers + offset,
		       min_u64(length, sizeof(registers) - offset));
}

static void probe_write(struct card *card, unsigned bar, uint64_t offset, const void *from,
			uint32_t length)
{
	struct probe *probe = card_device(card);
	struct probe_state *state = card_state(card);
	uint64_t value = 0;

	(void)bar;
	memcpy(&value, from, length < 8 ? length : 8);
	if (offset > STRAY)
		probe->stray += length;
	else if (offset == KEPT)
		state->kept = value;
	else if (offset == DEED)
		do_deed(probe, value);
	else if (offset == ADDRESS &&
		 mem_read(card_memory(card), value, &probe->fetched, sizeof(probe->fetched)))
		probe->fetched = UINT64_MAX;
}

static bool probe_work(struct card *card)
{
	struct probe *probe = card_device(card);

	probe->worked++;
	return false;
}

static void probe_quiesce(struct card *card)
{
	struct probe *probe = card_device(card);

	probe->quiesced++;
}

static void probe_master(struct card *card, bool on)
{
	struct probe *probe = card_device(card);

	probe->mastered += on;
}

static void probe_reset(struct card *card)
{
	struct probe_state *state = card_state(card);

	state->kept = 0;
}

static const struct card_ops probe_ops = {
	.name = "probe",
	.summary = "for the tests of the frame",
	.identity = &probe_identity,
	.state_version = 3,
	.readable_from = 3,
	.state_size = sizeof(struct probe_state),
	.older_size = sizeof(struct probe_state) - 8,
	.device_size = sizeof(struct probe),
	.options = probe_options,
	.option_count = ARRAY_LEN(probe_options),
	.system_calls = probe_calls,
	.system_call_count = ARRAY_LEN(probe_calls),
	.option = probe_option,
	.open = probe_open,
	.start = probe_start,
	.bar_read = probe_read,
	.bar_write = probe_write,
	.work = probe_work,
	.quiesce = probe_quiesce,
	.master = probe_master,
	.reset = probe_reset,
};

static int setup(void **state)
{
	static struct harness harness;

	harness_open(&harness, harness_program(NULL));
	*state = &harness;
	return 0;
}

static int teardown(void **state)
{
	struct harness *harness = *state;

	if (harness->pid > 0 && harness->pidfd >= 0) {
		kill(harness->pid, SIGKILL);
		waitpid(harness->pid, NULL, 0);
	}
	harness_close(harness);
	return 0;
}

static void wait_worked(struct harness *harness)
{
	for (unsigned i = 0; i < PATIENCE_MS; i++) {
		if (harness_read(harness, 0, WORKED, 8))
			return;
		usleep(1000);
	}
	fail_msg("work() was never called");
}

#endif
