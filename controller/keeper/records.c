/* SPDX-License-Identifier: Apache-2.0 */
#include "records.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "os/fd.h"

static void free_record(struct record *record)
{
	if (!record)
		return;
	for (size_t i = 0; i < record->fd_count; i++)
		os_close(&record->fds[i]);
	free(record->fds);
	free(record->bytes);
	free(record);
}

/* What was in `fds` is its own from now on. */
static struct record *make_record(const struct keep_head *head, const char *bytes, const int *fds,
				  size_t fd_count)
{
	struct record *record = calloc(1, sizeof(*record));

	if (!record)
		return NULL;
	record->head = *head;
	record->head.verb = KEEP_RECORD;
	record->bytes = malloc(head->length + 1);
	record->fds = malloc((fd_count + 1) * sizeof(*record->fds));
	if (!record->bytes || !record->fds) {
		free_record(record);
		return NULL;
	}
	memcpy(record->bytes, bytes, head->length);
	memcpy(record->fds, fds, fd_count * sizeof(*fds));
	record->fd_count = fd_count;
	return record;
}

static struct record **find(const struct records *records, uint64_t key)
{
	for (size_t i = 0; i < records->count; i++) {
		if (records->all[i]->head.key == key)
			return &records->all[i];
	}
	return NULL;
}

static int append(struct records *records, struct record *record)
{
	if (records->count == KEEP_RECORDS_MAX)
		return -E2BIG;
	if (records->count == records->room) {
		size_t room = records->room ? 2 * records->room : 64;
		struct record **all = realloc(records->all, room * sizeof(struct record *));

		if (!all)
			return -ENOMEM;
		records->all = all;
		records->room = room;
	}
	records->all[records->count++] = record;
	return 0;
}

int records_put(struct records *records, const struct keep_head *head, const char *bytes,
		const int *fds, size_t fd_count)
{
	struct record *record = make_record(head, bytes, fds, fd_count);
	struct record **same = find(records, head->key);
	int ret = record ? 0 : -ENOMEM;

	for (size_t i = 0; !record && i < fd_count; i++)
		close(fds[i]);
	if (ret == 0 && same) {
		free_record(*same);
		*same = record;
	} else if (ret == 0) {
		ret = append(records, record);
	}
	if (ret < 0 && record)
		free_record(record);
	return ret;
}

void records_drop(struct records *records, uint64_t key)
{
	struct record **record = find(records, key);

	if (!record)
		return;
	free_record(*record);
	*record = records->all[--records->count];
}

bool records_name(const struct records *records, pid_t pid)
{
	for (size_t i = 0; i < records->count; i++) {
		for (size_t at = 0; at < KEEP_PIDS_MAX; at++) {
			if (records->all[i]->head.pids[at] == pid)
				return true;
		}
	}
	return false;
}

void records_free(struct records *records)
{
	for (size_t i = 0; i < records->count; i++)
		free_record(records->all[i]);
	free(records->all);
	*records = (struct records){0};
}
