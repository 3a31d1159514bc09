/* SPDX-License-Identifier: Apache-2.0 */
/* Arbitrary bytes as a record of an update: refused, or taken for what it says, and a slot that was
 * taken works and can be let go. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "machine.h"
#include "os/fd.h"

#define SLOT 3u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct status_page status;
static struct machine machine = {.status = &status, .vm = -1};

void machine_request(struct machine *of, unsigned request)
{
	(void)of;
	(void)request;
}

static void set_up(void)
{
	static bool is_set_up;

	if (is_set_up)
		return;
	if (interrupts_init(&machine.interrupts) < 0 || events_init(&machine.events) < 0)
		abort();
	bus_init(&machine.bus, &machine, 64 * GIB, 128 * GIB);
	is_set_up = true;
}

/* A link whose other end is gone. */
static int dead_link(void)
{
	int pair[2];

	if (os_socket_pair(pair) < 0)
		abort();
	os_close(&pair[1]);
	return pair[0];
}

static void take_slot(void)
{
	struct slot *slot = &machine.bus.slots[SLOT];
	struct peer *peer = &machine.peer;
	uint8_t bytes[8];

	peer->fds[0] = dead_link();
	peer->fd_count = 1;
	if (slot_restore(slot, peer) == 0 && slot->vectors.count) {
		peer->fds[peer->fd_count++] = os_eventfd();
		slot_restore_vectors(slot, peer);
		slot_prepare(slot);
		slot_config_read(slot, 0, bytes, 4);
	}
	while (peer->fd_count)
		os_close(&peer->fds[--peer->fd_count]);
	slot->awaited = false;
	slot_detach(slot, true, NULL);
	slot->state = STATUS_SLOT_EMPTY;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct handover_record *record = &machine.peer.record;
	struct handover_setup setup;
	struct handover_machine state;
	size_t length;

	set_up();
	if (handover_open(record, data, size, 1) < 0)
		return 0;
	for (uint32_t tag = 0; tag < 2 * HANDOVER_ARCH; tag++) {
		const uint8_t *item = handover_find(record, tag, &length);

		if (item && (item < data || length > size || item + length > data + size))
			abort();
	}
	if (handover_take_setup(record, &setup) == 0 && !setup.cpus)
		abort();
	if (handover_take_machine(record, &state) == 0 && !state.command)
		abort();
	if (record->kind == HANDOVER_SLOT)
		take_slot();
	return 0;
}
