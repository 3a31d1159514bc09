/* SPDX-License-Identifier: Apache-2.0 */
#include "order.h"

#include <stddef.h>

#include "base/base.h"

static bool conflict(const struct store_turn *a, const struct store_turn *b)
{
	return (a->changes || b->changes) && ranges_overlap(a->first, a->count, b->first, b->count);
}

/* The nearest earlier entry that is in the way. */
static struct store_turn *find_obstacle(const struct store_turn *turn)
{
	struct store_turn *other = turn->before;

	while (other && !conflict(turn, other))
		other = other->before;
	return other;
}

bool store_order_enter(struct store_order *order, struct store_turn *turn)
{
	turn->before = order->last;
	turn->after = NULL;
	if (order->last)
		order->last->after = turn;
	else
		order->first = turn;
	order->last = turn;
	turn->waits_for = turn->changes || order->changing ? find_obstacle(turn) : NULL;
	order->changing += turn->changes;
	return !turn->waits_for;
}

void store_order_leave(struct store_order *order, struct store_turn *turn,
		       void (*release)(void *context, struct store_turn *turn), void *context)
{
	struct store_turn *after = turn->after, *other;

	if (turn->before)
		turn->before->after = after;
	else
		order->first = after;
	if (after)
		after->before = turn->before;
	else
		order->last = turn->before;
	order->changing -= turn->changes;
	for (other = after; other; other = other->after) {
		if (other->waits_for != turn)
			continue;
		other->waits_for = find_obstacle(other);
		if (!other->waits_for)
			release(context, other);
	}
}
