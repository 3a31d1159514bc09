/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A card's life, in the order in which it gets less able:
 *
 *	1 protect	no dumps, signals by descriptor, guard against truncated memory
 *	2 options	what the command line says; status page and state area are mapped
 *	3 open		the card's back end
 *	4 bus		loop, doorbells, server, socket; commands
 *	5 sandbox	nothing can be opened from here on
 *	6 take over	the state area's lock: if another process has it, when that has stopped
 *	7 start		the device, from the state area
 *	8 READY, then serve until the client has left or SIGTERM
 *	9 end		quiesce, close, ENDED
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/base.h"
#include "frame.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/memfd.h"
#include "os/sigbus.h"

/* The longest silence of the loop: the heartbeat tells a card that sleeps from one that hangs. */
#define HEARTBEAT_MS 1000

/* After the last thing that happened, the card looks on for so long before it sleeps: waking up
 * takes as long as a command does. Not where the client needs the same core to go on. */
#define SPIN_NS (20 * NS_PER_US)

/* A round of work between two looks at the loop, which costs a system call. Finding nothing to do
 * costs little; finding something can cost the lot of a batch. */
#define ROUND	   1024
#define ROUND_BUSY 128

/* Without these a descriptor that is opened later would take the number, and with it what is
 * printed. */
static int open_standard_fds(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			return -EBADF;
	}
	return 0;
}

static int protect(struct card *card, struct error *error)
{
	sigset_t ends;
	int err = open_standard_fds();

	prctl(PR_SET_DUMPABLE, 0);
	/* What is executed is a copy in memory, whose name says so. */
	prctl(PR_SET_NAME, program_invocation_short_name);
	card->spin_ns = sysconf(_SC_NPROCESSORS_ONLN) > 1 ? SPIN_NS : 0;
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	if (!err)
		err = os_sigbus_install();
	if (!err && sigprocmask(SIG_BLOCK, &ends, NULL) < 0)
		err = -errno;
	if (!err) {
		card->signals = signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
		err = card->signals < 0 ? -errno : os_loop_create(&card->loop);
	}
	card->device = err ? NULL : calloc(1, card->ops->device_size + 1);
	if (!err && !card->device)
		err = -ENOMEM;
	return err ? error_set(error, -err, "start: %s", strerror(-err)) : 0;
}

static int map_status(struct card *card, struct error *error)
{
	CLEANUP_CLOSE int fd = card->settings.status_fd;
	int seals = fd < 0 ? F_SEAL_SHRINK : fcntl(fd, F_GET_SEALS);
	void *page;
	int err;

	if (seals < 0 || !(seals & F_SEAL_SHRINK))
		return error_set(error, EINVAL,
				 "status page: descriptor %d is not a memfd sealed against "
				 "shrinking",
				 fd);
	if (fd < 0)
		fd = os_memfd("status", STATUS_PAGE_SIZE);
	err = fd < 0 ? fd : os_map(fd, 0, STATUS_PAGE_SIZE, true, &page);
	if (err)
		return error_set(error, -err, "status page: %s", strerror(-err));
	card->status = page;
	return 0;
}

/* The page may still say what a process before this one was. */
static void come_up(struct card *card)
{
	status_init(card->status, STATUS_CARD);
	status_set(card->status, STATUS_STARTING, STATUS_REASON_NONE, "");
	/* Last: who sees it knows that READY, if it sees that, is ours. */
	atomic_store(&card->status->standing_by, 0);
	card->is_up = true;
}

/* All that takes time has been done: what is left is as short as the guest's pause. */
static int take_over(struct card *card, struct error *error)
{
	int err;

	if (card->settings.stand_by)
		atomic_store(&card->status->standing_by, 1);
	err = card_state_lock(card, error);
	if (!err && card->settings.stand_by)
		come_up(card);
	return err;
}

static int enter_sandbox(struct card *card, struct error *error)
{
	const struct card_ops *ops = card->ops;
	size_t count = card_syscall_count + ops->system_call_count;
	struct jail_syscall *allow CLEANUP_FREE = calloc(count, sizeof(*allow));
	/* Room for an eventfd a vector, the back end, and what one message can carry. */
	const struct jail_limits limits = {.open_files = 512u + ops->doorbell_count +
							 ops->identity->msix_vectors};
	int err;

	if (!allow)
		return error_set(error, ENOMEM, "sandbox: out of memory");
	memcpy(allow, card_syscalls, card_syscall_count * sizeof(*allow));
	if (ops->system_call_count)
		memcpy(allow + card_syscall_count, ops->system_calls,
		       ops->system_call_count * sizeof(*allow));
	err = jail_isolate(error);
	if (!err)
		err = jail_demote(card->settings.user, &limits, error);
	if (!err)
		err = jail_filter(allow, count, error);
	return err;
}

/* A device that was running before goes on where its state says it is. */
static int start_device(struct card *card, struct error *error)
{
	bool fresh;
	int err = card_state_begin(card, &fresh, error);

	if (!err && card->ops->start)
		err = card->ops->start(card, fresh, error);
	if (err)
		return err;
	card->ready = true;
	card_state_complete(card);
	if (fresh)
		return 0;
	card->held = true;
	if (card->settings.listen)
		card_bus_reset(card);
	else if (card->ops->master)
		card->ops->master(card, pci_config_is_master(&card->area->config));
	return 0;
}

static int start(struct card *card, struct error *error)
{
	bool stands_by = card->settings.stand_by;
	int err = map_status(card, error);

	if (!err && !stands_by)
		come_up(card);
	if (!err)
		err = card_state_map(card, error);
	if (!err && stands_by)
		err = card_state_check_version(card, error);
	if (!err && card->ops->open)
		err = card->ops->open(card, error);
	if (!err)
		err = card_bus_open(card, error);
	if (!err)
		err = card_commands_open(card, error);
	if (!err)
		err = enter_sandbox(card, error);
	if (!err)
		err = take_over(card, error);
	if (!err)
		err = start_device(card, error);
	if (err && !error->code)
		error_set(error, -err, "start: %s", strerror(-err));
	return err;
}

/* True: there is more. */
static bool work(struct card *card)
{
	bool again;

	for (int left = ROUND; left > 0; left -= again ? ROUND_BUSY : 1) {
		again = card_bus_work(card);
		if (!again && !card_bus_polls(card))
			return false;
	}
	return true;
}

/* How long the loop may sleep. */
static int patience(struct card *card, bool again, uint64_t awake)
{
	if (again || (awake && os_now() < awake) || card_bus_rest(card))
		return 0;
	return HEARTBEAT_MS;
}

static int serve(struct card *card, struct error *error)
{
	bool again = false;
	uint64_t awake = 0;
	int calls;

	status_set(card->status, STATUS_READY, STATUS_REASON_NONE, "");
	if (card->settings.listen)
		fprintf(stderr, "ready: listening on %s\n", card->settings.listen);
	while (!card->stop) {
		calls = os_loop_once(card->loop, patience(card, again, awake));
		if (calls < 0)
			return error_set(error, -calls, "loop: %s", strerror(-calls));
		again = work(card);
		if (card->spin_ns && (calls || again))
			awake = os_now() + card->spin_ns;
		status_beat(card->status);
	}
	return 0;
}

static enum card_exit finish(struct card *card, int err, const struct error *error)
{
	if (card->ready && card->ops->quiesce)
		card->ops->quiesce(card);
	card->ready = false;
	if (card->device && card->ops->close)
		card->ops->close(card);
	if (card->is_up)
		status_set(card->status, err ? STATUS_FAILED : STATUS_ENDED, STATUS_REASON_NONE,
			   error->text);
	/* From here on the device can be another process's. */
	card_state_unlock(card);
	card_bus_close(card);
	card_commands_close(card);
	os_loop_destroy(card->loop);
	os_close(&card->signals);
	free(card->device);
	if (!err)
		return CARD_EXIT_DONE;
	fprintf(stderr, "karuta-card-%s: %s\n", card->ops->name, error->text);
	return err == -EPROTO || !card->status ? CARD_EXIT_REFUSED : CARD_EXIT_FAILED;
}

bool card_stands_by(const struct card *card)
{
	return card->settings.stand_by;
}

int card_main(const struct card_ops *ops, int argc, char **argv)
{
	struct card card = {
		.ops = ops,
		.signals = -1,
		.shared_fd = -1,
		.settings = {.bus_fd = -1, .state_fd = -1, .status_fd = -1, .command_fd = -1}};
	struct error error = {0};
	bool is_said = false;
	int err = protect(&card, &error);

	if (!err)
		err = card_options_parse(&card, argc, argv, &is_said, &error);
	if (!err && !is_said)
		err = start(&card, &error);
	if (!err && !is_said)
		err = serve(&card, &error);
	return (int)finish(&card, err, &error);
}
