/* SPDX-License-Identifier: Apache-2.0 */
#include "audit.h"

#include <errno.h>

#include "audit_files.h"
#include "base/base.h"

/* 0: the file is read to its end, or as far as the log goes; 1: it is enough. */
static int read_file(const struct audit *audit, uint64_t first, uint64_t since, audit_line_fn fn,
		     void *context, struct error *error)
{
	struct audit_lines lines;
	struct audit_link link;
	const char *line;
	ssize_t length = 0;
	int ret = audit_lines_open(&lines, audit->folder, first, &link, error);

	if (ret < 0)
		return ret;
	/* A line that failed half-way has no number yet. */
	while (ret == 0 && link.number < audit->head.last.number &&
	       (length = audit_lines_next(&lines, &line)) > 0) {
		link.number++;
		if (link.number > since && !fn(context, link.number, line, (size_t)length))
			ret = 1;
	}
	audit_lines_close(&lines);
	return length < 0 ? error_set(error, EBADMSG, "line %llu cannot be read",
				      (unsigned long long)link.number + 1)
			  : ret;
}

int audit_read(const struct audit *audit, uint64_t since, audit_line_fn fn, void *context,
	       struct error *error)
{
	uint64_t firsts[AUDIT_FILES_MAX];
	int count = audit_files_list(audit->folder, firsts, error), from = 0, ret = 0;

	while (from + 1 < count && firsts[from + 1] <= since + 1)
		from++;
	for (int i = from; ret == 0 && i < count; i++)
		ret = read_file(audit, firsts[i], since, fn, context, error);
	return count < 0 ? count : ret < 0 ? ret : 0;
}
