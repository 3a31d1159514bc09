/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Volumes as handlers need them: made with their keys, given to instances. What is asked of them
 * goes into the batch of whoever asks. All that refuse return -1 and set `problem`.
 */
#ifndef KARUTA_PLANE_VOLUMES_H
#define KARUTA_PLANE_VOLUMES_H

#include "api.h"

#define VOLUMES_KIND	 "volumes"
#define SNAPSHOTS_KIND	 "snapshots" /* volumes that nobody holds */
#define VOLUMES_MOST	 20000u	     /* and as many snapshots */
#define VOLUME_UNIT	 4096u	     /* a size is a multiple of that */
#define VOLUME_SIZE_MOST (UINT64_C(1) << 46)
#define VOLUME_GRACE_MS	 86400000u /* in which a deleted one can be had back */

/* ---- new ones ---- */

struct new_volume {
	const char *kind; /* VOLUMES_KIND or SNAPSHOTS_KIND */
	const char *name;
	uint64_t size;
	const json_t *labels;		 /* NULL: none */
	const char *host;		 /* NULL: any */
	const char *image, *image_uid;	 /* that it begins as; NULL: empty */
	const char *source, *source_uid; /* or what it begins as a copy of, */
	const char *source_kind;
	const char *source_key; /* whose key it has too */
	uint64_t source_size;
	const char *instance;		  /* that it is made with, and that holds it; NULL: none */
	uint8_t holder[ATTEMPT_UID_SIZE]; /* in `slot` */
	uint8_t slot;
};

/* A size in bytes, of a member of a body. */
int volumes_take_size(const json_t *body, const char *where, bool required, uint64_t *size,
		      struct problem *problem);
/* There is none of that name. */
int volumes_check_name(struct plane *plane, const char *kind, const char *name,
		       struct problem *problem);
/* There may be so many more. */
int volumes_check_room(struct plane *plane, const char *kind, size_t more, struct problem *problem);
/* The document, and its key. */
int volumes_put_new(struct plane *plane, struct doc_batch *batch, const struct new_volume *volume,
		    struct problem *problem);

/* ---- those that there are ---- */

struct volume {
	json_t *doc;
	struct volume_want want;
	struct volume_record record;
	const char *host; /* that it is on or will be; "": not known yet */
	bool has_key;
	const char *holder; /* the name of the instance of want.holder; "" */
};

/* Of a body's member; volumes_free() in any case. */
int volumes_find(struct plane *plane, const char *kind, const char *name, struct volume *volume,
		 struct problem *problem);
/* Of a document, which is taken over. */
int volumes_read(struct plane *plane, json_t *doc, struct volume *volume, struct problem *problem);
void volumes_free(struct volume *volume);
/* `want` has changed. */
int volumes_put(struct doc_batch *batch, const char *kind, struct volume *volume,
		struct problem *problem);
/* By an instance that has not let go of it yet, or is about to have it. */
bool volumes_is_bound(const struct volume *volume);
bool volumes_is_bound_to(const struct volume *volume, const uint8_t instance[ATTEMPT_UID_SIZE]);
/* In `slot` of that instance from now on. */
int volumes_hold(struct volume *volume, const char *name, const uint8_t instance[ATTEMPT_UID_SIZE],
		 uint8_t slot, struct problem *problem);

/* Nobody's. */
void volumes_let_go(struct volume *volume);
/* Deleted, after the grace period or at once. */
void volumes_end(struct plane *plane, struct volume *volume, bool now);

/* What a new one begins as a copy of: source, source_kind and, if it has to be on one, host are
 * given. It is left in *source, which volumes_free() frees in any case, and in `volume`. */
int volumes_take_source(struct plane *plane, struct new_volume *volume, struct volume *source,
			struct problem *problem);

/* A handler of the volume that the path names: `change` checks and changes. It returns 0 if it has
 * answered, or -1. */
typedef int (*volumes_change_fn)(struct plane *plane, const struct route_request *request,
				 struct volume *volume, struct problem *problem);
void volumes_change(struct plane *plane, const struct route_request *request,
		    volumes_change_fn change);
/* Answers with the volume as it is; 0. */
int volumes_unchanged(struct plane *plane, const struct route_request *request,
		      const struct volume *volume, unsigned status);

/* ---- what they are made from ---- */

/* Where a document's object is, or is to be; "": that is not known yet. */
const char *doc_host(const json_t *doc);
/* There is a host of that name; NULL: fine too. */
int api_check_host(struct plane *plane, const char *name, struct problem *problem);
/* An image that is whole; the caller's. NULL: refused. */
json_t *api_ready_image(struct plane *plane, const char *name, struct problem *problem);
/* The least that a volume made from it has. */
uint64_t api_image_size(const json_t *image);

#endif
