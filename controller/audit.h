/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audit log, as the controller writes it: one line a command before anything of it is done, and
 * one with what came of it. What cannot be written does not happen: a command is refused then. The
 * format is in audit_chain.h, audit_head.h and audit_files.h.
 *
 * It grows to `files` files of `bytes` each; then the oldest is given up, and the head says where
 * the chain begins from then on.
 */
#ifndef KARUTA_CONTROLLER_AUDIT_H
#define KARUTA_CONTROLLER_AUDIT_H

#include <stdint.h>

#include "trust/audit_chain.h"
#include "audit_head.h"
#include "base/error.h"

struct audit_limits {
	uint64_t bytes;
	unsigned files; /* at least 2 */
};

#define AUDIT_LIMITS ((struct audit_limits){.bytes = 8u << 20, .files = 16})

struct audit {
	int folder; /* locked; -1: there is no log */
	int head_fd;
	int file;
	uint64_t size; /* of the file, as far as it counts */
	struct audit_head head;
	struct audit_limits limits;
	bool dirty; /* the last entry failed half-way */
	int failed; /* the disk's state is not known any more: nothing is written */
};

#define AUDIT_NONE ((struct audit){.folder = -1, .head_fd = -1, .file = -1})

/*
 * Makes the folder if there is none. What a crash left half-done is settled; anything else that is
 * not as it was left is an error: the log is evidence then, and is not written to.
 */
int audit_open(struct audit *audit, const char *path, const struct audit_limits *limits,
	       struct error *error);
/* On the disk when it returns. 0, or why not: -ENOSPC and so on; another try may do. */
int audit_write(struct audit *audit, const struct audit_record *record, struct error *error);
/* A line, without its newline, of this number. False: it is enough. */
typedef bool (*audit_line_fn)(void *context, uint64_t number, const char *line, size_t length);
/* Lines above `since`, or the oldest that there are, in order. They are not checked: that is
 * audit_check.h's. 0 or -errno. */
int audit_read(const struct audit *audit, uint64_t since, audit_line_fn fn, void *context,
	       struct error *error);
/* The number of the last line. */
uint64_t audit_last(const struct audit *audit);
void audit_close(struct audit *audit);

#define AUDIT_OF_HOST "host"

/* The folder of a log: AUDIT_OF_HOST, or "instance/NAME" for `run`. -ENOENT: no home. */
int audit_path(const char *what, char *path, size_t size, struct error *error);

#endif
