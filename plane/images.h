/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images: what instances begin as. "images/bookworm" in the store says what they are, their files
 * are in the plane's folder, images/UID/{kernel,initrd,root}, and copies of those on the hosts that
 * need them, made when they do.
 *
 *	{"metadata", "spec": {"kernel": {"size", "sha384"}, "initrd"?, "root", "command_line"?},
 *	 "status": {"state": "uploading|ready"}}
 *
 * A part is written in whatever order while its image is "uploading"; what is not written is zeros.
 * It is "ready" once every part has the digest that was promised, and is on the disk; then nothing
 * of it changes any more. A host knows it by its uid: it is in images/UID of the host's folder of
 * files. One thread owns all of it; what takes long (digests, flushes, removing large files) is
 * done by a thread of its own.
 */
#ifndef KARUTA_PLANE_IMAGES_H
#define KARUTA_PLANE_IMAGES_H

#include "doc.h"
#include "events.h"
#include "hosts.h"

#define IMAGES_KIND	 "images"
#define IMAGES_CHUNK	 (1u << 20)   /* bytes that a client sends at once, at most */
#define IMAGES_SEND	 (128u << 10) /* and the plane a host */
#define IMAGES_MOST	 64u
#define IMAGES_BOOT_MAX	 (UINT64_C(512) << 20) /* of a kernel, and of an initrd */
#define IMAGES_ROOT_MAX	 (UINT64_C(64) << 30)
#define IMAGES_ROOT_UNIT 4096u /* a root has a multiple of that many bytes */

enum images_part { IMAGES_KERNEL, IMAGES_INITRD, IMAGES_ROOT, IMAGES_PARTS };
extern const char *const images_part_names[IMAGES_PARTS];

struct images;

struct images_setup {
	struct os_loop *loop;
	struct store *store;
	struct events *events;
	struct hosts **hosts;
	const char *folder; /* the plane's */
};

/* Those that the store has; files of others are removed. */
int images_open(const struct images_setup *setup, struct images **images, struct error *error);
/* Who waits is told -ECANCELED. NULL is allowed. */
void images_close(struct images *images);
/* What goes to hosts. Returns after how many ms it is to be called at the latest. */
int images_turn(struct images *images);

/* 0: the host has all of it, as far as is known; -EINPROGRESS: it is on its way (begun by this, if
 * need be), the error says how far: ask again in a while; -ENOENT: there is no such image (any
 * more); other: why it does not get there, which is tried again when this is called later. */
int images_ensure(struct images *images, const char *host, const char *uid, struct error *error);
/* The host has said that it has it not: the next images_ensure() looks anew. */
void images_forget(struct images *images, const char *host, const char *uid);

/* ---- for handlers ---- */

/* Before a new document is stored: its files, all zeros. If it is not stored then: images_drop().
 * -EDQUOT: there are IMAGES_MOST; -EBADMSG: it is no image. */
int images_add(struct images *images, const json_t *doc, struct error *error);
/* There is no document of it any more: its files go, and the copies on hosts that are known. */
void images_drop(struct images *images, const char *uid);
/* -EINVAL: not within the part; -ENOENT: it has no such part; -EBUSY: it is being checked; -EEXIST:
 * it is ready; -ENOSPC, ... */
int images_write(struct images *images, const char *uid, enum images_part part, uint64_t offset,
		 const void *bytes, size_t length, struct error *error);

/* 0: "ready" is stored; -EBADMSG: a part is not what was promised, the error names it; -ECANCELED:
 * the image was removed meanwhile, or the plane ends; other. */
typedef void (*images_done_fn)(void *context, int ret, const struct error *error);

/* `who`: for the event. 0: `done` is called exactly once, not before this has returned. -EEXIST: it
 * is ready; -ENOENT. */
int images_finish(struct images *images, const char *uid, const char *who, images_done_fn done,
		  void *context, struct error *error);

#endif
