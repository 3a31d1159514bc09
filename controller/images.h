/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images: what instances begin from. Each is a folder in `images` of the folder that callers may
 * name files in:
 *
 *	.IMAGE	is being written: a part is what was written of it, and zeros between
 *	IMAGE	is finished: each part is what the digests say, which are beside them, and nobody
 *		writes to it any more
 *
 * A caller names images, never files in them, but for the kernel and initrd of a launch. That
 * nobody reads or finishes what is written or deleted is for who calls this to see to.
 */
#ifndef KARUTA_CONTROLLER_IMAGES_H
#define KARUTA_CONTROLLER_IMAGES_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "trust/digest.h"

#define IMAGES_FOLDER	 "images"
#define IMAGES_MAX	 256u /* finished or not */
#define IMAGE_NAME_MAX	 63u
#define IMAGE_BOOT_MOST	 (UINT64_C(1) << 30)   /* bytes of a kernel, of an initrd */
#define IMAGE_ROOT_MOST	 (UINT64_C(256) << 30) /* hashed in minutes */
#define IMAGE_ROOT_BLOCK 4096u		       /* a root is a multiple of that */

enum image_part {
	IMAGE_KERNEL,
	IMAGE_INITRD, /* not of every image */
	IMAGE_ROOT,
	IMAGE_PARTS,
};

struct image_digests {
	struct {
		bool given;
		uint64_t size;
		struct trust_digest sha384;
	} parts[IMAGE_PARTS];
};

/* 1 .. IMAGE_NAME_MAX small letters, digits and '-', which does not come first. -EINVAL. */
int image_check_name(const char *name, struct error *error);
/* -EINVAL: there is no such part. */
int image_part_find(const char *name, enum image_part *part, struct error *error);
/* {"kernel": {"size": N, "sha384": HEX}, "initrd": ..., "root": ...}; -EINVAL with the member's
 * name. */
int image_digests_parse(struct image_digests *digests, const char *text, size_t length,
			struct error *error);

/* -EEXIST: it is finished; -EFBIG: past what the part may have; -EBUSY: too many images. */
int images_write(const char *files, const char *image, enum image_part part, uint64_t offset,
		 const void *bytes, size_t length, struct error *error);
/* A part of a finished image, to read; the caller's. -ENOENT: there is none. */
int images_open(const char *files, const char *image, enum image_part part, struct error *error);
/* 1: it is finished, with just these digests; 0: it is not finished; -EEXIST: with others. */
int images_is_finished(const char *files, const char *image, const struct image_digests *digests,
		       struct error *error);
/* Takes as long as its parts take to be read. -EBADMSG: a part is not as its digest says; -ENOENT:
 * nothing was written; -ECANCELED: `stop` became true. For any thread. */
int images_finish(const char *files, const char *image, const struct image_digests *digests,
		  const _Atomic bool *stop, struct error *error);
/* -ENOENT: there is none. */
int images_delete(const char *files, const char *image, struct error *error);
/* {"images": [{"image": NAME, "finished": BOOL, "kernel": BYTES, ...}]}; NULL: out of memory. */
json_t *images_list(const char *files);

#endif
