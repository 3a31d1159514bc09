/* SPDX-License-Identifier: Apache-2.0 */
/* One client after the other on a listening socket; the next ones wait in its backlog. */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "os/fd.h"
#include "server.h"

static void on_connection(void *context, int fd, uint32_t events)
{
	struct vfu_server *server = context;
	int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

	(void)events;
	if (client < 0 || vfu_server_adopt(server, client) < 0)
		return;
	os_loop_remove(server->loop, fd);
}

int vfu_server_resume_listening(struct vfu_server *server)
{
	if (server->listening < 0)
		return 0;
	return os_loop_add(server->loop, server->listening, EPOLLIN, on_connection, server);
}

int vfu_server_listen(struct vfu_server *server, int listening)
{
	int ret = server->listening >= 0 ? -EBUSY : os_set_nonblocking(listening, true);

	if (!ret && server->socket < 0)
		ret = os_loop_add(server->loop, listening, EPOLLIN, on_connection, server);
	if (ret) {
		os_close(&listening);
		return ret;
	}
	server->listening = listening;
	return 0;
}

/* Removes a socket that nobody listens on any more; leaves everything else where it is. */
static int remove_stale(const struct sockaddr_un *address)
{
	CLEANUP_CLOSE int probe = -1;
	struct stat status;

	if (lstat(address->sun_path, &status) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(status.st_mode))
		return -EEXIST;
	probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (probe < 0)
		return -errno;
	/* EAGAIN: its backlog is full; EPROTOTYPE: it is served, but not as a stream. */
	if (!connect(probe, (const struct sockaddr *)address, sizeof(*address)) ||
	    errno == EAGAIN || errno == EPROTOTYPE)
		return -EADDRINUSE;
	if (errno != ECONNREFUSED)
		return -errno;
	return unlink(address->sun_path) < 0 ? -errno : 0;
}

/* fchmod() of a socket before bind() is the mode that its file is made with: there is no moment at
 * which others may connect. */
static int bind_private(int fd, const struct sockaddr_un *address)
{
	if (fchmod(fd, 0600) < 0 ||
	    bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 || listen(fd, 16) < 0)
		return -errno;
	return 0;
}

int vfu_server_bind(const char *path, struct error *error)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	CLEANUP_CLOSE int fd = -1;
	int ret;

	if (!*path || strlen(path) >= sizeof(address.sun_path))
		return error_set(error, ENAMETOOLONG,
				 "socket %s: the path must have 1 to %zu bytes", path,
				 sizeof(address.sun_path) - 1);
	memcpy(address.sun_path, path, strlen(path));
	ret = remove_stale(&address);
	if (ret == -EADDRINUSE)
		return error_set(error, EADDRINUSE, "socket %s: another program serves it", path);
	if (ret == -EEXIST)
		return error_set(error, EEXIST, "socket %s: there is a file that is no socket",
				 path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (!ret)
		ret = fd < 0 ? -errno : bind_private(fd, &address);
	if (ret)
		return error_set(error, -ret, "socket %s: %s", path, strerror(-ret));
	return os_steal_fd(&fd);
}
