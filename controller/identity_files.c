/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/base.h"
#include "identity.h"
#include "os/fd.h"

#define FIRST_KEY	  "host.key"
#define FIRST_CERTIFICATE "host.pem"
#define FIRST_AUTHORITY	  "ca.pem"
#define NEW		  ".new"
#define MODE_SECRET	  0600
#define MODE_PUBLIC	  0644
#define FILE_SIZE_MAX	  65536u

/* A file in an open folder. */
struct place {
	int folder;
	char name[NAME_MAX + 1], beside[NAME_MAX + sizeof(NEW)];
};

static struct place make_place(int folder, const char *name)
{
	struct place place = {.folder = folder};

	snprintf(place.name, sizeof(place.name), "%s", name);
	snprintf(place.beside, sizeof(place.beside), "%s" NEW, name);
	return place;
}

/* Its folder is to be closed. */
static int find_place(struct place *place, const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	char folder[PATH_MAX];
	int length = slash ? (int)(slash - path) + 1 : 0;

	*place = (struct place){.folder = -1};
	if (!name[0] || strlen(name) + strlen(NEW) > NAME_MAX || length >= PATH_MAX)
		return -ENAMETOOLONG;
	snprintf(folder, sizeof(folder), "%.*s", length, path);
	*place = make_place(open(length ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), name);
	return place->folder < 0 ? -errno : 0;
}

/* ---- writing ---- */

static int write_synced(const struct place *place, mode_t mode, const void *bytes, size_t length)
{
	CLEANUP_CLOSE int file = -1;
	int ret;

	/* One that was left may be of another mode. */
	if (unlinkat(place->folder, place->beside, 0) < 0 && errno != ENOENT)
		return -errno;
	file = openat(place->folder, place->beside,
		      O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	ret = file < 0 ? -errno : os_write_all(file, bytes, length);
	return ret == 0 && fsync(file) < 0 ? -errno : ret;
}

/* What `write` makes, beside. */
static int write_beside(const struct place *place, mode_t mode,
			bool (*write)(BIO *bio, const struct identity *identity),
			const struct identity *identity)
{
	/* Overwritten when it is freed. */
	BIO *bio = BIO_new(BIO_s_secmem());
	char *bytes;
	long length;
	int ret = -ENOMEM;

	if (bio && write(bio, identity)) {
		length = BIO_get_mem_data(bio, &bytes);
		ret = write_synced(place, mode, bytes, (size_t)length);
	}
	BIO_free(bio);
	ERR_clear_error();
	return ret;
}

static bool put_key(BIO *bio, const struct identity *identity)
{
	return PEM_write_bio_PrivateKey(bio, identity->key, NULL, NULL, 0, NULL, NULL) == 1;
}

static bool put_certificate(BIO *bio, const struct identity *identity)
{
	return PEM_write_bio_X509(bio, identity->certificate) == 1;
}

static bool put_authority(BIO *bio, const struct identity *identity)
{
	bool done = true;

	for (int i = 0; done && i < sk_X509_num(identity->authority); i++)
		done = PEM_write_bio_X509(bio, sk_X509_value(identity->authority, i)) == 1;
	return done;
}

static int sync_folder(const struct place *place)
{
	return fsync(place->folder) < 0 ? -errno : 0;
}

static int take_name(const struct place *place)
{
	return renameat(place->folder, place->beside, place->folder, place->name) < 0 ? -errno : 0;
}

static void drop(const struct place *place)
{
	unlinkat(place->folder, place->beside, 0);
}

/* ---- the whole ---- */

int identity_must_be_new(const char *folder, struct error *error)
{
	static const char *const names[] = {FIRST_KEY, FIRST_CERTIFICATE};
	CLEANUP_CLOSE int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat status;

	if (fd < 0)
		return error_set(error, errno, "%s: %s", folder, strerror(errno));
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (fstatat(fd, names[i], &status, AT_SYMLINK_NOFOLLOW) == 0)
			return error_set(error, EEXIST,
					 "%s/%s is there: this host is enrolled already; move it "
					 "away to enrol it anew",
					 folder, names[i]);
	}
	return 0;
}

/* In their order: whoever sees the certificate sees the others. */
static int write_all(const struct identity *identity, const struct place *authority,
		     const struct place *key, const struct place *certificate)
{
	int ret = write_beside(authority, MODE_PUBLIC, put_authority, identity);

	if (ret == 0)
		ret = write_beside(key, MODE_SECRET, put_key, identity);
	if (ret == 0)
		ret = write_beside(certificate, MODE_PUBLIC, put_certificate, identity);
	if (ret == 0)
		ret = take_name(authority);
	if (ret == 0)
		ret = take_name(key);
	if (ret == 0)
		ret = sync_folder(key);
	if (ret == 0)
		ret = take_name(certificate);
	return ret == 0 ? sync_folder(key) : ret;
}

int identity_write_first(const struct identity *identity, const char *folder, struct error *error)
{
	CLEANUP_CLOSE int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct place authority = make_place(fd, FIRST_AUTHORITY);
	struct place key = make_place(fd, FIRST_KEY);
	struct place certificate = make_place(fd, FIRST_CERTIFICATE);
	int ret = fd < 0 ? -errno : 0;

	if (ret == 0)
		ret = write_all(identity, &authority, &key, &certificate);
	if (fd >= 0) {
		drop(&authority);
		drop(&key);
		drop(&certificate);
	}
	return ret < 0 ? error_set(error, -ret, "%s: %s", folder, strerror(-ret)) : 0;
}

/* ---- the next ones ---- */

bool identity_is_file(const char *path)
{
	return strncmp(path, "fd:", 3) != 0;
}

/* The whole of a file, to read PEM from; NULL: it cannot be had. */
static BIO *read_file(int folder, const char *name)
{
	CLEANUP_CLOSE int file = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	BIO *bio = BIO_new(BIO_s_secmem());
	uint8_t bytes[FILE_SIZE_MAX];
	ssize_t length = file < 0 ? -1 : os_read_full(file, bytes, sizeof(bytes));

	if (bio && (length <= 0 || BIO_write(bio, bytes, (int)length) != (int)length)) {
		BIO_free(bio);
		bio = NULL;
	}
	explicit_bzero(bytes, sizeof(bytes));
	return bio;
}

/* No password is to be asked for: one that is empty is wrong. */
static bool is_pair(const struct place *key, int folder, const char *certificate)
{
	BIO *secret = read_file(key->folder, key->name);
	BIO *public = read_file(folder, certificate);
	EVP_PKEY *one = secret ? PEM_read_bio_PrivateKey(secret, NULL, NULL, (void *)"") : NULL;
	X509 *other = public ? PEM_read_bio_X509(public, NULL, NULL, (void *)"") : NULL;
	bool fits = one && other && X509_check_private_key(other, one) == 1;

	EVP_PKEY_free(one);
	X509_free(other);
	BIO_free(secret);
	BIO_free(public);
	ERR_clear_error();
	return fits;
}

static int mend(const struct place *key, const struct place *certificate)
{
	int ret;

	if (is_pair(key, certificate->folder, certificate->name))
		return 0;
	if (!is_pair(key, certificate->folder, certificate->beside))
		return -EINVAL;
	ret = take_name(certificate);
	return ret == 0 ? sync_folder(certificate) : ret;
}

/* What was begun is not needed, whatever pair is there. */
static int mend_and_clear(const struct place *key, const struct place *certificate)
{
	int ret = mend(key, certificate);

	if (ret == 0) {
		drop(key);
		drop(certificate);
	}
	return ret;
}

/* The certificate stays beside when the key has its name: it is all that fits that. */
static int replace(const struct identity *identity, const struct place *key,
		   const struct place *certificate)
{
	int ret = write_beside(key, MODE_SECRET, put_key, identity);

	if (ret == 0)
		ret = write_beside(certificate, MODE_PUBLIC, put_certificate, identity);
	if (ret == 0)
		ret = sync_folder(certificate);
	if (ret == 0)
		ret = take_name(key);
	if (ret < 0) {
		drop(key);
		drop(certificate);
		return ret;
	}
	ret = sync_folder(key);
	if (ret == 0)
		ret = take_name(certificate);
	return ret == 0 ? sync_folder(certificate) : ret;
}

static int at_places(const struct identity *identity, const char *key, const char *certificate,
		     struct error *error)
{
	struct place keys, certificates = {.folder = -1};
	int ret = find_place(&keys, key);

	if (ret == 0)
		ret = find_place(&certificates, certificate);
	if (ret == 0)
		ret = mend_and_clear(&keys, &certificates);
	if (ret == 0 && identity)
		ret = replace(identity, &keys, &certificates);
	os_close(&keys.folder);
	os_close(&certificates.folder);
	if (ret == -EINVAL)
		return error_set(error, EINVAL, "%s is not the key of %s", key, certificate);
	return ret < 0 ? error_set(error, -ret, "%s, %s: %s", key, certificate, strerror(-ret)) : 0;
}

int identity_write_next(const struct identity *identity, const char *key, const char *certificate,
			struct error *error)
{
	return at_places(identity, key, certificate, error);
}

int identity_mend(const char *key, const char *certificate, struct error *error)
{
	return at_places(NULL, key, certificate, error);
}
