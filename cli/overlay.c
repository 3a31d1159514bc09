/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/base.h"
#include "os/fd.h"
#include "overlay.h"

#define BLOCK 512u

struct header {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type;
	char linked[100], magic[8], user[32], group[32], major[8], minor[8], prefix[155], pad[12];
};
_Static_assert(sizeof(struct header) == BLOCK, "the header of ustar is one block");

/* Absolute, and nowhere does it step up. */
static bool is_good_path(const char *path)
{
	for (const char *up = path; (up = strstr(up, "/..")); up++) {
		if (up[3] == '/' || !up[3])
			return false;
	}
	return path[0] == '/' && path[1] && path[strlen(path) - 1] != '/';
}

/* The name's end goes to `name`, what is before a slash to `prefix`; neither need end in a zero. */
static bool set_name(struct header *header, const char *path)
{
	size_t length = strlen(path);
	const char *cut = path;

	if (length > sizeof(header->name)) {
		cut = strchr(path + length - sizeof(header->name) - 1, '/');
		if (!cut || !cut[1] || (size_t)(cut - path) > sizeof(header->prefix))
			return false;
		memcpy(header->prefix, path, (size_t)(cut - path));
		cut++;
	}
	memcpy(header->name, cut, strlen(cut));
	return true;
}

static int write_header(int tar, const char *path, unsigned mode, uint64_t size,
			struct error *error)
{
	struct header header = {.type = '0', .magic = "ustar\00000"};
	unsigned sum = 0;
	int result;

	if (!is_good_path(path) || !set_name(&header, path + 1))
		return error_set(
			error, EINVAL,
			"copy to %.120s: wanted is an absolute path, without .., of at most "
			"254 bytes",
			path);
	if (size > UINT64_C(077777777777))
		return error_set(error, EFBIG, "copy to %.120s: larger than 8 GiB", path);
	snprintf(header.mode, sizeof(header.mode), "%07o", mode & 07777);
	memcpy(header.uid, "0000000", 8);
	memcpy(header.gid, "0000000", 8);
	memcpy(header.mtime, "00000000000", 12);
	snprintf(header.size, sizeof(header.size), "%011llo", (unsigned long long)size);
	memset(header.checksum, ' ', sizeof(header.checksum));
	for (size_t i = 0; i < BLOCK; i++)
		sum += ((const uint8_t *)&header)[i];
	snprintf(header.checksum, sizeof(header.checksum), "%06o", sum);
	result = os_write_all(tar, &header, BLOCK);
	return result ? error_set(error, -result, "copy: %s", strerror(-result)) : 0;
}

static int write_padding(int tar, uint64_t size)
{
	static const uint8_t zeros[BLOCK];

	return os_write_all(tar, zeros, (size_t)(align_up(size, BLOCK) - size));
}

int overlay_add_text(int tar, const char *path, unsigned mode, const char *text,
		     struct error *error)
{
	uint64_t size = strlen(text);
	int result = write_header(tar, path, mode, size, error);

	if (result)
		return result;
	result = os_write_all(tar, text, (size_t)size);
	if (!result)
		result = write_padding(tar, size);
	return result ? error_set(error, -result, "copy: %s", strerror(-result)) : 0;
}

/* Exactly `size` bytes, whatever the file does meanwhile. */
static int write_content(int tar, int file, uint64_t size)
{
	static char bytes[64 << 10];
	uint64_t left = size;

	while (left) {
		size_t want = (size_t)min_u64(left, sizeof(bytes));
		ssize_t length = os_read_full(file, bytes, want);
		int result;

		if (length < 0)
			return (int)length;
		if ((size_t)length != want)
			return -EIO;
		result = os_write_all(tar, bytes, want);
		if (result)
			return result;
		left -= want;
	}
	return write_padding(tar, size);
}

int overlay_add_file(int tar, const char *pair, struct error *error)
{
	const char *colon = strrchr(pair, ':');
	CLEANUP_FREE char *source = colon ? strndup(pair, (size_t)(colon - pair)) : NULL;
	CLEANUP_CLOSE int file = -1;
	struct stat status;
	int result;

	if (!source || !*source)
		return error_set(error, EINVAL, "--copy %.120s: wanted is SRC:DST", pair);
	file = open(source, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (file < 0 || fstat(file, &status))
		return error_set(error, errno, "--copy %.120s: %s", source, strerror(errno));
	if (!S_ISREG(status.st_mode))
		return error_set(error, EINVAL, "--copy %.120s: not a regular file", source);
	result = write_header(tar, colon + 1, status.st_mode, (uint64_t)status.st_size, error);
	if (result)
		return result;
	result = write_content(tar, file, (uint64_t)status.st_size);
	return result ? error_set(error, -result, "--copy %.120s: %s", source, strerror(-result))
		      : 0;
}

int overlay_end(int tar, struct error *error)
{
	static const uint8_t end[2 * BLOCK];
	int result = os_write_all(tar, end, sizeof(end));

	return result ? error_set(error, -result, "copy: %s", strerror(-result)) : 0;
}
