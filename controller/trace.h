/* SPDX-License-Identifier: Apache-2.0 */
/* When a card that somebody has asked for came how far on its way to the guest, and whose part of
 * the way that was. */
#ifndef KARUTA_CONTROLLER_TRACE_H
#define KARUTA_CONTROLLER_TRACE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum trace_step {
	TRACE_STARTED, /* its program is measured and runs */
	TRACE_READY,   /* its function is made, its sandbox on */
	TRACE_TOLD,    /* the hypervisor has its link */
	TRACE_PRESENT, /* its place on the bus is trapped, the guest was told */
	TRACE_TAKEN,   /* the guest's driver has used it: as far as its counters show */
	TRACE_STEPS,
};

struct trace {
	uint64_t ticket;	  /* of who asked */
	uint64_t begun;		  /* when the request was read, of os_now(); 0: nobody asked */
	uint64_t at[TRACE_STEPS]; /* 0: not there yet */
};

void trace_begin(struct trace *trace, uint64_t ticket);
/* The first time counts. */
void trace_reach(struct trace *trace, enum trace_step step);
/* The guest was told not long ago, and may take it any moment. */
bool trace_waits(const struct trace *trace, uint64_t now);
/* [{"step": TEXT, "us": NUMBER, "part": TEXT}, ...], microseconds since the request was read, as
 * far as it has come; NULL: nobody asked, or out of memory. */
json_t *trace_report(const struct trace *trace);

#endif
