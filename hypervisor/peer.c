/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/base.h"
#include "os/fd.h"
#include "peer.h"

struct handover_writer peer_begin(struct peer *peer, enum handover_kind kind, unsigned number)
{
	peer->fd_count = 0;
	return handover_begin(peer->bytes, kind, number, peer->version);
}

void peer_add(struct peer *peer, int fd)
{
	if (fd >= 0 && peer->fd_count < HANDOVER_FDS)
		peer->fds[peer->fd_count++] = fd;
}

static int await(const struct peer *peer, short events)
{
	int ret = os_wait(peer->socket, events, peer->deadline);

	return ret < 0 ? ret : ret ? 0 : -ETIMEDOUT;
}

int peer_send(struct peer *peer, struct handover_writer *writer)
{
	size_t count = peer->fd_count;
	ssize_t length = handover_finish(writer), sent;
	struct iovec iov = {.iov_base = peer->bytes, .iov_len = (size_t)length};
	int ret = length < 0 ? (int)length : 0;

	peer->fd_count = 0;
	while (!ret) {
		sent = os_send(peer->socket, &iov, 1, peer->fds, count, MSG_DONTWAIT);
		if (sent != -EAGAIN)
			return sent < 0 ? (int)sent : 0;
		ret = await(peer, POLLOUT);
	}
	return ret;
}

int peer_say(struct peer *peer, enum handover_kind kind)
{
	struct handover_writer writer = peer_begin(peer, kind, 0);

	return peer_send(peer, &writer);
}

static void drop(struct peer *peer)
{
	while (peer->fd_count)
		os_close(&peer->fds[--peer->fd_count]);
}

int peer_receive(struct peer *peer)
{
	ssize_t length;
	int ret;

	drop(peer);
	ret = await(peer, POLLIN);
	if (ret < 0)
		return ret;
	length = os_receive(peer->socket, peer->bytes, sizeof(peer->bytes), peer->fds, HANDOVER_FDS,
			    &peer->fd_count, MSG_DONTWAIT);
	if (length <= 0)
		return length ? (int)length : -EPIPE;
	return handover_open(&peer->record, peer->bytes, (size_t)length, peer->version);
}

int peer_expect(struct peer *peer, enum handover_kind kind)
{
	int ret = peer_receive(peer);

	return !ret && peer->record.kind != kind ? -EPROTO : ret;
}

int peer_take(struct peer *peer)
{
	int fd;

	if (!peer->fd_count)
		return -1;
	fd = peer->fds[0];
	memmove(peer->fds, peer->fds + 1, --peer->fd_count * sizeof(*peer->fds));
	return fd;
}

void peer_close(struct peer *peer)
{
	drop(peer);
	os_close(&peer->socket);
}
