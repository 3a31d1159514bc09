/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plane that says what it was told to say: HTTPS (TLS 1.3) on 127.0.0.1, one client at a time, in
 * a process of its own. Its answers are used up one after the other; each request is put into the
 * file "requests", and one that is not the expected one is answered with 500.
 */
#ifndef KARUTA_FAKE_PLANE_H
#define KARUTA_FAKE_PLANE_H

#include <stddef.h>
#include <sys/types.h>

struct fake_answer {
	const char *request; /* "GET /v1/hosts?limit=100"; NULL: the end of the list */
	int status;	     /* 0: the connection ends without an answer */
	const char *body;
	const char *type; /* NULL: JSON; a stream has no length: the connection ends it */
};

struct fake_plane {
	pid_t process;
	unsigned port;
};

/* With plane.pem, plane.key and ca.pem of the current folder. Asserts that it works. */
void fake_plane_start(struct fake_plane *plane, const struct fake_answer *answers);
void fake_plane_stop(struct fake_plane *plane);

#endif
