/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's physical cores, and which of them an instance gets that wants whole ones. All
 * processors (hardware threads) of a core go together.
 */
#ifndef KARUTA_CONTROLLER_CORES_H
#define KARUTA_CONTROLLER_CORES_H

#include "base/error.h"
#include "cpus.h"

struct cores {
	struct cpus online;
	uint16_t core[CPUS_MAX];    /* by processor: the lowest one of the same core */
	uint16_t package[CPUS_MAX]; /* by processor; a number too high for this is cut */
};

/* From `folder`, which is /sys/devices/system/cpu or looks like it. What is missing or makes no
 * sense there makes cores larger, or of one processor each, never two of what is one. */
int cores_read(struct cores *cores, const char *folder, struct error *error);

/*
 * Chooses `wanted` cores among those with no processor in `taken`: of one package if they are to be
 * had there, that which has the fewest free ones, and the last ones first, since the first one of a
 * host is where most of its interrupts go. One core always stays for everybody else. Returns 0, or
 * -EBUSY with the text for who has asked.
 */
int cores_choose(const struct cores *cores, const struct cpus *taken, unsigned wanted,
		 struct cpus *chosen, struct error *error);

#endif
