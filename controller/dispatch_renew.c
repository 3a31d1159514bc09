/* SPDX-License-Identifier: Apache-2.0 */
#include "dispatch_call.h"

int call_renew_request(struct call *call)
{
	const char *request;
	int ret;

	call_name_target(call, "host", "");
	ret = call_accept(call);
	if (ret == 0)
		ret = renewal_request(call->fleet->renewal, &request, &call->error);
	if (ret == 0)
		call->result = json_pack("{s:s}", "request", request);
	return ret;
}

int call_renew_install(struct call *call)
{
	char text[OPERATION_TEXT] = "the certificate is in use";
	int ret;

	call_name_target(call, "host", "");
	ret = call_accept(call);
	if (ret == 0)
		ret = renewal_install(call->fleet->renewal,
				      control_value_find(&call->request, "certificate"),
				      &call->error);
	if (ret == 0)
		fleet_finish(call->fleet, call->operation, 0, text);
	return ret;
}
