/* SPDX-License-Identifier: Apache-2.0 */
#include "instance.h"

#include "base/base.h"

/* All that a decision looks at. */
struct facts {
	const struct instance_record *record;
	const struct instance_want *want;
	const struct instance_view *view;
	uint64_t now;
};

static struct instance_decision decide(enum instance_step step, const char *why)
{
	return (struct instance_decision){.step = step, .why = why};
}

static struct instance_decision wait_until(uint64_t until, const char *why)
{
	return (struct instance_decision){.step = INSTANCE_WAIT, .until = until, .why = why};
}

bool instance_step_is_request(enum instance_step step)
{
	return step >= INSTANCE_LAUNCH && step <= INSTANCE_FORGET;
}

static enum instance_step doing(const struct instance_record *record)
{
	return (enum instance_step)record->attempt.doing;
}

static bool brings_up(enum instance_step step)
{
	return step == INSTANCE_LAUNCH || step == INSTANCE_START;
}

static bool brings_down(enum instance_step step)
{
	return step == INSTANCE_STOP || step == INSTANCE_KILL;
}

/* A question that was on its way while the record changed has an answer of before. */
static bool is_fresh(const struct instance_record *record, const struct instance_sight *sight)
{
	return sight->state != INSTANCE_UNSEEN && sight->asked > record->attempt.changed;
}

/* What was seen does not change any more by a launch that nobody has answered. */
static bool is_settled(const struct instance_record *record, const struct instance_sight *sight)
{
	return sight->asked >= attempt_settles(&record->attempt, INSTANCE_LAUNCH);
}

/* Both come to the same end, and so are counted together. */
static bool is_same_try(enum instance_step one, enum instance_step other)
{
	return one == other || (brings_up(one) && brings_up(other));
}

/* ---- what was seen ---- */

static bool is_out(enum instance_seen state)
{
	return state == INSTANCE_ABSENT || state == INSTANCE_ENDED;
}

/* What was under way has come to what it was for, whoever did it. A launch or start has not when it
 * runs: it may still be starting, and fail. */
static bool has_come_true(const struct instance_record *record, enum instance_seen state)
{
	if (brings_down(doing(record)))
		return is_out(state);
	return doing(record) == INSTANCE_FORGET && state == INSTANCE_ABSENT;
}

static bool saw_running(struct instance_record *record, const struct instance_want *want,
			uint64_t now)
{
	bool changed = false;

	if (record->stop_loose && now >= record->stop_loose + ATTEMPT_SETTLED) {
		record->stop_loose = 0;
		changed = true;
	}
	if (!record->stop_begun && record->starts < want->starts) {
		record->starts = want->starts;
		changed = true;
	}
	if (record->attempt.failures && now - min_u64(record->started, now) >= INSTANCE_STEADY) {
		record->attempt.failures = 0;
		changed = true;
	}
	return changed;
}

/* Its host has given up on it, or has it no more, or without its keys. */
static bool saw_lost(struct instance_record *record, enum instance_seen state, uint64_t now,
		     uint64_t random)
{
	bool early = now - min_u64(record->started, now) < INSTANCE_STEADY;

	if (record->failure_counted || (state != INSTANCE_FAILED && !early))
		return false;
	record->failure_counted = true;
	attempt_failed(&record->attempt, now, random);
	return true;
}

bool instance_saw(struct instance_record *record, const struct instance_want *want,
		  const struct instance_sight *sight, uint64_t now, uint64_t random)
{
	/* What was seen before it was asked to run once more is no answer to that. */
	if (record->starts_known != want->starts) {
		record->starts_known = want->starts;
		record->attempt.changed = now;
		return true;
	}
	if (!is_fresh(record, sight))
		return false;
	if (has_come_true(record, sight->state)) {
		if (brings_down(doing(record)))
			record->stop_loose = record->attempt.sent;
		record->attempt.doing = INSTANCE_NOTHING;
		record->attempt.failures = 0;
		return true;
	}
	if (doing(record) || want->wanted != INSTANCE_RUNNING)
		return false;
	if (sight->state == INSTANCE_RUNS)
		return saw_running(record, want, now);
	if (sight->state == INSTANCE_RESTARTS || sight->state == INSTANCE_ENDED)
		return false;
	return record->started && saw_lost(record, sight->state, now, random);
}

/* ---- steps ---- */

static struct instance_decision when_due(const struct facts *facts, enum instance_step step,
					 const char *why)
{
	const struct attempt *attempt = &facts->record->attempt;

	if (facts->now < attempt->not_before &&
	    is_same_try(step, (enum instance_step)attempt->last))
		return wait_until(attempt->not_before, why);
	return decide(step, "");
}

/* LAUNCH or START. */
static struct instance_decision bring_up(const struct facts *facts, enum instance_step step)
{
	const struct instance_view *view = facts->view;

	if (!view->usable)
		return decide(INSTANCE_NOTHING, "nothing may be started on its host");
	if (facts->want->keys && !view->keys)
		return decide(INSTANCE_NOTHING, "it needs keys, which go to trusted hosts only");
	if (view->detach_volumes)
		return decide(INSTANCE_DETACH_VOLUMES, "volumes are detached first");
	if (view->attach_volumes)
		return decide(INSTANCE_ATTACH_VOLUMES, "volumes are attached first");
	return when_due(facts, step, "it did not start; it is tried again");
}

static struct instance_decision bring_down(const struct facts *facts)
{
	const struct instance_record *record = facts->record;
	bool plug = record->stop_begun && facts->want->kill;
	uint64_t over = record->stop_begun + facts->want->grace;
	struct instance_decision decision;

	if (plug && facts->now >= over)
		return when_due(facts, INSTANCE_KILL, "it was not killed; it is tried again");
	/* The button was pressed, and the guest may take its time. */
	if (facts->view->in_flight == INSTANCE_STOP)
		decision = decide(INSTANCE_NOTHING, "its guest shuts down");
	else
		decision = when_due(facts, INSTANCE_STOP, "it did not stop; it is tried again");
	if (!plug || decision.step == INSTANCE_STOP)
		return decision;
	return wait_until(decision.step == INSTANCE_WAIT ? min_u64(decision.until, over) : over,
			  decision.why);
}

/* On no host, or on one that would not have it. */
static struct instance_decision place(const struct facts *facts)
{
	const struct attempt *attempt = &facts->record->attempt;

	if (facts->now < attempt->not_before)
		return wait_until(attempt->not_before, "it has no host; one is looked for again");
	return decide(INSTANCE_PLACE, "");
}

/* What the record has under way, without an answer: is it still to be done? */
static bool is_wanted_still(const struct facts *facts)
{
	const struct instance_want *want = facts->want;
	enum instance_step step = doing(facts->record);

	if (step == INSTANCE_FORGET)
		return want->wanted == INSTANCE_GONE;
	if (brings_down(step))
		return want->wanted != INSTANCE_RUNNING;
	return want->wanted == INSTANCE_RUNNING &&
	       facts->record->attempt.generation == want->generation;
}

static struct instance_decision again(const struct facts *facts)
{
	enum instance_step step = doing(facts->record);

	if (brings_up(step))
		return bring_up(facts, step);
	if (step == INSTANCE_STOP)
		return bring_down(facts);
	return when_due(facts, step, "there was no answer; it is asked again");
}

/* ---- what is wanted ---- */

static bool may_go_elsewhere(const struct facts *facts)
{
	const struct instance_record *record = facts->record;

	return record->refused && !record->generation && is_settled(record, &facts->view->sight);
}

static struct instance_decision next_absent(const struct facts *facts)
{
	return may_go_elsewhere(facts) ? place(facts) : bring_up(facts, INSTANCE_LAUNCH);
}

static struct instance_decision next_down(const struct facts *facts)
{
	const struct instance_record *record = facts->record;

	/* To its host it is to run, with the volumes that it had: it lets go of them first. */
	if (facts->view->detach_volumes && !is_out(facts->view->sight.state))
		return when_due(facts, INSTANCE_STOP, "it did not stop; it is tried again");
	return bring_up(facts, record->generation == facts->want->generation ? INSTANCE_START
									     : INSTANCE_LAUNCH);
}

static struct instance_decision next_runs(const struct facts *facts)
{
	const struct instance_record *record = facts->record;

	if (record->reboots < facts->want->reboots)
		return when_due(facts, INSTANCE_REBOOT, "it was not reset; it is tried again");
	return decide(INSTANCE_NOTHING, "");
}

static struct instance_decision next_running(const struct facts *facts)
{
	switch (facts->view->sight.state) {
	case INSTANCE_ABSENT:
		return next_absent(facts);
	case INSTANCE_RUNS:
		return next_runs(facts);
	case INSTANCE_RESTARTS:
		return decide(INSTANCE_NOTHING, "its host starts it again");
	case INSTANCE_ENDED:
		/* A stop that was not answered may have come after the start. */
		if (facts->record->starts >= facts->want->starts && !facts->record->stop_loose)
			return decide(INSTANCE_NOTHING, "it has ended by itself");
		return next_down(facts);
	default:
		return next_down(facts);
	}
}

/* One that has failed or waits for keys is stopped too: to its host it is one that is to run. */
static struct instance_decision next_stopped(const struct facts *facts)
{
	if (is_out(facts->view->sight.state))
		return decide(INSTANCE_NOTHING, "");
	return bring_down(facts);
}

static struct instance_decision remove_it(const struct facts *facts)
{
	if (facts->view->detach_volumes)
		return decide(INSTANCE_DETACH_VOLUMES, "volumes are detached first");
	return decide(INSTANCE_REMOVE, "");
}

static struct instance_decision next_gone(const struct facts *facts)
{
	enum instance_seen state = facts->view->sight.state;
	uint64_t settles = attempt_settles(&facts->record->attempt, INSTANCE_LAUNCH);

	if (state == INSTANCE_RUNS || state == INSTANCE_RESTARTS)
		return bring_down(facts);
	if (state != INSTANCE_ABSENT)
		return when_due(facts, INSTANCE_FORGET, "it was not forgotten; it is tried again");
	/* A launch may be on its way still, and nobody would know what it has made. */
	if (facts->now < settles)
		return wait_until(settles, "a launch that was not answered may still come");
	if (!is_settled(facts->record, &facts->view->sight))
		return decide(INSTANCE_LOOK, "");
	return remove_it(facts);
}

static struct instance_decision next_unplaced(const struct facts *facts)
{
	if (facts->want->wanted == INSTANCE_RUNNING)
		return place(facts);
	return facts->want->wanted == INSTANCE_STOPPED ? decide(INSTANCE_NOTHING, "")
						       : remove_it(facts);
}

static struct instance_decision next_placed(const struct facts *facts)
{
	enum instance_step in_flight = facts->view->in_flight;
	enum instance_wanted wanted = facts->want->wanted;

	if (facts->view->lost && wanted == INSTANCE_GONE)
		return remove_it(facts);
	if (!facts->view->reachable)
		return decide(INSTANCE_NOTHING, "its host does not answer");
	/* Only a plug is pulled while something else is under way. */
	if (in_flight == INSTANCE_STOP && doing(facts->record) == INSTANCE_STOP &&
	    wanted != INSTANCE_RUNNING)
		return bring_down(facts);
	if (in_flight)
		return decide(INSTANCE_NOTHING, "");
	if (doing(facts->record) && is_wanted_still(facts))
		return again(facts);
	if (!is_fresh(facts->record, &facts->view->sight))
		return decide(INSTANCE_LOOK, "");
	if (wanted == INSTANCE_RUNNING)
		return next_running(facts);
	return wanted == INSTANCE_STOPPED ? next_stopped(facts) : next_gone(facts);
}

struct instance_decision instance_next(const struct instance_record *record,
				       const struct instance_want *want,
				       const struct instance_view *view, uint64_t now)
{
	const struct facts facts = {.record = record, .want = want, .view = view, .now = now};

	return record->placed ? next_placed(&facts) : next_unplaced(&facts);
}

/* ---- what becomes of a step ---- */

void instance_begin(struct instance_record *record, const struct instance_want *want,
		    enum instance_step step, uint64_t now)
{
	struct attempt *attempt = &record->attempt;
	uint32_t before = attempt->number;

	if (brings_down(doing(record)) && step != doing(record))
		record->stop_loose = attempt->sent;
	if (brings_up(doing(record)) &&
	    (step != doing(record) || attempt->generation != want->generation))
		attempt_give_up(attempt);
	if (!is_same_try(step, (enum instance_step)attempt->last)) {
		attempt->failures = 0;
		attempt->not_before = 0;
	}
	attempt_begin(attempt, (uint8_t)step, want->generation, now);
	/* Asked again, it does what it did when it was asked first. */
	if (attempt->number != before) {
		record->doing_starts = want->starts;
		record->doing_reboots = want->reboots;
	}
	if (step == INSTANCE_LAUNCH)
		record->refused = false;
	if (brings_up(step)) {
		record->failure_counted = false;
		record->stop_begun = 0;
		record->starts = 0;
	}
	if (brings_down(step) && !record->stop_begun)
		record->stop_begun = now;
	/* It is not to stay so. */
	if (brings_down(step) && want->wanted == INSTANCE_RUNNING)
		record->starts = 0;
}

void instance_id(const struct instance_record *record, const uint8_t uid[ATTEMPT_UID_SIZE],
		 uint8_t id[ATTEMPT_ID_SIZE])
{
	const struct attempt *attempt = &record->attempt;

	attempt_id(uid, attempt->generation, attempt->doing, attempt->number, id);
}

static void done(struct instance_record *record, enum instance_step step, uint64_t now)
{
	if (!brings_up(step))
		record->attempt.failures = 0;
	if (step == INSTANCE_LAUNCH)
		record->generation = record->attempt.generation;
	if (step == INSTANCE_REBOOT)
		record->reboots = record->doing_reboots;
	if (!brings_up(step))
		return;
	record->starts = record->doing_starts;
	record->reboots = record->doing_reboots;
	record->started = now;
}

bool instance_answered(struct instance_record *record, uint32_t number,
		       enum attempt_outcome outcome, uint64_t now, uint64_t random)
{
	enum instance_step step = doing(record);

	if (!attempt_answered(&record->attempt, number, outcome, now, random))
		return false;
	if (outcome == ATTEMPT_DONE)
		done(record, step, now);
	if (brings_up(step) && outcome == ATTEMPT_REFUSED)
		record->failure_counted = true;
	if (step == INSTANCE_LAUNCH && outcome == ATTEMPT_REFUSED)
		record->refused = true;
	return true;
}

void instance_placed(struct instance_record *record, bool fits, uint64_t now, uint64_t random)
{
	record->attempt.changed = now;
	if (!fits) {
		attempt_failed(&record->attempt, now, random);
		return;
	}
	record->placed = true;
	record->refused = false;
	record->generation = 0;
}

void instance_resume(struct instance_record *record, uint64_t now)
{
	attempt_resume(&record->attempt, now);
	record->started = min_u64(record->started, now);
	record->stop_begun = record->stop_begun ? now : 0;
	record->stop_loose = record->stop_loose ? now : 0;
}

bool instance_is_down(const struct instance_record *record, const struct instance_sight *sight)
{
	if (!record->placed)
		return true;
	return is_fresh(record, sight) && is_out(sight->state) && is_settled(record, sight) &&
	       sight->asked >= attempt_settles(&record->attempt, INSTANCE_START);
}
