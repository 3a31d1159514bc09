/* SPDX-License-Identifier: Apache-2.0 */
/* A controller's life: made, enabled, working, shut down, reset; and in what order it works. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "nvme_private.h"

size_t nvme_state_size(void)
{
	return sizeof(struct nvme_state);
}

uint32_t nvme_state_version(void)
{
	return NVME_STATE_VERSION;
}

bool nvme_running(const struct nvme *nvme)
{
	const struct nvme_state *state = nvme->state;

	return (state->csts & (NVME_CSTS_RDY | NVME_CSTS_CFS)) == NVME_CSTS_RDY &&
	       !state->resetting && state->master;
}

/* Base 9.5: nothing but a reset helps. */
void nvme_fail(struct nvme *nvme)
{
	if (nvme->state->csts & NVME_CSTS_CFS)
		return;
	nvme_publish(&nvme->state->csts, nvme->state->csts | NVME_CSTS_CFS);
	nvme_tell(nvme, NVME_EVENT_FATAL, 0);
}

static int init_state(struct nvme *nvme)
{
	struct nvme_state *state = nvme->state;

	memset(state, 0, sizeof(*state));
	state->version = NVME_STATE_VERSION;
	state->lba_size = nvme->setup->lba_size;
	state->size = nvme->setup->size;
	state->next_id = 1;
	state->counters.power_on_ms = nvme->ops->now_ms(nvme->context);
	nvme_default_features(&state->features);
	nvme_publish64(&state->magic, NVME_STATE_MAGIC);
	return 0;
}

static int check_setup(const struct nvme_setup *setup, struct error *error)
{
	if (setup->lba_size != 512 && setup->lba_size != 4096)
		return error_set(error, EINVAL, "nvme: block size %u is neither 512 nor 4096",
				 setup->lba_size);
	if (setup->size < setup->lba_size)
		return error_set(error, EINVAL, "nvme: a namespace of %llu bytes has no block",
				 (unsigned long long)setup->size);
	return 0;
}

int nvme_create(struct nvme **made, const struct nvme_setup *setup, struct nvme_state *state,
		const struct mem_map *memory, const struct nvme_ops *ops, void *context,
		struct error *error)
{
	struct nvme *nvme;
	int result;

	result = check_setup(setup, error);
	if (result < 0)
		return result;
	nvme = calloc(1, sizeof(*nvme));
	if (!nvme)
		return error_set(error, ENOMEM, "nvme: out of memory");
	nvme->setup = setup;
	nvme->size = setup->size;
	nvme->state = state;
	nvme->memory = memory;
	nvme->ops = ops;
	nvme->context = context;
	result = state->magic ? nvme_check_state(nvme, error) : init_state(nvme);
	if (result < 0) {
		free(nvme);
		return result;
	}
	nvme_publish(&state->version, NVME_STATE_VERSION);
	nvme_rebuild(nvme);
	*made = nvme;
	return 0;
}

void nvme_destroy(struct nvme *nvme)
{
	if (!nvme)
		return;
	for (unsigned i = 0; i < NVME_COMMANDS; i++)
		nvme_release(nvme, &nvme->works[i]);
	while (nvme->spare)
		free(nvme_take_pieces(nvme));
	free(nvme);
}

void nvme_submit(struct nvme *nvme, struct nvme_work *work)
{
	nvme->kick = true;
	work->io.slot = nvme_slot_index(nvme, work);
	nvme->with_back_end++;
	nvme->ops->submit(nvme->context, &work->io);
}

/*
 * Controller level reset (Base 3.7.2). Slots first, queues last: a process that takes over in
 * between does it again, since `resetting` falls at the very end.
 */
static void reset_controller(struct nvme *nvme)
{
	struct nvme_state *state = nvme->state;

	for (unsigned i = 0; i < NVME_COMMANDS; i++) {
		nvme_release(nvme, &nvme->works[i]);
		if (state->slots[i].state != NVME_SLOT_FREE)
			nvme_publish(&state->slots[i].state, NVME_SLOT_FREE);
	}
	for (unsigned i = 0; i < NVME_QUEUES; i++)
		nvme_publish(&state->sq[i].state, NVME_QUEUE_ABSENT);
	for (unsigned i = 0; i < NVME_QUEUES; i++)
		nvme_publish(&state->cq[i].state, NVME_QUEUE_ABSENT);
	nvme_forget_shadows(nvme);
	memset(state->event_waiting, 0, sizeof(state->event_waiting));
	memset(state->event_masked, 0, sizeof(state->event_masked));
	nvme_default_features(&state->features);
	state->intms = 0;
	nvme_rebuild(nvme);
	/* Disabled and shut down by one write: the reset came first, the flush follows. */
	nvme_publish(&state->csts, state->cc & NVME_CC_SHN && !(state->cc & NVME_CC_EN)
					   ? NVME_CSTS_SHST_OCCURRING
					   : 0);
	nvme_publish(&state->resetting, 0);
}

/* Base 3.1.3.5: what this controller can be enabled with. */
static bool enable_allowed(const struct nvme_state *state)
{
	uint32_t css = state->cc >> NVME_CC_CSS_SHIFT & 7;

	return (css == 0 || css == 6) && !(state->cc >> NVME_CC_MPS_SHIFT & 0xf) &&
	       !(state->cc >> NVME_CC_AMS_SHIFT & 7) && (state->aqa & 0xfff) && state->aqa >> 16 &&
	       !range_wraps(state->asq, NVME_ADMIN_QUEUE_DEPTH * sizeof(struct nvme_command)) &&
	       !range_wraps(state->acq, NVME_ADMIN_QUEUE_DEPTH * sizeof(struct nvme_completion));
}

static void enable(struct nvme *nvme)
{
	struct nvme_state *state = nvme->state;

	if (!enable_allowed(state)) {
		nvme_fail(nvme);
		return;
	}
	state->cq[0] = (struct nvme_cq){
		.state = NVME_QUEUE_ABSENT,
		.size = (uint16_t)((state->aqa >> 16) + 1),
		.base = state->acq,
		.interrupts = 1,
	};
	nvme_clear_doorbell(nvme, 0, true);
	nvme_publish(&state->cq[0].state, NVME_QUEUE_LIVE);
	state->sq[0] = (struct nvme_sq){
		.state = NVME_QUEUE_ABSENT,
		.size = (uint16_t)((state->aqa & 0xfff) + 1),
		.base = state->asq,
	};
	nvme_clear_doorbell(nvme, 0, false);
	nvme_publish(&state->sq[0].state, NVME_QUEUE_LIVE);
	nvme_note_queues(nvme);
	/* A shutdown that was carried out while disabled is over (Base 3.6.1). */
	nvme_publish(&state->csts, NVME_CSTS_RDY);
	nvme_check_temperature(nvme);
}

static void carry_out_registers(struct nvme *nvme)
{
	struct nvme_state *state = nvme->state;

	if (state->resetting && !nvme->with_back_end)
		reset_controller(nvme);
	if (state->cc & NVME_CC_EN && !state->resetting &&
	    !(state->csts & (NVME_CSTS_RDY | NVME_CSTS_CFS)))
		enable(nvme);
}

/* Base 3.6: what was fetched has been answered and the back end's cache is written out. */
static void shut_down(struct nvme *nvme)
{
	struct nvme_work *work;

	if ((nvme->state->csts & NVME_CSTS_SHST) != NVME_CSTS_SHST_OCCURRING ||
	    nvme->state->resetting || nvme->with_back_end || !nvme->free_count)
		return;
	if (nvme_running(nvme) && nvme->held)
		return;
	nvme->flush = nvme->free_slots[--nvme->free_count];
	nvme->flushing = true;
	work = &nvme->works[nvme->flush];
	work->io = (struct nvme_io){.op = NVME_IO_FLUSH};
	nvme_submit(nvme, work);
}

static void flushed(struct nvme *nvme)
{
	struct nvme_state *state = nvme->state;

	nvme->flushing = false;
	nvme->free_slots[nvme->free_count++] = (uint16_t)nvme->flush;
	if ((state->csts & NVME_CSTS_SHST) == NVME_CSTS_SHST_OCCURRING && !state->resetting)
		nvme_publish(&state->csts, state->csts ^ NVME_CSTS_SHST);
}

/* Answers that come inside may submit anew. What is answered at once took no time that could be
 * told from none. */
static void kick(struct nvme *nvme)
{
	while (nvme->kick) {
		nvme->kick = false;
		nvme->ops->kick(nvme->context);
	}
	if (nvme->with_back_end && !nvme->busy_since)
		nvme->busy_since = nvme->ops->now_ms(nvme->context);
}

/* What the answer of one request means for its command. */
static void take_answer(struct nvme *nvme, struct nvme_work *work, int error)
{
	if (nvme->flushing && work->io.slot == nvme->flush) {
		flushed(nvme);
		return;
	}
	work->error = error;
	work->answered = true;
	if (!work->submitting && !nvme->state->resetting && !nvme->dropping)
		nvme_io_continue(nvme, work);
}

/* The clock may have been set back meanwhile. */
static void count_busy_time(struct nvme *nvme)
{
	uint64_t now = nvme->busy_since ? nvme->ops->now_ms(nvme->context) : 0;

	if (now > nvme->busy_since)
		nvme->state->counters.busy_ms += now - nvme->busy_since;
	nvme->busy_since = 0;
}

void nvme_io_done(struct nvme *nvme, struct nvme_io *io, int error)
{
	nvme->completed = true;
	if (!--nvme->with_back_end)
		count_busy_time(nvme);
	take_answer(nvme, &nvme->works[io->slot], error);
	if (!nvme->processing) {
		kick(nvme);
		nvme_raise_interrupts(nvme);
	}
}

int nvme_resize(struct nvme *nvme, uint64_t size)
{
	if (size < nvme->setup->lba_size)
		return -EINVAL;
	nvme->size = size;
	return 0;
}

static void notice_new_size(struct nvme *nvme)
{
	struct nvme_state *state = nvme->state;

	if (state->size == nvme->size)
		return;
	state->namespace_changed = 1;
	if (state->features.events & NVME_OAES_NAMESPACE)
		nvme_raise_event(nvme, NVME_ASYNC_NOTICE, NVME_ASYNC_NAMESPACE_CHANGED);
	nvme_publish64(&state->size, nvme->size);
}

/* Deletions and events come last: what was fetched asks for them. */
static bool work_on_queues(struct nvme *nvme)
{
	bool more;

	nvme_repost(nvme);
	nvme_take_doorbells(nvme);
	nvme_post_waiting(nvme);
	nvme_run_held(nvme);
	more = !(nvme->state->csts & NVME_CSTS_SHST) && nvme_fetch(nvme);
	nvme_run_pair(nvme);
	nvme_continue_deletions(nvme);
	nvme_deliver_events(nvme);
	return more;
}

static void poll_back_end(struct nvme *nvme)
{
	if (nvme->ops->poll && nvme->with_back_end)
		nvme->ops->poll(nvme->context);
	kick(nvme);
}

/* Whatever ended in here, at any of its steps, may be what an earlier step had to wait for. */
bool nvme_process(struct nvme *nvme)
{
	bool more = false;

	atomic_thread_fence(memory_order_acquire);
	nvme->processing = true;
	nvme->completed = false;
	notice_new_size(nvme);
	carry_out_registers(nvme);
	if (nvme_running(nvme))
		more = work_on_queues(nvme);
	shut_down(nvme);
	kick(nvme);
	poll_back_end(nvme);
	nvme_raise_interrupts(nvme);
	nvme->processing = false;
	return more || nvme->completed;
}

static void wait_for_back_end(struct nvme *nvme)
{
	kick(nvme);
	while (nvme->with_back_end)
		nvme->ops->wait(nvme->context);
}

void nvme_quiesce(struct nvme *nvme)
{
	nvme->quiescing = true;
	nvme->processing = true;
	wait_for_back_end(nvme);
	nvme->processing = false;
	nvme->quiescing = false;
}

void nvme_reset(struct nvme *nvme)
{
	struct nvme_state *state = nvme->state;

	nvme_publish(&state->resetting, 1);
	nvme_publish(&state->cc, 0);
	nvme->dropping = true;
	wait_for_back_end(nvme);
	nvme->dropping = false;
	state->aqa = 0;
	state->asq = 0;
	state->acq = 0;
	reset_controller(nvme);
}

void nvme_set_master(struct nvme *nvme, bool on)
{
	if (!on && nvme->state->master)
		nvme_quiesce(nvme);
	nvme_publish(&nvme->state->master, on);
}
