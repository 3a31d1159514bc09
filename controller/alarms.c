/* SPDX-License-Identifier: Apache-2.0 */
#include "alarms.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/base.h"
#include "os/clock.h"
#include "record.h"

/* The kernel writes its log from a thread of its own. */
#define KERNEL_LOG_DEADLINE (300 * NS_PER_MS)

static const char *const kinds[] = {
	[ALARM_SYSTEM_CALL] = "system-call",
	[ALARM_STATUS_PAGE] = "status-page",
	[ALARM_MESSAGE] = "message",
	[ALARM_BUS] = "bus",
	[ALARM_GUEST] = "guest",
};

void alarms_open(struct alarms *alarms, struct audit *audit)
{
	*alarms = (struct alarms){.audit = audit};
	kernel_log_open(&alarms->kernel_log);
}

/* ---- raising ---- */

static void note(const struct alarm *alarm)
{
	fprintf(stderr, "karuta-controller: %s: SECURITY EVENT %llu: %s: %s, pid %d: %s%s%s\n",
		alarm->instance, (unsigned long long)alarm->number, kinds[alarm->kind],
		alarm->program, alarm->pid, alarm->text, alarm->evidence[0] ? ": " : "",
		alarm->evidence);
}

/* Nobody ordered it: there is nothing to be refused if it cannot be written. */
static void write_line(struct alarms *alarms, const struct alarm *alarm)
{
	char object[sizeof(alarm->instance) + sizeof(alarm->program) + 1];
	char text[sizeof(alarm->text) + sizeof(alarm->evidence) + 64];
	struct audit_record record = {
		.caller = "controller", .verb = "event", .object = object, .text = text};
	struct error error = {0};

	snprintf(object, sizeof(object), "%s/%s", alarm->instance, alarm->program);
	snprintf(text, sizeof(text), "%s: pid %d: %s; %s", kinds[alarm->kind], alarm->pid,
		 alarm->text, alarm->evidence);
	if (audit_write(alarms->audit, &record, &error) < 0)
		fprintf(stderr, "karuta-controller: %s\n", error.text);
}

static void alarm_record(struct alarm *alarm, struct record *record)
{
	uint64_t when = (uint64_t)alarm->when_ms;
	int kind = (int)alarm->kind;

	record_u64(record, "number", &alarm->number);
	record_u64(record, "when", &when);
	alarm->when_ms = (int64_t)when;
	record_enum(record, "kind", &kind, ALARM_GUEST + 1);
	alarm->kind = (enum alarm_kind)kind;
	record_bool(record, "again", &alarm->again);
	record_text(record, "instance", alarm->instance, sizeof(alarm->instance));
	record_text(record, "program", alarm->program, sizeof(alarm->program));
	record_int(record, "pid", &alarm->pid);
	record_text(record, "text", alarm->text, sizeof(alarm->text));
	record_text(record, "evidence", alarm->evidence, sizeof(alarm->evidence));
}

/* Behind those that were raised are those that wait to be. */
static struct alarm *alarm_at(struct alarms *alarms, unsigned place)
{
	return place < ARRAY_LEN(alarms->all)
		       ? &alarms->all[place]
		       : &alarms->pending[place - ARRAY_LEN(alarms->all)].alarm;
}

static void remember(struct alarms *alarms, unsigned place)
{
	struct record record;

	if (!keep_is_open())
		return;
	record_write(&record);
	alarm_record(alarm_at(alarms, place), &record);
	record_put(&record, keep_key(KEEP_ALARM, 0, place));
	record_free(&record);
}

void alarms_remember(struct alarms *alarms)
{
	for (unsigned i = 0; i < ARRAY_LEN(alarms->all); i++) {
		if (alarms->all[i].number)
			remember(alarms, i);
	}
	for (unsigned i = 0; i < ALARMS_PENDING; i++) {
		if (alarms->pending[i].until)
			remember(alarms, (unsigned)ARRAY_LEN(alarms->all) + i);
	}
}

static const struct {
	unsigned first, count;
} rings[] = {{0, ALARMS_PROGRAMS}, {ALARMS_PROGRAMS, ALARMS_GUESTS}};

static void keep(struct alarms *alarms, const struct alarm *alarm)
{
	unsigned ring = alarm->kind == ALARM_GUEST || alarm->again;
	unsigned place = rings[ring].first + alarms->next[ring];

	alarms->all[place] = *alarm;
	alarms->next[ring] = (alarms->next[ring] + 1) % rings[ring].count;
	remember(alarms, place);
}

static void adopt(struct alarms *alarms, const struct alarm *alarm, unsigned place)
{
	unsigned ring = place >= ALARMS_PROGRAMS;
	uint64_t newest = 0;

	alarms->all[place] = *alarm;
	alarms->last = max_u64(alarms->last, alarm->number);
	for (unsigned i = 0; i < rings[ring].count; i++)
		newest = max_u64(newest, alarms->all[rings[ring].first + i].number);
	if (alarm->number == newest)
		alarms->next[ring] = (place - rings[ring].first + 1) % rings[ring].count;
}

void alarms_adopt(struct alarms *alarms, unsigned place, struct keep_record *from)
{
	struct alarm alarm = {0};
	struct record record;
	bool failed;

	record_read(&record, from);
	alarm_record(&alarm, &record);
	failed = record.failed;
	record_free(&record);
	if (failed || place >= ARRAY_LEN(alarms->all) + ALARMS_PENDING)
		return;
	if (place < ARRAY_LEN(alarms->all))
		adopt(alarms, &alarm, place);
	else
		*alarm_at(alarms, place) = alarm;
	if (place >= ARRAY_LEN(alarms->all))
		alarms->pending[place - ARRAY_LEN(alarms->all)].until = 1;
}

static void publish(struct alarms *alarms, struct alarm *alarm)
{
	alarm->number = ++alarms->last;
	keep(alarms, alarm);
	if (alarm->again)
		return;
	note(alarm);
	write_line(alarms, alarm);
}

static int64_t wall_clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / (int64_t)NS_PER_MS;
}

void alarms_raise(struct alarms *alarms, const struct alarm *alarm)
{
	struct alarm raised = *alarm;

	raised.when_ms = wall_clock_ms();
	for (size_t i = 0; alarm->kind == ALARM_SYSTEM_CALL && i < ALARMS_PENDING; i++) {
		if (alarms->pending[i].until)
			continue;
		alarms->pending[i].alarm = raised;
		alarms->pending[i].until = os_now() + KERNEL_LOG_DEADLINE;
		remember(alarms, (unsigned)(ARRAY_LEN(alarms->all) + i));
		return;
	}
	publish(alarms, &raised);
}

/* The call before the last words: these are the program's, who is taken for hostile. */
static void add_call(struct alarm *alarm, int call)
{
	char words[ALARM_EVIDENCE / 2], name[64];

	snprintf(words, sizeof(words), "%s", alarm->evidence);
	kernel_log_name(call, name, sizeof(name));
	snprintf(alarm->evidence, sizeof(alarm->evidence), "system call %s%s%s", name,
		 words[0] ? "; " : "", words);
}

bool alarms_turn(struct alarms *alarms, uint64_t now)
{
	bool waits = false;

	for (size_t i = 0; i < ALARMS_PENDING; i++) {
		struct alarm *alarm = &alarms->pending[i].alarm;
		int call;

		if (!alarms->pending[i].until)
			continue;
		call = kernel_log_find(&alarms->kernel_log, alarm->pid);
		if (call < 0 && alarms->kernel_log.fd >= 0 && now < alarms->pending[i].until) {
			waits = true;
			continue;
		}
		if (call >= 0)
			add_call(alarm, call);
		alarms->pending[i].until = 0;
		publish(alarms, alarm);
		keep_drop(keep_key(KEEP_ALARM, 0, (unsigned)(ARRAY_LEN(alarms->all) + i)));
	}
	return waits;
}

void alarms_close(struct alarms *alarms)
{
	while (alarms_turn(alarms, os_now()))
		poll(NULL, 0, ALARMS_PAUSE_MS);
	kernel_log_close(&alarms->kernel_log);
}

/* ---- telling ---- */

static json_t *describe(const struct alarm *alarm)
{
	return json_pack("{s:I,s:I,s:s,s:s,s:s,s:i,s:s,s:s}", "number", (json_int_t)alarm->number,
			 "when_ms", (json_int_t)alarm->when_ms, "kind", kinds[alarm->kind],
			 "instance", alarm->instance, "program", alarm->program, "pid",
			 (int)alarm->pid, "text", alarm->text, "evidence", alarm->evidence);
}

/* The first after `number`; NULL: there is none. */
static const struct alarm *first_after(const struct alarms *alarms, uint64_t number)
{
	const struct alarm *found = NULL;

	for (size_t i = 0; i < ARRAY_LEN(alarms->all); i++) {
		const struct alarm *alarm = &alarms->all[i];

		if (alarm->number > number && (!found || alarm->number < found->number))
			found = alarm;
	}
	return found;
}

json_t *alarms_list(const struct alarms *alarms, uint64_t since)
{
	json_t *list = json_array();
	const struct alarm *alarm = first_after(alarms, since);

	for (; list && alarm && json_array_size(list) < ALARMS_LISTED;
	     alarm = first_after(alarms, alarm->number))
		json_array_append_new(list, describe(alarm));
	return json_pack("{s:o,s:I,s:b}", "events", list, "last", (json_int_t)alarms->last, "more",
			 alarm != NULL);
}

json_t *alarms_of(const struct alarms *alarms, const char *instance, unsigned most)
{
	json_t *list = json_array();

	for (const struct alarm *alarm = alarms ? first_after(alarms, 0) : NULL; list && alarm;
	     alarm = first_after(alarms, alarm->number)) {
		if (strcmp(alarm->instance, instance) != 0)
			continue;
		json_array_append_new(list, describe(alarm));
		if (json_array_size(list) > most)
			json_array_remove(list, 0);
	}
	return list;
}
