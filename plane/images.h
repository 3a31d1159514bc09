/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images: what instances begin as. "images/bookworm" in the store says what they are, their files
 * are in the plane's folder, images/UID/{kernel,initrd,root}, and copies of those on the hosts that
 * need them, made when they do.
 *
 *	{"metadata", "spec": {"kernel": {"size", "sha384"}, "initrd"?, "root"?, "command_line"?},
 *	 "status": {"state": "uploading|ready"}}
 */
#ifndef KARUTA_PLANE_IMAGES_H
#define KARUTA_PLANE_IMAGES_H

#include "doc.h"
#include "events.h"
#include "hosts.h"

#define IMAGES_KIND  "images"
#define IMAGES_CHUNK (1u << 20)	  /* bytes that a client sends at once, at most */
#define IMAGES_SEND  (128u << 10) /* and the plane a host */

struct images;

struct images_setup {
	struct store *store;
	struct events *events;
	struct hosts **hosts;
	const char *folder; /* the plane's */
};

int images_open(const struct images_setup *setup, struct images **images, struct error *error);
void images_close(struct images *images);
/* What goes to hosts. Returns after how many ms it is to be called at the latest. */
int images_turn(struct images *images);

/* 0: the host has all of it, as far as is known; -EINPROGRESS: it is on its way (begun by this, if
 * need be), the error says how far: ask again in a while; -ENOENT: there is no such image (any
 * more); other: why it does not get there, which is tried again when this is called later. */
int images_ensure(struct images *images, const char *host, const char *uid, struct error *error);
/* The host has said that it has it not: the next images_ensure() looks anew. */
void images_forget(struct images *images, const char *host, const char *uid);

#endif
