/* SPDX-License-Identifier: Apache-2.0 */
#include "plane_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"
#include "os/clock.h"

#define START_SECONDS 60u
#define BATCH	      90u

static struct doc_batch batch;

/* ---- what is told ---- */

void rig_fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

void rig_report(const char *what, const char *format, ...)
{
	va_list args;

	printf("{\"case\":\"%s\",", what);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	puts("}");
	fflush(stdout);
}

double rig_ms_since(uint64_t began)
{
	return (double)(os_now() - began) / (double)NS_PER_MS;
}

/* ---- the store ---- */

static void must(int ret, const struct error *error)
{
	if (ret < 0)
		rig_fail("bench: %s", error->text);
}

void rig_begin(struct rig *rig, const char *program, const char *folder)
{
	static const char *const names[] = {"localhost", "127.0.0.1"};
	struct error error = {0};
	char id[AUTH_ID_SIZE], path[300];

	*rig = (struct rig){
		.program = program, .port = 20000 + (unsigned)getpid() % 6000 * 2, .folder = ""};
	snprintf(rig->folder, sizeof(rig->folder), "%s/plane-XXXXXX", folder);
	if (!mkdtemp(rig->folder))
		rig_fail("%s: %s", rig->folder, strerror(errno));
	must(identity_open(&rig->identity, rig->folder, names, ARRAY_LEN(names), &error), &error);
	must(store_sqlite_open(rig->folder, &rig->store, &error), &error);
	must(auth_create_token(rig->store, "bench", AUTH_ADMIN, time(NULL), 0, rig->token, id,
			       &error),
	     &error);
	snprintf(path, sizeof(path), "%s/ca.pem", rig->folder);
	rig->tls = https_context(path);
	if (!rig->tls)
		rig_fail("%s: is no certificate", path);
}

void rig_end(struct rig *rig)
{
	char command[300];

	rig_kill_plane(rig);
	store_close(rig->store);
	identity_close(&rig->identity);
	SSL_CTX_free(rig->tls);
	snprintf(command, sizeof(command), "rm -rf '%s'", rig->folder);
	if (system(command) != 0)
		rig_fail("%s cannot be removed", rig->folder);
}

void rig_put_rest(struct rig *rig)
{
	struct error error = {0};
	uint64_t revision;

	if (batch.count)
		must(doc_commit(&batch, rig->store, &revision, &error), &error);
}

void rig_put(struct rig *rig, const char *kind, json_t *doc)
{
	if (!doc)
		rig_fail("out of memory");
	doc_put(&batch, kind, doc_name(doc), doc, 0);
	json_decref(doc);
	if (batch.count == BATCH)
		rig_put_rest(rig);
}

/* ---- the plane ---- */

static bool is_served(unsigned port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = htons((uint16_t)port),
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool served = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;

	close(fd);
	return served;
}

__attribute__((noreturn)) static void be_plane(const struct rig *rig)
{
	char listen[32], notes[300];
	cpu_set_t set;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	CPU_ZERO(&set);
	CPU_SET(RIG_PLANE_CORE, &set);
	if (rig->pinned && sched_setaffinity(0, sizeof(set), &set) < 0)
		_exit(90);
	snprintf(listen, sizeof(listen), "127.0.0.1:%u", rig->port);
	snprintf(notes, sizeof(notes), "%s/notes", rig->folder);
	if (!freopen(notes, "a", stderr))
		_exit(91);
	/* In its sandbox no sanitizer looks for leaks. */
	setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
	execl(rig->program, "karuta-plane", "--listen", listen, "--folder", rig->folder,
	      "--allow-unattested", NULL);
	_exit(92);
}

double rig_start_plane(struct rig *rig)
{
	uint64_t began;

	store_close(rig->store);
	rig->store = NULL;
	began = os_now();
	rig->pid = fork();
	if (rig->pid == 0)
		be_plane(rig);
	while (!is_served(rig->port)) {
		if (waitpid(rig->pid, NULL, WNOHANG) != 0 ||
		    os_now() - began > START_SECONDS * NS_PER_S)
			rig_fail("the plane does not serve: see %s/notes", rig->folder);
		usleep(1000);
	}
	return rig_ms_since(began);
}

void rig_kill_plane(struct rig *rig)
{
	if (rig->pid <= 0)
		return;
	kill(rig->pid, SIGKILL);
	waitpid(rig->pid, NULL, 0);
	rig->pid = 0;
}

void rig_open_client(struct rig *rig, struct https_client *client)
{
	https_open(client, rig->tls, rig->port, rig->token);
}

/* ---- what it costs ---- */

unsigned long rig_memory(const struct rig *rig, const char *which)
{
	char path[64], line[128];
	unsigned long found = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", rig->pid);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file)) {
		if (!strncmp(line, which, strlen(which)))
			found = strtoul(line + strlen(which) + 1, NULL, 10);
	}
	if (file)
		fclose(file);
	return found;
}

double rig_processor_ms(const struct rig *rig)
{
	char path[64];
	unsigned long long ns = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/schedstat", rig->pid);
	file = fopen(path, "re");
	if (!file || fscanf(file, "%llu", &ns) != 1)
		ns = 0;
	if (file)
		fclose(file);
	return (double)ns / (double)NS_PER_MS;
}

unsigned long rig_metric(struct https_client *client, const char *name)
{
	const char *text = https_ask(client, "GET", "/metrics", NULL), *at = text;
	size_t length = strlen(name);

	for (; at; at = strchr(at, '\n')) {
		at += *at == '\n';
		if (!strncmp(at, name, length) && at[length] == ' ')
			return strtoul(at + length, NULL, 10);
	}
	rig_fail("/metrics has no %s: %.100s", name, text);
}
