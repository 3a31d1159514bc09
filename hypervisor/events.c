/* SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>

#include "events.h"
#include "os/fd.h"

int events_init(struct events *events)
{
	events_reset(events);
	events->fd = os_eventfd();
	return events->fd < 0 ? events->fd : 0;
}

void events_reset(struct events *events)
{
	atomic_store(&events->pending, 0);
	atomic_store(&events->inserted, 0);
	atomic_store(&events->remove, 0);
	atomic_store(&events->ejected, 0);
}

static void raise_event(struct events *events, unsigned event)
{
	atomic_fetch_or(&events->pending, event);
	os_eventfd_signal(events->fd);
}

void events_insert(struct events *events, unsigned slot)
{
	atomic_fetch_or(&events->inserted, 1u << slot);
	raise_event(events, EVENT_SLOTS);
}

void events_remove(struct events *events, unsigned slot)
{
	atomic_fetch_and(&events->inserted, ~(1u << slot));
	atomic_fetch_or(&events->remove, 1u << slot);
	raise_event(events, EVENT_SLOTS);
}

void events_press_power(struct events *events)
{
	raise_event(events, EVENT_POWER);
}

void events_remind(struct events *events)
{
	if (atomic_load(&events->pending))
		os_eventfd_signal(events->fd);
}

uint32_t events_read(struct events *events, uint32_t offset)
{
	switch (offset) {
	case EVENTS_PENDING:
		return atomic_exchange(&events->pending, 0);
	case EVENTS_INSERTED:
		return atomic_exchange(&events->inserted, 0);
	case EVENTS_REMOVE:
		return atomic_exchange(&events->remove, 0);
	default:
		return 0;
	}
}

bool events_write(struct events *events, uint32_t offset, uint32_t value)
{
	if (offset != EVENTS_EJECT || !value)
		return false;
	atomic_fetch_or(&events->ejected, value);
	return true;
}

uint32_t events_take_ejected(struct events *events)
{
	return atomic_exchange(&events->ejected, 0);
}
