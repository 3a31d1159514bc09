/* SPDX-License-Identifier: Apache-2.0 */
/* Clients that watch events as they come: api_events.c. */
#ifndef KARUTA_PLANE_WATCHERS_H
#define KARUTA_PLANE_WATCHERS_H

#include "store.h"

struct watcher;

struct watchers {
	struct watcher *first;
};

/* Of what a commit has changed. */
void watchers_tell(struct watchers *watchers, const struct store_item *item);
void watchers_end(struct watchers *watchers);

#endif
