/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of the controller's own state its keeper is given, and how it is had again. For each kind of
 * state there is one function that goes through its members, and is used for all three: to digest
 * them, to see whether anything has changed, to write them down, to read them.
 *
 * A record is JSON, and the descriptors that it speaks of by their place. A controller of another
 * release reads what it knows, and leaves what it misses as it was.
 */
#ifndef KARUTA_CONTROLLER_RECORD_H
#define KARUTA_CONTROLLER_RECORD_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "keep.h"

#define RECORD_DEPTH 4u

enum record_use {
	RECORD_DIGESTS,
	RECORD_WRITES,
	RECORD_READS,
};

struct record {
	enum record_use use;
	uint64_t digest;
	json_t *at[RECORD_DEPTH]; /* the object that members are of, and those around it */
	unsigned depth;
	int *fds;
	int fds_written[KEEP_FDS_MAX];
	size_t fd_count;
	pid_t pids[KEEP_PIDS_MAX];
	size_t pid_count;
	bool failed; /* it is not what any controller has written, or memory is short */
};

void record_digest(struct record *record);
void record_write(struct record *record);
/* `from` stays the caller's. */
void record_read(struct record *record, struct keep_record *from);
/* Gives what was written to the keeper. False: it does not have it. */
bool record_put(struct record *record, uint64_t key);
void record_free(struct record *record);

/* Members up to record_leave() are those of an object of its own. */
void record_enter(struct record *record, const char *name);
void record_leave(struct record *record);

void record_u64(struct record *record, const char *name, uint64_t *value);
void record_u32(struct record *record, const char *name, uint32_t *value);
void record_int(struct record *record, const char *name, int *value);
void record_bool(struct record *record, const char *name, bool *value);
/* In a buffer of `size` bytes. */
void record_text(struct record *record, const char *name, char *text, size_t size);
/* Allocated, or NULL; what is read is the caller's. */
void record_string(struct record *record, const char *name, char **text);
void record_bytes(struct record *record, const char *name, uint8_t *bytes, size_t length);
void record_u64s(struct record *record, const char *name, uint64_t *values, size_t count);
/* -1: none. What is read is the caller's. */
void record_fd(struct record *record, const char *name, int *fd);
/* A process that is to live on when the controller does not. */
void record_pid(struct record *record, const char *name, pid_t *pid);
/* An enum below `count`, through an int of the caller's; one that is not known leaves it as it was.
 */
void record_enum(struct record *record, const char *name, int *value, int count);

#endif
