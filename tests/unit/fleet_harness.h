/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plane and three hosts: real controllers with stand-ins for what they launch, each in a folder
 * of its own with its own port. What a host has is asked of itself, as its own reader.
 */
#ifndef KARUTA_TEST_FLEET_HARNESS_H
#define KARUTA_TEST_FLEET_HARNESS_H

#define CERTIFICATE_LIFE "86400"

#include <jansson.h>

#include "plane_harness.h"

#define HOSTS 3u

static pid_t keepers[HOSTS];
static const char *plane_program = "karuta-plane";
static bool keep_folder; /* somebody will want to see what has gone wrong */

/* ---- hosts ---- */

static inline void start_host(unsigned host)
{
	char listen[32], place[96];
	pid_t pid = fork();

	assert_true(pid >= 0);
	keepers[host] = pid;
	if (pid)
		return;
	snprintf(listen, sizeof(listen), "127.0.0.1:%d", port + (int)host);
	snprintf(place, sizeof(place), "%s/h%u", folder, host);
	if (chdir(place) < 0 || !freopen("notes", "a", stderr))
		_exit(90);
	execl("../karuta-controller", "karuta-controller", "serve", "--listen", listen, "--ca",
	      "ca.pem", "--cert", "etc/host.pem", "--key", "etc/host.key", "--files", "srv",
	      "--audit", "audit", "--state", "state", NULL);
	_exit(92);
}

/* The keeper's child that serves; 0: there is none now. */
static inline pid_t controller_of(unsigned host)
{
	keeper_pid = keepers[host];
	return find_daemon();
}

/* The power button, until it is off. */
static inline int stop_host(unsigned host)
{
	kill(keepers[host], SIGTERM);
	return wait_end(keepers[host]);
}

/* What it has: the answer to `list`, for the caller; NULL: it does not answer. */
static inline json_t *host_list(unsigned host)
{
	json_t *answer, *list;

	if (sh("timeout 5 ./karuta-controller call 127.0.0.1:%u list --ca plane/ca.pem --cert "
	       "reader.pem --key reader.key --json 2>/dev/null",
	       (unsigned)port + host) != 0)
		return NULL;
	answer = json_loads(output, 0, NULL);
	list = json_incref(json_object_get(json_object_get(answer, "result"), "instances"));
	json_decref(answer);
	return list;
}

static inline bool await_list(unsigned host)
{
	for (unsigned i = 0; i < SECONDS * 10; i++) {
		json_t *list = host_list(host);

		json_decref(list);
		if (list)
			return true;
		usleep(100000);
	}
	return false;
}

/* It trusts its plane, and the authority of its own reader. */
static inline int enrol_host(unsigned host)
{
	if (sh("mkdir -p h%u/srv h%u/etc && echo GENTLE >h%u/srv/kernel && "
	       "echo STUBBORN >h%u/srv/stubborn",
	       host, host, host, host) != 0 ||
	    ADMIN("POST", "/v1/hosts", BODY("{\"name\": \"h%u\", \"address\": \"127.0.0.1:%u\"}"),
		  host, (unsigned)port + host) != 0)
		return -1;
	return sh("echo '%s' | jq -r .token | timeout 20 ./karuta-controller enrol --token - "
		  "--listen 127.0.0.1:%u --folder h%u/etc && cat h%u/etc/ca.pem ca.pem >h%u/ca.pem",
		  output, (unsigned)port + host, host, host, host);
}

/* ---- all of it ---- */

static inline int end_fleet(void **state)
{
	int ret = 0;

	kill(plane_pid, SIGTERM);
	if (wait_end(plane_pid) != 0)
		ret = -1;
	for (unsigned i = 0; i < HOSTS; i++) {
		if (keepers[i] > 0 && stop_host(i) != 0)
			ret = -1;
		if (sh("./karuta-controller audit verify h%u/audit", i) != 0) {
			print_error("%s", output);
			ret = -1;
		}
	}
	if (keep_folder)
		print_message("what is left of it is in %s\n", folder);
	return ret || keep_folder ? ret : remove_folder(state);
}

static inline int begin_fleet(void **state)
{
	if (make_host_folder(state) != 0 ||
	    sh("cp %s/%s karuta-plane && cp %s/karuta . && mkdir -m 700 plane", programs,
	       plane_program, programs) != 0)
		return -1;
	/* Not the ports of others that are tested at the same time. */
	port = 10000 + getpid() % 600 * 16;
	plane_port = port + 7;
	start_plane();
	for (unsigned i = 0; i < HOSTS; i++) {
		if (enrol_host(i) != 0) {
			print_error("%s", output);
			return -1;
		}
		start_host(i);
	}
	for (unsigned i = 0; i < HOSTS; i++) {
		if (!await_list(i))
			return -1;
	}
	return 0;
}

#endif
