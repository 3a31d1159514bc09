/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instances that live more than once.
 *
 *	prepare  what the book says is read anew: what was attached since is not part of it
 *	order    a caller's launch or start: the book, the life, and if it comes to nothing the book
 *	         as it was before
 *	ended    by a caller, or as its policy takes for good: it rests, its keys are wiped.
 *	         Else it restarts after a while, or has failed if that happened too often
 *	turn     the while is over
 *
 * In a start that nobody has ordered, keys can be missing that came to an earlier controller only:
 * it waits for somebody who brings them.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "files.h"
#include "fleet.h"
#include "promises.h"

#define IDLE_PAUSE_MS 1000
#define RESUME_PAUSE  (50 * NS_PER_MS) /* between two, for callers to be heard */

/* User ids of the instances of a host: 64 each. Those of `run` are by its process (launch.c). */
#define UID_BASE 0x6e000000u

static const char *const names[] = {
	[UNIT_RESTS] = "ended",
	[UNIT_RESTARTS] = "restarting",
	[UNIT_KEYLESS] = "waiting for keys",
	[UNIT_FAILED] = "failed",
};

const char *revival_state(const struct unit *unit)
{
	return unit->live ? "running" : names[unit->wait];
}

static __attribute__((format(printf, 2, 3))) void note(const struct unit *unit, const char *format,
						       ...)
{
	char text[ERROR_TEXT_SIZE + 128];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fprintf(stderr, "karuta-controller: %s: %s\n", unit->name, text);
}

/* ---- the book ---- */

int revival_want(struct unit *unit, bool wanted, struct error *error)
{
	struct book_entry changed = unit->entry;
	int ret = 0;

	changed.wanted = wanted;
	if (unit->entry.spec && unit->entry.wanted != wanted)
		ret = book_put(&unit->fleet->book, &changed, error);
	if (ret < 0)
		return ret;
	unit->entry.wanted = wanted && unit->entry.spec;
	/* It was started, and then somebody has thought otherwise. */
	unit->ordered = false;
	book_entry_free(&unit->before);
	if (!unit->live)
		unit->wait = UNIT_RESTS;
	if (!unit->live || !wanted)
		keyring_free(&unit->keys);
	return 0;
}

/* Ordered with another controller: what the book had then, beside the order, is not known any more;
 * that it was not running is. */
static void recall_before(struct unit *unit)
{
	if (!unit->had_before || unit->before.spec)
		return;
	if (book_entry_copy(&unit->before, &unit->entry) == 0)
		unit->before.wanted = false;
}

static void undo_order(struct unit *unit)
{
	struct book *book = &unit->fleet->book;
	struct error error = {0};
	int ret;

	recall_before(unit);
	ret = unit->before.spec ? book_put(book, &unit->before, &error)
				: book_remove(book, unit->name, &error);

	/* Whoever ordered it is told that it does not run; the next controller may try again. */
	if (ret < 0)
		note(unit, "%s", error.text);
	book_entry_free(&unit->entry);
	unit->entry = unit->before;
	unit->before = (struct book_entry){0};
	unit->ordered = false;
	unit->wait = unit->entry.spec && unit->entry.wanted ? UNIT_FAILED : UNIT_RESTS;
	keyring_free(&unit->keys);
}

/* ---- the beginning of a life ---- */

int revival_prepare(struct unit *unit, struct error *error)
{
	const struct book_entry *entry = &unit->entry;
	int ret;

	if (unit->live)
		return error_set(error, EBUSY, "instance %s runs already", unit->name);
	if (!entry->spec)
		return error_set(error, ESRCH, "there is no instance %s any more; launch it",
				 unit->name);
	ret = instance_parse(&unit->instance, unit->name, unit->fleet->files, entry->spec,
			     entry->length, error);
	if (ret == 0)
		ret = files_check(unit->fleet->files, &unit->instance, error);
	if (ret < 0)
		instance_free(&unit->instance);
	return ret;
}

static int begin(struct unit *unit, struct error *error)
{
	struct instance *instance = &unit->instance;
	int ret = promises_check(unit, error);

	if (ret == 0)
		ret = keyring_give(&unit->keys, instance->cards, instance->card_count, error);
	if (ret == 0) {
		ret = machine_launch(&unit->machine, instance,
				     UID_BASE + unit->index * LAUNCH_USERS_PER_INSTANCE,
				     unit->fleet->loop, fleet_answer, unit, error);
		unit->machine.alarms = &unit->fleet->alarms;
		unit->machine.remember = fleet_remember;
		/* Of the cards that did not get into a slot. */
		for (size_t i = 0; ret < 0 && i < instance->card_count; i++) {
			if (instance->cards[i].kind)
				card_spec_close_key(&instance->cards[i]);
		}
	}
	unit->policy = instance->restart;
	if (ret < 0)
		instance_free(instance);
	unit->live = ret == 0;
	unit->wait = UNIT_RESTS;
	return ret;
}

static void did_not_begin(struct unit *unit, const struct error *error)
{
	unit->exit_code = 1;
	snprintf(unit->outcome, sizeof(unit->outcome), "%s", error->text);
}

int revival_order(struct unit *unit, const struct book_entry *before, struct error *error)
{
	bool was_wanted = unit->entry.wanted;
	int ret = before ? book_entry_copy(&unit->before, before) : 0;

	if (ret < 0)
		error_set(error, -ret, "out of memory");
	unit->entry.wanted = true;
	if (ret == 0)
		ret = book_put(&unit->fleet->book, &unit->entry, error);
	if (ret < 0) {
		unit->entry.wanted = was_wanted;
		book_entry_free(&unit->before);
		keyring_free(&unit->keys);
		instance_free(&unit->instance);
		return ret;
	}
	unit->ordered = true;
	unit->had_before = before;
	ret = begin(unit, error);
	if (ret < 0) {
		did_not_begin(unit, error);
		undo_order(unit);
	}
	return ret;
}

void revival_ran(struct unit *unit)
{
	unit->ordered = false;
	book_entry_free(&unit->before);
	if (unit->policy == POLICY_NEVER)
		keyring_free(&unit->keys);
}

/* ---- the end of one ---- */

static void rest(struct unit *unit)
{
	struct error error = {0};

	if (revival_want(unit, false, &error) == 0)
		return;
	note(unit, "%s", error.text);
	unit->wait = UNIT_RESTS;
	keyring_free(&unit->keys);
}

void revival_again(struct unit *unit)
{
	unit->again = false;
	if (!unit->entry.wanted) {
		rest(unit);
		return;
	}
	unit->wait = UNIT_RESTARTS;
	unit->start_at = os_now();
}

static void await_restart(struct unit *unit)
{
	uint64_t now = os_now();

	if (restarts_add(&unit->restarts, now, &unit->start_at)) {
		unit->wait = UNIT_RESTARTS;
		note(unit, "%s; it is started again in %llu ms", unit->outcome,
		     (unsigned long long)((unit->start_at - now) / NS_PER_MS));
		return;
	}
	unit->wait = UNIT_FAILED;
	keyring_free(&unit->keys);
	note(unit, "%s; it ended too often to be started again", unit->outcome);
}

void revival_ended(struct unit *unit)
{
	if (unit->ordered)
		undo_order(unit);
	else if (!unit->entry.wanted)
		rest(unit);
	/* It ends with the controller, and will come back with the next one. */
	else if (unit->fleet->ending)
		keyring_free(&unit->keys);
	else if (policy_wants(unit->policy, unit->exit_code != 0))
		await_restart(unit);
	else
		rest(unit);
}

/* ---- and the next one ---- */

/* Whoever has ordered it before another controller took over is told. */
static void await_keys(struct unit *unit)
{
	static const char why[] = "it waits for the keys of its cards";

	instance_free(&unit->instance);
	unit->wait = UNIT_KEYLESS;
	note(unit, "%s", why);
	fleet_answer_start(unit, EAGAIN, why);
}

static void restart(struct unit *unit)
{
	const struct instance *instance = &unit->instance;
	struct error error = {0};
	int ret = revival_prepare(unit, &error);

	if (ret == 0 && !keyring_has_all(&unit->keys, instance->cards, instance->card_count)) {
		await_keys(unit);
		return;
	}
	if (ret == 0)
		ret = begin(unit, &error);
	if (ret == 0)
		return;
	did_not_begin(unit, &error);
	if (unit->ordered)
		undo_order(unit);
	else if (unit->policy == POLICY_NEVER)
		rest(unit);
	else
		await_restart(unit);
	fleet_answer_start(unit, EIO, unit->outcome);
}

int revival_turn(struct unit *unit)
{
	uint64_t now = os_now();

	if (unit->wait != UNIT_RESTARTS || unit->fleet->ending || unit->fleet->standstill.is_on)
		return IDLE_PAUSE_MS;
	if (now < unit->start_at)
		return (int)min_u64((unit->start_at - now) / NS_PER_MS + 1, IDLE_PAUSE_MS);
	restart(unit);
	return 0;
}

void fleet_resume(struct fleet *fleet)
{
	uint64_t start_at = os_now();

	for (unsigned i = 0; i < FLEET_UNITS; i++) {
		struct unit *unit = fleet->units[i];

		if (!unit || unit->live || !unit->entry.wanted || unit->wait != UNIT_RESTS)
			continue;
		if (unit->policy == POLICY_NEVER) {
			rest(unit);
			continue;
		}
		unit->wait = UNIT_RESTARTS;
		unit->start_at = start_at;
		start_at += RESUME_PAUSE;
	}
}
