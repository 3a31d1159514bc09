/* SPDX-License-Identifier: Apache-2.0 */
#include "events.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

#define KIND	   "events"
#define NAME_SIZE  24u
#define TRIM_AT	   64u /* so many too many: they go together */
#define TRIM_BATCH DOC_CHANGES_MAX

/* In order of their numbers, as keys are. */
static void name_of(uint64_t number, char name[NAME_SIZE])
{
	snprintf(name, NAME_SIZE, "%020" PRIu64, number);
}

static int look(void *context, const struct store_item *item)
{
	struct events *events = context;
	uint64_t number = strtoull(item->key + strlen(KIND "/"), NULL, 10);

	events->first = events->first ? events->first : number;
	events->last = number;
	return 0;
}

int events_open(struct events *events, struct store *store, struct error *error)
{
	*events = (struct events){.store = store};
	return store_list(store, KIND "/", NULL, SIZE_MAX, look, events, error);
}

void events_add(struct events *events, struct doc_batch *batch, int64_t now, const char *kind,
		const char *object, const char *who, const char *format, ...)
{
	char text[PROBLEM_TEXT_MAX], time[DOC_TIME_SIZE], name[NAME_SIZE];
	uint64_t number = events->last + 1;
	json_t *event;
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	doc_time(now, time);
	name_of(number, name);
	event = json_pack("{s:I,s:s,s:s,s:s,s:o,s:s*}", "number", (json_int_t)number, "time", time,
			  "kind", kind, "object", object, "text", doc_string(text), "who", who);
	if (!event) {
		batch->failed = -ENOMEM;
		return;
	}
	doc_put(batch, KIND, name, event, 0);
	json_decref(event);
	/* A number whose commit fails is left out. */
	events->last = number;
	events->first = events->first ? events->first : number;
}

int events_trim(struct events *events, struct error *error)
{
	int ret = 0;

	if (events->last + 1 - events->first < EVENTS_KEPT + TRIM_AT)
		return 0;
	while (ret == 0 && events->last + 1 - events->first > EVENTS_KEPT) {
		struct doc_batch batch = DOC_BATCH_NONE;
		uint64_t revision;
		char name[NAME_SIZE];

		for (unsigned i = 0; i < TRIM_BATCH; i++) {
			name_of(events->first++, name);
			doc_put(&batch, KIND, name, NULL, STORE_ANY);
		}
		ret = doc_commit(&batch, events->store, &revision, error);
	}
	return ret;
}
