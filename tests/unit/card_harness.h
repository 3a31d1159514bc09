/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a card as its controller and its hypervisor would: state area, status page and bus link of
 * its own, the client's half on the other end of the link.
 */
#ifndef KARUTA_TESTS_CARD_HARNESS_H
#define KARUTA_TESTS_CARD_HARNESS_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base.h"
#include "card/card.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/memfd.h"
#include "os/spawn.h"
#include "vfu/vfu_client.h"
#include "wire/status.h"

/* Far more than anything here takes: a test that waits this long has failed. */
#define PATIENCE_MS 20000
#define CARD_USER   0x70000042u

/* What a card gets as descriptor 2 and up. */
enum harness_fd {
	FD_BUS = 3,
	FD_STATE = 4,
	FD_STATUS = 5,
};

struct harness {
	const char *program;
	int state_fd, status_fd;
	uint8_t *state; /* CARD_STATE_AREA_SIZE bytes */
	struct status_page *status;
	pid_t pid;
	int pidfd, output; /* read end of the card's standard error and output */
	struct vfu_client *client;
};

static inline void harness_open(struct harness *harness, const char *program)
{
	void *mapping;

	*harness = (struct harness){.program = program, .pidfd = -1, .output = -1};
	harness->state_fd = os_memfd("state", CARD_STATE_AREA_SIZE);
	harness->status_fd = os_memfd("status", STATUS_PAGE_SIZE);
	assert_int_equal(os_map(harness->state_fd, 0, CARD_STATE_AREA_SIZE, true, &mapping), 0);
	harness->state = mapping;
	assert_int_equal(os_map(harness->status_fd, 0, STATUS_PAGE_SIZE, true, &mapping), 0);
	harness->status = mapping;
}

static inline void harness_close(struct harness *harness)
{
	vfu_client_destroy(harness->client);
	munmap(harness->state, CARD_STATE_AREA_SIZE);
	munmap(harness->status, STATUS_PAGE_SIZE);
	os_close(&harness->state_fd);
	os_close(&harness->status_fd);
	os_close(&harness->pidfd);
	os_close(&harness->output);
}

/*
 * A program with the address sanitizer looks for leaks at its end by means that the sandbox does
 * not allow: that part is switched off, in the only way there is, by the environment.
 */
#ifdef __has_feature
#define HARNESS_CLANG_ASAN __has_feature(address_sanitizer)
#else
#define HARNESS_CLANG_ASAN 0
#endif
#if defined(__SANITIZE_ADDRESS__) || HARNESS_CLANG_ASAN
#define HARNESS_NEEDS_LAUNCHER true
#else
#define HARNESS_NEEDS_LAUNCHER false
#endif

/* Starts the program with `arguments` (NULL-terminated); `bus` is its FD_BUS unless negative. */
static inline void harness_spawn(struct harness *harness, const char *const *arguments, int bus)
{
	const char *launcher = HARNESS_NEEDS_LAUNCHER ? "/usr/bin/env" : harness->program;
	char *argv[32] = {(char *)"card"};
	int program = open(launcher, O_RDONLY | O_CLOEXEC);
	int pipe[2];
	size_t count = 1;

	assert_true(program >= 0);
	assert_int_equal(os_pipe(pipe), 0);
	if (HARNESS_NEEDS_LAUNCHER) {
		argv[count++] = (char *)"ASAN_OPTIONS=detect_leaks=0";
		argv[count++] = (char *)harness->program;
	}
	while (*arguments && count < ARRAY_LEN(argv) - 1)
		argv[count++] = (char *)*arguments++;
	const struct os_spawn_fd fds[] = {{pipe[1], STDOUT_FILENO},
					  {pipe[1], STDERR_FILENO},
					  {harness->state_fd, FD_STATE},
					  {harness->status_fd, FD_STATUS},
					  {bus, FD_BUS}};

	os_close(&harness->pidfd);
	os_close(&harness->output);
	assert_int_equal(os_spawn(program, argv, fds, ARRAY_LEN(fds) - (bus < 0), true, NULL,
				  &harness->pid, &harness->pidfd),
			 0);
	close(pipe[1]);
	close(program);
	harness->output = pipe[0];
}

/* The card's exit code, or minus the signal that ended it. Reaps it. */
static inline int harness_wait(struct harness *harness)
{
	struct pollfd entry = {.fd = harness->pidfd, .events = POLLIN};
	int status;

	assert_int_equal(poll(&entry, 1, PATIENCE_MS), 1);
	assert_int_equal(waitpid(harness->pid, &status, 0), harness->pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static inline void harness_kill(struct harness *harness, int signal)
{
	assert_int_equal(kill(harness->pid, signal), 0);
}

/* All that it has printed; after its end. */
static inline const char *harness_output(struct harness *harness)
{
	static char text[8192];
	ssize_t length = os_read_full(harness->output, text, sizeof(text) - 1);

	assert_true(length >= 0);
	text[length] = '\0';
	return text;
}

static inline struct status_view harness_status(const struct harness *harness)
{
	struct status_view view = {0};

	while (status_read(harness->status, STATUS_CARD, &view) == -EAGAIN)
		usleep(1000);
	return view;
}

static inline void harness_wait_state(const struct harness *harness, enum status_state state)
{
	for (unsigned i = 0; i < PATIENCE_MS; i++) {
		struct status_view view;

		if (!status_read(harness->status, STATUS_CARD, &view) && view.state == state)
			return;
		usleep(1000);
	}
	fail_msg("the card did not reach state %d", (int)state);
}

/* Starts it on a link of its own with the areas handed over, and `extra` arguments after that. */
static inline int harness_launch_on(struct harness *harness, const char *const *extra)
{
	static char user[16];
	const char *arguments[24] = {"--bus-fd", "3", "--state-fd", "4", "--status-fd", "5"};
	size_t count = 6;
	int pair[2];

	if (!geteuid()) {
		snprintf(user, sizeof(user), "%u", CARD_USER);
		arguments[count++] = "--user";
		arguments[count++] = user;
	}
	while (extra && *extra)
		arguments[count++] = *extra++;
	assert_int_equal(os_socket_pair(pair), 0);
	harness_spawn(harness, arguments, pair[1]);
	close(pair[1]);
	return pair[0];
}

static inline int harness_launch(struct harness *harness, const char *const *extra)
{
	memset(harness->status, 0, STATUS_PAGE_SIZE);
	return harness_launch_on(harness, extra);
}

/* A process that stands by, beside the one that runs, which the caller has to remember. */
static inline int harness_launch_beside(struct harness *harness)
{
	int bus = harness_launch_on(harness, (const char *[]){"--stand-by", NULL});

	for (unsigned i = 0; i < PATIENCE_MS && !harness_status(harness).standing_by; i++)
		usleep(1000);
	assert_true(harness_status(harness).standing_by);
	return bus;
}

static inline void harness_connect(struct harness *harness, int socket)
{
	struct error error = {0};

	vfu_client_destroy(harness->client);
	harness->client = NULL;
	assert_int_equal(vfu_client_create(&harness->client, socket, NULL, NULL, PATIENCE_MS), 0);
	assert_int_equal(vfu_client_negotiate(harness->client, &error), 0);
}

static inline void harness_disconnect(struct harness *harness)
{
	vfu_client_destroy(harness->client);
	harness->client = NULL;
}

/* Launch, wait until it serves, connect. */
static inline void harness_start(struct harness *harness, const char *const *extra)
{
	int socket = harness_launch(harness, extra);

	harness_wait_state(harness, STATUS_READY);
	harness_connect(harness, socket);
}

static inline uint64_t harness_read(struct harness *harness, unsigned region, uint64_t offset,
				    uint32_t length)
{
	uint64_t value = 0;

	assert_int_equal(vfu_client_read(harness->client, region, offset, &value, length), 0);
	return value;
}

static inline void harness_write(struct harness *harness, unsigned region, uint64_t offset,
				 uint32_t length, uint64_t value)
{
	assert_int_equal(vfu_client_write(harness->client, region, offset, &value, length), 0);
}

static inline void harness_master(struct harness *harness, bool on)
{
	harness_write(harness, VFU_REGION_CONFIG, PCI_COMMAND, 2,
		      PCI_COMMAND_MEMORY | (on ? PCI_COMMAND_MASTER : 0u));
}

/* A program of the build by its name, or the test itself for NULL. */
static inline const char *harness_program(const char *name)
{
	static char path[4096];
	ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
	char *slash;

	if (length < 0)
		return "";
	path[length] = '\0';
	slash = strrchr(path, '/');
	if (name)
		snprintf(slash, sizeof(path) - (size_t)(slash - path), "/../../bin/%s", name);
	return path;
}

#endif
