/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the audit log is made of, without files:
 *
 *	karuta-audit 1 NUMBER HASH	first line of a file: its first entry, the hash before it
 *	HASH {"number":17,...}		an entry
 *
 * An entry's hash is SHA-384 over the 48 bytes of the hash before it (zeros before the first) and
 * the object's text. So a changed, removed, added or moved entry breaks the chain from there on;
 * where the chain has to end is in the log's head.
 */
#ifndef KARUTA_TRUST_AUDIT_CHAIN_H
#define KARUTA_TRUST_AUDIT_CHAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AUDIT_HASH_SIZE 48u
#define AUDIT_HASH_TEXT (2 * AUDIT_HASH_SIZE)
#define AUDIT_LINE_MAX	8192u /* the newline included */
#define AUDIT_FIELD_MAX 255u

struct audit_hash {
	uint8_t bytes[AUDIT_HASH_SIZE];
};

/* What an entry says: of a command, or of what came of one. */
struct audit_record {
	const char *caller;
	const char *verb;   /* NULL: what came of the command `of` */
	const char *object; /* "" if there is none */
	uint64_t of;
	int code; /* 0: accepted, done; else why not */
	const char *text;
};

struct audit_link {
	uint64_t number; /* 0: nothing yet */
	struct audit_hash hash;
};

/* The entry that follows *link, with its newline, which moves on to it. Length or -errno. */
int audit_chain_add(struct audit_link *link, const struct audit_record *record, char *line,
		    size_t size);
/* Does `line`, without its newline, follow *link, which moves on to it? Else -EBADMSG. */
int audit_chain_check(struct audit_link *link, const char *line, size_t length);
/* SHA-384 of the one and the other. 0 or -ENOMEM. */
int audit_chain_hash(const struct audit_hash *before, const void *bytes, size_t length,
		     struct audit_hash *hash);
/* The object of a line that was checked. */
const char *audit_chain_object(const char *line, size_t length, size_t *object_length);

/* The first line of the file that begins after *link, with its newline. */
int audit_chain_begin(const struct audit_link *link, char *line, size_t size);
/* What comes before the file that begins with this line, which has no newline. -EBADMSG. */
int audit_chain_parse_begin(struct audit_link *link, const char *line, size_t length);

#endif
