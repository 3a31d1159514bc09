/* SPDX-License-Identifier: Apache-2.0 */
#include "world.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"

/* SplitMix64. */
uint64_t random_next(struct random *random)
{
	uint64_t z = random->state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

uint64_t random_below(struct random *random, uint64_t most)
{
	return random_next(random) % most;
}

bool random_chance(struct random *random, unsigned percent)
{
	return random_below(random, 100) < percent;
}

const char *unit_name(enum unit_state state)
{
	static const char *const names[] = {"absent",	  "starting", "running", "ended",
					    "restarting", "keyless",  "failed"};

	return names[state];
}

const char *verb_text(enum verb verb)
{
	static const char *const names[] = {"list",   "launch", "start",  "stop",
					    "kill",   "reset",	"forget", "attach",
					    "detach", "create", "resize", "delete"};

	return names[verb];
}

void world_fail(struct world *world, const char *format, ...)
{
	size_t length;
	va_list args;

	if (world->failure[0])
		return;
	length = (size_t)snprintf(world->failure, sizeof(world->failure),
				  "at %llu ms: ", (unsigned long long)world->now);
	va_start(args, format);
	vsnprintf(world->failure + length, sizeof(world->failure) - length, format, args);
	va_end(args);
}

void world_open(struct world *world, uint64_t seed)
{
	*world = (struct world){.random.state = seed, .now = 1000000};
	for (size_t i = 0; i < HOSTS; i++)
		world->hosts[i].tpm = i < 2 || random_chance(&world->random, 70);
}

/* ---- the network ---- */

static void put(struct world *world, const struct message *message, uint64_t delay)
{
	for (size_t i = 0; i < MESSAGES; i++) {
		struct message *place = &world->messages[i];

		if (place->used)
			continue;
		*place = *message;
		place->used = true;
		place->at = world->now + delay;
		if (world->message_end <= i)
			world->message_end = i + 1;
		return;
	}
	world_fail(world, "%u messages are on their way", MESSAGES);
}

static uint64_t delay(struct world *world)
{
	if (world->calm)
		return 1 + random_below(&world->random, 20);
	if (random_chance(&world->random, 4))
		return random_below(&world->random, DELAY_MOST);
	return random_below(&world->random, random_chance(&world->random, 20) ? 5000 : 100);
}

static void put_somehow(struct world *world, const struct message *message)
{
	if (!world->calm && random_chance(&world->random, 8))
		return;
	put(world, message, delay(world));
	if (!world->calm && random_chance(&world->random, 8))
		put(world, message, delay(world));
}

void world_send(struct world *world, const struct message *request)
{
	if (world->trace && request->verb != LIST)
		printf("%llu plane %u: %s i%u v%u on h%u, number %u, generation %llu, cards %x\n",
		       (unsigned long long)world->now, request->plane, verb_text(request->verb),
		       request->instance, request->volume, request->host, request->number,
		       (unsigned long long)request->generation, request->cards);
	put_somehow(world, request);
}

static void answer(struct world *world, const struct message *request, int code)
{
	struct message message = *request;

	message.is_answer = true;
	message.code = code;
	put_somehow(world, &message);
}

/* ---- a host's memory of requests ---- */

static struct operation *find(struct host *host, const uint8_t id[16])
{
	for (size_t i = 0; i < OPERATIONS; i++) {
		if (host->operations[i].used && !memcmp(host->operations[i].id, id, 16))
			return &host->operations[i];
	}
	return NULL;
}

static struct operation *remember(struct world *world, struct host *host,
				  const struct message *request)
{
	struct operation *place = NULL;

	for (size_t i = 0; i < OPERATIONS; i++) {
		struct operation *operation = &host->operations[i];

		if (operation->used && operation->done &&
		    world->now - operation->finished > REMEMBERED_MS)
			operation->used = false;
		if (!operation->used) {
			place = operation;
			break;
		}
		if (operation->done && (!place || operation->order < place->order))
			place = operation;
	}
	if (!place) {
		world_fail(world, "a host has too much under way");
		return NULL;
	}
	*place = (struct operation){.used = true,
				    .verb = request->verb,
				    .instance = request->instance,
				    .volume = request->volume,
				    .order = ++host->last_order};
	memcpy(place->id, request->id, 16);
	return place;
}

static void finish(struct world *world, struct operation *operation, int code)
{
	operation->done = true;
	operation->code = code;
	operation->finished = world->now;
	for (size_t i = 0; i < operation->waiting_count; i++)
		answer(world, &operation->waiting[i], code);
	operation->waiting_count = 0;
}

static void wait_for(struct operation *operation, const struct message *request)
{
	if (operation->waiting_count < WAITING)
		operation->waiting[operation->waiting_count++] = *request;
}

/* All that wait for the end of an instance, or for its being up. */
static void finish_all(struct world *world, struct host *host, unsigned instance, bool up, int code)
{
	for (size_t i = 0; i < OPERATIONS; i++) {
		struct operation *operation = &host->operations[i];
		bool is_up = operation->verb == LAUNCH || operation->verb == START;

		if (operation->used && !operation->done && operation->instance == instance &&
		    is_up == up)
			finish(world, operation, code);
	}
}

/* ---- instances of a host ---- */

static bool is_live(const struct unit *unit)
{
	return unit->state == STARTING || unit->state == RUNNING;
}

/* No volume has two writers, or is not there. */
static void check_writers(struct world *world)
{
	uint32_t taken = 0;

	for (size_t i = 0; i < HOSTS; i++) {
		for (size_t j = 0; j < INSTANCES; j++) {
			const struct unit *unit = &world->hosts[i].units[j];

			if (unit->cards & taken)
				world_fail(world, "a volume has two writers");
			if (unit->cards & ~world->hosts[i].volumes)
				world_fail(world, "a volume is used that is not there");
			taken |= unit->cards;
		}
	}
}

/* No instance lives twice. */
static void check_alone(struct world *world, unsigned instance)
{
	unsigned count = 0;

	for (size_t i = 0; i < HOSTS; i++)
		count += is_live(&world->hosts[i].units[instance]);
	if (count > 1)
		world_fail(world, "instance %u runs on %u hosts", instance, count);
}

static void begin(struct world *world, struct unit *unit, unsigned instance)
{
	unit->before = unit->state;
	unit->state = STARTING;
	unit->stopping = false;
	unit->powered_off = false;
	unit->wanted = true;
	unit->will_fail = !world->calm && random_chance(&world->random, 10);
	unit->deaf = !world->calm && random_chance(&world->random, 20);
	unit->until = world->now + 200 + random_below(&world->random, 4000);
	unit->cards = unit->specification;
	check_alone(world, instance);
	check_writers(world);
}

static void end(struct world *world, struct host *host, unsigned instance)
{
	struct unit *unit = &host->units[instance];
	bool ordered = unit->state == STARTING && unit->before != RESTARTING;

	unit->state = ENDED;
	unit->cards = 0;
	/* What is to run, whoever orders it, is that afterwards, if its host has not forgotten. */
	if (ordered && (unit->before == KEYLESS || unit->before == FAILED) &&
	    random_chance(&world->random, 50)) {
		unit->state = FAILED;
		unit->wanted = true;
	}
	if (ordered && unit->before == ABSENT)
		*unit = (struct unit){0};
	else if (ordered) {
		unit->generation = unit->before_generation;
		unit->specification = unit->before_specification;
	}
	unit->stopping = false;
	finish_all(world, host, instance, true, EIO);
	finish_all(world, host, instance, false, 0);
}

static void turn_unit(struct world *world, struct host *host, unsigned instance)
{
	struct unit *unit = &host->units[instance];

	if (world->now < unit->until)
		return;
	if (unit->state == STARTING && unit->will_fail && unit->before != RESTARTING) {
		unit->wanted = false;
		end(world, host, instance);
	} else if (unit->state == STARTING) {
		unit->state = RUNNING;
		finish_all(world, host, instance, true, 0);
	} else if (unit->state == RESTARTING) {
		begin(world, unit, instance);
	} else if (unit->state == RUNNING && unit->stopping && (!unit->deaf || world->calm)) {
		end(world, host, instance);
	}
}

/* ---- verbs ---- */

static int launch(struct world *world, struct host *host, struct operation *operation,
		  const struct message *request)
{
	struct unit *unit = &host->units[request->instance];
	uint64_t before = unit->generation;

	if (is_live(unit) || unit->state == RESTARTING)
		return EEXIST;
	if (host->quarantined)
		return EPERM;
	if (!world->calm && random_chance(&world->random, 15))
		return ENOMEM;
	if (request->keys && !host->tpm)
		world_fail(world, "a host without a TPM got keys");
	unit->before_specification = unit->specification;
	unit->specification = request->cards;
	begin(world, unit, request->instance);
	unit->before_generation = before;
	unit->generation = request->generation;
	unit->needs_keys = request->keys;
	memcpy(unit->id, operation->id, 16);
	return -1;
}

static int start(struct world *world, struct host *host, const struct message *request)
{
	struct unit *unit = &host->units[request->instance];

	if (unit->state == ABSENT)
		return ESRCH;
	if (is_live(unit))
		return EBUSY;
	if (host->quarantined)
		return EPERM;
	if (unit->needs_keys != request->keys)
		return EINVAL;
	if (request->keys && !host->tpm)
		world_fail(world, "a host without a TPM got keys");
	begin(world, unit, request->instance);
	unit->before_generation = unit->generation;
	unit->before_specification = unit->specification;
	return -1;
}

static int stop(struct world *world, struct host *host, const struct message *request)
{
	struct unit *unit = &host->units[request->instance];
	bool was_starting = unit->state == STARTING;

	if (unit->state == ABSENT || unit->state == ENDED)
		return ESRCH;
	unit->wanted = false;
	if (!is_live(unit)) {
		unit->state = ENDED;
		return 0;
	}
	if (request->verb == KILL || was_starting) {
		end(world, host, request->instance);
		return 0;
	}
	unit->stopping = true;
	unit->until = world->now + random_below(&world->random, 8000);
	return -1;
}

static int forget(struct host *host, const struct message *request)
{
	struct unit *unit = &host->units[request->instance];

	if (unit->state == ABSENT)
		return ESRCH;
	if (is_live(unit) || unit->state == RESTARTING)
		return EBUSY;
	*unit = (struct unit){0};
	return 0;
}

static int reset(struct host *host, const struct message *request)
{
	struct unit *unit = &host->units[request->instance];

	if (unit->state != RUNNING)
		return unit->state == STARTING ? EBUSY : ESRCH;
	unit->resets++;
	return 0;
}

static int attach(struct world *world, struct host *host, const struct message *request)
{
	struct unit *unit = &host->units[request->instance];
	uint32_t card = 1u << request->volume;

	if (unit->state != RUNNING)
		return ESRCH;
	if (unit->cards & card)
		return EEXIST;
	if (!world->calm && random_chance(&world->random, 10))
		return EIO;
	unit->cards |= card;
	check_writers(world);
	return 0;
}

static int detach(struct world *world, struct host *host, const struct message *request)
{
	struct unit *unit = &host->units[request->instance];
	uint32_t card = 1u << request->volume;

	if (unit->state != RUNNING || !(unit->cards & card))
		return ESRCH;
	if (!world->calm && random_chance(&world->random, 30))
		return ETIMEDOUT;
	unit->cards &= ~card;
	return 0;
}

/* What is there is as good as created, and what is not as deleted. */
static int change_volume(struct world *world, struct host *host, const struct message *request)
{
	uint32_t volume = 1u << request->volume;

	if (!world->calm && random_chance(&world->random, 20))
		return ENOSPC;
	if (request->verb == CREATE)
		host->volumes |= volume;
	else if (request->verb == DELETE)
		host->volumes &= ~volume;
	else if (!(host->volumes & volume))
		world_fail(world, "volume %u is resized and not there", request->volume);
	check_writers(world);
	return 0;
}

/* -1: it is answered later. */
static int carry_out(struct world *world, struct host *host, struct operation *operation,
		     const struct message *request)
{
	switch (request->verb) {
	case LAUNCH:
		return launch(world, host, operation, request);
	case START:
		return start(world, host, request);
	case STOP:
	case KILL:
		return stop(world, host, request);
	case RESET:
		return reset(host, request);
	case ATTACH:
		return attach(world, host, request);
	case DETACH:
		return detach(world, host, request);
	case CREATE:
	case RESIZE:
	case DELETE:
		return change_volume(world, host, request);
	default:
		return forget(host, request);
	}
}

static void list(struct world *world, const struct host *host, const struct message *request)
{
	struct message message = *request;

	for (size_t i = 0; i < INSTANCES; i++) {
		message.seen[i] = host->units[i].state;
		message.seen_cards[i] = host->units[i].cards;
	}
	message.quarantined = host->quarantined;
	answer(world, &message, 0);
}

static void receive(struct world *world, const struct message *request)
{
	struct host *host = &world->hosts[request->host];
	struct operation *operation;
	int code;

	if (host->down_until > world->now || host->cut_until > world->now)
		return;
	if (request->verb == LIST) {
		list(world, host, request);
		return;
	}
	operation = find(host, request->id);
	if (operation &&
	    (operation->verb != request->verb || operation->instance != request->instance)) {
		world_fail(world, "one identifier for two requests");
		return;
	}
	if (operation && operation->done) {
		answer(world, request, operation->code);
		return;
	}
	if (!operation) {
		operation = remember(world, host, request);
		if (!operation)
			return;
		code = carry_out(world, host, operation, request);
		if (code >= 0)
			finish(world, operation, code);
		if (code >= 0)
			answer(world, request, code);
		if (world->trace)
			printf("%llu h%u: %s i%u v%u: %d, %s, cards %x\n",
			       (unsigned long long)world->now, request->host,
			       verb_text(request->verb), request->instance, request->volume, code,
			       unit_name(host->units[request->instance].state),
			       host->units[request->instance].cards);
	}
	if (!operation->done)
		wait_for(operation, request);
}

/* ---- what breaks ---- */

/* Connections end with it, and what was in them; it has forgotten all requests when it is back. */
static void lose_power(struct world *world, unsigned index)
{
	struct host *host = &world->hosts[index];

	host->down_until = world->now + 1000 + random_below(&world->random, 60000);
	for (size_t i = 0; i < MESSAGES; i++) {
		if (world->messages[i].host == index)
			world->messages[i].used = false;
	}
	memset(host->operations, 0, sizeof(host->operations));
	for (unsigned i = 0; i < INSTANCES; i++) {
		struct unit *unit = &host->units[i];

		if (unit->state == ABSENT)
			continue;
		if (!unit->wanted)
			unit->state = ENDED;
		else
			unit->state = unit->needs_keys ? KEYLESS : RESTARTING;
		unit->until = host->down_until + 1;
		unit->stopping = false;
		unit->cards = 0;
	}
}

static void lose_instance(struct world *world, struct host *host, unsigned instance)
{
	struct unit *unit = &host->units[instance];

	if (unit->state != RUNNING)
		return;
	if (unit->stopping || random_chance(&world->random, 20)) {
		unit->powered_off = !unit->stopping;
		unit->wanted = false;
		end(world, host, instance);
	} else {
		unit->state = random_chance(&world->random, 30) ? FAILED : RESTARTING;
		unit->until = world->now + random_below(&world->random, 8000);
		unit->cards = 0;
	}
	if (unit->state == FAILED)
		finish_all(world, host, instance, false, 0);
	if (world->trace)
		printf("%llu i%u is lost: %s\n", (unsigned long long)world->now, instance,
		       unit_name(unit->state));
}

void world_disturb(struct world *world)
{
	unsigned index = (unsigned)random_below(&world->random, HOSTS);
	struct host *host = &world->hosts[index];

	switch (random_below(&world->random, 60)) {
	case 0:
		lose_power(world, index);
		break;
	case 1:
	case 2:
		host->cut_until = world->now + random_below(&world->random, 90000);
		break;
	case 3:
		host->quarantined = host->tpm && random_chance(&world->random, 30);
		break;
	case 4:
	case 5:
	case 6:
		lose_instance(world, host, (unsigned)random_below(&world->random, INSTANCES));
		break;
	default:
		break;
	}
}

void world_turn(struct world *world)
{
	for (size_t i = 0; i < world->message_end; i++) {
		struct message message = world->messages[i];

		if (!message.used || message.at > world->now)
			continue;
		world->messages[i].used = false;
		if (message.is_answer)
			world->answered(world->context, &message);
		else
			receive(world, &message);
	}
	while (world->message_end && !world->messages[world->message_end - 1].used)
		world->message_end--;
	for (size_t i = 0; i < HOSTS; i++) {
		if (world->hosts[i].down_until > world->now)
			continue;
		for (unsigned j = 0; j < INSTANCES; j++)
			turn_unit(world, &world->hosts[i], j);
	}
}
