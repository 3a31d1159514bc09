/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "base/cursor.h"
#include "kek.h"
#include "os/fd.h"
#include "trust/digest.h"

#define KEY_SIZE   32u
#define KEY_DIGITS (2 * KEY_SIZE)
#define TEXT_MAX   1024u
#define TEMPORARY  ".new"

#define LOCKED_MEMORY (64u << 10)
#define LOCKED_LEAST  32u

struct entry {
	char id[KEK_ID_MAX + 1];
	uint8_t key[KEY_SIZE];
};

/* In secure memory as a whole. */
struct ring {
	struct entry entries[KEK_FILE_MAX];
	size_t count, current;
};

struct kek_file {
	struct kek kek; /* first */
	int folder;
	char *name;
	struct ring *ring;
};

int kek_use_locked_memory(struct error *error)
{
	/* 2: it is there, but some protection is not. */
	if (CRYPTO_secure_malloc_initialized() ||
	    CRYPTO_secure_malloc_init(LOCKED_MEMORY, LOCKED_LEAST) == 1)
		return 0;
	return error_set(error, ENOMEM,
			 "memory for keys cannot be locked; allow %u KiB (ulimit -l, "
			 "LimitMEMLOCK=)",
			 LOCKED_MEMORY >> 10);
}

static struct kek_file *file_of(struct kek *kek)
{
	return (struct kek_file *)kek;
}

/* ---- the text, which is never anywhere but in secure memory ---- */

static void put(struct writer *writer, const char *text)
{
	writer_put(writer, text, strlen(text));
}

static void put_hex(struct writer *writer, const uint8_t *bytes, size_t length)
{
	/* trust_hex() ends it with a 0, which what comes next takes the place of. */
	if (writer->failed || 2 * length + 1 > writer->left) {
		writer->failed = true;
		return;
	}
	trust_hex(bytes, length, (char *)writer->at);
	writer->at += 2 * length;
	writer->left -= 2 * length;
}

/* Its length, or -ENOMEM. */
static ssize_t encode(const struct ring *ring, char text[TEXT_MAX])
{
	struct writer writer = writer_make(text, TEXT_MAX);
	struct trust_digest digest;

	put(&writer, "karuta kek 1\ncurrent ");
	put(&writer, ring->entries[ring->current].id);
	for (size_t i = 0; i < ring->count; i++) {
		put(&writer, "\nkey ");
		put(&writer, ring->entries[i].id);
		put(&writer, " ");
		put_hex(&writer, ring->entries[i].key, KEY_SIZE);
	}
	put(&writer, "\n");
	if (trust_digest(text, TEXT_MAX - writer.left, &digest) < 0)
		return -ENOMEM;
	put_hex(&writer, digest.bytes, TRUST_DIGEST_SIZE);
	put(&writer, "\n");
	return writer.failed ? -ENOMEM : (ssize_t)(TEXT_MAX - writer.left);
}

static bool take(struct cursor *cursor, const char *text)
{
	size_t length = strlen(text);

	if (cursor->failed || length > cursor->left || memcmp(cursor->at, text, length) != 0)
		return false;
	cursor_take(cursor, length);
	return true;
}

static bool take_id(struct cursor *cursor, char id[KEK_ID_MAX + 1])
{
	uint8_t bytes[KEK_ID_MAX / 2];

	cursor_copy(cursor, id, KEK_ID_MAX);
	id[KEK_ID_MAX] = '\0';
	return !cursor->failed && trust_unhex(id, KEK_ID_MAX, bytes);
}

static const struct entry *find(const struct ring *ring, const char *id)
{
	for (size_t i = 0; i < ring->count; i++) {
		if (!strcmp(ring->entries[i].id, id))
			return &ring->entries[i];
	}
	return NULL;
}

static bool take_key(struct cursor *cursor, struct ring *ring)
{
	struct entry *entry = &ring->entries[ring->count];
	const uint8_t *digits;

	if (ring->count == KEK_FILE_MAX || !take_id(cursor, entry->id) || !take(cursor, " "))
		return false;
	digits = cursor_take(cursor, KEY_DIGITS);
	if (!digits || !trust_unhex((const char *)digits, KEY_DIGITS, entry->key) ||
	    find(ring, entry->id))
		return false;
	ring->count++;
	return take(cursor, "\n");
}

/* All that is behind the keys is the digest of what is before it. */
static bool take_digest(struct cursor *cursor, const char *text)
{
	struct trust_digest digest;
	char digits[TRUST_DIGEST_DIGITS + 1];

	if (trust_digest(text, (size_t)((const char *)cursor->at - text), &digest) < 0)
		return false;
	trust_hex(digest.bytes, TRUST_DIGEST_SIZE, digits);
	return take(cursor, digits) && take(cursor, "\n") && !cursor->left;
}

static bool decode(const char *text, size_t length, struct ring *ring)
{
	struct cursor cursor = cursor_make(text, length);
	char current[KEK_ID_MAX + 1];
	const struct entry *found;

	ring->count = 0;
	if (!take(&cursor, "karuta kek 1\ncurrent ") || !take_id(&cursor, current) ||
	    !take(&cursor, "\n"))
		return false;
	while (take(&cursor, "key ")) {
		if (!take_key(&cursor, ring))
			return false;
	}
	found = find(ring, current);
	ring->current = found ? (size_t)(found - ring->entries) : 0;
	return found && take_digest(&cursor, text);
}

/* ---- the file ---- */

/* Overwritten, then removed. What has a second name is somebody else's. The folder is flushed
 * first: after a loss of power the file could have its earlier name again. */
static int shred(const struct kek_file *file, const char *name)
{
	static const uint8_t zeros[TEXT_MAX];
	CLEANUP_CLOSE int old =
		openat(file->folder, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat status;

	if (old < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fsync(file->folder) < 0 || fstat(old, &status) < 0)
		return -errno;
	if (S_ISREG(status.st_mode) && status.st_nlink == 1) {
		int ret = os_pwrite_all(old, zeros,
					(size_t)min_u64((uint64_t)status.st_size, TEXT_MAX), 0);

		if (ret < 0 || fsync(old) < 0)
			return ret < 0 ? ret : -errno;
	}
	return unlinkat(file->folder, name, 0) < 0 ? -errno : 0;
}

static int write_new(const struct kek_file *file, const char *name, const char *text, size_t length)
{
	CLEANUP_CLOSE int made = openat(file->folder, name,
					O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	int ret = made < 0 ? -errno : os_write_all(made, text, length);

	if (ret == 0 && fsync(made) < 0)
		ret = -errno;
	return ret;
}

/* The two change places, so that the one that is not used has the same name whenever an end comes,
 * and can be overwritten then. */
static int replace(const struct kek_file *file, const char *text, size_t length, bool first)
{
	CLEANUP_FREE char *beside = NULL;
	int ret;

	if (asprintf(&beside, "%s" TEMPORARY, file->name) < 0) {
		beside = NULL;
		return -ENOMEM;
	}
	ret = shred(file, beside);
	if (ret == 0)
		ret = write_new(file, beside, text, length);
	if (ret == 0 && renameat2(file->folder, beside, file->folder, file->name,
				  first ? RENAME_NOREPLACE : RENAME_EXCHANGE) < 0)
		ret = -errno;
	if (ret == 0 && fsync(file->folder) < 0)
		return -errno;
	if (!first || ret < 0) {
		int shredded = shred(file, beside);

		ret = ret < 0 ? ret : shredded;
	}
	return ret;
}

static int save(struct kek_file *file, const struct ring *ring, bool first, struct error *error)
{
	char *text = OPENSSL_secure_zalloc(TEXT_MAX);
	ssize_t length = text ? encode(ring, text) : -ENOMEM;
	int ret = length < 0 ? (int)length : replace(file, text, (size_t)length, first);

	OPENSSL_secure_clear_free(text, TEXT_MAX);
	return ret < 0 ? error_set(error, -ret, "key-encryption keys %s: cannot be written: %s",
				   file->name, strerror(-ret))
		       : 0;
}

static int damaged(const struct kek_file *file, struct error *error)
{
	return error_set(error, EBADMSG,
			 "key-encryption keys %s: not what was written; bring back your copy of it",
			 file->name);
}

static int check_private(const struct kek_file *file, int opened, struct error *error)
{
	struct stat status;

	if (fstat(opened, &status) < 0)
		return error_set(error, errno, "key-encryption keys %s: %s", file->name,
				 strerror(errno));
	if (!S_ISREG(status.st_mode) || status.st_nlink != 1 || status.st_uid != geteuid() ||
	    status.st_mode & 077)
		return error_set(
			error, EPERM,
			"key-encryption keys %s: must be a file of uid %u that nobody else "
			"may use (chmod 0600), with no second name",
			file->name, geteuid());
	return 0;
}

/* -ENOENT: there is none, and no error is set. */
static int load(struct kek_file *file, struct error *error)
{
	CLEANUP_CLOSE int opened =
		openat(file->folder, file->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	char *text;
	ssize_t length;
	int ret;

	if (opened < 0)
		return errno == ENOENT ? -ENOENT
				       : error_set(error, errno, "key-encryption keys %s: %s",
						   file->name, strerror(errno));
	ret = check_private(file, opened, error);
	if (ret < 0)
		return ret;
	text = OPENSSL_secure_malloc(TEXT_MAX);
	length = text ? os_read_full(opened, text, TEXT_MAX) : -ENOMEM;
	if (length < 0)
		ret = error_set(error, (int)-length, "key-encryption keys %s: %s", file->name,
				strerror((int)-length));
	else if (!decode(text, (size_t)length, file->ring))
		ret = damaged(file, error);
	OPENSSL_secure_clear_free(text, TEXT_MAX);
	return ret;
}

/* ---- the calls ---- */

/* Both ways. RFC 5649 has no other result of a wrong key or changed bytes than "no". */
static ssize_t cipher(const uint8_t key[KEY_SIZE], bool encrypt, const uint8_t *from, size_t length,
		      uint8_t *to)
{
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	int part = 0, rest = 0;
	ssize_t ret = -EKEYREJECTED;

	if (context)
		EVP_CIPHER_CTX_set_flags(context, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
	if (!context ||
	    EVP_CipherInit_ex(context, EVP_aes_256_wrap_pad(), NULL, key, NULL, encrypt) != 1)
		ret = -ENOMEM;
	else if (EVP_CipherUpdate(context, to, &part, from, (int)length) == 1 &&
		 EVP_CipherFinal_ex(context, to + part, &rest) == 1)
		ret = part + rest;
	EVP_CIPHER_CTX_free(context);
	return ret;
}

static const char *current(const struct kek *kek)
{
	const struct ring *ring = ((const struct kek_file *)kek)->ring;

	return ring->entries[ring->current].id;
}

static ssize_t wrap(struct kek *kek, const uint8_t *plain, size_t length,
		    uint8_t wrapped[KEK_WRAPPED_MAX], struct error *error)
{
	const struct ring *ring = file_of(kek)->ring;
	ssize_t ret = length && length <= KEK_PLAIN_MAX ? cipher(ring->entries[ring->current].key,
								 true, plain, length, wrapped)
							: -EINVAL;

	return ret < 0 ? error_set(error, (int)-ret, "cannot be wrapped: %s", strerror((int)-ret))
		       : ret;
}

static ssize_t unwrap(struct kek *kek, const char *id, const uint8_t *wrapped, size_t length,
		      uint8_t plain[KEK_PLAIN_MAX], struct error *error)
{
	const struct entry *entry = find(file_of(kek)->ring, id);
	uint8_t *room;
	ssize_t ret;

	if (!entry)
		return error_set(error, ENOKEY,
				 "the key-encryption key %.16s is not in %s; bring back your copy "
				 "of it",
				 id, file_of(kek)->name);
	if (length < 16 || length > KEK_WRAPPED_MAX || length % 8)
		return error_set(error, EKEYREJECTED, "is not a wrapped key");
	/* The cipher may use more room than comes out of it. */
	room = OPENSSL_secure_zalloc(KEK_WRAPPED_MAX + 16);
	ret = room ? cipher(entry->key, false, wrapped, length, room) : -ENOMEM;
	if (ret > (ssize_t)KEK_PLAIN_MAX)
		ret = -EKEYREJECTED;
	if (ret > 0)
		memcpy(plain, room, (size_t)ret);
	OPENSSL_secure_clear_free(room, KEK_WRAPPED_MAX + 16);
	return ret < 0 ? error_set(error, (int)-ret,
				   ret == -EKEYREJECTED
					   ? "was not wrapped under key-encryption key %.16s, or "
					     "was changed"
					   : "cannot be unwrapped under key-encryption key %.16s",
				   id)
		       : ret;
}

static bool add_key(struct ring *ring)
{
	struct entry *entry = &ring->entries[ring->count];
	uint8_t id[KEK_ID_MAX / 2];

	if (RAND_priv_bytes(entry->key, KEY_SIZE) != 1 || RAND_bytes(id, sizeof(id)) != 1)
		return false;
	trust_hex(id, sizeof(id), entry->id);
	ring->current = ring->count++;
	return true;
}

/* The file first: nothing is used that is not in it. */
static int change(struct kek_file *file, bool (*edit)(struct ring *ring), bool first,
		  struct error *error)
{
	struct ring *ring = OPENSSL_secure_malloc(sizeof(*ring));
	int ret;

	if (!ring)
		return error_set(error, ENOMEM, "key-encryption keys: out of locked memory");
	*ring = *file->ring;
	ret = edit(ring) ? save(file, ring, first, error)
			 : error_set(error, EIO, "key-encryption keys: no random numbers");
	if (ret == 0)
		*file->ring = *ring;
	OPENSSL_secure_clear_free(ring, sizeof(*ring));
	return ret;
}

static int rotate(struct kek *kek, struct error *error)
{
	if (file_of(kek)->ring->count == KEK_FILE_MAX)
		return error_set(error, E2BIG,
				 "key-encryption keys %s: %u of them are in use; let the rotation "
				 "before come to its end",
				 file_of(kek)->name, KEK_FILE_MAX);
	return change(file_of(kek), add_key, false, error);
}

static bool drop_others(struct ring *ring)
{
	struct entry *rest = &ring->entries[1];

	ring->entries[0] = ring->entries[ring->current];
	OPENSSL_cleanse(rest, sizeof(ring->entries) - sizeof(*rest));
	ring->current = 0;
	ring->count = 1;
	return true;
}

static int retire(struct kek *kek, struct error *error)
{
	return file_of(kek)->ring->count == 1 ? 0 : change(file_of(kek), drop_others, false, error);
}

static void close_file(struct kek *kek)
{
	struct kek_file *file = file_of(kek);

	OPENSSL_secure_clear_free(file->ring, sizeof(*file->ring));
	os_close(&file->folder);
	free(file->name);
	free(file);
}

static const struct kek_calls calls = {
	.current = current,
	.wrap = wrap,
	.unwrap = unwrap,
	.rotate = rotate,
	.retire = retire,
	.close = close_file,
};

/* ---- opening ---- */

static int open_folder(struct kek_file *file, const char *path, struct error *error)
{
	CLEANUP_FREE char *copy = strdup(path), *again = strdup(path);
	struct stat status;

	file->name = again ? strdup(basename(again)) : NULL;
	if (!copy || !file->name)
		return error_set(error, ENOMEM, "key-encryption keys: out of memory");
	file->folder = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (file->folder < 0 || fstat(file->folder, &status) < 0)
		return error_set(error, errno, "key-encryption keys %s: %s", path, strerror(errno));
	if (status.st_uid != geteuid() || status.st_mode & 022)
		return error_set(error, EPERM,
				 "key-encryption keys %s: others may write to its folder", path);
	return 0;
}

/* What an end in the middle of a change has left. */
static int tidy(const struct kek_file *file, struct error *error)
{
	CLEANUP_FREE char *beside = NULL;
	int ret;

	if (asprintf(&beside, "%s" TEMPORARY, file->name) < 0) {
		beside = NULL;
		return error_set(error, ENOMEM, "key-encryption keys: out of memory");
	}
	ret = shred(file, beside);
	return ret < 0 ? error_set(error, -ret, "key-encryption keys %s: cannot be removed: %s",
				   beside, strerror(-ret))
		       : 0;
}

static int open_file(struct kek_file *file, const char *path, struct error *error)
{
	int ret = open_folder(file, path, error);

	if (ret < 0)
		return ret;
	ret = load(file, error);
	if (ret == -ENOENT)
		return change(file, add_key, true, error);
	return ret < 0 ? ret : tidy(file, error);
}

int kek_file_open(const char *path, struct kek **kek, struct error *error)
{
	int ret = kek_use_locked_memory(error);
	struct kek_file *file = ret < 0 ? NULL : calloc(1, sizeof(*file));

	if (ret < 0)
		return ret;
	if (!file)
		return error_set(error, ENOMEM, "key-encryption keys: out of memory");
	file->kek.calls = &calls;
	file->folder = -1;
	file->ring = OPENSSL_secure_zalloc(sizeof(*file->ring));
	ret = file->ring ? open_file(file, path, error)
			 : error_set(error, ENOMEM, "key-encryption keys: out of locked memory");
	if (ret < 0) {
		close_file(&file->kek);
		return ret;
	}
	*kek = &file->kek;
	return 0;
}
