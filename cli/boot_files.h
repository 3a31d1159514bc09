/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes kernel and initrd out of a disk image, without mounting it: e2fsprogs' debugfs reads the
 * file system. The names in it are the image's own choice: only plain ones are taken.
 */
#ifndef KARUTA_CLI_BOOT_FILES_H
#define KARUTA_CLI_BOOT_FILES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define BOOT_NAME_MAX 128

struct boot_names {
	char kernel[BOOT_NAME_MAX]; /* "vmlinuz-6.1.0-42-cloud-amd64" */
	char initrd[BOOT_NAME_MAX]; /* "": none that belongs to this kernel */
};

struct boot_place {
	const char *folder; /* where the image is, and where the files go */
	const char *image;  /* the image's name in it */
	uint64_t offset;    /* of the file system, in bytes */
	int log;
};

/* Chooses from one line of `ls -p` of debugfs: keeps the newest kernel. */
void boot_names_take(struct boot_names *names, const char *line);
/* Once the kernel is known: does this line name its initrd? */
void boot_names_take_initrd(struct boot_names *names, const char *line);

/* True if `path` exists in the file system. */
bool boot_files_exist(const struct boot_place *place, const char *path);
/*
 * Writes "kernel" and "initrd" into place->folder from the newest kernel in `directory` ("/boot",
 * or "/" of a boot partition). -ENOENT: there is no kernel; names->initrd tells of the other.
 */
int boot_files_extract(const struct boot_place *place, const char *directory,
		       struct boot_names *names, struct error *error);

#endif
