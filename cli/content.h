/* SPDX-License-Identifier: Apache-2.0 */
/* Large sparse files: their digests, and what in them is zeros. */
#ifndef KARUTA_CLI_CONTENT_H
#define KARUTA_CLI_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "progress.h"

#define CONTENT_SHA256_TEXT 65
#define CONTENT_SHA384_TEXT 97

bool content_is_zero(const void *bytes, size_t length);

/* Of the file's first `size` bytes; holes are hashed without being read. `progress` may be NULL. */
int content_sha256(int fd, uint64_t size, char text[CONTENT_SHA256_TEXT], struct progress *progress,
		   struct error *error);
int content_sha384(int fd, uint64_t size, char text[CONTENT_SHA384_TEXT], struct progress *progress,
		   struct error *error);

#endif
