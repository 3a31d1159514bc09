/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshots.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fleet.h"
#include "os/fd.h"

#define BUSY_PAUSE_MS 10
#define IDLE_PAUSE_MS 1000

#define EACH(snapshot, fleet)                                                                      \
	(struct snapshot *snapshot = (fleet)->snapshots;                                           \
	 snapshot < (fleet)->snapshots + SNAPSHOTS_MAX; snapshot++)

/* ---- threads ---- */

static void *write_out(void *context)
{
	struct snapshot *snapshot = context;

	snapshot->result = syncfs(snapshot->file.fd) < 0 ? -errno : 0;
	atomic_store(&snapshot->ended, true);
	return NULL;
}

static void *publish(void *context)
{
	struct snapshot *snapshot = context;

	snapshot->result = os_newfile_publish(&snapshot->file);
	atomic_store(&snapshot->ended, true);
	return NULL;
}

static bool has_thread(const struct snapshot *snapshot)
{
	return snapshot->step == SNAPSHOT_WRITING || snapshot->step == SNAPSHOT_PUBLISHING;
}

static int begin_thread(struct snapshot *snapshot, enum snapshot_step step, void *(*run)(void *))
{
	int ret;

	atomic_store(&snapshot->ended, false);
	ret = -pthread_create(&snapshot->thread, NULL, run, snapshot);
	if (ret == 0)
		snapshot->step = step;
	return ret;
}

/* ---- a snapshot ---- */

static struct snapshot *free_place(struct fleet *fleet)
{
	for
		EACH(snapshot, fleet)
		{
			if (snapshot->step == SNAPSHOT_NONE)
				return snapshot;
		}
	return NULL;
}

int snapshots_begin(struct unit *unit, const char *card, const char *path,
		    struct operation *operation, struct error *error)
{
	struct snapshot *snapshot = free_place(unit->fleet);
	int ret;

	if (!snapshot)
		return error_set(error, EBUSY, "%u snapshots are under way", SNAPSHOTS_MAX);
	*snapshot = (struct snapshot){.unit = unit, .operation = operation};
	snprintf(snapshot->card, sizeof(snapshot->card), "%s", card);
	ret = os_newfile_open(&snapshot->file, path);
	if (ret == 0)
		ret = begin_thread(snapshot, SNAPSHOT_WRITING, write_out);
	if (ret < 0) {
		os_newfile_close(&snapshot->file);
		return error_set(error, -ret, "%s: %s", path, strerror(-ret));
	}
	snapshot->ticket = fleet_wait(unit, operation, OPERATION_SNAPSHOT);
	return 0;
}

/* Its place is free then, also for who is told of its end. */
static void finish(struct fleet *fleet, struct snapshot *snapshot, int code, const char *text)
{
	struct operation *operation = snapshot->operation;

	os_newfile_close(&snapshot->file);
	snapshot->step = SNAPSHOT_NONE;
	fleet_finish(fleet, operation, code, text);
}

static void fail(struct fleet *fleet, struct snapshot *snapshot, int ret)
{
	char text[OPERATION_TEXT];

	snprintf(text, sizeof(text), "%s: %s", snapshot->file.path, strerror(-ret));
	finish(fleet, snapshot, -ret, text);
}

/* The file is shared with the task, which closes its own descriptor of it. */
static void share(struct fleet *fleet, struct snapshot *snapshot)
{
	int target = fcntl(snapshot->file.fd, F_DUPFD_CLOEXEC, 3);
	struct error error = {0};
	int ret = target < 0 ? -errno : 0;

	if (ret == 0)
		ret = tasks_snapshot(&snapshot->unit->machine, snapshot->card, target,
				     snapshot->ticket, &error);
	if (ret == 0)
		snapshot->step = SNAPSHOT_SHARING;
	else if (error.code)
		finish(fleet, snapshot, error.code, error.text);
	else
		fail(fleet, snapshot, ret);
}

static void turn(struct fleet *fleet, struct snapshot *snapshot)
{
	if (has_thread(snapshot)) {
		if (!atomic_load(&snapshot->ended))
			return;
		pthread_join(snapshot->thread, NULL);
	}
	if (snapshot->step == SNAPSHOT_PUBLISHING && snapshot->result == 0)
		finish(fleet, snapshot, 0, snapshot->text);
	else if (snapshot->step != SNAPSHOT_PUBLISHING && !snapshot->unit)
		finish(fleet, snapshot, ESHUTDOWN, "the instance has ended");
	else if (snapshot->step == SNAPSHOT_WRITING && snapshot->result == 0)
		share(fleet, snapshot);
	else if (snapshot->step != SNAPSHOT_SHARING)
		fail(fleet, snapshot, snapshot->result);
}

int snapshots_turn(struct fleet *fleet)
{
	int pause = IDLE_PAUSE_MS;

	for
		EACH(snapshot, fleet)
		{
			if (snapshot->step != SNAPSHOT_NONE)
				turn(fleet, snapshot);
			if (snapshot->step != SNAPSHOT_NONE)
				pause = BUSY_PAUSE_MS;
		}
	return pause;
}

bool snapshots_answer(struct fleet *fleet, uint64_t ticket, int code, const char *text)
{
	for
		EACH(snapshot, fleet)
		{
			int ret;

			if (snapshot->step != SNAPSHOT_SHARING || snapshot->ticket != ticket)
				continue;
			snprintf(snapshot->text, sizeof(snapshot->text), "%s", text);
			ret = code ? 0 : begin_thread(snapshot, SNAPSHOT_PUBLISHING, publish);
			if (code)
				finish(fleet, snapshot, code, text);
			else if (ret < 0)
				fail(fleet, snapshot, ret);
			return true;
		}
	return false;
}

void snapshots_lose(const struct unit *unit)
{
	for
		EACH(snapshot, unit->fleet)
		{
			if (snapshot->unit == unit)
				snapshot->unit = NULL;
		}
}

bool snapshots_are_done(const struct fleet *fleet)
{
	for (unsigned i = 0; i < SNAPSHOTS_MAX; i++) {
		if (fleet->snapshots[i].step != SNAPSHOT_NONE)
			return false;
	}
	return true;
}

void snapshots_free(struct fleet *fleet)
{
	for
		EACH(snapshot, fleet)
		{
			if (has_thread(snapshot))
				pthread_join(snapshot->thread, NULL);
			if (snapshot->step != SNAPSHOT_NONE)
				os_newfile_close(&snapshot->file);
			snapshot->step = SNAPSHOT_NONE;
		}
}
