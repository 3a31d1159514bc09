/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs for instances share. */
#ifndef KARUTA_CLI_INSTANCE_H
#define KARUTA_CLI_INSTANCE_H

#include "api.h"
#include "cli.h"

int instance_run(struct api *api, const struct invocation *call, struct error *error);
int instance_console(struct api *api, const struct invocation *call, struct error *error);
/* Where it runs, or all of it as JSON. */
int instance_report(struct api *api, const char *path, const struct invocation *call,
		    struct error *error);

#endif
