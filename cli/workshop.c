/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/base.h"
#include "home.h"
#include "os/fd.h"
#include "size.h"

#define PREFIX ".new-"

/* What a killed maker left. Its lock is free, unless a program that it started still lives. */
static void sweep(const char *images)
{
	DIR *folder = opendir(images);
	struct dirent *entry;

	while (folder && (entry = readdir(folder))) {
		CLEANUP_FREE char *path = NULL;
		CLEANUP_CLOSE int lock = -1;

		if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)) ||
		    asprintf(&path, "%s/%s", images, entry->d_name) < 0)
			continue;
		lock = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (lock >= 0 && !flock(lock, LOCK_EX | LOCK_NB))
			(void)home_remove_tree(path);
	}
	if (folder)
		closedir(folder);
}

static int check_room(const char *images, uint64_t room, struct error *error)
{
	struct statvfs disk;
	char need[SIZE_TEXT], have[SIZE_TEXT];
	uint64_t free_bytes;

	if (statvfs(images, &disk))
		return error_set(error, errno, "%.150s: %s", images, strerror(errno));
	free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
	if (free_bytes >= room)
		return 0;
	return error_set(error, ENOSPC,
			 "%.120s: %s are free, %s are needed; make room, or set KARUTA_HOME to a "
			 "place on a larger disk",
			 images, size_format(have, free_bytes), size_format(need, room));
}

/* Made and locked in two steps: a sweep in between takes the folder away, and then it is tried
 * anew. */
static int make(struct workshop *shop, const char *images)
{
	struct stat made, there;

	for (int tries = 0; tries < 10; tries++) {
		if (asprintf(&shop->path, "%s/" PREFIX "XXXXXX", images) < 0)
			return -ENOMEM;
		if (!mkdtemp(shop->path))
			return -errno;
		shop->lock = open(shop->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (shop->lock >= 0 && !flock(shop->lock, LOCK_EX | LOCK_NB) &&
		    !fstat(shop->lock, &made) && !stat(shop->path, &there) &&
		    made.st_ino == there.st_ino)
			return fchmod(shop->lock, 0755) ? -errno : 0;
		workshop_close(shop);
	}
	return -EAGAIN;
}

int workshop_open(struct workshop *shop, uint64_t room, struct error *error)
{
	CLEANUP_FREE char *images = home_images(error);
	int result;

	*shop = (struct workshop){.lock = -1};
	if (!images)
		return -ENOMEM;
	result = home_make_folders(images, error);
	if (result)
		return result;
	sweep(images);
	result = check_room(images, room, error);
	if (result)
		return result;
	result = make(shop, images);
	if (result)
		return error_set(error, -result, "%.150s: a folder in it: %s", images,
				 strerror(-result));
	return 0;
}

int workshop_publish(struct workshop *shop, const char *name, struct error *error)
{
	CLEANUP_FREE char *path = home_image(name, error);
	CLEANUP_FREE char *images = home_images(error);
	CLEANUP_CLOSE int parent = -1;

	if (!path || !images)
		return error ? -error->code : -ENOMEM;
	if (syncfs(shop->lock) || renameat2(AT_FDCWD, shop->path, AT_FDCWD, path, RENAME_NOREPLACE))
		return error_set(error, errno, "image %s: %s", name,
				 errno == EEXIST ? "exists already" : strerror(errno));
	free(shop->path);
	shop->path = NULL;
	parent = open(images, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (parent < 0 || fsync(parent))
		return error_set(error, errno, "%.150s: %s", images, strerror(errno));
	return 0;
}

void workshop_close(struct workshop *shop)
{
	if (shop->path)
		(void)home_remove_tree(shop->path);
	free(shop->path);
	shop->path = NULL;
	os_close(&shop->lock);
}
