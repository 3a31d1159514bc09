/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs for images that ask the plane. */
#ifndef KARUTA_CLI_IMAGE_PLANE_H
#define KARUTA_CLI_IMAGE_PLANE_H

#include "api.h"
#include "cli.h"

int image_push(struct api *api, const struct invocation *call, struct error *error);
int image_list_pushed(struct api *api, const struct invocation *call, struct error *error);
int image_show_pushed(struct api *api, const struct invocation *call, struct error *error);
int image_delete_pushed(struct api *api, const struct invocation *call, struct error *error);

#endif
