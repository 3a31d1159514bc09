/* SPDX-License-Identifier: Apache-2.0 */
#include "images.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"
#include "images_private.h"
#include "list.h"
#include "os/fd.h"

#define FOLDER "images"

const char *const images_part_names[IMAGES_PARTS] = {"kernel", "initrd", "root"};

struct image *images_find(const struct images *images, const char *uid)
{
	struct image *image = images->first;

	while (image && strcmp(image->uid, uid) != 0)
		image = image->next;
	return image;
}

static struct image **find_place(struct images *images, const char *uid)
{
	struct image **at = &images->first;

	while (*at && strcmp((*at)->uid, uid) != 0)
		at = &(*at)->next;
	return at;
}

/* ---- documents ---- */

static int read_part(const json_t *doc, unsigned i, struct image_part *part)
{
	const json_t *spec = json_object_get(json_object_get(doc, "spec"), images_part_names[i]);
	const char *digest = doc_text(spec, "sha384");

	if (!spec)
		return i == IMAGES_INITRD ? 0 : -EBADMSG;
	part->size = doc_number(spec, "size");
	if (!part->size || part->size > (i == IMAGES_ROOT ? IMAGES_ROOT_MAX : IMAGES_BOOT_MAX) ||
	    (i == IMAGES_ROOT && part->size % IMAGES_ROOT_UNIT) ||
	    strlen(digest) != TRUST_DIGEST_DIGITS ||
	    !trust_unhex(digest, TRUST_DIGEST_DIGITS, part->digest.bytes))
		return -EBADMSG;
	return 0;
}

/* It is the name of a folder. */
static bool is_uid(const char *text)
{
	return strlen(text) == DOC_UID_SIZE - 1 &&
	       strspn(text, "0123456789abcdef") == DOC_UID_SIZE - 1;
}

static int take(struct images *images, const json_t *doc, struct error *error)
{
	struct image *image = calloc(1, sizeof(*image));
	int ret = image ? 0 : -ENOMEM;

	for (unsigned i = 0; ret == 0 && i < IMAGES_PARTS; i++)
		ret = read_part(doc, i, &image->parts[i]);
	if (ret == 0 && !is_uid(doc_uid(doc)))
		ret = -EBADMSG;
	if (ret < 0) {
		free(image);
		return error_set(error, -ret, "image %s: %s", doc_name(doc), strerror(-ret));
	}
	snprintf(image->name, sizeof(image->name), "%s", doc_name(doc));
	snprintf(image->uid, sizeof(image->uid), "%s", doc_uid(doc));
	image->ready = !strcmp(doc_text(doc, "status.state"), "ready");
	image->next = images->first;
	images->first = image;
	images->count++;
	return 0;
}

static int fill(void *context, const json_t *doc, struct error *error)
{
	return take(context, doc, error);
}

/* ---- files ---- */

static void on_removed(void *context, struct job *job)
{
	(void)context;
	/* What is cancelled is removed when the plane starts again. */
	if (job->ret < 0 && job->ret != -ECANCELED)
		fprintf(stderr, "karuta-plane: " FOLDER "/%s: %s\n", job->uid, job->error.text);
	free(job);
}

static void remove_files(struct images *images, const char *uid)
{
	struct job *job = calloc(1, sizeof(*job));

	if (!job)
		return;
	job->kind = JOB_REMOVE;
	snprintf(job->uid, sizeof(job->uid), "%s", uid);
	job->done = on_removed;
	worker_add(images->worker, job);
}

static int make_part(int folder, const char *name, uint64_t size)
{
	CLEANUP_CLOSE int file =
		openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);

	return file < 0 || ftruncate(file, (off_t)size) < 0 ? -errno : 0;
}

static int make_files(struct images *images, const struct image *image)
{
	CLEANUP_CLOSE int folder = -1;
	int ret = mkdirat(images->folder, image->uid, S_IRWXU) < 0 ? -errno : 0;

	if (ret == 0)
		folder = openat(images->folder, image->uid, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (ret == 0 && folder < 0)
		ret = -errno;
	for (unsigned i = 0; ret == 0 && i < IMAGES_PARTS; i++) {
		if (image->parts[i].size)
			ret = make_part(folder, images_part_names[i], image->parts[i].size);
	}
	return ret;
}

int images_open_part(const struct images *images, const char *uid, enum images_part part, int flags,
		     struct error *error)
{
	char path[DOC_UID_SIZE + 16];
	int file;

	snprintf(path, sizeof(path), "%s/%s", uid, images_part_names[part]);
	file = openat(images->folder, path, flags | O_CLOEXEC | O_NOFOLLOW);
	return file < 0 ? error_set(error, errno == ENOENT ? EIO : errno,
				    "its file " FOLDER "/%s: %s; remove the image, and make it "
				    "again",
				    path, strerror(errno))
			: file;
}

int images_write(struct images *images, const char *uid, enum images_part part, uint64_t offset,
		 const void *bytes, size_t length, struct error *error)
{
	const struct image *image = images_find(images, uid);
	const char *name = images_part_names[part];
	CLEANUP_CLOSE int file = -1;
	int ret;

	if (!image || !image->parts[part].size)
		return error_set(error, ENOENT, "it has no %s", name);
	if (image->ready)
		return error_set(error, EEXIST, "it is ready, and does not change any more");
	if (image->check)
		return error_set(error, EBUSY, "it is being checked");
	if (!range_within(offset, length, image->parts[part].size))
		return error_set(error, EINVAL, "%s has %llu bytes, and no more", name,
				 (unsigned long long)image->parts[part].size);
	file = images_open_part(images, uid, part, O_WRONLY, error);
	if (file < 0)
		return file;
	ret = os_pwrite_all(file, bytes, length, offset);
	return ret < 0 ? error_set(error, -ret, "%s: %s", name, strerror(-ret)) : 0;
}

/* Of images that were not stored, or were removed, when a plane ended. */
static int remove_leftovers(struct images *images)
{
	int copy = openat(images->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *folder = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *entry;

	if (!folder) {
		int ret = -errno;

		os_close(&copy);
		return ret;
	}
	while ((entry = readdir(folder))) {
		if (is_uid(entry->d_name) && !images_find(images, entry->d_name))
			remove_files(images, entry->d_name);
	}
	closedir(folder);
	return 0;
}

/* ---- being checked ---- */

static void answer(struct image *image, int ret, const struct error *error)
{
	struct waiter *waiter;

	while ((waiter = image->waiters)) {
		image->waiters = waiter->next;
		waiter->done(waiter->context, ret, error);
		free(waiter);
	}
}

static int store_ready(struct images *images, const struct image *image, struct error *error)
{
	struct doc_batch batch = DOC_BATCH_NONE;
	char object[DOC_NAME_MAX + sizeof(IMAGES_KIND) + 1];
	uint64_t revision;
	json_t *doc = NULL;
	int ret = doc_read(images->setup.store, IMAGES_KIND, image->name, &doc, error);

	if (ret < 0)
		return ret;
	snprintf(object, sizeof(object), IMAGES_KIND "/%s", image->name);
	doc_set(doc, "status.state", json_string("ready"));
	doc_put(&batch, IMAGES_KIND, image->name, doc, doc_revision(doc));
	events_add(images->setup.events, &batch, time(NULL), "ready", object, image->who,
		   "image %s is ready", image->name);
	ret = doc_commit(&batch, images->setup.store, &revision, error);
	json_decref(doc);
	return ret;
}

static void on_checked(void *context, struct job *job)
{
	struct images *images = context;
	struct image *image = images_find(images, job->uid);
	int ret = job->ret;

	if (image && image->check == job) {
		image->check = NULL;
		if (ret == 0)
			ret = store_ready(images, image, &job->error);
		image->ready = ret == 0;
		answer(image, ret, ret < 0 ? &job->error : NULL);
	}
	free(job);
}

static int begin_check(struct images *images, struct image *image, const char *who)
{
	struct job *job = calloc(1, sizeof(*job));

	if (!job)
		return -ENOMEM;
	job->kind = JOB_CHECK;
	memcpy(job->uid, image->uid, sizeof(job->uid));
	memcpy(job->parts, image->parts, sizeof(job->parts));
	job->done = on_checked;
	job->context = images;
	snprintf(image->who, sizeof(image->who), "%s", who);
	image->check = job;
	worker_add(images->worker, job);
	return 0;
}

int images_finish(struct images *images, const char *uid, const char *who, images_done_fn done,
		  void *context, struct error *error)
{
	struct image *image = images_find(images, uid);
	struct waiter *waiter;

	if (!image)
		return error_set(error, ENOENT, "it was removed meanwhile");
	if (image->ready)
		return error_set(error, EEXIST, "it is ready already");
	waiter = malloc(sizeof(*waiter));
	if (!waiter || (!image->check && begin_check(images, image, who) < 0)) {
		free(waiter);
		return error_set(error, ENOMEM, "out of memory");
	}
	*waiter = (struct waiter){image->waiters, done, context};
	image->waiters = waiter;
	return 0;
}

/* ---- those that there are ---- */

int images_add(struct images *images, const json_t *doc, struct error *error)
{
	int ret;

	if (images->count >= IMAGES_MOST)
		return error_set(error, EDQUOT, "there are %u images already", IMAGES_MOST);
	ret = take(images, doc, error);
	if (ret < 0)
		return ret;
	ret = make_files(images, images->first);
	if (ret < 0) {
		images_drop(images, doc_uid(doc));
		return error_set(error, -ret, "its files: %s", strerror(-ret));
	}
	return 0;
}

void images_drop(struct images *images, const char *uid)
{
	struct image **at = find_place(images, uid), *image = *at;
	struct error error = {0};

	if (!image)
		return;
	*at = image->next;
	images->count--;
	if (image->check)
		atomic_store(&image->check->cancelled, true);
	error_set(&error, ECANCELED, "image %s was removed meanwhile", image->name);
	answer(image, -ECANCELED, &error);
	push_drop_image(images, image->uid);
	remove_files(images, image->uid);
	free(image);
}

static int open_folder(struct images *images, struct error *error)
{
	CLEANUP_CLOSE int above = open(images->setup.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (above < 0 || (mkdirat(above, FOLDER, S_IRWXU) < 0 && errno != EEXIST) ||
	    fsync(above) < 0)
		return error_set(error, errno, "%s/" FOLDER ": %s", images->setup.folder,
				 strerror(errno));
	images->folder = openat(above, FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (images->folder < 0)
		return error_set(error, errno, "%s/" FOLDER ": %s", images->setup.folder,
				 strerror(errno));
	return 0;
}

int images_open(const struct images_setup *setup, struct images **images, struct error *error)
{
	struct images *made = calloc(1, sizeof(*made));
	int ret;

	if (!made)
		return error_set(error, ENOMEM, "out of memory");
	made->setup = *setup;
	made->folder = -1;
	ret = open_folder(made, error);
	if (ret == 0)
		ret = doc_each(setup->store, IMAGES_KIND, fill, made, error);
	if (ret == 0)
		ret = worker_open(setup->loop, made->folder, &made->worker, error);
	if (ret == 0) {
		ret = remove_leftovers(made);
		if (ret < 0)
			error_set(error, -ret, "%s/" FOLDER ": %s", setup->folder, strerror(-ret));
	}
	if (ret < 0) {
		images_close(made);
		return ret;
	}
	*images = made;
	return 0;
}

void images_close(struct images *images)
{
	if (!images)
		return;
	push_close(images);
	worker_close(images->worker);
	for (struct image *image = images->first, *after; image; image = after) {
		after = image->next;
		free(image);
	}
	os_close(&images->folder);
	free(images);
}

int images_turn(struct images *images)
{
	return push_turn(images);
}
