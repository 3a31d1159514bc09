/* SPDX-License-Identifier: Apache-2.0 */
/*
 * karuta image import: a raw or qcow2 disk that somebody else made becomes an image. The file is
 * hostile: its format is decided here, by its first bytes, and never guessed by the converter.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "child.h"
#include "image.h"
#include "os/fd.h"
#include "partition.h"
#include "qcow2.h"

struct import {
	const char *name, *file;
	char path[PATH_MAX]; /* absolute: no protocol prefix of the converter's can be in it */
	const char *format;
	uint64_t size, room;
	struct workshop shop;
	struct progress progress;
	int log, disk;
	struct partition_table table;
	struct partition root; /* number 0: the whole disk */
	struct ext_super super;
	struct boot_names names;
};

/* ---- 1: what it is ---- */

static int inspect(struct import *import, struct error *error)
{
	CLEANUP_CLOSE int fd = -1;
	uint8_t header[QCOW2_HEADER_SIZE];
	ssize_t length;
	struct stat status;

	if (!realpath(import->file, import->path))
		return error_set(error, errno, "%.150s: %s", import->file, strerror(errno));
	fd = open(import->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &status))
		return error_set(error, errno, "%.150s: %s", import->file, strerror(errno));
	if (!S_ISREG(status.st_mode) || !status.st_size)
		return error_set(error, EINVAL, "%.150s: %s", import->file,
				 status.st_size ? "not a regular file" : "is empty");
	length = os_read_full(fd, header, sizeof(header));
	if (length < 0)
		return error_set(error, (int)-length, "%.150s: %s", import->file,
				 strerror((int)-length));
	import->format = qcow2_is_one(header, (size_t)length) ? "qcow2" : "raw";
	import->size = (uint64_t)status.st_size;
	import->room = (uint64_t)status.st_blocks * 512;
	if (!strcmp(import->format, "raw"))
		return 0;
	return qcow2_check(header, (size_t)length, &import->size, error);
}

/* ---- 2: the disk, raw ---- */

static void show_percent(void *context, const char *line)
{
	struct import *import = context;
	double percent;

	if (sscanf(line, " (%lf/100%%)", &percent) == 1 && percent >= 0 && percent <= 100)
		progress_update(&import->progress, (uint64_t)(percent * 100));
}

static int convert(struct import *import, struct error *error)
{
	const char *argv[] = {"qemu-img", "convert", "-p",	   "-f",       import->format,
			      "-O",	  "raw",     import->path, "root.img", NULL};
	struct child child = {.argv = argv,
			      .folder = import->shop.path,
			      .log = import->log,
			      .keep = {import->shop.lock},
			      .line = show_percent,
			      .context = import};
	int result;

	progress_step(&import->progress, "convert", 10000);
	result = child_run(&child, error);
	if (result)
		error_prefix(error, "%.100s", import->file);
	return result;
}

static int open_disk(struct import *import, struct error *error)
{
	CLEANUP_FREE char *path = NULL;
	struct stat status;

	if (asprintf(&path, "%s/root.img", import->shop.path) < 0)
		return error_set(error, ENOMEM, "out of memory");
	import->disk = open(path, O_RDWR | O_CLOEXEC);
	if (import->disk < 0 || fstat(import->disk, &status))
		return error_set(error, errno, "%.150s: %s", path, strerror(errno));
	import->size = align_up((uint64_t)status.st_size, 4096);
	if (ftruncate(import->disk, (off_t)import->size))
		return error_set(error, errno, "%.150s: %s", path, strerror(errno));
	return 0;
}

/* ---- 3: where its root file system is ---- */

static struct boot_place place_at(const struct import *import, uint64_t offset)
{
	return (struct boot_place){.folder = import->shop.path,
				   .image = "root.img",
				   .offset = offset,
				   .log = import->log};
}

static bool is_root(const struct import *import, uint64_t offset)
{
	struct boot_place place = place_at(import, offset);

	return boot_files_exist(&place, "/etc/os-release") ||
	       boot_files_exist(&place, "/sbin/init") ||
	       boot_files_exist(&place, "/usr/lib/os-release");
}

static bool take_root(struct import *import, const struct partition *candidate)
{
	if (!partition_ext(import->disk, candidate->start, &import->super) ||
	    import->super.length > candidate->length || !is_root(import, candidate->start))
		return false;
	import->root = *candidate;
	return true;
}

static int find_root(struct import *import, struct error *error)
{
	struct partition whole = {.length = import->size};
	int result = partition_read(&import->table, import->disk, import->size);

	progress_step(&import->progress, "find the root file system", 0);
	if (result)
		return error_set(error, -result, "%.150s: its partition table is damaged",
				 import->file);
	if (!import->table.count && take_root(import, &whole))
		return 0;
	for (size_t i = 0; i < import->table.count; i++) {
		if (take_root(import, &import->table.at[i]))
			return 0;
	}
	return error_set(error, ENOENT,
			 "%.120s: no root file system of type ext2, ext3 or ext4 in it (%zu "
			 "partitions); other types cannot be imported yet",
			 import->file, import->table.count);
}

/* ---- 4: its kernel, in /boot or on a boot partition ---- */

static int take_boot_files(struct import *import, struct error *error)
{
	struct boot_place place = place_at(import, import->root.start);
	int result;

	progress_step(&import->progress, "take out kernel and initrd", 0);
	result = boot_files_extract(&place, "/boot", &import->names, error);
	for (size_t i = 0; i < import->table.count && result == -ENOENT; i++) {
		const struct partition *other = &import->table.at[i];
		struct ext_super ignored;

		if (other->number == import->root.number ||
		    !partition_ext(import->disk, other->start, &ignored))
			continue;
		place = place_at(import, other->start);
		result = boot_files_extract(&place, "/", &import->names, error);
	}
	if (result == -ENOENT)
		error_set(error, ENOENT,
			  "%.120s: no kernel (vmlinuz-*) in /boot, nor on another partition",
			  import->file);
	return result;
}

/* A file system with small blocks cannot live on a disk of 4,096-byte sectors. */
static unsigned sector_of(const struct import *import)
{
	if (import->table.count)
		return import->table.sector;
	return import->super.block < 4096 ? 512 : 4096;
}

static int finish(struct import *import, struct error *error)
{
	struct image_facts facts = {.name = import->name,
				    .origin = "imported",
				    .size = import->size,
				    .sector = sector_of(import),
				    .partition = import->root.number,
				    .uuid = import->super.uuid,
				    .boot = &import->names};
	int result = image_write_facts(&import->shop, &facts, &import->progress, error);

	return result ? result : workshop_publish(&import->shop, import->name, error);
}

static int open_log(struct import *import, struct error *error)
{
	CLEANUP_FREE char *path = NULL;

	if (asprintf(&path, "%s/log", import->shop.path) < 0)
		return error_set(error, ENOMEM, "out of memory");
	import->log = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	return import->log < 0 ? error_set(error, errno, "%.150s: %s", path, strerror(errno)) : 0;
}

static int make_image(struct import *import, struct error *error)
{
	int result = workshop_open(&import->shop, import->room + 64 * MIB, error);

	result = result ? result : open_log(import, error);
	result = result ? result : convert(import, error);
	result = result ? result : open_disk(import, error);
	result = result ? result : find_root(import, error);
	result = result ? result : take_boot_files(import, error);
	result = result ? result : finish(import, error);
	if (result)
		progress_abandon(&import->progress);
	else
		progress_end(&import->progress);
	workshop_close(&import->shop);
	os_close(&import->log);
	os_close(&import->disk);
	return result;
}

int image_import(const struct invocation *call, struct error *error)
{
	struct import *import = calloc(1, sizeof(*import));
	int result;

	if (!import)
		return error_set(error, ENOMEM, "out of memory");
	*import = (struct import){.name = call->operands[0],
				  .file = call->operands[1],
				  .shop = {.lock = -1},
				  .log = -1,
				  .disk = -1};
	result = image_check_free(import->name, error);
	result = result ? result : inspect(import, error);
	result = result ? result : make_image(import, error);
	if (!result)
		printf("image %s is ready; `karuta image show %s` tells how it is started\n",
		       import->name, import->name);
	free(import);
	return result;
}
