/* SPDX-License-Identifier: Apache-2.0 */
/* Server-sent events (WHATWG HTML, 9.2), taken apart as the bytes come. */
#ifndef KARUTA_CLI_EVENTS_H
#define KARUTA_CLI_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "api_private.h"

struct events {
	struct api_body line, data;
	bool after_cr;
	bool has_id;
	uint64_t id; /* of the event that is being read */
	/* A whole one; `text` is terminated. Not 0 ends it. */
	int (*take)(void *context, const struct events *events, const char *text);
	void *context;
};

/* 0; -EMSGSIZE: a line or an event is longer than API_EVENT_MAX; -ENOMEM; or what `take` said. */
int events_add(struct events *events, const char *bytes, size_t length);
/* A new connection: what was half there is gone. */
void events_reset(struct events *events);
void events_free(struct events *events);

#endif
