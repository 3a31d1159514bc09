/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk with one folder, behind the table of calls of os/replace.h, that loses power between any
 * two of them. What is on it then is what a file system may leave: of a file that was not flushed
 * any part, or zeros; of what was done in a folder that was not flushed any part too.
 */
#ifndef KARUTA_TESTS_MORTAL_DISK_H
#define KARUTA_TESTS_MORTAL_DISK_H

#include "os/replace.h"

#define MORTAL_FOLDER 1000 /* the folder's descriptor */

extern const struct os_file_calls mortal_calls;

/* An empty disk. Its calls from `number` on fail with `code` and do nothing: all of them (the plug
 * is pulled), or that one only. 0: never. */
void mortal_begin(unsigned number, int code, bool only_one);
/* So many calls were made. */
unsigned mortal_calls_made(void);
/* Writes what is there after a loss of power to a real folder, in the way number `way` of as many
 * as there are. False: there are fewer. */
bool mortal_leave(int folder, unsigned way);
/* What a process sees that lives on. */
void mortal_show(int folder);

#endif
