/* SPDX-License-Identifier: Apache-2.0 */
#include "images.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "images_inside.h"
#include "os/fd.h"

static const struct {
	const char *name;
	uint64_t most;
} parts[IMAGE_PARTS] = {
	[IMAGE_KERNEL] = {"kernel", IMAGE_BOOT_MOST},
	[IMAGE_INITRD] = {"initrd", IMAGE_BOOT_MOST},
	[IMAGE_ROOT] = {"root", IMAGE_ROOT_MOST},
};

/* ---- names ---- */

static bool is_good(const char *name)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
	size_t length = strlen(name);

	return length && length <= IMAGE_NAME_MAX && name[0] != '-' && strspn(name, good) == length;
}

int image_check_name(const char *name, struct error *error)
{
	if (is_good(name))
		return 0;
	return error_set(error, EINVAL,
			 "image: must be 1 to %u small letters, digits and '-', which must not be "
			 "first",
			 IMAGE_NAME_MAX);
}

const char *image_part_name(enum image_part part)
{
	return parts[part].name;
}

uint64_t image_part_most(enum image_part part)
{
	return parts[part].most;
}

int image_part_find(const char *name, enum image_part *part, struct error *error)
{
	for (unsigned i = 0; i < IMAGE_PARTS; i++) {
		if (!strcmp(parts[i].name, name)) {
			*part = (enum image_part)i;
			return 0;
		}
	}
	return error_set(error, EINVAL, "part: must be kernel, initrd or root");
}

void image_unfinished_name(char name[IMAGE_ENTRY_MAX + 1], const char *image)
{
	snprintf(name, IMAGE_ENTRY_MAX + 1, ".%s", image);
}

/* ---- folders ---- */

int image_failed(const char *image, const char *what, int ret, struct error *error)
{
	return error_set(error, -ret, "image %s%s%s: %s", image, what[0] ? ": " : "", what,
			 strerror(-ret));
}

int image_open_folder(int in, const char *name)
{
	int fd = openat(in, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int image_open_all(const char *files)
{
	CLEANUP_CLOSE int folder = image_open_folder(AT_FDCWD, files);

	return folder < 0 ? folder : image_open_folder(folder, IMAGES_FOLDER);
}

static int make_folder(int in, const char *name)
{
	if (mkdirat(in, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	return image_open_folder(in, name);
}

static int make_all(const char *files)
{
	CLEANUP_CLOSE int folder = image_open_folder(AT_FDCWD, files);

	return folder < 0 ? folder : make_folder(folder, IMAGES_FOLDER);
}

static bool is_there(int in, const char *name)
{
	struct stat status;

	return fstatat(in, name, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

/* ---- all of them ---- */

typedef void (*each_fn)(void *context, int folder, const char *name, bool finished);

static int for_each(int folder, each_fn each, void *context)
{
	int fd = fcntl(folder, F_DUPFD_CLOEXEC, 3);
	DIR *directory = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	if (!directory) {
		int ret = -errno;

		os_close(&fd);
		return ret;
	}
	rewinddir(directory);
	while ((entry = readdir(directory))) {
		bool finished = entry->d_name[0] != '.';
		const char *name = entry->d_name + !finished;

		if (is_good(name))
			each(context, folder, name, finished);
	}
	closedir(directory);
	return 0;
}

static void count_one(void *context, int folder, const char *name, bool finished)
{
	(void)folder;
	(void)name;
	(void)finished;
	++*(unsigned *)context;
}

static void list_one(void *context, int folder, const char *name, bool finished)
{
	json_t *image = json_pack("{s:s,s:b}", "image", name, "finished", finished);
	char entry[IMAGE_ENTRY_MAX + 1];
	CLEANUP_CLOSE int own = -1;

	image_unfinished_name(entry, name);
	own = image_open_folder(folder, entry + finished);
	for (unsigned i = 0; own >= 0 && i < IMAGE_PARTS; i++) {
		struct stat status;

		if (fstatat(own, parts[i].name, &status, AT_SYMLINK_NOFOLLOW) == 0)
			json_object_set_new(image, parts[i].name, json_integer(status.st_size));
	}
	json_array_append_new(context, image);
}

json_t *images_list(const char *files)
{
	CLEANUP_CLOSE int folder = image_open_all(files);
	json_t *list = json_array();

	if (folder >= 0 && list)
		for_each(folder, list_one, list);
	return json_pack("{s:o}", "images", list);
}

/* ---- one that is not finished ---- */

static int make_unfinished(int folder, const char *image, struct error *error)
{
	char name[IMAGE_ENTRY_MAX + 1];
	unsigned count = 0;
	int ret;

	image_unfinished_name(name, image);
	if (is_there(folder, image))
		return error_set(error, EEXIST, "image %s: is finished; delete it first", image);
	ret = is_there(folder, name) ? 0 : for_each(folder, count_one, &count);
	if (ret == 0 && count >= IMAGES_MAX)
		return error_set(error, EBUSY, "there are %u images already; delete one first",
				 IMAGES_MAX);
	if (ret == 0)
		ret = make_folder(folder, name);
	return ret < 0 ? image_failed(image, "", ret, error) : ret;
}

static int write_part(int own, enum image_part part, uint64_t offset, const void *bytes,
		      size_t length)
{
	CLEANUP_CLOSE int file =
		openat(own, parts[part].name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	return file < 0 ? -errno : os_pwrite_all(file, bytes, length, offset);
}

int images_write(const char *files, const char *image, enum image_part part, uint64_t offset,
		 const void *bytes, size_t length, struct error *error)
{
	CLEANUP_CLOSE int folder = -1;
	CLEANUP_CLOSE int own = -1;
	int ret;

	if (!range_within(offset, length, parts[part].most))
		return error_set(error, EFBIG, "image %s: %s: has at most %llu bytes", image,
				 parts[part].name, (unsigned long long)parts[part].most);
	folder = make_all(files);
	if (folder < 0)
		return image_failed(image, "", folder, error);
	own = make_unfinished(folder, image, error);
	if (own < 0)
		return own;
	ret = write_part(own, part, offset, bytes, length);
	return ret < 0 ? image_failed(image, parts[part].name, ret, error) : 0;
}

/* ---- one that is finished ---- */

int images_open(const char *files, const char *image, enum image_part part, struct error *error)
{
	CLEANUP_CLOSE int folder = image_open_all(files);
	CLEANUP_CLOSE int own = folder < 0 ? folder : image_open_folder(folder, image);
	int file = own < 0 ? own : openat(own, parts[part].name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (file >= 0)
		return file;
	if (own == -ENOENT)
		return error_set(error, ENOENT, "there is no finished image %s", image);
	return image_failed(image, parts[part].name, own < 0 ? own : -errno, error);
}

/* ---- the end of one ---- */

static int remove_file(int own, const char *name)
{
	return unlinkat(own, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

static int remove_folder(int folder, const char *name)
{
	CLEANUP_CLOSE int own = image_open_folder(folder, name);
	int ret = own < 0 ? own : remove_file(own, IMAGE_DIGESTS);

	for (unsigned i = 0; ret == 0 && i < IMAGE_PARTS; i++)
		ret = remove_file(own, parts[i].name);
	if (ret == 0 && unlinkat(folder, name, AT_REMOVEDIR) < 0)
		ret = -errno;
	return ret;
}

/* First it is no finished one any more: half of one is none. */
int images_delete(const char *files, const char *image, struct error *error)
{
	CLEANUP_CLOSE int folder = image_open_all(files);
	char name[IMAGE_ENTRY_MAX + 1];
	int ret = folder < 0 ? folder : 0;

	image_unfinished_name(name, image);
	if (ret == 0 && renameat(folder, image, folder, name) < 0 && errno != ENOENT)
		ret = -errno;
	if (ret == 0)
		ret = remove_folder(folder, name);
	if (ret == 0 && fsync(folder) < 0)
		ret = -errno;
	if (ret == -ENOENT)
		return error_set(error, ENOENT, "there is no image %s", image);
	return ret < 0 ? image_failed(image, "", ret, error) : 0;
}
