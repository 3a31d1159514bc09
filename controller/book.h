/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which instances a host is to have, and whether they are to run, also after the controller or the
 * host was started again: a file for each in the host's state (state.h), NAME.instance:
 *
 *	karuta instance 1
 *	name web
 *	wanted running
 *	length 123
 *	the specification, as it came
 *	SHA-384 of all before it, in hexadecimal
 *
 * A change is one file, replaced or removed as a whole: after a loss of power it was made or it was
 * not. A file that is not what was written is used for nothing. Keys are never in it.
 */
#ifndef KARUTA_CONTROLLER_BOOK_H
#define KARUTA_CONTROLLER_BOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "instance.h"
#include "os/replace.h"
#include "state.h"

#define BOOK_ENTRIES  64u
#define BOOK_FILE_MAX (INSTANCE_FILE_MAX + 512u)
#define BOOK_SUFFIX   ".instance"

struct book_entry {
	char name[INSTANCE_NAME_MAX + 1];
	bool wanted; /* to run */
	char *spec;  /* owned; `length` bytes and a 0; NULL: it is not in the book */
	size_t length;
};

struct book {
	struct state state; /* its folder */
	int lock;
	const struct os_file_calls *calls;
	bool unsure; /* what the disk holds is not known: no more changes */
};

#define BOOK_NONE ((struct book){.state = STATE_NONE, .lock = -1, .calls = &os_file_calls})

/* As state_open(). -EBUSY: another controller has it. */
int book_open(struct book *book, const char *path, struct error *error);
void book_close(struct book *book);
/*
 * All that is in the folder; `entries` are the caller's. -EBADMSG: a file is not what was written,
 * `suspect` is its name; -E2BIG. A folder that has none is a book with no entries.
 */
int book_load(int folder, struct book_entry entries[BOOK_ENTRIES], size_t *count,
	      char suspect[INSTANCE_NAME_MAX + sizeof(BOOK_SUFFIX)], struct error *error);
/* On the disk when it returns 0, in the place of the one of this name. -errno: nothing has changed,
 * or, if the last flush failed, that is not known and no more changes are taken. */
int book_put(struct book *book, const struct book_entry *entry, struct error *error);
/* Also 0: there is none. */
int book_remove(struct book *book, const char *name, struct error *error);

/* *text is the caller's. Length, or -ENOMEM. */
ssize_t book_entry_encode(const struct book_entry *entry, char **text);
/* Of the file of that instance. -EBADMSG: not what was written; -ENOMEM. */
int book_entry_decode(struct book_entry *entry, const char *name, const char *text, size_t length);
int book_entry_copy(struct book_entry *entry, const struct book_entry *from);
void book_entry_free(struct book_entry *entry);

#endif
