/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are volumes, which no instance has. A new one is a hole: its blocks are those that
 * were never written, which read as zeros with any key (docs/decisions.md); or what fill.h makes it
 * begin as. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/base.h"
#include "dispatch_call.h"
#include "files.h"
#include "fill.h"
#include "os/fd.h"
#include "os/newfile.h"

#define BLOCK	  4096u
#define IMAGE_KEY 3u /* its number in the request */

static int take_file(struct call *call, char path[FILES_PATH_MAX])
{
	const struct control_value *file = control_value_find(&call->request, "file");
	char name[sizeof(call->target)];

	call_copy_text(file, name, sizeof(name));
	call_name_target(call, name, "");
	return files_take_volume(call->fleet->files, file, path, &call->error);
}

static void answer(struct call *call, const char *path, const char *what)
{
	char text[OPERATION_TEXT];

	snprintf(text, sizeof(text), "volume %.400s %s", path, what);
	fleet_finish(call->fleet, call->operation, 0, text);
}

/* ---- new ones ---- */

static int failed(struct call *call, const char *path, int ret)
{
	return error_set(&call->error, -ret, "%s: %s", path, strerror(-ret));
}

static int open_new(struct call *call, struct os_newfile *file, const char *path, uint64_t size)
{
	int ret = os_newfile_open(file, path);

	if (ret == 0 && ftruncate(file->fd, (off_t)size) < 0)
		ret = -errno;
	return ret < 0 ? failed(call, path, ret) : 0;
}

static int make(struct call *call, const char *path, uint64_t size)
{
	struct os_newfile file = OS_NEWFILE_NONE;
	int ret = open_new(call, &file, path, size);

	if (ret == 0) {
		ret = os_newfile_publish(&file);
		if (ret < 0)
			failed(call, path, ret);
	}
	os_newfile_close(&file);
	return ret;
}

static int make_empty(struct call *call, const char *path, uint64_t size)
{
	int ret = 0;

	if (call->request.key_count)
		ret = error_set(&call->error, EINVAL, "keys: an empty volume needs none yet");
	if (ret == 0)
		ret = call_accept(call);
	if (ret == 0)
		ret = make(call, path, size);
	if (ret == 0)
		answer(call, path, "is there");
	return ret;
}

/* ---- from an image ---- */

static int take_key(struct call *call, struct keyring *keys)
{
	const struct control_request *request = &call->request;

	if (request->key_count != 1 || request->keys[0].number != IMAGE_KEY)
		return error_set(&call->error, EINVAL,
				 "keys: a volume of an image takes one key, number %u", IMAGE_KEY);
	return keyring_fill(keys, request, call->caller, call->fleet->wrapping, &call->error);
}

/* What is known not to fit is not begun. */
static int check_room(struct call *call, int image, const struct chore *chore, uint64_t size)
{
	struct stat status;
	struct statvfs disk;

	if (fstat(image, &status) < 0 || fstatvfs(chore->file.fd, &disk) < 0)
		return error_set(&call->error, errno, "image: %s", strerror(errno));
	if ((uint64_t)status.st_size > size)
		return error_set(&call->error, EINVAL, "size: the image has %lld bytes",
				 (long long)status.st_size);
	if ((uint64_t)status.st_blocks * 512 > (uint64_t)disk.f_bavail * disk.f_frsize)
		return error_set(&call->error, ENOSPC, "%s: %lld bytes are needed, %llu are free",
				 chore->file.path, (long long)status.st_blocks * 512,
				 (unsigned long long)disk.f_bavail * disk.f_frsize);
	return 0;
}

static int prepare(struct call *call, struct chore *chore, const char *path, int image,
		   uint64_t size)
{
	int ret = open_new(call, &chore->file, path, size);

	snprintf(chore->text, sizeof(chore->text), "volume %.400s is there", path);
	if (ret == 0)
		ret = check_room(call, image, chore, size);
	if (ret == 0)
		ret = take_key(call, &chore->keys);
	if (ret == 0)
		ret = call_accept(call);
	return ret == 0 ? fill_start(chore, image, &call->error) : ret;
}

static int make_of_image(struct call *call, const char *path, uint64_t size)
{
	char name[IMAGE_NAME_MAX + 1];
	CLEANUP_CLOSE int image = -1;
	struct chore *chore;
	int ret;

	call_copy_text(control_value_find(&call->request, "image"), name, sizeof(name));
	ret = image_check_name(name, &call->error);
	if (ret < 0)
		return ret;
	image = images_open(call->fleet->files, name, IMAGE_ROOT, &call->error);
	if (image < 0)
		return image;
	chore = chores_place(call->fleet, call->operation, &call->error);
	if (!chore)
		return -EBUSY;
	ret = prepare(call, chore, path, image, size);
	if (ret == 0)
		return chores_begin(chore, fill_wait, &call->error);
	chores_drop(chore);
	return ret;
}

static int take_size(struct call *call, uint64_t *size)
{
	*size = control_value_find(&call->request, "size")->number;
	if (*size && *size % BLOCK == 0)
		return 0;
	return error_set(&call->error, EINVAL, "size: must be a multiple of %u bytes", BLOCK);
}

int call_make_volume(struct call *call)
{
	char path[FILES_PATH_MAX];
	uint64_t size = 0;
	int ret = take_file(call, path);

	if (ret == 0)
		ret = take_size(call, &size);
	if (ret < 0)
		return ret;
	return control_value_find(&call->request, "image") ? make_of_image(call, path, size)
							   : make_empty(call, path, size);
}

/* ---- whose is it? ---- */

/* By the file, not its name: there may be several. */
static bool is_store(const struct card_spec *card, const struct stat *file)
{
	const struct card_value *store = card_spec_value(card, CARD_STORE);
	struct stat other;

	return store && !card_store_is_ram(store->text) && stat(store->text, &other) == 0 &&
	       other.st_dev == file->st_dev && other.st_ino == file->st_ino;
}

static bool live_has(const struct machine *machine, const struct stat *file)
{
	for (unsigned i = 1; i <= COMMAND_MAX_SLOT; i++) {
		if (machine->slots[i] && is_store(&machine->slots[i]->card, file))
			return true;
	}
	return false;
}

static bool spec_has(const struct instance *instance, const struct stat *file)
{
	for (size_t i = 0; i < instance->card_count; i++) {
		if (is_store(&instance->cards[i], file))
			return true;
	}
	return false;
}

/* As it is written down: of one that runs, the cards themselves are in its slots, or were detached
 * and come back with its next start. What cannot be read may name any file. */
static bool book_has(const struct unit *unit, const struct book_entry *entry,
		     const struct stat *file)
{
	struct error error = {0};
	struct instance instance;
	bool found;

	if (!entry->spec)
		return false;
	if (instance_parse(&instance, unit->name, unit->fleet->files, entry->spec, entry->length,
			   &error) < 0)
		return true;
	found = spec_has(&instance, file);
	instance_free(&instance);
	return found;
}

/* Now, with its next start, or with what it goes back to if its launch fails. */
static bool has(const struct unit *unit, const struct stat *file)
{
	return (unit->live && live_has(&unit->machine, file)) ||
	       book_has(unit, &unit->entry, file) ||
	       (unit->live && unit->ordered && book_has(unit, &unit->before, file));
}

static int must_be_free(struct call *call, const char *path)
{
	struct stat file;

	if (lstat(path, &file) < 0)
		return error_set(&call->error, errno, "%s: %s", path, strerror(errno));
	if (!S_ISREG(file.st_mode))
		return error_set(&call->error, EINVAL, "%s: is not a file", path);
	for (unsigned i = 0; i < FLEET_UNITS; i++) {
		struct unit *unit = call->fleet->units[i];

		if (unit && has(unit, &file))
			return error_set(&call->error, EBUSY,
					 "%s: instance %s has it; detach it first", path,
					 unit->name);
	}
	return 0;
}

int call_delete_volume(struct call *call)
{
	char path[FILES_PATH_MAX];
	int ret = take_file(call, path);

	if (ret == 0)
		ret = must_be_free(call, path);
	if (ret == 0)
		ret = call_accept(call);
	if (ret == 0 && unlink(path) < 0)
		ret = error_set(&call->error, errno, "%s: %s", path, strerror(errno));
	if (ret == 0)
		answer(call, path, "is not there any more");
	return ret;
}

/* ---- more of one ---- */

static int grow(struct call *call, const char *path, uint64_t size)
{
	CLEANUP_CLOSE int file = open(path, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat status;

	if (file < 0 || fstat(file, &status) < 0)
		return failed(call, path, -errno);
	/* Also one that was grown before: it is asked for at least that much. */
	if ((uint64_t)status.st_size < size &&
	    (ftruncate(file, (off_t)size) < 0 || fsync(file) < 0))
		return failed(call, path, -errno);
	return 0;
}

int call_grow_volume(struct call *call)
{
	char path[FILES_PATH_MAX];
	uint64_t size = 0;
	int ret = take_file(call, path);

	if (ret == 0)
		ret = take_size(call, &size);
	if (ret == 0)
		ret = must_be_free(call, path);
	if (ret == 0)
		ret = call_accept(call);
	if (ret == 0)
		ret = grow(call, path, size);
	if (ret == 0)
		answer(call, path, "is as large as that");
	return ret;
}

/* ---- copies ---- */

/* A card takes this lock to write: while it is copied nobody does, and who has begun to is seen,
 * whoever that is. */
static int lock_source(int file)
{
	struct flock whole = {.l_type = F_RDLCK, .l_whence = SEEK_SET};

	if (fcntl(file, F_OFD_SETLK, &whole) == 0)
		return 0;
	return errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;
}

static int open_source(struct call *call, const char *path)
{
	CLEANUP_CLOSE int file = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	int ret = file < 0 ? -errno : lock_source(file);

	return ret < 0 ? failed(call, path, ret) : os_steal_fd(&file);
}

static int begin_copy(struct call *call, struct chore *chore, const char *path, const char *from)
{
	int ret = open_new(call, &chore->file, path, 0);

	snprintf(chore->text, sizeof(chore->text), "volume %.400s is there", path);
	if (ret == 0)
		ret = chore->from = open_source(call, from);
	return ret < 0 ? ret : call_accept(call);
}

int call_copy_volume(struct call *call)
{
	char path[FILES_PATH_MAX], from[FILES_PATH_MAX];
	struct chore *chore;
	int ret = take_file(call, path);

	if (ret == 0)
		ret = files_take_volume(call->fleet->files,
					control_value_find(&call->request, "from"), from,
					&call->error);
	if (ret == 0)
		ret = must_be_free(call, from);
	if (ret < 0)
		return ret;
	chore = chores_place(call->fleet, call->operation, &call->error);
	if (!chore)
		return -EBUSY;
	ret = begin_copy(call, chore, path, from);
	if (ret == 0)
		return chores_begin(chore, fill_copy, &call->error);
	chores_drop(chore);
	return ret;
}
