/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a device may do in a second: two token buckets, one of operations, one of bytes. Pure: the
 * time is a parameter, in nanoseconds of a clock that does not go back.
 *
 * A bucket fills at its rate up to its burst. A request may begin while there is a token in each
 * bucket that it needs, and then takes what it costs, even if that is more than there is: the next
 * one waits until the debt is paid. So a transfer longer than the burst is let through, and the
 * mean over any time is the rate.
 */
#ifndef KARUTA_CARDS_BLOCK_LIMITER_H
#define KARUTA_CARDS_BLOCK_LIMITER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define LIMITER_MAX (UINT64_C(1) << 50) /* of a rate and of a burst */

struct limiter_rate {
	uint64_t rate;	/* tokens a second; 0: no limit */
	uint64_t burst; /* tokens at most; at least 1 with a rate */
};

struct limiter_bucket {
	struct limiter_rate limit;
	int64_t level;
	uint64_t part; /* of the next token, in 1 / 10^9 */
	uint64_t filled_at;
};

struct limiter {
	struct limiter_bucket operations, bytes;
};

/* "N" or "N:BURST", with suffixes K, M, G, T if `sizes`. Without a burst it is a tenth of a
 * second's worth. */
int limiter_parse(const char *text, bool sizes, struct limiter_rate *rate, struct error *error);

/* Full buckets. */
void limiter_start(struct limiter *limiter, struct limiter_rate operations,
		   struct limiter_rate bytes, uint64_t now);
/* 0: one operation on `bytes` bytes may begin, and is paid for. Otherwise nothing has been taken;
 * after that many nanoseconds it can. */
uint64_t limiter_take(struct limiter *limiter, uint64_t bytes, uint64_t now);

#endif
