/* SPDX-License-Identifier: Apache-2.0 */
#include "suspect.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "os/fd.h"
#include "quarantine.h"

int suspect_log_event(struct state *state, const char *what, const struct trust_digest *digest,
		      enum event_result result, struct error *error)
{
	struct event event = {.digest = *digest, .result = result};
	int ret;

	for (size_t i = 0; what[i] && i < EVENTS_NAME_MAX; i++)
		event.what[i] = what[i];
	ret = event_log_add(&state->log, &event);
	return ret < 0 ? error_set(error, -ret, "event log: %s: %s", what, strerror(-ret)) : 0;
}

int suspect_program(struct state *state, const char *what, const struct measured *measured,
		    const struct trust_digest *expected, struct error *error)
{
	struct error why = *error;
	const struct suspect suspect = {.name = what,
					.copy = measured->sealed,
					.expected = expected,
					.found = measured->sealed < 0 ? NULL : &measured->digest,
					.why = why.text};

	return quarantine_begin(state, &suspect, error);
}

/* What a file of the state holds; nothing, if it is not a file, or bigger than any. */
static void measure_state(const struct state *state, const char *name, struct measured *measured)
{
	CLEANUP_CLOSE int file =
		openat(state->folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	*measured = MEASURED_NONE;
	if (file >= 0)
		measure(file, name, measured);
}

int suspect_events(struct state *state, struct error *error)
{
	struct measured measured;
	int ret;

	measure_state(state, "events", &measured);
	ret = suspect_program(state, "events", &measured, NULL, error);
	measured_free(&measured);
	return ret;
}

/* The log, for what is to be written there, when that is not the suspect itself. */
static int load_rest(struct state *state, struct error *error)
{
	return state->log.text ? 0 : suspect_load_state(state, error);
}

/* A file of the state that is not what was written: it is kept as evidence, and not in use any
 * more. It becomes the mark of the quarantine itself: there is no instant with neither. */
static int suspect_file(struct state *state, const char *name, struct error *error)
{
	struct measured measured;
	struct error why = *error;
	int ret;

	measure_state(state, name, &measured);
	ret = quarantine_begin_with(state, name, error);
	if (ret == 0)
		ret = load_rest(state, error);
	if (state->log.text) {
		*error = why;
		ret = suspect_program(state, name, &measured, NULL, error);
	}
	measured_free(&measured);
	return ret;
}

int suspect_load_state(struct state *state, struct error *error)
{
	const char *name;
	int ret = state_load(state, &name, error);

	return ret == -EBADMSG ? suspect_file(state, name, error) : ret;
}

int suspect_load_book(struct state *state, struct book_entry entries[BOOK_ENTRIES], size_t *count,
		      struct error *error)
{
	char name[INSTANCE_NAME_MAX + sizeof(BOOK_SUFFIX)];
	int ret = book_load(state->folder, entries, count, name, error);

	return ret == -EBADMSG ? suspect_file(state, name, error) : ret;
}
