/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "cgroup.h"
#include "fd.h"
#include "room.h"

#define FILE_MAX 8192

int os_room_open(void)
{
	int fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* The number behind `name` at the beginning of a line. */
static bool find(const char *text, const char *name, uint64_t *value)
{
	unsigned long long number;

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, name, strlen(name)) == 0 &&
		    sscanf(line + strlen(name), "%llu", &number) == 1) {
			*value = number;
			return true;
		}
	}
	return false;
}

uint64_t os_room_of_host(int room)
{
	char text[FILE_MAX];
	ssize_t length = pread(room, text, sizeof(text) - 1, 0);
	uint64_t kib;

	if (length < 0)
		return UINT64_MAX;
	text[length] = '\0';
	return find(text, "MemAvailable:", &kib) ? kib * KIB : UINT64_MAX;
}

static uint64_t number_in(int cgroup, const char *file, const char *name)
{
	char text[FILE_MAX];
	uint64_t value;

	if (os_read_text(cgroup, file, text, sizeof(text)) < 0 || !find(text, name, &value))
		return UINT64_MAX;
	return value;
}

/* Its shared memory is counted among its files and cannot be given back. */
static uint64_t room_in(int cgroup)
{
	uint64_t most = number_in(cgroup, "memory.max", "");
	uint64_t used = number_in(cgroup, "memory.current", "");
	uint64_t files = number_in(cgroup, "memory.stat", "file ");
	uint64_t shared = number_in(cgroup, "memory.stat", "shmem ");

	if (most == UINT64_MAX || used == UINT64_MAX)
		return UINT64_MAX;
	if (shared <= files && files != UINT64_MAX)
		used -= min_u64(used, files - shared);
	return most - min_u64(most, used);
}

uint64_t os_room_below(int root, const char *path)
{
	uint64_t room = UINT64_MAX;
	char at[PATH_MAX];

	snprintf(at, sizeof(at), ".%s", path);
	for (;;) {
		CLEANUP_CLOSE int cgroup = os_cgroup_open(root, at);
		char *last = strrchr(at, '/');

		if (cgroup >= 0)
			room = min_u64(room, room_in(cgroup));
		if (!last)
			return room;
		*last = '\0';
	}
}

uint64_t os_room_of_cgroups(void)
{
	CLEANUP_CLOSE int root = os_cgroup_root();
	char text[FILE_MAX], *line;

	if (root < 0 || os_read_text(AT_FDCWD, "/proc/self/cgroup", text, sizeof(text)) < 0)
		return UINT64_MAX;
	line = strncmp(text, "0::/", 4) ? strstr(text, "\n0::/") : text;
	if (!line)
		return UINT64_MAX;
	line = strchr(line, '/');
	line[strcspn(line, "\n")] = '\0';
	return os_room_below(root, line);
}
