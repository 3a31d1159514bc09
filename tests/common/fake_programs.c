/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "fake_programs.h"
#include "os/clock.h"
#include "os/fd.h"
#include "wire/command.h"
#include "wire/console.h"
#include "wire/status.h"

/* Number behind an option, or -1; "fd:7" counts as 7. */
static int option(int argc, char **argv, const char *name)
{
	for (int i = 1; i + 1 < argc; i++) {
		if (!strcmp(argv[i], name))
			return atoi(argv[i + 1] + (strncmp(argv[i + 1], "fd:", 3) ? 0 : 3));
	}
	return -1;
}

static void *map(int fd, size_t size)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (at == MAP_FAILED)
		_exit(99);
	return at;
}

static void first_word(int fd, char *word, size_t size)
{
	ssize_t got = fd < 0 ? 0 : pread(fd, word, size - 1, 0);

	word[got < 0 ? 0 : got] = '\0';
	word[strcspn(word, " \n")] = '\0';
}

/* "0=chr 1=chr 2=memfd:karuta-words 3=socket" */
static void list_descriptors(char *text, size_t size)
{
	char path[64], target[256];
	size_t used = 0;

	for (int fd = 0; fd < 64 && used < size; fd++) {
		ssize_t length;

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		length = readlink(path, target, sizeof(target) - 1);
		if (length < 0)
			continue;
		target[length] = '\0';
		target[strcspn(target, " [")] = '\0';
		used += (size_t)snprintf(text + used, size - used, "%d=%s ", fd,
					 strrchr(target, '/') ? strrchr(target, '/') + 1 : target);
	}
}

/* pause(2) is on no list. */
static void stay(void)
{
	for (;;)
		poll(NULL, 0, -1);
}

/* In the file "did": when, in ms since 1970. */
static void note_time(void)
{
	int file = open("did", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (file < 0 ||
	    dprintf(file, "%lld", (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000) < 0)
		_exit(88);
	close(file);
}

static bool does_what_none_does(const char *kind, struct status_page *page)
{
	if (!strcmp(kind, "SNEAKY") || !strcmp(kind, "GARBLED"))
		note_time();
	if (!strcmp(kind, "SNEAKY")) {
		dprintf(STDERR_FILENO, "let me out\n");
		return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0;
	}
	if (strcmp(kind, "GARBLED") != 0)
		return false;
	memset(page, 0xa5, STATUS_PAGE_SIZE);
	stay();
	return true;
}

struct hypervisor {
	char kind[16];
	uint64_t dies;	 /* when; 0: not by itself */
	uint64_t memory; /* of its guest, which it says it has taken */
	struct status_page *page;
	struct console_ring *ring;
	int commands, descriptors;
	int links[COMMAND_MAX_SLOT + 1];
	uint64_t waiting[COMMAND_MAX_SLOT + 1]; /* since when; 0: not */
	bool started;
	uint64_t ends_at; /* 0: not by itself */
	int other;	  /* a program that is to go on in our place, or that we go on for; -1 */
	char buffer[COMMAND_MAX_SIZE];
	size_t length;
};

static bool is(const struct hypervisor *hypervisor, const char *kind)
{
	return !strcmp(hypervisor->kind, kind);
}

static void say(struct hypervisor *hypervisor, const char *text)
{
	console_write(hypervisor->ring, text, strlen(text));
}

static void let_go(struct hypervisor *hypervisor, unsigned slot)
{
	os_close(&hypervisor->links[slot]);
	hypervisor->waiting[slot] = 0;
	hypervisor->page->slots[slot] = STATUS_SLOT_EMPTY;
}

static int attach(struct hypervisor *hypervisor, unsigned slot)
{
	char byte;
	size_t count;
	int fd = -1;

	if (os_receive(hypervisor->descriptors, &byte, 1, &fd, 1, &count, 0) != 1 || count != 1)
		return -EPROTO;
	os_close(&hypervisor->links[slot]);
	hypervisor->links[slot] = fd;
	hypervisor->waiting[slot] = 0;
	hypervisor->page->slots[slot] = STATUS_SLOT_PRESENT;
	if (is(hypervisor, "RUDE") && send(fd, &byte, 1, MSG_NOSIGNAL) < 0)
		_exit(94);
	return 0;
}

/* PICKY: takes no other than the first. */
static int relink(struct hypervisor *hypervisor, unsigned slot)
{
	int ret = attach(hypervisor, slot);

	if (ret == 0 && is(hypervisor, "PICKY")) {
		os_close(&hypervisor->links[slot]);
		hypervisor->page->slots[slot] = STATUS_SLOT_WAITING;
		hypervisor->waiting[slot] = os_now();
		ret = -EPROTO;
	}
	return ret;
}

static int detach(struct hypervisor *hypervisor, const struct command *command)
{
	if (command->flags & COMMAND_DETACH_FORCE)
		let_go(hypervisor, command->slot);
	else
		hypervisor->page->slots[command->slot] = STATUS_SLOT_EJECTING;
	return 0;
}

static void configure(struct hypervisor *hypervisor, const struct command *command)
{
	char text[COMMAND_LINE_MAX + 128];

	snprintf(text, sizeof(text), "memory=%llu cpus=%u line=%s\n",
		 (unsigned long long)command->memory, command->cpus, command->line);
	say(hypervisor, text);
	hypervisor->memory = command->memory;
	status_set(hypervisor->page, STATUS_READY, STATUS_REASON_NONE, "");
}

static void end(struct hypervisor *hypervisor, enum status_reason reason, int code)
{
	say(hypervisor, "bye\n");
	status_set(hypervisor->page, STATUS_ENDED, reason, "");
	_exit(code);
}

static void start(struct hypervisor *hypervisor)
{
	hypervisor->started = true;
	say(hypervisor, "hello\n");
	if (!is(hypervisor, "SLOW"))
		status_count(hypervisor->page, STATUS_HV_RESERVED, hypervisor->memory);
	status_set(hypervisor->page, STATUS_RUNNING, STATUS_REASON_NONE, "");
	if (is(hypervisor, "BRIEF"))
		hypervisor->ends_at = os_now() + 200 * NS_PER_MS;
	does_what_none_does(hypervisor->kind, hypervisor->page);
	if (is(hypervisor, "CHATTY")) {
		note_time();
		if (send(hypervisor->descriptors, "hello", 5, MSG_NOSIGNAL) < 0)
			_exit(87);
	}
	if (!is(hypervisor, "DYING"))
		return;
	os_close(&hypervisor->descriptors);
	hypervisor->dies = os_now() + 3 * NS_PER_S;
}

/* What goes over; links follow as descriptors, in order of their slots. */
struct baggage {
	char kind[16];
	uint32_t command;
	uint32_t slots;
};

static int meet(struct hypervisor *hypervisor)
{
	struct baggage baggage = {0};
	char byte;
	size_t count;

	os_close(&hypervisor->other);
	if (os_receive(hypervisor->descriptors, &byte, 1, &hypervisor->other, 1, &count, 0) != 1 ||
	    count != 1)
		return -EPROTO;
	if (is(hypervisor, "SHY"))
		return -EBUSY;
	memcpy(baggage.kind, hypervisor->kind, sizeof(baggage.kind));
	return send(hypervisor->other, &baggage, sizeof(baggage), MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* KEEPER: does not. LOSER: ends without. OFF: powers off. GREEDY: does, and stays. */
static int hand_over(struct hypervisor *hypervisor, uint32_t id)
{
	struct baggage baggage = {.command = id};
	struct iovec iov = {.iov_base = &baggage, .iov_len = sizeof(baggage)};
	int links[COMMAND_MAX_SLOT];
	size_t count = 0;

	if (is(hypervisor, "KEEPER"))
		return -EBUSY;
	if (is(hypervisor, "OFF"))
		end(hypervisor, STATUS_POWERED_OFF, 0);
	if (is(hypervisor, "LOSER"))
		_exit(0);
	for (unsigned i = 1; i <= COMMAND_MAX_SLOT; i++) {
		if (hypervisor->links[i] < 0)
			continue;
		baggage.slots |= 1u << i;
		links[count++] = hypervisor->links[i];
	}
	if (os_send(hypervisor->other, &iov, 1, links, count, 0) < 0)
		return -EPIPE;
	if (is(hypervisor, "GREEDY"))
		stay();
	_exit(0);
}

static void receive(int from, struct baggage *baggage, int *links)
{
	size_t count;

	if (os_receive(from, baggage, sizeof(*baggage), links, COMMAND_MAX_SLOT, &count, 0) !=
	    sizeof(*baggage)) {
		dprintf(STDERR_FILENO, "nothing was handed over\n");
		_exit(1);
	}
}

/* The file "hold" keeps it from getting ready. */
static void take_over(struct hypervisor *hypervisor)
{
	struct baggage baggage;
	int links[COMMAND_MAX_SLOT];
	size_t next = 0;

	receive(hypervisor->other, &baggage, links);
	memcpy(hypervisor->kind, baggage.kind, sizeof(baggage.kind));
	while (!access("hold", F_OK))
		usleep(1000);
	atomic_store(&hypervisor->page->standing_by, 1);
	receive(hypervisor->other, &baggage, links);
	atomic_store(&hypervisor->page->standing_by, 0);
	for (unsigned i = 1; i <= COMMAND_MAX_SLOT; i++)
		if (baggage.slots & 1u << i)
			hypervisor->links[i] = links[next++];
	os_close(&hypervisor->other);
	hypervisor->started = true;
	status_command_done(hypervisor->page, baggage.command, 0, "1.5 ms");
}

static int carry_out(struct hypervisor *hypervisor, const struct command *command)
{
	switch (command->verb) {
	case COMMAND_CONFIGURE:
		configure(hypervisor, command);
		return 0;
	case COMMAND_ATTACH:
		return attach(hypervisor, command->slot);
	case COMMAND_RELINK:
		return relink(hypervisor, command->slot);
	case COMMAND_DETACH:
		return detach(hypervisor, command);
	case COMMAND_START:
	case COMMAND_RESUME:
		start(hypervisor);
		return 0;
	case COMMAND_PAUSE:
		status_set(hypervisor->page, STATUS_PAUSED, STATUS_REASON_NONE, "");
		return 0;
	case COMMAND_SHUTDOWN:
		if (!is(hypervisor, "STUBBORN"))
			end(hypervisor, STATUS_POWERED_OFF, 0);
		return 0;
	case COMMAND_RESET:
		return is(hypervisor, "GENTLE") ? 0 : -ENOSYS;
	case COMMAND_KILL:
		end(hypervisor, STATUS_KILLED, 1);
		return 0;
	case COMMAND_MEET:
		return meet(hypervisor);
	case COMMAND_SYNC:
		return 0;
	case COMMAND_HAND_OVER:
		return hand_over(hypervisor, command->id);
	default:
		return -EINVAL;
	}
}

static void read_commands(struct hypervisor *hypervisor)
{
	struct command command;
	ssize_t got = read(hypervisor->commands, hypervisor->buffer + hypervisor->length,
			   sizeof(hypervisor->buffer) - hypervisor->length);
	int used;

	if (got <= 0 && is(hypervisor, "STUBBORN"))
		stay();
	if (got <= 0)
		_exit(98);
	hypervisor->length += (size_t)got;
	while ((used = command_decode(&command, hypervisor->buffer, hypervisor->length)) > 0) {
		int result;

		hypervisor->length -= (size_t)used;
		memmove(hypervisor->buffer, hypervisor->buffer + used, hypervisor->length);
		result = carry_out(hypervisor, &command);
		status_command_done(hypervisor->page, command.id, result,
				    result ? "the fake does not do that" : "");
	}
	if (used < 0)
		_exit(97);
}

static void lose(struct hypervisor *hypervisor, unsigned slot)
{
	os_close(&hypervisor->links[slot]);
	hypervisor->waiting[slot] = hypervisor->started && !is(hypervisor, "STRICT") ? os_now() : 0;
	hypervisor->page->slots[slot] =
		hypervisor->waiting[slot] ? STATUS_SLOT_WAITING : STATUS_SLOT_FAILED;
}

/* As a guest that lets go, and a hypervisor that notices a dead card. */
static void turn_slots(struct hypervisor *hypervisor)
{
	for (unsigned i = 1; i <= COMMAND_MAX_SLOT; i++) {
		char byte;

		if (hypervisor->waiting[i] && os_now() - hypervisor->waiting[i] > 2 * NS_PER_S) {
			hypervisor->waiting[i] = 0;
			hypervisor->page->slots[i] = STATUS_SLOT_FAILED;
		}
		if (hypervisor->links[i] < 0)
			continue;
		if (hypervisor->page->slots[i] == STATUS_SLOT_EJECTING &&
		    !is(hypervisor, "STUBBORN")) {
			let_go(hypervisor, i);
		} else if (recv(hypervisor->links[i], &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0) {
			lose(hypervisor, i);
		}
	}
}

static void misbehave(struct hypervisor *hypervisor)
{
	if (is(hypervisor, "BAD")) {
		status_set(hypervisor->page, STATUS_FAILED, STATUS_REASON_NONE,
			   "kernel: not a kernel");
		_exit(1);
	}
	if (is(hypervisor, "WORDS")) {
		dprintf(STDERR_FILENO, "some words\nlast\x1bwords\n");
		_exit(3);
	}
	if (is(hypervisor, "ZOMBIE"))
		status_set(hypervisor->page, STATUS_ENDED, STATUS_CRASHED, "braaains");
	if (is(hypervisor, "LIAR"))
		memset(hypervisor->page, 0xa4, STATUS_PAGE_SIZE);
	if (is(hypervisor, "DEAF") || is(hypervisor, "ZOMBIE") || is(hypervisor, "LIAR"))
		stay();
}

static void begin(struct hypervisor *hypervisor, int kernel)
{
	char text[1024];

	first_word(kernel, hypervisor->kind, sizeof(hypervisor->kind));
	status_init(hypervisor->page, STATUS_HYPERVISOR);
	console_init(hypervisor->ring);
	misbehave(hypervisor);
	list_descriptors(text, sizeof(text));
	say(hypervisor, "fds: ");
	say(hypervisor, text);
	say(hypervisor, "\n");
}

void fake_hypervisor(int argc, char **argv)
{
	static struct hypervisor hypervisor;

	hypervisor.commands = option(argc, argv, "--command-fd");
	hypervisor.descriptors = option(argc, argv, "--descriptor-fd");
	hypervisor.other = option(argc, argv, "--take-over-fd");
	hypervisor.page = map(option(argc, argv, "--status-fd"), STATUS_PAGE_SIZE);
	hypervisor.ring = map(option(argc, argv, "--console-fd"), CONSOLE_SIZE);
	memset(hypervisor.links, -1, sizeof(hypervisor.links));
	if (hypervisor.other >= 0)
		take_over(&hypervisor);
	else
		begin(&hypervisor, option(argc, argv, "--kernel-fd"));
	for (;;) {
		struct pollfd wait = {.fd = hypervisor.commands, .events = POLLIN};

		if (poll(&wait, 1, 2) == 1)
			read_commands(&hypervisor);
		turn_slots(&hypervisor);
		if (hypervisor.ends_at && os_now() >= hypervisor.ends_at)
			end(&hypervisor, STATUS_POWERED_OFF, 0);
		if (hypervisor.dies && os_now() > hypervisor.dies)
			_exit(1);
		if (is(&hypervisor, "LOUD"))
			say(&hypervisor, "0123456789012345678901234567890123456789\n");
	}
}

static bool is_told(int argc, char **argv, const char *what)
{
	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], what))
			return true;
	return false;
}

static void lock(int state, int command)
{
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	if (fcntl(state, command, &whole) < 0)
		_exit(97);
}

/* Beside the one that runs, until that has ended. */
static void stand_by(struct status_page *page, int state)
{
	while (!access("hold", F_OK))
		usleep(1000);
	atomic_store(&page->standing_by, 1);
	lock(state, F_SETLKW);
	status_set(page, STATUS_STARTING, STATUS_REASON_NONE, "");
	atomic_store(&page->standing_by, 0);
}

/* STIFF: does none of it. FRAIL: dies of it. MUTE: does not say. False: nobody commands it any
 * more.
 */
static bool obey(int commands, const char *kind, struct status_page *page)
{
	static const char *const words[] = {[COMMAND_RESIZE] = "resized",
					    [COMMAND_FREEZE] = "frozen",
					    [COMMAND_THAW] = "thawed"};
	char buffer[COMMAND_MAX_SIZE], text[64];
	ssize_t got = read(commands, buffer, sizeof(buffer));
	struct command command;

	if (!got)
		return false;
	if (got < 0 || command_decode(&command, buffer, (size_t)got) != got)
		_exit(92);
	if (!strcmp(kind, "FRAIL"))
		_exit(91);
	if (!strcmp(kind, "MUTE"))
		return true;
	does_what_none_does(kind, page);
	if (!strcmp(kind, "BOSSY"))
		status_count(page, STATUS_CARD_PROTOCOL_ERRORS, 3);
	/* As if its guest had used it meanwhile. */
	if (!strcmp(kind, "GOOD"))
		status_count(page, STATUS_CARD_READS, 1);
	if (!strcmp(kind, "NAUGHTY"))
		status_count(page, STATUS_CARD_SECURITY_EVENTS, 2);
	snprintf(text, sizeof(text), "%s %llu", words[command.verb],
		 (unsigned long long)command.size);
	if (!strcmp(kind, "STIFF"))
		status_command_done(page, command.id, -EPERM, "the fake does not bend");
	else
		status_command_done(page, command.id, 0, text);
	return true;
}

static ssize_t serve(int bus, int commands, const char *kind, struct status_page *page)
{
	struct pollfd wait[] = {{.fd = bus, .events = POLLIN}, {.fd = commands, .events = POLLIN}};
	char byte;

	for (;;) {
		if (poll(wait, 2, -1) < 0)
			_exit(90);
		if (wait[1].revents && !obey(commands, kind, page))
			wait[1].fd = -1;
		if (wait[0].revents)
			return recv(bus, &byte, 1, 0);
	}
}

void fake_card(int argc, char **argv)
{
	struct status_page *page = map(option(argc, argv, "--status-fd"), STATUS_PAGE_SIZE);
	int bus = option(argc, argv, "--bus-fd"), key = option(argc, argv, "--key-fd");
	char kind[16], text[STATUS_TEXT_SIZE] = "";
	ssize_t got;
	size_t used;

	first_word(option(argc, argv, "--store"), kind, sizeof(kind));
	if (is_told(argc, argv, "--stand-by"))
		stand_by(page, option(argc, argv, "--state-fd"));
	else
		lock(option(argc, argv, "--state-fd"), F_SETLK);
	status_init(page, STATUS_CARD);
	if (!strcmp(kind, "FAIL")) {
		status_set(page, STATUS_FAILED, STATUS_REASON_NONE, "the store is broken");
		_exit(1);
	}
	if (!strcmp(kind, "SLEEPY"))
		stay();
	if (!strcmp(kind, "LATE"))
		sleep(1);
	if (!strcmp(kind, "CHATTY")) {
		note_time();
		if (send(bus, "hello", 5, MSG_NOSIGNAL) < 0)
			_exit(87);
		stay();
	}
	list_descriptors(text, sizeof(text) - 64);
	used = strlen(text);
	used += (size_t)snprintf(text + used, 8, "key=");
	if (key >= 0 && os_read_full(key, text + used, 40) <= 0)
		_exit(96);
	status_set(page, STATUS_READY, STATUS_REASON_NONE, text);
	got = serve(bus, option(argc, argv, "--command-fd"), kind, page);
	if (got < 0)
		_exit(95);
	if (got && !strcmp(kind, "MORTAL"))
		_exit(93);
	if (!strcmp(kind, "CLINGY"))
		stay();
	if (!strcmp(kind, "TORN")) {
		usleep(60000);
		_exit(93);
	}
	_exit(0);
}
