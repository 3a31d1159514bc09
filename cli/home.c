/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "home.h"

#define NAME_MAX_LENGTH 63

bool home_name_is_good(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._-";
	size_t length = strlen(name);

	return length && length <= NAME_MAX_LENGTH && name[0] != '.' && name[0] != '-' &&
	       strspn(name, allowed) == length;
}

static int format_images(char **path)
{
	const char *home = getenv("KARUTA_HOME");
	const char *data = getenv("XDG_DATA_HOME");
	const char *user = getenv("HOME");

	if (home && *home)
		return asprintf(path, "%s/images", home);
	if (geteuid() == 0)
		return asprintf(path, "/var/lib/karuta/images");
	if (data && *data)
		return asprintf(path, "%s/karuta/images", data);
	return asprintf(path, "%s/.local/share/karuta/images", user && *user ? user : ".");
}

char *home_images(struct error *error)
{
	char *path;

	if (format_images(&path) >= 0)
		return path;
	error_set(error, ENOMEM, "out of memory");
	return NULL;
}

char *home_image(const char *name, struct error *error)
{
	CLEANUP_FREE char *images = home_images(error);
	char *path;

	if (!images)
		return NULL;
	if (!home_name_is_good(name)) {
		error_set(error, EINVAL,
			  "image %.80s: a name has at most %d letters, digits, '.', '_', '-' and "
			  "begins with a letter or digit",
			  name, NAME_MAX_LENGTH);
		return NULL;
	}
	if (asprintf(&path, "%s/%s", images, name) >= 0)
		return path;
	error_set(error, ENOMEM, "out of memory");
	return NULL;
}

int home_make_folders(const char *path, struct error *error)
{
	CLEANUP_FREE char *copy = strdup(path);

	if (!copy)
		return error_set(error, ENOMEM, "out of memory");
	for (char *at = copy + 1;; at++) {
		char end = *at;

		if (end && end != '/')
			continue;
		*at = 0;
		if (mkdir(copy, 0755) && errno != EEXIST)
			return error_set(error, errno,
					 "folder %.150s: %s; set KARUTA_HOME to a "
					 "place that you may write to",
					 copy, strerror(errno));
		*at = end;
		if (!end)
			return 0;
	}
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)status;
	(void)type;
	(void)walk;
	(void)remove(path); /* what stays makes its folder stay, which the caller sees */
	return 0;
}

int home_remove_tree(const char *path)
{
	struct stat status;

	if (nftw(path, remove_entry, 32, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) && errno != ENOENT)
		return -errno;
	return lstat(path, &status) ? 0 : -EBUSY;
}
