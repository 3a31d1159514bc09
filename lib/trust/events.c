/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "events.h"
#include "words.h"

#define NAME_OTHERS "-_."
#define PART_MAX    192u /* what is hashed of a line: two words and a digest */
#define WHOLE_MAX   (PART_MAX + TRUST_DIGEST_DIGITS + 3)
#define RESERVE	    (64 * WHOLE_MAX) /* a log that is full still takes mismatches and releases */
_Static_assert(EVENTS_NAME_MAX + TRUST_DIGEST_DIGITS + 16 < PART_MAX, "room for any event");

static const char *const results[] = {
	[EVENT_INTACT] = "intact",     [EVENT_MISMATCH] = "mismatch", [EVENT_REFUSED] = "refused",
	[EVENT_RELEASED] = "released", [EVENT_MADE] = "made",
};

const char *event_result_name(enum event_result result)
{
	return results[result];
}

/* The part of a line that is hashed, without the newline. */
static int format(const struct event *event, char *line, size_t size)
{
	char digest[TRUST_DIGEST_DIGITS + 1], what[EVENTS_NAME_MAX + 1];
	struct words words = words_make(event->what, strnlen(event->what, sizeof(event->what)));

	words_copy(&words, NAME_OTHERS, what, sizeof(what));
	if (words.failed || words.at != words.end)
		return -EINVAL;
	trust_hex(event->digest.bytes, TRUST_DIGEST_SIZE, digest);
	return snprintf(line, size, "%s %s %s", what, digest, event_result_name(event->result));
}

static int hash(const char *line, size_t length, struct trust_digest *digest)
{
	char hashed[WHOLE_MAX];
	int size = snprintf(hashed, sizeof(hashed), "%.*s\n", (int)length, line);

	return trust_digest(hashed, (size_t)size, digest);
}

static int extend(struct trust_digest *running, const char *line)
{
	struct trust_digest digest;
	int ret = hash(line, strlen(line), &digest);

	return ret < 0 ? ret : trust_digest_extend(running, &digest);
}

static int append(struct event_log *log, const char *line, size_t limit)
{
	size_t length = strlen(line);
	char *text;

	if (log->length + length > limit)
		return -ENOSPC;
	text = realloc(log->text, log->length + length + 1);
	if (!text)
		return -ENOMEM;
	memcpy(text + log->length, line, length + 1);
	log->text = text;
	log->length += length;
	return 0;
}

int event_log_begin(struct event_log *log, const char *boot)
{
	struct words words = words_make(boot, strlen(boot));
	char line[PART_MAX];
	int ret;

	*log = (struct event_log){0};
	words_copy(&words, "-", log->boot, sizeof(log->boot));
	if (words.failed || words.at != words.end)
		return -EINVAL;
	snprintf(line, sizeof(line), "karuta events 1 %s", log->boot);
	ret = extend(&log->running, line);
	if (ret == 0)
		ret = append(log, line, EVENTS_SIZE_MAX);
	if (ret == 0)
		ret = append(log, "\n", EVENTS_SIZE_MAX);
	if (ret < 0)
		event_log_free(log);
	return ret;
}

/* Lines begin with this, and no line has it anywhere else: names have no blanks. */
static bool is_there(const struct event_log *log, const char *line)
{
	char wanted[WHOLE_MAX];

	snprintf(wanted, sizeof(wanted), "\n%s ", line);
	return strstr(log->text, wanted) != NULL;
}

static bool is_for_a_person(const struct event *event)
{
	return event->result == EVENT_MISMATCH || event->result == EVENT_RELEASED;
}

int event_log_add(struct event_log *log, const struct event *event)
{
	char line[PART_MAX], whole[WHOLE_MAX], running[TRUST_DIGEST_DIGITS + 1];
	struct trust_digest next = log->running;
	int ret = format(event, line, sizeof(line));

	if (ret < 0)
		return ret;
	/* Of the others, each has needed a person to end the quarantine before it. */
	if (!is_for_a_person(event) && is_there(log, line))
		return 0;
	ret = extend(&next, line);
	if (ret < 0)
		return ret;
	trust_hex(next.bytes, TRUST_DIGEST_SIZE, running);
	snprintf(whole, sizeof(whole), "%s %s\n", line, running);
	ret = append(log, whole,
		     is_for_a_person(event) ? EVENTS_SIZE_MAX : EVENTS_SIZE_MAX - RESERVE);
	if (ret < 0)
		return ret;
	log->running = next;
	log->count++;
	return 0;
}

static void parse_event(struct words *words, struct event *event, struct trust_digest *running)
{
	char result[16];
	size_t i = 0;

	words_copy(words, NAME_OTHERS, event->what, sizeof(event->what));
	words_expect(words, " ");
	words_digest(words, &event->digest);
	words_expect(words, " ");
	words_copy(words, "", result, sizeof(result));
	words_expect(words, " ");
	words_digest(words, running);
	words_expect(words, "\n");
	while (i < ARRAY_LEN(results) && strcmp(results[i], result) != 0)
		i++;
	if (i == ARRAY_LEN(results))
		words->failed = true;
	else
		event->result = (enum event_result)i;
}

/* The next line, when it is what adding its event would make of the log. */
static int replay(struct event_log *log, struct words *words)
{
	struct event event;
	struct trust_digest running;
	size_t count = log->count;
	int ret;

	parse_event(words, &event, &running);
	if (words->failed)
		return -EBADMSG;
	ret = event_log_add(log, &event);
	if (ret < 0)
		return ret;
	return log->count == count + 1 && trust_digest_same(&running, &log->running) ? 0 : -EBADMSG;
}

static int open_words(struct event_log *log, struct words *words)
{
	char boot[EVENTS_BOOT_MAX + 1];
	int ret;

	words_expect(words, "karuta events 1 ");
	words_copy(words, "-", boot, sizeof(boot));
	words_expect(words, "\n");
	ret = words->failed ? -EBADMSG : event_log_begin(log, boot);
	while (ret == 0 && words->at != words->end)
		ret = replay(log, words);
	return ret;
}

int event_log_open(struct event_log *log, const char *text, size_t length, struct error *error)
{
	struct words words = words_make(text, length);
	int ret = length > EVENTS_SIZE_MAX ? -EBADMSG : 0;

	*log = (struct event_log){0};
	if (ret == 0)
		ret = open_words(log, &words);
	if (ret == 0)
		return 0;
	error_set(error, -ret, "event log: %s, event %zu",
		  ret == -EBADMSG ? "not what was written" : strerror(-ret), log->count + 1);
	event_log_free(log);
	return ret;
}

/* A line of our own log without its running hash, which the first line has not. */
static size_t hashed_length(const struct event_log *log, const char *line, const char *end)
{
	size_t length = (size_t)(end - line);

	return line == log->text ? length : length - TRUST_DIGEST_DIGITS - 1;
}

int event_log_since(const struct event_log *log, const struct trust_digest *running,
		    event_extend_fn extend_other, void *context)
{
	struct trust_digest now = {0}, event;
	bool found = false;
	const char *end;
	int ret = 0;

	for (const char *line = log->text; ret == 0 && *line; line = end + 1) {
		end = strchr(line, '\n');
		found = found || trust_digest_same(&now, running);
		ret = hash(line, hashed_length(log, line, end), &event);
		if (ret == 0 && found)
			ret = extend_other(context, &event);
		if (ret == 0)
			ret = trust_digest_extend(&now, &event);
	}
	if (ret != 0)
		return ret;
	return found || trust_digest_same(&now, running) ? 0 : -ESTALE;
}

void event_log_free(struct event_log *log)
{
	free(log->text);
	*log = (struct event_log){0};
}
