/* SPDX-License-Identifier: Apache-2.0 */
#include "newfile.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "fd.h"

static int open_nameless(struct os_newfile *file)
{
	file->fd = open(file->folder, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	if (file->fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
		return file->fd < 0 ? -errno : 0;
	if (asprintf(&file->temporary, "%s/.karuta-XXXXXX", file->folder) < 0) {
		file->temporary = NULL;
		return -ENOMEM;
	}
	file->fd = mkostemp(file->temporary, O_CLOEXEC);
	if (file->fd >= 0)
		return 0;
	free(file->temporary);
	file->temporary = NULL;
	return -errno;
}

int os_newfile_open(struct os_newfile *file, const char *path)
{
	CLEANUP_FREE char *copy = strdup(path);
	struct stat status;

	*file = OS_NEWFILE_NONE;
	file->path = strdup(path);
	file->folder = copy ? strdup(dirname(copy)) : NULL;
	if (!file->path || !file->folder)
		return -ENOMEM;
	if (!lstat(path, &status))
		return -EEXIST;
	return open_nameless(file);
}

static int give_name(const struct os_newfile *file)
{
	char link[32];

	if (file->temporary)
		return renameat2(AT_FDCWD, file->temporary, AT_FDCWD, file->path, RENAME_NOREPLACE);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", file->fd);
	return linkat(AT_FDCWD, link, AT_FDCWD, file->path, AT_SYMLINK_FOLLOW);
}

int os_newfile_publish(struct os_newfile *file)
{
	CLEANUP_CLOSE int folder = open(file->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (folder < 0 || fsync(file->fd) < 0 || give_name(file) < 0)
		return -errno;
	free(file->temporary);
	file->temporary = NULL;
	return fsync(folder) < 0 ? -errno : 0;
}

void os_newfile_close(struct os_newfile *file)
{
	if (file->temporary)
		unlink(file->temporary);
	os_close(&file->fd);
	free(file->path);
	free(file->folder);
	free(file->temporary);
	*file = OS_NEWFILE_NONE;
}
