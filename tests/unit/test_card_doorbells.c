/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The volume card under a driver that keeps its doorbells in its memory (Doorbell Buffer Config)
 * and under one that has its interrupts held back, as far as the frame has a part in it.
 */
#include "volume_harness.h"

#include <poll.h>

#define SQ(queue) (2 * (queue))
#define CQ(queue) (2 * (queue) + 1)

struct shadows {
	volatile uint32_t *values, *events;
	int news, ring;
};

static int wait_for(int fd)
{
	struct pollfd pollfd = {.fd = fd, .events = POLLIN};
	int ready = poll(&pollfd, 1, PATIENCE_MS);

	os_eventfd_drain(fd);
	return ready;
}

/* How many doorbells the card offers; *ring is their eventfd. */
static int offered(struct fixture *fixture, int *ring)
{
	struct vfu_client_io_fd list[VFU_CLIENT_IO_FDS];
	int count = vfu_client_io_fds(fixture->harness.client, 0, list);

	for (int i = 0; i < count; i++) {
		assert_int_equal(list[i].owned, i == 0);
		assert_int_equal(list[i].fd, list[0].fd);
		assert_int_equal(list[i].size, 0);
		assert_int_equal(list[i].offset, NVME_REG_DOORBELLS + 8 + 4 * i);
	}
	if (count > 0)
		*ring = list[0].fd;
	return count;
}

static void listen_for_news(struct fixture *fixture, struct shadows *shadows)
{
	shadows->news = os_eventfd();
	assert_int_equal(
		vfu_client_bind_irqs(fixture->harness.client, VFU_IRQ_IO_FDS, 0, &shadows->news, 1),
		0);
}

static void configure(struct fixture *fixture, struct shadows *shadows)
{
	struct nvme_command command = {.opcode = NVME_ADMIN_DOORBELL_BUFFERS};

	shadows->values = (void *)buffer(fixture, BLOCK, &command.prp1);
	shadows->events = (void *)buffer(fixture, BLOCK, &command.prp2);
	assert_int_equal(nvme_client_do(&fixture->nvme, 0, command, 0, 0, NULL), 0);
}

/* A flush, and its doorbell in memory only. */
static void put(struct fixture *fixture, struct shadows *shadows)
{
	struct nvme_command flush = {.opcode = NVME_CMD_FLUSH, .nsid = 1};

	assert_true(nvme_client_put(&fixture->nvme, QUEUE, flush) >= 0);
	atomic_thread_fence(memory_order_release);
	shadows->values[SQ(QUEUE)] = fixture->nvme.queues[QUEUE].tail;
}

static void take(struct fixture *fixture, struct shadows *shadows)
{
	struct nvme_client_answer answer;

	assert_int_equal(nvme_client_wait(&fixture->nvme, QUEUE, &answer), 0);
	assert_int_equal(answer.status, NVME_OK);
	shadows->values[CQ(QUEUE)] = fixture->nvme.queues[QUEUE].head;
}

/* Until it asks to be rung at the next entry. */
static void wait_for_sleep(struct fixture *fixture, struct shadows *shadows)
{
	uint64_t deadline = os_now() + PATIENCE_MS * NS_PER_MS;

	while (shadows->events[SQ(QUEUE)] != fixture->nvme.queues[QUEUE].tail) {
		assert_true(os_now() < deadline);
		usleep(100);
	}
}

static void a_sleeping_card_is_rung_by_eventfd(void **state)
{
	struct fixture *fixture = *state;
	struct shadows shadows;

	start_and_enable(fixture, USUAL(fixture));
	listen_for_news(fixture, &shadows);
	assert_int_equal(offered(fixture, &shadows.ring), 0);
	configure(fixture, &shadows);
	assert_int_equal(wait_for(shadows.news), 1);
	assert_int_equal(offered(fixture, &shadows.ring), 32);
	for (unsigned i = 0; i < 3 * DEPTH; i++) {
		wait_for_sleep(fixture, &shadows);
		put(fixture, &shadows);
		os_eventfd_signal(shadows.ring);
		take(fixture, &shadows);
	}
	/* A register rings as well, with whatever value. */
	wait_for_sleep(fixture, &shadows);
	put(fixture, &shadows);
	harness_write(&fixture->harness, 0, NVME_REG_DOORBELLS + 8, 4, 0xffffffff);
	take(fixture, &shadows);
	/* After a reset they are registers. */
	os_close(&shadows.ring);
	assert_int_equal(nvme_client_enable(&fixture->nvme), 0);
	assert_int_equal(wait_for(shadows.news), 1);
	assert_int_equal(offered(fixture, &shadows.ring), 0);
	assert_int_equal(nvme_client_create_queue(&fixture->nvme, QUEUE, DEPTH), 0);
	assert_int_equal(transfer(fixture, NVME_CMD_FLUSH, 0, 1, 0, 0), 0);
	assert_int_equal(harness_status(&fixture->harness).counters[STATUS_CARD_SECURITY_EVENTS],
			 0);
	os_close(&shadows.news);
	end(fixture);
}

/* What was stored while nobody looked is found; nothing has to be told again. */
static void the_next_process_offers_them_at_once(void **state)
{
	struct fixture *fixture = *state;
	struct shadows shadows;

	start_and_enable(fixture, USUAL(fixture));
	configure(fixture, &shadows);
	put(fixture, &shadows);
	os_eventfd_signal(offered(fixture, &shadows.ring) ? shadows.ring : -1);
	take(fixture, &shadows);
	os_close(&shadows.ring);
	harness_kill(&fixture->harness, SIGKILL);
	assert_int_equal(harness_wait(&fixture->harness), -SIGKILL);
	put(fixture, &shadows);
	start(fixture, USUAL(fixture));
	assert_int_equal(offered(fixture, &shadows.ring), 32);
	take(fixture, &shadows);
	wait_for_sleep(fixture, &shadows);
	put(fixture, &shadows);
	os_eventfd_signal(shadows.ring);
	take(fixture, &shadows);
	os_close(&shadows.ring);
	end(fixture);
}

/* Fewer answers than are waited for: the time brings the interrupt. */
static void an_interrupt_that_is_held_back_comes(void **state)
{
	struct fixture *fixture = *state;
	struct nvme_command create = {.opcode = NVME_ADMIN_CREATE_CQ,
				      .cdw10 = (DEPTH - 1) << 16 | 2,
				      .cdw11 = 2 << 16 | 3};
	struct nvme_command flush = {.opcode = NVME_CMD_FLUSH, .nsid = 1};
	int vectors[3] = {os_eventfd(), os_eventfd(), os_eventfd()};

	start_and_enable(fixture, USUAL(fixture));
	assert_int_equal(vfu_client_bind_irqs(fixture->harness.client, VFU_IRQ_MSIX, 0, vectors, 3),
			 0);
	fixture->nvme.queues[2].cq = (void *)buffer(fixture, BLOCK, &create.prp1);
	assert_int_equal(nvme_client_do(&fixture->nvme, 0, create, 0, 0, NULL), 0);
	create.opcode = NVME_ADMIN_CREATE_SQ;
	create.cdw11 = 2 << 16 | 1;
	memcpy(buffer(fixture, BLOCK, &create.prp1), &flush, sizeof(flush));
	assert_int_equal(nvme_client_do(&fixture->nvme, 0, create, 0, 0, NULL), 0);
	assert_int_equal(nvme_client_do(&fixture->nvme, 0,
					(struct nvme_command){.opcode = NVME_ADMIN_SET_FEATURES,
							      .cdw10 = NVME_FEATURE_COALESCING,
							      .cdw11 = 200 << 8 | 9},
					0, 0, NULL),
			 0);
	harness_write(&fixture->harness, 0, NVME_REG_DOORBELLS + 16, 4, 1);
	assert_int_equal(wait_for(vectors[2]), 1);
	assert_int_equal(fixture->nvme.queues[2].cq->status, 1);
	for (unsigned i = 0; i < 3; i++)
		os_close(&vectors[i]);
	end(fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_sleeping_card_is_rung_by_eventfd),
		CASE(the_next_process_offers_them_at_once),
		CASE(an_interrupt_that_is_held_back_comes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
