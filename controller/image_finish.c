/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "images_inside.h"
#include "os/fd.h"
#include "os/sparse.h"
#include "strict.h"

#define CHUNK	    ((size_t)256 << 10)
#define DIGESTS_MAX 1024u

/* ---- digests ---- */

static int parse_part(struct image_digests *digests, unsigned part, const json_t *object,
		      struct error *error)
{
	static const char *const known[] = {"size", "sha384", NULL};
	struct place place = {.file = "digests", .error = error};
	const char *hex = NULL;
	int ret;

	snprintf(place.path, sizeof(place.path), "%s", image_part_name(part));
	if (!json_is_object(object))
		return strict_refuse(&place, NULL, "must be an object");
	ret = strict_members(&place, object, known);
	if (ret == 0)
		ret = strict_number(&place, object, "size", true, 1, image_part_most(part),
				    &digests->parts[part].size);
	if (ret == 0)
		ret = strict_text(&place, object, "sha384", true, TRUST_DIGEST_DIGITS, &hex);
	if (ret == 0 && (strlen(hex) != TRUST_DIGEST_DIGITS ||
			 !trust_unhex(hex, TRUST_DIGEST_DIGITS, digests->parts[part].sha384.bytes)))
		ret = strict_refuse(&place, "sha384", "must be %u small hexadecimal digits",
				    TRUST_DIGEST_DIGITS);
	if (ret == 0 && part == IMAGE_ROOT && digests->parts[part].size % IMAGE_ROOT_BLOCK)
		ret = strict_refuse(&place, "size", "must be a multiple of %u", IMAGE_ROOT_BLOCK);
	digests->parts[part].given = ret == 0;
	return ret;
}

int image_digests_parse(struct image_digests *digests, const char *text, size_t length,
			struct error *error)
{
	static const char *const known[] = {"kernel", "initrd", "root", NULL};
	struct place place = {.file = "digests", .error = error};
	json_t *object = NULL;
	int ret = strict_parse("digests", text, length, &object, error);

	*digests = (struct image_digests){0};
	if (ret == 0)
		ret = strict_members(&place, object, known);
	for (unsigned part = 0; ret == 0 && part < IMAGE_PARTS; part++) {
		const json_t *member = json_object_get(object, image_part_name(part));

		if (member)
			ret = parse_part(digests, part, member, error);
		else if (part != IMAGE_INITRD)
			ret = strict_refuse(&place, image_part_name(part), "missing");
	}
	json_decref(object);
	return ret;
}

static bool are_same(const struct image_digests *one, const struct image_digests *other)
{
	for (unsigned i = 0; i < IMAGE_PARTS; i++) {
		if (one->parts[i].given != other->parts[i].given ||
		    one->parts[i].size != other->parts[i].size ||
		    !trust_digest_same(&one->parts[i].sha384, &other->parts[i].sha384))
			return false;
	}
	return true;
}

int images_is_finished(const char *files, const char *image, const struct image_digests *digests,
		       struct error *error)
{
	CLEANUP_CLOSE int folder = image_open_all(files);
	CLEANUP_CLOSE int own = folder < 0 ? folder : image_open_folder(folder, image);
	struct image_digests found;
	char text[DIGESTS_MAX];
	int ret = own < 0 ? own : os_read_text(own, IMAGE_DIGESTS, text, sizeof(text));

	if (own == -ENOENT)
		return 0;
	if (ret < 0)
		return image_failed(image, IMAGE_DIGESTS, ret, error);
	ret = image_digests_parse(&found, text, strlen(text), error);
	if (ret == 0 && are_same(&found, digests))
		return 1;
	return error_set(error, EEXIST, "image %s: is finished, and another one; delete it first",
			 image);
}

static int write_digests(int own, const struct image_digests *digests)
{
	CLEANUP_CLOSE int file = openat(
		own, IMAGE_DIGESTS, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	char hex[TRUST_DIGEST_DIGITS + 1];
	json_t *object = json_object();
	char *text;
	int ret;

	for (unsigned i = 0; i < IMAGE_PARTS; i++) {
		if (!digests->parts[i].given)
			continue;
		trust_hex(digests->parts[i].sha384.bytes, TRUST_DIGEST_SIZE, hex);
		json_object_set_new(object, image_part_name(i),
				    json_pack("{s:I,s:s}", "size",
					      (json_int_t)digests->parts[i].size, "sha384", hex));
	}
	ret = file < 0 ? -errno : 0;
	text = json_dumps(object, JSON_COMPACT);
	json_decref(object);
	if (ret == 0)
		ret = text ? os_write_all(file, text, strlen(text)) : -ENOMEM;
	if (ret == 0 && fsync(file) < 0)
		ret = -errno;
	free(text);
	return ret;
}

/* ---- parts ---- */

struct hashing {
	EVP_MD_CTX *context;
	const _Atomic bool *stop;
	uint64_t done;
	uint8_t *buffer;
};

static int update(struct hashing *hashing, size_t length)
{
	hashing->done += length;
	if (atomic_load(hashing->stop))
		return -ECANCELED;
	return EVP_DigestUpdate(hashing->context, hashing->buffer, length) == 1 ? 0 : -EIO;
}

/* `file` -1: a hole, which need not be read. */
static int hash_until(struct hashing *hashing, int file, uint64_t until)
{
	int ret = 0;

	if (file < 0 && hashing->done < until)
		memset(hashing->buffer, 0, CHUNK);
	while (ret == 0 && hashing->done < until) {
		size_t length = (size_t)min_u64(until - hashing->done, CHUNK);

		if (file >= 0)
			ret = os_pread_all(file, hashing->buffer, length, hashing->done);
		if (ret == 0)
			ret = update(hashing, length);
	}
	return ret;
}

static int hash_all(struct hashing *hashing, int file, uint64_t size, struct trust_digest *digest)
{
	int ret = EVP_DigestInit_ex(hashing->context, EVP_sha384(), NULL) == 1 ? 0 : -EIO;

	while (ret == 0 && hashing->done < size) {
		uint64_t start, end;

		ret = os_next_data(file, hashing->done, size, &start, &end);
		if (ret == 0)
			ret = hash_until(hashing, -1, start);
		if (ret == 0)
			ret = hash_until(hashing, file, end);
	}
	if (ret == 0 && EVP_DigestFinal_ex(hashing->context, digest->bytes, NULL) != 1)
		ret = -EIO;
	return ret;
}

static int hash(int file, uint64_t size, const _Atomic bool *stop, struct trust_digest *digest)
{
	CLEANUP_FREE uint8_t *buffer = malloc(CHUNK);
	struct hashing hashing = {.context = EVP_MD_CTX_new(), .stop = stop, .buffer = buffer};
	int ret = buffer && hashing.context ? hash_all(&hashing, file, size, digest) : -ENOMEM;

	EVP_MD_CTX_free(hashing.context);
	return ret;
}

/* Its end may be a hole that nobody has sent. */
static int open_part(int own, const char *name, uint64_t size)
{
	CLEANUP_CLOSE int file = openat(own, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	struct stat status;

	if (file < 0 || fstat(file, &status) < 0)
		return -errno;
	if ((uint64_t)status.st_size > size)
		return -EBADMSG;
	return ftruncate(file, (off_t)size) < 0 ? -errno : os_steal_fd(&file);
}

static int check_part(const char *image, int own, const struct image_digests *digests,
		      unsigned part, const _Atomic bool *stop, struct error *error)
{
	const char *name = image_part_name(part);
	uint64_t size = digests->parts[part].size;
	CLEANUP_CLOSE int file = open_part(own, name, size);
	char hex[TRUST_DIGEST_DIGITS + 1];
	struct trust_digest found;
	int ret;

	if (file == -EBADMSG)
		return error_set(error, EBADMSG, "image %s: %s: has more than %llu bytes", image,
				 name, (unsigned long long)size);
	ret = file < 0 ? file : hash(file, size, stop, &found);
	if (ret == 0 && fsync(file) < 0)
		ret = -errno;
	if (ret < 0)
		return image_failed(image, name, ret, error);
	trust_hex(found.bytes, TRUST_DIGEST_SIZE, hex);
	if (!trust_digest_same(&found, &digests->parts[part].sha384))
		return error_set(error, EBADMSG, "image %s: %s: its SHA-384 is %s", image, name,
				 hex);
	return 0;
}

static int check_parts(const char *image, int own, const struct image_digests *digests,
		       const _Atomic bool *stop, struct error *error)
{
	struct stat status;
	int ret = 0;

	if (!digests->parts[IMAGE_INITRD].given &&
	    fstatat(own, image_part_name(IMAGE_INITRD), &status, AT_SYMLINK_NOFOLLOW) == 0)
		return error_set(error, EBADMSG, "image %s: initrd: was written, and has no digest",
				 image);
	for (unsigned part = 0; ret == 0 && part < IMAGE_PARTS; part++) {
		if (digests->parts[part].given)
			ret = check_part(image, own, digests, part, stop, error);
	}
	return ret;
}

static int give_name(int folder, int own, const char *from, const char *image)
{
	if (fsync(own) < 0 || renameat(folder, from, folder, image) < 0 || fsync(folder) < 0)
		return -errno;
	return 0;
}

int images_finish(const char *files, const char *image, const struct image_digests *digests,
		  const _Atomic bool *stop, struct error *error)
{
	CLEANUP_CLOSE int folder = image_open_all(files);
	char name[IMAGE_ENTRY_MAX + 1];
	CLEANUP_CLOSE int own = -1;
	int ret;

	image_unfinished_name(name, image);
	own = folder < 0 ? folder : image_open_folder(folder, name);
	if (own == -ENOENT)
		return error_set(error, ENOENT, "image %s: nothing of it was written", image);
	if (own < 0)
		return image_failed(image, "", own, error);
	ret = check_parts(image, own, digests, stop, error);
	if (ret < 0)
		return ret;
	ret = write_digests(own, digests);
	if (ret == 0)
		ret = give_name(folder, own, name, image);
	return ret < 0 ? image_failed(image, "", ret, error) : 0;
}
