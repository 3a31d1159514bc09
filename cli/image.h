/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image: a folder with root.img (a disk, whole or partitioned), kernel, perhaps initrd, and
 * image.json, which tells what it is. image_* make, read and show them.
 */
#ifndef KARUTA_CLI_IMAGE_H
#define KARUTA_CLI_IMAGE_H

#include <jansson.h>
#include <stdint.h>

#include "boot_files.h"
#include "cli.h"
#include "home.h"
#include "progress.h"

struct image_facts {
	const char *name;
	const char *origin;   /* "built", "imported" */
	const char *suite;    /* NULL: not known */
	const char *packages; /* NULL: not known */
	uint64_t size;	      /* of root.img */
	unsigned sector;      /* what its partition table, if any, counts in; else 4096 */
	unsigned partition;   /* of the root file system; 0: the whole disk */
	const char *uuid;     /* of the root file system */
	const struct boot_names *boot;
};

/* Writes image.json beside the files, which are all there, with their checksums. */
int image_write_facts(const struct workshop *shop, const struct image_facts *facts,
		      struct progress *progress, struct error *error);
/* The caller's to decref; checked: has all members with the right types. */
json_t *image_read_facts(const char *name, struct error *error);
/* -EEXIST if there is an image of this name. */
int image_check_free(const char *name, struct error *error);

int image_build(const struct invocation *call, struct error *error);
int image_import(const struct invocation *call, struct error *error);

#endif
