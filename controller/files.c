/* SPDX-License-Identifier: Apache-2.0 */
#include "files.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "images.h"

static int check_path(const char *folder, const char *path, struct error *error)
{
	size_t length = strlen(folder);

	if (!strncmp(path, folder, length) && path[length] == '/' && !strstr(path, "/../") &&
	    strcmp(path + strlen(path) - 3, "/..") != 0)
		return 0;
	return error_set(error, EACCES, "%s: is not in %s", path, folder);
}

int files_take(const char *folder, const struct control_value *given, char path[FILES_PATH_MAX],
	       struct error *error)
{
	bool absolute = given->length && given->text[0] == '/';
	int length = snprintf(path, FILES_PATH_MAX, "%s%s%.*s", absolute ? "" : folder,
			      absolute ? "" : "/", (int)given->length, given->text);

	if (!given->length || length < 0 || (size_t)length >= FILES_PATH_MAX)
		return error_set(error, ENAMETOOLONG, "file: must be the path of one");
	return check_path(folder, path, error);
}

/* However it is written: "//" and "/./" lead nowhere else. */
static const char *skip_nothing(const char *path)
{
	while (path[0] == '/' || (path[0] == '.' && (path[1] == '/' || !path[1])))
		path++;
	return path;
}

/* What they are is in their digests: nobody writes to them as to a volume. */
static int check_volume(const char *folder, const char *path, struct error *error)
{
	size_t length = strlen(IMAGES_FOLDER);
	const char *rest;
	int ret = check_path(folder, path, error);

	if (ret < 0)
		return ret;
	rest = skip_nothing(path + strlen(folder));
	if (strncmp(rest, IMAGES_FOLDER, length) != 0 || (rest[length] && rest[length] != '/'))
		return 0;
	return error_set(error, EACCES, "%s: is of images, not of volumes", path);
}

int files_take_volume(const char *folder, const struct control_value *given,
		      char path[FILES_PATH_MAX], struct error *error)
{
	int ret = files_take(folder, given, path, error);

	return ret < 0 ? ret : check_volume(folder, path, error);
}

int files_check_card(const char *folder, const struct card_spec *card, struct error *error)
{
	const struct card_value *store = card_spec_value(card, CARD_STORE);

	return store && !card_store_is_ram(store->text) ? check_volume(folder, store->text, error)
							: 0;
}

int files_check(const char *folder, const struct instance *instance, struct error *error)
{
	int ret = check_path(folder, instance->kernel, error);

	if (ret == 0 && instance->initrd)
		ret = check_path(folder, instance->initrd, error);
	for (size_t i = 0; ret == 0 && i < instance->card_count; i++)
		ret = files_check_card(folder, &instance->cards[i], error);
	return ret;
}
