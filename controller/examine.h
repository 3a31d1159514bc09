/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Have an instance's programs done what none of ours does? Each finding is a security event
 * (alarms.h), the instance is marked as compromised until it ends, and the program, if it lives, is
 * ended: the hypervisor with its instance; a card is started again as after any death.
 *
 *	killed by SIGSYS		the kernel has ended it for a call outside its list
 *	a page that is not one		it has written what a program of ours cannot
 *	a word on a link		where the controller speaks and nobody is to answer
 *	its peer's count of errors	hearsay: an event and the mark, but nothing is ended for it
 *	its guest's count		an event alone, one a second and card: guests are not
 *trusted
 */
#ifndef KARUTA_CONTROLLER_EXAMINE_H
#define KARUTA_CONTROLLER_EXAMINE_H

#include "machine.h"

/* Before anything is done about a program that has ended: what it was is not known after. */
void examine(struct machine *machine, uint64_t now);

#endif
