/* SPDX-License-Identifier: Apache-2.0 */
/* What images.c and image_finish.c share. */
#ifndef KARUTA_CONTROLLER_IMAGES_INSIDE_H
#define KARUTA_CONTROLLER_IMAGES_INSIDE_H

#include "images.h"

#define IMAGE_ENTRY_MAX (IMAGE_NAME_MAX + 1) /* with a dot */
#define IMAGE_DIGESTS	"digests"	     /* file beside the parts */

const char *image_part_name(enum image_part part);
uint64_t image_part_most(enum image_part part);
/* The name of its folder until it is finished. */
void image_unfinished_name(char name[IMAGE_ENTRY_MAX + 1], const char *image);
/* No links are followed. Descriptor or -errno. */
int image_open_folder(int in, const char *name);
/* The folder that all of them are in. */
int image_open_all(const char *files);
/* "image IMAGE: WHAT: ..."; `what` may be "". Returns `ret`. */
int image_failed(const char *image, const char *what, int ret, struct error *error);

#endif
