/* SPDX-License-Identifier: Apache-2.0 */
/* Callers over the network name files of one folder only: what else is on the host is not theirs to
 * have opened. By the text of the path. -EACCES. */
#ifndef KARUTA_CONTROLLER_FILES_H
#define KARUTA_CONTROLLER_FILES_H

#include "base/error.h"
#include "instance.h"
#include "wire/control.h"

#define FILES_PATH_MAX 4096u

/* What a caller calls a file; a path that is not absolute begins in the folder. */
int files_take(const char *folder, const struct control_value *given, char path[FILES_PATH_MAX],
	       struct error *error);
/* The same for a volume: no part of an image (images.h). */
int files_take_volume(const char *folder, const struct control_value *given,
		      char path[FILES_PATH_MAX], struct error *error);
int files_check_card(const char *folder, const struct card_spec *card, struct error *error);
int files_check(const char *folder, const struct instance *instance, struct error *error);

#endif
