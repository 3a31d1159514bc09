/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "dispatch_call.h"

int call_update_host(struct call *call)
{
	const struct control_value *part = control_value_find(&call->request, "part");
	char text[17] = "";
	int ret = 0;

	call_copy_text(part, text, sizeof(text));
	call_name_target(call, "host", text);
	if (part && strcmp(text, "controller") != 0)
		ret = error_set(&call->error, EINVAL, "part: %s: must be controller", text);
	if (ret == 0)
		ret = call_accept(call);
	if (ret < 0)
		return ret;
	return host_update_begin(call->fleet, call->operation, !part, &call->error);
}
