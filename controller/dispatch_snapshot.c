/* SPDX-License-Identifier: Apache-2.0 */
#include "dispatch_call.h"
#include "files.h"

int call_snapshot(struct call *call)
{
	char card[CARD_NAME_MAX + 1], path[FILES_PATH_MAX];
	int ret = call_take_names(call, card);

	if (ret == 0)
		ret = files_take_volume(call->fleet->files,
					control_value_find(&call->request, "file"), path,
					&call->error);
	if (ret == 0)
		ret = call_begin(call);
	if (ret < 0)
		return ret;
	return snapshots_begin(call->unit, card, path, call->operation, &call->error);
}
