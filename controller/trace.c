/* SPDX-License-Identifier: Apache-2.0 */
#include "trace.h"

#include "os/clock.h"

#define PATIENCE (2 * NS_PER_S) /* with a guest that may have no driver */

static const struct {
	const char *text, *part;
} steps[TRACE_STEPS] = {
	[TRACE_STARTED] = {"the program is measured and started", "controller"},
	[TRACE_READY] = {"the function is ready", "card"},
	[TRACE_TOLD] = {"the hypervisor is told", "controller"},
	[TRACE_PRESENT] = {"it is on the bus and trapped", "hypervisor"},
	[TRACE_TAKEN] = {"the guest has taken it", "guest"},
};

void trace_begin(struct trace *trace, uint64_t ticket)
{
	*trace = (struct trace){.ticket = ticket, .begun = ticket ? os_now() : 0};
}

void trace_reach(struct trace *trace, enum trace_step step)
{
	if (trace->begun && !trace->at[step])
		trace->at[step] = os_now();
}

bool trace_waits(const struct trace *trace, uint64_t now)
{
	uint64_t present = trace->at[TRACE_PRESENT];

	return present && !trace->at[TRACE_TAKEN] && now - present < PATIENCE;
}

json_t *trace_report(const struct trace *trace)
{
	json_t *list = trace->begun ? json_array() : NULL;

	for (unsigned i = 0; list && i < TRACE_STEPS; i++) {
		uint64_t us = (trace->at[i] - trace->begun) / NS_PER_US;

		if (trace->at[i])
			json_array_append_new(list, json_pack("{s:s,s:I,s:s}", "step",
							      steps[i].text, "us", (json_int_t)us,
							      "part", steps[i].part));
	}
	return list;
}
