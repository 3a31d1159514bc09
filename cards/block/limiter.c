/* SPDX-License-Identifier: Apache-2.0 */
#include "limiter.h"

#include <errno.h>

#include "base/base.h"
#include "base/size.h"

#define SECOND UINT64_C(1000000000)

/* A rate times nanoseconds: beyond 64 bits within a day of sleep. */
__extension__ typedef unsigned __int128 wide;

/* ---- text ---- */

/* Moves *text behind the number; 0: there is none, or one that is out of range. */
static uint64_t parse_count(const char **text, bool sizes)
{
	uint64_t value;

	if (size_take(text, sizes, &value) < 0 || value > LIMITER_MAX)
		return 0;
	return value;
}

int limiter_parse(const char *text, bool sizes, struct limiter_rate *rate, struct error *error)
{
	const char *at = text;
	struct limiter_rate parsed = {.rate = parse_count(&at, sizes)};

	if (*at == ':') {
		at++;
		parsed.burst = parse_count(&at, sizes);
	} else {
		parsed.burst = max_u64(parsed.rate / 10, 1);
	}
	if (*at || !parsed.rate || !parsed.burst)
		return error_set(error, EINVAL,
				 "%s: should be %s a second, above 0, or that and a burst: %s",
				 text, sizes ? "bytes" : "a number",
				 sizes ? "100M:200M" : "500:2000");
	*rate = parsed;
	return 0;
}

/* ---- buckets ---- */

static struct limiter_bucket full(struct limiter_rate limit, uint64_t now)
{
	return (struct limiter_bucket){
		.limit = limit, .level = (int64_t)limit.burst, .filled_at = now};
}

void limiter_start(struct limiter *limiter, struct limiter_rate operations,
		   struct limiter_rate bytes, uint64_t now)
{
	limiter->operations = full(operations, now);
	limiter->bytes = full(bytes, now);
}

static void fill(struct limiter_bucket *bucket, uint64_t now)
{
	wide gain = (wide)(now - bucket->filled_at) * bucket->limit.rate + bucket->part;
	wide room = (wide)((int64_t)bucket->limit.burst - bucket->level);

	bucket->filled_at = now;
	if (gain / SECOND >= room) {
		bucket->level = (int64_t)bucket->limit.burst;
		bucket->part = 0;
	} else {
		bucket->level += (int64_t)(gain / SECOND);
		bucket->part = (uint64_t)(gain % SECOND);
	}
}

/* Until there is a token; 0: now. */
static uint64_t wait_of(const struct limiter_bucket *bucket)
{
	wide missing;

	if (!bucket->limit.rate || bucket->level > 0)
		return 0;
	missing = (wide)(1 - bucket->level) * SECOND - bucket->part;
	missing = (missing + bucket->limit.rate - 1) / bucket->limit.rate;
	return missing > INT64_MAX ? INT64_MAX : (uint64_t)missing;
}

uint64_t limiter_take(struct limiter *limiter, uint64_t bytes, uint64_t now)
{
	uint64_t wait;

	fill(&limiter->operations, now);
	fill(&limiter->bytes, now);
	wait = wait_of(&limiter->operations);
	if (bytes)
		wait = max_u64(wait, wait_of(&limiter->bytes));
	if (wait)
		return wait;
	limiter->operations.level -= limiter->operations.limit.rate ? 1 : 0;
	limiter->bytes.level -= limiter->bytes.limit.rate ? (int64_t)bytes : 0;
	return 0;
}
