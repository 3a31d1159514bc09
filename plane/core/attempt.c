/* SPDX-License-Identifier: Apache-2.0 */
#include "attempt.h"

#include "base/base.h"

#define ROUNDS 6u

static uint64_t take(const uint8_t bytes[8])
{
	uint64_t value = 0;

	for (unsigned i = 0; i < 8; i++)
		value = value << 8 | bytes[i];
	return value;
}

static void put(uint8_t bytes[8], uint64_t value)
{
	for (unsigned i = 0; i < 8; i++)
		bytes[i] = (uint8_t)(value >> (56 - 8 * i));
}

/* Each bit of what goes in changes about half of those that come out. */
static uint64_t mix(uint64_t value)
{
	value = (value ^ value >> 32) * 0xd6e8feb86659fd93u;
	value = (value ^ value >> 29) * 0x9e3779b97f4a7c15u;
	return value ^ value >> 32;
}

/*
 * A Feistel network over (generation, step and attempt), keyed by the uid: whatever its round
 * function, it is a permutation, so that two different inputs of one uid never meet. Nothing here
 * is secret or has to be: identifiers count per caller, who is authenticated.
 */
void attempt_id(const uint8_t uid[ATTEMPT_UID_SIZE], uint64_t generation, uint8_t step,
		uint32_t number, uint8_t id[ATTEMPT_ID_SIZE])
{
	const uint64_t key[2] = {take(uid), take(uid + 8)};
	uint64_t one = generation, other = (uint64_t)step << 32 | number;

	for (uint64_t round = 0; round < ROUNDS; round++) {
		uint64_t next = one ^ mix(other ^ mix(key[round % 2] + round));

		one = other;
		other = next;
	}
	put(id, one);
	put(id + 8, other);
}

uint64_t attempt_pause(uint32_t failures, uint64_t random)
{
	uint64_t pause = ATTEMPT_PAUSE_FIRST;

	if (!failures)
		return 0;
	for (uint32_t i = 1; i < failures && pause < ATTEMPT_PAUSE_MOST; i++)
		pause *= 2;
	pause = min_u64(pause, ATTEMPT_PAUSE_MOST);
	return pause - random % (pause / 2 + 1);
}

void attempt_begin(struct attempt *attempt, uint8_t step, uint64_t generation, uint64_t now)
{
	if (attempt->doing != step || attempt->generation != generation) {
		attempt->number++;
		attempt->doing = step;
		attempt->generation = generation;
	}
	attempt->last = step;
	attempt->sent = now;
	attempt->changed = now;
}

void attempt_give_up(struct attempt *attempt)
{
	attempt->loose = max_u64(attempt->loose, attempt->sent);
	attempt->doing = 0;
}

void attempt_failed(struct attempt *attempt, uint64_t now, uint64_t random)
{
	if (attempt->failures < UINT32_MAX)
		attempt->failures++;
	attempt->not_before = now + attempt_pause(attempt->failures, random);
}

bool attempt_answered(struct attempt *attempt, uint32_t number, enum attempt_outcome outcome,
		      uint64_t now, uint64_t random)
{
	if (!attempt->doing || attempt->number != number)
		return false;
	attempt->changed = now;
	if (outcome == ATTEMPT_DONE)
		attempt->not_before = 0;
	else
		attempt_failed(attempt, now, random);
	if (outcome != ATTEMPT_UNANSWERED)
		attempt->doing = 0;
	return true;
}

void attempt_resume(struct attempt *attempt, uint64_t now)
{
	attempt->sent = now;
	attempt->loose = attempt->loose ? now : 0;
	attempt->not_before = min_u64(attempt->not_before, now + ATTEMPT_PAUSE_MOST);
	attempt->changed = now;
}

uint64_t attempt_settles(const struct attempt *attempt, uint8_t step)
{
	uint64_t sent = attempt->doing == step ? attempt->sent : 0;

	sent = max_u64(sent, attempt->loose);
	return sent ? sent + ATTEMPT_SETTLED : 0;
}
