/* SPDX-License-Identifier: Apache-2.0 */
#include "dispatch_call.h"

int call_console(struct call *call)
{
	const struct control_value *from = control_value_find(&call->request, "from");
	uint64_t first = from ? from->number : 0;
	int ret = call_take_known(call);

	if (ret == 0)
		ret = call_accept(call);
	if (ret < 0)
		return ret;
	if (call->unit->live)
		call->result = console_page_of_ring(call->unit->machine.console.view, first);
	else
		call->result = console_page_of_rest(&call->unit->console, first);
	return 0;
}
