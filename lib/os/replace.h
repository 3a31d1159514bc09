/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small file replaced as a whole: written beside, flushed, renamed, the folder flushed. A loss of
 * power at any moment leaves what was there before or what is there now. The system calls are a
 * table, so that a test can pull the plug between any two of them.
 */
#ifndef KARUTA_OS_REPLACE_H
#define KARUTA_OS_REPLACE_H

#include <stddef.h>
#include <sys/types.h>

/* Each as its manual page says. */
struct os_file_calls {
	int (*openat)(int folder, const char *name, int flags, ...);
	ssize_t (*write)(int file, const void *bytes, size_t length);
	int (*fsync)(int file);
	int (*close)(int file);
	int (*renameat)(int folder, const char *name, int to_folder, const char *to_name);
	int (*unlinkat)(int folder, const char *name, int flags);
};

extern const struct os_file_calls os_file_calls; /* the kernel's */

/* All but the last step: it is the caller who flushes the folder. The name is in use with ".new"
 * behind it meanwhile. -errno: what was there still is. */
int os_replace(const struct os_file_calls *calls, int folder, const char *name, const void *bytes,
	       size_t length);

#endif
