/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are volumes, which no instance has. A new one is a hole: its blocks are those that
 * were never written, which read as zeros with any key (docs/architecture.md, "The volume"). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "dispatch_call.h"
#include "files.h"
#include "os/newfile.h"

#define BLOCK 4096u

static int take_file(struct call *call, char path[FILES_PATH_MAX])
{
	char name[sizeof(call->target)];

	call_copy_text(control_value_find(&call->request, "file"), name, sizeof(name));
	call_name_target(call, name, "");
	return files_take(call->fleet->files, control_value_find(&call->request, "file"), path,
			  &call->error);
}

static void answer(struct call *call, const char *path, const char *what)
{
	char text[OPERATION_TEXT];

	snprintf(text, sizeof(text), "volume %.400s %s", path, what);
	fleet_finish(call->fleet, call->operation, 0, text);
}

static int make(struct call *call, const char *path, uint64_t size)
{
	struct os_newfile file = OS_NEWFILE_NONE;
	int ret = os_newfile_open(&file, path);

	if (ret == 0 && ftruncate(file.fd, (off_t)size) < 0)
		ret = -errno;
	if (ret == 0)
		ret = os_newfile_publish(&file);
	os_newfile_close(&file);
	return ret < 0 ? error_set(&call->error, -ret, "%s: %s", path, strerror(-ret)) : 0;
}

int call_make_volume(struct call *call)
{
	uint64_t size = control_value_find(&call->request, "size")->number;
	char path[FILES_PATH_MAX];
	int ret = take_file(call, path);

	if (ret == 0 && (!size || size % BLOCK))
		ret = error_set(&call->error, EINVAL, "size: must be a multiple of %u bytes",
				BLOCK);
	if (ret == 0)
		ret = call_accept(call);
	if (ret == 0)
		ret = make(call, path, size);
	if (ret == 0)
		answer(call, path, "is there");
	return ret;
}

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

/* What it goes back to if its launch fails. */
static bool book_has(const struct unit *unit, const struct book_entry *entry,
		     const struct stat *file)
{
	struct error error = {0};
	struct instance instance;
	bool found;

	if (!unit->ordered || !entry->spec)
		return false;
	if (instance_parse(&instance, unit->name, unit->fleet->files, entry->spec, entry->length,
			   &error) < 0)
		return true;
	found = spec_has(&instance, file);
	instance_free(&instance);
	return found;
}

/* Also one that does not run and would be started with it. */
static bool has(struct unit *unit, const struct stat *file)
{
	struct error error = {0};
	bool found;

	if (unit->live)
		return live_has(&unit->machine, file) || spec_has(&unit->instance, file) ||
		       book_has(unit, &unit->before, file);
	/* What cannot be read may name it. */
	if (revival_prepare(unit, &error) < 0)
		return unit->entry.spec != NULL;
	found = spec_has(&unit->instance, file);
	instance_free(&unit->instance);
	return found;
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
