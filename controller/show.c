/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "os/fd.h"
#include "show.h"

static const char *text_of(const json_t *object, const char *member)
{
	const char *text = json_string_value(json_object_get(object, member));

	return text ? text : "";
}

static json_int_t number_of(const json_t *object, const char *member)
{
	return json_integer_value(json_object_get(object, member));
}

static void show_card(const json_t *card)
{
	const json_t *counters = json_object_get(card, "counters");
	json_int_t events = number_of(counters, "security_events");

	printf("%4lld  %-20s %-8s %-10s %10lld %10lld  ", (long long)number_of(card, "slot"),
	       text_of(card, "name"), text_of(card, "kind"), text_of(card, "state"),
	       (long long)number_of(counters, "reads"), (long long)number_of(counters, "writes"));
	if (events)
		printf("%lld security events; ", (long long)events);
	printf("%s\n", text_of(card, "text"));
}

static void show_host(const json_t *host)
{
	const char *quarantine = text_of(host, "quarantine");

	printf("host: release %lld (%s), %s\n", (long long)number_of(host, "release"),
	       text_of(host, "signer"), text_of(host, "attestation"));
	if (*quarantine)
		printf("host: QUARANTINE %s\n", quarantine);
}

static void show_limits(const json_t *status)
{
	const char *cores = text_of(status, "cores");

	printf("limits: %s%s%s\n", text_of(status, "limits"), *cores ? "; whole cores: " : "",
	       cores);
}

/* As long as it is not all there. */
static void show_memory(const json_t *status)
{
	json_int_t reserved = number_of(json_object_get(status, "counters"), "reserved");

	if (reserved && reserved < number_of(status, "memory"))
		printf("memory: %lld MiB of it are reserved so far\n", (long long)(reserved >> 20));
}

static const char *compromised(const json_t *status)
{
	return json_is_true(json_object_get(status, "compromised")) ? "COMPROMISED; " : "";
}

void show_status(const json_t *status)
{
	const json_t *cards = json_object_get(status, "cards");
	const json_t *uptime = json_object_get(status, "uptime_ms");
	json_int_t restarts = number_of(status, "restarts");
	double seconds = (double)json_integer_value(uptime) / 1000;

	if (!uptime) {
		printf("%s: %s: %s%s\n", text_of(status, "name"), text_of(status, "state"),
		       compromised(status), text_of(status, "text"));
		return;
	}
	printf("%s: %s%s for %.1f s, %lld MiB, %lld cpus, pid %lld\n", text_of(status, "name"),
	       compromised(status), text_of(status, "state"), seconds,
	       (long long)(number_of(status, "memory") >> 20), (long long)number_of(status, "cpus"),
	       (long long)number_of(status, "pid"));
	if (restarts)
		printf("restarts: %lld, the last after: %s\n", (long long)restarts,
		       text_of(status, "last"));
	show_memory(status);
	show_limits(status);
	show_host(json_object_get(status, "host"));
	if (json_array_size(cards))
		printf("%4s  %-20s %-8s %-10s %10s %10s\n", "slot", "name", "kind", "state",
		       "reads", "writes");
	for (size_t i = 0; i < json_array_size(cards); i++)
		show_card(json_array_get(cards, i));
	show_events(json_object_get(status, "events"));
}

static void show_event(const json_t *event)
{
	time_t when = (time_t)(number_of(event, "when_ms") / 1000);
	struct tm parts;
	char text[32] = "";

	if (gmtime_r(&when, &parts))
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts);
	printf("event %lld  %s  %-11s  %s/%s, pid %lld: %s%s%s\n",
	       (long long)number_of(event, "number"), text, text_of(event, "kind"),
	       text_of(event, "instance"), text_of(event, "program"),
	       (long long)number_of(event, "pid"), text_of(event, "text"),
	       *text_of(event, "evidence") ? ": " : "", text_of(event, "evidence"));
}

void show_events(const json_t *events)
{
	for (size_t i = 0; i < json_array_size(events); i++)
		show_event(json_array_get(events, i));
}

void show_list(const json_t *list)
{
	const json_t *instances = json_object_get(list, "instances");

	printf("%-24s %-16s %8s %5s %8s  %s\n", "name", "state", "MiB", "cpus", "restarts", "");
	for (size_t i = 0; i < json_array_size(instances); i++) {
		const json_t *instance = json_array_get(instances, i);

		printf("%-24s %-16s %8lld %5lld %8lld  %s%s\n", text_of(instance, "name"),
		       text_of(instance, "state"), (long long)(number_of(instance, "memory") >> 20),
		       (long long)number_of(instance, "cpus"),
		       (long long)number_of(instance, "restarts"), compromised(instance),
		       text_of(instance, "text"));
	}
}

/* What a caller has chosen, perhaps with a terminal in mind. */
static void print_clean(const char *text)
{
	for (const char *at = text; *at; at++)
		putchar((unsigned char)*at < ' ' || *at == 0x7f ? '?' : *at);
}

void show_audit_entry(const json_t *entry)
{
	json_int_t code = number_of(entry, "code");

	printf("%6lld  %.19s  ", (long long)number_of(entry, "number"), text_of(entry, "time"));
	if (json_object_get(entry, "of")) {
		printf("%6lld: ", (long long)number_of(entry, "of"));
	} else {
		print_clean(text_of(entry, "caller"));
		fputs(": ", stdout);
		print_clean(text_of(entry, "verb"));
		putchar(' ');
		print_clean(text_of(entry, "object"));
		fputs(": ", stdout);
	}
	if (code)
		printf("%s: ", strerror((int)code));
	print_clean(text_of(entry, "text"));
	putchar('\n');
}

/* Each has its hash in front, and a blank. */
void show_audit_lines(const json_t *lines)
{
	for (size_t i = 0; i < json_array_size(lines); i++) {
		const char *line = json_string_value(json_array_get(lines, i));
		const char *object = line ? strchr(line, ' ') : NULL;
		json_t *entry = object ? json_loads(object, 0, NULL) : NULL;

		show_audit_entry(entry);
		json_decref(entry);
	}
}

void show_images(const json_t *images)
{
	printf("%-63s %-10s %12s %12s %14s\n", "image", "", "kernel", "initrd", "root");
	for (size_t i = 0; i < json_array_size(images); i++) {
		const json_t *image = json_array_get(images, i);
		bool finished = json_is_true(json_object_get(image, "finished"));

		printf("%-63s %-10s %12lld %12lld %14lld\n", text_of(image, "image"),
		       finished ? "finished" : "unfinished", (long long)number_of(image, "kernel"),
		       (long long)number_of(image, "initrd"), (long long)number_of(image, "root"));
	}
}

void show_console(const char *text)
{
	size_t length = strlen(text);
	unsigned char *bytes = malloc(length + 1);
	int got = bytes ? EVP_DecodeBlock(bytes, (const unsigned char *)text, (int)length) : -1;

	/* What fills the last group counts as zeros. */
	for (size_t i = length; got > 0 && i && text[i - 1] == '=' && i + 2 > length; i--)
		got--;
	if (got > 0)
		fwrite(bytes, 1, (size_t)got, stdout);
	free(bytes);
	fflush(stdout);
}

void show_json(const json_t *json)
{
	json_dumpf(json, stdout, JSON_INDENT(2));
	putchar('\n');
}

int show_stream(int fd)
{
	char buffer[4096];
	ssize_t got;

	while ((got = read(fd, buffer, sizeof(buffer))) > 0) {
		if (os_write_all(STDOUT_FILENO, buffer, (size_t)got) < 0)
			return 1;
	}
	return got < 0;
}
