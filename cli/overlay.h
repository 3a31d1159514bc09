/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files to be put into an image, as a tar file (POSIX.1-1988 ustar) with regular files only:
 * whoever unpacks it as root gives them to root and makes the folders that are missing.
 */
#ifndef KARUTA_CLI_OVERLAY_H
#define KARUTA_CLI_OVERLAY_H

#include <stddef.h>

#include "base/error.h"

/* `path`: absolute, where the file will be; at most 254 bytes. */
int overlay_add_text(int tar, const char *path, unsigned mode, const char *text,
		     struct error *error);
/* SRC:DST. Keeps SRC's permission bits. */
int overlay_add_file(int tar, const char *pair, struct error *error);
int overlay_end(int tar, struct error *error);

#endif
