/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/base.h"
#include "content.h"
#include "image.h"
#include "os/fd.h"

static int add_checksum(json_t *sums, const struct workshop *shop, const char *name,
			struct progress *progress, struct error *error)
{
	CLEANUP_FREE char *path = NULL;
	CLEANUP_CLOSE int fd = -1;
	char text[CONTENT_SHA256_TEXT];
	struct stat status;
	int result;

	if (asprintf(&path, "%s/%s", shop->path, name) < 0)
		return error_set(error, ENOMEM, "out of memory");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &status))
		return error_set(error, errno, "%s: %s", name, strerror(errno));
	if (progress)
		progress_step(progress, "checksum", (uint64_t)status.st_size);
	result = content_sha256(fd, (uint64_t)status.st_size, text, progress, error);
	if (!result && json_object_set_new(sums, name, json_string(text)))
		result = error_set(error, ENOMEM, "out of memory");
	return result;
}

static json_t *checksums(const struct workshop *shop, bool initrd, struct progress *progress,
			 struct error *error)
{
	json_t *sums = json_object();
	int result = add_checksum(sums, shop, "root.img", progress, error);

	if (!result)
		result = add_checksum(sums, shop, "kernel", NULL, error);
	if (!result && initrd)
		result = add_checksum(sums, shop, "initrd", NULL, error);
	if (!result)
		return sums;
	json_decref(sums);
	return NULL;
}

/* As the guest sees the first NVMe card's disk. */
static json_t *root_device(unsigned partition)
{
	return partition ? json_sprintf("/dev/nvme0n1p%u", partition) : json_string("/dev/nvme0n1");
}

static json_t *now(void)
{
	time_t seconds = time(NULL);
	struct tm broken;
	char text[32];

	gmtime_r(&seconds, &broken);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &broken);
	return json_string(text);
}

int image_write_facts(const struct workshop *shop, const struct image_facts *facts,
		      struct progress *progress, struct error *error)
{
	CLEANUP_FREE char *path = NULL;
	bool initrd = facts->boot->initrd[0];
	json_t *sums = checksums(shop, initrd, progress, error);
	json_t *json;
	int result = 0;

	if (!sums)
		return -EIO;
	json = json_pack("{s:s, s:s, s:s*, s:s*, s:o, s:I, s:i, s:o, s:s*, s:s, s:s*, s:o}", "name",
			 facts->name, "origin", facts->origin, "suite", facts->suite, "packages",
			 facts->packages, "created", now(), "size", (json_int_t)facts->size,
			 "sector", (int)facts->sector, "root", root_device(facts->partition),
			 "uuid", facts->uuid, "kernel", facts->boot->kernel, "initrd",
			 initrd ? facts->boot->initrd : NULL, "sha256", sums);
	if (!json || asprintf(&path, "%s/image.json", shop->path) < 0)
		result = error_set(error, ENOMEM, "out of memory");
	else if (json_dump_file(json, path, JSON_INDENT(2)))
		result = error_set(error, EIO, "%.150s: cannot be written", path);
	json_decref(json);
	return result;
}

json_t *image_read_facts(const char *name, struct error *error)
{
	CLEANUP_FREE char *folder = home_image(name, error);
	CLEANUP_FREE char *path = NULL;
	const char *text;
	json_error_t why;
	json_t *json;
	json_int_t size;
	int sector;

	if (!folder || asprintf(&path, "%s/image.json", folder) < 0)
		return NULL;
	json = json_load_file(path, JSON_REJECT_DUPLICATES, &why);
	if (!json && json_error_code(&why) == json_error_cannot_open_file)
		error_set(error, ENOENT,
			  "image %s: there is none; `karuta image list` shows those that are, "
			  "`karuta image build %s --suite bookworm` makes one",
			  name, name);
	else if (!json)
		error_set(error, EBADMSG, "image %s: image.json: %s", name, why.text);
	else if (json_unpack_ex(json, &why, 0, "{s:s, s:s, s:s, s:I, s:i, s:s, s:o}", "name", &text,
				"origin", &text, "created", &text, "size", &size, "sector", &sector,
				"root", &text, "sha256", &(json_t *){NULL}) ||
		 size <= 0)
		error_set(error, EBADMSG, "image %s: image.json: %s", name,
			  size <= 0 ? "no good size" : why.text);
	else
		return json;
	json_decref(json);
	return NULL;
}

int image_check_free(const char *name, struct error *error)
{
	CLEANUP_FREE char *path = home_image(name, error);
	struct stat status;

	if (!path)
		return -EINVAL;
	if (lstat(path, &status))
		return 0;
	return error_set(error, EEXIST,
			 "image %s: exists already; take another name, or `karuta image delete %s` "
			 "first",
			 name, name);
}
