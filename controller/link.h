/* SPDX-License-Identifier: Apache-2.0 */
/* The connections of an instance's programs. The controller keeps none that it could be spoken to
 * on. */
#ifndef KARUTA_CONTROLLER_LINK_H
#define KARUTA_CONTROLLER_LINK_H

#include "base/error.h"

/* Both ends of a connection; -1 once an end was given away. */
struct link {
	int ours;
	int theirs;
};

#define LINK_NONE ((struct link){.ours = -1, .theirs = -1})

/* A bus link between a card (theirs) and the hypervisor (ours, until it is sent there). */
int link_bus(struct link *link, struct error *error);
/* A pipe that the hypervisor can only read; our end never blocks. */
int link_commands(struct link *link, struct error *error);
/* A socket for descriptors. Who speaks in its return direction has given itself away: examine.h. */
int link_descriptors(struct link *link, struct error *error);
/* A socket between two hypervisors that keeps messages apart. */
int link_between(struct link *link, struct error *error);
/* One descriptor on its way. -EAGAIN: the other end does not take them. */
int link_send_descriptor(const struct link *link, int fd);
void link_close(struct link *link);

#endif
