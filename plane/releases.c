/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "os/fd.h"
#include "releases.h"

#define MANIFEST_MAX (1u << 20)
#define ENDING	     ".manifest"
#define FILES_MOST   256u /* of a folder that are looked at */

struct candidate {
	char name[256];
	struct timespec written;
};

/* Takes `file` over; -errno: it could not be opened. */
static int allow_file(struct evidence_policy *policy, int file, const char *name,
		      const struct trust_key *key, struct error *error)
{
	CLEANUP_CLOSE int opened = file;
	CLEANUP_FREE char *text = malloc(MANIFEST_MAX);
	ssize_t length = opened < 0 ? opened
			 : text	    ? os_read_full(opened, text, MANIFEST_MAX)
				    : -ENOMEM;
	int ret;

	if (length == MANIFEST_MAX)
		length = -EFBIG;
	if (length < 0)
		return error_set(error, (int)-length, "--release %s: %s", name,
				 strerror((int)-length));
	ret = evidence_allow(policy, text, (size_t)length, key, error);
	if (ret < 0)
		error_prefix(error, "--release %s", name);
	return ret;
}

static int by_age(const void *left, const void *right)
{
	const struct candidate *a = left, *b = right;

	if (a->written.tv_sec != b->written.tv_sec)
		return a->written.tv_sec < b->written.tv_sec ? 1 : -1;
	if (a->written.tv_nsec != b->written.tv_nsec)
		return a->written.tv_nsec < b->written.tv_nsec ? 1 : -1;
	return strcmp(a->name, b->name);
}

static size_t list(DIR *folder, struct candidate *candidates)
{
	const struct dirent *entry;
	struct stat status;
	size_t count = 0;

	while (count < FILES_MOST && (entry = readdir(folder))) {
		size_t length = strlen(entry->d_name);

		if (length <= strlen(ENDING) || entry->d_name[0] == '.' ||
		    strcmp(entry->d_name + length - strlen(ENDING), ENDING) != 0 ||
		    fstatat(dirfd(folder), entry->d_name, &status, 0) < 0)
			continue;
		snprintf(candidates[count].name, sizeof(candidates[count].name), "%s",
			 entry->d_name);
		candidates[count++].written = status.st_mtim;
	}
	qsort(candidates, count, sizeof(*candidates), by_age);
	return count;
}

/* One that cannot be used is no reason not to serve: what it would allow is not allowed. */
static int allow_folder(struct evidence_policy *policy, const char *path,
			const struct trust_key *key, struct error *error)
{
	CLEANUP_FREE struct candidate *candidates = calloc(FILES_MOST, sizeof(*candidates));
	DIR *folder = opendir(path);
	size_t count;

	if (!folder || !candidates) {
		int ret = error_set(error, errno, "--release %s: %s", path, strerror(errno));

		if (folder)
			closedir(folder);
		return ret;
	}
	count = list(folder, candidates);
	for (size_t i = 0; i < count && policy->count < EVIDENCE_RELEASES; i++) {
		const char *name = candidates[i].name;
		int file = openat(dirfd(folder), name, O_RDONLY | O_CLOEXEC);

		if (allow_file(policy, file < 0 ? -errno : file, name, key, error) < 0)
			fprintf(stderr, "karuta-plane: %s: left out\n", error->text);
	}
	closedir(folder);
	return 0;
}

int releases_allow(struct evidence_policy *policy, const char *path, const struct trust_key *key,
		   struct error *error)
{
	struct stat status;
	int file;

	if (stat(path, &status) == 0 && S_ISDIR(status.st_mode))
		return allow_folder(policy, path, key, error);
	file = open(path, O_RDONLY | O_CLOEXEC);
	return allow_file(policy, file < 0 ? -errno : file, path, key, error);
}
