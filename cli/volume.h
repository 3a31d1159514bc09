/* SPDX-License-Identifier: Apache-2.0 */
/* A volume's file, opened with its key: lib/store tells the format. */
#ifndef KARUTA_CLI_VOLUME_H
#define KARUTA_CLI_VOLUME_H

#include "cli.h"
#include "store/store.h"

/* The key from the descriptor that --key-fd names; it is closed. CLI_USAGE if the option is
 * missing. */
int volume_read_key(const struct invocation *call, uint8_t key[STORE_KEY_SIZE],
		    struct error *error);
/* `fd` becomes the volume's, in failure too. size 0: the file's. The key is wiped here. */
int volume_open(struct store **volume, int fd, uint64_t size, uint8_t key[STORE_KEY_SIZE],
		struct error *error);

int volume_create(const struct invocation *call, struct error *error);

#endif
