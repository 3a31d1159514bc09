/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "address.h"
#include "ask.h"
#include "base/base.h"
#include "os/clock.h"
#include "os/fd.h"
#include "strict.h"

#define ANSWER_MAX (256u << 10)

static int connect_to(const struct ask *ask, struct error *error)
{
	struct sockaddr_un address;
	int fd = address_find(ask->name, ask->socket, &address, error);

	if (fd < 0)
		return fd;
	fd = address_connect(&address);
	if (fd == -ENOENT || fd == -ECONNREFUSED)
		return error_set(error, -fd, "no instance %s runs here (nobody listens on %s)",
				 ask->name, address.sun_path);
	if (fd < 0)
		return error_set(error, -fd, "instance %s: %s: %s", ask->name, address.sun_path,
				 strerror(-fd));
	return fd;
}

static int send_request(const struct ask *ask, const json_t *request, struct error *error)
{
	CLEANUP_FREE char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
	struct iovec iov;
	ssize_t sent;
	int ret;

	if (!text)
		return error_set(error, ENOMEM, "out of memory");
	iov = (struct iovec){.iov_base = text, .iov_len = strlen(text)};
	/* The descriptor rides on the first byte; the rest follows as it fits. */
	sent = os_send(ask->connection, &iov, 1, &ask->descriptor, ask->descriptor >= 0, 0);
	ret = sent < 0 ? (int)sent : 0;
	if (ret == 0)
		ret = os_write_all(ask->connection, text + sent, iov.iov_len - (size_t)sent);
	if (ret == 0)
		ret = os_write_all(ask->connection, "\n", 1);
	/* Who closes without reading may have answered all the same: that it is too busy. */
	if (ret == -EPIPE)
		ret = 0;
	return ret < 0 ? error_set(error, -ret, "send request: %s", strerror(-ret)) : 0;
}

/* Peeks, so that what follows the line stays in the socket: the console's bytes. */
static ssize_t take_line_part(int fd, char *buffer, size_t size)
{
	ssize_t got = recv(fd, buffer, size, MSG_PEEK);
	char *end;

	if (got <= 0)
		return got < 0 ? -errno : 0;
	end = memchr(buffer, '\n', (size_t)got);
	return recv(fd, buffer, end ? (size_t)(end - buffer) + 1 : (size_t)got, 0);
}

static int wait_answer(const struct ask *ask, uint64_t deadline, struct error *error)
{
	int ret = os_wait(ask->connection, POLLIN, ask->seconds ? deadline : UINT64_MAX);

	if (ret > 0)
		return 0;
	return error_set(error, ret ? -ret : ETIMEDOUT, "instance %s: no answer within %u s",
			 ask->name, ask->seconds);
}

static int read_line(const struct ask *ask, char *line, struct error *error)
{
	uint64_t deadline = os_now() + ask->seconds * NS_PER_S;
	size_t length = 0;

	while (!length || line[length - 1] != '\n') {
		int ret = wait_answer(ask, deadline, error);
		ssize_t got;

		if (ret < 0)
			return ret;
		got = take_line_part(ask->connection, line + length, ANSWER_MAX - length);
		if (got == -EINTR)
			continue;
		if (got <= 0)
			return error_set(error, EPIPE,
					 "instance %s: its controller went without an answer",
					 ask->name);
		length += (size_t)got;
	}
	return (int)length;
}

static int read_answer(const struct ask *ask, json_t **answer, struct error *error)
{
	CLEANUP_FREE char *line = malloc(ANSWER_MAX + 1);
	int length = line ? read_line(ask, line, error) : error_set(error, ENOMEM, "out of memory");
	json_t *object = NULL;
	int code;

	if (length < 0)
		return length;
	if (strict_parse("answer", line, (size_t)length, &object, error) < 0)
		return -EPROTO;
	code = (int)json_integer_value(json_object_get(object, "code"));
	if (code) {
		const char *text = json_string_value(json_object_get(object, "text"));

		error_set(error, code, "instance %s: %s", ask->name, text ? text : strerror(code));
		json_decref(object);
		return code > 0 ? -code : -EPROTO;
	}
	*answer = object;
	return 0;
}

int ask_controller(struct ask *ask, json_t *request, json_t **answer, struct error *error)
{
	int ret;

	signal(SIGPIPE, SIG_IGN);
	ask->connection = connect_to(ask, error);
	ret = ask->connection < 0 ? ask->connection : send_request(ask, request, error);
	json_decref(request);
	if (ret == 0)
		ret = read_answer(ask, answer, error);
	return ret;
}
