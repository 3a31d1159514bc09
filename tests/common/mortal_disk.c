/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mortal_disk.h"
#include "os/fd.h"

#define FILES	   64
#define NAMES	   16
#define CHANGES	   8
#define LENGTH_MAX 2048
#define PART	   100 /* bytes that a call writes at most */

struct file {
	char flushed[LENGTH_MAX], now[LENGTH_MAX];
	size_t flushed_length, length;
};

/* Of the folder: `name` is `file` from now on, or (-1) nothing. Two of a rename are one change. */
struct name {
	char name[96];
	int file;
};

struct change {
	struct name names[2];
	unsigned count;
};

struct folder {
	struct name names[NAMES];
	unsigned count;
};

static struct {
	struct file files[FILES];
	int file_count;
	struct folder flushed, now;
	struct change changes[CHANGES]; /* since the folder was flushed */
	unsigned change_count;
	unsigned calls, fails_at;
	int code;
	bool only_one;
} disk;

void mortal_begin(unsigned number, int code, bool only_one)
{
	memset(&disk, 0, sizeof(disk));
	disk.fails_at = number;
	disk.code = code;
	disk.only_one = only_one;
}

unsigned mortal_calls_made(void)
{
	return disk.calls;
}

static bool fails(void)
{
	disk.calls++;
	if (!disk.fails_at || disk.calls < disk.fails_at ||
	    (disk.only_one && disk.calls != disk.fails_at))
		return false;
	errno = disk.code;
	return true;
}

static void set_name(struct folder *folder, const struct name *name)
{
	unsigned i = 0;

	while (i < folder->count && strcmp(folder->names[i].name, name->name) != 0)
		i++;
	if (i == NAMES)
		abort();
	folder->names[i] = *name;
	folder->count += i == folder->count;
}

static int find_file(const char *name)
{
	for (unsigned i = 0; i < disk.now.count; i++) {
		if (!strcmp(disk.now.names[i].name, name))
			return disk.now.names[i].file;
	}
	return -1;
}

static void apply(struct folder *folder, const struct change *change)
{
	for (unsigned i = 0; i < change->count; i++)
		set_name(folder, &change->names[i]);
}

static void add(struct change *change, const char *name, int file)
{
	struct name *to = &change->names[change->count++];

	snprintf(to->name, sizeof(to->name), "%s", name);
	to->file = file;
}

static void make_change(const struct change *change)
{
	if (disk.change_count == CHANGES)
		abort();
	disk.changes[disk.change_count++] = *change;
	apply(&disk.now, change);
}

/* ---- the calls ---- */

static int open_file(int folder, const char *name, int flags, ...)
{
	struct change change = {0};
	int file = find_file(name);

	if (folder != MORTAL_FOLDER || !(flags & O_TRUNC) || !(flags & O_CREAT))
		abort();
	if (fails())
		return -1;
	if (file < 0) {
		if (disk.file_count == FILES)
			abort();
		file = disk.file_count++;
		add(&change, name, file);
		make_change(&change);
	}
	disk.files[file].length = 0;
	return file;
}

static ssize_t write_file(int file, const void *bytes, size_t length)
{
	struct file *at = &disk.files[file];
	size_t part = length < PART ? length : PART;

	if (fails())
		return -1;
	if (part > LENGTH_MAX - at->length)
		abort();
	memcpy(at->now + at->length, bytes, part);
	at->length += part;
	return (ssize_t)part;
}

static int flush(int file)
{
	if (fails())
		return -1;
	if (file == MORTAL_FOLDER) {
		disk.flushed = disk.now;
		disk.change_count = 0;
		return 0;
	}
	memcpy(disk.files[file].flushed, disk.files[file].now, LENGTH_MAX);
	disk.files[file].flushed_length = disk.files[file].length;
	return 0;
}

static int close_file(int file)
{
	(void)file;
	return 0;
}

static int rename_file(int folder, const char *name, int to_folder, const char *to)
{
	struct change change = {0};
	int file = find_file(name);

	if (folder != MORTAL_FOLDER || to_folder != folder || file < 0)
		abort();
	if (fails())
		return -1;
	add(&change, name, -1);
	add(&change, to, file);
	make_change(&change);
	return 0;
}

static int remove_file(int folder, const char *name, int flags)
{
	struct change change = {0};

	if (folder != MORTAL_FOLDER || flags)
		abort();
	if (fails())
		return -1;
	if (find_file(name) < 0) {
		errno = ENOENT;
		return -1;
	}
	add(&change, name, -1);
	make_change(&change);
	return 0;
}

const struct os_file_calls mortal_calls = {
	.openat = open_file,
	.write = write_file,
	.fsync = flush,
	.close = close_file,
	.renameat = rename_file,
	.unlinkat = remove_file,
};

/* ---- what is left ---- */

enum content { FLUSHED, NOW, HALF, ALL_BUT_ONE, ZEROS, CONTENTS };

static void leave_file(int folder, const char *name, const struct file *file, enum content content)
{
	static const char zeros[LENGTH_MAX];
	const char *bytes = content == FLUSHED ? file->flushed
			    : content == ZEROS ? zeros
					       : file->now;
	size_t length = content == FLUSHED ? file->flushed_length
			: content == HALF  ? file->length / 2
					   : file->length;
	CLEANUP_CLOSE int to = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (content == ALL_BUT_ONE && length)
		length--;
	if (to < 0 || os_write_all(to, bytes, length) < 0)
		abort();
}

static void leave_folder(int to, const struct folder *folder, enum content content)
{
	for (unsigned i = 0; i < folder->count; i++) {
		const struct name *name = &folder->names[i];
		const struct file *file = &disk.files[name->file < 0 ? 0 : name->file];
		bool flushed = file->length == file->flushed_length &&
			       !memcmp(file->now, file->flushed, file->length);

		if (name->file >= 0)
			leave_file(to, name->name, file, flushed ? NOW : content);
	}
}

bool mortal_leave(int to, unsigned way)
{
	struct folder folder = disk.flushed;
	unsigned changes = way / CONTENTS;

	if (changes >= 1u << disk.change_count)
		return false;
	for (unsigned i = 0; i < disk.change_count; i++) {
		if (changes & 1u << i)
			apply(&folder, &disk.changes[i]);
	}
	leave_folder(to, &folder, (enum content)(way % CONTENTS));
	return true;
}

void mortal_show(int to)
{
	leave_folder(to, &disk.now, NOW);
}
