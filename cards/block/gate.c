/* SPDX-License-Identifier: Apache-2.0 */
#include "gate.h"

#include <errno.h>
#include <stdint.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "os/clock.h"

/* 0, or the time until the request may begin. */
static uint64_t pay(struct gate *gate, const struct store_request *request)
{
	bool moves = request->op == STORE_READ || request->op == STORE_WRITE;

	return limiter_take(&gate->limiter, moves ? request->length : 0, os_now());
}

static void wake_up_in(const struct gate *gate, uint64_t wait)
{
	const struct itimerspec when = {.it_value = {.tv_sec = (time_t)(wait / NS_PER_S),
						     .tv_nsec = (long)(wait % NS_PER_S)}};

	timerfd_settime(gate->timer, 0, &when, NULL);
}

static struct store_queue *next_line(struct gate *gate)
{
	while (!gate->lines[gate->turn].first)
		gate->turn = (gate->turn + 1) % NVME_QUEUES;
	return &gate->lines[gate->turn];
}

/* Who comes while others wait does not overtake them. */
void gate_submit(struct gate *gate, unsigned queue, struct store_request *request)
{
	uint64_t wait;

	if (!gate->waiting) {
		wait = pay(gate, request);
		if (!wait) {
			store_submit(gate->store, request);
			return;
		}
		wake_up_in(gate, wait);
	}
	store_queue_push(&gate->lines[queue % NVME_QUEUES], request);
	gate->waiting++;
}

/* A request that ends at once may bring another one into its line. */
void gate_release(struct gate *gate)
{
	uint64_t expirations;

	/* How often it has fired does not matter: the clock tells. */
	if (read(gate->timer, &expirations, sizeof(expirations)) < 0 && errno != EAGAIN)
		return;
	while (gate->waiting) {
		struct store_queue *line = next_line(gate);
		uint64_t wait = pay(gate, line->first);

		if (wait) {
			wake_up_in(gate, wait);
			break;
		}
		gate->waiting--;
		gate->turn = (gate->turn + 1) % NVME_QUEUES;
		store_submit(gate->store, store_queue_pop(line));
	}
	store_kick(gate->store);
}

void gate_cancel(struct gate *gate)
{
	while (gate->waiting) {
		struct store_request *request = store_queue_pop(next_line(gate));

		gate->waiting--;
		request->done(request, -ECANCELED);
	}
}
