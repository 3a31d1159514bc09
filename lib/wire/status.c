/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "status.h"

#define ATTEMPTS  64
#define ERRNO_MAX 4095 /* of Linux; every one of them can be negated */

void status_init(struct status_page *page, enum status_role role)
{
	uint32_t sequence = atomic_load_explicit(&page->sequence, memory_order_relaxed);

	/* A program killed in the middle of a change has left it odd for the next one on the same
	 * page. */
	atomic_store_explicit(&page->sequence, (sequence + 1) & ~1u, memory_order_relaxed);
	page->version = STATUS_VERSION;
	page->role = role;
	atomic_thread_fence(memory_order_release);
	/* Last: a reader that sees the magic sees the rest. */
	*(volatile uint64_t *)&page->magic = STATUS_MAGIC;
}

static void begin(struct status_page *page)
{
	atomic_fetch_add_explicit(&page->sequence, 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
}

static void end(struct status_page *page)
{
	atomic_fetch_add_explicit(&page->sequence, 1, memory_order_release);
}

static void set_text(struct status_page *page, const char *text)
{
	snprintf(page->text, sizeof(page->text), "%s", text);
}

void status_set(struct status_page *page, enum status_state state, enum status_reason reason,
		const char *text)
{
	begin(page);
	atomic_store_explicit(&page->state, state, memory_order_relaxed);
	atomic_store_explicit(&page->reason, reason, memory_order_relaxed);
	set_text(page, text);
	end(page);
}

void status_command_done(struct status_page *page, uint32_t id, int result, const char *text)
{
	begin(page);
	atomic_store_explicit(&page->command_done, id, memory_order_relaxed);
	atomic_store_explicit(&page->command_result, result, memory_order_relaxed);
	set_text(page, text);
	end(page);
}

static void copy_text(char to[STATUS_TEXT_SIZE], const char *from)
{
	size_t i;

	for (i = 0; i < STATUS_TEXT_SIZE - 1 && from[i]; i++)
		to[i] = from[i] >= ' ' && from[i] <= '~' ? from[i] : '?';
	to[i] = '\0';
}

/* What a program writes once, before anything else, and no sequence is needed for. */
static bool is_page(const struct status_page *page, enum status_role role)
{
	return page->magic == STATUS_MAGIC && page->version == STATUS_VERSION && page->role == role;
}

/* One attempt at a consistent copy of the fields under `sequence`, unchecked. False: it changed
 * meanwhile. */
static bool snapshot(const struct status_page *page, struct status_page *copy)
{
	uint32_t before = atomic_load_explicit(&page->sequence, memory_order_acquire);

	if (before & 1)
		return false;
	memcpy((void *)copy, (const void *)page, sizeof(*copy));
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&page->sequence, memory_order_relaxed) == before;
}

int status_read(const struct status_page *page, enum status_role role, struct status_view *view)
{
	struct status_page copy;
	int attempt = 0;

	while (!snapshot(page, &copy)) {
		if (++attempt == ATTEMPTS)
			return !page->magic || is_page(page, role) ? -EAGAIN : -EPROTO;
	}
	if (!copy.magic)
		return -EAGAIN;
	if (!is_page(&copy, role) || copy.state > STATUS_FAILED || copy.reason > STATUS_CRASHED ||
	    copy.command_result > 0 || copy.command_result < -ERRNO_MAX || copy.standing_by > 1)
		return -EPROTO;
	memset(view, 0, sizeof(*view));
	view->state = (enum status_state)copy.state;
	view->reason = (enum status_reason)copy.reason;
	view->command_done = copy.command_done;
	view->command_result = copy.command_result;
	view->standing_by = copy.standing_by;
	view->heartbeat = copy.heartbeat;
	copy_text(view->text, copy.text);
	for (unsigned i = 0; i < STATUS_SLOTS; i++) {
		if (copy.slots[i] > STATUS_SLOT_WAITING)
			return -EPROTO;
		view->slots[i] = copy.slots[i];
	}
	for (unsigned i = 0; i < STATUS_COUNTERS; i++)
		view->counters[i] = copy.counters[i];
	return 0;
}
