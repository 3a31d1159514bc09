/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "link.h"
#include "os/fd.h"

static int made(struct link *link, int ret, const char *what, struct error *error)
{
	if (ret == 0)
		return 0;
	link_close(link);
	return error_set(error, -ret, "make %s: %s", what, strerror(-ret));
}

static int make_pair(struct link *link, int (*make)(int pair[2]), int ours)
{
	int pair[2], ret;

	*link = LINK_NONE;
	ret = make(pair);
	if (ret < 0)
		return ret;
	link->ours = pair[ours];
	link->theirs = pair[!ours];
	return 0;
}

int link_bus(struct link *link, struct error *error)
{
	return made(link, make_pair(link, os_socket_pair, 0), "bus link", error);
}

int link_commands(struct link *link, struct error *error)
{
	int ret = make_pair(link, os_pipe, 1);

	if (ret == 0)
		ret = os_set_nonblocking(link->ours, true);
	return made(link, ret, "command pipe", error);
}

int link_descriptors(struct link *link, struct error *error)
{
	int ret = make_pair(link, os_socket_pair, 0);

	if (ret == 0)
		ret = os_set_nonblocking(link->ours, true);
	return made(link, ret, "descriptor channel", error);
}

int link_between(struct link *link, struct error *error)
{
	return made(link, make_pair(link, os_packet_pair, 0), "link between programs", error);
}

int link_send_descriptor(const struct link *link, int fd)
{
	char byte = 0;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	ssize_t sent = os_send(link->ours, &iov, 1, &fd, 1, MSG_DONTWAIT);

	return sent < 0 ? (int)sent : 0;
}

void link_close(struct link *link)
{
	os_close(&link->ours);
	os_close(&link->theirs);
}
