/* SPDX-License-Identifier: Apache-2.0 */
#include "book.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

#include "base/base.h"
#include "base/name.h"
#include "os/fd.h"
#include "trust/digest.h"

#define HEAD_FORMAT "karuta instance 1\nname %s\nwanted %s\nlength %zu\n"
#define HEAD_MAX    (sizeof(HEAD_FORMAT) + INSTANCE_NAME_MAX + 32)
#define TAIL_SIZE   (1 + TRUST_DIGEST_DIGITS + 1)
#define FILE_NAME   (INSTANCE_NAME_MAX + sizeof(BOOK_SUFFIX))
_Static_assert(HEAD_MAX + INSTANCE_FILE_MAX + TAIL_SIZE <= BOOK_FILE_MAX, "room for any entry");

/* ---- one entry ---- */

static size_t format_head(const char *name, bool wanted, size_t length, char head[HEAD_MAX])
{
	return (size_t)snprintf(head, HEAD_MAX, HEAD_FORMAT, name, wanted ? "running" : "stopped",
				length);
}

ssize_t book_entry_encode(const struct book_entry *entry, char **text)
{
	char head[HEAD_MAX], digits[TRUST_DIGEST_DIGITS + 1];
	size_t at = format_head(entry->name, entry->wanted, entry->length, head);
	CLEANUP_FREE char *bytes = malloc(at + entry->length + TAIL_SIZE + 1);
	struct trust_digest digest;

	if (!bytes)
		return -ENOMEM;
	memcpy(bytes, head, at);
	memcpy(bytes + at, entry->spec, entry->length);
	at += entry->length;
	bytes[at++] = '\n';
	if (trust_digest(bytes, at, &digest) < 0)
		return -ENOMEM;
	trust_hex(digest.bytes, TRUST_DIGEST_SIZE, digits);
	at += (size_t)snprintf(bytes + at, TAIL_SIZE + 1, "%s\n", digits);
	*text = bytes;
	bytes = NULL;
	return (ssize_t)at;
}

static int set_entry(struct book_entry *entry, const char *name, bool wanted, const char *spec,
		     size_t length)
{
	*entry = (struct book_entry){.wanted = wanted, .length = length};
	snprintf(entry->name, sizeof(entry->name), "%s", name);
	entry->spec = malloc(length + 1);
	if (!entry->spec)
		return -ENOMEM;
	memcpy(entry->spec, spec, length);
	entry->spec[length] = '\0';
	return 0;
}

int book_entry_copy(struct book_entry *entry, const struct book_entry *from)
{
	return set_entry(entry, from->name, from->wanted, from->spec, from->length);
}

void book_entry_free(struct book_entry *entry)
{
	free(entry->spec);
	*entry = (struct book_entry){0};
}

/* Where the specification is, if the head is one and the file as long as it says. */
static size_t find_spec(const char *name, const char *text, size_t size, bool *wanted,
			size_t *length)
{
	char head[HEAD_MAX], word[8];
	size_t at;

	if (sscanf(text, "karuta instance 1\nname %*63s\nwanted %7s\nlength %6zu\n", word,
		   length) != 2 ||
	    *length > INSTANCE_FILE_MAX)
		return 0;
	*wanted = !strcmp(word, "running");
	at = format_head(name, *wanted, *length, head);
	return size == at + *length + TAIL_SIZE ? at : 0;
}

/* What is there is what we would write for what it says. */
int book_entry_decode(struct book_entry *entry, const char *name, const char *text, size_t length)
{
	CLEANUP_FREE char *again = NULL;
	size_t spec_length;
	bool wanted;
	size_t at = find_spec(name, text, length, &wanted, &spec_length);
	ssize_t ret;

	if (!at)
		return -EBADMSG;
	ret = set_entry(entry, name, wanted, text + at, spec_length);
	if (ret == 0)
		ret = book_entry_encode(entry, &again);
	if (ret > 0)
		ret = (size_t)ret == length && !memcmp(again, text, length) ? 0 : -EBADMSG;
	if (ret < 0)
		book_entry_free(entry);
	return (int)ret;
}

/* ---- the folder ---- */

int book_open(struct book *book, const char *path, struct error *error)
{
	int ret;

	*book = BOOK_NONE;
	ret = state_open_to_read(&book->state, path, error);
	if (ret < 0)
		return ret;
	book->lock = openat(book->state.folder, "book.lock",
			    O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (book->lock >= 0 && flock(book->lock, LOCK_EX | LOCK_NB) == 0)
		return 0;
	ret = errno == EWOULDBLOCK
		      ? error_set(error, EBUSY, "state: another controller serves its instances")
		      : error_set(error, errno, "state: book.lock: %s", strerror(errno));
	book_close(book);
	return ret;
}

void book_close(struct book *book)
{
	os_close(&book->lock);
	state_close(&book->state);
}

/* The name of an instance whose file may be called so. */
static bool name_of(const char *file, char name[INSTANCE_NAME_MAX + 1])
{
	size_t length = strlen(file), suffix = strlen(BOOK_SUFFIX);

	if (length <= suffix || length > suffix + INSTANCE_NAME_MAX ||
	    strcmp(file + length - suffix, BOOK_SUFFIX) != 0)
		return false;
	snprintf(name, INSTANCE_NAME_MAX + 1, "%.*s", (int)(length - suffix), file);
	return name_is_valid(name, INSTANCE_NAME_MAX);
}

/* What cannot have been written by us, whatever it is, is damage; what cannot be read need not be.
 */
static bool is_damage(int ret)
{
	return ret == -EFBIG || ret == -ELOOP || ret == -EISDIR || ret == -ENXIO;
}

static int load_one(int folder, const char *file, const char *name, struct book_entry *entry)
{
	CLEANUP_FREE char *text = NULL;
	size_t length;
	int ret = state_read_file(folder, file, BOOK_FILE_MAX, &text, &length);

	if (ret < 0)
		return is_damage(ret) ? -EBADMSG : ret;
	return book_entry_decode(entry, name, text, length);
}

static int load_next(int folder, const char *file, struct book_entry entries[BOOK_ENTRIES],
		     size_t *count, char suspect[FILE_NAME], struct error *error)
{
	char name[INSTANCE_NAME_MAX + 1];
	int ret;

	if (!name_of(file, name))
		return 0;
	if (*count == BOOK_ENTRIES)
		return error_set(error, E2BIG, "state: there are more than %u instances",
				 BOOK_ENTRIES);
	snprintf(suspect, FILE_NAME, "%s", file);
	ret = load_one(folder, file, name, &entries[*count]);
	/* Whoever only looks does not keep others from forgetting it. */
	if (ret == -ENOENT)
		return 0;
	if (ret < 0)
		return error_set(error, -ret, "state: %s: %s", file,
				 ret == -EBADMSG ? "not what was written" : strerror(-ret));
	++*count;
	return 0;
}

int book_load(int folder, struct book_entry entries[BOOK_ENTRIES], size_t *count,
	      char suspect[FILE_NAME], struct error *error)
{
	CLEANUP_CLOSE int again = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *listing = again < 0 ? NULL : fdopendir(again);
	struct dirent *found;
	int ret = 0;

	*count = 0;
	if (!listing)
		return error_set(error, errno, "state: %s", strerror(errno));
	os_steal_fd(&again);
	errno = 0;
	while (ret == 0 && (found = readdir(listing))) {
		ret = load_next(folder, found->d_name, entries, count, suspect, error);
		errno = 0;
	}
	if (ret == 0 && errno)
		ret = error_set(error, errno, "state: %s", strerror(errno));
	closedir(listing);
	for (size_t i = 0; ret < 0 && i < *count; i++)
		book_entry_free(&entries[i]);
	return ret;
}

/* ---- changes ---- */

static int fail(const char *name, int ret, struct error *error)
{
	return error_set(error, -ret, "instance %s cannot be written down: %s", name,
			 strerror(-ret));
}

static int check_sure(const struct book *book, const char *name, struct error *error)
{
	return book->unsure ? error_set(error, EIO,
					"instance %s cannot be written down: the disk failed "
					"before; start the controller again",
					name)
			    : 0;
}

/* The last step of a change. */
static int flush(struct book *book, const char *name, struct error *error)
{
	if (book->calls->fsync(book->state.folder) == 0)
		return 0;
	book->unsure = true;
	return fail(name, -errno, error);
}

int book_put(struct book *book, const struct book_entry *entry, struct error *error)
{
	CLEANUP_FREE char *text = NULL;
	char file[FILE_NAME];
	ssize_t length = check_sure(book, entry->name, error);
	int ret;

	if (length < 0)
		return (int)length;
	snprintf(file, sizeof(file), "%s" BOOK_SUFFIX, entry->name);
	length = book_entry_encode(entry, &text);
	ret = length < 0 ? (int)length
			 : os_replace(book->calls, book->state.folder, file, text, (size_t)length);
	return ret < 0 ? fail(entry->name, ret, error) : flush(book, entry->name, error);
}

int book_remove(struct book *book, const char *name, struct error *error)
{
	char file[FILE_NAME];
	int ret = check_sure(book, name, error);

	if (ret < 0)
		return ret;
	snprintf(file, sizeof(file), "%s" BOOK_SUFFIX, name);
	if (book->calls->unlinkat(book->state.folder, file, 0) < 0)
		return errno == ENOENT ? 0 : fail(name, -errno, error);
	return flush(book, name, error);
}
