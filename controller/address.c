/* SPDX-License-Identifier: Apache-2.0 */
/* Where the command socket of an instance is, and that it is there once only. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "address.h"
#include "base/base.h"
#include "base/name.h"
#include "os/fd.h"

#define CONNECT_SECONDS 5

static int set_path(struct sockaddr_un *address, const char *path, struct error *error)
{
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (!path[0] || strlen(path) >= sizeof(address->sun_path))
		return error_set(error, ENAMETOOLONG, "socket %s: must be 1 to %zu bytes", path,
				 sizeof(address->sun_path) - 1);
	memcpy(address->sun_path, path, strlen(path));
	return 0;
}

int address_find(const char *name, const char *given, struct sockaddr_un *address,
		 struct error *error)
{
	const char *folder = geteuid() == 0 ? "/run" : getenv("XDG_RUNTIME_DIR");
	char path[512];

	if (given)
		return set_path(address, given, error);
	if (!name_is_valid(name, ADDRESS_NAME_MAX))
		return error_set(error, EINVAL, "%s is not the name of an instance", name);
	if (!folder || folder[0] != '/')
		return error_set(error, ENOENT,
				 "XDG_RUNTIME_DIR is not set; set it or use --socket PATH");
	snprintf(path, sizeof(path), "%s/karuta/%s.sock", folder, name);
	return set_path(address, path, error);
}

/* The folder that the socket is in, as a descriptor. Our own is made if it is missing. */
static int open_folder(const struct sockaddr_un *address, bool make)
{
	char path[sizeof(address->sun_path) + 1];
	char *slash;
	int fd;

	snprintf(path, sizeof(path), "%s", address->sun_path);
	slash = strrchr(path, '/');
	if (slash)
		slash[slash == path] = '\0';
	else
		snprintf(path, sizeof(path), ".");
	if (make && mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int address_connect(const struct sockaddr_un *address)
{
	static const struct timeval patience = {.tv_sec = CONNECT_SECONDS};
	CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	/* connect(2) waits while the backlog of one that does not accept any more is full. */
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0 ||
	    connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
		return -errno;
	return os_steal_fd(&fd);
}

/* A socket that nobody listens on is left over from a program that was killed. */
static int remove_stale(const struct sockaddr_un *address)
{
	CLEANUP_CLOSE int fd = -1;
	struct stat status;

	if (lstat(address->sun_path, &status) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(status.st_mode))
		return -EEXIST;
	fd = address_connect(address);
	if (fd >= 0 || fd == -EAGAIN)
		return -EADDRINUSE;
	/* Anything else may well be somebody's: one for datagrams, one that we may not connect to.
	 */
	if (fd != -ECONNREFUSED)
		return fd;
	return unlink(address->sun_path) < 0 ? -errno : 0;
}

static int bind_private(int fd, const struct sockaddr_un *address)
{
	/* bind(2) makes the file with the mask's mode; a chmod afterwards would come too late. */
	mode_t mask = umask(0177);
	int ret = bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ? -errno : 0;

	umask(mask);
	return ret;
}

int address_listen(const struct sockaddr_un *address, bool make_folder, struct error *error)
{
	CLEANUP_CLOSE int folder = open_folder(address, make_folder);
	CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int ret = folder < 0 ? folder : fd < 0 ? -errno : 0;

	/* Two that start at once must not remove each other's socket; the lock goes with the fd. */
	if (ret == 0 && flock(folder, LOCK_EX) < 0)
		ret = -errno;
	if (ret == 0)
		ret = remove_stale(address);
	if (ret == 0)
		ret = bind_private(fd, address);
	if (ret == 0 && listen(fd, 16) < 0)
		ret = -errno;
	if (ret == -EADDRINUSE)
		return error_set(error, EADDRINUSE,
				 "%s: an instance of this name runs already; stop it or use --name",
				 address->sun_path);
	if (ret < 0)
		return error_set(error, -ret, "command socket %s: %s", address->sun_path,
				 strerror(-ret));
	return os_steal_fd(&fd);
}
