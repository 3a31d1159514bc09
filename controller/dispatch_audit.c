/* SPDX-License-Identifier: Apache-2.0 */
#include "dispatch_call.h"

#define PAGE_BYTES (96u << 10) /* which JSON may make twice as many */
#define PAGE_LINES 64u

struct page {
	json_t *lines;
	size_t bytes;
	uint64_t last;
	bool more;
};

static bool take_line(void *context, uint64_t number, const char *line, size_t length)
{
	struct page *page = context;

	if (page->bytes + length > PAGE_BYTES || json_array_size(page->lines) == PAGE_LINES) {
		page->more = true;
		return false;
	}
	page->bytes += length;
	page->last = number;
	return json_array_append_new(page->lines, json_stringn(line, length)) == 0;
}

int call_audit(struct call *call)
{
	const struct control_value *since = control_value_find(&call->request, "since");
	struct page page = {.lines = json_array(), .last = since ? since->number : 0};
	int ret = call_accept(call);

	if (ret == 0)
		ret = audit_read(&call->fleet->audit, page.last, take_line, &page, &call->error);
	if (ret < 0)
		json_decref(page.lines);
	else
		call->result = json_pack("{s:o,s:I,s:b}", "lines", page.lines, "last",
					 (json_int_t)page.last, "more", page.more);
	return ret;
}
