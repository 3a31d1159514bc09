/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>

#include "base/base.h"
#include "os/fd.h"
#include "os/room.h"
#include "promises.h"

/* The page is the hypervisor's to write: what it says can only make its own promise smaller. */
static uint64_t still_to_take(const struct unit *unit)
{
	const struct status_view *view = &unit->machine.hypervisor.view;

	return unit->instance.memory -
	       min_u64(unit->instance.memory, view->counters[STATUS_HV_RESERVED]);
}

static uint64_t promised(const struct fleet *fleet)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < FLEET_UNITS; i++) {
		if (fleet->units[i] && fleet->units[i]->live)
			sum += still_to_take(fleet->units[i]);
	}
	return sum;
}

int promises_check(const struct unit *unit, struct error *error)
{
	CLEANUP_CLOSE int room = os_room_open();
	uint64_t there = os_room_of_host(room);
	uint64_t left = there - min_u64(there, OS_ROOM_SPARE);
	uint64_t others = min_u64(left, promised(unit->fleet));
	uint64_t wanted = unit->instance.memory;
	char but[64] = "";

	if (left - others >= wanted)
		return 0;
	if (others)
		snprintf(but, sizeof(but), ", of which %llu MiB are promised to others",
			 (unsigned long long)(others / MIB));
	return error_set(error, ENOMEM,
			 "memory: %llu MiB asked for, the host has %llu MiB left for it%s; give "
			 "the instance less, or end another one",
			 (unsigned long long)(wanted / MIB), (unsigned long long)(left / MIB), but);
}
