/* SPDX-License-Identifier: Apache-2.0 */
#include "chores.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fleet.h"
#include "os/fd.h"

#define BUSY_PAUSE_MS 5
#define IDLE_PAUSE_MS 1000

#define EACH(chore, fleet)                                                                         \
	(struct chore *chore = (fleet)->chores; chore < (fleet)->chores + CHORES_MAX; chore++)

struct chore *chores_place(struct fleet *fleet, struct operation *operation, struct error *error)
{
	for
		EACH(chore, fleet)
		{
			if (chore->operation)
				continue;
			*chore = (struct chore){.operation = operation,
						.files = fleet->files,
						.file = OS_NEWFILE_NONE,
						.from = -1,
						.process = -1,
						.words = AREA_NONE};
			return chore;
		}
	error_set(error, EBUSY, "%u images or volumes are being made already; try again",
		  CHORES_MAX);
	return NULL;
}

static void *run(void *context)
{
	struct chore *chore = context;

	chore->run(chore);
	atomic_store(&chore->ended, true);
	return NULL;
}

int chores_begin(struct chore *chore, int (*what)(struct chore *chore), struct error *error)
{
	int ret;

	chore->run = what;
	ret = -pthread_create(&chore->thread, NULL, run, chore);
	if (ret < 0) {
		chores_drop(chore);
		return error_set(error, -ret, "a thread: %s", strerror(-ret));
	}
	chore->begun = true;
	chore->operation->wait = OPERATION_CHORE;
	return 0;
}

/* Whoever waits for the program sees it end. */
static void stop(struct chore *chore)
{
	atomic_store(&chore->stop, true);
	if (chore->process >= 0)
		syscall(SYS_pidfd_send_signal, chore->process, SIGKILL, NULL, 0);
}

/* One that no thread waits for. */
static void end_program(struct chore *chore)
{
	siginfo_t info;

	if (chore->process < 0)
		return;
	stop(chore);
	waitid(P_PIDFD, (id_t)chore->process, &info, WEXITED);
}

void chores_drop(struct chore *chore)
{
	if (chore->begun)
		pthread_join(chore->thread, NULL);
	else
		end_program(chore);
	os_newfile_close(&chore->file);
	os_close(&chore->from);
	os_close(&chore->process);
	keyring_free(&chore->keys);
	area_free(&chore->words);
	chore->operation = NULL;
}

bool chores_have_image(const struct fleet *fleet, const char *image)
{
	for (unsigned i = 0; i < CHORES_MAX; i++) {
		if (fleet->chores[i].operation && !strcmp(fleet->chores[i].image, image))
			return true;
	}
	return false;
}

/* No program of ours ends so: alarms.h. It is no instance's. */
static void examine_end(struct fleet *fleet, const struct chore *chore)
{
	struct alarm alarm = {.kind = ALARM_SYSTEM_CALL, .program = "fill", .pid = chore->pid};

	if (chore->signal != SIGSYS)
		return;
	snprintf(alarm.text, sizeof(alarm.text),
		 "ended by SIGSYS: a system call that is not on its list");
	alarms_raise(&fleet->alarms, &alarm);
}

/* Its place is free then, also for who is told of its end. */
static void finish(struct fleet *fleet, struct chore *chore)
{
	struct operation *operation = chore->operation;
	int code = chore->error.code;
	char text[OPERATION_TEXT];

	snprintf(text, sizeof(text), "%s", code ? chore->error.text : chore->text);
	examine_end(fleet, chore);
	chores_drop(chore);
	fleet_finish(fleet, operation, code, text);
}

int chores_turn(struct fleet *fleet)
{
	int pause = IDLE_PAUSE_MS;

	for
		EACH(chore, fleet)
		{
			if (!chore->operation)
				continue;
			if (fleet->ending)
				stop(chore);
			if (atomic_load(&chore->ended))
				finish(fleet, chore);
			pause = BUSY_PAUSE_MS;
		}
	return pause;
}

bool chores_are_done(const struct fleet *fleet)
{
	for (unsigned i = 0; i < CHORES_MAX; i++) {
		if (fleet->chores[i].operation)
			return false;
	}
	return true;
}

void chores_free(struct fleet *fleet)
{
	for
		EACH(chore, fleet)
		{
			if (!chore->operation)
				continue;
			stop(chore);
			chores_drop(chore);
		}
}
