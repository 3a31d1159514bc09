/* SPDX-License-Identifier: Apache-2.0 */
/* What a program of an instance is born with: the files that the controller opens for it. */
#ifndef KARUTA_CONTROLLER_FIT_H
#define KARUTA_CONTROLLER_FIT_H

#include "base/error.h"
#include "machine.h"

/* Starts the card's program with bus link, command pipe, state area, status page, store and key.
 * The key's descriptor is closed here whatever comes of it. */
int fit_card(struct machine *machine, struct slot *slot, struct error *error);
/* Starts it again, with the same state area, status page, store and key and new links, after its
 * last process has ended. */
int fit_card_again(struct machine *machine, struct slot *slot, struct error *error);
/* Starts slot->successor on the same things beside the process that uses them; it goes on when that
 * one has stopped. */
int fit_successor(struct machine *machine, struct slot *slot, struct error *error);
/* The store is at least so long from now on, and what is started on it is told so. Never shorter:
 * -EINVAL. */
int fit_grow(struct machine *machine, struct slot *slot, uint64_t size, struct error *error);
/* Starts the hypervisor with its channels, pages, /dev/kvm, kernel and initrd. */
int fit_hypervisor(struct machine *machine, struct error *error);
/* Starts upgrade.other, of this measured program, beside the hypervisor, with channels of its own
 * and the same pages. */
int fit_hypervisor_beside(struct machine *machine, int program, struct error *error);

#endif
