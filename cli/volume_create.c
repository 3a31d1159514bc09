/* SPDX-License-Identifier: Apache-2.0 */
/*
 * karuta file create. The file has no name until it is whole and on the disk (O_TMPFILE), so an
 * interrupted run leaves nothing, and giving it its name never overwrites another file.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/base.h"
#include "base/size.h"
#include "content.h"
#include "image.h"
#include "interrupt.h"
#include "os/fd.h"
#include "os/newfile.h"
#include "os/sparse.h"
#include "progress.h"
#include "size.h"
#include "volume.h"

#define CHUNK ((size_t)1 << 20)

struct creation {
	const struct invocation *call;
	const char *path;
	uint64_t size;
	json_t *facts; /* of the image; NULL: none */
	int image;     /* its root.img; -1: none */
	uint64_t image_size;
	struct os_newfile file;
	uint8_t key[STORE_KEY_SIZE];
};

/* ---- arguments ---- */

static int open_image(struct creation *creation, const char *name, struct error *error)
{
	CLEANUP_FREE char *folder = home_image(name, error);
	CLEANUP_FREE char *path = NULL;
	struct stat status;

	creation->facts = folder ? image_read_facts(name, error) : NULL;
	if (!creation->facts)
		return -ENOENT;
	if (asprintf(&path, "%s/root.img", folder) < 0)
		return error_set(error, ENOMEM, "out of memory");
	creation->image = open(path, O_RDONLY | O_CLOEXEC);
	if (creation->image < 0 || fstat(creation->image, &status))
		return error_set(error, errno, "image %s: root.img: %s", name, strerror(errno));
	creation->image_size = (uint64_t)status.st_size;
	if (creation->image_size % STORE_BLOCK || !creation->image_size)
		return error_set(error, EBADMSG, "image %s: root.img is not whole blocks of 4 KiB",
				 name);
	return 0;
}

static int choose_size(struct creation *creation, struct error *error)
{
	const char *text = options_value(creation->call, "size");
	char least[SIZE_TEXT];

	creation->size = creation->image_size;
	if (text && (size_parse(text, &creation->size) || creation->size > VOLUME_LARGEST ||
		     creation->size < STORE_BLOCK)) {
		error_set(error, EINVAL, "--size %.60s: wanted is a size up to 16T, such as 4G",
			  text);
		return CLI_USAGE;
	}
	if (!creation->size) {
		error_set(error, EINVAL, "--size is missing (or --from-image)");
		return CLI_USAGE;
	}
	creation->size = align_up(creation->size, STORE_BLOCK);
	if (creation->size < creation->image_size)
		return error_set(error, ENOSPC, "--size %s: the image needs at least %s", text,
				 size_format(least, creation->image_size));
	return 0;
}

static int check_free(const struct creation *creation, struct error *error)
{
	struct stat status;

	if (lstat(creation->path, &status))
		return 0;
	return error_set(
		error, EEXIST,
		"%.150s: exists already, and is not overwritten; take another name, or remove "
		"it first",
		creation->path);
}

static int check_sector(const struct creation *creation, struct error *error)
{
	const char *text = options_value(creation->call, "sector");

	if (!text || !strcmp(text, "512") || !strcmp(text, "4096"))
		return 0;
	error_set(error, EINVAL, "--sector %.30s: wanted is 512 or 4096", text);
	return CLI_USAGE;
}

static int check_arguments(struct creation *creation, struct error *error)
{
	const char *image = options_value(creation->call, "from-image");
	int result = check_sector(creation, error);

	result = result ? result : check_free(creation, error);
	if (!result && image)
		result = open_image(creation, image, error);
	result = result ? result : choose_size(creation, error);
	return result ? result : volume_read_key(creation->call, creation->key, error);
}

/* ---- the file ---- */

static int fail(const struct creation *creation, int code, struct error *error)
{
	return error_set(error, code, "volume %.150s: %s", creation->path, strerror(code));
}

static int check_room(const struct creation *creation, struct error *error)
{
	struct stat status;
	struct statvfs disk;
	char have[SIZE_TEXT], need[SIZE_TEXT];
	uint64_t room, wanted;

	if (creation->image < 0 || fstat(creation->image, &status) ||
	    fstatvfs(creation->file.fd, &disk))
		return 0;
	room = (uint64_t)disk.f_bavail * disk.f_frsize;
	wanted = (uint64_t)status.st_blocks * 512;
	if (wanted <= room)
		return 0;
	return error_set(error, ENOSPC, "volume %.120s: %s are free on its disk, %s are needed",
			 creation->path, size_format(have, room), size_format(need, wanted));
}

static int open_file(struct creation *creation, struct error *error)
{
	int result = os_newfile_open(&creation->file, creation->path);

	return result ? fail(creation, -result, error) : check_room(creation, error);
}

/* ---- the content ---- */

static int write_blocks(struct store *volume, uint64_t offset, uint8_t *bytes, uint64_t length)
{
	uint64_t at = 0;
	int result = 0;

	while (at < length && !result) {
		uint64_t start;

		while (at < length && content_is_zero(bytes + at, STORE_BLOCK))
			at += STORE_BLOCK;
		start = at;
		while (at < length && !content_is_zero(bytes + at, STORE_BLOCK))
			at += STORE_BLOCK;
		if (at > start)
			result = store_do(volume, STORE_WRITE, offset + start, bytes + start,
					  at - start);
	}
	return result;
}

/* From `start` to `end`, widened to whole blocks; the image is whole blocks. */
static int write_stretch(struct store *volume, int image, uint64_t start, uint64_t end,
			 uint8_t *buffer, struct progress *progress)
{
	int result = 0;

	end = align_up(end, STORE_BLOCK);
	for (uint64_t at = align_down(start, STORE_BLOCK); at < end && !result;) {
		uint64_t length = min_u64(CHUNK, end - at);

		result = interrupt_pending() ? -EINTR
					     : os_pread_all(image, buffer, (size_t)length, at);
		if (!result)
			result = write_blocks(volume, at, buffer, length);
		at += length;
		progress_update(progress, at);
	}
	return result;
}

static int write_image(const struct creation *creation, struct store *volume,
		       struct progress *progress)
{
	CLEANUP_FREE uint8_t *buffer = aligned_alloc(STORE_BLOCK, CHUNK);
	uint64_t start = 0, end = 0;
	int result = buffer ? 0 : -ENOMEM;

	while (!result && end < creation->image_size) {
		result = os_next_data(creation->image, end, creation->image_size, &start, &end);
		if (!result)
			result = write_stretch(volume, creation->image, start, end, buffer,
					       progress);
	}
	return result;
}

static int fill(struct creation *creation, struct error *error)
{
	struct progress progress = {0};
	struct store *volume = NULL;
	int fd = fcntl(creation->file.fd, F_DUPFD_CLOEXEC, 3);
	int result = fd < 0 ? fail(creation, errno, error)
			    : volume_open(&volume, fd, creation->size, creation->key, error);

	if (result)
		return result;
	if (creation->image >= 0) {
		progress_step(&progress, "encrypt the image", creation->image_size);
		result = write_image(creation, volume, &progress);
	}
	if (!result)
		result = store_do(volume, STORE_FLUSH, 0, NULL, 0);
	if (!result)
		result = os_newfile_publish(&creation->file);
	store_destroy(volume);
	if (!result)
		progress_end(&progress);
	else
		progress_abandon(&progress);
	return result ? fail(creation, -result, error) : 0;
}

/* ---- the end ---- */

static unsigned sector_of(const struct creation *creation)
{
	const char *text = options_value(creation->call, "sector");

	if (text)
		return strcmp(text, "512") ? 4096 : 512;
	if (creation->facts)
		return (unsigned)json_integer_value(json_object_get(creation->facts, "sector"));
	return 4096;
}

static void report(const struct creation *creation)
{
	char size[SIZE_TEXT];

	printf("volume %s, %s; in an instance's file:\n"
	       "  { \"slot\": 1, \"kind\": \"volume\", \"store\": \"%s\", \"key_fd\": 5, "
	       "\"sector\": "
	       "%u }\n",
	       creation->path, size_format(size, creation->size), creation->path,
	       sector_of(creation));
}

static void release(struct creation *creation)
{
	explicit_bzero(creation->key, sizeof(creation->key));
	os_newfile_close(&creation->file);
	json_decref(creation->facts);
	os_close(&creation->image);
}

int volume_create(const struct invocation *call, struct error *error)
{
	struct creation creation = {
		.call = call, .path = call->operands[0], .image = -1, .file = OS_NEWFILE_NONE};
	int result = check_arguments(&creation, error);

	result = result ? result : open_file(&creation, error);
	result = result ? result : fill(&creation, error);
	if (!result)
		report(&creation);
	release(&creation);
	return result;
}
