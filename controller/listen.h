/* SPDX-License-Identifier: Apache-2.0 */
/* The host's one listening socket. */
#ifndef KARUTA_CONTROLLER_LISTEN_H
#define KARUTA_CONTROLLER_LISTEN_H

#include "base/error.h"

#define LISTEN_DEFAULT ":4747"

/* "[::1]:4747", "127.0.0.1:4747", ":4747". A non-blocking descriptor or -errno. */
int listen_open(const char *address, struct error *error);

#endif
