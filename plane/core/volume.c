/* SPDX-License-Identifier: Apache-2.0 */
#include "volume.h"

#include <string.h>

#include "base/base.h"

struct facts {
	const struct volume_record *record;
	const struct volume_want *want;
	const struct volume_view *view;
	uint64_t now;
};

static struct volume_decision decide(enum volume_step step, const char *why)
{
	return (struct volume_decision){.step = step, .why = why};
}

static struct volume_decision wait_until(uint64_t until, const char *why)
{
	return (struct volume_decision){.step = VOLUME_WAIT, .until = until, .why = why};
}

bool volume_step_is_request(enum volume_step step)
{
	return step >= VOLUME_CREATE && step <= VOLUME_DELETE;
}

const char *volume_state_name(enum volume_state state)
{
	static const char *const names[] = {
		[VOLUME_CREATING] = "creating",	  [VOLUME_AVAILABLE] = "available",
		[VOLUME_ATTACHING] = "attaching", [VOLUME_ATTACHED] = "attached",
		[VOLUME_DETACHING] = "detaching", [VOLUME_DELETING] = "deleting",
		[VOLUME_GONE] = "gone",
	};

	return names[state];
}

static bool is_held(const struct volume_record *record)
{
	return record->state >= VOLUME_ATTACHING && record->state <= VOLUME_DETACHING;
}

static bool is_holder(const struct volume_record *record, const uint8_t uid[ATTEMPT_UID_SIZE])
{
	return !memcmp(record->holder, uid, ATTEMPT_UID_SIZE);
}

/* Where it is, is where it is to be. */
static bool is_in_place(const struct volume_record *record, const struct volume_want *want)
{
	return want->held && is_holder(record, want->holder) && record->slot == want->slot;
}

static bool is_fresh(const struct volume_record *record, const struct volume_view *view)
{
	return view->card != VOLUME_UNSEEN && view->asked > record->attempt.changed;
}

static bool has_card(const struct volume_view *view)
{
	return view->card == VOLUME_CARD || view->card == VOLUME_FAILED_CARD;
}

/* ---- what was seen ---- */

bool volume_saw(struct volume_record *record, const struct volume_view *view)
{
	enum volume_state state = (enum volume_state)record->state;

	if (!is_fresh(record, view) || !view->lives)
		return false;
	if (state == VOLUME_ATTACHING && has_card(view) && !record->attempt.doing)
		record->state = VOLUME_ATTACHED;
	/* Its host has started the instance again without it, or given up on its card. */
	else if (state == VOLUME_ATTACHED && view->card == VOLUME_NO_CARD)
		record->state = VOLUME_ATTACHING;
	return record->state != state;
}

/* ---- steps ---- */

static struct volume_decision request(const struct facts *facts, enum volume_step step)
{
	const struct attempt *attempt = &facts->record->attempt;
	bool keys = step == VOLUME_CREATE || step == VOLUME_ATTACH;

	if (!facts->view->reachable)
		return decide(VOLUME_NOTHING, "its host does not answer");
	if (keys && !(facts->view->usable && facts->view->keys))
		return decide(VOLUME_NOTHING, "it needs its key, which goes to trusted hosts only");
	if (attempt->last == step && facts->now < attempt->not_before)
		return wait_until(attempt->not_before, "it did not work; it is tried again");
	return decide(step, "");
}

static struct volume_decision next_creating(const struct facts *facts)
{
	const struct attempt *attempt = &facts->record->attempt;

	/* Until it is known what has come of it there is nothing to delete for good. */
	if (!facts->want->gone || attempt->doing)
		return request(facts, VOLUME_CREATE);
	return attempt->number ? request(facts, VOLUME_DELETE) : decide(VOLUME_REMOVE, "");
}

/* Its host has no room, perhaps, and may never have: that is no reason to keep what it holds from
 * who is to have it. */
static bool has_not_grown(const struct volume_record *record)
{
	return record->attempt.last == VOLUME_RESIZE && record->attempt.failures;
}

static struct volume_decision next_available(const struct facts *facts)
{
	const struct volume_want *want = facts->want;

	if (facts->record->attempt.doing == VOLUME_RESIZE)
		return request(facts, VOLUME_RESIZE);
	if (want->gone && facts->now < want->gone_at)
		return wait_until(want->gone_at, "it can be had back until then");
	if (want->gone)
		return request(facts, VOLUME_DELETE);
	if (want->size > facts->record->size && !(want->held && has_not_grown(facts->record)))
		return request(facts, VOLUME_RESIZE);
	return want->held ? decide(VOLUME_BIND, "") : decide(VOLUME_NOTHING, "");
}

/* An attach that nobody has answered may make a card of it as long as it is under way. */
static struct volume_decision release(const struct facts *facts)
{
	uint64_t settles = attempt_settles(&facts->record->attempt, VOLUME_ATTACH);

	if (facts->now < settles)
		return wait_until(settles, "an attach that was not answered may still come");
	if (facts->view->lives && facts->view->asked < settles)
		return decide(VOLUME_LOOK, "");
	return decide(VOLUME_RELEASE, "");
}

static struct volume_decision next_detaching(const struct facts *facts)
{
	if (facts->view->down || facts->view->lost)
		return release(facts);
	if (!facts->view->reachable)
		return decide(VOLUME_NOTHING, "its host does not answer");
	if (!facts->view->lives || !is_fresh(facts->record, facts->view))
		return decide(VOLUME_LOOK, "");
	if (has_card(facts->view))
		return request(facts, VOLUME_DETACH);
	if (facts->record->in_specification)
		return decide(VOLUME_NOTHING, "its instance was launched with it: once that stops");
	return release(facts);
}

/* A host that has a card of it already, or no such instance any more, says so. */
static struct volume_decision next_attaching(const struct facts *facts)
{
	if (!facts->view->reachable)
		return decide(VOLUME_NOTHING, "its host does not answer");
	if (facts->view->down)
		return decide(VOLUME_NOTHING, "its instance does not run");
	if (!facts->view->lives)
		return decide(VOLUME_LOOK, "");
	if (facts->record->attempt.last == VOLUME_BIND && !facts->record->in_specification)
		return request(facts, VOLUME_ATTACH);
	if (!is_fresh(facts->record, facts->view))
		return decide(VOLUME_LOOK, "");
	return has_card(facts->view) ? decide(VOLUME_NOTHING, "") : request(facts, VOLUME_ATTACH);
}

static struct volume_decision next_attached(const struct facts *facts)
{
	/* Its guest has lost a disk: what becomes of that is for people to say. */
	if (facts->view->card == VOLUME_FAILED_CARD)
		return decide(VOLUME_NOTHING,
			      facts->record->in_specification
				      ? "its card has failed: stop its instance, and start it again"
				      : "its card has failed: detach it, and attach it again");
	if (facts->want->size > facts->record->size && facts->view->lives)
		return request(facts, VOLUME_RESIZE);
	return decide(VOLUME_NOTHING, "");
}

static struct volume_decision next_held(const struct facts *facts)
{
	const struct volume_record *record = facts->record;

	if (!is_in_place(record, facts->want))
		return next_detaching(facts);
	/* It was to leave, and is wanted there again. */
	if (record->state == VOLUME_DETACHING)
		return decide(VOLUME_BIND, "");
	/* To a holder that does not run any more nothing is attached. */
	if (record->attempt.doing == VOLUME_ATTACH && facts->view->lives)
		return request(facts, VOLUME_ATTACH);
	return record->state == VOLUME_ATTACHED ? next_attached(facts) : next_attaching(facts);
}

struct volume_decision volume_next(const struct volume_record *record,
				   const struct volume_want *want, const struct volume_view *view,
				   uint64_t now)
{
	const struct facts facts = {.record = record, .want = want, .view = view, .now = now};

	if (view->in_flight)
		return decide(VOLUME_NOTHING, "");
	if (is_held(record))
		return next_held(&facts);
	if (view->lost && want->gone && (record->state == VOLUME_CREATING || now >= want->gone_at))
		return decide(VOLUME_REMOVE, "");
	switch (record->state) {
	case VOLUME_CREATING:
		return next_creating(&facts);
	case VOLUME_AVAILABLE:
		return next_available(&facts);
	case VOLUME_DELETING:
		return request(&facts, VOLUME_DELETE);
	default:
		return decide(VOLUME_REMOVE, "");
	}
}

/* ---- what becomes of a step ---- */

/* Of one that nobody had there is no card: it can be attached to a holder that was last seen to
 * run, without another look, which would take longer than all else of it. */
static void bind(struct volume_record *record, const struct volume_want *want)
{
	if (record->state == VOLUME_AVAILABLE)
		record->attempt.last = VOLUME_BIND;
	record->state = VOLUME_ATTACHING;
	record->slot = want->slot;
	if (record->attempt.doing == VOLUME_DETACH)
		record->attempt.doing = VOLUME_NOTHING;
	memcpy(record->holder, want->holder, ATTEMPT_UID_SIZE);
}

static void release_now(struct volume_record *record)
{
	record->state = VOLUME_AVAILABLE;
	record->slot = 0;
	record->in_specification = false;
	record->attempt.doing = VOLUME_NOTHING;
	record->attempt.loose = 0;
	memset(record->holder, 0, ATTEMPT_UID_SIZE);
}

static void begin_request(struct volume_record *record, const struct volume_want *want,
			  enum volume_step step, uint64_t now)
{
	struct attempt *attempt = &record->attempt;
	uint32_t before = attempt->number;

	if (attempt->doing == VOLUME_ATTACH &&
	    (step != VOLUME_ATTACH || attempt->generation != want->generation))
		attempt_give_up(attempt);
	if (attempt->last != step) {
		attempt->failures = 0;
		attempt->not_before = 0;
	}
	attempt_begin(attempt, (uint8_t)step, want->generation, now);
	/* One that may be there already has the size that was asked for first; it grows then. */
	if (attempt->number != before && !(step == VOLUME_CREATE && record->doing_size))
		record->doing_size = want->size;
	if (step == VOLUME_DETACH)
		record->state = VOLUME_DETACHING;
	if (step == VOLUME_DELETE)
		record->state = VOLUME_DELETING;
}

void volume_begin(struct volume_record *record, const struct volume_want *want,
		  enum volume_step step, uint64_t now)
{
	if (step == VOLUME_BIND)
		bind(record, want);
	else if (step == VOLUME_RELEASE)
		release_now(record);
	else
		begin_request(record, want, step, now);
	record->attempt.changed = now;
}

void volume_id(const struct volume_record *record, const uint8_t uid[ATTEMPT_UID_SIZE],
	       uint8_t id[ATTEMPT_ID_SIZE])
{
	const struct attempt *attempt = &record->attempt;

	attempt_id(uid, attempt->generation, attempt->doing, attempt->number, id);
}

bool volume_answered(struct volume_record *record, uint32_t number, enum attempt_outcome outcome,
		     uint64_t now, uint64_t random)
{
	enum volume_step step = (enum volume_step)record->attempt.doing;

	if (!attempt_answered(&record->attempt, number, outcome, now, random))
		return false;
	if (outcome != ATTEMPT_DONE)
		return true;
	record->attempt.failures = 0;
	if (step == VOLUME_CREATE || step == VOLUME_RESIZE)
		record->size = record->doing_size;
	if (step == VOLUME_CREATE)
		record->state = VOLUME_AVAILABLE;
	else if (step == VOLUME_ATTACH && record->state == VOLUME_ATTACHING)
		record->state = VOLUME_ATTACHED;
	else if (step == VOLUME_DELETE)
		record->state = VOLUME_GONE;
	return true;
}

void volume_launched(struct volume_record *record)
{
	record->in_specification = true;
}

void volume_resume(struct volume_record *record, uint64_t now)
{
	attempt_resume(&record->attempt, now);
}

/* ---- what may be asked for ---- */

const char *volume_may_attach(const struct volume_record *record, const struct volume_want *want,
			      const struct volume_holder *holder)
{
	bool there = is_held(record) && is_holder(record, holder->uid);

	if (want->gone || record->state >= VOLUME_DELETING)
		return "the volume is being deleted";
	if (holder->gone)
		return "the instance is being terminated";
	if (want->held && memcmp(want->holder, holder->uid, ATTEMPT_UID_SIZE) != 0)
		return "the volume is another instance's; detach it there first";
	if (want->held)
		return NULL;
	if (is_held(record) && !there)
		return "the volume is still being detached from another instance";
	if (!holder->key)
		return "the volume's key was deleted, and its data with it";
	if (!holder->same_host)
		return "the volume is on another host";
	return volume_choose_slot(holder->slots) ? NULL : "the instance has no free slot";
}

const char *volume_may_delete(const struct volume_record *record, const struct volume_want *want)
{
	if (want->held || is_held(record))
		return "the volume is attached; detach it first";
	return NULL;
}

const char *volume_may_resize(const struct volume_record *record, const struct volume_want *want,
			      uint64_t size)
{
	if (want->gone || record->state >= VOLUME_DELETING)
		return "the volume is being deleted";
	if (size < record->size || (size < want->size && record->state == VOLUME_CREATING))
		return "a volume never shrinks";
	/* What was too much can be taken back, but not while it may come yet. */
	if (size < want->size && record->attempt.doing == VOLUME_RESIZE)
		return "the volume may be growing already; wait until it is as large, or refused";
	return NULL;
}

unsigned volume_choose_slot(uint32_t slots)
{
	uint32_t taken = slots | 1;

	return ~taken ? (unsigned)__builtin_ctz(~taken) : 0;
}
