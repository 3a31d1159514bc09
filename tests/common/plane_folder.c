/* SPDX-License-Identifier: Apache-2.0 */
#include "plane_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/fd.h"

char plane_folder[64];

int plane_folder_make(void **state)
{
	(void)state;
	snprintf(plane_folder, sizeof(plane_folder), "/tmp/karuta-plane-XXXXXX");
	return mkdtemp(plane_folder) ? 0 : -1;
}

int plane_folder_remove(void **state)
{
	DIR *listing = opendir(plane_folder);
	struct dirent *found;

	(void)state;
	while (listing && (found = readdir(listing)))
		unlinkat(dirfd(listing), found->d_name, 0);
	if (listing)
		closedir(listing);
	return rmdir(plane_folder);
}

const char *plane_path(const char *name)
{
	static char paths[2][512];
	static unsigned turn;

	turn = !turn;
	snprintf(paths[turn], sizeof(paths[turn]), "%s/%s", plane_folder, name);
	return paths[turn];
}

char *plane_read(const char *name, size_t *length)
{
	CLEANUP_CLOSE int file = open(plane_path(name), O_RDONLY | O_CLOEXEC);
	struct stat status;
	char *bytes;

	if (file < 0 || fstat(file, &status) < 0)
		return NULL;
	*length = (size_t)status.st_size;
	bytes = malloc(*length + 1);
	if (!bytes || os_pread_all(file, bytes, *length, 0) < 0) {
		free(bytes);
		return NULL;
	}
	bytes[*length] = '\0';
	return bytes;
}

void plane_write(const char *name, const void *bytes, size_t length)
{
	CLEANUP_CLOSE int file =
		open(plane_path(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (file < 0 || os_write_all(file, bytes, length) < 0)
		abort();
}

static bool has(const char *name, const void *bytes, size_t length)
{
	size_t size = 0;
	char *all = plane_read(name, &size);
	bool found = all && memmem(all, size, bytes, length);

	free(all);
	return found;
}

const char *plane_search(const void *bytes, size_t length)
{
	static char name[256];
	DIR *listing = opendir(plane_folder);
	struct dirent *found;
	bool there = false;

	while (!there && listing && (found = readdir(listing))) {
		if (found->d_type != DT_REG)
			continue;
		snprintf(name, sizeof(name), "%s", found->d_name);
		there = has(name, bytes, length);
	}
	if (listing)
		closedir(listing);
	return there ? name : NULL;
}
