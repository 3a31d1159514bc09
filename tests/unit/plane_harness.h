/* SPDX-License-Identifier: Apache-2.0 */
/* A plane, used by curl, with a host that it enrols: a real controller, with stand-ins for what
 * that launches. */
#ifndef KARUTA_TEST_PLANE_HARNESS_H
#define KARUTA_TEST_PLANE_HARNESS_H

#include "serve_harness.h"

#define TOKEN "$(cat plane/admin.token)"

/* Seconds that a host's certificate is good for, where it matters. */
#ifndef CERTIFICATE_LIFE
#define CERTIFICATE_LIFE "7776000"
#endif

static pid_t plane_pid;
static int plane_port;

/* What curl shows; its exit code, 22: a status of 400 and above. */
#define API(who, method, path, more, ...)                                                          \
	sh("curl -sS --fail-with-body --cacert plane/ca.pem -H \"Authorization: Bearer " who       \
	   "\" -X " method " " more " https://127.0.0.1:%d" path " 2>&1",                          \
	   ##__VA_ARGS__, plane_port)
#define ADMIN(method, path, more, ...) API(TOKEN, method, path, more, ##__VA_ARGS__)
#define BODY(text)		       "-H 'Content-Type: application/json' -d '" text "'"

static inline void start_plane(void)
{
	char listen[32];

	snprintf(listen, sizeof(listen), "127.0.0.1:%d", plane_port);
	plane_pid = fork();
	assert_true(plane_pid >= 0);
	if (plane_pid == 0) {
		if (chdir(folder) < 0 || !freopen("plane.notes", "w", stderr))
			_exit(90);
		execl("./karuta-plane", "karuta-plane", "--listen", listen, "--folder", "plane",
		      "--release", "karuta.manifest", "--allow-unattested", "--certificate-life",
		      CERTIFICATE_LIFE, NULL);
		_exit(92);
	}
	for (unsigned i = 0; i < SECONDS * 20; i++) {
		if (sh("curl -sS --fail --cacert plane/ca.pem https://127.0.0.1:%d/healthz",
		       plane_port) == 0)
			return;
		usleep(50000);
	}
	sh("cat plane.notes");
	fail_msg("the plane does not serve: %s", output);
}

static inline void await_host(const char *state)
{
	for (unsigned i = 0; i < SECONDS * 10; i++) {
		ADMIN("GET", "/v1/hosts/h1", "");
		if (sh("echo '%s' | jq -r .status.state", output) == 0 &&
		    !strncmp(output, state, strlen(state)))
			return;
		usleep(100000);
	}
	ADMIN("GET", "/v1/hosts/h1", "");
	fail_msg("the host is not %s: %s", state, output);
}

/* What the plane gives a host is what its controller serves with. */
static inline int enrol(void)
{
	if (ADMIN("POST", "/v1/hosts", BODY("{\"name\": \"h1\", \"address\": \"127.0.0.1:%d\"}"),
		  port) != 0)
		return -1;
	if (sh("mkdir -p etc && echo '%s' | jq -r .token | timeout 20 ./karuta-controller enrol "
	       "--token - --listen 127.0.0.1:%d --folder etc 2>&1 && cp etc/ca.pem etc/host.pem "
	       "etc/host.key . && printf '\\n' && openssl verify -CAfile plane/ca.pem host.pem",
	       output, port) != 0)
		return -1;
	return 0;
}

static inline int begin_plane(void **state)
{
	if (make_host_folder(state) != 0 ||
	    sh("cp $(dirname $(readlink /proc/%d/exe))/../../bin/karuta-plane . && mkdir -m 700 "
	       "plane",
	       getpid()) != 0)
		return -1;
	plane_port = 3000 + getpid() % 3400 * 2;
	start_plane();
	if (enrol() != 0)
		return -1;
	keeper_pid = start_daemon("host");
	return 0;
}

static inline int end_plane(void **state)
{
	kill(plane_pid, SIGTERM);
	if (wait_end(plane_pid) != 0)
		return -1;
	kill(keeper_pid, SIGTERM);
	if (wait_end(keeper_pid) != 0)
		return -1;
	return remove_folder(state);
}

#endif
