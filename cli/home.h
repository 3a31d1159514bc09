/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where images live: $KARUTA_HOME, or /var/lib/karuta for root, or karuta below $XDG_DATA_HOME
 * (~/.local/share) for others. images/NAME is an image; images/.new-XXXXXX is one being made:
 * locked while its maker or any program that it started lives, removed by whoever comes later.
 */
#ifndef KARUTA_CLI_HOME_H
#define KARUTA_CLI_HOME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* Allocates "HOME/images"; the folder need not exist. NULL with `error` set. */
char *home_images(struct error *error);
/* Allocates "HOME/images/NAME"; refuses a name that is not an image's (letters, digits, . _ -). */
char *home_image(const char *name, struct error *error);
bool home_name_is_good(const char *name);
/* All folders of `path` that do not exist. */
int home_make_folders(const char *path, struct error *error);
/* Removes a folder with all that is in it; never crosses into another file system. */
int home_remove_tree(const char *path);

/* A folder in which an image is made. */
struct workshop {
	char *path;
	int lock; /* held as long as the folder is in use */
};

/* Needs `room` bytes on the disk: -ENOSPC otherwise. */
int workshop_open(struct workshop *shop, uint64_t room, struct error *error);
/* Makes it the image `name`; -EEXIST if there is one. */
int workshop_publish(struct workshop *shop, const char *name, struct error *error);
/* Removes what was not published. */
void workshop_close(struct workshop *shop);

#endif
