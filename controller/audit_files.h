/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of an audit log, in a folder of their own:
 *
 *	head
 *	00000000000000000001.log	by the number of the first entry that is in it
 *	00000000000000070312.log	the one that is written
 */
#ifndef KARUTA_CONTROLLER_AUDIT_FILES_H
#define KARUTA_CONTROLLER_AUDIT_FILES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "trust/audit_chain.h"
#include "base/error.h"

#define AUDIT_NAME_SIZE 32u
#define AUDIT_FILES_MAX 256u
#define AUDIT_HEAD_NAME "head"

/* Reads a file that may grow meanwhile, line by line. */
struct audit_lines {
	int fd;
	uint64_t offset; /* of what was not returned yet */
	size_t begin, end;
	char buffer[2 * AUDIT_LINE_MAX];
};

void audit_file_name(uint64_t first, char name[AUDIT_NAME_SIZE]);
/* The numbers in the names, in order; files of other names are none of the log's. Count or -errno.
 */
int audit_files_list(int folder, uint64_t firsts[AUDIT_FILES_MAX], struct error *error);

/* Opens the file and reads its first line: *link is what comes before. */
int audit_lines_open(struct audit_lines *lines, int folder, uint64_t first, struct audit_link *link,
		     struct error *error);
/* The next whole line, without its newline, until the next call. Length, 0: there is none yet,
 * -EBADMSG: longer than any. */
ssize_t audit_lines_next(struct audit_lines *lines, const char **line);
/* Bytes from this offset on, as of now; or -errno. */
ssize_t audit_lines_rest(const struct audit_lines *lines, uint64_t offset);
void audit_lines_close(struct audit_lines *lines);

#endif
