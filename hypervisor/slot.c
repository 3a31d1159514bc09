/* SPDX-License-Identifier: Apache-2.0 */
/* Inserting and removing cards. All on the main thread. */
#include <errno.h>
#include <string.h>

#include "base/base.h"
#include "machine.h"
#include "os/clock.h"
#include "os/fd.h"
#include "slot.h"
#include "vfu/vfu_client.h"

static void set_state(struct slot *slot, enum status_slot state)
{
	slot->state = state;
	atomic_store(&slot->machine->status->slots[slot->number], (uint8_t)state);
}

void slot_init(struct slot *slot, struct machine *machine, unsigned number)
{
	*slot = (struct slot){.machine = machine, .number = number};
	doorbells_init(&slot->doorbells);
	pthread_mutex_init(&slot->lock, NULL);
	pthread_cond_init(&slot->changed, NULL);
}

static void release(struct slot *slot)
{
	struct vfu_client *client, *lost;

	pthread_mutex_lock(&slot->lock);
	client = slot->client;
	lost = slot->lost;
	slot->client = slot->lost = NULL;
	slot->reset_due = false;
	pthread_cond_broadcast(&slot->changed);
	bus_set_windows(&slot->machine->bus, slot->number, NULL);
	doorbells_destroy(&slot->doorbells, slot->machine->vm);
	vectors_destroy(&slot->vectors, &slot->msix);
	pthread_mutex_unlock(&slot->lock);
	vfu_client_destroy(client);
	vfu_client_destroy(lost);
}

static int insert(struct slot *slot, struct vfu_client *client, struct error *error)
{
	int ret = slot_inquire(slot, client, error);

	if (ret < 0) {
		error_prefix(error, "slot %u: the card", slot->number);
		release(slot);
		vfu_client_destroy(client);
		return ret;
	}
	slot->express = pci_find_capability(slot->config, PCI_CAP_EXPRESS, 12);
	pthread_mutex_lock(&slot->lock);
	slot->client = client;
	slot_forget(slot);
	pthread_mutex_unlock(&slot->lock);
	set_state(slot, STATUS_SLOT_PRESENT);
	if (slot->machine->started) {
		slot->awaited = true;
		events_insert(&slot->machine->events, slot->number);
	}
	return 0;
}

int slot_attach(struct slot *slot, int link, struct error *error)
{
	struct vfu_client *client = NULL;
	int ret = 0;

	if (slot->client || slot->lost || slot->awaited) {
		ret = error_set(error, EBUSY,
				slot->client || slot->lost
					? "slot %u: there is a card in it already"
					: "slot %u: the guest has not let go of the card "
					  "that was in it",
				slot->number);
	} else {
		ret = vfu_client_create(&client, link, NULL, NULL, SLOT_DEADLINE_MS);
		if (ret < 0)
			error_set(error, -ret, "slot %u: no bus link: %s", slot->number,
				  strerror(-ret));
	}
	if (ret < 0) {
		os_close(&link);
		return ret;
	}
	return insert(slot, client, error);
}

int slot_detach(struct slot *slot, bool force, struct error *error)
{
	if (slot->state == STATUS_SLOT_EMPTY)
		return error_set(error, ENOENT, "slot %u: there is no card in it", slot->number);
	if (slot->client && slot->awaited && !force) {
		set_state(slot, STATUS_SLOT_EJECTING);
		events_remove(&slot->machine->events, slot->number);
		return 0;
	}
	if ((slot->client || slot->lost) && slot->awaited)
		events_remove(&slot->machine->events, slot->number);
	release(slot);
	set_state(slot, STATUS_SLOT_EMPTY);
	return 0;
}

void slot_ejected(struct slot *slot)
{
	slot->awaited = false;
	if (slot->state == STATUS_SLOT_EMPTY)
		return;
	release(slot);
	set_state(slot, STATUS_SLOT_EMPTY);
}

static void fail(struct slot *slot)
{
	release(slot);
	set_state(slot, STATUS_SLOT_FAILED);
	if (slot->awaited)
		events_remove(&slot->machine->events, slot->number);
}

/* Doorbells stay connected, to nobody: who is linked next takes all of its own for rung. */
void slot_hangup(struct slot *slot)
{
	if (slot->state != STATUS_SLOT_PRESENT || !slot->machine->started) {
		fail(slot);
		return;
	}
	pthread_mutex_lock(&slot->lock);
	slot->lost = slot->client;
	slot->client = NULL;
	pthread_mutex_unlock(&slot->lock);
	slot->give_up = os_now() + COMMAND_WAITING_MS * NS_PER_MS;
	set_state(slot, STATUS_SLOT_WAITING);
}

void slot_turn(struct slot *slot)
{
	if (slot->state == STATUS_SLOT_WAITING && os_now() >= slot->give_up)
		fail(slot);
}

void slot_interrupt(struct slot *slot)
{
	pthread_mutex_lock(&slot->lock);
	pthread_cond_broadcast(&slot->changed);
	pthread_mutex_unlock(&slot->lock);
}

static void install(struct slot *slot, struct vfu_client *client)
{
	struct vfu_client *lost;

	pthread_mutex_lock(&slot->lock);
	lost = slot->lost;
	slot->lost = NULL;
	slot->client = client;
	slot->reset_due = false;
	pthread_cond_broadcast(&slot->changed);
	pthread_mutex_unlock(&slot->lock);
	vfu_client_destroy(lost);
	set_state(slot, STATUS_SLOT_PRESENT);
}

int slot_relink(struct slot *slot, int link, struct error *error)
{
	struct vfu_client *client = NULL;
	int ret;

	/* The controller may have seen the end of the old one's process before us. */
	if (slot->state == STATUS_SLOT_PRESENT)
		slot_hangup(slot);
	if (slot->state != STATUS_SLOT_WAITING)
		ret = error_set(error, EINVAL, "slot %u: no card is waited for", slot->number);
	else
		ret = vfu_client_create(&client, link, NULL, NULL, SLOT_DEADLINE_MS);
	if (ret < 0) {
		os_close(&link);
		return error->code ? ret
				   : error_set(error, -ret, "slot %u: no bus link: %s",
					       slot->number, strerror(-ret));
	}
	ret = slot_resume(slot, client, error);
	if (ret < 0) {
		error_prefix(error, "slot %u: the card", slot->number);
		vfu_client_destroy(client);
		return ret;
	}
	install(slot, client);
	return 0;
}

void slot_check(struct slot *slot)
{
	if (slot->client && vfu_client_is_dead(slot->client))
		slot_hangup(slot);
}

void slot_forget(struct slot *slot)
{
	slot->command = 0;
	pci_bars_init(slot->bars, slot->sizes, slot->types);
	bus_set_windows(&slot->machine->bus, slot->number, NULL);
	doorbells_update(&slot->doorbells, slot->machine->vm, (const uint64_t[PCI_BARS]){0});
	pci_msix_reset(&slot->msix);
	vectors_update(&slot->vectors, &slot->msix, slot->client);
}

void slot_reset(struct slot *slot)
{
	slot->awaited = false;
	if (slot->state == STATUS_SLOT_EJECTING)
		slot_ejected(slot);
	if (!slot->client && !slot->lost)
		return;
	pthread_mutex_lock(&slot->lock);
	slot_forget(slot);
	if (slot->client && slot->can_reset)
		vfu_client_reset(slot->client);
	/* A death may be noticed only now. */
	slot->reset_due = !slot->client || vfu_client_is_dead(slot->client);
	slot_refresh_doorbells(slot);
	pthread_mutex_unlock(&slot->lock);
	slot_check(slot);
}

void slot_start(struct slot *slot)
{
	slot->awaited = slot->client || slot->lost;
}

int slot_link(const struct slot *slot)
{
	return slot->client ? vfu_client_fd(slot->client) : -1;
}

int slot_news_fd(const struct slot *slot)
{
	return doorbells_news(&slot->doorbells);
}

void slot_news(struct slot *slot)
{
	doorbells_hear(&slot->doorbells);
}
