/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file that gets its name when it is whole and on the disk: who is interrupted before leaves
 * nothing, and no other file is ever overwritten. Where the file system knows no nameless files
 * (O_TMPFILE, open(2)) it has a hidden name meanwhile.
 */
#ifndef KARUTA_OS_NEWFILE_H
#define KARUTA_OS_NEWFILE_H

struct os_newfile {
	int fd; /* to read and write; mode 0600 */
	char *path, *folder;
	char *temporary; /* NULL: nameless */
};

#define OS_NEWFILE_NONE ((struct os_newfile){.fd = -1})

/* 0, -EEXIST: there is one of this name, or -errno. os_newfile_close() in any case. */
int os_newfile_open(struct os_newfile *file, const char *path);
/* Onto the disk, and only then its name. -EEXIST, -errno. */
int os_newfile_publish(struct os_newfile *file);
/* One that was not published is gone. */
void os_newfile_close(struct os_newfile *file);

#endif
