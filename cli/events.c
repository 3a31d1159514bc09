/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "base/base.h"
#include "base/size.h"
#include "events.h"

static int keep(struct api_body *body, const char *bytes, size_t length)
{
	if (length > API_EVENT_MAX - body->length)
		return -EMSGSIZE;
	return api_body_add(body, bytes, length);
}

/* Lines of data are joined by newlines. */
static int add_data(struct events *events, const char *value)
{
	int result = events->data.length ? keep(&events->data, "\n", 1) : 0;

	return result ? result : keep(&events->data, value, strlen(value));
}

static void take_id(struct events *events, const char *value)
{
	const char *at = value;
	uint64_t id;

	if (!size_take(&at, false, &id) && !*at) {
		events->id = id;
		events->has_id = true;
	}
}

/* An event without data is none. */
static int end_event(struct events *events)
{
	int result = 0;

	if (events->data.length) {
		result = keep(&events->data, "", 1);
		if (!result)
			result = events->take(events->context, events, events->data.text);
	}
	events->data.length = 0;
	events->has_id = false;
	return result;
}

/* A line that begins with ':' is a comment: it keeps the connection alive. */
static int take_line(struct events *events, char *line)
{
	char *value = strchr(line, ':');

	if (!*line)
		return end_event(events);
	if (!value || value == line)
		return 0;
	*value++ = '\0';
	value += *value == ' ';
	if (!strcmp(line, "data"))
		return add_data(events, value);
	if (!strcmp(line, "id"))
		take_id(events, value);
	return 0;
}

static int end_line(struct events *events)
{
	int result = keep(&events->line, "", 1);

	if (!result)
		result = take_line(events, events->line.text);
	events->line.length = 0;
	return result;
}

int events_add(struct events *events, const char *bytes, size_t length)
{
	int result = 0;

	for (size_t i = 0; i < length && !result; i++) {
		bool second = bytes[i] == '\n' && events->after_cr;

		events->after_cr = bytes[i] == '\r';
		if (second)
			continue;
		if (bytes[i] == '\n' || bytes[i] == '\r')
			result = end_line(events);
		else
			result = keep(&events->line, bytes + i, 1);
	}
	return result;
}

void events_reset(struct events *events)
{
	events->line.length = 0;
	events->data.length = 0;
	events->after_cr = false;
	events->has_id = false;
}

void events_free(struct events *events)
{
	free(events->line.text);
	free(events->data.text);
}
