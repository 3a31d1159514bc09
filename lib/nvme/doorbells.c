/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Doorbells (PCIe Transport 3.1.2.1, 3.1.2.2). They come by message; or the guest stores them into
 * a page that it maps (nvme_share_doorbells()); or, of I/O queues, it keeps them in its own memory,
 * as Doorbell Buffer Config says (Base 5.8 and its example in annex B). The admin queue always has
 * registers: Linux keeps no shadow of it.
 *
 * With shadows the controller looks at them whenever it works. Before it sleeps it stores, beside
 * each, the value past which the guest is to write the register as well, and looks once more. Guest
 * and controller both store, then look at what the other one has stored, with a full barrier in
 * between: one of them sees the other. What is written to the register then means nothing, so that
 * an eventfd can stand for it.
 */
#include "base/base.h"
#include "nvme_private.h"

#define IO_QUEUES (~1u) /* of a set of queues: all but the admin queue */

/* Where stored doorbells are, register layout from the first one on; NULL: not at hand. */
struct pages {
	uint32_t *mapped, *shadows;
};

static void bad_doorbell(struct nvme *nvme, unsigned queue, uint32_t offset, unsigned information)
{
	nvme_tell(nvme, NVME_EVENT_BAD_DOORBELL, offset);
	if (!(nvme->state->csts & NVME_CSTS_RDY))
		return;
	nvme_log_queue_error(nvme, (uint16_t)queue);
	nvme_raise_event(nvme, NVME_ASYNC_ERROR, information);
}

static uint32_t doorbell_offset(unsigned queue, bool completion)
{
	return NVME_REG_DOORBELLS + 8 * queue + 4 * completion;
}

static bool is_live(const struct nvme *nvme, unsigned queue, bool completion)
{
	return queue < NVME_QUEUES && (completion ? nvme->live_cqs : nvme->live_sqs) >> queue & 1;
}

/* The value is only noted; what it means is looked at by nvme_process(). */
static void set_doorbell(struct nvme *nvme, unsigned queue, bool completion, uint32_t value)
{
	uint32_t offset = doorbell_offset(queue, completion);
	uint16_t size;

	value &= 0xffff;
	if (!is_live(nvme, queue, completion)) {
		bad_doorbell(nvme, queue, offset, NVME_ASYNC_INVALID_REGISTER);
		return;
	}
	size = completion ? nvme->state->cq[queue].size : nvme->state->sq[queue].size;
	if (value >= size)
		bad_doorbell(nvme, queue, offset, NVME_ASYNC_INVALID_VALUE);
	else
		nvme_publish(completion ? &nvme->state->cq[queue].doorbell
					: &nvme->state->sq[queue].doorbell,
			     value);
}

static uint32_t known_doorbell(const struct nvme *nvme, unsigned queue, bool completion)
{
	return completion ? nvme->state->cq[queue].doorbell : nvme->state->sq[queue].doorbell;
}

/* ---- stored doorbells ---- */

static bool is_shadowed(const struct nvme *nvme, unsigned queue)
{
	return queue && nvme->state->shadows;
}

/* A page that is mapped here, as a whole and for both directions; NULL: it is not. */
static uint32_t *guest_page(const struct nvme *nvme, uint64_t address)
{
	struct mem_view view;

	if (mem_view(nvme->memory, address, NVME_PAGE, MEM_READ | MEM_WRITE, &view) < 0 ||
	    !view.host || view.length < NVME_PAGE || (uintptr_t)view.host % sizeof(uint32_t))
		return NULL;
	return (uint32_t *)(void *)view.host;
}

/* A window that is away for a moment takes the shadows along; that it is back is told by a message,
 * after which they are looked at again. */
static struct pages find_pages(const struct nvme *nvme)
{
	return (struct pages){
		.mapped = nvme->doorbells,
		.shadows = nvme->state->shadows ? guest_page(nvme, nvme->state->shadow_page) : NULL,
	};
}

/* NULL: this doorbell is not stored anywhere. */
static uint32_t *place(const struct nvme *nvme, const struct pages *pages, unsigned queue,
		       bool completion)
{
	uint32_t *page = is_shadowed(nvme, queue) ? pages->shadows : pages->mapped;

	return page ? page + 2 * queue + completion : NULL;
}

void nvme_clear_doorbell(struct nvme *nvme, unsigned queue, bool completion)
{
	struct pages pages = find_pages(nvme);
	uint32_t *where = place(nvme, &pages, queue, completion);

	if (where)
		__atomic_store_n(where, 0, __ATOMIC_RELAXED);
}

void nvme_share_doorbells(struct nvme *nvme, void *page)
{
	nvme->doorbells = page;
	for (unsigned queue = 0; queue < NVME_QUEUES; queue++)
		for (unsigned completion = 0; completion < 2; completion++)
			__atomic_store_n(&nvme->doorbells[2 * queue + completion],
					 known_doorbell(nvme, queue, completion), __ATOMIC_RELAXED);
}

/* What was refused, or rung by message, takes the place of `seen`, unless a newer one has. */
static void settle(uint32_t *where, uint32_t seen, uint32_t known)
{
	if (seen != known)
		__atomic_compare_exchange_n(where, &seen, known, false, __ATOMIC_RELAXED,
					    __ATOMIC_RELAXED);
}

static void look(struct nvme *nvme, const struct pages *pages, unsigned queue, bool completion)
{
	uint32_t *where = place(nvme, pages, queue, completion), seen;

	if (!where)
		return;
	seen = __atomic_load_n(where, __ATOMIC_ACQUIRE);
	if (seen == known_doorbell(nvme, queue, completion))
		return;
	set_doorbell(nvme, queue, completion, seen);
	settle(where, seen, known_doorbell(nvme, queue, completion));
}

static void look_at_all(struct nvme *nvme, const struct pages *pages)
{
	for (uint32_t left = nvme->live_cqs; left; left &= left - 1)
		look(nvme, pages, (unsigned)__builtin_ctz(left), true);
	for (uint32_t left = nvme->live_sqs; left; left &= left - 1)
		look(nvme, pages, (unsigned)__builtin_ctz(left), false);
}

/* ---- registers, and what the values mean ---- */

/* Where the guest keeps the value in its memory, the write only makes us look there. */
void nvme_write_doorbell(struct nvme *nvme, uint32_t offset, uint32_t value)
{
	unsigned index = (offset - NVME_REG_DOORBELLS) / 4, queue = index / 2;
	bool completion = index % 2;

	if (is_shadowed(nvme, queue) && is_live(nvme, queue, completion))
		return;
	set_doorbell(nvme, queue, completion, value);
	if (nvme->doorbells && queue < NVME_QUEUES)
		__atomic_store_n(&nvme->doorbells[index], known_doorbell(nvme, queue, completion),
				 __ATOMIC_RELAXED);
}

static void take_cq_doorbell(struct nvme *nvme, const struct pages *pages, unsigned queue)
{
	struct nvme_cq *cq = &nvme->state->cq[queue];
	uint32_t head = nvme_place(cq->consumed, cq->size);
	uint32_t taken = (cq->doorbell + cq->size - head) % cq->size;

	if (taken > nvme_cq_used(cq)) {
		uint32_t *where = place(nvme, pages, queue, true), refused = cq->doorbell;

		nvme_publish(&cq->doorbell, head);
		if (where)
			settle(where, refused, head);
		bad_doorbell(nvme, queue, doorbell_offset(queue, true), NVME_ASYNC_INVALID_VALUE);
	} else if (taken) {
		nvme_publish64(&cq->consumed, cq->consumed + taken);
	}
}

void nvme_take_doorbells(struct nvme *nvme)
{
	struct pages pages = find_pages(nvme);

	if (pages.mapped || pages.shadows)
		look_at_all(nvme, &pages);
	for (uint32_t left = nvme->live_cqs; left; left &= left - 1)
		take_cq_doorbell(nvme, &pages, (unsigned)__builtin_ctz(left));
}

/* ---- shadows ---- */

/* A guest that hands over an empty page means nothing by the zeros in it: its queues are where its
 * last writes to the registers have left them. */
static void fill_in(struct nvme *nvme, uint32_t *shadows)
{
	for (unsigned queue = 1; queue < NVME_QUEUES; queue++)
		for (unsigned completion = 0; completion < 2; completion++)
			if (is_live(nvme, queue, completion))
				settle(&shadows[2 * queue + completion], 0,
				       known_doorbell(nvme, queue, completion));
}

/* Base 5.8.1: an address that is of no use is an invalid field. */
static uint16_t check_page(struct nvme *nvme, uint64_t address)
{
	struct mem_view view;

	if (mem_view(nvme->memory, address, NVME_PAGE, MEM_READ | MEM_WRITE, &view) < 0)
		nvme_tell(nvme, NVME_EVENT_BAD_POINTER, address);
	return address % NVME_PAGE || !guest_page(nvme, address) ? NVME_INVALID_FIELD : NVME_OK;
}

/*
 * Base 5.8. Memory that is reached by messages only is no use: it would have to be asked for again
 * and again. Who dies in here does all of it again, and finds the guest's newer values if there are
 * any.
 */
uint16_t nvme_configure_doorbells(struct nvme *nvme, struct nvme_slot *slot)
{
	const struct nvme_command *command = &slot->command;
	struct nvme_state *state = nvme->state;
	uint16_t status = NVME_AT(slot, prp1, check_page(nvme, command->prp1));

	if (status == NVME_OK)
		status = NVME_AT(slot, prp2, check_page(nvme, command->prp2));
	if (status == NVME_OK && command->prp1 == command->prp2)
		status = NVME_AT(slot, prp2, NVME_INVALID_FIELD);
	if (status != NVME_OK)
		return status;
	nvme_publish(&state->shadows, 0);
	state->shadow_page = command->prp1;
	state->event_page = command->prp2;
	fill_in(nvme, guest_page(nvme, state->shadow_page));
	nvme_publish(&state->shadows, 1);
	nvme->ops->shadows(nvme->context, true);
	return NVME_OK;
}

void nvme_forget_shadows(struct nvme *nvme)
{
	if (!nvme->state->shadows)
		return;
	nvme_publish(&nvme->state->shadows, 0);
	nvme->ops->shadows(nvme->context, false);
}

/* Nothing can go on before the guest has taken completions. A pair needs two places. */
static bool waits_for_room(const struct nvme *nvme, unsigned queue)
{
	const struct nvme_cq *cq = &nvme->state->cq[queue];

	return nvme_cq_used(cq) + nvme->cq_reserved[queue] + 2 >= cq->size;
}

/* The guest writes the register when it goes past this value (annex B). */
static void ask(uint32_t *event, uint32_t value)
{
	if (__atomic_load_n(event, __ATOMIC_RELAXED) != value)
		__atomic_store_n(event, value, __ATOMIC_RELAXED);
}

/* At the next entry; of completions that nobody waits for, as late as can be. */
static void ask_all(struct nvme *nvme, uint32_t *events)
{
	for (uint32_t left = nvme->live_sqs & IO_QUEUES; left; left &= left - 1) {
		unsigned queue = (unsigned)__builtin_ctz(left);

		ask(&events[2 * queue], nvme->state->sq[queue].doorbell);
	}
	for (uint32_t left = nvme->live_cqs & IO_QUEUES; left; left &= left - 1) {
		unsigned queue = (unsigned)__builtin_ctz(left);
		const struct nvme_cq *cq = &nvme->state->cq[queue];
		uint32_t late = (cq->doorbell + cq->size - 1u) % cq->size;

		ask(&events[2 * queue + 1], waits_for_room(nvme, queue) ? cq->doorbell : late);
	}
}

static bool has_news(const struct nvme *nvme, const uint32_t *shadows)
{
	for (uint32_t left = nvme->live_sqs & IO_QUEUES; left; left &= left - 1) {
		unsigned queue = (unsigned)__builtin_ctz(left);

		if (__atomic_load_n(&shadows[2 * queue], __ATOMIC_RELAXED) !=
		    nvme->state->sq[queue].doorbell)
			return true;
	}
	for (uint32_t left = nvme->live_cqs & IO_QUEUES; left; left &= left - 1) {
		unsigned queue = (unsigned)__builtin_ctz(left);

		if (waits_for_room(nvme, queue) &&
		    __atomic_load_n(&shadows[2 * queue + 1], __ATOMIC_RELAXED) !=
			    nvme->state->cq[queue].doorbell)
			return true;
	}
	return false;
}

bool nvme_rest(struct nvme *nvme)
{
	struct nvme_state *state = nvme->state;
	uint32_t *shadows, *events;

	if (!state->shadows || !nvme_running(nvme))
		return false;
	shadows = guest_page(nvme, state->shadow_page);
	events = guest_page(nvme, state->event_page);
	if (!shadows || !events)
		return false;
	ask_all(nvme, events);
	atomic_thread_fence(memory_order_seq_cst);
	return has_news(nvme, shadows);
}
