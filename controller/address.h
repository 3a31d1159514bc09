/* SPDX-License-Identifier: Apache-2.0 */
/* Where the command socket of an instance is, and that it is there once only. */
#ifndef KARUTA_CONTROLLER_ADDRESS_H
#define KARUTA_CONTROLLER_ADDRESS_H

#include <stdbool.h>
#include <sys/un.h>

#include "base/error.h"

#define ADDRESS_NAME_MAX 63u

/* `given`, or NAME.sock in /run/karuta (root) or $XDG_RUNTIME_DIR/karuta. */
int address_find(const char *name, const char *given, struct sockaddr_un *address,
		 struct error *error);
/* A listening, non-blocking socket of mode 0600. `make_folder`: its folder may be missing. */
int address_listen(const struct sockaddr_un *address, bool make_folder, struct error *error);
/* A connected socket or -errno; -EAGAIN: who listens there takes nobody on. */
int address_connect(const struct sockaddr_un *address);

#endif
