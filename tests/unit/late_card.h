/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A block device card over a store of the tests', in the frame's sandbox. A test program that is
 * started with arguments is this card:
 *
 *	if (argc > 1)
 *		return card_main(&late_ops, argc, argv);
 */
#ifndef KARUTA_TESTS_LATE_CARD_H
#define KARUTA_TESTS_LATE_CARD_H

#include "volume_harness.h"

#include <seccomp.h>
#include <sys/timerfd.h>
#include <time.h>

#include "block.h"
#include "forgetful_store.h"
#include "thread_store.h"

struct late {
	unsigned errors; /* one request in so many fails; 0: none */
	bool encrypted, forgetful;
	uint8_t *bytes; /* of the test's file */
	int alarm;
	struct block *block;
};

static int late_option(struct card *card, const char *name, const char *argument,
		       struct error *error)
{
	struct late *late = card_device(card);

	(void)error;
	if (!strcmp(name, "errors"))
		late->errors = (unsigned)atoi(argument);
	else if (!strcmp(name, "forgetful"))
		late->forgetful = true;
	else
		late->encrypted = true;
	return 0;
}

static int late_open(struct card *card, struct error *error)
{
	struct late *late = card_device(card);
	size_t size = late->forgetful ? FORGETFUL_SIZE(VOLUME_SIZE) : VOLUME_SIZE;
	void *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, FD_FILE, 0);

	if (bytes == MAP_FAILED)
		return error_set(error, errno, "file: %s", strerror(errno));
	late->bytes = bytes;
	late->alarm = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	return late->alarm < 0 ? error_set(error, errno, "timerfd: %s", strerror(errno)) : 0;
}

/* The thread begins in the sandbox, and so is in it. */
static int late_start(struct card *card, bool fresh, struct error *error)
{
	struct late *late = card_device(card);
	const struct block_limits limits = {.timer = -1, .alarm = late->alarm};
	struct nvme_setup setup = {.lba_size = BLOCK, .size = VOLUME_SIZE};
	struct store *store = NULL;
	int err = late->forgetful
			  ? forgetful_store_create(&store, late->bytes, VOLUME_SIZE)
			  : thread_store_create(&store, late->bytes, VOLUME_SIZE, late->errors);

	(void)fresh;
	if (!err && late->encrypted)
		err = store_crypt_create(&store, store, good_key, error);
	if (err)
		return error_set(error, -err, "store: %s", strerror(-err));
	return block_create(&late->block, card, &setup, store, &limits, error);
}

static struct block *block_of(struct card *card)
{
	return ((struct late *)card_device(card))->block;
}

static void late_close(struct card *card)
{
	block_destroy(block_of(card));
}

static void late_bar_read(struct card *card, unsigned bar, uint64_t offset, void *to,
			  uint32_t length)
{
	(void)bar;
	block_bar_read(block_of(card), offset, to, length);
}

static void late_bar_write(struct card *card, unsigned bar, uint64_t offset, const void *from,
			   uint32_t length)
{
	(void)bar;
	block_bar_write(block_of(card), offset, from, length);
}

static void late_master(struct card *card, bool on)
{
	block_master(block_of(card), on);
}

static void late_reset(struct card *card)
{
	block_reset(block_of(card));
}

static void late_quiesce(struct card *card)
{
	block_quiesce(block_of(card));
}

static bool late_work(struct card *card)
{
	return block_work(block_of(card));
}

static const struct card_option late_options[] = {
	{"errors", "N", "one request in N fails"},
	{"encrypted", NULL, "with the cipher in between"},
	{"forgetful", NULL, "a store that keeps what was flushed"},
};

static const struct jail_syscall late_calls[] = {
	{SCMP_SYS(eventfd2), "how the store's thread tells", {{0}}},
	{SCMP_SYS(clone3), "the store's thread", {{0}}},
	{SCMP_SYS(clone), "the same, by an older C library", {{0}}},
	{SCMP_SYS(rseq), "how a thread begins", {{0}}},
	{SCMP_SYS(set_robust_list), "how a thread begins", {{0}}},
	{SCMP_SYS(rt_sigaction), "the C library's own signals for threads", {{0}}},
	{SCMP_SYS(rt_sigprocmask), "how a thread begins", {{0}}},
	{SCMP_SYS(mprotect), "the guard of its stack", {{0}}},
	{SCMP_SYS(clock_nanosleep), "it is late", {{0}}},
	{SCMP_SYS(exit), "how a thread ends", {{0}}},
#if defined(__SANITIZE_ADDRESS__) || HARNESS_CLANG_ASAN
	{SCMP_SYS(sigaltstack), "the sanitizer's part of a thread", {{0}}},
	{SCMP_SYS(gettid), "the same", {{0}}},
	{SCMP_SYS(getpid), "the same", {{0}}},
	{SCMP_SYS(prlimit64), "the same", {{0}}},
	{SCMP_SYS(sched_getaffinity), "the same", {{0}}},
	{SCMP_SYS(sched_yield), "the same", {{0}}},
	{SCMP_SYS(prctl), "the same", {{0}}},
#endif
	{SCMP_SYS(mlock2), "the cipher begins in the sandbox here", {{0}}},
};

static const struct card_ops late_ops = {
	.name = "late",
	.summary = "a disk that is late",
	.identity = &block_identity,
	.state_version = BLOCK_STATE_VERSION,
	.state_size = BLOCK_STATE_SIZE,
	.options = late_options,
	.option_count = ARRAY_LEN(late_options),
	.system_calls = late_calls,
	.system_call_count = ARRAY_LEN(late_calls),
	.option = late_option,
	.open = late_open,
	.start = late_start,
	.close = late_close,
	.bar_read = late_bar_read,
	.bar_write = late_bar_write,
	.master = late_master,
	.reset = late_reset,
	.quiesce = late_quiesce,
	.work = late_work,
	.device_size = sizeof(struct late),
};

#endif
