/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is outside of the plane, for a simulation: hosts as karuta-controller-serve(8) has them, and
 * a network that loses, delays, doubles and reorders. Knows nothing of the plane's code: what is
 * true is told by this side alone.
 */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HOSTS	      4u
#define INSTANCES     6u
#define VOLUMES	      4u    /* all on the first host */
#define WAITING	      4u    /* requests of one identifier */
#define OPERATIONS    64u   /* that a host remembers */
#define MESSAGES      1024u /* on their way */
#define DELAY_MOST    60000u
#define REMEMBERED_MS 600000u

enum verb {
	LIST,
	LAUNCH,
	START,
	STOP,
	KILL,
	RESET,
	FORGET,
	ATTACH,
	DETACH,
	CREATE,
	RESIZE,
	DELETE
};
enum unit_state { ABSENT, STARTING, RUNNING, ENDED, RESTARTING, KEYLESS, FAILED };

struct random {
	uint64_t state;
};

uint64_t random_next(struct random *random);
/* Below `most`. */
uint64_t random_below(struct random *random, uint64_t most);
bool random_chance(struct random *random, unsigned percent);

struct message {
	bool used, is_answer;
	uint64_t at; /* when it arrives */
	unsigned plane, host, instance, volume;
	uint32_t cards; /* of LAUNCH: bit n, volume n */
	enum verb verb;
	uint8_t id[16];
	uint64_t generation;
	bool keys;
	uint32_t number; /* the plane's own, which an answer has from its request */
	uint64_t asked;
	int code;
	enum unit_state seen[INSTANCES]; /* of LIST */
	uint32_t seen_cards[INSTANCES];
	bool quarantined;
};

struct unit {
	enum unit_state state;
	bool wanted; /* to its host */
	bool needs_keys;
	uint64_t generation, until;
	uint32_t cards, specification, before_specification;
	enum unit_state before; /* of a start that fails */
	uint64_t before_generation;
	bool will_fail, stopping, deaf; /* its guest does not listen to the button */
	uint8_t id[16];			/* of the launch or start under way */
	unsigned resets;
	bool powered_off; /* by its guest */
};

struct operation {
	bool used, done;
	uint8_t id[16];
	enum verb verb;
	unsigned instance, volume;
	int code;
	uint64_t order, finished;
	struct message waiting[WAITING];
	size_t waiting_count;
};

struct host {
	bool tpm;
	bool quarantined;
	uint64_t down_until, cut_until; /* without power; without network */
	struct unit units[INSTANCES];
	uint32_t volumes; /* that it has */
	struct operation operations[OPERATIONS];
	uint64_t last_order;
};

struct world {
	struct random random;
	uint64_t now;
	bool calm; /* nothing is lost, late or breaks any more */
	bool trace;
	struct host hosts[HOSTS];
	struct message messages[MESSAGES];
	size_t message_end; /* behind the last that is used */
	/* The plane's side of a message that has arrived. */
	void (*answered)(void *context, const struct message *answer);
	void *context;
	char failure[256]; /* the first; "": none */
};

void world_open(struct world *world, uint64_t seed);
void world_send(struct world *world, const struct message *request);
/* Something breaks, perhaps. */
void world_disturb(struct world *world);
/* All that happens up to `now`. */
void world_turn(struct world *world);
__attribute__((format(printf, 2, 3))) void world_fail(struct world *world, const char *format, ...);
const char *unit_name(enum unit_state state);
const char *verb_text(enum verb verb);

#endif
