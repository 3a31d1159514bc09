/* SPDX-License-Identifier: Apache-2.0 */
/* A volume's file, opened with its key: lib/store tells the format. */
#ifndef KARUTA_CLI_VOLUME_H
#define KARUTA_CLI_VOLUME_H

#include "base/base.h"
#include "cli.h"
#include "store/store.h"

#define VOLUME_LARGEST (16384 * GIB)

/* The key from the descriptor that --key-fd names; it is closed. CLI_USAGE if the option is
 * missing. */
int volume_read_key(const struct invocation *call, uint8_t key[STORE_KEY_SIZE],
		    struct error *error);
/* `fd` becomes the volume's, in failure too. size 0: the file's. The key is wiped here. */
int volume_open(struct store **volume, int fd, uint64_t size, uint8_t key[STORE_KEY_SIZE],
		struct error *error);

/* No card serves it meanwhile: a copy of what changes is a copy of nothing. */
int volume_lock_out_writers(int file, const char *path, struct error *error);

int volume_clone(const struct invocation *call, struct error *error);
int volume_resize(const struct invocation *call, struct error *error);
int volume_create(const struct invocation *call, struct error *error);

#endif
