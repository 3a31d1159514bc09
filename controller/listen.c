/* SPDX-License-Identifier: Apache-2.0 */
#include "listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "os/fd.h"

/* "[::1]:4747", "127.0.0.1:4747", ":4747". */
static bool split(const char *text, char *host, size_t size, const char **service)
{
	const char *colon = strrchr(text, ':');
	size_t length = colon ? (size_t)(colon - text) : 0;
	bool brackets = length >= 2 && text[0] == '[' && text[length - 1] == ']';

	if (!colon || length >= size)
		return false;
	snprintf(host, size, "%.*s", (int)(length - 2 * brackets), text + brackets);
	*service = colon + 1;
	return brackets || !strchr(host, ':');
}

/* An IPv4 address becomes an IPv6 one that stands for it, where there is IPv6. */
static struct addrinfo *find_address(const char *text, int family, struct error *error)
{
	struct addrinfo hints = {.ai_family = family,
				 .ai_socktype = SOCK_STREAM,
				 .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_V4MAPPED |
					     AI_PASSIVE};
	struct addrinfo *found = NULL;
	char host[64];
	const char *service;

	if (split(text, host, sizeof(host), &service) &&
	    getaddrinfo(host[0] ? host : NULL, service, &hints, &found) == 0)
		return found;
	error_set(error, EINVAL, "--listen %s: must be ADDRESS:PORT, in numbers", text);
	return NULL;
}

static int bind_and_listen(int fd, const struct addrinfo *address)
{
	static const int off = 0, on = 1;

	if (address->ai_family == AF_INET6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    bind(fd, address->ai_addr, address->ai_addrlen) < 0 || listen(fd, SOMAXCONN) < 0)
		return -errno;
	return 0;
}

int listen_open(const char *text, struct error *error)
{
	static const int type = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
	int family = AF_INET6, ret;
	CLEANUP_CLOSE int fd = socket(family, type, 0);
	struct addrinfo *address;

	if (fd < 0 && errno == EAFNOSUPPORT) {
		family = AF_INET;
		fd = socket(family, type, 0);
	}
	ret = fd < 0 ? -errno : 0;
	address = find_address(text, family, error);
	if (!address)
		return -EINVAL;
	if (ret == 0)
		ret = bind_and_listen(fd, address);
	freeaddrinfo(address);
	if (ret < 0)
		return error_set(error, -ret, "listen at %s: %s", text, strerror(-ret));
	return os_steal_fd(&fd);
}
