/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"
#include "console.h"

#define SHORTEST_PAUSE_MS 5
#define LONGEST_PAUSE_MS  20
#define CHUNKS_PER_TURN	  16

int console_open(const char *path, struct error *error)
{
	int fd;

	if (!strcmp(path, "-"))
		fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	else
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0600);
	if (fd < 0)
		return error_set(error, errno, "console %s: %s", path, strerror(errno));
	return fd;
}

void console_begin(struct console *console, const struct console_ring *ring, int out)
{
	*console = (struct console){.ring = ring, .out = out, .pause_ms = SHORTEST_PAUSE_MS};
}

/* False: nothing new, or not a ring (yet). */
static bool fill(struct console *console)
{
	int64_t got = console_read(console->ring, &console->position, console->buffer,
				   sizeof(console->buffer), &console->lost);

	console->done = 0;
	console->pending = got > 0 ? (size_t)got : 0;
	return console->pending > 0;
}

/* A pipe or terminal that poll(2) calls writable takes PIPE_BUF (4096) bytes without blocking. */
static bool is_writable(int fd, int timeout_ms)
{
	struct pollfd wait = {.fd = fd, .events = POLLOUT};

	return poll(&wait, 1, timeout_ms) == 1;
}

static bool drain(struct console *console, int timeout_ms)
{
	ssize_t wrote;

	if (!is_writable(console->out, timeout_ms))
		return false;
	wrote = write(console->out, console->buffer + console->done, console->pending);
	if (wrote < 0) {
		/* The reader has gone: the instance goes on without it. */
		if (errno != EAGAIN && errno != EINTR)
			console->out = -1;
		return false;
	}
	console->done += (size_t)wrote;
	console->pending -= (size_t)wrote;
	return true;
}

static bool move(struct console *console, int timeout_ms)
{
	if (console->out < 0 || (!console->pending && !fill(console)))
		return false;
	return drain(console, timeout_ms);
}

bool console_turn(struct console *console)
{
	unsigned moved = 0;

	while (moved < CHUNKS_PER_TURN && move(console, 0))
		moved++;
	if (moved)
		console->pause_ms = SHORTEST_PAUSE_MS;
	else
		console->pause_ms = (int)min_u64((uint64_t)console->pause_ms * 2, LONGEST_PAUSE_MS);
	return moved > 0;
}

void console_finish(struct console *console, int timeout_ms)
{
	while (move(console, timeout_ms))
		;
}
