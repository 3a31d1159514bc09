/* SPDX-License-Identifier: Apache-2.0 */
/* A folder for tests of what the plane keeps, and what is in its files. */
#ifndef KARUTA_TESTS_PLANE_FOLDER_H
#define KARUTA_TESTS_PLANE_FOLDER_H

#include <stdbool.h>
#include <stddef.h>

extern char plane_folder[64]; /* set by plane_folder_make() */

/* For cmocka's setup and teardown; `state` is not used. */
int plane_folder_make(void **state);
int plane_folder_remove(void **state);

/* "FOLDER/name"; there until the next call but one. */
const char *plane_path(const char *name);
/* The whole of a file, the caller's; NULL: there is none. */
char *plane_read(const char *name, size_t *length);
void plane_write(const char *name, const void *bytes, size_t length);
/* The name of a file of the folder that has these bytes in it; NULL: none has. */
const char *plane_search(const void *bytes, size_t length);

#endif
