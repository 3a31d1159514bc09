/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "arch.h"
#include "control.h"
#include "handover.h"
#include "machine.h"
#include "os/clock.h"
#include "os/fd.h"
#include "vm.h"

#define HEARTBEAT_MS  100
#define REMIND_NS     NS_PER_S
#define DESCRIPTOR_NS NS_PER_S /* a descriptor is on its way before its command is */
#define RESET_NS      (100 * NS_PER_MS)

/* What has been read from the pipe and is no whole command yet. */
struct control {
	struct machine *machine;
	uint8_t bytes[COMMAND_MAX_SIZE];
	size_t length;
	bool has_ended;
	int exit_code;
	uint64_t reminded, reset_at;
};

/* ---- the pipe ---- */

/* 1: a command; 0: not yet; -EPIPE: no more will come; -EPROTO: not a command. */
static int next_command(struct control *control, struct command *command)
{
	int used = command_decode(command, control->bytes, control->length);

	if (used <= 0)
		return used;
	control->length -= (size_t)used;
	memmove(control->bytes, control->bytes + used, control->length);
	return 1;
}

static int fill(struct control *control)
{
	ssize_t length =
		read(control->machine->options.command_fd, control->bytes + control->length,
		     sizeof(control->bytes) - control->length);

	if (length < 0)
		return errno == EINTR || errno == EAGAIN ? 0 : -errno;
	if (length == 0)
		return -EPIPE;
	control->length += (size_t)length;
	return 0;
}

int control_configure(struct machine *machine, uint32_t *id, struct error *error)
{
	struct control control = {.machine = machine};
	struct command command;
	int ret = 0;

	/* The pipe is read a byte at a time: what follows the first command is for later. */
	do {
		ssize_t length =
			read(machine->options.command_fd, control.bytes + control.length, 1);

		if (length < 0 && errno == EINTR)
			continue;
		if (length <= 0)
			return error_set(error, EPIPE, "no CONFIGURE on --command-fd");
		control.length++;
		ret = next_command(&control, &command);
		if (ret < 0 || (!ret && control.length == sizeof(control.bytes)))
			return error_set(error, EPROTO, "what is on --command-fd is no command");
	} while (ret != 1);
	if (command.verb != COMMAND_CONFIGURE)
		return error_set(error, EPROTO, "the first command is not CONFIGURE");
	*id = command.id;
	machine->cpus = command.cpus;
	memcpy(machine->line, command.line, sizeof(machine->line));
	return memory_create(&machine->memory, command.memory, error);
}

/* ---- the end ---- */

static void end(struct control *control, enum status_reason reason, const char *text)
{
	struct machine *machine = control->machine;

	machine_stop(machine);
	serial_drain(&machine->serial);
	status_set(machine->status, STATUS_ENDED, reason, text);
	control->has_ended = true;
	control->exit_code = reason == STATUS_POWERED_OFF ? 0 : 1;
}

static void fail(struct control *control, const char *text)
{
	status_set(control->machine->status, STATUS_FAILED, STATUS_REASON_NONE, text);
	control->has_ended = true;
	control->exit_code = 1;
}

/* ---- reset ---- */

static void show_slots(struct machine *machine)
{
	for (unsigned i = 1; i < BUS_SLOTS; i++)
		slot_start(&machine->bus.slots[i]);
}

/* A guest that does nothing but reset is not to keep the host's kernel busy with new VMs. */
static void take_time(struct control *control)
{
	uint64_t since = os_now() - control->reset_at;

	if (since < RESET_NS)
		poll(NULL, 0, (int)((RESET_NS - since) / NS_PER_MS));
	control->reset_at = os_now();
}

static void reset(struct control *control)
{
	struct machine *machine = control->machine;
	struct error error;
	int ret;

	machine_stop(machine);
	take_time(control);
	serial_drain(&machine->serial);
	atomic_store(&machine->requests, 0);
	bus_reset(&machine->bus);
	events_reset(&machine->events);
	vm_destroy(machine);
	ret = vm_create(machine, &error);
	if (!ret)
		ret = arch_load(machine, &error);
	if (ret < 0) {
		error_prefix(&error, "reset");
		fail(control, error.text);
		return;
	}
	status_count(machine->status, STATUS_HV_RESETS, 1);
	show_slots(machine);
	if (!machine->paused)
		machine_continue(machine);
}

/* ---- commands ---- */

static int receive_link(struct machine *machine, struct error *error)
{
	int socket = machine->options.descriptor_fd, fd = -1;
	size_t count = 0;
	char byte;
	ssize_t ret = os_wait(socket, POLLIN, os_now() + DESCRIPTOR_NS);

	if (ret > 0)
		ret = os_receive(socket, &byte, 1, &fd, 1, &count, 0);
	if (ret <= 0 || count != 1)
		return error_set(error, EPROTO, "no descriptor came with the command");
	return fd;
}

static int attach(struct control *control, const struct command *command, struct error *error)
{
	struct slot *slot = &control->machine->bus.slots[command->slot];
	int link = receive_link(control->machine, error);

	if (link < 0)
		return link;
	return command->verb == COMMAND_RELINK ? slot_relink(slot, link, error)
					       : slot_attach(slot, link, error);
}

static int detach(struct control *control, const struct command *command, struct error *error)
{
	return slot_detach(&control->machine->bus.slots[command->slot],
			   command->flags & COMMAND_DETACH_FORCE, error);
}

static int start(struct control *control, const struct command *command, struct error *error)
{
	struct machine *machine = control->machine;

	(void)command;
	if (machine->started)
		return error_set(error, EALREADY, "it has been started already");
	machine->started = true;
	show_slots(machine);
	status_set(machine->status, STATUS_RUNNING, STATUS_REASON_NONE, "");
	machine_continue(machine);
	return 0;
}

static int pause_guest(struct control *control, const struct command *command, struct error *error)
{
	struct machine *machine = control->machine;

	(void)command;
	if (!machine->started || machine->paused)
		return error_set(error, EALREADY, "it does not run");
	machine->paused = true;
	machine_stop(machine);
	status_set(machine->status, STATUS_PAUSED, STATUS_REASON_NONE, "");
	return 0;
}

static int resume(struct control *control, const struct command *command, struct error *error)
{
	struct machine *machine = control->machine;

	(void)command;
	if (!machine->paused)
		return error_set(error, EALREADY, "it is not paused");
	machine->paused = false;
	status_set(machine->status, STATUS_RUNNING, STATUS_REASON_NONE, "");
	/* A reset that was asked for right before the pause comes first, and lets it run. */
	if (!(atomic_load(&machine->requests) & ~(unsigned)REQUEST_SLOTS))
		machine_continue(machine);
	return 0;
}

static int press_power(struct control *control, const struct command *command, struct error *error)
{
	(void)command;
	if (!control->machine->started)
		return error_set(error, EINVAL, "it has not been started");
	events_press_power(&control->machine->events);
	return 0;
}

static int press_reset(struct control *control, const struct command *command, struct error *error)
{
	(void)command;
	if (!control->machine->started)
		return error_set(error, EINVAL, "it has not been started");
	reset(control);
	return 0;
}

static int pull_plug(struct control *control, const struct command *command, struct error *error)
{
	(void)command;
	(void)error;
	end(control, STATUS_KILLED, "killed by command");
	return 0;
}

static int meet(struct control *control, const struct command *command, struct error *error)
{
	int socket = receive_link(control->machine, error);

	(void)command;
	return socket < 0 ? socket : handover_meet(control->machine, socket, error);
}

static int hand_over(struct control *control, const struct command *command, struct error *error)
{
	int ret = handover_give(control->machine, command->id, error);

	/* What is to be said of it is the other one's to say. */
	control->has_ended = !ret;
	return ret;
}

/* Whatever the controller before has said is done with. */
static int sync_up(struct control *control, const struct command *command, struct error *error)
{
	int socket = control->machine->options.descriptor_fd, fd;
	size_t count;
	char byte;

	(void)command;
	(void)error;
	while (os_receive(socket, &byte, 1, &fd, 1, &count, MSG_DONTWAIT) > 0) {
		if (count)
			os_close(&fd);
	}
	return 0;
}

static int (*const verbs[])(struct control *control, const struct command *command,
			    struct error *error) = {
	[COMMAND_ATTACH] = attach,	 [COMMAND_START] = start,
	[COMMAND_DETACH] = detach,	 [COMMAND_PAUSE] = pause_guest,
	[COMMAND_RESUME] = resume,	 [COMMAND_SHUTDOWN] = press_power,
	[COMMAND_RESET] = press_reset,	 [COMMAND_KILL] = pull_plug,
	[COMMAND_RELINK] = attach,	 [COMMAND_MEET] = meet,
	[COMMAND_HAND_OVER] = hand_over, [COMMAND_SYNC] = sync_up,
};

static void carry_out(struct control *control, const struct command *command)
{
	struct status_page *status = control->machine->status;
	struct error error = {0};
	int ret;

	if (command->verb >= ARRAY_LEN(verbs) || !verbs[command->verb])
		ret = error_set(&error, EINVAL,
				command->verb == COMMAND_CONFIGURE
					? "it is configured already"
					: "that is not for a hypervisor");
	else
		ret = verbs[command->verb](control, command, &error);
	/* The words of the end are on the page, and stay there; or it is another's by now. */
	if (control->has_ended)
		return;
	status_command_done(status, command->id, ret, error.text);
}

/* A guest goes on after its controller no longer makes sense, and as long as there is a keeper that
 * starts it again; with neither, nobody could end it any more. */
static void serve_commands(struct control *control)
{
	struct machine *machine = control->machine;
	struct command command;
	int ret = fill(control);

	while (!ret && !control->has_ended) {
		ret = next_command(control, &command);
		if (ret <= 0)
			break;
		carry_out(control, &command);
		ret = 0;
	}
	if (ret == -EPIPE && !control->has_ended)
		end(control, STATUS_KILLED, "its controller is gone");
	if (ret < 0)
		os_close(&machine->options.command_fd);
}

/* ---- what vCPUs ask for ---- */

static void check_slots(struct machine *machine)
{
	uint32_t ejected = events_take_ejected(&machine->events);

	for (unsigned i = 1; i < BUS_SLOTS; i++) {
		if (ejected & 1u << i)
			slot_ejected(&machine->bus.slots[i]);
		slot_check(&machine->bus.slots[i]);
	}
}

static void serve_requests(struct control *control)
{
	struct machine *machine = control->machine;
	unsigned requests;

	os_eventfd_drain(machine->wake_fd);
	requests = atomic_exchange(&machine->requests, 0);
	if (requests & REQUEST_SLOTS)
		check_slots(machine);
	if (requests & REQUEST_CRASH)
		end(control, STATUS_CRASHED, machine->crash_text);
	else if (requests & REQUEST_POWER_OFF)
		end(control, STATUS_POWERED_OFF, "powered off by the guest");
	else if (requests & REQUEST_RESET)
		reset(control);
}

/* ---- the loop ---- */

/* The guest does not wait for its memory; nor does anything else, for more than a piece. */
static bool has_to_reserve(const struct machine *machine)
{
	return machine->started && !memory_is_reserved(&machine->memory);
}

static void reserve(struct control *control)
{
	struct machine *machine = control->machine;
	struct error error;

	if (memory_reserve(&machine->memory, &error) < 0) {
		machine_stop(machine);
		serial_drain(&machine->serial);
		fail(control, error.text);
	}
	atomic_store(&machine->status->counters[STATUS_HV_RESERVED], machine->memory.reserved);
}

enum {
	POLL_COMMANDS,
	POLL_WAKE,
	POLL_PEER,
	POLL_SLOTS,
	POLL_NEWS = POLL_SLOTS + BUS_SLOTS,
	POLL_COUNT = POLL_NEWS + BUS_SLOTS,
};

/* Of a card's link only its end is of interest: answers are for those who asked. */
static void prepare(const struct machine *machine, struct pollfd fds[POLL_COUNT])
{
	fds[POLL_COMMANDS] = (struct pollfd){machine->options.command_fd, POLLIN, 0};
	fds[POLL_WAKE] = (struct pollfd){machine->wake_fd, POLLIN, 0};
	fds[POLL_PEER] = (struct pollfd){machine->peer.socket, 0, 0};
	for (unsigned i = 0; i < BUS_SLOTS; i++) {
		fds[POLL_SLOTS + i] = (struct pollfd){slot_link(&machine->bus.slots[i]), 0, 0};
		fds[POLL_NEWS + i] =
			(struct pollfd){slot_news_fd(&machine->bus.slots[i]), POLLIN, 0};
	}
}

static void serve(struct control *control, const struct pollfd fds[POLL_COUNT])
{
	struct machine *machine = control->machine;
	for (unsigned i = 1; i < BUS_SLOTS; i++) {
		if (fds[POLL_NEWS + i].revents)
			slot_news(&machine->bus.slots[i]);
		if (fds[POLL_SLOTS + i].revents)
			slot_hangup(&machine->bus.slots[i]);
	}
	/* It is not to go on any more. */
	if (fds[POLL_PEER].revents)
		peer_close(&machine->peer);
	if (fds[POLL_WAKE].revents)
		serve_requests(control);
	if (fds[POLL_COMMANDS].revents && !control->has_ended)
		serve_commands(control);
}

static void turn(struct control *control)
{
	struct machine *machine = control->machine;
	struct pollfd fds[POLL_COUNT];
	int ready;

	prepare(machine, fds);
	ready = poll(fds, POLL_COUNT, has_to_reserve(machine) ? 0 : HEARTBEAT_MS);
	atomic_fetch_add(&machine->status->heartbeat, 1);
	serial_drain(&machine->serial);
	if (os_now() - control->reminded >= REMIND_NS) {
		events_remind(&machine->events);
		control->reminded = os_now();
	}
	for (unsigned i = 1; i < BUS_SLOTS; i++)
		slot_turn(&machine->bus.slots[i]);
	if (ready > 0)
		serve(control, fds);
	if (has_to_reserve(machine) && !control->has_ended)
		reserve(control);
}

int control_serve(struct machine *machine)
{
	struct control control = {.machine = machine};

	while (!control.has_ended)
		turn(&control);
	return control.exit_code;
}
