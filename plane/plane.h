/* SPDX-License-Identifier: Apache-2.0 */
/* What the plane is made of; api_*.c answer requests with it. One thread owns all of it. */
#ifndef KARUTA_PLANE_PLANE_H
#define KARUTA_PLANE_PLANE_H

#include "enrolments.h"
#include "events.h"
#include "evidence.h"
#include "fleet.h"
#include "hosts.h"
#include "http.h"
#include "identity.h"
#include "images.h"
#include "kek.h"
#include "keys.h"
#include "os/loop.h"
#include "route.h"
#include "store.h"
#include "watchers.h"

#define PLANE_NAMES 16u

struct plane {
	struct os_loop *loop;
	struct store *store;
	struct events events;
	struct identity identity;
	struct evidence_policy releases;
	struct hosts *hosts;
	struct kek *kek;
	struct keys *keys;
	struct images *images;
	struct fleet *fleet;
	struct enrolments enrolments;
	struct watchers watchers;
	struct http *http;
	const char *names[PLANE_NAMES]; /* what it is called by */
	size_t name_count;
	bool allow_unattested;
	bool rewrapping;	     /* keys may be wrapped under a key that is to go */
	int64_t certificate_seconds; /* that a host's is good for */
	bool ending, failed;
};

/* api.c: all resources. */
extern const struct route plane_routes[];
extern const size_t plane_route_count;

#endif
