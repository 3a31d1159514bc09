/* SPDX-License-Identifier: Apache-2.0 */
/* The vCPU threads: run guest code, serve its exits, park when the machine is to stand still. */
#ifndef KARUTA_HYPERVISOR_VCPU_H
#define KARUTA_HYPERVISOR_VCPU_H

#include "base/error.h"

struct machine;

/* Starts all threads, parked. Once, before the sandbox's last step. */
int vcpu_start(struct machine *machine, struct error *error);

#endif
