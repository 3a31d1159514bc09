/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of images.h: images.c keeps the images and their files, images_work.c does what takes long
 * in a thread, images_push.c sends to hosts.
 */
#ifndef KARUTA_PLANE_IMAGES_PRIVATE_H
#define KARUTA_PLANE_IMAGES_PRIVATE_H

#include <stdatomic.h>

#include "auth.h"
#include "images.h"
#include "trust/digest.h"

/* ---- images_work.c ---- */

struct image_part {
	uint64_t size; /* 0: there is no such part */
	struct trust_digest digest;
};

enum job_kind {
	JOB_CHECK,  /* all parts have their digests, and are on the disk */
	JOB_REMOVE, /* the folder of a uid */
};

/* The worker's from worker_add() until `done`, which gives it back in the owner's thread. */
struct job {
	struct job *next;
	enum job_kind kind;
	char uid[DOC_UID_SIZE];
	struct image_part parts[IMAGES_PARTS];
	atomic_bool cancelled; /* set by the owner, at any time */
	void (*done)(void *context, struct job *job);
	void *context;
	int ret;
	struct error error;
};

struct worker;

/* `folder` has the images' folders; it stays the owner's, and open. */
int worker_open(struct os_loop *loop, int folder, struct worker **worker, struct error *error);
/* One after the other. */
void worker_add(struct worker *worker, struct job *job);
/* What is under way is cancelled, and `done` called for each; files that are not removed then, are
 * when the plane starts again. NULL is allowed. */
void worker_close(struct worker *worker);

/* ---- images.c ---- */

struct waiter {
	struct waiter *next;
	images_done_fn done;
	void *context;
};

struct image {
	struct image *next;
	char name[DOC_NAME_MAX + 1], uid[DOC_UID_SIZE];
	struct image_part parts[IMAGES_PARTS];
	bool ready;
	struct job *check; /* NULL: none is under way */
	struct waiter *waiters;
	char who[AUTH_NAME_SIZE]; /* who has begun the check */
};

struct transfer;

struct images {
	struct images_setup setup;
	int folder;
	struct image *first;
	unsigned count;
	struct worker *worker;
	struct transfer *transfers;
	uint8_t chunk[IMAGES_SEND];
};

/* NULL: there is none. */
struct image *images_find(const struct images *images, const char *uid);
/* A descriptor of a part's file, or -errno. */
int images_open_part(const struct images *images, const char *uid, enum images_part part, int flags,
		     struct error *error);

/* ---- images_push.c ---- */

int push_turn(struct images *images);
/* Hosts that may have something of it are to delete it. */
void push_drop_image(struct images *images, const char *uid);
void push_close(struct images *images);

#endif
