/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the keeper (keep.h) is given of the instances of a fleet, so that the next controller goes
 * on with them: adopt.h. The functions that go through the members serve both.
 */
#ifndef KARUTA_CONTROLLER_REMEMBER_H
#define KARUTA_CONTROLLER_REMEMBER_H

#include "fleet.h"
#include "record.h"

/* What has changed since the last time. */
void remember_unit(struct unit *unit);
/* Its place in the fleet is another's, or nobody's. */
void remember_no_unit(const struct fleet *fleet, unsigned index);
void remember_operation(const struct fleet *fleet, struct operation *operation);
/* Those that are forgotten by now. */
void remember_no_operations(struct fleet *fleet);
/* All of it and the socket, for a keeper that has nothing. */
void remember_all(struct fleet *fleet);

void unit_record(struct unit *unit, struct record *record);
void machine_record(struct machine *machine, struct record *record);
void slot_record(struct slot *slot, struct record *record);
/* The unit goes by its index, UINT32_MAX: none. */
void operation_record(struct operation *operation, uint32_t *unit, struct record *record);

#endif
